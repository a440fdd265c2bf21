"""Callers, and what the log says, in few words."""

from __future__ import annotations

from haihe.evidence.models import EvidenceEntry
from haihe.parties import services
from haihe.parties.models import Person
from haihe.policy.domain import Principal, system_principal
from tests.factories import make_person

CONSOLE = system_principal("console")


def of(person: Person) -> Principal:
    """The person as a caller, with what they may do now."""
    return services.principal_of(person)


def platform(*roles: str) -> Principal:
    """Somebody new with roles for the platform."""
    return of(make_person(roles=roles))


def logged(kind: str) -> list[EvidenceEntry]:
    """The entries of a kind, in order."""
    return list(EvidenceEntry.objects.filter(kind=kind).order_by("index"))
