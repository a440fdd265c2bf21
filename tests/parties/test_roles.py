"""Roles for the platform go to people whose address is known to be theirs, and never to oneself."""

from __future__ import annotations

import json
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.test import Client
from typer.testing import CliRunner

from haihe.cli.main import app
from haihe.kernel.errors import InvalidField
from haihe.parties import services
from haihe.parties.errors import UnverifiedAddress, WeakPassword
from haihe.parties.models import Person, PlatformGrant
from haihe.policy.domain import PlatformRole
from haihe.policy.errors import NotAllowed
from tests.factories import make_person
from tests.pages import browser, sound
from tests.parties.factories import CONSOLE, logged, of, platform

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]
BOSS = "boss@city.example.test"


@pytest.fixture
def stranger() -> Person:
    """Somebody who signed up with the address of another, which nobody checked."""
    person = Person.objects.create_user(BOSS, "a long enough password")
    EmailAddress.objects.create(user=person, email=BOSS, primary=True)
    return person


def haihe(*arguments: str, as_email: str = "") -> Any:
    """Run a command as a person, or as the console."""
    return CliRunner().invoke(app, arguments, env={"HAIHE_AS": as_email})


def test_a_role_is_not_given_to_an_address_that_nobody_confirmed(stranger: Person) -> None:
    for caller in (platform("operator"), CONSOLE):
        with pytest.raises(UnverifiedAddress, match="people confirm"):
            services.grant_platform_role(caller, email=BOSS, role="officer")
    page = browser(make_person(roles=("operator",))).post(
        "/platform/roles", {"email": BOSS, "role": "officer"}
    )
    assert "Nobody has confirmed" in sound(page, 422).text
    assert isinstance(
        haihe("people", "grant", BOSS, "officer", "--yes").exception, UnverifiedAddress
    )
    assert not PlatformGrant.objects.filter(person=stranger).exists()


def test_a_confirmed_address_may_have_a_role(stranger: Person) -> None:
    EmailAddress.objects.filter(user=stranger).update(verified=True)
    services.grant_platform_role(platform("operator"), email=BOSS, role="officer")
    assert of(stranger).platform_roles == {PlatformRole.OFFICER}


def test_another_address_of_the_person_being_confirmed_is_not_enough(stranger: Person) -> None:
    EmailAddress.objects.create(user=stranger, email="mine@example.test", verified=True)
    with pytest.raises(UnverifiedAddress):
        services.grant_platform_role(CONSOLE, email=BOSS, role="officer")


def test_the_machine_vouches_for_an_address(stranger: Person) -> None:
    said = json.loads(haihe("people", "confirm", BOSS, "--yes", "--json").stdout)
    assert said == {"email": BOSS, "confirmed": True}
    services.confirm_email(CONSOLE, email=BOSS)
    services.grant_platform_role(CONSOLE, email=BOSS, role="officer")
    assert of(stranger).platform_roles == {PlatformRole.OFFICER}
    [entry] = logged("person.email_confirmed")
    assert (entry.subject, entry.data) == (f"person:{stranger.pk}", {"email": BOSS})


def test_only_an_operator_vouches_and_not_for_themselves(ann: Person) -> None:
    for wrong in (of(ann), platform("officer", "auditor")):
        with pytest.raises(NotAllowed):
            services.confirm_email(wrong, email=ann.email)
    operator = make_person(roles=("operator",))
    with pytest.raises(NotAllowed):
        services.confirm_email(of(operator), email=operator.email)


@pytest.mark.parametrize("role", ["auditor", "officer", "operator"])
def test_an_operator_gives_themselves_no_role(role: str) -> None:
    operator = make_person(roles=("operator",))
    with pytest.raises(NotAllowed):
        services.grant_platform_role(of(operator), email=operator.email, role=role)
    answer = browser(operator).post("/platform/roles", {"email": operator.email, "role": role})
    assert answer.status_code == 403
    assert of(operator).platform_roles == {PlatformRole.OPERATOR}
    services.revoke_platform_role(of(operator), email=operator.email, role="operator")
    assert of(operator).platform_roles == frozenset()


def test_who_has_a_role_is_told_to_who_may_know(ann: Person) -> None:
    refused = haihe("people", "roles", as_email=ann.email)
    assert isinstance(refused.exception, NotAllowed)
    auditor = make_person(roles=("auditor",))
    said = json.loads(haihe("people", "roles", "--json", as_email=auditor.email).stdout)
    assert [row["email"] for row in said["items"]] == [auditor.email]


def test_an_unconfirmed_address_does_not_become_the_main_one(client: Client) -> None:
    person = Person.objects.create_user("mine@example.test", "a long enough password")
    EmailAddress.objects.create(user=person, email=person.email, primary=True)
    EmailAddress.objects.create(user=person, email=BOSS)
    client.force_login(person)
    choose = {"email": BOSS, "action_primary": "1"}
    client.post("/accounts/email/", choose)
    person.refresh_from_db()
    assert person.email == "mine@example.test"
    EmailAddress.objects.filter(email=BOSS).update(verified=True)
    client.post("/accounts/login/", {"login": person.email, "password": "a long enough password"})
    client.post("/accounts/reauthenticate/", {"password": "a long enough password"})
    client.post("/accounts/email/", choose)
    person.refresh_from_db()
    assert person.email == BOSS


@pytest.mark.parametrize(
    "wrong",
    [{"email": "not an email"}, {"name": ""}, {"name": "a\nb"}, {"name": "a" * 81}],
)
def test_an_account_that_breaks_a_rule_is_not_made(wrong: dict[str, str]) -> None:
    fields = {"email": "bob@example.test", "name": "Bob", "password": "a long enough password"}
    with pytest.raises(InvalidField):
        services.create_person(**(fields | wrong))
    assert not Person.objects.exists()


@pytest.mark.parametrize("password", ["a", "password1234", "bob@example.test"])
def test_a_password_that_is_guessed_is_refused_on_the_machine_too(password: str) -> None:
    account = ("bob@example.test", "--name", "Bob", "--password", password)
    result = haihe("people", "create", *account, "--yes")
    assert isinstance(result.exception, WeakPassword)
    assert not Person.objects.exists()
