"""Use cases of people: their profile, their API tokens, and their roles for the platform."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

from allauth.account.models import EmailAddress
from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.db.models import QuerySet

from haihe.evidence.services import record
from haihe.kernel.clock import now
from haihe.kernel.errors import InvalidField, MissingRecord
from haihe.kernel.ids import parse_id
from haihe.kernel.work import unit_of_work
from haihe.parties.domain import (
    PERSON_NAME_LENGTH,
    TOKEN_NAME_LENGTH,
    check_email,
    check_line,
    check_platform_role,
    check_scopes,
    hash_token,
    new_token,
)
from haihe.parties.errors import BeyondToken, EmailTaken, UnverifiedAddress, WeakPassword
from haihe.parties.models import ApiToken, Person, PlatformGrant
from haihe.parties.services.organisations import PLATFORM
from haihe.policy.domain import Principal, Resource
from haihe.policy.services import authorize

TOKEN_DAYS_LIMIT = 366


def create_person(*, email: str, name: str, password: str | None = None) -> Person:
    """Make an account on the machine itself, for ``haihe init`` and the demonstration.

    Whoever is at the machine vouches for the address: roles may be given to it.

    Raises
    ------
    EmailTaken, WeakPassword
    """
    address = check_email(email)
    check_line(name, field="name", length=PERSON_NAME_LENGTH)
    if password is not None:
        _check_password(password, Person(email=address, name=name))
    try:
        with unit_of_work():
            person = Person.objects.create_user(address, password, name=name)
            EmailAddress.objects.create(user=person, email=address, verified=True, primary=True)
    except IntegrityError:
        raise EmailTaken(email=address) from None
    return person


def confirm_email(principal: Principal, *, email: str) -> Person:
    """Vouch that an address is that of the person who signs in with it.

    For where no mail is sent: whoever signs up with an address has not shown that it is theirs.
    """
    person = _grantee(principal, email)
    with unit_of_work():
        address, _ = EmailAddress.objects.get_or_create(
            user=person, email=person.email, defaults={"primary": True}
        )
        if not address.verified:
            address.verified = True
            address.save(update_fields=["verified"])
            _record_person("person.email_confirmed", principal, person, email=person.email)
    return person


def find_self(principal: Principal) -> Person:
    """The person who asks.

    Raises
    ------
    NotSignedIn
        If nobody is signed in.
    """
    return _self(principal, "person.update")


def update_profile(principal: Principal, *, name: str, language: str) -> Person:
    """Change one's own name and language."""
    person = _self(principal, "person.update")
    check_line(name, field="name", length=PERSON_NAME_LENGTH)
    person.name, person.language = name, _known_language(language)
    person.save(update_fields=["name", "language"])
    return person


def choose_language(principal: Principal, language: str) -> Person:
    """Keep the language that one reads, for the next sign-in."""
    person = _self(principal, "person.update")
    person.language = _known_language(language)
    person.save(update_fields=["language"])
    return person


def grant_platform_role(principal: Principal, *, email: str, role: str) -> PlatformGrant:
    """Give a person a role for the whole platform. Nobody gives themselves one.

    Raises
    ------
    UnverifiedAddress
        If nobody confirmed that the address is that person's: else whoever signs up with the
        address of another gets what is meant for them.
    """
    person, role = _grantee(principal, email), check_platform_role(role)
    if not EmailAddress.objects.filter(user=person, email=person.email, verified=True).exists():
        raise UnverifiedAddress(email=person.email)
    with unit_of_work():
        grant, granted = PlatformGrant.objects.get_or_create(person=person, role=role)
        if granted:
            _record_person("platform.role_granted", principal, person, role=role)
    return grant


def revoke_platform_role(principal: Principal, *, email: str, role: str) -> None:
    """Take a platform role from a person."""
    authorize(principal, "platform.grant_role", PLATFORM)
    person, role = _person(email), check_platform_role(role)
    with unit_of_work():
        revoked, _ = person.platform_grants.filter(role=role).delete()
        if revoked:
            _record_person("platform.role_revoked", principal, person, role=role)


def platform_grants(principal: Principal) -> QuerySet[PlatformGrant]:
    """Who has a platform role."""
    authorize(principal, "system.read", PLATFORM)
    return PlatformGrant.objects.select_related("person").order_by("role", "person__email")


@dataclass(frozen=True)
class NewToken:
    """An API token at the only moment its secret is known."""

    row: ApiToken
    secret: str


def create_token(
    principal: Principal, *, name: str, scopes: Iterable[str], days: int = 90
) -> NewToken:
    """Make an API token for oneself. A token cannot give itself more than it has.

    Raises
    ------
    BeyondToken
        If the caller holds a token without one of the scopes.
    """
    person = _self(principal, "token.manage")
    wanted = check_scopes(scopes)
    if principal.scopes is not None and not principal.scopes.issuperset(wanted):
        raise BeyondToken(scope=min(set(wanted) - principal.scopes))
    check_line(name, field="name", length=TOKEN_NAME_LENGTH)
    if not 1 <= days <= TOKEN_DAYS_LIMIT:
        raise InvalidField(field="days", value=days, rule=f"give 1 to {TOKEN_DAYS_LIMIT}")
    secret = new_token()
    row = ApiToken.objects.create(
        person=person,
        name=name,
        hint=secret[:10],
        token_hash=hash_token(secret),
        scopes=wanted,
        expires_at=now() + timedelta(days=days),
    )
    return NewToken(row, secret)


def tokens_of(principal: Principal) -> QuerySet[ApiToken]:
    """One's own tokens, the newest first."""
    person = _self(principal, "token.manage")
    return person.tokens.order_by("-pk")


def revoke_token(principal: Principal, token_id: str | UUID) -> None:
    """Make one of one's own tokens open nothing, for ever."""
    person = _self(principal, "token.manage")
    pk = parse_id(token_id, kind="token")
    if not person.tokens.filter(pk=pk, revoked_at=None).update(revoked_at=now()):
        raise MissingRecord(kind="token", id=str(pk))


def _self(principal: Principal, action: str) -> Person:
    """The person who asks, if they may do this to themselves."""
    authorize(principal, action, Resource("Person", str(principal.id or ""), creator=principal.id))
    return Person.objects.get(pk=principal.person_id)


def _record_person(kind: str, principal: Principal, person: Person, **data: str) -> None:
    record(kind, subject=f"person:{person.pk}", actor=principal, data=data)


def _check_password(password: str, person: Person) -> None:
    """Refuse on the machine what the portal refuses."""
    try:
        validate_password(password, person)
    except ValidationError as error:
        raise WeakPassword(reason=" ".join(error.messages)) from None


def _grantee(principal: Principal, email: str) -> Person:
    """The person whom the caller may give a role."""
    authorize(principal, "platform.grant_role", PLATFORM)
    person = _person(email)
    authorize(principal, "platform.grant_role", replace(PLATFORM, creator=person.pk))
    return person


def _known_language(language: str) -> str:
    known = dict(settings.LANGUAGES)
    if language not in known:
        rule = "choose from " + ", ".join(known)
        raise InvalidField(field="language", value=language[:20], rule=rule)
    return language


def _person(email: str) -> Person:
    person = Person.objects.filter(email=email.strip().lower()).first()
    if person is None:
        raise MissingRecord(kind="person", id=email)
    return person
