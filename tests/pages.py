"""What tests of pages share: a browser that somebody is signed in to, and a sound page."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

from django.test import Client

from haihe.parties.models import Person
from tests.portal.conftest import Markup

ENGLISH, CHINESE = "en", "zh-hans"


def browser(person: Person | None = None, language: str = ENGLISH) -> Client:
    """A browser in a language, with somebody signed in if given."""
    client = Client()
    if person is not None:
        client.force_login(person)
    client.cookies["django_language"] = language
    return client


def sound(response: Any, status: int = HTTPStatus.OK) -> Markup:
    """The page in a response: of this status, in the browser's language, with one heading, and
    nothing the policy blocks.
    """
    source = response.content.decode()
    assert response.status_code == status, re.sub(r"\s+", " ", source)[-2_000:]
    page = Markup(source)
    assert page.forbidden == []
    asked = response.client.cookies.get("django_language")
    if asked is not None:
        assert f'<html lang="{asked.value}"' in source
    assert source.count("<h1") == 1
    assert re.search(r"<title>\s*\S[^<]* · 海河 Haihe</title>", source)
    return page


def asks_to_sign_in(response: Any) -> bool:
    """Whether somebody is sent to sign in first."""
    found = response.status_code == HTTPStatus.FOUND
    return bool(found and response["Location"].startswith("/accounts/login/"))
