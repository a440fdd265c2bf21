"""What tests of the API and of the command line share: a caller, and how it calls."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

from django.test import Client
from typer.testing import CliRunner

from haihe.cli.main import app
from haihe.parties.models import Person
from haihe.policy.domain import Principal
from tests.factories import make_token

ROOT = "/api/v1"


def person_of(principal: Principal) -> Person:
    """The person that a principal stands for."""
    return Person.objects.get(pk=principal.id)


class Caller:
    """Somebody, or nobody, who calls the API with a token; each POST has a key of its own."""

    def __init__(self, principal: Principal | None = None, *scopes: str) -> None:
        headers = {}
        if principal is not None:
            headers["authorization"] = f"Bearer {make_token(person_of(principal), *scopes)}"
        self.client = Client(headers=headers)

    def get(self, path: str) -> Any:
        """Read."""
        return self.client.get(ROOT + path)

    def post(self, path: str, body: Any = None, *, key: str = "") -> Any:
        """Act."""
        return self.client.post(
            ROOT + path,
            json.dumps(body or {}),
            content_type="application/json",
            headers={"idempotency-key": key or uuid4().hex},
        )

    def put(self, path: str, body: Any) -> Any:
        """Edit."""
        return self.client.put(ROOT + path, json.dumps(body), content_type="application/json")

    def upload(self, path: str, key: str = "", **fields: Any) -> Any:
        """Send a form with files."""
        return self.client.post(
            ROOT + path, fields, headers={"idempotency-key": key or uuid4().hex}
        )


def haihe(*arguments: object, caller: Principal | None = None, **options: Any) -> Any:
    """Run a command as a person, or as the machine's console."""
    environment = {"HAIHE_AS": person_of(caller).email if caller else ""}
    return CliRunner().invoke(app, [str(part) for part in arguments], env=environment, **options)


def said(result: Any) -> Any:
    """The JSON that a command printed, which succeeded."""
    assert result.exception is None, result.exception
    return json.loads(result.stdout)
