"""Environments of heavy packs: named for what is in them, whole or not there."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from haihe.packs import environments
from haihe.packs.discovery import PackSource, find_pack
from haihe.packs.domain import Environment
from haihe.packs.environments import MARK, PackEnvironment, build, enter, environment_of
from haihe.packs.errors import EnvironmentMissing, EnvironmentNotBuilt
from tests.packs.conftest import BentSource

Steps = Iterator[tuple[list[str], Mapping[str, str]]]


@pytest.fixture
def heavy(source: PackSource) -> PackSource:
    """A pack that says it has libraries of its own."""
    told = source.manifest().model_copy(update={"environment": Environment(extra="signal")})
    fields = {**vars(source), "pack": source.load(), "told": told}
    return BentSource(**fields)


@pytest.fixture
def wanted(heavy: PackSource, tmp_path: Path) -> PackEnvironment:
    found = environment_of(heavy, tmp_path)
    assert found is not None
    return found


def steps(monkeypatch: pytest.MonkeyPatch, *commands: str) -> None:
    """Let shell commands stand for the installer's."""

    def given(environment: PackEnvironment) -> Steps:
        for command in commands:
            yield ["sh", "-c", command], {"FOLDER": str(environment.folder)}

    monkeypatch.setattr(environments, "_steps", given)


def test_a_light_pack_has_none(source: PackSource, tmp_path: Path) -> None:
    assert environment_of(source, tmp_path) is None


def test_an_update_makes_another_one(heavy: PackSource, tmp_path: Path) -> None:
    before, after = (
        environment_of(replace(heavy, version=version), tmp_path) for version in ("0.1.0", "0.2.0")
    )
    assert before is not None
    assert after is not None
    assert before.folder != after.folder
    assert after.requirement == f"{heavy.distribution}[signal]==0.2.0"


def test_a_changed_lock_makes_another_one_in_a_checkout(heavy: PackSource, tmp_path: Path) -> None:
    lock = tmp_path / "uv.lock"
    here = replace(heavy, checkout=tmp_path / "packs" / "heavy")
    folders = []
    for text in ("one", "two"):
        lock.write_text(text)
        found = environment_of(here, tmp_path)
        assert found is not None
        assert found.workspace == tmp_path
        folders.append(found.folder)
    assert folders[0] != folders[1]


def test_where_the_lock_is_closed_the_one_built_last_is_taken(
    heavy: PackSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "uv.lock").touch()
    here = replace(heavy, checkout=tmp_path / "packs" / "heavy")
    wanted = environment_of(here, tmp_path)
    assert wanted is not None
    steps(monkeypatch, "mkdir -p $FOLDER")
    build(wanted)

    def closed(path: Path) -> bytes:
        raise PermissionError(path)

    monkeypatch.setattr(Path, "read_bytes", closed)
    assert environment_of(here, tmp_path) == wanted
    later = environment_of(replace(here, version="9"), tmp_path)
    assert later is not None
    assert not later.is_ready


def test_it_is_built_once(wanted: PackEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
    steps(monkeypatch, "mkdir -p $FOLDER; echo x >> $FOLDER/../built")
    threads = [threading.Thread(target=build, args=(wanted,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wanted.is_ready
    assert (wanted.folder.parent / "built").read_text() == "x\n"
    assert not build(wanted)


def test_one_that_failed_is_not_there_and_says_why(
    wanted: PackEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps(monkeypatch, "mkdir -p $FOLDER/bin", "echo no such package >&2; exit 3")
    with pytest.raises(EnvironmentNotBuilt, match="no such package"):
        build(wanted)
    assert not wanted.is_ready
    with pytest.raises(EnvironmentMissing, match=f"haihe packs install {wanted.pack}"):
        enter(wanted, ["-V"])


def test_half_of_one_is_thrown_away(
    wanted: PackEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted.folder.mkdir(parents=True)
    (wanted.folder / "left").touch()
    steps(monkeypatch, "mkdir $FOLDER")
    build(wanted)
    assert [path.name for path in wanted.folder.iterdir()] == [MARK]


def test_who_is_there_already_stays(
    wanted: PackEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[tuple[object, ...]] = []
    monkeypatch.setattr(environments.os, "execve", lambda *order: begun.append(order))
    monkeypatch.setattr(environments.PackEnvironment, "is_ready", True)
    enter(wanted, ["-V"])
    assert [order[1] for order in begun] == [[str(wanted.python), "-V"]]
    monkeypatch.setattr(sys, "prefix", str(wanted.folder))
    enter(wanted, ["-V"])
    assert len(begun) == 1, "no second time"


def test_the_rehabilitation_pack_is_read_without_its_libraries() -> None:
    source = find_pack("bci_rehab")
    assert source.manifest().environment == Environment(extra="signal")
    assert source.checkout is not None
    assert source.distribution == "haihe-bci-rehab"
