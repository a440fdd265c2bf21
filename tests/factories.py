"""Short ways to make what tests begin with, through the services where these decide something."""

from __future__ import annotations

from itertools import count

from haihe.kernel.clock import now
from haihe.parties import services
from haihe.parties.domain import credit_code_check_digit
from haihe.parties.models import Membership, Organisation, Person, PlatformGrant
from haihe.policy.domain import SCOPES, Principal

_numbers = count(1)


def make_credit_code() -> str:
    """A well-formed code that no other test object has."""
    body = f"91120116MA{next(_numbers):07d}"
    return body + credit_code_check_digit(body)


def make_person(email: str = "", *, roles: tuple[str, ...] = ()) -> Person:
    """Somebody, with platform roles if given."""
    email = email or f"person{next(_numbers)}@example.test"
    person = services.create_person(email=email, name=email.partition("@")[0])
    for role in roles:
        PlatformGrant.objects.create(person=person, role=role)
    return person


def make_organisation(
    slug: str = "", *, kind: str = "enterprise", verified: bool = True, **members: Person
) -> Organisation:
    """An organisation with members given by role: ``owner=ann, auditor=bob``."""
    slug = slug or f"org-{next(_numbers)}"
    organisation = Organisation.objects.create(
        slug=slug,
        name=slug.title(),
        kind=kind,
        credit_code=make_credit_code(),
        verified_at=now() if verified else None,
    )
    for role, person in members.items():
        Membership.objects.create(organisation=organisation, person=person, role=role)
    return organisation


def make_member(organisation: Organisation, role: str = "manager") -> Principal:
    """A new person with a role in the organisation, as a principal."""
    person = make_person()
    Membership.objects.create(organisation=organisation, person=person, role=role)
    return services.principal_of(person)


def make_token(person: Person, *scopes: str) -> str:
    """The secret of a new token with ``scopes``, or with all of them."""
    principal = services.principal_of(person)
    return services.create_token(principal, name="test", scopes=scopes or SCOPES).secret
