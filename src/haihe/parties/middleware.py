"""Who is asking: the principal of each request, from a session or an API token."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.utils import translation
from django.utils.functional import SimpleLazyObject

from haihe.parties.services import principal_of
from haihe.policy.domain import ANONYMOUS, Principal


class PrincipalMiddleware:
    """Set ``request.principal``; for a signed-in person also the language they chose."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.principal = SimpleLazyObject(lambda: _principal(request))  # type: ignore[attr-defined]
        return self.get_response(request)


def _principal(request: HttpRequest) -> Principal:
    person = request.user
    return principal_of(person) if person.is_authenticated else ANONYMOUS
