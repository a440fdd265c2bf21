"""Requests drawn from the OpenAPI document, sent to the real application: it keeps its word.

Whatever a request holds, the answer is one that the document names, of the documented shape, and
no defect. The draws are the same in each run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import CHECKS, CheckFunction
from schemathesis.core.result import Ok

from haihe.api.v1 import api
from tests.factories import make_organisation, make_person, make_token

EXAMPLES = 3
SCHEMA = schemathesis.openapi.from_dict(api.get_openapi_schema())
SCHEMA.app = get_wsgi_application()
OPERATIONS = {
    found.ok().label: found.ok() for found in SCHEMA.get_all_operations() if isinstance(found, Ok)
}
NAMES = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)
KEEPS: list[CheckFunction] = CHECKS.get_by_names(list(NAMES))


@pytest.fixture(autouse=True)
def one_transaction(home: object, db: None) -> Iterator[None]:
    """Let requests use the test's own connection, which each would close as it ends."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def signed_in() -> str:
    """The token of somebody who owns an organisation."""
    person = make_person("ann@example.test")
    make_organisation("firm", owner=person)
    return make_token(person)


def hold_to_the_document(operation: Any, headers: dict[str, str]) -> None:
    """Send what the document admits, and undo what it did."""

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def send(case: Any) -> None:
        with transaction.atomic():
            case.call_and_validate(headers=headers, checks=KEEPS)
            transaction.set_rollback(True)

    run: Callable[[], None] = send
    run()


def test_every_operation_can_be_drawn() -> None:
    assert len(OPERATIONS) > 100


@pytest.mark.parametrize("label", sorted(OPERATIONS))
def test_nobody_gets_documented_answers(label: str) -> None:
    hold_to_the_document(OPERATIONS[label], {})


@pytest.mark.parametrize("label", sorted(OPERATIONS))
def test_a_member_gets_documented_answers(label: str, signed_in: str) -> None:
    hold_to_the_document(OPERATIONS[label], {"Authorization": f"Bearer {signed_in}"})
