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
    """As somebody who may, with each scope alone, with those needed, and with one of them less."""
    able = next(
        caller
        for caller in world.callers.values()
        if caller.person and world.denial(row, caller.principal) is None
    )
    wanted = needed(row)
    sets = {frozenset({scope}) for scope in SCOPES} | {wanted}
    sets |= {frozenset(SCOPES) - {scope} for scope in wanted}
    for scopes in sets:
        answer = call(world, row, able.with_scopes(scopes))
        if wanted <= scopes:
            assert answer.status == row.then, f"{sorted(scopes)}: {answer.text}"
        else:
            assert answer.status == 403, f"{sorted(scopes)} opened it"
            assert json.loads(answer.text)["code"] == "policy.scope_missing"
