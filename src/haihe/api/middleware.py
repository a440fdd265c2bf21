"""Requests that act: safe to repeat, and never over somebody else's change."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from http import HTTPStatus

from django.db import IntegrityError
from django.http import HttpResponse, JsonResponse
from django.utils.http import quote_etag

from haihe.kernel.errors import (
    HaiheError,
    IdempotencyKeyMissing,
    IdempotencyMismatch,
    ShownOnce,
    StaleEdit,
)
from haihe.kernel.http import problem
from haihe.kernel.models import IdempotencyRecord
from haihe.kernel.work import unit_of_work
from haihe.parties.services import principal_of_token
from haihe.policy.domain import ANONYMOUS
from haihe.policy.http import Request

API_PREFIX = "/api/"
KEY_LENGTH = 200
NO_STORE = "no-store"  # an answer with a secret in it is shown once and kept nowhere
GetResponse = Callable[[Request], HttpResponse]


class _Undo(Exception):
    """Carries an answer out of the transaction that it must roll back."""

    def __init__(self, response: HttpResponse) -> None:
        self.response = response


class _Repeated(Exception):
    """The key is in use: its first request has been answered, or is being answered."""


class IdempotencyMiddleware:
    """Carry out a POST of one caller and key once; a repetition gets the answer of then.

    The key and the answer are written in the transaction that does the work, so that a crash
    leaves both or neither. An answer that is an error is not kept: the request had no effect, and
    the same key may be tried again.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: Request) -> HttpResponse:
        acts = request.method == "POST" and request.path.startswith(API_PREFIX)
        if not acts:
            return self.get_response(request)
        try:
            if request.content_type == "multipart/form-data":
                return self._upload(request)
            return self._once(request)
        except HaiheError as error:
            return _answer(error, request)
        except _Undo as undo:
            return undo.response

    def _upload(self, request: Request) -> HttpResponse:
        """Carry out an upload, which would hold the database for its length in one transaction.

        A crash between the upload and its record leaves the upload: its repetition is refused
        as a content that is there already.
        """
        key, caller = _key(request), _caller(request)
        if caller == ANONYMOUS.actor:
            return self.get_response(request)
        digest = _upload_digest(request)
        if IdempotencyRecord.objects.filter(principal=caller, key=key).exists():
            return _repeated(key, caller, digest)
        response = self.get_response(request)
        if response.status_code < HTTPStatus.BAD_REQUEST:
            IdempotencyRecord.objects.get_or_create(
                principal=caller,
                key=key,
                defaults={
                    "request_hash": digest,
                    "status": response.status_code,
                    "body": response.content.decode(),
                },
            )
        return response

    def _once(self, request: Request) -> HttpResponse:
        key, caller, digest = _key(request), _caller(request), _digest(request)
        try:
            with unit_of_work():
                return self._first_time(request, key, caller, digest)
        except _Repeated:
            return _repeated(key, caller, digest)

    def _first_time(self, request: Request, key: str, caller: str, digest: str) -> HttpResponse:
        try:
            record = IdempotencyRecord.objects.create(
                principal=caller, key=key, request_hash=digest, status=0, body=""
            )
        except IntegrityError:
            raise _Repeated from None
        response = _or_undo(self.get_response(request))
        record.status = response.status_code
        if response.get("Cache-Control") != NO_STORE:
            record.body = response.content.decode()
        record.save(update_fields=["status", "body"])
        return response


class EditMiddleware:
    """Refuse a PUT whose ``If-Match`` is not the present ETag of what it changes."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: Request) -> HttpResponse:
        match = request.headers.get("If-Match")
        acts = request.method == "PUT" and request.path.startswith(API_PREFIX)
        if not acts or match is None or match == "*":
            return self.get_response(request)
        try:
            with unit_of_work():
                request.method = "GET"
                present = _or_undo(self.get_response(request))
                request.method = "PUT"
                if etag_of(present.content) != match:
                    raise StaleEdit(path=request.path)  # noqa: TRY301 (undoes the unit of work)
                return _or_undo(self.get_response(request))
        except StaleEdit as error:
            return _answer(error, request)
        except _Undo as undo:
            return undo.response


def _or_undo(response: HttpResponse) -> HttpResponse:
    """The answer, if it is no error; else roll back what was done for it."""
    if response.status_code >= HTTPStatus.BAD_REQUEST:
        raise _Undo(response)
    return response


def etag_of(content: bytes) -> str:
    """The ETag that Django's ConditionalGetMiddleware gives a content."""
    return quote_etag(hashlib.md5(content, usedforsecurity=False).hexdigest())


def _repeated(key: str, caller: str, digest: str) -> HttpResponse:
    record = IdempotencyRecord.objects.filter(principal=caller, key=key).first()
    if record is None or record.request_hash != digest:
        raise IdempotencyMismatch(key=key)
    if not record.body and record.status != HTTPStatus.NO_CONTENT:
        raise ShownOnce(key=key)
    response = HttpResponse(record.body, status=record.status, content_type="application/json")
    response["Idempotency-Replayed"] = "true"
    return response


def _key(request: Request) -> str:
    key = request.headers.get("Idempotency-Key", "")
    if not 1 <= len(key) <= KEY_LENGTH or not key.isprintable():
        raise IdempotencyKeyMissing
    return key


def _caller(request: Request) -> str:
    """Whom a key belongs to. A bad token fails here as it would later."""
    header = request.headers.get("Authorization", "")
    if header.lower().startswith("bearer "):
        return principal_of_token(header[7:]).actor
    return str(request.principal.actor)


def _digest(request: Request) -> str:
    digest = hashlib.sha256(f"{request.method} {request.get_full_path()}\n".encode())
    digest.update(request.body)
    return digest.hexdigest()


def _upload_digest(request: Request) -> str:
    """As :func:`_digest`, over the fields and files: a body's boundary differs each time."""
    digest = hashlib.sha256(f"{request.method} {request.get_full_path()}\n".encode())
    for name, values in sorted(request.POST.lists()):
        digest.update(f"{name}={values}\n".encode())
    for name in sorted(request.FILES):
        for file in request.FILES.getlist(name):
            digest.update(f"{name}={file.name}\n".encode())
            for chunk in file.chunks():
                digest.update(chunk)
            file.seek(0)
    return digest.hexdigest()


def _answer(error: HaiheError, request: Request) -> HttpResponse:
    body = problem(error, request)
    return JsonResponse(body, status=body["status"], content_type="application/problem+json")
