"""HTTP routes of organisations, members, invitations and tokens."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.http import HttpResponse
from ninja import Query, Router, Schema, Status
from pydantic import Field

from haihe.kernel.api import CursorPage, PageQuery, Whole, as_page
from haihe.kernel.pagination import paginate
from haihe.parties import services
from haihe.parties.models import ApiToken, Invitation, Membership, Organisation
from haihe.policy.http import Request

router = Router(tags=["parties"])


class OrganisationOut(Schema):
    """An organisation's public card."""

    id: UUID
    slug: str
    name: str
    name_en: str
    kind: str
    credit_code: str
    verified_at: datetime | None
    created_at: datetime


class OrganisationIn(Schema):
    """A new organisation."""

    slug: str = Field(max_length=80)
    name: str = Field(max_length=200)
    name_en: str = Field("", max_length=200)
    kind: str
    credit_code: str = Field(
        max_length=40, description="Unified social credit code, checked by its check digit."
    )


class OrganisationChange(Schema):
    """New names of an organisation."""

    name: str = Field(max_length=200)
    name_en: str = Field("", max_length=200)


class MemberOut(Schema):
    """A member of an organisation."""

    person_id: UUID
    name: str
    email: str
    role: str
    duties: list[str] = Field(description="What they are entrusted with in packs.")


class RoleIn(Schema):
    """A role in an organisation, and duties in packs; without a list these stay as they are."""

    role: str
    duties: list[str] | None = None


class InvitationIn(Schema):
    """A new invitation."""

    role: str
    email: str = ""


class InvitationOut(Schema):
    """An open invitation. The secret of its link is in the answer that created it only."""

    id: UUID
    role: str
    email: str
    expires_at: datetime
    secret: str | None = None


class SecretIn(Schema):
    """The secret of an invitation's link."""

    secret: str = Field(max_length=200)


class TokenIn(Schema):
    """A new API token."""

    name: str = Field(max_length=80)
    scopes: list[str]
    days: Whole = Field(90, ge=1, le=366)


class TokenOut(Schema):
    """An API token. The secret is in the answer that created it only."""

    id: UUID
    name: str
    hint: str
    scopes: list[str]
    expires_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None
    secret: str | None = None


class MeOut(Schema):
    """Who is asking."""

    id: UUID | None
    name: str
    platform_roles: list[str]
    memberships: dict[str, str]
    scopes: list[str] | None


@router.get("/me", response=MeOut)
def read_me(request: Request) -> MeOut:
    """Who the caller is, and which roles they have."""
    principal = request.principal
    slugs = {o.pk: o.slug for o in services.organisations_of(principal)}
    return MeOut(
        id=principal.id,
        name=principal.name,
        platform_roles=sorted(principal.platform_roles),
        memberships={slugs[org]: str(role) for org, role in principal.memberships},
        scopes=None if principal.scopes is None else sorted(principal.scopes),
    )


@router.get("/organisations", response=CursorPage[OrganisationOut])
def list_organisations(
    request: Request, page: Query[PageQuery], text: str = "", kind: str = ""
) -> CursorPage[OrganisationOut]:
    """The directory of organisations."""
    rows = services.list_organisations(request.principal, text=text, kind=kind)
    return as_page(paginate(rows, cursor=page.cursor, limit=page.limit), _organisation)


@router.post("/organisations", response={201: OrganisationOut})
def create_organisation(request: Request, body: OrganisationIn) -> Status[OrganisationOut]:
    """Register an organisation; the caller becomes its first owner."""
    created = services.create_organisation(request.principal, **body.dict())
    return Status(201, _organisation(created))


@router.get("/organisations/{slug}", response=OrganisationOut)
def read_organisation(request: Request, slug: str) -> OrganisationOut:
    """An organisation's public card."""
    return _organisation(services.find_organisation(request.principal, slug))


@router.put("/organisations/{slug}", response=OrganisationOut)
def update_organisation(request: Request, slug: str, body: OrganisationChange) -> OrganisationOut:
    """Change an organisation's names."""
    return _organisation(services.update_organisation(request.principal, slug, **body.dict()))


