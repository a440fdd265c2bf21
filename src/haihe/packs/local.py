"""What the author of a pack does on their own machine: check it, and run it on its sample data.

Nothing here asks the database or costs anything, and the pack's code runs in this process, as its
author's code does anyway. On the platform a pack runs as a job; see :mod:`haihe.packs.services`.
"""

from __future__ import annotations

import importlib
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import polars as pl

from haihe.packs.checks import Report, run_checks
from haihe.packs.context import Progress
from haihe.packs.discovery import PackSource
from haihe.packs.errors import NoSampleData
from haihe.packs.evaluation import Evaluation, evaluate_outputs
from haihe.packs.runner import run_pack

SEED = 0


def sample_inputs(source: PackSource) -> dict[str, pl.DataFrame] | None:
    """The tables that a pack brings to be tried with; None if it brings none.

    A pack whose manifest has one input offers them as ``frame()`` in its module ``data``, which
    needs no more than the platform's own libraries.
    """
    inputs = source.manifest().inputs
    source.make_importable()
    if len(inputs) != 1 or find_spec(f"{source.package}.data") is None:
        return None
    module = importlib.import_module(f"{source.package}.data")
    frame: Any = getattr(module, "frame", None)
    return {inputs[0].name: frame()} if callable(frame) else None


def check_pack(source: PackSource) -> Report:
    """Make every conformance check; those that need cases are skipped without sample data."""
    with tempfile.TemporaryDirectory(prefix="haihe-check-") as folder:
        return run_checks(source, inputs=sample_inputs(source), folder=Path(folder))


@dataclass(frozen=True)
class LocalRun:
    """A run on sample data: its judgement, and where its outputs lie."""

    evaluation: Evaluation
    folder: Path


def run_on_sample(source: PackSource, *, out: Path, report: Progress) -> LocalRun:
    """Take a pack through the whole protocol on its own sample data, and judge it.

    Raises
    ------
    NoSampleData
        If the pack brings none.
    FolderNotEmpty
        If ``out`` holds something already.
    """
    inputs = sample_inputs(source)
    if inputs is None:
        raise NoSampleData(pack=source.name)
    manifest = source.manifest()
    with tempfile.TemporaryDirectory(prefix="haihe-sample-") as name:
        folder = Path(name)
        for input_name, frame in inputs.items():
            frame.write_parquet(folder / f"{input_name}.parquet")
        run_pack(source, inputs=folder, out=out, report=report, seed=SEED)
    labels = inputs[manifest.cases.name]
    return LocalRun(evaluate_outputs(manifest, out, labels, seed=SEED), out)
