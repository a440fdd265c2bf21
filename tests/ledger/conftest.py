"""A clock moved by hand, accounts to move money between, and a database that threads share."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from haihe.kernel.clock import use_clock
from haihe.ledger.models import Account, Expiry, Transfer
from tests.ledger.factories import open_cash

triggers = importlib.import_module("haihe.ledger.migrations.0002_triggers")


class Watch:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.at = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def pass_(self, *, seconds: float) -> datetime:
        """Move on, and return the time then."""
        self.at += timedelta(seconds=seconds)
        return self.at


@pytest.fixture
def watch() -> Iterator[Watch]:
    """The present, for services called in the test's own thread."""
    clock = Watch()
    with use_clock(clock):
        yield clock


@pytest.fixture
def payer(db: None, watch: Watch) -> Account:
    """An account with 1,000 micro-units."""
    return open_cash("Payer", funds_micro=1_000)


@pytest.fixture
def payee(db: None, watch: Watch) -> Account:
    """An empty account."""
    return open_cash("Payee")


@pytest.fixture
def committed(transactional_db: None) -> Iterator[None]:
    """A database whose transactions commit, so that threads see each other's.

    Afterwards the ledger is emptied past its triggers, because Django's flush cannot.
    """
    yield
    run(triggers.DROP)
    with connection.cursor() as cursor:
        for table in (Expiry, Transfer, Account):
            cursor.execute(f"DELETE FROM {table._meta.db_table}")
    run(triggers.CREATE)


def run(statements: dict[str, list[str]]) -> None:
    """Create or drop the triggers."""
    with connection.cursor() as cursor:
        for statement in statements[connection.vendor]:
            cursor.execute(statement)
