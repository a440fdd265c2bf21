"""What the portal's tests share: compiled translations, a way to render, a reader of markup."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.template import RequestContext, Template
from django.test import Client, RequestFactory
from django.utils import translation
from pytest_django import Settings
from tools import messages

from haihe.parties.models import Person
from haihe.parties.services import create_person
from haihe.portal.loader import Compiler

PASSWORD = "a long enough password"
Render = Callable[..., str]


@pytest.fixture(scope="session", autouse=True)
def compiled_messages() -> None:
    """Chinese pages need the catalogue in the form that Django reads."""
    messages.compile_catalogues()


@pytest.fixture(autouse=True)
def english(settings: Settings) -> Iterator[None]:
    """Tests read English unless they choose, whatever the installation's language is."""
    settings.LANGUAGE_CODE = "en"
    with translation.override("en"):
        yield


@pytest.fixture
def render(rf: RequestFactory) -> Render:
    """Render markup with components in it, as the template of a page would."""

    def render(source: str, path: str = "/", **context: Any) -> str:
        request = rf.get(path)
        request.user = AnonymousUser()
        template = Template(Compiler().process(source))
        return template.render(RequestContext(request, context))

    return render


@pytest.fixture
def person(db: None, settings: Settings) -> Person:
    """Somebody with a password, cheap to check, and a confirmed address."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    return create_person(email="ann@example.test", name="Ann", password=PASSWORD)


@pytest.fixture
def signed_in(client: Client, person: Person) -> Client:
    """A browser in which Ann signed in, and showed again that it is her."""
    client.post("/accounts/login/", {"login": person.email, "password": PASSWORD})
    assert "_auth_user_id" in client.session
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    client.get("/accounts/email/")  # takes the greeting, which is in English
    return client


class Markup(HTMLParser):
    """What a page's markup has that the content security policy would block, and its text."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.forbidden: list[str] = []
        self.attributes: dict[str, list[str]] = {}
        self._silent = 0
        self._text: list[str] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note inline styles and scripts."""
        names = dict(attrs)
        if tag == "style" or (tag == "script" and "src" not in names):
            self.forbidden.append(f"<{tag}>")
        if tag in ("script", "style", "title"):
            self._silent += 1
        for name, value in attrs:
            self.attributes.setdefault(name, []).append(value or "")
            if name == "style" or name.startswith("on") or "javascript:" in (value or ""):
                self.forbidden.append(f"{tag} {name}={value}")

    def handle_endtag(self, tag: str) -> None:
        """Leave what is not shown."""
        if tag in ("script", "style", "title"):
            self._silent -= 1

    def handle_data(self, data: str) -> None:
        """Keep what is shown."""
        if not self._silent:
            self._text.append(data)

    @property
    def text(self) -> str:
        """The text of the page, in one line."""
        return re.sub(r"\s+", " ", " ".join(self._text)).strip()
