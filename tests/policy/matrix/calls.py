"""One call of a route through Django's own handler, judged and undone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.db import transaction
from django.test import RequestFactory
from django.test.client import ClientHandler
from django.urls import reverse

from haihe.evidence.models import EvidenceLog
from tests.policy.matrix.callers import NOBODY, Caller
from tests.policy.matrix.rows import Denial, Row, Upload
from tests.policy.matrix.world import World

SIGN_IN = "/accounts/login/"


class _Client(RequestFactory):
    """Django's test client without what it keeps of each template, for thousands of calls."""

    handler = ClientHandler(enforce_csrf_checks=False)

    def request(self, **environment: Any) -> Any:
        """The application's response."""
        return self.handler(self._base_environ(**environment))


_client = _Client()


@dataclass(frozen=True)
class Answer:
    """What came back from an address, and how much the log held before the call was undone."""

    address: str
    status: int
    kind: str
    location: str
    text: str
    log_size: int


def call(world: World, row: Row, caller: Caller, *, query: str = "") -> Answer:
    """Call the row's route as somebody, in a transaction that is rolled back."""
    with transaction.atomic():
        try:
            address = _address(world, row, query)
            response = _send(world, row, caller, address)
            return Answer(
                address,
                response.status_code,
                response.get("Content-Type", ""),
                response.get("Location", ""),
                b"".join(response).decode("utf-8", "replace"),
                EvidenceLog.objects.values_list("size", flat=True)[0],
            )
        finally:
            transaction.set_rollback(True)


def faults(world: World, row: Row, *, query: str = "", is_part: bool = False) -> list[str]:
    """What is wrong with the answers to everybody, by the reference authoriser.

    An answer that is a part of what the row shows may leave out what its caller may see.
    """
    return [
        f"{caller.name} {fault}"
        for caller in world.callers.values()
        for fault in _faults(world, row, caller, call(world, row, caller, query=query), is_part)
    ]


def _faults(world: World, row: Row, caller: Caller, answer: Answer, is_part: bool) -> Iterator[str]:
    denial = world.denial(row, caller.principal)
    got = f"{answer.status} {answer.location}".strip()
    if denial is None and answer.status != row.then:
        yield f"is allowed, expected {row.then}, got {got}"
    elif denial is None:
        for text, may in world.shown(row, caller.principal):
            if text in answer.text and not may:
                yield f"is shown {text}"
            elif may and text not in answer.text and not is_part:
                yield f"is not shown {text}"
    elif not _is(denial, row, caller, answer):
        yield f"is {denial}, got {got}"
    elif answer.log_size != world.log_size:
        yield f"is {denial}, and something was recorded"
    elif denial is Denial.HIDDEN:
        names = {world.things[need.thing].address for need in row.needs if need.denial is denial}
        yield from (
            f"is told of {n}" for n in names if n in answer.text and n not in answer.address
        )


def _is(denial: Denial, row: Row, caller: Caller, answer: Answer) -> bool:
    """Whether the answer denies in the way that it should."""
    if denial is Denial.HIDDEN:
        return answer.status == HTTPStatus.NOT_FOUND
    if denial is Denial.OFFERED:
        return answer.status == HTTPStatus.UNPROCESSABLE_ENTITY
    if caller.name != NOBODY:
        return answer.status == HTTPStatus.FORBIDDEN
    if row.is_api:
        return answer.status == HTTPStatus.UNAUTHORIZED
    return answer.status == HTTPStatus.FOUND and answer.location.startswith(SIGN_IN)


def _address(world: World, row: Row, query: str) -> str:
    args = {
        name: world.things[value].address if isinstance(value, str) else value
        for name, value in row.args.items()
    }
    asked = "&".join(filter(None, [world.fill(row.query), query]))
    return reverse(row.route, kwargs=args) + (f"?{asked}" if asked else "")


def _send(world: World, row: Row, caller: Caller, address: str) -> Any:
    headers: dict[str, str] = {}
    _client.cookies.clear()
    if row.is_api:
        headers["Idempotency-Key"] = uuid4().hex
        if caller.token:
            headers["Authorization"] = f"Bearer {caller.token}"
    elif caller.session:
        _client.cookies[settings.SESSION_COOKIE_NAME] = caller.session
    send = getattr(_client, row.method.lower())
    if row.method == "GET":
        return send(address, headers=headers)
    return send(address, headers=headers, **_body(world, row))


def _body(world: World, row: Row) -> dict[str, Any]:
    """The body as a form for pages and uploads, as JSON else."""
    files = {name: value.file() for name, value in row.body.items() if isinstance(value, Upload)}
    texts = {name: value for name, value in row.body.items() if not isinstance(value, Upload)}
    filled: Mapping[str, Any] = world.fill(texts)
    if files or not row.is_api:
        return {"data": {**filled, **files}}
    return {"data": json.dumps(filled), "content_type": "application/json"}
