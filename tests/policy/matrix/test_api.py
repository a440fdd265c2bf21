"""Every route of the API as every caller, against the reference authoriser."""

from __future__ import annotations

import pytest

from tests.policy.matrix.calls import faults
from tests.policy.matrix.rows import Row
from tests.policy.matrix.tables import API
from tests.policy.matrix.world import World


@pytest.mark.django_db
@pytest.mark.parametrize("row", API, ids=str)
def test_a_route_is_open_to_those_and_only_those_who_may(row: Row, world: World) -> None:
    found = faults(world, row)
    assert not found, "\n".join([str(row), *found])
