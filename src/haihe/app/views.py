"""What is answered when something failed outside of a page or a route."""

from __future__ import annotations

import sys
from http import HTTPStatus

from django.core.exceptions import BadRequest, RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.utils import translation
from django.views import defaults

from haihe.api.middleware import API_PREFIX
from haihe.api.v1 import on_haihe_error, plain_problem
from haihe.kernel.errors import HaiheError
from haihe.kernel.storage import storage_failure
from haihe.portal.middleware import error_page


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """A request that cannot be read, or that is larger than one may be."""
    if not request.path.startswith(API_PREFIX):
        # It may have been refused before the reader's language was looked for.
        with translation.override(translation.get_language_from_request(request)):
            return defaults.bad_request(request, exception)
    if isinstance(exception, RequestDataTooBig):
        return plain_problem(request, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "http.too_large")
    detail = str(exception) if isinstance(exception, BadRequest) else ""
    return plain_problem(request, HTTPStatus.BAD_REQUEST, "http.bad_request", detail=detail)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """An address that leads nowhere."""
    if not request.path.startswith(API_PREFIX):
        return defaults.page_not_found(request, exception)
    return plain_problem(request, HTTPStatus.NOT_FOUND, "http.not_found")


def server_error(request: HttpRequest) -> HttpResponse:
    """Name the error if it has a name: a session that cannot be stored fails after its page."""
    error = sys.exception()
    known = error if isinstance(error, HaiheError) else storage_failure(error)
    if request.path.startswith(API_PREFIX):
        if known is None:
            return plain_problem(request, HTTPStatus.INTERNAL_SERVER_ERROR, "haihe.defect")
        return on_haihe_error(request, known)
    return defaults.server_error(request) if known is None else error_page(request, known)
