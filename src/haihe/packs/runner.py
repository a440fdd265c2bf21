"""Runs one pack over one set of inputs, as a job does: no database, no network, no Django.

    python -m haihe.packs.runner --pack NAME --inputs DIR --out DIR [--seed N] [--permutations N]

A pack with an environment of its own is run by the Python of that. The folder that it leaves is
described in :mod:`haihe.packs.outputs`. Lines on standard output say how far it has come:
``progress``, the share done, and the step. An error that a person can act on goes to standard
error with its code, and ends the run with status 2.
"""

from __future__ import annotations

import argparse
import logging
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from haihe import __version__
from haihe.kernel.clock import now
from haihe.kernel.errors import HaiheError
from haihe.kernel.settings import load_settings
from haihe.packs.context import Progress
from haihe.packs.discovery import PackSource, find_pack
from haihe.packs.domain import MAX_PERMUTATIONS
from haihe.packs.environments import enter, environment_of
from haihe.packs.errors import FolderNotEmpty
from haihe.packs.evaluation import assess, join_truth
from haihe.packs.inputs import ReadInput, read_inputs
from haihe.packs.outputs import (
    ARTIFACTS_FOLDER,
    RUN_FILE,
    Outputs,
    write_json,
    write_outputs,
)
from haihe.packs.trial import Meter, Trial

FAILED = 2
MAX_SEED = 2**32 - 1
_LIBRARIES = ("numpy", "polars", "scikit-learn", "scipy")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; the exit status."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    try:
        source = find_pack(options.pack)
        environment = environment_of(source, load_settings().environments_folder)
        if environment is not None:
            enter(environment, ["-m", "haihe.packs.runner", *(arguments or sys.argv[1:])])
        run_pack(
            source,
            inputs=options.inputs,
            out=options.out,
            seed=options.seed,
            permutations=options.permutations,
            report=_print_progress,
        )
    except HaiheError as error:
        sys.stderr.write(f"{error.code}: {error}\n")
        return FAILED
    return 0


def run_pack(
    source: PackSource,
    *,
    inputs: Path,
    out: Path,
    report: Progress,
    seed: int = 0,
    permutations: int | None = None,
) -> None:
    """Take a pack through the protocol and write all that it hands back into ``out``.

    Parameters
    ----------
    source : PackSource
        Which pack.
    inputs : Path
        Folder with one table per input of the manifest.
    out : Path
        Folder to write to; made if absent, refused if not empty.
    report : callable
        Told how far the run is: the share done, and the step.
    seed : int
        Of the split, of the shuffled labels, and of the pack's own randomness.
    permutations : int, optional
        How often to refit on shuffled labels; the manifest's number unless given.
    """
    began = now()
    manifest = source.manifest()
    if out.exists() and any(out.iterdir()):
        raise FolderNotEmpty(folder=str(out))
    read = read_inputs(manifest, inputs)
    times = manifest.evaluation.permutations if permutations is None else permutations
    fits = manifest.evaluation.folds * (1 + times)
    out.mkdir(parents=True, exist_ok=True)
    trial = Trial(
        pack=source.load(),
        manifest=manifest,
        inputs={name: table.frame for name, table in read.items()},
        folder=out / ARTIFACTS_FOLDER,
        seed=seed,
        # prepare and evaluate once, explain once a fold, fit and run in each fold of each round
        meter=Meter(steps=2 + manifest.evaluation.folds + 2 * fits, report=report),
    )
    outputs = run_trial(trial, permutations=times)
    written = write_outputs(out, outputs)
    record = {
        "pack": {"name": source.name, "version": source.version, "sha256": source.sha256()},
        "seed": seed,
        "folds": manifest.evaluation.folds,
        "permutations": times if outputs.permuted is not None else 0,
        "inputs": {name: _input_record(table) for name, table in read.items()},
        "outputs": {name: {"sha256": digest} for name, digest in written.items()},
        "versions": _versions(),
        "timing": _timing(began, trial.meter),
    }
    write_json(out / RUN_FILE, record)
    report(1.0, "done")


def run_trial(trial: Trial, *, permutations: int) -> Outputs:
    """All steps in their order; what the pack learns of the truth in the last reaches nothing."""
    predictions = trial.predictions()
    explanations = {fold: trial.explanations(fold) for fold in trial.fold_numbers}
    permuted = trial.permuted_predictions(permutations) if trial.learns and permutations else None
    baseline = trial.baseline_predictions()
    scored = join_truth(predictions, trial.truth)
    scores = assess(trial.manifest, scored).pooled
    return Outputs(
        predictions=predictions,
        permuted=permuted,
        baseline=baseline,
        explanations=explanations,
        tables=trial.tables(scored=scored, scores=scores),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m haihe.packs.runner", description="Run a pack.")
    parser.add_argument("--pack", required=True, help="name of an installed pack, or its folder")
    parser.add_argument("--inputs", required=True, type=Path, help="folder with the input tables")
    parser.add_argument("--out", required=True, type=Path, help="empty or new folder for results")
    parser.add_argument(
        "--seed", type=_up_to(MAX_SEED), default=0, help="of everything random (default 0)"
    )
    parser.add_argument(
        "--permutations",
        type=_up_to(MAX_PERMUTATIONS),
        help="refits on shuffled labels; 0 leaves the control out (default: the manifest's)",
    )
    return parser


def _up_to(limit: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        number = int(text)
        if not 0 <= number <= limit:
            raise argparse.ArgumentTypeError(f"give a whole number from 0 to {limit}")
        return number

    return parse


def _print_progress(share: float, text: str) -> None:
    sys.stdout.write(f"progress {share:.3f} {text}\n")
    sys.stdout.flush()


def _input_record(table: ReadInput) -> dict[str, Any]:
    return {
        "file": table.file,
        "size_bytes": table.size_bytes,
        "rows": len(table.frame),
        "sha256": table.sha256,
    }


def _versions() -> dict[str, str]:
    libraries = {name: metadata.version(name) for name in _LIBRARIES}
    return {"haihe": __version__, "python": platform.python_version(), **libraries}


def _timing(began: datetime, meter: Meter) -> Mapping[str, Any]:
    ended = now()
    return {
        "started_at": began.isoformat(),
        "ended_at": ended.isoformat(),
        "wall_s": (ended - began).total_seconds(),
        "steps_wall_s": {kind: round(seconds, 3) for kind, seconds in meter.wall_s.items()},
    }


if __name__ == "__main__":
    sys.exit(main())
