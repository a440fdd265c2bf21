"""The parties' pages, as visitors, members, owners and the operator see them."""

from __future__ import annotations

import csv
import io
import re
from http import HTTPStatus
from typing import Any

import pytest
from django.test import Client

from haihe.parties import services
from haihe.parties.models import (
    ApiToken,
    Invitation,
    Membership,
    Organisation,
    Ownership,
    Person,
    PlatformGrant,
)
from tests.factories import make_credit_code, make_organisation, make_person
from tests.pages import CHINESE, ENGLISH, asks_to_sign_in, browser, sound

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]
CARD = "/organisations/firm"


@pytest.fixture
def firm(ann: Person) -> Organisation:
    firm = make_organisation("firm", verified=False, owner=ann)
    firm.name, firm.name_en = "津影智能", "Jinying AI"
    firm.save()
    return firm


@pytest.fixture
def operator() -> Person:
    return make_person("operator@example.test", roles=("operator",))


def member_of(firm: Organisation, role: str) -> Person:
    person = make_person(f"{role}@example.test")
    Membership.objects.create(organisation=firm, person=person, role=role)
    return person


def secret_on(response: Any) -> str:
    """The secret in the link that a page shows this once."""
    found = re.search(r"/invitations/(haihe_[\w-]+)", response.content.decode())
    assert found
    return found.group(1)


@pytest.mark.parametrize("language", [ENGLISH, CHINESE])
def test_all_pages_render_in_both_languages(
    firm: Organisation, ann: Person, operator: Person, language: str
) -> None:
    bob = member_of(firm, "member")
    client = browser(ann, language)
    for address in (
        "/organisations",
        "/organisations?text=nothing-like-it",
        "/organisations/-/new",
        CARD,
        f"{CARD}/edit",
        f"{CARD}/members",
        f"{CARD}/members/{bob.pk}",
        f"{CARD}/invitations",
        f"{CARD}/ownership",
        "/memberships",
        "/profile",
        "/tokens",
    ):
        sound(client.get(address))
    sound(browser(make_person(), language).get("/memberships"))
    sound(browser(operator, language).get("/platform/roles"))
    sound(browser(operator, language).get(f"{CARD}/ownership"))


def test_nobody_is_sent_to_sign_in(firm: Organisation, ann: Person) -> None:
    client = browser()
    for address in (
        "/organisations",
        "/organisations?format=csv",
        "/organisations/-/new",
        f"/organisations/by-id/{firm.pk}",
        CARD,
        f"{CARD}/edit",
        f"{CARD}/members",
        f"{CARD}/members/{ann.pk}",
        f"{CARD}/invitations",
        f"{CARD}/ownership",
        "/memberships",
        "/profile",
        "/tokens",
        "/platform/roles",
    ):
        assert asks_to_sign_in(client.get(address)), address


# Organisations


def test_names_are_shown_in_the_language_of_the_page(firm: Organisation, ann: Person) -> None:
    assert "津影智能" not in sound(browser(ann).get("/organisations")).text
    assert "Jinying AI" in sound(browser(ann).get("/organisations")).text
    assert "津影智能" in sound(browser(ann, CHINESE).get("/organisations")).text


def test_the_directory_is_searched_and_exported(firm: Organisation, ann: Person) -> None:
    make_organisation("clinic", kind="hospital")
    client = browser(ann)
    found = client.get("/organisations?kind=hospital").content.decode()
    assert 'href="/organisations/clinic"' in found
    assert 'href="/organisations/firm"' not in found
    assert "No organisation matches" in sound(client.get("/organisations?text=zzz")).text
    assert 'href="/organisations/' not in sound(client.get("/organisations?kind=bank"), 422).text
    exported = client.get("/organisations?format=csv&text=clin").content.decode("utf-8-sig")
    assert [row["slug"] for row in csv.DictReader(io.StringIO(exported))] == ["clinic"]


def test_a_long_directory_is_read_by_cursor(ann: Person) -> None:
    for number in range(52):
        make_organisation(f"org-{number:02}")
    client = browser(ann)
    first = client.get("/organisations").content.decode()
    assert first.count('href="/organisations/org-') == 50
    cursor = re.search(r"cursor=([\w-]+)", first)
    assert cursor
    rest = client.get(f"/organisations?cursor={cursor.group(1)}").content.decode()
    assert rest.count('href="/organisations/org-') == 2