@router.post("/organisations/{slug}/verify", response=OrganisationOut)
def verify_organisation(request: Request, slug: str) -> OrganisationOut:
    """Confirm an organisation's credit code, as the platform's operator."""
    return _organisation(services.verify_organisation(request.principal, slug))


@router.get("/organisations/{slug}/members", response=list[MemberOut])
def list_members(request: Request, slug: str) -> list[MemberOut]:
    """Who belongs to an organisation."""
    return [_member(m) for m in services.members_of(request.principal, slug)]


@router.get("/organisations/{slug}/members/{person_id}", response=MemberOut)
def read_member(request: Request, slug: str, person_id: str) -> MemberOut:
    """One member of an organisation."""
    return _member(services.find_member(request.principal, slug, person_id))


@router.put("/organisations/{slug}/members/{person_id}", response=MemberOut)
def change_role(request: Request, slug: str, person_id: str, body: RoleIn) -> MemberOut:
    """Give a member another role, or other duties."""
    changed = services.change_member(request.principal, slug, person_id, **body.dict())
    return _member(changed)


@router.delete("/organisations/{slug}/members/{person_id}", response={204: None})
def remove_member(request: Request, slug: str, person_id: str) -> Status[None]:
    """Take a member out of an organisation."""
    services.remove_member(request.principal, slug, person_id)
    return Status(204, None)


@router.get("/organisations/{slug}/invitations", response=list[InvitationOut])
def list_invitations(request: Request, slug: str) -> list[InvitationOut]:
    """Invitations that may still be accepted."""
    return [_invitation(i) for i in services.open_invitations(request.principal, slug)]


@router.post("/organisations/{slug}/invitations", response={201: InvitationOut})
def invite(
    request: Request, response: HttpResponse, slug: str, body: InvitationIn
) -> Status[InvitationOut]:
    """Make an invitation; its secret is shown this once."""
    response["Cache-Control"] = "no-store"
    invitation, secret = services.invite(request.principal, slug, role=body.role, email=body.email)
    return Status(201, _invitation(invitation, secret))


@router.delete("/organisations/{slug}/invitations/{invitation_id}", response={204: None})
def revoke_invitation(request: Request, slug: str, invitation_id: str) -> Status[None]:
    """Withdraw an invitation."""
    services.revoke_invitation(request.principal, slug, invitation_id)
    return Status(204, None)


@router.post("/invitations/accept", response=MemberOut)
def accept_invitation(request: Request, body: SecretIn) -> MemberOut:
    """Become a member by the secret of an invitation's link."""
    return _member(services.accept_invitation(request.principal, body.secret))


@router.get("/tokens", response=list[TokenOut])
def list_tokens(request: Request) -> list[TokenOut]:
    """One's own API tokens."""
    return [_token(row) for row in services.tokens_of(request.principal)]


@router.post("/tokens", response={201: TokenOut})
def create_token(request: Request, response: HttpResponse, body: TokenIn) -> Status[TokenOut]:
    """Make an API token; its secret is shown this once."""
    response["Cache-Control"] = "no-store"
    created = services.create_token(request.principal, **body.dict())
    return Status(201, _token(created.row, created.secret))


@router.delete("/tokens/{token_id}", response={204: None})
def revoke_token(request: Request, token_id: str) -> Status[None]:
    """Make one of one's own tokens open nothing."""
    services.revoke_token(request.principal, token_id)
    return Status(204, None)


def _organisation(row: Organisation) -> OrganisationOut:
    return OrganisationOut.from_orm(row)


def _member(row: Membership) -> MemberOut:
    return MemberOut(
        person_id=row.person_id,
        name=row.person.name,
        email=row.person.email,
        role=row.role,
        duties=row.duties,
    )


def _invitation(row: Invitation, secret: str | None = None) -> InvitationOut:
    return InvitationOut(
        id=row.pk, role=row.role, email=row.email, expires_at=row.expires_at, secret=secret
    )


def _token(row: ApiToken, secret: str | None = None) -> TokenOut:
    return TokenOut(
        id=row.pk,
        name=row.name,
        hint=row.hint,
        scopes=row.scopes,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
        secret=secret,
    )
