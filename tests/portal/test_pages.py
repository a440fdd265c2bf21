"""The shell: layout, switches, sign-in pages, in both languages."""

from __future__ import annotations

import re
from http import HTTPStatus

import pytest
from allauth.mfa.adapter import get_adapter
from allauth.mfa.totp.internal.auth import hotp_value, yield_hotp_counters_from_time
from django.core import mail
from django.test import Client
from django.urls import path
from django.utils import translation
from pytest_django import Settings

from haihe.app.urls import urlpatterns as real
from haihe.parties.models import Person
from haihe.parties.services import invite, principal_of
from haihe.portal import views
from haihe.portal.templatetags.haihe import __version__
from tests.factories import make_organisation
from tests.portal.conftest import PASSWORD, Markup

urlpatterns = [path("guide", views.styleguide), *real]

ENTRANCE = [
    "/accounts/login/",
    "/accounts/signup/",
    "/accounts/password/reset/",
    "/accounts/password/reset/done/",
    "/accounts/password/reset/key/1-set-password/",
    "/accounts/password/reset/key/done/",
    "/accounts/confirm-email/",
    "/accounts/confirm-email/no-such-key/",
    "/accounts/inactive/",
    "/accounts/3rdparty/login/cancelled/",
]
ACCOUNT = [
    "/accounts/email/",
    "/accounts/password/change/",
    "/accounts/2fa/",
    "/accounts/2fa/totp/activate/",
    "/accounts/logout/",
    "/accounts/reauthenticate/",
    "/accounts/3rdparty/",
]
# What stays Latin on a Chinese page: names, addresses, codes.
LATIN = re.compile(
    r"Haihe|haihe|English|UTC|GPU|JSON|API|CSV|XLSX|GET|Ann\b|ann@example\.test|https?\S+|\S+@\S+"
)

pytestmark = pytest.mark.django_db


def speak(client: Client, language: str) -> Client:
    client.cookies["django_language"] = language
    return client


def assert_sound(source: str, language: str) -> Markup:
    """No inline style or script, the right language, a title, a way past the menu."""
    page = Markup(source)
    assert page.forbidden == []
    assert source.count("<h1") == 1
    assert f'<html lang="{language}"' in source
    assert re.search(r"<title>\s*\S[^<]* · 海河 Haihe</title>", source)
    assert 'href="#content"' in source
    if language == "zh-hans":
        left = re.findall(r"[A-Za-z]{3,} [A-Za-z]{2,}", LATIN.sub("", page.text))
        assert left == [], f"English on a Chinese page: {left}"
    return page


@pytest.mark.parametrize("language", ["en", "zh-hans"])
@pytest.mark.parametrize("address", ENTRANCE)
def test_pages_for_people_who_are_not_in(client: Client, address: str, language: str) -> None:
    response = speak(client, language).get(address)
    assert response.status_code == HTTPStatus.OK
    assert_sound(response.content.decode(), language)


@pytest.mark.parametrize("language", ["en", "zh-hans"])
@pytest.mark.parametrize("address", ACCOUNT)
def test_pages_on_which_one_looks_after_the_sign_in(
    signed_in: Client, address: str, language: str
) -> None:
    response = speak(signed_in, language).get(address)
    assert response.status_code == HTTPStatus.OK
    assert_sound(response.content.decode(), language)


@pytest.mark.parametrize("address", ["/accounts/email/", "/accounts/2fa/"])
def test_who_is_not_signed_in_is_asked_to(client: Client, address: str) -> None:
    assert client.get(address).headers["Location"] == f"/accounts/login/?next={address}"


@pytest.mark.urls(__name__)
@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_the_style_guide(client: Client, language: str) -> None:
    source = speak(client, language).get("/guide").content.decode()
    # The log and the slugs of the example jobs are data.
    data = re.compile(r'<pre role="log".*?</pre>|<code.*?</code>', re.DOTALL)
    assert_sound(data.sub("", source), language)
    ids = Markup(source).attributes["id"]
    assert len(ids) == len(set(ids))


def test_the_style_guide_is_for_development_only(client: Client) -> None:
    assert client.get("/styleguide").status_code == HTTPStatus.NOT_FOUND


def test_static_addresses_change_with_the_version(client: Client) -> None:
    source = client.get("/accounts/login/").content.decode()
    assert f'href="/static/portal/haihe.css?v={__version__}"' in source


def test_htmx_neither_evaluates_nor_styles_nor_stores(client: Client) -> None:
    source = client.get("/accounts/login/").content.decode()
    assert '"allowEval": false' in source
    assert '"includeIndicatorStyles": false' in source
    assert '"historyCacheSize": 0' in source


def test_the_language_switch_keeps_the_page(client: Client) -> None:
    before = client.get("/accounts/login/?next=/x").content.decode()
    assert 'value="zh-hans"' in before
    answer = client.post("/i18n/setlang/", {"language": "zh-hans", "next": "/accounts/login/"})
    assert answer.headers["Location"] == "/accounts/login/"
    assert "登录" in client.get("/accounts/login/").content.decode()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_theme_switch_holds_before_any_script_runs(client: Client, theme: str) -> None:
    answer = client.post("/theme", {"theme": theme, "next": "/accounts/login/?a=1"})
    assert answer.headers["Location"] == "/accounts/login/?a=1"
    cookie = answer.cookies["haihe_theme"]
    assert (cookie.value, cookie["samesite"], bool(cookie["httponly"])) == (theme, "Lax", True)
    assert f'data-bs-theme="{theme}"' in client.get("/accounts/login/").content.decode()


