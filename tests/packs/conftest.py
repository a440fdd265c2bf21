"""A small working pack, made by the scaffold, that tests bend in one way at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from haihe.packs import Pack
from haihe.packs.discovery import PackSource, pack_in_folder
from haihe.packs.domain import Manifest
from haihe.packs.scaffold import scaffold

NAME = "scaffolded_example"


@dataclass(frozen=True, kw_only=True)
class BentSource(PackSource):
    """A pack in memory: another class or manifest in the place of the scaffolded one."""

    pack: Any
    told: Manifest

    def manifest(self) -> Manifest:
        return self.told

    def load(self) -> type[Pack]:
        return self.pack


@pytest.fixture(scope="session")
def pack_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scaffold(NAME, tmp_path_factory.mktemp("packs"))


@pytest.fixture(scope="session")
def source(pack_folder: Path) -> PackSource:
    return pack_in_folder(pack_folder)


@pytest.fixture(scope="session")
def manifest(source: PackSource) -> Manifest:
    return source.manifest()


@pytest.fixture(scope="session")
def honest(source: PackSource) -> Any:
    """The scaffolded pack's class."""
    return source.load()


@pytest.fixture(scope="session")
def cases(honest: Any) -> pl.DataFrame:
    from scaffolded_example.data import frame  # type: ignore[import-not-found]

    return frame(rows=240)


@pytest.fixture
def bent(source: PackSource, manifest: Manifest) -> Callable[..., BentSource]:
    """Make a source of another class or manifest."""

    def make(pack: Any, told: Manifest = manifest) -> BentSource:
        return BentSource(**vars(source), pack=pack, told=told)

    return make


@pytest.fixture
def inputs_folder(cases: pl.DataFrame, tmp_path: Path) -> Path:
    folder = tmp_path / "inputs"
    folder.mkdir()
    cases.write_csv(folder / "cases.csv")
    return folder
