"""What a run leaves in its folder, and how it is read back.

    predictions.parquet   fold, id, score, decision          the raw predictions
    permuted.parquet      permutation, fold, id, ...         the same from shuffled labels
    baseline.parquet      fold, id, score, decision          the same from the prior alone
    explanations.json     reasons for each case              the pack's own
    report.json           tables                             the pack's own
    run.json              versions, seeds, hashes, times
    artifacts/            what the pack keeps, fold by fold

The platform writes no truth into it, and whoever scores it needs to believe nothing in it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from haihe.packs.context import Explanation, Table
from haihe.packs.errors import OutputMissing, OutputTooLarge
from haihe.packs.inputs import file_sha256
from haihe.packs.protocol import DECISION, FOLD, ID, PERMUTATION, SCORE

PREDICTIONS_FILE = "predictions.parquet"
PERMUTED_FILE = "permuted.parquet"
BASELINE_FILE = "baseline.parquet"
EXPLANATIONS_FILE = "explanations.json"
REPORT_FILE = "report.json"
RUN_FILE = "run.json"
ARTIFACTS_FOLDER = "artifacts"

_COLUMNS: Mapping[str, pl.DataType] = {
    FOLD: pl.Int64(),
    ID: pl.String(),
    SCORE: pl.Float64(),
    DECISION: pl.Boolean(),
}


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """All that a run hands back, in memory. ``permuted`` is None for a pack that learns nothing."""

    predictions: pl.DataFrame
    permuted: pl.DataFrame | None
    baseline: pl.DataFrame
    explanations: Mapping[int, list[Explanation]]
    tables: list[Table]


def write_outputs(folder: Path, outputs: Outputs) -> dict[str, str]:
    """Write all but ``run.json``; the SHA-256 of each file by its name."""
    outputs.predictions.write_parquet(folder / PREDICTIONS_FILE)
    outputs.baseline.write_parquet(folder / BASELINE_FILE)
    if outputs.permuted is not None:
        outputs.permuted.write_parquet(folder / PERMUTED_FILE)
    cases = [
        {"fold": fold, **item.model_dump()}
        for fold, items in outputs.explanations.items()
        for item in items
    ]
    write_json(folder / EXPLANATIONS_FILE, {"by": "pack", "cases": cases})
    tables = [_table(table) for table in outputs.tables]
    write_json(folder / REPORT_FILE, {"by": "pack", "tables": tables})
    return {path.name: file_sha256(path) for path in sorted(folder.iterdir()) if path.is_file()}


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a document for people and machines; a value that is not JSON is a defect."""
    text = json.dumps(document, ensure_ascii=False, indent=1, allow_nan=False)
    path.write_text(text + "\n", "utf-8")


def read_predictions(folder: Path, file: str, *, pack: str, max_rows: int) -> pl.DataFrame:
    """The raw predictions of one file, with their columns in their types.

    Raises
    ------
    OutputMissing
        If there is no such file, or it is not such a table.
    OutputTooLarge
        If it has more rows than there can be; it is then not read.
    """
    columns = dict(_COLUMNS)
    if file == PERMUTED_FILE:
        columns[PERMUTATION] = pl.Int64()
    try:
        rows = pl.scan_parquet(folder / file).select(pl.len()).collect().item()
        if rows > max_rows:
            raise OutputTooLarge(pack=pack, what=f"rows in {file}", size=rows, limit=max_rows)
        found = pl.read_parquet(folder / file)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise OutputMissing(file=file, place=str(folder), reason=str(error)) from error
    if dict(found.schema) != columns:
        raise OutputMissing(file=file, place=str(folder), reason="it has other columns")
    return found


def _table(table: Table) -> dict[str, Any]:
    return {
        "name": table.name,
        "title": table.title.model_dump(),
        "columns": [
            {"name": name, "title": table.columns[name].model_dump()}
            for name in table.frame.columns
        ],
        "rows": [list(row) for row in table.frame.rows()],
    }
