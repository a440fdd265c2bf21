"""The parties of the programme; evidence keys and blobs go to a home of the test."""

from __future__ import annotations

from pathlib import Path

import pytest

from haihe.programme.models import Plan, Scheme
from haihe.programme.services import plans
from tests.programme.factories import PLAN_FILE, World, make_scheme, make_world


@pytest.fixture(autouse=True)
def files(home: Path) -> Path:
    """The home that keys are kept in."""
    return home


@pytest.fixture
def world(db: None) -> World:
    """Office, firm, provider and everybody who works for them."""
    return make_world()


@pytest.fixture
def scheme(world: World) -> Scheme:
    """An open scheme with five million in its pool."""
    return make_scheme(world)


@pytest.fixture
def plan(world: World) -> Plan:
    """The plan that comes with Haihe."""
    return plans.import_plan(world.officer, PLAN_FILE)[0]
