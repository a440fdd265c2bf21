"""Addresses of the parties' pages. A slug has no lone hyphen, so ``-`` keeps ``new`` apart."""

from __future__ import annotations

from django.urls import URLPattern, path

from haihe.parties.views import members, organisations, people

app_name = "parties"
_ONE = "organisations/<slug:slug>"
urlpatterns: list[URLPattern] = [
    path("organisations", organisations.directory, name="organisations"),
    path("organisations/-/new", organisations.create, name="new_organisation"),
    path(
        "organisations/by-id/<uuid:organisation_id>",
        organisations.by_id,
        name="organisation_by_id",
    ),
    path(_ONE, organisations.show, name="organisation"),
    path(f"{_ONE}/edit", organisations.edit, name="edit_organisation"),
    path(f"{_ONE}/verify", organisations.verify, name="verify_organisation"),
    path(f"{_ONE}/ownership", organisations.ownership, name="ownership"),
    path(f"{_ONE}/members", members.listing, name="members"),
    path(f"{_ONE}/members/<uuid:person_id>", members.change, name="member"),
    path(f"{_ONE}/members/<uuid:person_id>/remove", members.remove, name="remove_member"),
    path(f"{_ONE}/invitations", members.invitations, name="invitations"),
    path(
        f"{_ONE}/invitations/<uuid:invitation_id>/revoke",
        members.revoke_invitation,
        name="revoke_invitation",
    ),
    path("invitations/<str:secret>", members.invitation, name="invitation"),
    path("memberships", people.memberships, name="memberships"),
    path("profile", people.profile, name="profile"),
    path("tokens", people.tokens, name="tokens"),
    path("tokens/<uuid:token_id>/revoke", people.revoke_token, name="revoke_token"),
    path("platform/roles", people.platform_roles, name="platform_roles"),
    path("platform/roles/revoke", people.revoke_platform_role, name="revoke_platform_role"),
]
