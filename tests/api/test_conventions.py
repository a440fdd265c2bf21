"""What every route of the API keeps to: problems, cursors, idempotency, ETags."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from haihe.kernel.models import IdempotencyRecord
from haihe.parties.models import Organisation
from tests.factories import make_organisation, make_person, make_token

pytestmark = pytest.mark.django_db

BODY = {
    "slug": "acme",
    "name": "极光",
    "kind": "enterprise",
    "credit_code": "91120111MADEM0004C",
}


@pytest.fixture
def bearer() -> Client:
    person = make_person("ann@example.test")
    return Client(headers={"authorization": f"Bearer {make_token(person)}"})


def post(client: Client, path: str, body: Any, key: str | None = "k1") -> Any:
    headers = {} if key is None else {"idempotency-key": key}
    return client.post(
        f"/api/v1{path}", json.dumps(body), content_type="application/json", headers=headers
    )


def test_an_anonymous_caller_gets_a_problem_that_says_to_sign_in(client: Client) -> None:
    answer = post(client, "/organisations", BODY)
    assert answer.status_code == 401
    assert answer["Content-Type"] == "application/problem+json"
    assert answer["WWW-Authenticate"].startswith("Bearer")
    assert answer.json()["code"] == "policy.not_signed_in"
    assert not Organisation.objects.exists()


def test_a_bad_token_is_refused_and_never_taken_for_nobody(client: Client) -> None:
    answer = client.get("/api/v1/organisations", headers={"authorization": "Bearer haihe_x"})
    assert answer.status_code == 401
    assert answer.json()["code"] == "parties.bad_token"


def test_a_post_without_a_key_is_refused(bearer: Client) -> None:
    answer = post(bearer, "/organisations", BODY, key=None)
    assert answer.status_code == 422
    assert answer.json()["code"] == "input.idempotency_key_missing"


def test_a_repeated_post_has_one_effect_and_the_same_answer(bearer: Client) -> None:
    first, second = (post(bearer, "/organisations", BODY) for _ in range(2))
    assert first.status_code == second.status_code == 201
    assert first.json() == second.json()
    assert second["Idempotency-Replayed"] == "true"
    assert Organisation.objects.count() == 1


def test_a_key_used_for_another_request_is_refused(bearer: Client) -> None:
    post(bearer, "/organisations", BODY)
    answer = post(bearer, "/organisations", {**BODY, "slug": "other"})
    assert answer.status_code == 409
    assert answer.json()["code"] == "input.idempotency_mismatch"


def test_a_failed_post_leaves_nothing_and_its_key_may_be_tried_again(bearer: Client) -> None:
    wrong = post(bearer, "/organisations", {**BODY, "credit_code": "91120111MADEM0004A"})
    assert wrong.status_code == 422
    assert wrong.json()["code"] == "parties.bad_credit_code"
    assert "computed is C" in wrong.json()["detail"]
    assert not IdempotencyRecord.objects.exists()
    assert post(bearer, "/organisations", BODY).status_code == 201


def test_keys_of_two_callers_do_not_meet(bearer: Client) -> None:
    other = Client(
        headers={"authorization": f"Bearer {make_token(make_person('bob@example.test'))}"}
    )
    assert post(bearer, "/organisations", BODY).status_code == 201
    answer = post(other, "/organisations", BODY)
    assert answer.json()["code"] == "parties.already_registered"


def test_a_secret_is_in_the_first_answer_and_kept_nowhere(bearer: Client) -> None:
    body = {"name": "ci", "scopes": ["read"]}
    first = post(bearer, "/tokens", body)
    secret = first.json()["secret"]
    assert secret.startswith("haihe_")
    assert secret not in str(list(IdempotencyRecord.objects.values()))
    again = post(bearer, "/tokens", body)
    assert again.status_code == 409
    assert again.json()["code"] == "input.shown_once"


def test_an_edit_over_somebody_elses_change_is_refused(bearer: Client) -> None:
    post(bearer, "/organisations", BODY)
    etag = bearer.get("/api/v1/organisations/acme")["ETag"]
    assert (
        bearer.get("/api/v1/organisations/acme", headers={"if-none-match": etag}).status_code == 304
    )

    def put(name: str) -> Any:
        return bearer.put(
            "/api/v1/organisations/acme",
            json.dumps({"name": name}),
            content_type="application/json",
            headers={"if-match": etag},
        )

    assert put("one").status_code == 200
    late = put("two")
    assert late.status_code == 412
    assert late.json()["code"] == "input.stale_edit"
    assert Organisation.objects.get().name == "one"


def test_a_malformed_body_names_its_fields(bearer: Client) -> None:
    answer = post(bearer, "/organisations", {"slug": "x"})
    assert answer.status_code == 422
    fields = {item["field"] for item in answer.json()["fields"]}
    assert {"body.body.name", "body.body.kind", "body.body.credit_code"} <= fields


def test_a_list_is_read_to_its_end_by_cursor(bearer: Client) -> None:
    made = {make_organisation(f"org-{n}").slug for n in range(5)}
    seen: list[str] = []
    cursor = ""
    for _ in range(10):
        page = bearer.get(f"/api/v1/organisations?limit=2&cursor={cursor}").json()
        seen += [item["slug"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(seen) == 5
    assert set(seen) == made


def test_a_session_needs_its_csrf_token_to_act() -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(make_person("ann@example.test"))
    assert client.get("/api/v1/me").json()["name"] == "ann"
    assert post(client, "/organisations", BODY).status_code == 403
    assert not Organisation.objects.exists()


def test_an_unknown_route_is_a_problem_too(client: Client) -> None:
    answer = client.get("/api/v1/nothing")
    assert answer.status_code == 404
