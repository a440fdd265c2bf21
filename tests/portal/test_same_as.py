"""What pages name as "the same without this page" is there: commands, their options, API routes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import haihe
from haihe.api.v1 import api
from haihe.cli.main import app

TEMPLATES = Path(haihe.__file__).parent
NAMED = re.compile(r'<c-(same-as|empty)\b((?:[^>"]|"[^"]*")*)>')
ATTRIBUTE = re.compile(r'\b(cli|api|command)="([^"]*)"')


def named(*kinds: str) -> list[str]:
    """Every command or address that a template names, with ``x`` for what a page fills in."""
    return sorted(set(_named(kinds)))


def _named(kinds: tuple[str, ...]) -> Iterator[str]:
    for path in TEMPLATES.glob("*/templates/**/*.html"):
        if path.stem == "styleguide":
            continue
        for _component, attributes in NAMED.findall(path.read_text("utf-8")):
            for kind, text in ATTRIBUTE.findall(attributes):
                if kind in kinds:
                    for part in re.split(r"{% else %}|{% elif [^%]*%}", text):
                        yield re.sub(r"{%.*?%}", "", re.sub(r"{{.*?}}", "x", part)).strip()


# What does not begin with its name is a part of a command that depends on a condition.
LINES = [text for text in named("cli", "command") if text.startswith("haihe ")]


@pytest.mark.parametrize("line", LINES)
def test_a_command_that_a_page_names_exists_with_its_options(line: str) -> None:
    words = shlex.split(line)
    words = words[3:] if words[1] == "--as" else words[1:]
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands"):
        assert words, f"{line}: names a group of commands"
        name = words.pop(0)
        assert name in command.commands, f"{line}: there is no {name}"
        command = command.commands[name]
    own = words[: words.index("--")] if "--" in words else words
    known = {option for param in command.params for option in param.opts} | {"--help"}
    assert {word for word in own if word.startswith("--")} <= known


@pytest.mark.parametrize("address", named("api"))
def test_an_api_route_that_a_page_names_exists(address: str) -> None:
    method, _space, path = address.partition(" ")
    path = path.partition("?")[0]
    for pattern, operations in api.get_openapi_schema()["paths"].items():
        if re.fullmatch(re.sub(r"{.*?}", "[^/]+", pattern), path) and method.lower() in operations:
            return
    raise AssertionError(f"no route answers {address}")
