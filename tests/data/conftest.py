"""A holder and a consumer, each with somebody who works for it; files go to a home of the test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sides import Side, make_side


@pytest.fixture(autouse=True)
def files(home: Path) -> Path:
    """The home that blobs are kept in."""
    return home


@pytest.fixture
def holder(db: None) -> Side:
    """A hospital that holds data."""
    return make_side("hospital", "hospital")


@pytest.fixture
def consumer(db: None) -> Side:
    """A firm that wants to use it."""
    return make_side("firm")


@pytest.fixture
def stranger(db: None) -> Side:
    """Another firm."""
    return make_side("stranger")
