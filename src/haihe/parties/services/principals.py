"""Who is asking: the principal of a person, of an e-mail address, of an API token."""

from __future__ import annotations

from datetime import timedelta

from haihe.kernel.clock import now
from haihe.kernel.errors import MissingRecord
from haihe.parties.domain import hash_token
from haihe.parties.errors import BadToken
from haihe.parties.models import ApiToken, Person
from haihe.policy.domain import PlatformRole, Principal, Role

LAST_USE_GRAIN = timedelta(minutes=1)


def principal_of(person: Person, *, scopes: frozenset[str] | None = None) -> Principal:
    """Everything the policies need to know of ``person``, read afresh."""
    memberships = list(person.memberships.values_list("organisation_id", "role", "duties"))
    grants = person.platform_grants.values_list("role", flat=True)
    return Principal(
        id=person.pk,
        name=str(person),
        memberships=frozenset((org, Role(role)) for org, role, _duties in memberships),
        duties=frozenset((org, duty) for org, _role, duties in memberships for duty in duties),
        platform_roles=frozenset(PlatformRole(role) for role in grants),
        scopes=scopes,
    )


def principal_of_email(email: str) -> Principal:
    """The principal of whoever signs in with ``email``: for the command line on the machine."""
    person = Person.objects.filter(email=email.strip().lower(), is_active=True).first()
    if person is None:
        raise MissingRecord(kind="person", id=email)
    return principal_of(person)


def principal_of_token(token: str) -> Principal:
    """The principal that an API token stands for.

    Raises
    ------
    BadToken
        If the token is unknown, revoked or expired, or its person was closed.
    """
    row = ApiToken.objects.select_related("person").filter(token_hash=hash_token(token)).first()
    at = now()
    if row is None or not row.person.is_active:
        raise BadToken(reason="unknown")
    if not row.usable(at):
        raise BadToken(reason="revoked" if row.revoked_at else "expired")
    if row.last_used_at is None or at - row.last_used_at >= LAST_USE_GRAIN:
        ApiToken.objects.filter(pk=row.pk).update(last_used_at=at)
    return principal_of(row.person, scopes=frozenset(row.scopes))
