"""Who calls the API: a token's person, a signed-in session with its CSRF token, or nobody."""

from __future__ import annotations

from typing import Any, cast

from django.conf import settings
from django.http import HttpRequest
from ninja.security import APIKeyCookie, HttpBearer

from haihe.parties.services import principal_of_token
from haihe.policy.domain import ANONYMOUS, Principal
from haihe.policy.http import Request


class TokenAuth(HttpBearer):
    """``Authorization: Bearer haihe_...``"""

    def authenticate(self, request: HttpRequest, token: str) -> Principal:
        """The token's principal; a bad token is an error and never falls back to nobody."""
        principal = principal_of_token(token)
        cast(Request, request).principal = principal
        return principal


class SessionAuth(APIKeyCookie):
    """A browser's session; requests that act need its CSRF token as ``X-CSRFToken``."""

    param_name = settings.SESSION_COOKIE_NAME

    def __call__(self, request: HttpRequest) -> Any | None:
        """Let requests without a session pass to the next way, instead of failing CSRF."""
        if self.param_name not in request.COOKIES:
            return None
        return super().__call__(request)

    def authenticate(self, request: HttpRequest, key: str | None) -> Principal | None:
        """The signed-in person, if there is one."""
        return cast(Request, request).principal if request.user.is_authenticated else None


def nobody(request: HttpRequest) -> Principal:
    """Everybody else: what the policies permit to anybody, they may."""
    cast(Request, request).principal = ANONYMOUS
    return ANONYMOUS
