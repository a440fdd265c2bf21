"""Use cases of organisations, people, invitations and tokens."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.db import IntegrityError
from django.db.models import Count, QuerySet

from haihe.evidence.services import record
from haihe.kernel.clock import now
from haihe.kernel.errors import InvalidField, MissingRecord
from haihe.kernel.ids import check_slug, parse_id
from haihe.kernel.settings import load_settings
from haihe.kernel.work import unit_of_work
from haihe.parties.domain import (
    check_credit_code,
    check_scopes,
    hash_token,
    new_token,
    related_through,
)
from haihe.parties.errors import AlreadyRegistered, BadToken, DeadInvitation, EmailTaken, LastOwner
from haihe.parties.models import (
    ApiToken,
    Invitation,
    Membership,
    Organisation,
    Ownership,
    Person,
    PlatformGrant,
)
from haihe.policy.domain import PlatformRole, Principal, Resource, Role
from haihe.policy.services import authorize

INVITATION_LIFE = timedelta(days=14)
TOKEN_DAYS_LIMIT = 366
LAST_USE_GRAIN = timedelta(minutes=1)
PLATFORM = Resource("Platform", "platform")


# --- who is asking -------------------------------------------------------------------------------


def principal_of(person: Person, *, scopes: frozenset[str] | None = None) -> Principal:
    """Everything the policies need to know of ``person``, read afresh."""
    memberships = person.memberships.values_list("organisation_id", "role")
    grants = person.platform_grants.values_list("role", flat=True)
    return Principal(
        id=person.pk,
        name=str(person),
        memberships=frozenset((org, Role(role)) for org, role in memberships),
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


# --- organisations -------------------------------------------------------------------------------


def create_organisation(
    principal: Principal,
    *,
    slug: str,
    name: str,
    kind: str,
    credit_code: str,
    name_en: str = "",
) -> Organisation:
    """Register an organisation; whoever registers it is its first owner.

    Raises
    ------
    BadCreditCode
        If the credit code's check digit, length or characters are wrong.
    AlreadyRegistered
        If the slug or the credit code is taken.
    """
    authorize(principal, "organisation.create", Resource("Organisation"))
    check_slug(slug, field="slug")
    code = check_credit_code(credit_code)
    kind = _check_kind(kind)
    _check_name(name)
    for field, value in (("slug", slug), ("credit_code", code)):
        if Organisation.objects.filter(**{field: value}).exists():
            raise AlreadyRegistered(field=field, value=value)
    with unit_of_work():
        organisation = _insert_organisation(
            slug=slug, name=name, name_en=name_en, kind=kind, credit_code=code
        )
        if principal.id:
            Membership.objects.create(
                organisation=organisation, person_id=principal.id, role=Role.OWNER
            )
        record(
            "organisation.registered",
            subject=f"organisation:{organisation.pk}",
            actor=principal,
            data={"slug": slug, "name": name, "kind": kind, "credit_code": code},
            parties=[organisation.pk],
        )
    return organisation


def update_organisation(
    principal: Principal, slug: str, *, name: str, name_en: str = ""
) -> Organisation:
    """Change the names on an organisation's card. Slug and credit code never change."""
    organisation = find_organisation(principal, slug)
    authorize(principal, "organisation.update", organisation.resource())
    _check_name(name)
    with unit_of_work():
        organisation.name, organisation.name_en = name, name_en
        organisation.save(update_fields=["name", "name_en"])
        record(
            "organisation.updated",
            subject=f"organisation:{organisation.pk}",
            actor=principal,
            data={"name": name, "name_en": name_en},
            parties=[organisation.pk],
        )
    return organisation


def verify_organisation(principal: Principal, slug: str) -> Organisation:
    """Confirm, as the operator, that the organisation is the one its credit code names."""
    organisation = find_organisation(principal, slug)
    authorize(principal, "organisation.verify", organisation.resource())
    with unit_of_work():
        verified = Organisation.objects.filter(pk=organisation.pk, verified_at=None).update(
            verified_at=now()
        )
        if verified:
            record(
                "organisation.verified",
                subject=f"organisation:{organisation.pk}",
                actor=principal,
                data={"credit_code": organisation.credit_code},
                parties=[organisation.pk],
            )
    organisation.refresh_from_db()
    return organisation


