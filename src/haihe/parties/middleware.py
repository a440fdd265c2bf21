"""Who is asking: the principal of each request, from a session or an API token."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from django.http import HttpResponse
from django.utils.functional import SimpleLazyObject

from haihe.parties.services import principal_of
from haihe.policy.domain import ANONYMOUS, Principal
from haihe.policy.http import Request


class PrincipalMiddleware:
    """Set ``request.principal``."""

    def __init__(self, get_response: Callable[[Request], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: Request) -> HttpResponse:
        request.principal = cast(Principal, SimpleLazyObject(lambda: _principal(request)))
        return self.get_response(request)


def _principal(request: Request) -> Principal:
    person = request.user
    return principal_of(person) if person.is_authenticated else ANONYMOUS
