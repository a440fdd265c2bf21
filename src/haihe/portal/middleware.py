"""What the portal puts around every request: errors of the domain as pages, and its own files."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import urlencode

import structlog
from django.contrib import messages
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.shortcuts import render
from django.urls import reverse
from django_htmx.http import HttpResponseClientRedirect, reswap, retarget
from whitenoise.middleware import WhiteNoiseMiddleware  # type: ignore[import-untyped]
from whitenoise.responders import StaticFile  # type: ignore[import-untyped]

from haihe.kernel.errors import HaiheError
from haihe.kernel.phrases import localized
from haihe.kernel.storage import storage_failure
from haihe.policy.errors import NotSignedIn
from haihe.portal.explain import explain

API_PREFIX = "/api/"
MESSAGES_SELECTOR = "#messages"
SAFE_METHODS = ("GET", "HEAD")

log = structlog.get_logger(__name__)


class StaticFilesMiddleware(WhiteNoiseMiddleware):  # type: ignore[misc]
    """Serve the front-end files, without a warning from the asynchronous server.

    WhiteNoise answers with a file that is read piece by piece, which Django can hand to an
    asynchronous server only after reading all of it. These files are small: they are read here.
    """

    @staticmethod
    def serve(static_file: StaticFile, request: HttpRequest) -> StreamingHttpResponse:
        """The answer to a request for a file."""
        answer: StreamingHttpResponse = WhiteNoiseMiddleware.serve(static_file, request)
        if isinstance(request, ASGIRequest):
            answer.streaming_content = _at_once(b"".join(answer))
        return answer


async def _at_once(body: bytes) -> AsyncIterator[bytes]:
    yield body


class ErrorPageMiddleware:
    """Turn a :class:`HaiheError` that a page raises into a page that says what to do.

    Somebody not signed in is sent to sign in and comes back. A request by htmx gets a short alert
    for the page's message area, so that a refused click loses nothing on the page. The API maps
    errors to problem details itself.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """The response to ``error``, or None to let it through."""
        known = error if isinstance(error, HaiheError) else storage_failure(error)
        if known is None or request.path.startswith(API_PREFIX):
            return None
        if isinstance(known, NotSignedIn):
            return _to_sign_in(request, known)
        return error_page(request, known)


def error_page(request: HttpRequest, error: HaiheError) -> HttpResponse:
    """An error as a page that says what to do, or as an alert in the page that htmx changes."""
    explanation = explain(error)
    if explanation.status >= 500:
        log.error("page failed", code=error.code, path=request.path, exc_info=error)
    # Where a part is down, the page must not ask the database who is signed in.
    layout = "portal/page.html" if explanation.status < 500 else "portal/entrance.html"
    context: dict[str, Any] = {"error": explanation, "layout": layout}
    if request.method not in SAFE_METHODS:
        # The switches on this page must not lead back to an address that only takes POST.
        context["return_to"] = "/"
    if _by_htmx(request):
        response = render(request, "portal/error_fragment.html", context, status=explanation.status)
        return reswap(retarget(response, MESSAGES_SELECTOR), "innerHTML")
    return render(request, "portal/error.html", context, status=explanation.status)


def _to_sign_in(request: HttpRequest, error: NotSignedIn) -> HttpResponse:
    messages.info(request, localized(error))
    if _by_htmx(request):
        back = request.htmx.current_url_abs_path  # type: ignore[attr-defined]
    else:
        back = request.get_full_path() if request.method in SAFE_METHODS else None
    address = reverse("account_login") + (f"?{urlencode({'next': back})}" if back else "")
    if _by_htmx(request):
        return HttpResponseClientRedirect(address)
    return HttpResponseRedirect(address)


def _by_htmx(request: HttpRequest) -> bool:
    return bool(getattr(request, "htmx", False))
