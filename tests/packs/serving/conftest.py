"""A pack with a service, as if it were installed: in this process, and in those it starts."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import copy

import pytest

from haihe.packs import ServiceContext, frames, serve
from haihe.packs.channels import declared_services
from haihe.packs.discovery import PackSource, find_pack
from haihe.packs.scaffold import scaffold
from tests.packs.serving import talking
from tests.packs.serving.talking import Talking

PACK, SERVICE = "talking_pack", "station"
DECLARED = f"""
[services.{SERVICE}]
entry = "{PACK}.talking:make"
title = {{ zh = "会话服务", en = "Talking service" }}
"""
PATIENCE_S = 30.0


@dataclass(frozen=True)
class Installed:
    """The pack, and the variables by which other processes find it in this home."""

    source: PackSource
    home: Path
    environment: dict[str, str]

    @property
    def context(self) -> ServiceContext:
        return ServiceContext(pack=PACK, name=SERVICE, home=self.home / "packs" / PACK)


def make_pack(folder: Path) -> Path:
    """A scaffolded pack with a service."""
    root = scaffold(PACK, folder)
    copy(talking.__file__, root / PACK / "talking.py")
    with (root / PACK / "pack.toml").open("a", encoding="utf-8") as file:
        file.write(DECLARED)
    return root


@pytest.fixture(scope="session")
def site_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the import path with the pack and its metadata, as an installer leaves them."""
    root = make_pack(tmp_path_factory.mktemp("site"))
    told = root / f"{PACK}-0.1.0.dist-info"
    told.mkdir()
    (told / "METADATA").write_text(
        f"Metadata-Version: 2.4\nName: haihe-{PACK.replace('_', '-')}\nVersion: 0.1.0\n"
        "License-Expression: Apache-2.0\nLicense-File: LICENSE\n\nA pack of tests.\n"
    )
    (told / "entry_points.txt").write_text(f"[haihe.packs]\n{PACK} = {PACK}.pack:TalkingPack\n")
    return root


@pytest.fixture
def installed(
    site_packages: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Installed]:
    monkeypatch.syspath_prepend(str(site_packages))
    declared_services.cache_clear()
    environment = {
        **os.environ,
        "PYTHONPATH": str(site_packages),
        "HAIHE_HOME": str(home),
        "HAIHE_LOG_LEVEL": "info",
        "HAIHE_DATABASE_URL": "",
        "DJANGO_SETTINGS_MODULE": "haihe.app.settings",
    }
    yield Installed(find_pack(PACK), home, environment)
    declared_services.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == PACK]:
        del sys.modules[name]


@asynccontextmanager
async def running(context: ServiceContext) -> AsyncIterator[Talking]:
    """The service in this process, for the length of a block."""
    made: list[Talking] = []

    def make(told: ServiceContext) -> Talking:
        made.append(talking.make(told))
        return made[0]

    stop = asyncio.Event()
    serving = asyncio.ensure_future(serve(make, context, stop=stop))
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not (made and made[0].done and await is_listening(context)):
                assert not serving.done(), serving.exception()
                await asyncio.sleep(0.01)
        yield made[0]
    finally:
        stop.set()
        await serving


async def is_listening(context: ServiceContext) -> bool:
    """Whether somebody answers at the service's socket."""
    try:
        with frames.reachable(context.socket) as name:
            _reader, writer = await asyncio.open_unix_connection(name)
    except OSError:
        return False
    writer.close()
    return True


def wait_until(true: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
    """Wait for something that other processes bring about."""
    deadline = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)
