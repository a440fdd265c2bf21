"""What the OpenAPI document says of callers without credentials, against the authoriser."""

from __future__ import annotations

import pytest

from haihe.api.schema import PUBLIC
from tests.policy.matrix.callers import NOBODY
from tests.policy.matrix.tables import API
from tests.policy.matrix.world import World

# Open to anybody where the thing is public: in the matrix's world, each is somebody's own.
OF_WHAT_IS_PUBLISHED = {
    "list_dataset_versions",
    "read_dataset",
    "read_dataset_version",
    "read_evaluation",
    "read_scenario",
}


@pytest.mark.django_db
def test_a_route_is_documented_as_public_if_anybody_may_call_it(world: World) -> None:
    nobody = world.callers[NOBODY].principal
    open_to_all = {
        row.route.removeprefix("api:") for row in API if world.denial(row, nobody) is None
    }
    assert open_to_all | OF_WHAT_IS_PUBLISHED == PUBLIC
