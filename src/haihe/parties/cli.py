"""Commands about organisations, people and tokens."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from django.utils.translation import gettext as _

from haihe.kernel.pagination import DEFAULT_LIMIT, paginate
from haihe.kernel.terminal import AsJson, Yes, ask_consent, show_record, show_rows
from haihe.parties import services
from haihe.parties.models import Organisation
from haihe.policy.cli import caller, person

org = typer.Typer(help="Organisations, members, invitations.", no_args_is_help=True)
token = typer.Typer(help="API tokens of the person named by --as.", no_args_is_help=True)
people = typer.Typer(help="People and platform roles.", no_args_is_help=True)


@org.command("list")
def list_organisations(
    text: Annotated[str, typer.Option(help="Part of a name, slug or credit code.")] = "",
    kind: Annotated[str, typer.Option(help="One kind only.")] = "",
    cursor: str = "",
    limit: int = DEFAULT_LIMIT,
    as_json: AsJson = False,
) -> None:
    """List the directory of organisations."""
    rows = services.list_organisations(caller(), text=text, kind=kind)
    page = paginate(rows, cursor=cursor or None, limit=limit)
    show_rows(
        [_card(row) for row in page.items],
        columns=["slug", "name", "kind", "credit_code", "verified_at"],
        as_json=as_json,
        next_cursor=page.next_cursor,
        empty=_("No organisation yet: haihe --as EMAIL org create ..."),
    )


@org.command("show")
def show_organisation(slug: str, as_json: AsJson = False) -> None:
    """Show an organisation's card."""
    show_record(_card(services.find_organisation(caller(), slug)), as_json=as_json)


