"""A storage that fails somewhere in a request: 503 with its name, in the API and on pages."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.core.files import uploadhandler
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError
from django.test import Client

from haihe.kernel.models import IdempotencyRecord
from haihe.parties import services
from haihe.parties.models import ApiToken, Organisation, Person
from tests.factories import make_organisation, make_person, make_token

pytestmark = pytest.mark.django_db
FULL = OperationalError("database or disk is full")


@contextmanager
def failing(owner: Any, name: str, error: Exception = FULL) -> Iterator[None]:
    """Have a call fail as a full disk makes it fail."""

    def fail(*_: object, **__: object) -> None:
        raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, fail)
        yield


@pytest.fixture
def client() -> Client:
    """A browser or program that is given whatever the server answers."""
    token = make_token(make_person("ann@example.test"))
    return Client(raise_request_exception=False, headers={"authorization": f"Bearer {token}"})


def is_named(answer: Any) -> bool:
    assert answer.status_code == 503, answer.content
    assert answer["Content-Type"] == "application/problem+json"
    return bool(answer.json()["code"] == "kernel.storage_unavailable")


def post(client: Client, path: str, **fields: Any) -> Any:
    return client.post(
        f"/api/v1{path}", fields, content_type="application/json", headers={"idempotency-key": "k"}
    )


def test_a_route_that_cannot_read(client: Client) -> None:
    with failing(type(Organisation.objects.all()), "_fetch_all"):
        assert is_named(client.get("/api/v1/organisations"))


def test_a_request_whose_key_cannot_be_kept(client: Client) -> None:
    with failing(IdempotencyRecord, "save"):
        assert is_named(post(client, "/tokens", name="x", scopes=["read"]))
    assert ApiToken.objects.count() == 1, "the caller's own"


def test_a_caller_who_cannot_be_looked_up(client: Client) -> None:
    with failing(type(ApiToken.objects.all()), "_fetch_all"):
        assert is_named(post(client, "/tokens", name="x", scopes=["read"]))


def test_an_upload_that_cannot_be_put_aside(client: Client) -> None:
    full = OSError(errno.ENOSPC, "No space left on device", "/tmp/upload")
    large = SimpleUploadedFile("a.csv", b"a\n" * 2_000_000)
    with failing(uploadhandler, "TemporaryUploadedFile", full):
        answer = client.post(
            "/api/v1/datasets/x/versions", {"file": large}, headers={"idempotency-key": "k"}
        )
    assert is_named(answer)


def test_a_defect_is_no_full_disk(client: Client) -> None:
    with failing(type(Organisation.objects.all()), "_fetch_all", ZeroDivisionError("no")):
        answer = client.get("/api/v1/organisations")
    assert answer.status_code == 500
    assert answer.json()["code"] == "haihe.defect"


def browser(person: Person) -> Client:
    made = Client(raise_request_exception=False, headers={"accept-language": "en"})
    made.force_login(person)
    return made


def test_a_page_that_cannot_read_says_so() -> None:
    ann = browser(make_person("ann@example.test"))
    with failing(type(Organisation.objects.all()), "_fetch_all"):
        answer = ann.get("/organisations")
    assert answer.status_code == 503
    assert "kernel.storage_unavailable" in answer.content.decode()


def test_a_session_that_cannot_be_kept_is_told_after_its_page() -> None:
    owner = make_person("owner@example.test")
    make_organisation("acme", owner=owner)
    _, secret = services.invite(services.principal_of(owner), "acme", role="member")
    stranger = Client(raise_request_exception=False, headers={"accept-language": "en"})
    with failing(SessionStore, "save"):
        answer = stranger.get(f"/invitations/{secret}")
    assert answer.status_code == 503
    assert "kernel.storage_unavailable" in answer.content.decode()


@pytest.mark.parametrize("language", ["zh-hans", "en"])
def test_an_address_with_nul_is_refused_in_the_readers_language(language: str) -> None:
    browser = Client(raise_request_exception=False)
    browser.cookies["django_language"] = language
    answer = browser.get("/evidence?kind=%00")
    assert answer.status_code == 400
    assert f'<html lang="{language}"' in answer.content.decode()


def test_malformed_input_is_named_in_the_problem(client: Client) -> None:
    problem = client.get("/api/v1/organisations?limit=0").json()
    assert problem["detail"].startswith("The input is not as documented: query.limit: ")
