"""The OpenAPI document as a generator of clients needs it: what every route keeps to, said of each.

The routers say what is particular to a route. What holds for all (who may call, problems, keys,
ETags) is done by middleware and handlers, so it is described here, once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ninja import NinjaAPI
from ninja.openapi.schema import OpenAPISchema
from ninja.operation import Operation

from haihe.api.fields import FIELDS, OVERRIDES, PARAMETERS
from haihe.api.middleware import KEY_LENGTH

PROBLEM = "application/problem+json"
# Routes that tell something to people who have not signed in, as the policies permit anybody.
PUBLIC = frozenset(
    {
        "read_me", "read_overview",
        "list_plans", "read_plan", "list_plan_versions", "compare_plan_versions", "read_target",
        "list_indicators", "read_indicator", "list_scenarios", "read_scenario",
        "list_schemes", "read_scheme", "list_packs", "read_pack",
        "list_evaluations", "read_evaluation",
        "list_centres", "read_centre", "list_pools", "read_pool", "list_offers",
        "read_centre_terms", "read_pool_terms",
        "network_state", "pool_history", "list_maintenance",
        "list_datasets", "read_dataset", "list_dataset_versions", "read_dataset_version",
        "read_evidence_head", "list_checkpoints", "list_evidence_keys", "prove_inclusion",
        "prove_consistency", "list_evidence", "list_centre_accounts", "list_allocations",
    }
)  # fmt: skip
PROBLEMS = {
    400: ("BadRequest", "The address or the body cannot be read."),
    401: ("NotSignedIn", "Nobody is signed in, or the token is no good."),
    403: ("Denied", "The caller may not do this, or the token lacks the scope."),
    404: ("NotFound", "There is no such thing, or none that the caller may see."),
    409: ("Conflict", "What is there stands against it; `code` says what."),
    412: ("Stale", "The thing was changed since its ETag was read."),
    413: ("TooLarge", "The body, or the file in it, is larger than is taken."),
    422: (
        "Refused",
        "A field is wrong (`fields` names it), or a rule refuses it (`code`).",
    ),
    503: ("Unavailable", "What this needs does not answer; try again."),
}
EVERYWHERE = (400, 401, 403, 422, 503)
OF_METHOD = {"get": (), "post": (404, 409, 413), "put": (404, 409, 412, 413), "delete": (409,)}
PROBLEM_SCHEMA = {
    "title": "ProblemOut",
    "description": "Why a request was not carried out (RFC 9457). `code` is stable, texts are not.",
    "type": "object",
    "required": ["type", "title", "status", "detail", "instance", "code"],
    "properties": {
        "type": {"type": "string", "description": "An address that ends with the code."},
        "title": {"type": "string", "description": "What kind of error it is."},
        "status": {"type": "integer", "description": "The HTTP status."},
        "detail": {"type": "string", "description": "What is wrong, and what to do about it."},
        "instance": {"type": "string", "description": "The path that was asked for."},
        "code": {"type": "string", "description": "Stable, such as `ledger.insufficient_funds`."},
        "params": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "The particulars, by name.",
        },
        "fields": {
            "type": "array",
            "description": "Which fields are wrong, and why.",
            "items": {
                "type": "object",
                "required": ["field", "rule"],
                "properties": {
                    "field": {"type": "string", "description": "Where, with dots between."},
                    "rule": {"type": "string", "description": "What does not hold."},
                },
            },
        },
    },
}
HEADERS = {
    "ETag": "Names the content. A PUT with it as `If-Match` is refused if the thing was changed.",
    "Idempotency-Replayed": "`true` where this is the kept answer to an earlier request.",
    "WWW-Authenticate": "How to sign in.",
}


class Api(NinjaAPI):
    """A NinjaAPI whose document says what every route keeps to."""

    def get_openapi_schema(
        self, *, path_prefix: str | None = None, path_params: dict[str, Any] | None = None
    ) -> OpenAPISchema:
        """The whole document."""
        return completed(
            super().get_openapi_schema(path_prefix=path_prefix, path_params=path_params)
        )

    def get_openapi_operation_id(self, operation: Operation) -> str:
        """The function's name, which is a route's only one."""
        return operation.view_func.__name__


def completed(document: OpenAPISchema) -> OpenAPISchema:
    """Add to a document what holds for every route."""
    components = document["components"]
    components["schemas"]["ProblemOut"] = PROBLEM_SCHEMA
    components["responses"] = dict(_problem_responses())
    components["headers"] = {
        name: {"description": text, "schema": {"type": "string"}} for name, text in HEADERS.items()
    }
    for name, schema in components["schemas"].items():
        _describe(name, schema)
    for operations in document["paths"].values():
        for method, operation in operations.items():
            _complete(method, operation)
    return document


def _problem_responses() -> Iterator[tuple[str, dict[str, Any]]]:
    content = {PROBLEM: {"schema": {"$ref": "#/components/schemas/ProblemOut"}}}
    for status, (name, text) in PROBLEMS.items():
        response: dict[str, Any] = {"description": text, "content": content}
        if status == 401:
            response["headers"] = _headers("WWW-Authenticate")
        yield name, response


def _describe(name: str, schema: dict[str, Any]) -> None:
    """Say of each field what it means, where its schema does not."""
    if name.startswith("CursorPage_"):
        schema["description"] = "One page of a list, newest first."
    for field, about in schema.get("properties", {}).items():
        if "description" not in about:
            about["description"] = OVERRIDES.get(f"{name}.{field}") or FIELDS[field]


def _complete(method: str, operation: dict[str, Any]) -> None:
    names_something = {item["name"] for item in operation["parameters"]} - {"cursor", "limit"}
    for parameter in operation["parameters"]:
        if "description" not in parameter:
            parameter["description"] = PARAMETERS[parameter["name"]]
    if operation["operationId"] in PUBLIC:
        operation["security"] = [*operation["security"], {}]
    _add_headers(method, operation)
    statuses = {*EVERYWHERE, *OF_METHOD[method], *([404] if names_something else [])}
    for status in sorted(statuses):
        operation["responses"][status] = {"$ref": f"#/components/responses/{PROBLEMS[status][0]}"}


def _add_headers(method: str, operation: dict[str, Any]) -> None:
    """The headers by which a repetition has no effect and nobody's change is lost."""
    good = next(answer for status, answer in operation["responses"].items() if int(status) < 300)
    if method == "post":
        operation["parameters"].append(
            {
                "in": "header",
                "name": "Idempotency-Key",
                "required": True,
                "description": "A key of the caller's own: a repetition with it has no effect.",
                "schema": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": KEY_LENGTH,
                    "pattern": "^[ -~]+$",
                },
            }
        )
        good["headers"] = _headers("Idempotency-Replayed")
    elif method == "put":
        operation["parameters"].append(
            {
                "in": "header",
                "name": "If-Match",
                "required": False,
                "description": "The ETag that was read, or `*`; without it the last writer wins.",
                "schema": {"type": "string", "pattern": '^(\\*|"[!-~]*")$'},
            }
        )
    elif method == "get" and "application/json" in good.get("content", {}):
        good["headers"] = _headers("ETag")
        operation["responses"][304] = {"description": "The content is that of `If-None-Match`."}


def _headers(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
