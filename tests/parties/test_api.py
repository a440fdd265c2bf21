"""Members, invitations and tokens over HTTP; what every route keeps to is in tests/api."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from haihe.parties.models import ApiToken, Invitation, Membership, Organisation, Person
from tests.factories import make_organisation, make_person, make_token

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]
FIRM = "/organisations/firm"


def call(person: Person | None, method: str, path: str, body: Any = None, key: str = "k1") -> Any:
    """Call the API as a person with a token for everything, or as nobody."""
    headers = {"idempotency-key": key}
    if person is not None:
        headers["authorization"] = f"Bearer {make_token(person)}"
    content = json.dumps(body if body is not None else {})
    return Client().generic(
        method, f"/api/v1{path}", content, content_type="application/json", headers=headers
    )


@pytest.fixture
def stranger() -> Person:
    """The owner of another organisation."""
    stranger = make_person()
    make_organisation("other", owner=stranger)
    return stranger


@pytest.fixture
def bob(firm: Organisation) -> Person:
    bob = make_person("bob@example.test")
    Membership.objects.create(organisation=firm, person=bob, role="member")
    return bob


def test_who_asks_is_told_who_they_are(ann: Person, firm: Organisation) -> None:
    nobody = call(None, "GET", "/me").json()
    assert (nobody["id"], nobody["memberships"]) == (None, {})
    me = call(ann, "GET", "/me").json()
    assert (me["id"], me["memberships"]) == (str(ann.pk), {"firm": "owner"})
    assert "read" in me["scopes"]


def test_members_are_for_insiders(ann: Person, firm: Organisation, stranger: Person) -> None:
    path = f"{FIRM}/members"
    assert call(None, "GET", path).status_code == 401
    assert call(stranger, "GET", path).status_code == 403
    assert [m["email"] for m in call(ann, "GET", path).json()] == [ann.email]


def test_roles_are_the_owners_to_give(ann: Person, bob: Person, stranger: Person) -> None:
    path = f"{FIRM}/members/{bob.pk}"
    for wrong, status in ((None, 401), (stranger, 403), (bob, 403)):
        assert call(wrong, "PUT", path, {"role": "owner"}).status_code == status
        assert call(wrong, "DELETE", path).status_code == status
    assert Membership.objects.get(person=bob).role == "member"
    assert call(ann, "PUT", path, {"role": "manager"}).json()["role"] == "manager"
    assert call(ann, "PUT", path, {"role": "boss"}).status_code == 422
    half = {"role": "member", "duties": ["nonsense"]}
    assert call(ann, "PUT", path, half).status_code == 422
    assert call(ann, "PUT", path, {"role": "manager"}).json()["role"] == "manager"
    assert call(ann, "DELETE", path).status_code == 204
    assert call(ann, "DELETE", path).status_code == 404
    last = call(ann, "DELETE", f"{FIRM}/members/{ann.pk}")
    assert (last.status_code, last.json()["code"]) == (409, "parties.last_owner")


def test_an_invitation_is_made_accepted_and_withdrawn(
    ann: Person, firm: Organisation, stranger: Person
) -> None:
    path = f"{FIRM}/invitations"
    for wrong, status in ((None, 401), (stranger, 403)):
        assert call(wrong, "POST", path, {"role": "member"}).status_code == status
        assert call(wrong, "GET", path).status_code == status
    made = call(ann, "POST", path, {"role": "member"})
    assert made.status_code == 201
    assert made["Cache-Control"] == "no-store"
    accept = {"secret": made.json()["secret"]}
    assert call(None, "POST", "/invitations/accept", accept).status_code == 401
    assert call(stranger, "POST", "/invitations/accept", accept).json()["role"] == "member"
    dead = call(make_person(), "POST", "/invitations/accept", accept)
    assert (dead.status_code, dead.json()["code"]) == (404, "parties.dead_invitation")
    second = call(ann, "POST", path, {"role": "auditor"}, key="k2").json()
    assert [item["id"] for item in call(ann, "GET", path).json()] == [second["id"]]
    assert "secret" not in [k for k, v in call(ann, "GET", path).json()[0].items() if v]
    assert call(ann, "DELETE", f"{path}/{second['id']}").status_code == 204
    assert call(ann, "GET", path).json() == []
    assert Invitation.objects.count() == 2


def test_tokens_are_ones_own(ann: Person, stranger: Person) -> None:
    body = {"name": "ci", "scopes": ["read"]}
    for method, path in (("GET", "/tokens"), ("POST", "/tokens"), ("DELETE", "/tokens/x")):
        assert call(None, method, path, body).status_code == 401
    made = call(ann, "POST", "/tokens", body)
    assert made.status_code == 201
    token = made.json()
    assert call(stranger, "DELETE", f"/tokens/{token['id']}").status_code == 404
    assert ApiToken.objects.get(pk=token["id"]).revoked_at is None
    assert call(ann, "DELETE", f"/tokens/{token['id']}").status_code == 204
    listed = {row["id"]: row for row in call(ann, "GET", "/tokens").json()}
    assert listed[token["id"]]["revoked_at"] is not None
    assert all(row["secret"] is None for row in listed.values())


def test_the_operator_verifies(ann: Person, stranger: Person) -> None:
    make_organisation("new", verified=False, owner=ann)
    path = "/organisations/new/verify"
    for wrong, status in ((None, 401), (stranger, 403), (ann, 403)):
        assert call(wrong, "POST", path).status_code == status
    assert Organisation.objects.get(slug="new").verified_at is None
    answer = call(make_person(roles=("operator",)), "POST", path)
    assert answer.json()["verified_at"] is not None