def list_organisations(
    principal: Principal, *, text: str = "", kind: str = ""
) -> QuerySet[Organisation]:
    """The directory, optionally narrowed to a text and a kind."""
    authorize(principal, "organisation.list", PLATFORM)
    rows = Organisation.objects.matching(text) if text else Organisation.objects.all()
    return rows.filter(kind=_check_kind(kind)) if kind else rows


def find_organisation(principal: Principal, slug: str) -> Organisation:
    """An organisation's public card, by slug."""
    organisation = Organisation.objects.filter(slug=slug).first()
    if organisation is None:
        raise MissingRecord(kind="organisation", id=slug)
    authorize(principal, "organisation.read", organisation.resource())
    return organisation


def organisations_of(principal: Principal, *roles: Role) -> list[Organisation]:
    """The organisations in which the caller has one of ``roles`` (any, if none is given)."""
    return list(
        Organisation.objects.filter(pk__in=principal.organisations(*roles)).order_by("slug")
    )


def record_ownership(
    principal: Principal, *, owner: str, owned: str, percent: int, source: str
) -> Ownership:
    """Note that one organisation holds a share of another, and where that is read from."""
    holder, held = find_organisation(principal, owner), find_organisation(principal, owned)
    authorize(principal, "organisation.verify", held.resource())
    if not 1 <= percent <= 100 or holder.pk == held.pk:
        raise InvalidField(field="percent", value=percent, rule="give 1 to 100, of another one")
    with unit_of_work():
        row, _ = Ownership.objects.update_or_create(
            owner=holder, owned=held, defaults={"percent": percent, "source": source}
        )
        record(
            "organisation.ownership_recorded",
            subject=f"organisation:{held.pk}",
            actor=principal,
            data={"owner": owner, "owned": owned, "percent": percent, "source": source},
            parties=[holder.pk, held.pk],
        )
    return row


def relation_between(a: UUID, b: UUID, *, at_least_percent: int) -> list[str] | None:
    """The names along the chain that makes two organisations related; None if they are not."""
    chain = related_through(a, b, Ownership.objects.edges(), at_least_percent=at_least_percent)
    if chain is None:
        return None
    names = dict(Organisation.objects.filter(pk__in=chain).values_list("pk", "name"))
    return [names[organisation] for organisation in chain]


# --- members and invitations ---------------------------------------------------------------------


def members_of(principal: Principal, slug: str) -> QuerySet[Membership]:
    """Who belongs to an organisation."""
    organisation = find_organisation(principal, slug)
    authorize(principal, "organisation.read_members", organisation.resource())
    return organisation.memberships.select_related("person").order_by("role", "created_at")


def change_role(principal: Principal, slug: str, person_id: str | UUID, role: str) -> Membership:
    """Give a member another role; the last owner stays one."""
    organisation = find_organisation(principal, slug)
    authorize(principal, "organisation.manage_members", organisation.resource())
    role = _check_role(role)
    with unit_of_work():
        membership = _membership(organisation, person_id)
        if role != Role.OWNER:
            _keep_an_owner(membership)
        membership.role = role
        membership.save(update_fields=["role"])
        _record_membership("membership.changed", principal, membership)
    return membership


def remove_member(principal: Principal, slug: str, person_id: str | UUID) -> None:
    """Take a member out of an organisation; the last owner stays."""
    organisation = find_organisation(principal, slug)
    authorize(principal, "organisation.manage_members", organisation.resource())
    with unit_of_work():
        membership = _membership(organisation, person_id)
        _keep_an_owner(membership)
        _record_membership("membership.removed", principal, membership)
        membership.delete()


