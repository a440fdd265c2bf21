"""A holder and a consumer, each with somebody who works for it; files go to a home of the test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from haihe.parties.models import Organisation
from haihe.policy.domain import Principal
from tests.factories import make_member, make_organisation


@dataclass(frozen=True)
class Side:
    """An organisation and a principal for each role that matters."""

    organisation: Organisation
    manager: Principal
    member: Principal
    auditor: Principal


def _side(slug: str, kind: str) -> Side:
    organisation = make_organisation(slug, kind=kind)
    return Side(
        organisation,
        *(make_member(organisation, role) for role in ("manager", "member", "auditor")),
    )


@pytest.fixture(autouse=True)
def files(home: Path) -> Path:
    """The home that blobs are kept in."""
    return home


@pytest.fixture
def holder(db: None) -> Side:
    """A hospital that holds data."""
    return _side("hospital", "hospital")


@pytest.fixture
def consumer(db: None) -> Side:
    """A firm that wants to use it."""
    return _side("firm", "enterprise")


@pytest.fixture
def stranger(db: None) -> Side:
    """Another firm."""
    return _side("stranger", "enterprise")
