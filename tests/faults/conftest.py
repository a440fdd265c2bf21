"""Nurseries, and a home that every broken run begins with."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from queue import Queue

import pytest

from tests.faults.harness import Nursery

# Steps mostly wait for a job, so more of them than cores keep the machine busy.
WORKERS = 4


@pytest.fixture(scope="session")
def nurseries() -> Iterator[Queue[Nursery]]:
    pool: Queue[Nursery] = Queue()
    made = [Nursery() for _ in range(WORKERS)]
    for nursery in made:
        pool.put(nursery)
    yield pool
    for nursery in made:
        nursery.close()


@pytest.fixture(scope="session")
def prepared(nurseries: Queue[Nursery], tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("prepared") / "home"
    home.mkdir()
    nursery = nurseries.get()
    assert nursery.run("prepare", home) == 0
    # As after a shutdown: a write-ahead log with room in it would take writes on a full disk.
    with closing(sqlite3.connect(home / "haihe.sqlite3")) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    nurseries.put(nursery)
    return home
