"""A database whose transactions commit, and a hand that lifts its triggers."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.db import connection

from haihe.evidence.models import EvidenceKey, EvidenceLog

triggers = importlib.import_module("haihe.evidence.migrations.0002_triggers")
Execute = Callable[[str], None]


@contextmanager
def lifted_triggers() -> Iterator[Execute]:
    """What somebody does who has the database and means harm: run SQL past the triggers."""
    with connection.schema_editor() as editor:
        triggers.drop(None, editor)
    try:
        with connection.cursor() as cursor:
            yield cursor.execute
    finally:
        with connection.schema_editor() as editor:
            triggers.create(None, editor)


@pytest.fixture
def committed(home: Path, transactional_db: None) -> Iterator[Path]:
    """A database whose transactions commit, so that the witness sees them; its home.

    Afterwards the log is emptied past its triggers, because Django's flush cannot on SQLite.
    """
    yield home
    with lifted_triggers() as execute:
        for table in triggers.TABLES[1:] + triggers.TABLES[:1]:
            execute(f"DELETE FROM {table}")
    EvidenceLog.objects.all().delete()
    EvidenceKey.objects.all().delete()
