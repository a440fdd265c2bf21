"""Static files: pinned, complete, and silent towards other hosts."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from asgiref.sync import async_to_sync
from django.http import StreamingHttpResponse
from django.test import AsyncClient
from tools import build_static

from haihe.portal import styleguide

ROOT = build_static.ROOT
PORTAL = Path(styleguide.__file__).parent
OWN = PORTAL / "static/portal"
HOW = "run .venv/bin/python tools/build_static.py"
REMOTE = re.compile(r"""(?:url\(|@import\s+|src=|href=)\s*["']?(?:https?:)?//""", re.IGNORECASE)

needs_vendor = pytest.mark.skipif(not build_static.STAMP.exists(), reason=HOW)


def test_versions_are_exact_and_the_lock_names_no_host() -> None:
    pinned = json.loads((ROOT / "package.json").read_text())["dependencies"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in pinned.values())
    lock = json.loads((ROOT / "package-lock.json").read_text())
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert all("resolved" not in entry and "integrity" in entry for entry in packages.values())
    for name, version in pinned.items():
        assert packages[f"node_modules/{name}"]["version"] == version


def test_an_asynchronous_server_gets_whole_files_without_a_warning() -> None:
    async def fetch() -> tuple[bytes, str]:
        answer = await AsyncClient().get("/static/portal/mark.svg")
        assert isinstance(answer, StreamingHttpResponse)
        body = b"".join([piece async for piece in answer])
        answer.close()
        return body, answer["Content-Length"]

    content = (OWN / "mark.svg").read_bytes()
    assert async_to_sync(fetch)() == (content, str(len(content)))


@needs_vendor
def test_the_build_is_current_and_a_second_run_does_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(build_static, "install", lambda folder: pytest.fail("it built again"))
    assert build_static.main() == 0


@needs_vendor
def test_the_vendor_folder_holds_the_list_and_nothing_else() -> None:
    found = {
        path.relative_to(build_static.VENDOR).as_posix()
        for path in build_static.VENDOR.rglob("*")
        if path.is_file()
    }
    icons = {f"icons/{icon}.svg" for icon in build_static.ICONS}
    assert found == {*build_static.FILES.values(), *icons, "tabler/LICENSE", ".stamp"}


@needs_vendor
def test_third_party_files_load_nothing_and_point_to_no_source_map() -> None:
    for path in build_static.VENDOR.rglob("*"):
        if path.suffix in (".css", ".js", ".svg"):
            text = path.read_text("utf-8")
            assert not REMOTE.search(text), path.name
            assert "@font-face" not in text, path.name
            assert "sourceMappingURL" not in text, path.name


@needs_vendor
def test_every_licence_is_shipped() -> None:
    for folder in ("tabler", "uplot", "icons"):
        licence = (build_static.VENDOR / folder / "LICENSE").read_text("utf-8")
        assert "Permission is hereby granted" in licence
    assert "The Tabler Authors" in (build_static.VENDOR / "tabler/LICENSE").read_text()


def test_a_change_of_the_lock_makes_the_build_stale() -> None:
    assert not build_static.is_current("another stamp")


def test_our_own_files_load_nothing_from_elsewhere() -> None:
    for path in OWN.iterdir():
        text = path.read_text("utf-8").replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert "//" not in re.sub(r"\[href\^=[^\]]*\]", "", text), path.name
        assert "@import" not in text
        assert "eval(" not in text


def test_every_icon_that_a_template_names_is_built() -> None:
    named = set()
    for path in PORTAL.parent.glob("*/templates/**/*.html"):
        text = path.read_text("utf-8")
        named |= set(re.findall(r"""{% icon ["']([a-z0-9-]+)["'] %}""", text))
        named |= set(re.findall(r'\bicon="([a-z0-9-]+)"', text))
        named |= set(re.findall(r'<c-icon name="([a-z0-9-]+)"', text))
    assert named - set(build_static.ICONS) == set()