def invite(
    principal: Principal, slug: str, *, role: str, email: str = ""
) -> tuple[Invitation, str]:
    """Make an invitation; returns it with the secret of its link, which is shown this once."""
    organisation = find_organisation(principal, slug)
    wanted = _check_role(role)
    action = "organisation.manage_members" if wanted == Role.OWNER else "organisation.invite"
    authorize(principal, action, organisation.resource())
    secret = new_token()
    with unit_of_work():
        invitation = Invitation.objects.create(
            organisation=organisation,
            role=wanted,
            email=email.strip().lower(),
            token_hash=hash_token(secret),
            invited_by_id=principal.person_id,
            expires_at=now() + INVITATION_LIFE,
        )
    return invitation, secret


def invitation_link(secret: str) -> str:
    """The link that a secret stands for."""
    return f"{load_settings().public_url.rstrip('/')}/invitations/{secret}"


def open_invitations(principal: Principal, slug: str) -> QuerySet[Invitation]:
    """Invitations of an organisation that may still be accepted."""
    organisation = find_organisation(principal, slug)
    authorize(principal, "organisation.invite", organisation.resource())
    return organisation.invitations.filter(
        accepted_at=None, revoked_at=None, expires_at__gt=now()
    ).order_by("-pk")


def revoke_invitation(principal: Principal, slug: str, invitation_id: str | UUID) -> None:
    """Make an invitation's link lead nowhere."""
    organisation = find_organisation(principal, slug)
    authorize(principal, "organisation.invite", organisation.resource())
    pk = parse_id(invitation_id, kind="invitation")
    revoked = organisation.invitations.filter(pk=pk, accepted_at=None, revoked_at=None).update(
        revoked_at=now()
    )
    if not revoked:
        raise MissingRecord(kind="invitation", id=str(pk))


def look_at_invitation(secret: str) -> Invitation:
    """What an invitation offers, for whoever holds its link."""
    invitation = (
        Invitation.objects.select_related("organisation")
        .filter(token_hash=hash_token(secret))
        .first()
    )
    if invitation is None:
        raise DeadInvitation(reason="unknown")
    if invitation.revoked_at:
        raise DeadInvitation(reason="withdrawn")
    if invitation.accepted_at:
        raise DeadInvitation(reason="used")
    if invitation.expires_at <= now():
        raise DeadInvitation(reason="expired")
    return invitation


def accept_invitation(principal: Principal, secret: str) -> Membership:
    """Become a member by an invitation's link. Whoever is one already keeps the role they have."""
    authorize(principal, "invitation.accept", PLATFORM)
    with unit_of_work():
        invitation = look_at_invitation(secret)
        taken = Invitation.objects.filter(pk=invitation.pk, accepted_at=None).update(
            accepted_at=now(), accepted_by_id=principal.person_id
        )
        if not taken:
            raise DeadInvitation(reason="used")
        membership, _ = Membership.objects.get_or_create(
            organisation=invitation.organisation,
            person_id=principal.person_id,
            defaults={"role": invitation.role},
        )
        _record_membership("membership.joined", principal, membership)
    return membership


# --- people, platform roles, tokens --------------------------------------------------------------


def create_person(*, email: str, name: str, password: str | None = None) -> Person:
    """Make an account on the machine itself, for ``haihe init`` and the demonstration."""
    try:
        with unit_of_work():
            return Person.objects.create_user(email, password, name=name)
    except IntegrityError:
        raise EmailTaken(email=email) from None


def update_profile(principal: Principal, *, name: str, language: str) -> Person:
    """Change one's own name and language."""
    person = Person.objects.get(pk=principal.person_id)
    authorize(principal, "person.update", person.resource())
    _check_name(name)
    person.name, person.language = name, language
    person.save(update_fields=["name", "language"])
    return person


def grant_platform_role(principal: Principal, *, email: str, role: str) -> PlatformGrant:
    """Give a person a role for the whole platform."""
    authorize(principal, "platform.grant_role", PLATFORM)
    person = _person(email)
    with unit_of_work():
        grant, _ = PlatformGrant.objects.get_or_create(
            person=person, role=_check_platform_role(role)
        )
        _record_platform_role("platform.role_granted", principal, person, role)
    return grant