def test_an_organisation_is_registered_from_its_form(ann: Person) -> None:
    client, code = browser(ann), make_credit_code()
    given = {"slug": "acme", "name": "极光", "name_en": "", "kind": "enterprise"}
    response = client.post("/organisations/-/new", given | {"credit_code": code})
    assert response["Location"] == "/organisations/acme"
    assert "you own it" in sound(client.get("/organisations/acme")).text
    assert Membership.objects.get().person == ann


@pytest.mark.parametrize(
    ("change", "field", "status", "said"),
    [
        ({"credit_code": "91120111MADEM0004A"}, "credit_code", 422, "computed is C"),
        ({"credit_code": "123"}, "credit_code", 422, "it has 3 characters, not 18"),
        ({"slug": "Not a slug"}, "slug", 422, "single hyphens"),
        ({"slug": "firm"}, "slug", 409, "is registered"),
        ({"name": ""}, "name", 422, "required"),
    ],
)
def test_what_is_wrong_is_told_beside_its_field_and_nothing_typed_is_lost(
    firm: Organisation, ann: Person, change: dict[str, str], field: str, status: int, said: str
) -> None:
    given = {
        "slug": "acme",
        "name": "极光",
        "name_en": "Aurora",
        "kind": "hospital",
        "credit_code": "91120111MADEM0004C",
    }
    response = browser(ann).post("/organisations/-/new", given | change)
    assert said in sound(response, status).text
    source = response.content.decode()
    errors = re.search(rf'<ul class="hh-errors" id="id_{field}_error">(.*?)</ul>', source, re.S)
    assert errors
    assert said in errors.group(1)
    assert 'value="Aurora"' in source
    assert Organisation.objects.count() == 1


def test_a_row_that_names_an_organisation_by_id_leads_to_it(
    firm: Organisation, ann: Person
) -> None:
    client = browser(ann)
    assert client.get(f"/organisations/by-id/{firm.pk}")["Location"] == CARD
    missing = "/organisations/by-id/00000000-0000-0000-0000-000000000000"
    assert client.get(missing).status_code == 404


def test_a_card_shows_what_the_visitor_may_do(
    firm: Organisation, ann: Person, operator: Person
) -> None:
    def shown(person: Person) -> set[str]:
        source = browser(person).get(CARD).content.decode()
        wanted = {
            "edit": f"{CARD}/edit",
            "verify": f"{CARD}/verify",
            "members": f"{CARD}/members",
            "invitations": f"{CARD}/invitations",
            "accounts": f"/ledger/accounts?owner={firm.pk}",
        }
        return {name for name, address in wanted.items() if f'="{address}"' in source}

    assert shown(ann) == {"edit", "members", "invitations", "accounts"}
    assert shown(member_of(firm, "member")) == {"members", "accounts"}
    assert shown(operator) == {"verify", "members", "accounts"}
    assert shown(make_person()) == set()


def test_the_operator_verifies_from_the_card(
    firm: Organisation, ann: Person, operator: Person
) -> None:
    address = f"{CARD}/verify"
    assert asks_to_sign_in(browser().post(address))
    sound(browser(ann).post(address), 403)
    firm.refresh_from_db()
    assert firm.verified_at is None
    assert "is verified" in sound(browser(operator).post(address, follow=True)).text
    assert browser(operator).get(address).status_code == HTTPStatus.METHOD_NOT_ALLOWED


def test_names_are_changed_by_those_who_may(firm: Organisation, ann: Person) -> None:
    address, given = f"{CARD}/edit", {"name": "新名", "name_en": "New name"}
    assert asks_to_sign_in(browser().post(address, given))
    bob = member_of(firm, "member")
    assert "You may not" in sound(browser(bob).post(address, given), 403).text
    assert "Owners and managers" in sound(browser(bob).get(address)).text
    assert "New name" in sound(browser(ann).post(address, given, follow=True)).text
    assert "required" in sound(browser(ann).post(address, {"name": ""}), 422).text


