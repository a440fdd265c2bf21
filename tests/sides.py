"""An organisation with somebody in each role, for tests of what passes between organisations."""

from __future__ import annotations

from dataclasses import dataclass

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


def make_side(slug: str, kind: str = "enterprise") -> Side:
    """A verified organisation and its people."""
    organisation = make_organisation(slug, kind=kind)
    return Side(
        organisation,
        *(make_member(organisation, role) for role in ("manager", "member", "auditor")),
    )
