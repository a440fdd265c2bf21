"""A clock moved by hand, and accounts to move money between."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from haihe.kernel.clock import use_clock
from haihe.ledger.models import Account
from tests.ledger.factories import open_cash


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
