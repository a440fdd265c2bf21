"""Use cases of members and of the invitations by which they come."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from django.db.models import Count, QuerySet

from haihe.evidence.services import record
from haihe.kernel.clock import now
from haihe.kernel.errors import MissingRecord
from haihe.kernel.ids import parse_id
from haihe.kernel.settings import load_settings
from haihe.kernel.work import unit_of_work
from haihe.parties.domain import (
    check_duties,
    check_email,
    check_role,
    hash_token,
    new_token,
)
from haihe.parties.errors import DeadInvitation, LastOwner
from haihe.parties.models import Invitation, Membership, Organisation
from haihe.parties.services.organisations import PLATFORM, find_organisation
from haihe.parties.services.people import find_self
from haihe.policy.domain import Principal, Role
from haihe.policy.services import authorize

INVITATION_LIFE = timedelta(days=14)


def members_of(principal: Principal, slug: str) -> QuerySet[Membership]:
    """Who belongs to an organisation."""
    organisation = find_organisation(principal, slug)
    authorize(principal, "organisation.read_members", organisation.resource())
    return organisation.memberships.select_related("person").order_by("role", "created_at")


def find_member(principal: Principal, slug: str, person_id: str | UUID) -> Membership:
    """One member of an organisation."""
    organisation = find_organisation(principal, slug)
    authorize(principal, "organisation.read_members", organisation.resource())
    return _membership(organisation, person_id)


def memberships_of(principal: Principal) -> QuerySet[Membership]:
    """The caller's own memberships, with their organisations."""
    person = find_self(principal)
    return person.memberships.select_related("organisation").order_by("-pk")


def change_member(
    principal: Principal,
    slug: str,
    person_id: str | UUID,
    *,
    role: str,
    duties: Iterable[str] | None = None,
) -> Membership:
    """Give a member another role, and other duties if these are given: both or neither.

    The last owner stays one.
    """
    organisation = find_organisation(principal, slug)
    authorize(principal, "organisation.manage_members", organisation.resource())
    role, wanted = check_role(role), None if duties is None else check_duties(duties)
    with unit_of_work():
        membership = _membership(organisation, person_id)
        if membership.role != role:
            _keep_an_owner(membership)
            membership.role = role
            membership.save(update_fields=["role"])
            _record_membership("membership.changed", principal, membership)
        if wanted is not None:
            _set_duties(principal, membership, wanted)
    return membership


def entrust(
    principal: Principal, slug: str, person_id: str | UUID, duties: Iterable[str]
) -> Membership:
    """Set what a member is entrusted with in packs; these duties and no others."""
    organisation = find_organisation(principal, slug)
    authorize(principal, "organisation.manage_members", organisation.resource())
    wanted = check_duties(duties)
    with unit_of_work():
        membership = _membership(organisation, person_id)
        _set_duties(principal, membership, wanted)
    return membership


def remove_member(principal: Principal, slug: str, person_id: str | UUID) -> None:
    """Take a member out of an organisation; the last owner stays.

    Invitations that they made lead nowhere from now on, so that they do not come back by one.
    """
    organisation = find_organisation(principal, slug)
    authorize(principal, "organisation.manage_members", organisation.resource())
    with unit_of_work():
        membership = _membership(organisation, person_id)
        _keep_an_owner(membership)
        _record_membership("membership.removed", principal, membership)
        membership.delete()
        made = organisation.invitations.filter(invited_by=membership.person_id)
        for invitation in made.filter(accepted_at=None, revoked_at=None):
            _withdraw(principal, invitation)


def invite(
    principal: Principal, slug: str, *, role: str, email: str = ""
) -> tuple[Invitation, str]:
    """Make an invitation; returns it with the secret of its link, which is shown this once."""
    organisation = find_organisation(principal, slug)
    wanted = check_role(role)
    action = "organisation.manage_members" if wanted == Role.OWNER else "organisation.invite"
    authorize(principal, action, organisation.resource())
    address = check_email(email) if email else ""
    secret = new_token()
    with unit_of_work():
        invitation = Invitation.objects.create(
            organisation=organisation,
            role=wanted,
            email=address,
            token_hash=hash_token(secret),
            invited_by_id=principal.person_id,
            expires_at=now() + INVITATION_LIFE,
        )
        _record_invitation("invitation.made", principal, invitation)
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
    with unit_of_work():
        invitation = organisation.invitations.filter(pk=pk, accepted_at=None).first()
        if invitation is None or not _withdraw(principal, invitation):
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


def is_invited(invitation_id: str) -> bool:
    """Whether an invitation whose link somebody opened may still be accepted."""
    rows = Invitation.objects.filter(pk=parse_id(invitation_id, kind="invitation"))
    return rows.filter(accepted_at=None, revoked_at=None, expires_at__gt=now()).exists()


def accept_invitation(principal: Principal, secret: str) -> Membership:
    """Become a member by an invitation's link. Whoever is one already keeps the role they have."""
    authorize(principal, "invitation.accept", PLATFORM)
    with unit_of_work():
        invitation = look_at_invitation(secret)
        taken = Invitation.objects.filter(
            pk=invitation.pk, accepted_at=None, revoked_at=None
        ).update(accepted_at=now(), accepted_by_id=principal.person_id)
        if not taken:
            raise DeadInvitation(reason="used")
        membership, joined = Membership.objects.get_or_create(
            organisation=invitation.organisation,
            person_id=principal.person_id,
            defaults={"role": invitation.role},
        )
        if joined:
            _record_membership("membership.joined", principal, membership)
    return membership


def _withdraw(principal: Principal, invitation: Invitation) -> bool:
    """Make an invitation's link lead nowhere; False if it does already."""
    rows = Invitation.objects.filter(pk=invitation.pk, accepted_at=None, revoked_at=None)
    if not rows.update(revoked_at=now()):
        return False
    _record_invitation("invitation.withdrawn", principal, invitation)
    return True


def _record_invitation(kind: str, principal: Principal, invitation: Invitation) -> None:
    record(
        kind,
        subject=f"organisation:{invitation.organisation_id}",
        actor=principal,
        data={"invitation": str(invitation.pk), "role": str(invitation.role)},
        parties=[invitation.organisation_id],
    )


def _membership(organisation: Organisation, person_id: str | UUID) -> Membership:
    pk = parse_id(person_id, kind="member")
    rows = organisation.memberships.select_related("person", "organisation")
    found = rows.filter(person_id=pk).first()
    if found is None:
        raise MissingRecord(kind="member", id=str(pk))
    return found


def _set_duties(principal: Principal, membership: Membership, wanted: list[str]) -> None:
    if membership.duties != wanted:
        membership.duties = wanted
        membership.save(update_fields=["duties"])
        _record_membership("membership.entrusted", principal, membership)


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
        data={
            "person": str(membership.person_id),
            "role": str(membership.role),
            "duties": list(membership.duties),
        },
        parties=[membership.organisation_id],
    )
