"""One world for all tests of the matrix, in a transaction that is rolled back after the last."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from django.db import transaction
from pytest_django import DjangoDbBlocker

from haihe.kernel.settings import load_settings
from haihe.packs import services
from haihe.packs.discovery import pack_in_folder
from haihe.packs.runner import run_pack
from haihe.packs.scaffold import scaffold
from tests.policy.matrix.callers import NAMES
from tests.policy.matrix.stage import PACK, build
from tests.policy.matrix.tables import ROWS
from tests.policy.matrix.things import make_world
from tests.policy.matrix.world import World


def pytest_report_collectionfinish() -> str:
    """How much the matrix covers."""
    return f"matrix: {len(ROWS)} calls x {len(NAMES)} callers = {len(ROWS) * len(NAMES)}"


@pytest.fixture(scope="package")
def world(
    tmp_path_factory: pytest.TempPathFactory,
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
) -> Iterator[World]:
    """Everybody and everything, in a home of their own, with one small pack installed."""
    _unload(PACK)  # a process that left this package and comes back makes the pack anew
    folder = tmp_path_factory.mktemp("matrix")
    source = pack_in_folder(scaffold(PACK, folder / "packs"))
    source.load()
    example = import_module(f"{PACK}.data")
    (folder / "inputs").mkdir()
    example.frame(rows=60).write_csv(folder / "inputs" / "cases.csv")
    run_pack(
        source,
        inputs=folder / "inputs",
        out=folder / "outputs",
        permutations=1,
        report=lambda share, text: None,
    )
    with pytest.MonkeyPatch.context() as patch, django_db_blocker.unblock():
        patch.setenv("HAIHE_HOME", str(folder / "home"))
        patch.setattr(services, "installed_packs", lambda: [source])
        patch.setattr(services, "find_pack", lambda name: source)
        load_settings.cache_clear()
        with transaction.atomic():
            cases = (folder / "inputs" / "cases.csv").read_bytes()
            yield make_world(build(cases, folder / "outputs"))
            transaction.set_rollback(True)
    load_settings.cache_clear()


def _unload(package: str) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        del sys.modules[name]
    sys.path[:] = [path for path in sys.path if not (Path(path) / package).is_dir()]
