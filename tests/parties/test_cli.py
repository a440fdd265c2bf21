"""Organisations, people and tokens on the command line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from haihe.cli.main import app
from haihe.kernel.errors import MissingRecord
from haihe.parties import services
from haihe.parties.models import ApiToken, Invitation, Organisation, Person, PlatformGrant
from haihe.policy.errors import NotAllowed, PersonNeeded
from tests.factories import make_credit_code, make_organisation

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]


def haihe(*arguments: object, as_email: str = "", **options: Any) -> Any:
    """Run a command as a person, or as the console."""
    environment = {"HAIHE_AS": as_email}
    return CliRunner().invoke(app, [str(part) for part in arguments], env=environment, **options)


def said(result: Any) -> Any:
    """The JSON of a command that succeeded."""
    assert result.exception is None, result.exception
    return json.loads(result.stdout)


def test_an_organisation_is_registered_in_a_persons_name(ann: Person) -> None:
    command = (
        "org", "create", "acme", "--name", "极光", "--kind", "enterprise",
        "--credit-code", make_credit_code(),
    )  # fmt: skip
    assert isinstance(haihe(*command, "--yes").exception, PersonNeeded)
    assert haihe(*command, as_email=ann.email, input="n\n").exit_code == 10
    assert not Organisation.objects.exists()
    assert said(haihe(*command, "--yes", "--json", as_email=ann.email))["slug"] == "acme"
    assert said(haihe("org", "show", "acme", "--json"))["name"] == "极光"
    assert [row["slug"] for row in said(haihe("org", "list", "--json"))["items"]] == ["acme"]
    [member] = said(haihe("org", "members", "acme", "--json"))["items"]
    assert (member["email"], member["role"]) == (ann.email, "owner")


def test_the_console_verifies_and_a_member_does_not(ann: Person) -> None:
    make_organisation("new", verified=False, owner=ann)
    refused = haihe("org", "verify", "new", "--yes", as_email=ann.email)
    assert isinstance(refused.exception, NotAllowed)
    assert haihe("org", "verify", "new", input="n\n").exit_code == 10
    assert Organisation.objects.get().verified_at is None
    assert said(haihe("org", "verify", "new", "--yes", "--json"))["verified_at"]


def test_the_link_of_an_invitation_is_printed_once(ann: Person, firm: Organisation) -> None:
    made = said(haihe("org", "invite", "firm", "--yes", "--json", as_email=ann.email))
    secret = made["link"].rpartition("/")[2]
    assert services.look_at_invitation(secret) == Invitation.objects.get()
    assert isinstance(haihe("org", "invite", "firm", "--yes").exception, PersonNeeded)


def test_a_holding_is_recorded_on_the_console(ann: Person, firm: Organisation) -> None:
    make_organisation("mother")
    command = ("org", "own", "mother", "firm", 30, "--source", "register", "--yes", "--json")
    assert isinstance(haihe(*command, as_email=ann.email).exception, NotAllowed)
    assert said(haihe(*command))["percent"] == 30


def test_platform_roles_are_given_and_taken(ann: Person) -> None:
    refused = haihe("people", "grant", ann.email, "operator", "--yes", as_email=ann.email)
    assert isinstance(refused.exception, NotAllowed)
    assert said(haihe("people", "grant", ann.email, "officer", "--yes", "--json"))["granted"]
    [row] = said(haihe("people", "roles", "--json"))["items"]
    assert (row["email"], row["role"]) == (ann.email, "officer")
    assert not said(haihe("people", "revoke", ann.email, "officer", "--yes", "--json"))["granted"]
    assert not PlatformGrant.objects.exists()
    unknown = haihe("people", "grant", "no@example.test", "officer", "--yes")
    assert isinstance(unknown.exception, MissingRecord)


def test_a_token_is_made_listed_and_revoked(ann: Person) -> None:
    command = ("token", "create", "ci", "--scope", "read", "--yes", "--json")
    assert isinstance(haihe(*command).exception, PersonNeeded)
    secret = next(
        value
        for value in said(haihe(*command, as_email=ann.email)).values()
        if str(value).startswith("haihe_") and len(value) > 20
    )
    assert services.principal_of_token(secret).id == ann.pk
    [row] = said(haihe("token", "list", "--json", as_email=ann.email))["items"]
    assert secret not in str(row)
    haihe("token", "revoke", row["id"], "--yes", as_email=ann.email)
    assert ApiToken.objects.get().revoked_at is not None
