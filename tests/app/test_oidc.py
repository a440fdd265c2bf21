"""Signing in through an OpenID Connect provider that only the settings file names.

The provider is a real one on loopback, in a process of its own; Haihe asks it over HTTP.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from allauth.socialaccount.models import SocialAccount
from django.conf import settings as django_settings
from django.test import Client
from pytest_django import Settings

from haihe.app.settings import identity_providers
from haihe.kernel.settings import HaiheSettings, load_settings
from haihe.parties import services
from haihe.parties.models import Membership, Person
from tests.factories import make_organisation, make_person

pytestmark = pytest.mark.django_db
LOGIN = "/accounts/oidc/city/login/"
PATIENCE_S = 30.0
ANN = {"email": "Ann@Example.test", "email_verified": True, "name": "安 Ann"}


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    """The address of a running provider."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "oidc_provider_mock", "--port", str(port)],
        env={**os.environ, "AUTHLIB_INSECURE_TRANSPORT": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            httpx.get(url)
            break
        except httpx.TransportError:
            assert process.poll() is None, "the provider ended"
            assert time.monotonic() < deadline, "the provider did not start"
            time.sleep(0.1)
    yield url
    process.terminate()
    process.wait(timeout=10)


def configure(
    settings: Settings, file: Path, monkeypatch: pytest.MonkeyPatch, more: str = ""
) -> None:
    """Read a settings file as a start of the platform does."""
    monkeypatch.setenv("HAIHE_CONFIG", str(file))
    file.write_text(file.read_text() + more)
    load_settings.cache_clear()
    settings.SOCIALACCOUNT_PROVIDERS = identity_providers(HaiheSettings().oidc)


@pytest.fixture
def file(
    provider: str,
    home: Path,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A settings file that names the provider, read."""
    file = home / "haihe.toml"
    file.write_text(
        f"""
[[oidc]]
provider_id = "city"
name = "City identity"
server_url = "{provider}"
client_id = "haihe"
secret = "hush"
"""
    )
    configure(settings, file, monkeypatch)
    return file


@pytest.fixture
def open_sign_up(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAIHE_SIGN_UP", "open")
    load_settings.cache_clear()


def browser() -> Client:
    return Client(headers={"accept-language": "en"})


def sign_in(client: Client, provider: str, claims: dict[str, Any], *, path: str = LOGIN) -> Any:
    """Go to the provider, sign in there, come back; the page that one then sees."""
    httpx.put(f"{provider}/users/{claims.get('sub', 'ann')}", json=claims).raise_for_status()
    away = client.post(path)
    assert away.status_code == 302, away.content
    assert away["Location"].startswith(provider)
    assert "code_challenge=" in away["Location"], "with PKCE"
    back = httpx.post(away["Location"], data={"sub": claims.get("sub", "ann")})
    assert back.status_code == 302, back.text
    place = urlsplit(back.headers["Location"])
    assert place.path == "/accounts/oidc/city/login/callback/"
    return client.get(f"{place.path}?{place.query}", follow=True)


def signed_in(client: Client) -> str:
    """Who is signed in."""
    return str(client.get("/api/v1/me").json()["name"])


def test_the_sign_in_page_offers_the_provider(file: Path) -> None:
    page = browser().get("/accounts/login/").content.decode()
    assert "City identity" in page
    assert LOGIN in page


@pytest.mark.usefixtures("file")
def test_the_secret_is_shown_nowhere() -> None:
    assert "hush" not in str(load_settings().shown())
    assert "hush" not in repr(load_settings())
    assert django_settings.SOCIALACCOUNT_PROVIDERS["openid_connect"]["APPS"][0]["secret"] == "hush"


@pytest.mark.usefixtures("file")
def test_an_unknown_address_needs_an_invitation(provider: str) -> None:
    client = browser()
    page = sign_in(client, provider, ANN)
    assert "Accounts are by invitation" in page.content.decode()
    assert not Person.objects.exists()
    assert signed_in(client) == ""


@pytest.mark.usefixtures("file")
def test_an_invitation_makes_an_account_and_a_member(provider: str) -> None:
    owner = make_person("owner@example.test")
    make_organisation("acme", owner=owner)
    _, secret = services.invite(services.principal_of(owner), "acme", role="member")
    client = browser()
    client.get(f"/invitations/{secret}")
    sign_in(client, provider, ANN)
    assert signed_in(client) == "安 Ann"
    client.post(f"/invitations/{secret}")
    assert Membership.objects.get(person__email="ann@example.test").role == "member"


@pytest.mark.usefixtures("open_sign_up")
def test_a_first_sign_in_makes_an_account_and_the_second_finds_it(provider: str) -> None:
    first, second = browser(), browser()
    sign_in(first, provider, ANN)
    person = Person.objects.get()
    assert (person.email, person.name) == ("ann@example.test", "安 Ann")
    assert not person.has_usable_password()
    assert signed_in(first) == "安 Ann"
    sign_in(second, provider, ANN | {"email_verified": False})
    assert signed_in(second) == "安 Ann", "who is known is known by the provider's id"
    assert Person.objects.count() == 1


@pytest.mark.usefixtures("open_sign_up")
@pytest.mark.parametrize("verified", [False, "false", None, 0, "yes"])
def test_an_address_that_nobody_checked_makes_no_account(provider: str, verified: object) -> None:
    client = browser()
    page = sign_in(client, provider, {**ANN, "email_verified": verified})
    assert page.status_code == 403
    assert "parties.unverified_email" in page.content.decode()
    assert not Person.objects.exists()
    assert signed_in(client) == ""


@pytest.mark.usefixtures("open_sign_up")
@pytest.mark.parametrize("claims", [{"email_verified": True}, {"email": "x", "name": "Ann"}])
def test_a_provider_that_gives_no_address_makes_no_account(
    provider: str, claims: dict[str, Any]
) -> None:
    page = sign_in(browser(), provider, claims)
    assert page.status_code == 403
    assert not Person.objects.exists()


@pytest.mark.usefixtures("open_sign_up")
def test_a_trusted_provider_need_not_say_that_it_checked(
    provider: str, file: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(settings, file, monkeypatch, "trust_email = true\n")
    client = browser()
    sign_in(client, provider, {"email": "ann@example.test"})
    assert signed_in(client) == "ann@example.test"


@pytest.mark.usefixtures("open_sign_up")
def test_an_account_that_exists_is_not_taken_over_but_can_be_connected(provider: str) -> None:
    ann = make_person("ann@example.test")
    client = browser()
    page = sign_in(client, provider, ANN)
    assert page.status_code == 409
    assert "parties.account_exists" in page.content.decode()
    assert signed_in(client) == ""
    assert not SocialAccount.objects.exists()

    client.force_login(ann)
    sign_in(client, provider, ANN, path=f"{LOGIN}?process=connect")
    assert SocialAccount.objects.get().user == ann
    later = browser()
    sign_in(later, provider, ANN)
    assert signed_in(later) == "ann"
    assert Person.objects.count() == 1


@pytest.mark.usefixtures("open_sign_up")
def test_a_closed_account_stays_closed(provider: str) -> None:
    sign_in(browser(), provider, ANN)
    Person.objects.update(is_active=False)
    client = browser()
    page = sign_in(client, provider, ANN)
    assert page.status_code == 200
    assert signed_in(client) == ""


@pytest.mark.usefixtures("open_sign_up")
def test_whoever_turns_back_at_the_provider_is_told_so(provider: str) -> None:
    client = browser()
    away = client.post(LOGIN)
    back = httpx.post(away["Location"], data={"action": "deny"})
    place = urlsplit(back.headers["Location"])
    assert "error=access_denied" in place.query
    state = dict(part.split("=") for part in urlsplit(away["Location"]).query.split("&"))["state"]
    page = client.get(
        f"{place.path or LOGIN + 'callback/'}?{place.query}&state={state}", follow=True
    )
    assert "Sign-in cancelled" in page.content.decode()


@pytest.mark.usefixtures("open_sign_up")
@pytest.mark.parametrize("query", ["", "code=x", "code=x&state=forged"])
def test_an_answer_that_nobody_asked_for_signs_nobody_in(query: str) -> None:
    client = browser()
    page = client.get(f"{LOGIN}callback/?{query}", follow=True)
    assert page.status_code in (200, 401)
    assert "did not sign you in" in page.content.decode()
    assert signed_in(client) == ""


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("http://127.0.0.1:1", "it does not answer"),
        ("{provider}/no/such", "status 404"),
        ("{provider}/.well-known/../?", "not answer with JSON"),
    ],
)
def test_a_provider_that_cannot_be_asked_is_told_and_the_password_still_works(
    address: str,
    reason: str,
    provider: str,
    file: Path,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file.write_text(file.read_text().replace(provider, address.format(provider=provider)))
    configure(settings, file, monkeypatch)
    page = browser().post(LOGIN)
    assert page.status_code == 503
    assert "parties.provider_unavailable" in page.content.decode()
    assert reason in page.content.decode()
    assert browser().get("/accounts/login/").status_code == 200


def test_a_provider_that_is_not_configured_is_no_address(file: Path) -> None:
    assert browser().post("/accounts/oidc/other/login/").status_code == 404