@org.command("create")
def create_organisation(
    slug: str,
    name: Annotated[str, typer.Option()],
    kind: Annotated[str, typer.Option(help=", ".join(Organisation.Kind.values))],
    credit_code: Annotated[str, typer.Option(help="Unified social credit code.")],
    name_en: str = "",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Register an organisation; the person named by --as becomes its first owner."""
    principal = person()
    ask_consent([_("Register {name} ({kind}).").format(name=name, kind=kind)], yes=yes)
    created = services.create_organisation(
        principal, slug=slug, name=name, name_en=name_en, kind=kind, credit_code=credit_code
    )
    show_record(_card(created), as_json=as_json)


@org.command("verify")
def verify_organisation(slug: str, yes: Yes = False, as_json: AsJson = False) -> None:
    """Confirm an organisation's credit code, as the platform's operator."""
    principal = caller()
    card = services.find_organisation(principal, slug)
    ask_consent(
        [_("Confirm that {name} is {code}.").format(name=card.name, code=card.credit_code)],
        yes=yes,
    )
    show_record(_card(services.verify_organisation(principal, slug)), as_json=as_json)


@org.command("members")
def list_members(slug: str, as_json: AsJson = False) -> None:
    """List who belongs to an organisation."""
    members = services.members_of(caller(), slug)
    show_rows(
        [
            {
                "person": m.person.name,
                "email": m.person.email,
                "role": m.role,
                "duties": m.duties,
                "id": m.person_id,
            }
            for m in members
        ],
        columns=["person", "email", "role", "duties"],
        as_json=as_json,
    )


@org.command("entrust")
def entrust(
    slug: str,
    person_id: Annotated[str, typer.Argument(help="As `haihe org members --json` gives it.")],
    duties: Annotated[
        list[str] | None, typer.Argument(help="Such as bci_rehab.therapist; none takes all.")
    ] = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Set what a member is entrusted with in packs."""
    principal = person()
    member = services.find_member(principal, slug, person_id)
    ask_consent(
        [
            _("Entrust {who} with: {duties}.").format(
                who=member.person, duties=", ".join(duties or []) or _("nothing")
            )
        ],
        yes=yes,
    )
    found = services.entrust(principal, slug, person_id, duties or [])
    show_record({"person": found.person_id, "duties": found.duties}, as_json=as_json)


@org.command("invite")
def invite(
    slug: str,
    role: Annotated[str, typer.Option(help="owner, manager, member or auditor.")] = "member",
    email: str = "",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Make an invitation; its link is shown this once."""
    principal = person()
    ask_consent([_("Invite {who} as {role}.").format(who=email or "?", role=role)], yes=yes)
    invitation, secret = services.invite(principal, slug, role=role, email=email)
    show_record(
        {
            "id": invitation.pk,
            "role": invitation.role,
            "expires_at": invitation.expires_at,
            "link": services.invitation_link(secret),
        },
        as_json=as_json,
    )


@org.command("own")
def record_ownership(
    owner: str,
    owned: str,
    percent: Annotated[int, typer.Argument(help="1 to 100; 0 ends the holding.")],
    source: Annotated[str, typer.Option(help="Where this is read from.")],
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Note that one organisation holds a share of another, for the related-party test."""
    text = _("Note that {owner} holds {percent} % of {owned}.")
    ask_consent([text.format(owner=owner, percent=percent, owned=owned)], yes=yes)
    services.record_ownership(caller(), owner=owner, owned=owned, percent=percent, source=source)
    show_record(
        {"owner": owner, "owned": owned, "percent": percent, "source": source},
        as_json=as_json,
    )


@people.command("create")
def create_person(
    email: str,
    name: Annotated[str, typer.Option()],
    password: Annotated[str, typer.Option(prompt=True, hide_input=True, confirmation_prompt=True)],
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Make an account on this machine."""
    ask_consent(
        [_("Make an account for {name} <{email}>.").format(name=name, email=email)], yes=yes
    )
    created = services.create_person(email=email, name=name, password=password)
    show_record({"id": created.pk, "email": created.email, "name": created.name}, as_json=as_json)


@people.command("confirm")
def confirm_email(email: str, yes: Yes = False, as_json: AsJson = False) -> None:
    """Vouch that an address is that of the person who signs in with it, where no mail is sent."""
    ask_consent([_("Confirm that {email} is this person's own.").format(email=email)], yes=yes)
    confirmed = services.confirm_email(caller(), email=email)
    show_record({"email": confirmed.email, "confirmed": True}, as_json=as_json)


@people.command("grant")
def grant_platform_role(
    email: str,
    role: Annotated[str, typer.Argument(help="officer, operator or auditor.")],
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Give a person a role for the whole platform."""
    ask_consent([_("Make {email} a platform {role}.").format(email=email, role=role)], yes=yes)
    services.grant_platform_role(caller(), email=email, role=role)
    show_record({"email": email, "role": role, "granted": True}, as_json=as_json)


@people.command("revoke")
def revoke_platform_role(email: str, role: str, yes: Yes = False, as_json: AsJson = False) -> None:
    """Take a platform role from a person."""
    ask_consent([_("Take {role} from {email}.").format(email=email, role=role)], yes=yes)
    services.revoke_platform_role(caller(), email=email, role=role)
    show_record({"email": email, "role": role, "granted": False}, as_json=as_json)


@people.command("roles")
def list_platform_roles(as_json: AsJson = False) -> None:
    """List who has a platform role."""
    show_rows(
        [
            {"email": g.person.email, "name": g.person.name, "role": g.role}
            for g in services.platform_grants(caller())
        ],
        columns=["email", "name", "role"],
        as_json=as_json,
    )


@token.command("list")
def list_tokens(as_json: AsJson = False) -> None:
    """List one's own tokens."""
    show_rows(
        [
            {
                "id": row.pk,
                "name": row.name,
                "hint": row.hint,
                "scopes": row.scopes,
                "expires_at": row.expires_at,
                "last_used_at": row.last_used_at,
                "revoked_at": row.revoked_at,
            }
            for row in services.tokens_of(person())
        ],
        columns=["id", "name", "hint", "scopes", "expires_at", "last_used_at", "revoked_at"],
        as_json=as_json,
    )


@token.command("create")
def create_token(
    name: str,
    scope: Annotated[list[str], typer.Option(help="May be given several times.")],
    days: int = 90,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Make a token; its secret is shown this once."""
    principal = person()
    text = _("Make a token {name} with the scopes {scopes}, for {days} days.")
    ask_consent([text.format(name=name, scopes=", ".join(scope), days=days)], yes=yes)
    created = services.create_token(principal, name=name, scopes=scope, days=days)
    show_record(
        {
            "id": created.row.pk,
            "secret": created.secret,
            "scopes": created.row.scopes,
            "expires_at": created.row.expires_at,
        },
        as_json=as_json,
    )


@token.command("revoke")
def revoke_token(token_id: str, yes: Yes = False, as_json: AsJson = False) -> None:
    """Make one of one's own tokens open nothing."""
    principal = person()
    ask_consent([_("Revoke token {id}.").format(id=token_id)], yes=yes)
    services.revoke_token(principal, token_id)
    show_record({"id": token_id, "revoked": True}, as_json=as_json)


def _card(row: Organisation) -> dict[str, Any]:
    return {
        "id": row.pk,
        "slug": row.slug,
        "name": row.name,
        "name_en": row.name_en,
        "kind": row.kind,
        "credit_code": row.credit_code,
        "verified_at": row.verified_at,
    }
