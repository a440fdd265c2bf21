"""Version 1 of the HTTP API: the routers of all domains under one roof."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import structlog
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import gettext as _
from ninja.errors import HttpError, ValidationError

from haihe import __version__
from haihe.api.auth import SessionAuth, TokenAuth, nobody
from haihe.api.parser import StrictParser
from haihe.api.schema import PROBLEM, Api
from haihe.compute.api import router as compute
from haihe.data.api import router as data
from haihe.evidence.api import router as evidence
from haihe.kernel.errors import HaiheError
from haihe.kernel.http import PROBLEM_TYPE, problem
from haihe.kernel.storage import storage_failure
from haihe.ledger.api import router as ledger
from haihe.packs.api import router as packs
from haihe.parties.api import router as parties
from haihe.programme.api import router as programme

FIELDS_NAMED = 3  # in the sentence; all of them are in the problem's fields
log = structlog.get_logger(__name__)

api = Api(
    title="Haihe",
    version=__version__,
    urls_namespace="api",
    docs_url=None,
    parser=StrictParser(),
    auth=[TokenAuth(), SessionAuth(), nobody],
    description=(
        "Every answer that is an error is an RFC 9457 problem with a stable `code`. Lists that "
        "grow are read by cursor; those of one thing, such as its members, come whole. Every POST "
        "takes an `Idempotency-Key`, remembered for as many days as the setting "
        "`idempotency_days` says. GET answers carry an ETag; a PUT with `If-Match` is refused if "
        "the thing was changed since. What the policies permit to anybody needs no credentials. "
        "Amounts are integers of micro-units."
    ),
)
for router in (parties, ledger, evidence, data, compute, packs, programme):
    api.add_router("", router)


@api.exception_handler(HaiheError)
def on_haihe_error(request: HttpRequest, error: HaiheError) -> HttpResponse:
    """Errors of the domains, with their stable code."""
    body = problem(error, request)
    response = JsonResponse(body, status=body["status"], content_type=PROBLEM)
    if body["status"] == HTTPStatus.UNAUTHORIZED:
        response["WWW-Authenticate"] = 'Bearer realm="haihe"'
    return response


@api.exception_handler(ValidationError)
def on_validation_error(request: HttpRequest, error: ValidationError) -> HttpResponse:
    """Input that does not have the documented shape: which fields, and why."""
    fields = [
        {"field": ".".join(str(part) for part in item["loc"]), "rule": item["msg"]}
        for item in error.errors
    ]
    detail = _("The input is not as documented: {fields}").format(
        fields="; ".join(f"{item['field']}: {item['rule']}" for item in fields[:FIELDS_NAMED])
    )
    return plain_problem(
        request, HTTPStatus.UNPROCESSABLE_ENTITY, "input.invalid", detail=detail, fields=fields
    )


@api.exception_handler(HttpError)
def on_http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
    """Errors of the HTTP layer: a failed CSRF check, a body that is no JSON."""
    if error.status_code == HTTPStatus.BAD_REQUEST and error.__cause__ is not None:
        detail = f"The body cannot be read: {error.__cause__}"
        return plain_problem(request, error.status_code, "http.bad_body", detail=detail)
    return plain_problem(request, error.status_code, "http.error", detail=str(error))


@api.exception_handler(Http404)
def on_missing(request: HttpRequest, error: Http404) -> HttpResponse:
    """No such route."""
    return plain_problem(request, HTTPStatus.NOT_FOUND, "http.not_found")


@api.exception_handler(Exception)
def on_defect(request: HttpRequest, error: Exception) -> HttpResponse:
    """A storage that fails, by its name; else a defect: logged whole, told without its inside."""
    failure = storage_failure(error)
    if failure is not None:
        log.warning("api.storage", path=request.path, error=str(error))
        return on_haihe_error(request, failure)
    log.exception("api.defect", path=request.path)
    return plain_problem(request, HTTPStatus.INTERNAL_SERVER_ERROR, "haihe.defect")


def plain_problem(
    request: HttpRequest, status: int, code: str, *, detail: str = "", **more: Any
) -> HttpResponse:
    """A problem of the HTTP layer, which no domain has a name for."""
    title = HTTPStatus(status).phrase
    body = {
        "type": PROBLEM_TYPE + code,
        "title": title,
        "status": int(status),
        "detail": detail or title,
        "instance": request.path,
        "code": code,
        **more,
    }
    return JsonResponse(body, status=status, content_type=PROBLEM)
