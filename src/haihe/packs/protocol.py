"""The protocol by which a pack is judged: who is on which side, and what is hidden from whom.

The platform holds the truth. It splits the cases by group, shows the pack the labels of the
training side only, and takes raw predictions back. Two runs beside the real one say what its
figures mean: one that knows only how frequent the positives are, and one that learns from labels
which were shuffled, and so must end at chance unless something leaks.

Everything here is a pure function of frames and a seed. Ids are compared as text, and cases are
always taken in the order of their ids, so that the order of rows in a file changes nothing.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from haihe.packs.domain import Manifest
from haihe.packs.errors import (
    FoldsDiffer,
    InputRefused,
    PredictionsDuplicated,
    PredictionsMalformed,
    PredictionsMissing,
    PredictionsNotProbability,
    PredictionsUnknown,
    PreparedRowsDiffer,
    SplitImpossible,
)

ID, GROUP, TRUTH = "id", "group", "truth"
FOLD, PERMUTATION = "fold", "permutation"
SCORE, DECISION = "score", "decision"


def truth_of(manifest: Manifest, cases: pl.DataFrame) -> pl.DataFrame:
    """What the platform holds back: ``id`` and ``group`` as text, ``truth`` as a boolean.

    Raises
    ------
    InputRefused
        If an id repeats or is empty, or a label is neither of the two that the manifest names.
    """
    rules = manifest.evaluation
    strange = cases.filter(~pl.col(rules.label).is_in([rules.positive, rules.negative]))
    if len(strange):
        raise InputRefused(
            input=rules.input,
            reason=f"{len(strange)} values of {rules.label} are neither {rules.positive!r} nor "
            f"{rules.negative!r}",
        )
    truth = cases.select(
        pl.col(rules.id).cast(pl.String).alias(ID),
        pl.col(rules.group).cast(pl.String).alias(GROUP),
        (pl.col(rules.label) == rules.positive).alias(TRUTH),
    ).sort(ID)
    repeated = truth.filter(pl.col(ID).is_duplicated())
    if len(repeated):
        raise InputRefused(
            input=rules.input, reason=f"{rules.id} {repeated[ID][0]!r} names more than one row"
        )
    return truth


def hide_label(manifest: Manifest, cases: pl.DataFrame) -> pl.DataFrame:
    """The cases as a pack may see them before it has learned, in the order of ids."""
    rules = manifest.evaluation
    return cases.drop(rules.label).sort(pl.col(rules.id).cast(pl.String))


def show_label(manifest: Manifest, cases: pl.DataFrame, labels: pl.DataFrame) -> pl.DataFrame:
    """Those of the cases that ``labels`` (id, truth) knows, with the label as a boolean."""
    rules = manifest.evaluation
    key = pl.col(rules.id).cast(pl.String)
    return cases.join(
        labels.select(pl.col(ID), pl.col(TRUTH).alias(rules.label)),
        left_on=key,
        right_on=pl.col(ID),
        how="inner",
        maintain_order="left",
    ).select(*cases.columns, rules.label)


def check_prepared(manifest: Manifest, before: pl.DataFrame, after: object) -> pl.DataFrame:
    """The cases that ``prepare`` handed back, in the order of ids.

    Raises
    ------
    PreparedRowsDiffer
        If there are other rows than before, or a column is named like the hidden label.
    """
    rules = manifest.evaluation
    if not isinstance(after, pl.DataFrame):
        raise PreparedRowsDiffer(
            pack=manifest.name, input=rules.input, reason=f"it is a {type(after).__name__} now"
        )
    reason = None
    if rules.id not in after.columns:
        reason = f"its id column {rules.id} is gone"
    elif rules.label in after.columns:
        reason = f"it has a column {rules.label}, which is the label's name"
    elif not after[rules.id].cast(pl.String).sort().equals(before[rules.id].cast(pl.String).sort()):
        reason = f"{len(before)} rows became {len(after)} rows, or their ids changed"
    if reason:
        raise PreparedRowsDiffer(pack=manifest.name, input=rules.input, reason=reason)
    return after.sort(pl.col(rules.id).cast(pl.String))


def assign_folds(truth: pl.DataFrame, *, folds: int, seed: int) -> pl.DataFrame:
    """Give each case the fold (from 1) in which it is predicted.

    All cases of a group are in one fold, and each fold has about the same share of positives.

    Raises
    ------
    SplitImpossible
        If some fold would lack one of the classes, on which no score could then be computed.
    """
    from sklearn.model_selection import StratifiedGroupKFold  # seconds, of few commands

    number = np.zeros(len(truth), dtype=np.int64)
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    labels, groups = truth[TRUTH].to_numpy(), truth[GROUP].to_numpy()
    enough = truth.group_by(TRUTH).agg(pl.col(GROUP).n_unique())
    if len(enough) == 2 and min(enough[GROUP].to_list()) >= folds:
        for fold, (_, held_out) in enumerate(splitter.split(labels, labels, groups), start=1):
            number[held_out] = fold
    split = truth.select(ID, TRUTH, pl.Series(FOLD, number))
    classes = split.group_by(FOLD).agg(pl.col(TRUTH).n_unique())
    if len(classes) != folds or min(classes[TRUTH].to_list()) < 2:
        raise SplitImpossible(
            rows=len(truth),
            groups=truth[GROUP].n_unique(),
            positives=int(truth[TRUTH].sum()),
            folds=folds,
        )
    return split.select(ID, FOLD)


def permute_labels(training: pl.DataFrame, *, rng: np.random.Generator) -> pl.DataFrame:
    """The training cases with the labels of whole groups handed to other groups.

    Each group receives the labels of one other group (or, rarely, its own), shuffled, and repeated
    or cut to its size: a patient whose cases all had one label still has one. With one case per
    group this is a plain permutation.
    """
    ordered = training.sort(GROUP, ID)
    labels = ordered[TRUTH].to_numpy()
    sizes = ordered.group_by(GROUP, maintain_order=True).len()["len"].to_numpy()
    by_group = np.split(labels, np.cumsum(sizes)[:-1])
    donors = rng.permutation(len(by_group))
    received = [
        np.resize(rng.permutation(by_group[donor]), size)
        for donor, size in zip(donors, sizes, strict=True)
    ]
    return ordered.with_columns(pl.Series(TRUTH, np.concatenate(received)))


def prior_predictions(
    truth: pl.DataFrame, folds: pl.DataFrame, *, threshold: float
) -> pl.DataFrame:
    """The baseline: each case's score is the share of positives on its training side."""
    cases = truth.join(folds, on=ID)
    inside = cases.group_by(FOLD).agg(pl.len().alias("rows"), pl.col(TRUTH).sum().alias("hits"))
    share = (pl.lit(int(cases[TRUTH].sum())) - pl.col("hits")) / (len(cases) - pl.col("rows"))
    priors = inside.select(FOLD, share.cast(pl.Float64).alias(SCORE))
    predictions = cases.join(priors, on=FOLD).with_columns(
        (pl.col(SCORE) >= threshold).alias(DECISION)
    )
    return predictions.select(FOLD, ID, SCORE, DECISION).sort(FOLD, ID)


