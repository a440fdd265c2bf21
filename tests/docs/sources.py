"""What tests of the documents read: the pages, the words of the code, the commands."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import typer.main
from babel.messages.pofile import read_po

from haihe.cli.main import app

ROOT = Path(__file__).parents[2]
WRITTEN_BY_TOOLS = ROOT / "docs" / "reference"


def documents() -> Iterator[Path]:
    """Every page that somebody wrote: not the reference, which the code wrote."""
    for page in sorted((ROOT / "docs").rglob("*.md")):
        if WRITTEN_BY_TOOLS not in page.parents:
            yield page
    yield from sorted(ROOT.glob("*.md"))
    yield from sorted(ROOT.glob("packs/*/README.md"))
    yield from sorted((ROOT / "changelog.d").glob("*.md"))


def place(path: Path) -> str:
    """A file as the tests name it."""
    return path.relative_to(ROOT).as_posix()


def modules() -> Iterator[Path]:
    """The Python of the platform and of its packs."""
    for top in ("src", "packs"):
        yield from sorted((ROOT / top).rglob("*.py"))


def names(module: Path) -> set[str]:
    """What a module names: its classes, functions, arguments, variables and attributes."""
    found = {module.stem}
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return found


def in_words(name: str) -> str:
    """``DatasetVersion``, ``dataset_version`` and ``dataset-version`` as the same two words."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|[_-]", " ", name).lower()


@cache
def catalogues() -> list[tuple[str, str, str]]:
    """Every message of the pages and commands: where its catalogue is, English, Chinese."""
    found = []
    for top in ("src", "packs"):
        for file in sorted((ROOT / top).rglob("django.po")):
            with file.open("rb") as opened:
                for message in read_po(opened):
                    if message.id:
                        found.append((place(file), _first(message.id), _first(message.string)))
    return found


def _first(text: Any) -> str:
    return text if isinstance(text, str) else text[0]


def commands() -> Iterator[tuple[str, Any]]:
    """Every command by its full name."""

    def walk(command: Any, name: str) -> Iterator[tuple[str, Any]]:
        if not hasattr(command, "commands"):
            yield name, command
            return
        for word in sorted(command.commands):
            yield from walk(command.commands[word], f"{name} {word}")

    yield from walk(typer.main.get_command(app), "haihe")


def openapi() -> dict[str, Any]:
    """The OpenAPI document as it is published."""
    text = (WRITTEN_BY_TOOLS / "openapi.json").read_text()
    document: dict[str, Any] = json.loads(text)
    return document