def test_the_system_decides_the_theme_by_default(client: Client) -> None:
    client.cookies["haihe_theme"] = "<script>"
    assert "data-bs-theme" not in client.get("/accounts/login/").content.decode()


def test_the_theme_switch_leads_to_our_pages_only(client: Client) -> None:
    answer = client.post("/theme", {"theme": "dark", "next": "https://evil.example/"})
    assert answer.headers["Location"] == "/"
    assert client.get("/theme").status_code == HTTPStatus.METHOD_NOT_ALLOWED
    assert client.post("/theme", {"theme": "blue"}).status_code == HTTPStatus.UNPROCESSABLE_ENTITY


def test_the_person_menu_signs_out_by_post(signed_in: Client) -> None:
    source = signed_in.get("/accounts/email/").content.decode()
    assert '<form method="post" action="/accounts/logout/">' in source
    assert "ann@example.test" in source
    signed_in.post("/accounts/logout/")
    assert "_auth_user_id" not in signed_in.session


def test_a_wrong_password_is_said_beside_the_form(client: Client, person: Person) -> None:
    answer = client.post("/accounts/login/", {"login": person.email, "password": "wrong"})
    page = Markup(answer.content.decode())
    assert "are not correct" in page.text
    assert "alert" in page.attributes["role"]


def test_too_many_attempts_get_a_page(client: Client, person: Person) -> None:
    for _ in range(40):
        answer = client.post("/accounts/login/", {"login": person.email, "password": "wrong"})
        if answer.status_code == HTTPStatus.TOO_MANY_REQUESTS:
            break
    assert answer.status_code == HTTPStatus.TOO_MANY_REQUESTS
    assert "Too many attempts" in assert_sound(answer.content.decode(), "en").text


def test_a_password_is_reset_from_the_mail_to_the_last_page(client: Client, person: Person) -> None:
    speak(client, "zh-hans")
    client.post("/accounts/password/reset/", {"email": person.email})
    letter = str(mail.outbox[0].body)
    assert "Hello" not in letter
    assert "海河" in letter
    link = re.search(r"https?://[^/]+(/accounts/password/reset/key/\S+)", letter)
    assert link
    form = client.get(link.group(1), follow=True)
    assert_sound(form.content.decode(), "zh-hans")
    new = {"password1": "another long password", "password2": "another long password"}
    done = client.post(form.redirect_chain[-1][0], new, follow=True)
    assert_sound(done.content.decode(), "zh-hans")
    person.refresh_from_db()
    assert person.check_password("another long password")


@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_the_second_step_from_switching_on_to_signing_in(
    signed_in: Client, person: Person, language: str
) -> None:
    speak(signed_in, language)
    activate = signed_in.get("/accounts/2fa/totp/activate/")
    secret = activate.context["form"].secret
    assert 'src="data:image/svg+xml;base64,' in activate.content.decode()
    counter = next(yield_hotp_counters_from_time())
    code = f"{hotp_value(secret, counter):06d}"
    codes = signed_in.post("/accounts/2fa/totp/activate/", {"code": code}, follow=True)
    assert_sound(codes.content.decode(), language)
    for page in ("", "recovery-codes/generate/", "totp/deactivate/"):
        assert_sound(signed_in.get(f"/accounts/2fa/{page}").content.decode(), language)
    assert get_adapter().is_mfa_enabled(person)

    browser = speak(Client(), language)
    step = browser.post(
        "/accounts/login/", {"login": person.email, "password": PASSWORD}, follow=True
    )
    assert "_auth_user_id" not in browser.session
    assert_sound(step.content.decode(), language)
    recovery = codes.context["unused_codes"][0]
    browser.post("/accounts/2fa/authenticate/", {"code": recovery})
    assert "_auth_user_id" in browser.session


def test_providers_are_offered_where_they_are_set_up(client: Client, settings: Settings) -> None:
    settings.SOCIALACCOUNT_PROVIDERS = {
        "openid_connect": {
            "APPS": [
                {
                    "provider_id": "city",
                    "name": "City sign-in",
                    "client_id": "x",
                    "settings": {"server_url": "https://id.example"},
                }
            ]
        }
    }
    source = client.get("/accounts/login/?next=/jobs").content.decode()
    assert 'action="/accounts/oidc/city/login/?process=login&amp;next=%2Fjobs"' in source
    assert "City sign-in" in source
    assert_sound(client.get("/accounts/oidc/city/login/").content.decode(), "en")


def test_every_language_is_complete_on_the_sign_up_form(client: Client, person: Person) -> None:
    make_organisation("firm", owner=person)
    _, secret = invite(principal_of(person), "firm", role="member")
    client.get(f"/invitations/{secret}")
    for language in ("en", "zh-hans"):
        with translation.override(language):
            answer = speak(client, language).get("/accounts/signup/")
        page = assert_sound(answer.content.decode(), language)
        assert "nickname" in page.attributes["name"]
