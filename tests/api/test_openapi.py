"""The OpenAPI document says of every route what a generated client must know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from ninja import Schema

from haihe.api.fields import FIELDS, OVERRIDES, PARAMETERS
from haihe.api.v1 import api

DOCUMENT = api.get_openapi_schema()
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
OPERATIONS = [
    (method, path, operation)
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
]


def headers(operation: dict[str, Any]) -> dict[str, bool]:
    """The headers that an operation takes, and whether it must have them."""
    parameters = operation["parameters"]
    return {item["name"]: item["required"] for item in parameters if item["in"] == "header"}


def success(operation: dict[str, Any]) -> dict[str, Any]:
    """The answer of an operation that was carried out."""
    found = [answer for status, answer in operation["responses"].items() if int(status) < 300]
    assert len(found) == 1
    answer: dict[str, Any] = found[0]
    return answer


def test_every_operation_has_a_name_of_its_own() -> None:
    names = Counter(operation["operationId"] for _, _, operation in OPERATIONS)
    assert len(names) == len(OPERATIONS) > 100


def test_no_schema_hides_another_one_of_its_name() -> None:
    def walk(kind: type[Any]) -> Iterator[type[Any]]:
        for child in kind.__subclasses__():
            yield child
            yield from walk(child)

    ours = {kind for kind in walk(Schema) if kind.__module__.startswith("haihe.")}
    found = Counter(kind.__name__ for kind in ours)
    assert [name for name, count in found.items() if count > 1] == []


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS)
def test_an_operation_says_how_it_is_refused(
    method: str, path: str, operation: dict[str, Any]
) -> None:
    answers = {int(status): answer for status, answer in operation["responses"].items()}
    wanted = {401, 403, 422, 503} | ({404} if "{" in path else set())
    wanted |= {"post": {409, 413}, "put": {409, 412, 413}}.get(method, set())
    assert wanted <= set(answers)
    for status in wanted:
        name = answers[status]["$ref"].rpartition("/")[2]
        content = DOCUMENT["components"]["responses"][name]["content"]
        assert content["application/problem+json"]["schema"]["$ref"].endswith("/ProblemOut")


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS)
def test_an_operation_says_how_it_is_repeated_and_how_an_edit_is_guarded(
    method: str, path: str, operation: dict[str, Any]
) -> None:
    given = {"post": {"Idempotency-Key": True}, "put": {"If-Match": False}}
    assert headers(operation) == given.get(method, {})
    answered = set(success(operation).get("headers", {}))
    if method == "post":
        assert answered == {"Idempotency-Replayed"}
    elif method == "get" and "application/json" in success(operation)["content"]:
        assert answered == {"ETag"}
        assert 304 in operation["responses"]


def test_every_field_and_every_parameter_says_what_it_means() -> None:
    silent = [
        f"{name}.{field}"
        for name, schema in SCHEMAS.items()
        for field, about in schema.get("properties", {}).items()
        if not about.get("description")
    ]
    silent += [
        f"{method} {path} {parameter['name']}"
        for method, path, operation in OPERATIONS
        for parameter in operation["parameters"]
        if not parameter.get("description")
    ]
    silent += [name for name, schema in SCHEMAS.items() if not schema.get("description")]
    assert silent == []


def test_no_description_is_of_a_field_that_is_gone() -> None:
    fields = {
        (name, field) for name, schema in SCHEMAS.items() for field in schema.get("properties", {})
    }
    assert not set(FIELDS) - {field for _, field in fields}
    assert not set(OVERRIDES) - {f"{name}.{field}" for name, field in fields}
    parameters = {
        item["name"] for _, _, operation in OPERATIONS for item in operation["parameters"]
    }
    assert not set(PARAMETERS) - parameters
