"""A small market: an operator with a centre, a pool and a price, and a firm with money."""

from __future__ import annotations

from pathlib import Path

import pytest

from haihe.compute.services import centres
from haihe.kernel.money import MICRO
from tests.compute.factories import GIB, give_cash
from tests.sides import Side, make_side

CPU_HOUR_MICRO = 3 * MICRO + 600_000
POOL = "north/cpu"


@pytest.fixture(autouse=True)
def files(home: Path) -> Path:
    """The home that job folders are in."""
    return home


@pytest.fixture
def operator(db: None) -> Side:
    """A verified operator with one centre and one pool of two CPUs."""
    side = make_side("operator", "centre-operator")
    centres.create_centre(
        side.manager, operator="operator", slug="north", name="北方中心", name_en="North centre"
    )
    centres.create_pool(side.manager, "north", slug="cpu", cpu_milli=2_000, memory_bytes=4 * GIB)
    centres.set_offer(side.manager, POOL, cpu_hour_micro=CPU_HOUR_MICRO)
    return side


@pytest.fixture
def firm(operator: Side) -> Side:
    """A firm with 100 CNY."""
    side = make_side("firm")
    give_cash(side.organisation, 100)
    return side


@pytest.fixture
def stranger(db: None) -> Side:
    """Another firm."""
    return make_side("stranger")
