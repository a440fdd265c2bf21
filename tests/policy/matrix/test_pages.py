"""Every page as every caller, against the reference authoriser."""

from __future__ import annotations

import pytest

from tests.policy.matrix.calls import call, faults
from tests.policy.matrix.rows import Row
from tests.policy.matrix.tables import PAGES
from tests.policy.matrix.world import World

pytestmark = pytest.mark.django_db
FILE = "format=csv"


@pytest.mark.parametrize("row", PAGES, ids=str)
def test_a_page_is_open_to_those_and_only_those_who_may(row: Row, world: World) -> None:
    found = faults(world, row)
    assert not found, "\n".join([str(row), *found])


@pytest.mark.parametrize("row", [row for row in PAGES if row.method == "GET"], ids=str)
def test_a_page_hands_out_its_table_to_the_same_people(row: Row, world: World) -> None:
    """As a file, by a way of its own; that of a page about one thing is a part of the page."""
    reader = next(c for c in world.callers.values() if world.denial(row, c.principal) is None)
    if call(world, row, reader, query=FILE).kind.startswith("text/csv"):
        found = faults(world, row, query=FILE, is_part=bool(row.args))
        assert not found, "\n".join([str(row), *found])
