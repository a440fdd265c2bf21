"""The platform's judgement: from raw predictions and the truth it kept, to figures.

Nothing that a pack says of itself enters here. :func:`evaluate_outputs` is what the platform calls
on the folder that a job left; it makes the split anew, refuses predictions that were made on
another, and computes every figure from the stored scores.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import polars as pl

from haihe.packs.domain import MAX_PERMUTATIONS, Input, Manifest
from haihe.packs.inputs import conform
from haihe.packs.outputs import (
    BASELINE_FILE,
    PERMUTED_FILE,
    PREDICTIONS_FILE,
    read_predictions,
)
from haihe.packs.protocol import (
    DECISION,
    FOLD,
    GROUP,
    ID,
    PERMUTATION,
    SCORE,
    TRUTH,
    assign_folds,
    check_folds,
    check_predictions,
    truth_of,
)
from haihe.packs.scoring import Interval, Scores, roc_auc, score_binary


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Values of one figure, their mean, and their standard deviation (None of a single one)."""

    values: tuple[float, ...]
    mean: float
    deviation: float | None


@dataclass(frozen=True, kw_only=True)
class Assessment:
    """One run over all folds: scored over all cases at once, and fold by fold.

    ``roc_auc_by_fold`` is what runs are compared by. The area over all cases mixes the scores of
    several fits, which costs a run that learned nothing (its scores differ between folds only, and
    against the truth) some area below one half.
    """

    pooled: Scores
    by_fold: tuple[Scores, ...]
    roc_auc_by_fold: Spread


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What a pack's predictions are worth. ``permuted`` has one mean area over folds for each
    shuffling of the labels, and is None for a pack that learns nothing or ran without it."""

    pack: str
    version: str
    seed: int
    rows: int
    groups: int
    positives: int
    model: Assessment
    baseline: Assessment
    permuted: Spread | None

    @property
    def primary(self) -> Interval:
        """The figure that the manifest names as the first."""
        return self.model.pooled.roc_auc

    def document(self) -> dict[str, Any]:
        """The same as plain values, ready for JSON."""
        return {**asdict(self), "primary": asdict(self.primary)}


def evaluate_outputs(
    manifest: Manifest, folder: Path, labels: pl.DataFrame, *, seed: int = 0
) -> Evaluation:
    """Judge the raw predictions that a run left in ``folder``.

    Parameters
    ----------
    manifest : Manifest
        Of the pack, as the platform holds it.
    folder : Path
        Where the run wrote its predictions.
    labels : polars.DataFrame
        The input of the cases as the platform holds it; only id, group and label are used.
    seed : int
        The seed that the platform gave the run.

    Raises
    ------
    OutputMissing, OutputTooLarge, PredictionsRefused, FoldsDiffer
        If the predictions are absent, cannot be scored, or were made on another split.
    """
    truth = truth_of(manifest, conform(labels, _judged_columns(manifest)))
    folds = assign_folds(truth, folds=manifest.evaluation.folds, seed=seed)

    def read(file: str, *, rounds: int = 1) -> pl.DataFrame:
        return read_predictions(folder, file, pack=manifest.name, max_rows=rounds * len(truth))

    permuted = None
    if (folder / PERMUTED_FILE).exists():
        shuffled = read(PERMUTED_FILE, rounds=MAX_PERMUTATIONS)
        permuted = shuffled.partition_by(PERMUTATION, maintain_order=True)
    parts = {
        PREDICTIONS_FILE: [read(PREDICTIONS_FILE)],
        BASELINE_FILE: [read(BASELINE_FILE)],
        PERMUTED_FILE: permuted or [],
    }
    for file, found in parts.items():
        for part in found:
            _check(manifest, part, folds, file=file, seed=seed)
    return evaluate(
        manifest,
        truth,
        seed=seed,
        predictions=parts[PREDICTIONS_FILE][0],
        baseline=parts[BASELINE_FILE][0],
        permuted=permuted,
    )


def evaluate(
    manifest: Manifest,
    truth: pl.DataFrame,
    *,
    seed: int,
    predictions: pl.DataFrame,
    baseline: pl.DataFrame,
    permuted: list[pl.DataFrame] | None,
) -> Evaluation:
    """Judge predictions that are known to be well formed."""
    shuffled = [_mean_area(join_truth(part, truth)) for part in permuted or ()]
    return Evaluation(
        pack=manifest.name,
        version=manifest.version,
        seed=seed,
        rows=len(truth),
        groups=truth[GROUP].n_unique(),
        positives=int(truth[TRUTH].sum()),
        model=assess(manifest, join_truth(predictions, truth)),
        baseline=assess(manifest, join_truth(baseline, truth)),
        permuted=spread(shuffled) if shuffled else None,
    )


def join_truth(predictions: pl.DataFrame, truth: pl.DataFrame) -> pl.DataFrame:
    """Predictions beside the truth: id, fold, group, truth, score, decision; fold by fold."""
    joined = predictions.join(truth, on=ID).sort(FOLD, ID)
    return joined.select(ID, FOLD, GROUP, TRUTH, SCORE, DECISION)


def assess(manifest: Manifest, scored: pl.DataFrame) -> Assessment:
    """Score predictions that stand beside the truth, over all cases and fold by fold."""
    threshold = manifest.evaluation.threshold
    by_fold = tuple(
        _score(part, threshold=threshold) for part in scored.partition_by(FOLD, maintain_order=True)
    )
    return Assessment(
        pooled=_score(scored, threshold=threshold),
        by_fold=by_fold,
        roc_auc_by_fold=spread([part.roc_auc.value for part in by_fold]),
    )


def spread(values: list[float]) -> Spread:
    """Mean and standard deviation of one or more values."""
    return Spread(
        values=tuple(values),
        mean=fmean(values),
        deviation=stdev(values) if len(values) > 1 else None,
    )


def _mean_area(scored: pl.DataFrame) -> float:
    areas = (
        roc_auc(part[TRUTH].to_numpy(), part[SCORE].to_numpy(), groups=part[GROUP].to_numpy())
        for part in scored.partition_by(FOLD)
    )
    return fmean(area.value for area in areas)


def _judged_columns(manifest: Manifest) -> Input:
    rules = manifest.evaluation
    columns = tuple(
        column
        for column in manifest.cases.columns
        if column.name in (rules.id, rules.group, rules.label)
    )
    return manifest.cases.model_copy(update={"columns": columns})


def _check(
    manifest: Manifest, found: pl.DataFrame, folds: pl.DataFrame, *, file: str, seed: int
) -> None:
    check_predictions(
        found.select(ID, SCORE, DECISION),
        ids=folds[ID],
        threshold=manifest.evaluation.threshold,
    )
    check_folds(file, found, folds, seed=seed)


def _score(scored: pl.DataFrame, *, threshold: float) -> Scores:
    decision = scored[DECISION]
    return score_binary(
        scored[TRUTH].to_numpy(),
        scored[SCORE].to_numpy(),
        decided=decision.is_not_null().to_numpy(),
        positive=decision.fill_null(False).to_numpy(),
        groups=scored[GROUP].to_numpy(),
        threshold=threshold,
    )
