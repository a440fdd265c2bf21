"""What every command keeps to: help for all it takes, JSON, and consent before it acts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import typer.main

from haihe.cli.main import app
from haihe.parties.services import principal_of
from tests.callers import haihe, said
from tests.factories import make_person

# The last word of a command that only tells.
TELLS = {
    "accounts", "audit", "cases", "chain", "check", "checkpoints", "claims", "diff", "explain",
    "files", "head", "history", "keys", "list", "log", "members", "preview", "proof", "roles",
    "settings", "show", "simulate", "statement", "usage", "verify", "version", "versions",
}  # fmt: skip
UNASKED: Mapping[str, str] = {
    "agent enrol": "the one-time token is the consent",
    "demo": "it shows each step, in a home that is for it",
    "events deliver": "`haihe up` does it all the time",
    "init": "it makes what is not there",
    "job dispatch": "`haihe up` does it all the time",
    "job get": "it writes where it is told to, and never over anything",
    "ledger expire": "`haihe up` does it all the time",
    "network export": "it writes where it is told to",
    "quote request": "a quote binds nobody",
    **{f"bench {name}": "in a home of its own" for name in ("core", "dispatch", "placement")},
}
SERVES = {"agent run", "packs serve", "up"}


def commands() -> Iterator[tuple[str, Any]]:
    """Every command of the platform by its words."""
    root: Any = typer.main.get_command(app)
    context = typer.Context(root)
    for name in root.list_commands(context):
        yield from _inside(root.get_command(context, name), name)


def _inside(command: Any, words: str) -> Iterator[tuple[str, Any]]:
    parts = getattr(command, "commands", None)
    if parts is None:
        yield words, command
    for name, part in (parts or {}).items():
        yield from _inside(part, f"{words} {name}")


def options(command: Any) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts}


def test_everything_a_command_takes_has_a_word_of_help() -> None:
    silent = [
        (words, parameter.name)
        for words, command in commands()
        for parameter in command.params
        if parameter.name != "help" and not getattr(parameter, "help", None)
    ]
    assert silent == []
    assert [words for words, command in commands() if not command.help] == []


def test_every_command_that_ends_speaks_json() -> None:
    mute = [words for words, command in commands() if "--json" not in options(command)]
    assert set(mute) == SERVES


def test_a_command_tells_or_asks_or_says_here_why_not() -> None:
    for words, command in commands():
        if "--yes" in options(command):
            assert words not in UNASKED, words
        else:
            assert words.split()[-1] in TELLS or words in UNASKED or words in SERVES, words


def test_the_exceptions_are_commands() -> None:
    assert {*UNASKED, *SERVES} <= {words for words, _ in commands()}


@pytest.mark.django_db
def test_where_nobody_answers_nothing_is_done_and_the_exit_code_says_so() -> None:
    made = ("people", "create", "x@example.test", "--name", "X", "--password", "long-enough-1234")
    unanswered = haihe(*made)
    assert unanswered.exit_code == 10
    assert "give --yes" in unanswered.stderr
    assert said(haihe(*made, "--yes", "--json"))["email"] == "x@example.test"


@pytest.mark.django_db
def test_who_has_a_platform_role_is_told_to_whom_the_policy_lets_see_it() -> None:
    refused = haihe("people", "roles", "--json", caller=principal_of(make_person()))
    assert refused.exception is not None
    assert refused.exception.code == "policy.not_allowed"


def test_the_version_is_there_as_json() -> None:
    assert said(haihe("version", "--json"))["version"]
