"""The SDK calls every route of the API, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import haihe.client
from haihe.api.v1 import api

METHODS = {
    "get": "GET", "pages": "GET", "download": "GET", "post": "POST", "upload": "POST",
    "put": "PUT", "delete": "DELETE",
}  # fmt: skip


def called() -> Iterator[tuple[str, str]]:
    """Method and address of every request that the SDK's source makes, with {} for its parts."""
    for file in Path(haihe.client.__file__).parent.glob("*.py"):
        for function in ast.walk(ast.parse(file.read_text())):
            if isinstance(function, ast.FunctionDef):
                yield from _calls(function)


def _calls(function: ast.FunctionDef) -> Iterator[tuple[str, str]]:
    variables = {
        node.targets[0].id: node.value
        for node in ast.walk(function)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    for node in ast.walk(function):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Attribute(attr="http"), attr=name), args=[path, *_]
            ):
                if isinstance(path, ast.Name):
                    path = variables[path.id]
                yield METHODS[name], _address(path)


def _address(path: ast.expr) -> str:
    text = ast.unparse(path).removeprefix("f").strip("'\"")
    text = re.sub(r"{pool_part\(\w+\)}", "{}/pools/{}", text)
    return re.sub(r"{.*?}", "{}", text)


def test_every_route_has_a_method_and_every_method_a_route() -> None:
    routes = {
        (method.upper(), re.sub(r"{.*?}", "{}", path.removeprefix("/api/v1")))
        for path, operations in api.get_openapi_schema()["paths"].items()
        for method in operations
    }
    assert set(called()) == routes