def revoke_platform_role(principal: Principal, *, email: str, role: str) -> None:
    """Take a platform role from a person."""
    authorize(principal, "platform.grant_role", PLATFORM)
    person = _person(email)
    with unit_of_work():
        person.platform_grants.filter(role=_check_platform_role(role)).delete()
        _record_platform_role("platform.role_revoked", principal, person, role)


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
    """Make an API token for oneself. A token cannot give itself more than it has."""
    person = Person.objects.get(pk=principal.person_id)
    authorize(principal, "token.manage", person.resource())
    _check_name(name)
    if not 1 <= days <= TOKEN_DAYS_LIMIT:
        raise InvalidField(field="days", value=days, rule=f"give 1 to {TOKEN_DAYS_LIMIT}")
    secret = new_token()
    row = ApiToken.objects.create(
        person=person,
        name=name,
        hint=secret[:10],
        token_hash=hash_token(secret),
        scopes=check_scopes(scopes),
        expires_at=now() + timedelta(days=days),
    )
    return NewToken(row, secret)


def tokens_of(principal: Principal) -> QuerySet[ApiToken]:
    """One's own tokens, the newest first."""
    person = Person.objects.get(pk=principal.person_id)
    authorize(principal, "token.manage", person.resource())
    return person.tokens.order_by("-pk")


def revoke_token(principal: Principal, token_id: str | UUID) -> None:
    """Make one of one's own tokens open nothing, for ever."""
    person = Person.objects.get(pk=principal.person_id)
    authorize(principal, "token.manage", person.resource())
    pk = parse_id(token_id, kind="token")
    if not person.tokens.filter(pk=pk, revoked_at=None).update(revoked_at=now()):
        raise MissingRecord(kind="token", id=str(pk))


# --- helpers -------------------------------------------------------------------------------------


def _insert_organisation(**fields: str) -> Organisation:
    try:
        return Organisation.objects.create(**fields)
    except IntegrityError:
        raise AlreadyRegistered(field="credit_code", value=fields["credit_code"]) from None


def _membership(organisation: Organisation, person_id: str | UUID) -> Membership:
    pk = parse_id(person_id, kind="member")
    found = organisation.memberships.select_related("person").filter(person_id=pk).first()
    if found is None:
        raise MissingRecord(kind="member", id=str(pk))
    return found


def _keep_an_owner(membership: Membership) -> None:
    """Refuse what would leave an organisation without an owner."""
    if membership.role != Role.OWNER:
        return
    Organisation.objects.select_for_update().get(pk=membership.organisation_id)
    owners = membership.organisation.memberships.filter(role=Role.OWNER)
    if owners.aggregate(count=Count("pk"))["count"] == 1:
        raise LastOwner(person=str(membership.person), organisation=membership.organisation.name)


def _record_membership(kind: str, principal: Principal, membership: Membership) -> None:
    record(
        kind,
        subject=f"organisation:{membership.organisation_id}",
        actor=principal,
        data={"person": str(membership.person_id), "role": str(membership.role)},
        parties=[membership.organisation_id],
    )


def _record_platform_role(kind: str, principal: Principal, person: Person, role: str) -> None:
    record(kind, subject=f"person:{person.pk}", actor=principal, data={"role": role})


def _person(email: str) -> Person:
    person = Person.objects.filter(email=email.strip().lower()).first()
    if person is None:
        raise MissingRecord(kind="person", id=email)
    return person


def _check_kind(kind: str) -> str:
    if kind not in Organisation.Kind.values:
        raise InvalidField(
            field="kind", value=kind, rule="choose from " + ", ".join(Organisation.Kind.values)
        )
    return kind


def _check_role(role: str) -> str:
    if role not in list(Role):
        raise InvalidField(field="role", value=role, rule="choose from " + ", ".join(Role))
    return role


def _check_platform_role(role: str) -> str:
    if role not in list(PlatformRole):
        raise InvalidField(field="role", value=role, rule="choose from " + ", ".join(PlatformRole))
    return role


def _check_name(name: str) -> None:
    if not name.strip() or len(name) > 200:
        raise InvalidField(field="name", value=name[:40], rule="give 1 to 200 characters")