def test_holdings_are_recorded_by_the_operator(
    firm: Organisation, ann: Person, operator: Person
) -> None:
    make_organisation("mother")
    address = f"{CARD}/ownership"
    given = {"owner": "mother", "percent": "30", "source": "register 2026-11"}
    assert asks_to_sign_in(browser().post(address, given))
    sound(browser(ann).post(address, given), 403)
    assert "Record a holder" not in sound(browser(ann).get(address)).text
    client = browser(operator)
    assert "register 2026-11" in sound(client.post(address, given, follow=True)).text
    for change, status in (
        ({"owner": "nobody"}, 404),
        ({"owner": "firm"}, 422),
        ({"percent": "101"}, 422),
    ):
        page = client.post(address, given | change)
        sound(page, status)
        assert 'value="register 2026-11"' in page.content.decode()
    assert Ownership.objects.get().percent == 30
    assert b"register 2026-11" in browser(ann).get(f"{address}?format=csv").content


# Members


def test_members_are_for_insiders(firm: Organisation, ann: Person) -> None:
    stranger = browser(make_person())
    for address in (
        f"{CARD}/members",
        f"{CARD}/members?format=csv",
        f"{CARD}/members/{ann.pk}",
        f"{CARD}/invitations",
    ):
        assert ann.email not in sound(stranger.get(address), 403).text
    inside = browser(member_of(firm, "auditor"))
    assert ann.email in sound(inside.get(f"{CARD}/members")).text
    assert ann.email.encode() in inside.get(f"{CARD}/members?format=csv").content


def test_an_owner_changes_a_role_from_its_form(firm: Organisation, ann: Person) -> None:
    bob = member_of(firm, "member")
    address, given = f"{CARD}/members/{bob.pk}", {"role": "manager"}
    assert asks_to_sign_in(browser().post(address, given))
    assert "You may not" in sound(browser(bob).post(address, given), 403).text
    assert Membership.objects.get(person=bob).role == "member"
    page = sound(browser(ann).post(address, given, follow=True))
    assert "The role of member was changed." in page.text
    assert Membership.objects.get(person=bob).role == "manager"
    sound(browser(ann).post(address, {"role": "boss"}), 422)


def test_the_last_owner_is_told_why_they_stay(firm: Organisation, ann: Person) -> None:
    client, address = browser(ann), f"{CARD}/members/{ann.pk}"
    for response in (
        client.post(address, {"role": "member"}),
        client.post(f"{address}/remove"),
    ):
        assert "is the last owner" in sound(response, 409).text
    assert Membership.objects.get(person=ann).role == "owner"


def test_an_owner_removes_a_member(firm: Organisation, ann: Person) -> None:
    bob = member_of(firm, "manager")
    address = f"{CARD}/members/{bob.pk}/remove"
    assert asks_to_sign_in(browser().post(address))
    sound(browser(bob).post(address), 403)
    assert Membership.objects.filter(person=bob).exists()
    assert browser(ann).get(address).status_code == HTTPStatus.METHOD_NOT_ALLOWED
    assert "no longer a member" in sound(browser(ann).post(address, follow=True)).text
    assert not Membership.objects.filter(person=bob).exists()
    assert browser(ann).get(f"{CARD}/members/{bob.pk}").status_code == 404


def test_the_link_of_an_invitation_is_shown_once_and_kept_nowhere(
    firm: Organisation, ann: Person
) -> None:
    client, address = browser(ann), f"{CARD}/invitations"
    response = client.post(address, {"role": "member", "email": ""})
    sound(response)
    assert "no-store" in response["Cache-Control"]
    secret = secret_on(response)
    assert services.look_at_invitation(secret).role == "member"
    assert secret not in client.get(address).content.decode()
    assert secret not in str(client.session.items())


