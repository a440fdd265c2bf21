"""The triggers that keep books and evidence as they were written, and a hand that lifts them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import connection

EVIDENCE = importlib.import_module("haihe.evidence.migrations.0002_triggers")
LEDGER = importlib.import_module("haihe.ledger.migrations.0002_triggers")
# In the order in which rows can be deleted.
PROTECTED = (
    "evidence_evidenceparty",
    "evidence_evidencenode",
    "evidence_evidencecheckpoint",
    "evidence_evidenceentry",
    "evidence_evidencelog",
    "evidence_evidencekey",
    "ledger_expiry",
    "ledger_transfer",
    "ledger_account",
)
Execute = Callable[[str], None]


@contextmanager
def lifted_triggers() -> Iterator[Execute]:
    """What somebody does who has the database and means harm: run SQL past the triggers."""
    for migration in (EVIDENCE, LEDGER):
        with connection.schema_editor() as editor:
            migration.drop(None, editor)
    try:
        with connection.cursor() as cursor:
            yield cursor.execute
    finally:
        for migration in (EVIDENCE, LEDGER):
            with connection.schema_editor() as editor:
                migration.create(None, editor)
