"""Checks of what the pack does with cases."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from haihe.kernel.errors import HaiheError, gettext_noop
from haihe.packs.checks.framework import (
    CheckFailed,
    CheckSkipped,
    Subject,
    check,
    is_bilingual,
    require,
)
from haihe.packs.errors import InputRefused
from haihe.packs.evaluation import assess, join_truth
from haihe.packs.inputs import conform
from haihe.packs.protocol import DECISION, FOLD, ID, SCORE

CHANCE = 0.5
CHANCE_TOLERANCE = 0.1
SLOPE_RANGE = (0.8, 1.25)
MAX_CALIBRATION_ERROR = 0.05
# Repeated arithmetic in another order differs in the last digits, and no decision hangs on those.
SCORE_TOLERANCE = 1e-6


@check("predictions.valid", gettext_noop("Every case gets one probability"))
def _predictions_valid(subject: Subject) -> str:
    return f"{len(subject.predictions)} cases in {len(subject.fitted.fold_numbers)} folds"


@check("report.valid", gettext_noop("The pack's own tables can be shown"))
def _report_valid(subject: Subject) -> str:
    scored = join_truth(subject.predictions, subject.first.truth)
    scores = assess(subject.manifest, scored).pooled
    tables = subject.first.tables(scored=scored, scores=scores)
    texts = [text for table in tables for text in (table.title, *table.columns.values())]
    wrong = [text.en for text in texts if not is_bilingual(text)]
    require(not wrong, f"not in both languages: {', '.join(wrong)}")
    return f"{len(tables)} tables"


@check("input.rejects_bad", gettext_noop("Bad input is refused by name, never worked with"))
def _input_rejects_bad(subject: Subject) -> str:
    tried = 0
    for declared in subject.manifest.inputs:
        frame = subject.inputs[declared.name]
        bad = [frame.clear(), *(frame.drop(column.name) for column in declared.columns)]
        for variant in bad:
            try:
                conform(variant, declared)
            except InputRefused:
                tried += 1
            else:
                raise CheckFailed(f"{declared.name} was taken without columns or rows it needs")
    trial, cases = subject.fitted, subject.manifest.evaluation.input
    for name, rows in _extreme_cases(subject):
        try:
            prepared = trial.prepare({**trial.visible, cases: rows})
            trial.predict(1, folder=trial.fold_folder(1), cases=prepared[cases])
        except InputRefused:
            pass
        except HaiheError as error:
            raise CheckFailed(f"{name}: {error}") from error
        tried += 1
    return f"{tried} bad inputs"


@check("prepare.row_by_row", gettext_noop("Cleaning a row looks at no other row"))
def _prepare_row_by_row(subject: Subject) -> str:
    trial, name = subject.first, subject.manifest.evaluation.input
    whole = trial.prepared[name]
    for half in _halves(subject, trial.visible[name]):
        alone = trial.prepare({**trial.visible, name: half})[name]
        key = subject.manifest.evaluation.id
        together = whole.filter(pl.col(key).is_in(alone[key].implode()))
        require(alone.equals(together), "a half of the rows is cleaned otherwise than the whole")
    return f"{len(whole)} rows"


@check("run.deterministic", gettext_noop("The same seed gives the same predictions"))
def _run_deterministic(subject: Subject) -> str:
    return _same(subject.predictions, subject.trial().predictions(), "a second run")


@check("run.no_label_leak", gettext_noop("Predictions do not depend on the labels they predict"))
def _run_no_label_leak(subject: Subject) -> str:
    """Turn around what the last fold must not know: the labels of the cases it predicts.

    The last, because by then the pack has seen these labels, while it fitted the other folds.
    """
    before, rules = subject.first, subject.manifest.evaluation
    last = before.fold_numbers[-1]
    held_out = before.folds.filter(pl.col(FOLD) == last)[ID]
    label = pl.col(rules.label)
    turned = (
        pl.when(label == rules.positive)
        .then(pl.lit(rules.negative))
        .otherwise(pl.lit(rules.positive))
    )
    within = pl.col(rules.id).cast(pl.String).is_in(held_out.implode())
    cases = subject.inputs[rules.input].with_columns(
        pl.when(within).then(turned).otherwise(label).alias(rules.label)
    )
    after = subject.trial(inputs={**subject.inputs, rules.input: cases}, folds=before.folds)
    mine = pl.col(FOLD) == last
    return _same(
        subject.predictions.filter(mine), after.predictions().filter(mine), "turning labels around"
    )


@check("run.row_order_invariant", gettext_noop("The order of rows changes no prediction"))
def _run_row_order_invariant(subject: Subject) -> str:
    shuffled = {
        name: frame.sample(fraction=1.0, shuffle=True, seed=subject.seed)
        for name, frame in subject.inputs.items()
    }
    _same(subject.predictions, subject.trial(inputs=shuffled).predictions(), "shuffling the file")
    trial = subject.fitted
    rows = trial.held_out(1).reverse()
    again = trial.predict(1, folder=trial.fold_folder(1), cases=rows)
    return _same(_first_fold(subject), again, "reversing the rows")


@check("run.row_by_row", gettext_noop("A case gets the same prediction in any company"))
def _run_row_by_row(subject: Subject) -> str:
    trial = subject.fitted
    halves = [
        trial.predict(1, folder=trial.fold_folder(1), cases=half)
        for half in _halves(subject, trial.held_out(1))
    ]
    return _same(_first_fold(subject), pl.concat(halves), "predicting in two halves")


@check("score.above_baseline", gettext_noop("The pack knows more than how frequent positives are"))
def _score_above_baseline(subject: Subject) -> str:
    area = subject.evaluation.primary
    baseline = subject.evaluation.baseline.roc_auc_by_fold.mean
    seen = f"area {area.value:.3f}, from {area.low:.3f} to {area.high:.3f}; baseline {baseline:.3f}"
    require(area.low > baseline, seen)
    return seen


@check("score.permuted_at_chance", gettext_noop("Learning from shuffled labels ends at chance"))
def _score_permuted_at_chance(subject: Subject) -> str:
    permuted = subject.evaluation.permuted
    if permuted is None:
        return "the pack learns nothing from labels"
    seen = f"mean area {permuted.mean:.3f} over {len(permuted.values)} shufflings"
    require(abs(permuted.mean - CHANCE) <= CHANCE_TOLERANCE, seen)
    return seen


@check("score.calibrated", gettext_noop("A probability can be taken at its word"))
def _score_calibrated(subject: Subject) -> str:
    found = subject.evaluation.model.pooled.calibration
    if found.slope is None:
        raise CheckSkipped("no finite calibration line fits these scores")
    seen = f"slope {found.slope:.2f}, expected error {found.expected_error:.3f}"
    low, high = SLOPE_RANGE
    require(low <= found.slope <= high, seen)
    require(found.expected_error <= MAX_CALIBRATION_ERROR, seen)
    return seen


@check("explain.complete", gettext_noop("Every case has reasons, in both languages"))
def _explain_complete(subject: Subject) -> str:
    explained = 0
    for fold in subject.fitted.fold_numbers:
        for case in subject.fitted.explanations(fold):
            wrong = [reason.column for reason in case.reasons if not is_bilingual(reason.text)]
            require(not wrong, f"case {case.id} has reasons in one language: {', '.join(wrong)}")
            explained += 1
    return f"{explained} cases"


def _extreme_cases(subject: Subject) -> Iterator[tuple[str, pl.DataFrame]]:
    """Rows that fit the manifest and yet are strange: huge, all zero, negative, half empty."""
    rows = subject.fitted.visible[subject.manifest.evaluation.input].head(20)
    numbers = pl.col(pl.Float64)
    for factor in (1e12, 0.0, -1.0):
        yield f"numbers times {factor:g}", rows.with_columns(numbers * factor)
    nullable = [column.name for column in subject.manifest.cases.columns if column.nullable]
    if nullable:
        empty = [pl.lit(None, dtype=rows.schema[name]).alias(name) for name in nullable]
        yield "all empty that may be", rows.with_columns(empty)


def _halves(subject: Subject, rows: pl.DataFrame) -> list[pl.DataFrame]:
    """Every second group, and the others: a pack may look at the whole of a group."""
    number = pl.col(subject.manifest.evaluation.group).rank("dense")
    return [rows.filter(number % 2 == part) for part in (0, 1)]


def _first_fold(subject: Subject) -> pl.DataFrame:
    return subject.predictions.filter(pl.col(FOLD) == 1)


def _same(one: pl.DataFrame, other: pl.DataFrame, what: str) -> str:
    """Compare predictions case by case."""
    both = one.join(other, on=(FOLD, ID), suffix="_again", how="full", coalesce=True)
    moved = both.filter(
        ((pl.col(SCORE) - pl.col(f"{SCORE}_again")).abs() <= SCORE_TOLERANCE)
        .fill_null(False)
        .not_()
        | pl.col(DECISION).ne_missing(pl.col(f"{DECISION}_again"))
    )
    require(moved.is_empty(), f"{what} changes the prediction of {len(moved)} cases")
    return f"{len(one)} predictions stay"