def test_invitations_are_made_and_withdrawn_by_those_who_may(
    firm: Organisation, ann: Person
) -> None:
    address, given = f"{CARD}/invitations", {"role": "member"}
    assert asks_to_sign_in(browser().post(address, given))
    sound(browser(member_of(firm, "member")).post(address, given), 403)
    manager = browser(member_of(firm, "manager"))
    assert "You may not" in sound(manager.post(address, {"role": "owner"}), 403).text
    sound(manager.post(address, {"role": "member", "email": "nowhere"}), 422)
    assert not Invitation.objects.exists()
    sound(manager.post(address, given))
    revoke = f"{address}/{Invitation.objects.get().pk}/revoke"
    assert asks_to_sign_in(browser().post(revoke))
    sound(browser(make_person()).post(revoke), 403)
    assert "leads nowhere now" in sound(manager.post(revoke, follow=True)).text
    assert Invitation.objects.get().revoked_at is not None


# The way of an invited person


@pytest.fixture
def secret(firm: Organisation, ann: Person) -> str:
    return services.invite(services.principal_of(ann), "firm", role="manager")[1]


@pytest.mark.parametrize("language", [ENGLISH, CHINESE])
def test_an_invited_visitor_is_told_who_invites_as_what(secret: str, language: str) -> None:
    page = sound(browser(language=language).get(f"/invitations/{secret}"))
    assert ("Jinying AI" if language == ENGLISH else "津影智能") in page.text


def test_an_invited_visitor_signs_up_comes_back_and_accepts(secret: str) -> None:
    client, address = browser(), f"/invitations/{secret}"
    assert "by invitation" in sound(client.get("/accounts/signup/")).text
    source = client.get(address).content.decode()
    assert f'href="/accounts/signup/?next={address}"' in source
    assert secret not in str(dict(client.session))
    password = "a river runs through it 2026"
    response = client.post(
        "/accounts/signup/",
        {
            "email": "new@example.test",
            "password1": password,
            "password2": password,
            "next": address,
        },
    )
    assert response["Location"] == address
    assert "Accept as" in sound(client.get(address)).text
    page = sound(client.post(address, follow=True))
    assert "You belong to Jinying AI now." in page.text.replace("津影智能", "Jinying AI")
    assert Membership.objects.get(person__email="new@example.test").role == "manager"
    assert "invitation" not in client.session


def test_nobody_accepts_and_a_link_works_once(secret: str, firm: Organisation) -> None:
    address = f"/invitations/{secret}"
    assert asks_to_sign_in(browser().post(address))
    assert firm.memberships.count() == 1
    assert browser(make_person()).post(address).status_code == HTTPStatus.FOUND
    for response in (browser().get(address), browser(make_person()).post(address)):
        assert "This invitation is used." in sound(response, 404).text
    assert firm.memberships.count() == 2


def test_a_dead_link_opens_no_sign_up() -> None:
    client = browser()
    assert "unknown" in sound(client.get("/invitations/haihe_nothing"), 404).text
    assert "by invitation" in sound(client.get("/accounts/signup/")).text


# People


def test_my_organisations_name_my_role_or_the_next_step(firm: Organisation, ann: Person) -> None:
    assert "Jinying AI" in sound(browser(ann).get("/memberships")).text
    alone = sound(browser(make_person()).get("/memberships"))
    assert "You belong to no organisation yet" in alone.text
    file = browser(ann).get("/memberships?format=csv").content.decode()
    assert "津影智能,owner" in file.replace("\r", "")


def test_a_profile_is_changed_and_its_language_spoken(ann: Person) -> None:
    client = browser(ann)
    page = sound(client.post("/profile", {"name": "安娜", "language": CHINESE}, follow=True))
    assert "安娜" in page.text
    assert client.cookies["django_language"].value == CHINESE
    assert '<html lang="zh-hans"' in client.get("/profile").content.decode()
    ann.refresh_from_db()
    assert (ann.name, ann.language) == ("安娜", CHINESE)
    assert asks_to_sign_in(browser().post("/profile", {"name": "X", "language": "en"}))
    for wrong in ({"name": "", "language": "en"}, {"name": "X", "language": "tlh"}):
        sound(client.post("/profile", wrong), 422)


