"""Ann, her firm, and a clock moved by hand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from haihe.kernel.clock import use_clock
from haihe.parties.models import Organisation, Person
from tests.factories import make_organisation, make_person


class Watch:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.at = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
def watch() -> Iterator[Watch]:
    """The present, for services called in the test's own thread."""
    clock = Watch()
    with use_clock(clock):
        yield clock


@pytest.fixture
def ann(db: None) -> Person:
    """Somebody without platform roles."""
    return make_person("ann@example.test")


@pytest.fixture
def firm(ann: Person) -> Organisation:
    """Ann's."""
    return make_organisation("firm", owner=ann)
