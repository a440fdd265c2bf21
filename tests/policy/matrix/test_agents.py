"""The routes of agents are shut to everybody who brings a session or a token."""

from __future__ import annotations

from http import HTTPStatus

import pytest

from tests.policy.matrix.calls import call
from tests.policy.matrix.rows import Row
from tests.policy.matrix.tables import SIGNED
from tests.policy.matrix.world import World


@pytest.mark.django_db
@pytest.mark.parametrize("row", SIGNED, ids=str)
def test_no_role_opens_the_route_of_an_agent(row: Row, world: World) -> None:
    for caller in world.callers.values():
        answer = call(world, row, caller)
        assert answer.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN), caller.name
        assert answer.log_size == world.log_size, caller.name
