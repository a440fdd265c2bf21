"""What the commands of all domains share: tables for people, JSON for programs, and consent.

Every command takes ``--json`` and then prints one object on stdout and nothing else. A command
that acts first shows what it will do and asks, unless ``--yes`` is given. Errors go to stderr, and
the exit code says which branch of the error tree they are from.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from django.utils.translation import gettext as _
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table
from rich.text import Text

from haihe.kernel import errors
from haihe.kernel.errors import HaiheError
from haihe.kernel.phrases import localized

EXIT_CODES: dict[type[HaiheError], int] = {
    errors.Invalid: 2,
    errors.Unauthenticated: 3,
    errors.Denied: 3,
    errors.NotFound: 4,
    errors.Conflict: 5,
    errors.Refused: 6,
    errors.TooLarge: 7,
    errors.Unavailable: 8,
    errors.Corrupt: 9,
}
NO_CONSENT = 10

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]

UNBOUNDED = 10_000  # columns of output that goes to a file or a program, so that nothing folds
BAR_FROM_BYTES = 8 << 20  # what is smaller is done before a bar could be read
WHOLE = 36  # letters, those of an id: a column of no more is not folded before the others

out = Console(soft_wrap=True, highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)


def exit_code_of(error: HaiheError) -> int:
    """The exit code of an error, by its branch of the tree."""
    return next((code for kind, code in EXIT_CODES.items() if isinstance(error, kind)), 1)


def show_error(error: HaiheError, *, as_json: bool) -> None:
    """Print an error: in words on stderr, or as an object on stdout."""
    text = localized(error)
    if as_json:
        print_json({"error": {"code": error.code, "message": text, "params": error.params()}})
    else:
        err.print(Text(f"{error.code}: ", style="bold red") + Text(text))


def print_json(data: Mapping[str, Any]) -> None:
    """One JSON object on stdout; times in ISO 8601, ids as text."""
    typer.echo(json.dumps(data, ensure_ascii=False, indent=2, default=_plain))


def show_record(data: Mapping[str, Any], *, as_json: bool) -> None:
    """One thing: names and values below each other, or JSON."""
    if as_json:
        print_json(data)
        return
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in data.items():
        table.add_row(name, Text(_words(value)))
    _print_table(table)


def show_rows(
    rows: Iterable[Mapping[str, Any]],
    *,
    columns: Sequence[str],
    as_json: bool,
    next_cursor: str | None = None,
    empty: str = "",
) -> None:
    """A list: a table with the columns named, or JSON with all fields and the next cursor."""
    listed = list(rows)
    if as_json:
        print_json({"items": listed, "next_cursor": next_cursor})
        return
    if not listed:
        out.print(empty or _("Nothing here yet."))
        return
    lines = [[_words(row.get(column)) for column in columns] for row in listed]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column, values in zip(columns, zip(*lines, strict=True), strict=True):
        # Where the terminal is narrow, prose gives way before ids and amounts do.
        table.add_column(column, overflow="fold", no_wrap=max(map(len, values)) <= WHOLE)
    for line in lines:
        table.add_row(*(Text(value) for value in line))
    _print_table(table)
    if next_cursor:
        out.print(Text(_("More: --cursor {cursor}").format(cursor=next_cursor), style="dim"))


def track_bytes(pieces: Iterable[bytes], *, total: int, text: str) -> Iterator[bytes]:
    """Pass pieces of a file on; of a large one a person sees the progress, on stderr."""
    if not err.is_terminal or total < BAR_FROM_BYTES:
        yield from pieces
        return
    columns = (
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task(text, total=total)
        for piece in pieces:
            yield piece
            progress.advance(task, len(piece))


def ask_consent(lines: Sequence[str], *, yes: bool) -> None:
    """Show on stderr what a command will do, and ask unless ``yes``; ends the command on a no.

    Where nobody is there to answer it ends the same way.
    """
    for line in lines:
        err.print(Text("  " + line))
    if yes:
        return
    try:
        agreed = typer.confirm(_("Do it?"), err=True)
    except typer.Abort:
        err.print(_("Nobody answers; give --yes."))
        agreed = False
    if not agreed:
        raise typer.Exit(NO_CONSENT)


def _print_table(table: Table) -> None:
    console = out if out.is_terminal else Console(width=UNBOUNDED, highlight=False)
    console.print(table)


def _words(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_words(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return "; ".join(_words(item) for item in value)
    return str(value)


def _plain(value: object) -> object:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, UUID | Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
