"""Tables in files: which format, whether they read to the end, and what is in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from haihe.data.domain import FORMATS, LINE_LIMIT_BYTES, check_columns, check_csv
from haihe.data.errors import UnreadableFile

_ROWS = "\0rows"  # a column name that no file can have
# What a column of a CSV file may be found to be.
_CSV_TYPES = {str(kind): kind for kind in (pl.Boolean, pl.Int64, pl.Int128, pl.Float64, pl.String)}


def format_of(name: str) -> str:
    """The format that a file's name says."""
    suffix = Path(name).suffix.lower().lstrip(".")
    if suffix not in FORMATS:
        raise UnreadableFile(name=name, reason="its name must end in .csv or .parquet")
    return suffix


def scan_table(
    path: Path, file_format: str, columns: Sequence[Mapping[str, Any]] = ()
) -> pl.LazyFrame:
    """A lazy frame over a file.

    ``columns`` are what :func:`read_table` found in it: then a CSV file is not read twice, to see
    first what its columns are. All of it is, for a column may turn to text in its last row.
    """
    if file_format == "parquet":
        return pl.scan_parquet(path)
    known = {one["name"]: _CSV_TYPES[one["type"]] for one in columns}
    if known:
        return pl.scan_csv(path, schema_overrides=known, infer_schema_length=0)
    return pl.scan_csv(path, infer_schema_length=None)


def read_table(path: Path, *, name: str, file_format: str) -> tuple[int, list[dict[str, Any]]]:
    """Read all of a received file: number of rows, and name, type and nulls of each column.

    Raises
    ------
    UnreadableFile, RaggedRows, WrongEncoding
        If the file is empty, damaged, or not what its name says.
    """
    if path.stat().st_size == 0:
        raise UnreadableFile(name=name, reason="it is empty")
    if file_format == "csv":
        with path.open("rb") as file:
            # One byte above the limit: enough for the check to see a line that is too long.
            check_csv(iter(lambda: file.readline(LINE_LIMIT_BYTES + 1), b""), name=name)
    try:
        table = scan_table(path, file_format)
        schema = table.collect_schema()
        check_columns(schema.names(), name=name)
        counts = (
            table.select(pl.len().alias(_ROWS), pl.all().null_count())
            .collect(engine="streaming")
            .row(0, named=True)
        )
    except (pl.exceptions.PolarsError, OSError) as error:
        raise UnreadableFile(name=name, reason=str(error).splitlines()[0][:200]) from None
    rows = int(counts.pop(_ROWS))
    if rows == 0:
        raise UnreadableFile(name=name, reason="it has no rows")
    columns = [
        {"name": column, "type": str(kind), "nulls": int(counts[column])}
        for column, kind in schema.items()
    ]
    return rows, columns
