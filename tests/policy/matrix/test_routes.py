"""Every route is in the tables: one that nobody thought about fails here."""

from __future__ import annotations

import pytest

from tests.policy.matrix.rows import Row
from tests.policy.matrix.tables import OPEN, ROWS, SIGNED
from tests.policy.matrix.urlconf import read_url_conf

TABLES = "tests/policy/matrix/tables"


@pytest.mark.django_db
def test_every_route_is_known_and_every_row_is_a_route() -> None:
    conf = read_url_conf()
    told = {conf.route(row.method, row.route) for row in [*ROWS, *SIGNED]}
    opened = {conf.route(*route) for route in OPEN}
    unknown = conf.served - told - opened
    assert not unknown, f"say in {TABLES} what these routes need: {sorted(unknown)}"
    gone = (told | opened) - conf.served
    assert not gone, f"these rows of {TABLES} are no routes: {sorted(gone)}"
    assert not told & opened, "a route is open, or it needs something"


def test_no_row_is_there_twice() -> None:
    def way(row: Row) -> tuple[object, ...]:
        return (str(row), str(row.args), str(row.body), row.needs)

    assert len({way(row) for row in ROWS}) == len(ROWS)
