"""Tables on their way into a pack: found, hashed, and made to fit what the manifest declares.

A pack sees exactly the columns it declared, in the declared types, and meets an empty cell only
where it said it can. What does not fit is refused here, by name, before any of the pack's code
runs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from haihe.packs.domain import Column, ColumnType, Input, Manifest
from haihe.packs.errors import InputMissing, InputRefused, InputTooLarge

MAX_BYTES = 2_000_000_000
MAX_ROWS = 1_000_000

_TYPES: Mapping[ColumnType, pl.DataType | type[pl.DataType]] = {
    ColumnType.NUMBER: pl.Float64,
    ColumnType.INTEGER: pl.Int64,
    ColumnType.TEXT: pl.String,
    ColumnType.BOOLEAN: pl.Boolean,
    ColumnType.SERIES: pl.List(pl.Float64),
}


@dataclass(frozen=True, kw_only=True)
class ReadInput:
    """A table and the file it came from."""

    frame: pl.DataFrame
    file: str
    size_bytes: int
    sha256: str


def read_inputs(manifest: Manifest, folder: Path) -> dict[str, ReadInput]:
    """Every input that the manifest declares, from ``<name>.parquet`` or ``<name>.csv``.

    Raises
    ------
    InputMissing, InputTooLarge, InputRefused
        If a table is absent, beyond the limit, or does not fit.
    """
    return {declared.name: _read(declared, folder) for declared in manifest.inputs}


def conform(frame: pl.DataFrame, declared: Input) -> pl.DataFrame:
    """``frame`` with the declared columns only, in their types.

    Raises
    ------
    InputRefused
        If a column is absent, a value is of another type, not finite, or empty where it may not
        be, or there are no rows.
    InputTooLarge
        If there are too many rows.
    """
    absent = [column.name for column in declared.columns if column.name not in frame.columns]
    if absent:
        raise InputRefused(input=declared.name, reason=f"column {', '.join(absent)} is missing")
    if frame.is_empty():
        raise InputRefused(input=declared.name, reason="it has no rows")
    if len(frame) > MAX_ROWS:
        raise InputTooLarge(input=declared.name, size=len(frame), unit="rows", limit=MAX_ROWS)
    return pl.DataFrame(
        [_typed(frame[column.name], column, declared) for column in declared.columns]
    )


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _typed(values: pl.Series, column: Column, declared: Input) -> pl.Series:
    try:
        typed = values.cast(_TYPES[column.type])
    except pl.exceptions.PolarsError as error:
        raise InputRefused(
            input=declared.name, reason=f"{column.name} is not of type {column.type}"
        ) from error
    if column.type is ColumnType.NUMBER:
        typed = typed.fill_nan(None)
        if typed.is_infinite().any():
            raise InputRefused(input=declared.name, reason=f"{column.name} has infinite values")
    if column.type is ColumnType.SERIES:
        finite = typed.explode().is_finite().fill_null(False)
        if not finite.all():
            raise InputRefused(
                input=declared.name, reason=f"{column.name} has values that are no finite numbers"
            )
    empty = typed.null_count()
    if empty and not column.nullable:
        raise InputRefused(
            input=declared.name, reason=f"{column.name} is empty in {empty} of {len(typed)} rows"
        )
    return typed


def _read(declared: Input, folder: Path) -> ReadInput:
    found = [folder / f"{declared.name}{ending}" for ending in (".parquet", ".csv")]
    path = next((path for path in found if path.is_file()), None)
    if path is None:
        raise InputMissing(input=declared.name, place=str(folder))
    size_bytes = path.stat().st_size
    if size_bytes > MAX_BYTES:
        raise InputTooLarge(input=declared.name, size=size_bytes, unit="bytes", limit=MAX_BYTES)
    return ReadInput(
        frame=conform(_parse(path, declared), declared),
        file=path.name,
        size_bytes=size_bytes,
        sha256=file_sha256(path),
    )


def _parse(path: Path, declared: Input) -> pl.DataFrame:
    try:
        if path.suffix == ".parquet":
            return pl.read_parquet(path)
        types = {column.name: _TYPES[column.type] for column in declared.columns}
        return pl.read_csv(path, schema_overrides=types)
    except pl.exceptions.PolarsError as error:
        reason = str(error).partition("\n")[0] or "it is no table"
        raise InputRefused(input=declared.name, reason=reason) from error