def check_predictions(frame: object, *, ids: pl.Series, threshold: float) -> pl.DataFrame:
    """Raw predictions of exactly the cases ``ids``: id, score, decision, in the order of ids.

    Raises
    ------
    PredictionsRefused
        One of its kinds, if the predictions cannot be scored.
    """
    table = _well_formed(frame, threshold=threshold)
    asked = ids.cast(pl.String)
    repeated = table.filter(pl.col(ID).is_duplicated())[ID].unique().sort()
    if len(repeated):
        raise PredictionsDuplicated(count=len(repeated), example=repeated[0])
    unknown = table.filter(~pl.col(ID).is_in(asked.implode()))[ID].sort()
    if len(unknown):
        raise PredictionsUnknown(count=len(unknown), example=unknown[0])
    missing = asked.filter(~asked.is_in(table[ID].implode())).sort()
    if len(missing):
        raise PredictionsMissing(count=len(missing), example=missing[0])
    wrong = table.filter(~pl.col(SCORE).is_between(0, 1).fill_null(False))[ID].sort()
    if len(wrong):
        raise PredictionsNotProbability(count=len(wrong), example=wrong[0])
    return table.sort(ID)


def check_folds(file: str, predictions: pl.DataFrame, folds: pl.DataFrame, *, seed: int) -> None:
    """Refuse predictions that were made on another split than ``folds``."""
    both = predictions.join(folds, on=ID, suffix="_wanted")
    moved = both.filter(pl.col(FOLD) != pl.col(f"{FOLD}_wanted"))[ID].sort()
    if len(moved):
        raise FoldsDiffer(file=file, count=len(moved), seed=seed, example=moved[0])


def _well_formed(frame: object, *, threshold: float) -> pl.DataFrame:
    if not isinstance(frame, pl.DataFrame):
        raise PredictionsMalformed(reason=f"a {type(frame).__name__} came instead of a frame")
    columns = set(frame.columns)
    if not {ID, SCORE} <= columns or not columns <= {ID, SCORE, DECISION}:
        raise PredictionsMalformed(reason=f"these came: {', '.join(frame.columns) or 'none'}")
    if not frame[SCORE].dtype.is_numeric():
        raise PredictionsMalformed(reason=f"score is of type {frame[SCORE].dtype}")
    if DECISION in columns and frame[DECISION].dtype not in (pl.Boolean, pl.Null):
        raise PredictionsMalformed(reason=f"decision is of type {frame[DECISION].dtype}")
    if frame[ID].null_count():
        raise PredictionsMalformed(reason="an id is empty")
    decided = pl.col(DECISION).cast(pl.Boolean) if DECISION in columns else None
    return frame.select(
        pl.col(ID).cast(pl.String),
        pl.col(SCORE).cast(pl.Float64),
        (pl.col(SCORE) >= threshold if decided is None else decided).alias(DECISION),
    )
