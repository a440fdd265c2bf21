"""Every command line of the documents, given to the real command line to parse."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer.main
from typer.testing import CliRunner

from haihe.cli.bench_packs import Benches, brought
from haihe.cli.main import app
from tests.docs.sources import ROOT, documents, in_words, names, place

# Pages that somebody follows word by word: what they call in a sentence is typed as it stands.
FOLLOWED = ("docs/tutorial/", "docs/zh/tutorial/")
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:^ {4}\S.*\n?)+", re.MULTILINE)
SPAN = re.compile(r"`([^`\n]+)`")
SHELLS = ("", "sh", "console")


class Line(NamedTuple):
    """A command line of a page."""

    page: str
    text: str
    is_whole: bool  # typed as it stands, and no mention of a command

    def __str__(self) -> str:
        return f"{self.page}: {self.text}"


def lines_of(page: Path) -> Iterator[Line]:
    """What a page tells to type, and the commands that it mentions."""
    text = page.read_text()
    for language, block in FENCE.findall(text):
        if language in SHELLS:
            yield from _typed(page, block)
    prose = FENCE.sub("", text)
    for block in INDENTED.findall(prose):
        yield from _typed(page, block)
    for span in SPAN.findall(INDENTED.sub("", prose)):
        if span.startswith(("haihe ", "make ", "python -m haihe")):
            yield Line(place(page), span, place(page).startswith(FOLLOWED))


def _typed(page: Path, block: str) -> Iterator[Line]:
    for line in re.sub(r"\\\n\s*", "", block).splitlines():
        told = re.split(r"\s+#\s|\s{3,}", line.strip())[0]
        if told.startswith(("haihe ", "make ", "python -m haihe", "uv ")):
            yield Line(place(page), told, is_whole=True)


LINES = [line for page in documents() for line in lines_of(page)]
OURS = [line for line in LINES if line.text.startswith("haihe ")]


def test_there_is_much_to_check() -> None:
    assert len(OURS) > 80
    assert {line.page for line in LINES} >= {
        "README.md",
        "README.zh.md",
        "docs/tutorial/first-run.md",
    }


@pytest.mark.parametrize("line", OURS, ids=str)
def test_a_command_line_is_one_that_haihe_takes(line: Line) -> None:
    words = shlex.split(line.text)[1:]
    if line.is_whole:
        parse(words)
    else:
        find(words)


@pytest.mark.parametrize("line", [line for line in LINES if line not in OURS], ids=str)
def test_what_else_is_typed_is_there(line: Line) -> None:
    words = shlex.split(line.text)
    if words[0] == "make":
        assert words[1] in TARGETS
    else:
        assert words[:2] == ["python", "-m"], "uv may not be on the PATH"
        assert importlib.util.find_spec(words[2])


@cache
def root() -> Any:
    """The command line with everything under it."""
    return typer.main.get_command(app)


def parse(words: list[str]) -> None:
    """Take a command line as far as the command that it would run, and answer what it asks for."""
    command, context, name = root(), None, "haihe"
    with CliRunner().isolation(input="an answer\n" * 2):
        while True:
            try:
                context = command.make_context(name, list(words), parent=context)
            except Exception as error:
                if "does not exist" in str(error):  # a FILE of the reader's
                    return None
                raise AssertionError(f"{name} {' '.join(words)}: {error}") from error
            if not hasattr(command, "commands"):
                return None
            name, *words = [*getattr(context, "_protected_args", []), *context.args]
            if isinstance(command, Benches) and name in brought():
                return of_a_pack(name, words)
            command = command.get_command(context, name)
            assert command is not None, f"no command {name}"


def of_a_pack(name: str, words: list[str]) -> None:
    """Look up a pack's benchmark, whose libraries are not in this environment, by its source."""
    module = brought()[name].manifest().commands.bench[name].partition(":")[0]
    found = importlib.util.find_spec(module)
    assert found is not None
    assert found.origin is not None
    arguments = names(Path(found.origin))
    for word in words:
        if word.startswith("--"):
            assert in_words(word).strip().replace(" ", "_") in {*arguments, "json"}


def find(words: list[str]) -> None:
    """Look a mentioned command up; what is given of its options must exist."""
    command = root()
    if words and words[0] == "--as":
        words = words[2:]
    while hasattr(command, "commands") and words and not words[0].isupper():
        context = command.make_context("haihe", [], resilient_parsing=True)
        if isinstance(command, Benches) and words[0] in brought():
            return of_a_pack(words[0], words[1:])
        command, words = command.get_command(context, words[0]), words[1:]
        assert command is not None
    known = {name for parameter in command.params for name in parameter.opts}
    known |= {name for parameter in command.params for name in parameter.secondary_opts}
    own = words[: words.index("--")] if "--" in words else words
    assert not {word for word in own if word.startswith("--")} - known - {"--help"}
    return None
