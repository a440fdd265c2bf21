"""API tokens: each route opens to the scopes that it needs, and to no fewer."""

from __future__ import annotations

import json

import pytest

from haihe.policy.domain import ACTIONS, READ, SCOPES
from tests.policy.matrix.calls import call
from tests.policy.matrix.rows import Row
from tests.policy.matrix.tables import API
from tests.policy.matrix.world import World

pytestmark = pytest.mark.django_db
GUARDED = [row for row in API if row.needs]
ACTING = [row for row in API if row.method != "GET"]


def needed(row: Row) -> frozenset[str]:
    """The scopes of all that a row needs."""
    return frozenset(ACTIONS.actions[name].scope for need in row.needs for name in need.actions)


def test_every_scope_opens_a_route_and_every_act_needs_more_than_reading() -> None:
    assert set().union(*map(needed, GUARDED)) == set(SCOPES)
    assert [str(row) for row in ACTING if needed(row) <= {READ}] == []


@pytest.mark.parametrize("row", GUARDED, ids=str)
def test_a_token_opens_a_route_by_its_scopes_alone(row: Row, world: World) -> None:
    """With the scopes needed; with all but one of them; and, if it acts, with reading alone."""
    able = next(
        caller
        for caller in world.callers.values()
        if caller.person and world.denial(row, caller.principal) is None
    )
    wanted = needed(row)
    opened = call(world, row, able.with_scopes(wanted))
    assert opened.status == row.then, opened.text
    too_few = {frozenset(SCOPES) - {scope} for scope in wanted}
    if wanted != {READ}:
        too_few.add(frozenset({READ}))
    for scopes in too_few:
        refused = call(world, row, able.with_scopes(scopes))
        assert refused.status == 403, f"{sorted(scopes)} opened it"
        assert json.loads(refused.text)["code"] == "policy.scope_missing"