def test_the_language_switch_is_remembered_for_the_next_sign_in(ann: Person) -> None:
    client = browser(ann)
    switched = client.post("/i18n/setlang/", {"language": CHINESE, "next": "/memberships"})
    assert (switched["Location"], client.cookies["django_language"].value) == (
        "/memberships",
        CHINESE,
    )
    ann.refresh_from_db()
    assert ann.language == CHINESE
    sound(client.post("/i18n/setlang/", {"language": "tlh", "next": "/"}), 422)
    visitor = browser()
    assert visitor.post("/i18n/setlang/", {"language": "tlh", "next": "/"})["Location"] == "/"


def test_who_signs_in_reads_the_language_that_they_chose(ann: Person) -> None:
    ann.set_password("a long enough password")
    ann.language = CHINESE
    ann.save()
    client = browser()
    given = {"login": ann.email, "password": "a long enough password"}
    page = client.post("/accounts/login/?next=/memberships", given, follow=True)
    assert client.cookies["django_language"].value == CHINESE
    assert '<html lang="zh-hans"' in page.content.decode()
    assert "Successfully signed in" not in page.content.decode()


def test_a_token_is_shown_once(ann: Person) -> None:
    client = browser(ann)
    response = client.post("/tokens", {"name": "ci", "scopes": ["read", "data"], "days": "30"})
    sound(response)
    assert "no-store" in response["Cache-Control"]
    found = re.search(r"<code>(haihe_[\w-]{20,})</code>", response.content.decode())
    assert found
    principal = services.principal_of_token(found.group(1))
    assert (principal.id, principal.scopes) == (ann.pk, {"read", "data"})
    again = client.get("/tokens").content.decode()
    assert found.group(1) not in again
    assert "ci" in again


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "", "scopes": ["read"], "days": "1"},
        {"name": "ci", "scopes": [], "days": "1"},
        {"name": "ci", "scopes": ["everything"], "days": "1"},
        {"name": "ci", "scopes": ["read"], "days": "367"},
    ],
)
def test_a_bad_token_is_not_made(ann: Person, wrong: dict[str, Any]) -> None:
    sound(browser(ann).post("/tokens", wrong), 422)
    assert asks_to_sign_in(browser().post("/tokens", wrong))
    assert not ApiToken.objects.exists()


def test_a_token_is_revoked_by_its_person(ann: Person) -> None:
    made = services.create_token(services.principal_of(ann), name="ci", scopes=["read"])
    address = f"/tokens/{made.row.pk}/revoke"
    assert asks_to_sign_in(browser().post(address))
    assert browser(make_person()).post(address).status_code == 404
    assert services.principal_of_token(made.secret).id == ann.pk
    assert "opens nothing now" in sound(browser(ann).post(address, follow=True)).text
    assert ApiToken.objects.get().revoked_at is not None


def test_platform_roles_are_given_and_taken_on_their_page(ann: Person, operator: Person) -> None:
    address, given = "/platform/roles", {"email": ann.email, "role": "officer"}
    assert asks_to_sign_in(browser().post(address, given))
    sound(browser(ann).get(address), 403)
    sound(browser(ann).post(address, given), 403)
    auditor = browser(make_person(roles=("auditor",)))
    assert "Give the role" not in sound(auditor.get(address)).text
    sound(auditor.post(address, given), 403)
    assert not PlatformGrant.objects.filter(person=ann).exists()
    client = browser(operator)
    assert ann.email in sound(client.post(address, given, follow=True)).text
    unknown = client.post(address, {"email": "no@example.test", "role": "officer"})
    assert 'value="no@example.test"' in unknown.content.decode()
    sound(unknown, 404)
    assert ann.email.encode() in client.get(f"{address}?format=csv").content
    for person in (None, ann):
        refused = browser(person).post(f"{address}/revoke", given)
        assert asks_to_sign_in(refused) or refused.status_code == 403
    assert PlatformGrant.objects.filter(person=ann).exists()
    sound(client.post(f"{address}/revoke", given, follow=True))
    assert not PlatformGrant.objects.filter(person=ann).exists()


def test_acting_needs_the_form_of_the_page(firm: Organisation, ann: Person) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(ann)
    for address in ("/organisations/-/new", f"{CARD}/edit", f"{CARD}/invitations", "/tokens"):
        assert client.post(address, {}).status_code == 403
