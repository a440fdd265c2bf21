"""Environments of heavy packs: each in a folder of its own, apart from the platform's libraries.

The platform's process reads a pack's manifest and shows its pages; whatever needs the libraries of
the extra that the manifest names (``[environment] extra``) runs with the Python of the pack's own
environment. A command that needs them is run there instead (:func:`enter`), a job likewise.

An environment is named for what is in it: the distribution with its extra and version, the
interpreter, and, of a pack in a checkout, the lock file. So an update makes a new one beside the
old, and one that was left half built is never taken for whole: its mark is written last.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import NoReturn

from haihe.packs.discovery import PackSource
from haihe.packs.errors import EnvironmentMissing, EnvironmentNotBuilt

VARIABLE = "HAIHE_ENVIRONMENTS"
MARK = "environment.json"
BUILD_LIMIT_S = 3_600
SHOWN_CHARACTERS = 2_000


@dataclass(frozen=True, kw_only=True)
class PackEnvironment:
    """Where a pack's own libraries are, or would be.

    ``requirement`` is what is installed there; ``workspace`` the checkout that it comes from, with
    its lock file, or None for a pack from an index.
    """

    pack: str
    distribution: str
    requirement: str
    folder: Path
    workspace: Path | None

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def is_ready(self) -> bool:
        """Whether it was built to its end."""
        return (self.folder / MARK).is_file()

    @property
    def is_here(self) -> bool:
        """Whether this very process runs in it."""
        return Path(sys.prefix).resolve() == self.folder.resolve()


def environment_of(source: PackSource, folder: Path) -> PackEnvironment | None:
    """The environment of a pack below ``folder``; None if it works in the platform's own."""
    wanted = source.manifest().environment
    if wanted is None:
        return None
    requirement = f"{source.distribution}[{wanted.extra}]=={source.version}"
    workspace = _workspace(source.checkout)
    digest = sha256(f"{requirement} {sys.version}".encode())
    name = ""
    if workspace is not None:
        try:
            digest.update((workspace / "uv.lock").read_bytes())
        except PermissionError:
            # A job sees the pack's code, and not the checkout around it.
            name = _built_last(source.name, requirement, folder)
        digest.update(str(workspace).encode())
    return PackEnvironment(
        pack=source.name,
        distribution=source.distribution,
        requirement=requirement,
        folder=folder.absolute() / (name or f"{source.name}-{digest.hexdigest()[:12]}"),
        workspace=workspace,
    )


def build(environment: PackEnvironment) -> bool:
    """Install what the pack needs, unless it is there; whether anything was done.

    Two that build at once take turns, and the second finds the work done.

    Raises
    ------
    EnvironmentNotBuilt
        With the installer's last words.
    """
    folder = environment.folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _alone(folder.with_suffix(".lock")):
        if environment.is_ready:
            return False
        if folder.exists():
            shutil.rmtree(folder)
        for command, more in _steps(environment):
            _run(environment, command, more)
        mark = {"requirement": environment.requirement, "python": sys.version}
        (folder / MARK).write_text(json.dumps(mark), "utf-8")
    return True


def need(environment: PackEnvironment) -> None:
    """Refuse to go on without it.

    Raises
    ------
    EnvironmentMissing
        With the command that installs it.
    """
    if not environment.is_ready:
        raise EnvironmentMissing(pack=environment.pack, requirement=environment.requirement)


def enter(environment: PackEnvironment, arguments: Sequence[str]) -> None:
    """Go on in the pack's environment: this process becomes its Python with ``arguments``.

    Returns only if this process is there already.
    """
    if environment.is_here:
        return
    need(environment)
    _become(environment, arguments)


def _become(environment: PackEnvironment, arguments: Sequence[str]) -> NoReturn:
    variables = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    sys.stdout.flush()
    sys.stderr.flush()
    python = str(environment.python)
    os.execve(python, [python, *arguments], variables)  # noqa: S606 (no shell is meant)


def _built_last(pack: str, requirement: str, folder: Path) -> str:
    """The name of the pack's newest environment here with this requirement; empty if none is."""
    wanted = {"requirement": requirement, "python": sys.version}
    marks = [
        mark
        for mark in folder.glob(f"{pack}-*/{MARK}")
        if json.loads(mark.read_text("utf-8")) == wanted
    ]
    return max(marks, key=lambda mark: mark.stat().st_mtime).parent.name if marks else ""


def _workspace(checkout: Path | None) -> Path | None:
    """The folder with the lock file of a pack that is worked on; None of one from an index."""
    if checkout is None:
        return None
    return next((place for place in checkout.parents if (place / "uv.lock").is_file()), None)


def _steps(environment: PackEnvironment) -> Iterator[tuple[list[str], Mapping[str, str]]]:
    """The commands that make it, each with what it needs in its environment."""
    folder, uv = str(environment.folder), _uv(environment.workspace)
    extra = environment.requirement.partition("[")[2].partition("]")[0]
    if environment.workspace is not None and uv:
        sync = [
            uv, "sync", "--frozen", "--no-default-groups", "--directory",
            str(environment.workspace), "--package", environment.distribution, "--extra", extra,
        ]  # fmt: skip
        yield sync, {"UV_PROJECT_ENVIRONMENT": folder, "UV_PYTHON": sys.executable}
        return
    yield [sys.executable, "-m", "venv", folder], {}
    # The platform itself is there in exactly this version, whatever an index has by now.
    platform = f"haihe=={metadata.version('haihe')}"
    pip = [str(environment.python), "-m", "pip", "install", "--disable-pip-version-check"]
    if environment.workspace is None:
        yield [*pip, platform, environment.requirement], {}
        return
    pack = next(environment.workspace.glob(f"packs/{environment.pack}"))
    yield [*pip, "--editable", str(environment.workspace), "--editable", f"{pack}[{extra}]"], {}


def _uv(workspace: Path | None) -> str | None:
    """The installer, where there is one: on the path, beside this Python, or in the checkout."""
    places = [
        Path(sysconfig.get_path("scripts")),
        *([workspace / ".tools/bin"] if workspace else []),
    ]
    return shutil.which("uv") or next(
        (str(place / "uv") for place in places if (place / "uv").is_file()), None
    )


def _run(environment: PackEnvironment, command: Sequence[str], more: Mapping[str, str]) -> None:
    variables = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    try:
        done = subprocess.run(  # noqa: S603 (the steps above)
            command,
            env={**variables, **more},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=BUILD_LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnvironmentNotBuilt(pack=environment.pack, reason=str(error)) from error
    if done.returncode:
        words = done.stdout.strip()[-SHOWN_CHARACTERS:]
        raise EnvironmentNotBuilt(pack=environment.pack, reason=words)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
