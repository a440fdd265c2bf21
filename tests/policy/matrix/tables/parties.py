"""Organisations, members, invitations, people, tokens, platform roles."""

from __future__ import annotations

from tests.policy.matrix.rows import delete, get, post, put

_READ = "organisation.read on own"
_NEW = {"slug": "new-org", "name": "新机构", "kind": "enterprise", "credit_code": "{new-code}"}
_MEMBER = {"slug": "own", "person_id": "member"}
_INVITATION = {"slug": "own", "invitation_id": "invitation"}
_TOKEN = ("token.manage on self", "token.manage on token, hidden")
_NEW_TOKEN = {"name": "ci", "scopes": ["admin"], "days": 30}
_GRANT = {"email": "{email}", "role": "auditor"}

API = [
    get("api:read_me"),
    get("api:list_organisations", "organisation.list on anything", shows="organisation"),
    post("api:create_organisation", "organisation.create on anything", body=_NEW, then=201),
    get("api:read_organisation", _READ, slug="own"),
    put(
        "api:update_organisation",
        _READ,
        "organisation.update on own",
        slug="own",
        body={"name": "新名"},
    ),
    post("api:verify_organisation", _READ, "organisation.verify on own", slug="own"),
    get("api:list_members", _READ, "organisation.read_members on own", slug="own"),
    get("api:read_member", _READ, "organisation.read_members on own", **_MEMBER),
    put(
        "api:change_role",
        _READ,
        "organisation.manage_members on own",
        body={"role": "member"},
        **_MEMBER,
    ),
    delete("api:remove_member", _READ, "organisation.manage_members on own", **_MEMBER),
    get("api:list_invitations", _READ, "organisation.invite on own", slug="own"),
    post(
        "api:invite",
        _READ,
        "organisation.invite on own",
        slug="own",
        body={"role": "manager"},
        then=201,
    ),
    post(
        "api:invite",
        _READ,
        "organisation.manage_members on own",
        slug="own",
        body={"role": "owner"},
        then=201,
    ),
    delete("api:revoke_invitation", _READ, "organisation.invite on own", **_INVITATION),
    post("api:accept_invitation", "invitation.accept on anything", body={"secret": "{secret}"}),
    get("api:list_tokens", "token.manage on self"),
    post("api:create_token", "token.manage on self", body=_NEW_TOKEN, then=201),
    delete("api:revoke_token", *_TOKEN, token_id="token"),
]

PAGES = [
    get("parties:organisations", "organisation.list on anything", shows="organisation"),
    get("parties:new_organisation", "organisation.create on anything"),
    post("parties:new_organisation", "organisation.create on anything", body=_NEW),
    get("parties:organisation_by_id", _READ, organisation_id="own-id", then=302),
    get("parties:organisation", _READ, slug="own"),
    get("parties:edit_organisation", _READ, slug="own"),
    post(
        "parties:edit_organisation",
        _READ,
        "organisation.update on own",
        slug="own",
        body={"name": "新名"},
    ),
    post("parties:verify_organisation", _READ, "organisation.verify on own", slug="own"),
    get("parties:ownership", _READ, slug="own"),
    post(
        "parties:ownership",
        _READ,
        "organisation.verify on own",
        slug="own",
        body={"owner": "{stranger}", "percent": 10, "source": "register"},
    ),
    get("parties:members", _READ, "organisation.read_members on own", slug="own"),
    get("parties:member", _READ, "organisation.read_members on own", **_MEMBER),
    post(
        "parties:member",
        _READ,
        "organisation.read_members on own",
        "organisation.manage_members on own",
        body={"role": "member"},
        **_MEMBER,
    ),
    post(
        "parties:remove_member",
        _READ,
        "organisation.read_members on own",
        "organisation.manage_members on own",
        **_MEMBER,
    ),
    get("parties:invitations", _READ, "organisation.invite on own", slug="own"),
    post(
        "parties:invitations",
        _READ,
        "organisation.invite on own",
        slug="own",
        body={"role": "manager"},
        then=200,
    ),
    post("parties:revoke_invitation", _READ, "organisation.invite on own", **_INVITATION),
    post("parties:invitation", "invitation.accept on anything", secret="secret"),
    get("parties:memberships", "person.update on self"),
    get("parties:profile", "person.update on self"),
    post("parties:profile", "person.update on self", body={"name": "新名", "language": "en"}),
    get("parties:tokens", "token.manage on self"),
    post("parties:tokens", "token.manage on self", body=_NEW_TOKEN, then=200),
    post("parties:revoke_token", *_TOKEN, token_id="token"),
    get("parties:platform_roles", "system.read on anything"),
    post("parties:platform_roles", "platform.grant_role on anything", body=_GRANT),
    post("parties:revoke_platform_role", "platform.grant_role on anything", body=_GRANT),
]
