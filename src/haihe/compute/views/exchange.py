"""The addresses that agents call. They answer to a signature alone: no session, no token."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from functools import wraps
from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.http import FileResponse, HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt
from pydantic import BaseModel, ConfigDict, ValidationError

from haihe.compute.agent.messages import Exchange
from haihe.compute.agent.signing import AGENT_HEADER, CONTENT_HEADER, SIGNATURE_HEADER
from haihe.compute.errors import BadParcel
from haihe.compute.models import Agent
from haihe.compute.services.agents import authenticate_agent, enrol_agent
from haihe.compute.services.exchange import hear
from haihe.compute.services.parcels import keep_log, keep_output, open_file, open_input
from haihe.kernel.errors import HaiheError, InvalidField
from haihe.kernel.http import problem

MESSAGE_LIMIT_BYTES = 32 * 1024**2
PIECE_BYTES = 1 << 18
View = Callable[..., HttpResponseBase]


class Enrol(BaseModel):
    """What an agent says to join."""

    model_config = ConfigDict(extra="forbid")
    token: str
    public_key: str


def _answers_errors(view: View) -> View:
    """Errors of the domain as problem details."""

    @csrf_exempt
    @wraps(view)
    def answer(request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        try:
            return view(request, **kwargs)
        except ValidationError as error:
            wrong = InvalidField(field="body", value="", rule=str(error.errors()[0]["msg"]))
            body = problem(wrong, request)
        except HaiheError as error:
            body = problem(error, request)
        return JsonResponse(body, status=body["status"], content_type="application/problem+json")

    return answer


def _for_agents(method: str) -> Callable[[View], View]:
    """A view for one method that is given the agent that signed."""

    def decorate(view: View) -> View:
        @_answers_errors
        @wraps(view)
        def answer(request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
            if request.method != method:
                return HttpResponse(status=HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": method})
            agent = authenticate_agent(
                request.headers.get(AGENT_HEADER, ""),
                method=method,
                path=request.path,
                content_sha256=request.headers.get(CONTENT_HEADER, ""),
                signature=request.headers.get(SIGNATURE_HEADER, ""),
            )
            return view(request, agent, **kwargs)

        return answer

    return decorate


@_answers_errors
def enrol(request: HttpRequest) -> HttpResponse:
    """Join: a one-time token and a public key for an agent's id."""
    if request.method != "POST":
        return HttpResponse(status=HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": "POST"})
    said = Enrol.model_validate_json(request.body)
    agent = enrol_agent(said.token, said.public_key)
    return JsonResponse({"agent_id": str(agent.pk), "centre": agent.centre.slug})


@_for_agents("POST")
def exchange(request: HttpRequest, agent: Agent) -> HttpResponse:
    """One exchange."""
    body = b"".join(_body(request, MESSAGE_LIMIT_BYTES))
    if hashlib.sha256(body).hexdigest() != request.headers[CONTENT_HEADER]:
        raise BadParcel(path="exchange", reason="its content is not what was signed")
    answer = hear(agent.pk, Exchange.model_validate_json(body))
    return HttpResponse(answer.model_dump_json(), content_type="application/json")


@_for_agents("GET")
def read_input(request: HttpRequest, agent: Agent, attempt_id: UUID, name: str) -> HttpResponseBase:
    """One input of an attempt."""
    with open_input(agent, attempt_id, name) as path:
        # The file is open before its folder goes; what is open can be read to its end.
        return FileResponse(path.open("rb"), as_attachment=True, filename=path.name)


@_for_agents("GET")
def read_file(
    request: HttpRequest, agent: Agent, attempt_id: UUID, sha256: str
) -> HttpResponseBase:
    """One uploaded file of an attempt."""
    with open_file(agent, attempt_id, sha256) as file:
        # What is open goes on being read when the answer is sent.
        return FileResponse(open(os.dup(file.fileno()), "rb"), filename=sha256)  # noqa: PTH123


@_for_agents("PUT")
def write_output(request: HttpRequest, agent: Agent, attempt_id: UUID, path: str) -> HttpResponse:
    """One file that an attempt wrote."""
    size = keep_output(
        agent, attempt_id, path, _body(request, None), sha256=request.headers[CONTENT_HEADER]
    )
    return HttpResponse(json.dumps({"bytes": size}), content_type="application/json")


@_for_agents("PUT")
def write_log(request: HttpRequest, agent: Agent, attempt_id: UUID) -> HttpResponse:
    """The whole log of an attempt."""
    size = keep_log(agent, attempt_id, _body(request, None), sha256=request.headers[CONTENT_HEADER])
    return HttpResponse(json.dumps({"bytes": size}), content_type="application/json")


def _body(request: HttpRequest, limit: int | None) -> Iterator[bytes]:
    """The body in pieces, whatever its size, up to a limit."""
    size = 0
    while piece := request.read(PIECE_BYTES):
        size += len(piece)
        if limit is not None and size > limit:
            raise BadParcel(path="exchange", reason=f"it has more than {limit} bytes")
        yield piece
