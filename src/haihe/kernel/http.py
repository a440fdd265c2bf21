"""What every HTTP face shares: request ids, health, metrics, and errors as status and problem."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import prometheus_client
import structlog
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, JsonResponse

from haihe.kernel import errors, health
from haihe.kernel.errors import HaiheError
from haihe.kernel.ids import new_id
from haihe.kernel.logs import log_context
from haihe.kernel.metrics import observe_request
from haihe.kernel.phrases import localized

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_STATUS: dict[type[HaiheError], int] = {
    errors.Invalid: 422,
    errors.Unauthenticated: 401,
    errors.Denied: 403,
    errors.NotFound: 404,
    errors.StaleEdit: 412,  # before the branch that it is of
    errors.Conflict: 409,
    errors.Refused: 422,
    errors.TooLarge: 413,
    errors.Unavailable: 503,
    errors.Corrupt: 500,
}
# Asked for every few seconds by who watches the installation, and nothing that somebody did.
_PROBES = frozenset({"health/live", "health/ready", "metrics"})
PROBLEM_TYPE = "https://haihe.dev/errors/"

log = structlog.get_logger(__name__)
GetResponse = Callable[[HttpRequest], HttpResponse]


def status_of(error: HaiheError) -> int:
    """The HTTP status of an error, by its branch of the tree."""
    return next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 500)


def problem(error: HaiheError, request: HttpRequest) -> dict[str, Any]:
    """RFC 9457 problem details, with the stable code and the parameters as extensions."""
    return {
        "type": PROBLEM_TYPE + error.code,
        "title": error.code,
        "status": status_of(error),
        "detail": localized(error),
        "instance": request.path,
        "code": error.code,
        "params": {name: str(value) for name, value in error.params().items()},
    }


class RequestIdMiddleware:
    """Give each request an id, log and count it, and return the id as ``X-Request-ID``."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-ID", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else str(new_id())
        began = time.perf_counter()
        with log_context(request_id=request_id):
            response = self.get_response(request)
            seconds = time.perf_counter() - began
            route = request.resolver_match.route if request.resolver_match else "unmatched"
            observe_request(request.method or "", route, response.status_code, seconds)
            say = log.debug if route in _PROBES else log.info
            say("http", route=route, status=response.status_code, ms=round(seconds * 1e3, 1))
        response["X-Request-ID"] = request_id
        return response


class PlainAddressMiddleware:
    """Refuse an address that holds the character NUL: no text does, and PostgreSQL keeps none."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if "\0" in request.path_info or "%00" in request.META.get("QUERY_STRING", ""):
            raise BadRequest("The address holds the character NUL.")
        return self.get_response(request)


def live(request: HttpRequest) -> JsonResponse:
    """The process answers."""
    return JsonResponse({"status": "live"})


def ready(request: HttpRequest) -> JsonResponse:
    """The installation can do its work: each thing that must hold, with its state."""
    lines = health.look()
    good = health.is_ready(lines)
    body = {
        "status": "ready" if good else "not ready",
        "checks": {name: line.as_dict() for name, line in lines.items()},
    }
    return JsonResponse(body, status=200 if good else 503, json_dumps_params={"indent": 1})


def metrics(request: HttpRequest) -> HttpResponse:
    """All metrics of this process, for Prometheus."""
    return HttpResponse(
        prometheus_client.generate_latest(), content_type=prometheus_client.CONTENT_TYPE_LATEST
    )
