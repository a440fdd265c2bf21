"""Whoever keeps the machine running reads no organisation's data."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tests.policy.matrix.calls import call
from tests.policy.matrix.rows import Row
from tests.policy.matrix.stage import CELL, LOG, OUTPUT, REFERENCE
from tests.policy.matrix.tables import ROWS
from tests.policy.matrix.world import World

pytestmark = pytest.mark.django_db
READS = [row for row in ROWS if row.method == "GET"]
# What is closed to them, and what they would read if it were not.
CLOSED = {
    "job.read_log": {LOG, OUTPUT},
    "dataset.download": {CELL},
    "account.read": {REFERENCE},
}
SECRETS = set().union(*CLOSED.values())


def read_by(world: World, name: str, rows: Iterable[Row]) -> set[str]:
    """The secrets that somebody finds in the answers of these routes, and in their files."""
    answers = (
        call(world, row, world.callers[name], query=query).text
        for row in rows
        for query in ("", *(() if row.is_api else ("format=csv",)))
    )
    return {secret for text in answers for secret in SECRETS if secret in text}


def test_no_route_tells_an_operator_what_jobs_print_data_hold_or_books_say(world: World) -> None:
    assert read_by(world, "operator", READS) == set()
    showing = [row for row in READS if row.shows]
    assert read_by(world, "own-manager", showing) == SECRETS, "somebody must be able to read them"


@pytest.mark.parametrize("action", CLOSED)
def test_every_route_to_an_organisations_data_is_closed_to_operators(
    action: str, world: World
) -> None:
    rows = [row for row in READS for need in row.needs if need.actions == (action,)]
    assert len(rows) >= 2, "the API and a page"
    for row in rows:
        if not any(need.thing == "list" for need in row.needs):
            assert call(world, row, world.callers["operator"]).status in (403, 404), row
