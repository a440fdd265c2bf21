"""What the OpenAPI document says of callers without credentials, against the authoriser."""

from __future__ import annotations

import pytest

from haihe.api.schema import PUBLIC
from tests.policy.matrix.callers import NOBODY
from tests.policy.matrix.tables import API
from tests.policy.matrix.world import World


@pytest.mark.django_db
def test_a_route_is_documented_as_public_if_anybody_may_call_it(world: World) -> None:
    nobody = world.callers[NOBODY].principal
    open_to_all = {
        row.route.removeprefix("api:") for row in API if world.denial(row, nobody) is None
    }
    # The world's evaluation is its firm's own; that of an accepted scenario anybody may read.
    assert open_to_all | {"read_evaluation"} == PUBLIC
