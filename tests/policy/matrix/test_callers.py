"""Every route as every caller, against the reference authoriser."""

from __future__ import annotations

import pytest

from tests.policy.matrix.calls import call, faults
from tests.policy.matrix.rows import Row
from tests.policy.matrix.tables import API, PAGES
from tests.policy.matrix.world import World

pytestmark = pytest.mark.django_db
# Rows of a dataset are shown on its page only; its file is the list of columns.
TABLES = [row for row in PAGES if row.method == "GET" and row.query != "preview=1"]


@pytest.mark.parametrize("row", API, ids=str)
def test_the_api_is_open_to_those_and_only_those_who_may(row: Row, world: World) -> None:
    found = faults(world, row)
    assert not found, "\n".join([str(row), *found])


@pytest.mark.parametrize("row", PAGES, ids=str)
def test_a_page_is_open_to_those_and_only_those_who_may(row: Row, world: World) -> None:
    found = faults(world, row)
    assert not found, "\n".join([str(row), *found])


@pytest.mark.parametrize("row", TABLES, ids=str)
def test_the_file_of_a_page_holds_what_the_page_may_show(row: Row, world: World) -> None:
    """A page with a table hands it out as a file as well, by a way of its own."""
    query = "format=csv"
    reader = next(c for c in world.callers.values() if world.denial(row, c.principal) is None)
    if call(world, row, reader, query=query).kind.startswith("text/csv"):
        found = faults(world, row, query=query)
        assert not found, "\n".join([str(row), *found])
