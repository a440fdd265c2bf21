"""One pack on its way through the protocol: this is the only caller of a pack's steps.

A trial shows each step what it may see and checks what it hands back. Predictions of a fold are
taken by a fresh pack object, from what ``fit`` left in that fold's folder. ``evaluate`` comes
last: what it learns of the truth can no longer reach a prediction.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from haihe.kernel.errors import HaiheError
from haihe.packs.context import (
    Context,
    EvaluateContext,
    ExplainContext,
    Explanation,
    FitContext,
    LearningPack,
    Pack,
    PrepareContext,
    Progress,
    RunContext,
    StepView,
    Table,
)
from haihe.packs.domain import Manifest
from haihe.packs.errors import (
    OutputRefused,
    OutputTooLarge,
    PackFailed,
    PackWroteNothing,
)
from haihe.packs.protocol import (
    FOLD,
    ID,
    PERMUTATION,
    TRUTH,
    assign_folds,
    check_predictions,
    check_prepared,
    hide_label,
    permute_labels,
    prior_predictions,
    show_label,
    truth_of,
)
from haihe.packs.scoring import Scores

# Beyond so many cases reasons are asked for the first of each fold only: they are for reading.
MAX_EXPLAINED = 10_000
MAX_TABLES = 20
MAX_TABLE_ROWS = 1_000


class Meter:
    """Says how far a run has come, and keeps how long each kind of step took."""

    def __init__(self, *, steps: int, report: Progress) -> None:
        self.steps = steps
        self.report = report
        self.done = 0
        self.wall_s: dict[str, float] = {}

    @contextmanager
    def step(self, kind: str, text: str) -> Iterator[Progress]:
        """Measure one step; gives what the step reports its own progress to."""
        began = time.perf_counter()
        self.report(self.done / self.steps, text)
        yield lambda share, more: self.report(
            (self.done + share) / self.steps, f"{text}: {more}" if more else text
        )
        self.done = min(self.done + 1, self.steps)
        self.wall_s[kind] = self.wall_s.get(kind, 0.0) + time.perf_counter() - began


def silent_meter() -> Meter:
    """A meter that nobody looks at."""
    return Meter(steps=1, report=lambda share, text: None)


class Trial:
    """The steps of one pack over one set of inputs.

    ``inputs`` are tables as :func:`haihe.packs.inputs.conform` returns them. ``folds`` overrides
    the platform's split, for checks that must keep it while labels change.
    """

    def __init__(
        self,
        *,
        pack: Callable[[], Pack],
        manifest: Manifest,
        inputs: Mapping[str, pl.DataFrame],
        folder: Path,
        seed: int,
        meter: Meter,
        folds: pl.DataFrame | None = None,
    ) -> None:
        self.pack = pack
        self.manifest = manifest
        self.folder = folder
        self.seed = seed
        self.meter = meter
        rules = manifest.evaluation
        self.truth = truth_of(manifest, inputs[rules.input])
        self.folds = (
            assign_folds(self.truth, folds=rules.folds, seed=seed) if folds is None else folds
        )
        hidden = hide_label(manifest, inputs[rules.input])
        self.visible = {**inputs, rules.input: hidden}

    @property
    def learns(self) -> bool:
        """Whether the pack has a ``fit``."""
        return isinstance(self.pack(), LearningPack)

    @property
    def fold_numbers(self) -> range:
        """The folds, from 1."""
        return range(1, self.manifest.evaluation.folds + 1)

    @cached_property
    def prepared(self) -> dict[str, pl.DataFrame]:
        """The inputs as the pack's ``prepare`` leaves them, without the label."""
        return self.prepare(self.visible)

    def prepare(self, inputs: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
        """Run the step ``prepare`` over inputs that have no label."""
        name = self.manifest.evaluation.input
        with self.meter.step("prepare", "prepare") as progress:
            context = PrepareContext(self._view(inputs, self.folder / "prepare", progress))
            self._call("prepare", context, lambda pack: pack.prepare(context))
            prepared = {**inputs, **context.written}
            return {**prepared, name: check_prepared(self.manifest, inputs[name], prepared[name])}

    def fit(self, fold: int, *, labels: pl.DataFrame, folder: Path) -> None:
        """Run the step ``fit`` for a fold, on ``labels`` (id, truth) of its training side."""
        with self.meter.step("fit", f"fold {fold}: fit") as progress:
            cases = show_label(self.manifest, self._cases(), labels)
            context = FitContext(self._view(self._with(cases), folder, progress, fold=fold))
            self._call("fit", context, lambda pack: _learner(pack).fit(context))

    def predict(
        self, fold: int, *, folder: Path, cases: pl.DataFrame | None = None
    ) -> pl.DataFrame:
        """Run the step ``run`` for a fold; ``cases`` are its held-out rows unless given."""
        rows = self.held_out(fold) if cases is None else cases
        with self.meter.step("run", f"fold {fold}: run") as progress:
            context = RunContext(self._view(self._with(rows), folder, progress, fold=fold))
            self._call("run", context, lambda pack: pack.run(context))
            if context.written is None:
                raise PackWroteNothing(
                    pack=self.manifest.name, step="run", call="context.predictions"
                )
            rules = self.manifest.evaluation
            found = check_predictions(
                context.written, ids=rows[rules.id], threshold=rules.threshold
            )
        return found.select(pl.lit(fold, dtype=pl.Int64).alias(FOLD), pl.all())

    def fold_folder(self, fold: int) -> Path:
        """Where the artifacts of a fold lie."""
        return self.folder / f"fold_{fold}"

    def training(self, fold: int) -> pl.DataFrame:
        """Id, group and truth of the cases that a fold learns from."""
        return self.truth.join(self.folds.filter(pl.col(FOLD) != fold), on=ID).drop(FOLD)

    def held_out(self, fold: int) -> pl.DataFrame:
        """The prepared rows that a fold predicts, without the label."""
        ids = self.folds.filter(pl.col(FOLD) == fold)[ID]
        key = pl.col(self.manifest.evaluation.id).cast(pl.String)
        return self._cases().filter(key.is_in(ids.implode()))

    def predictions(self) -> pl.DataFrame:
        """Fit and run every fold on the true labels."""
        return pl.concat(
            self._fit_and_predict(fold, labels=self.training(fold), folder=self.fold_folder(fold))
            for fold in self.fold_numbers
        )

    def permuted_predictions(self, permutations: int) -> pl.DataFrame:
        """Fit on shuffled labels and run, ``permutations`` times over the same folds."""
        return pl.concat(
            self._permuted_fold(permutation, fold)
            for permutation in range(1, permutations + 1)
            for fold in self.fold_numbers
        )

    def baseline_predictions(self) -> pl.DataFrame:
        """What one says who knows only how frequent the positives are."""
        threshold = self.manifest.evaluation.threshold
        return prior_predictions(self.truth, self.folds, threshold=threshold)

    def explanations(self, fold: int) -> list[Explanation]:
        """Run the step ``explain`` for a fold that has been fitted."""
        rows = self.held_out(fold).head(MAX_EXPLAINED // len(self.fold_numbers))
        with self.meter.step("explain", f"fold {fold}: explain") as progress:
            view = self._view(self._with(rows), self.fold_folder(fold), progress, fold=fold)
            context = ExplainContext(view)
            self._call("explain", context, lambda pack: pack.explain(context))
            if context.written is None:
                raise PackWroteNothing(
                    pack=self.manifest.name, step="explain", call="context.explanations"
                )
            ids = rows[self.manifest.evaluation.id].cast(pl.String).to_list()
            return self._check_explained(context.written, ids)

    def tables(self, *, scored: pl.DataFrame, scores: Scores) -> list[Table]:
        """Run the step ``evaluate``, after all else."""
        with self.meter.step("evaluate", "evaluate") as progress:
            view = self._view(self.prepared, self.folder / "evaluate", progress)
            context = EvaluateContext(view, scored=scored.clone(), scores=scores)
            self._call("evaluate", context, lambda pack: pack.evaluate(context))
        self._limit("tables", len(context.written), MAX_TABLES)
        for table in context.written:
            self._check_table(table)
        return context.written

    def _permuted_fold(self, permutation: int, fold: int) -> pl.DataFrame:
        # The last number keeps this stream apart from those that packs draw from.
        rng = np.random.default_rng([self.seed, permutation, fold, 1])
        labels = permute_labels(self.training(fold), rng=rng)
        with tempfile.TemporaryDirectory(prefix="haihe-permuted-") as folder:
            found = self._fit_and_predict(fold, labels=labels, folder=Path(folder))
        return found.select(pl.lit(permutation, dtype=pl.Int64).alias(PERMUTATION), pl.all())

    def _fit_and_predict(self, fold: int, *, labels: pl.DataFrame, folder: Path) -> pl.DataFrame:
        if self.learns:
            self.fit(fold, labels=labels.select(ID, TRUTH), folder=folder)
        return self.predict(fold, folder=folder)

    def _cases(self) -> pl.DataFrame:
        return self.prepared[self.manifest.evaluation.input]

    def _with(self, cases: pl.DataFrame) -> dict[str, pl.DataFrame]:
        return {**self.prepared, self.manifest.evaluation.input: cases}

    def _view(
        self,
        inputs: Mapping[str, pl.DataFrame],
        folder: Path,
        progress: Progress,
        *,
        fold: int = 0,
    ) -> StepView:
        return StepView(
            manifest=self.manifest,
            inputs=inputs,
            folder=folder,
            seed=(self.seed, fold),
            progress=progress,
        )

    def _call(self, step: str, context: Context, call: Callable[[Pack], None]) -> None:
        try:
            call(self.pack())
        except HaiheError:
            raise
        except Exception as error:
            context.log.exception("step %s failed", step)
            raise PackFailed(
                pack=self.manifest.name, step=step, reason=f"{type(error).__name__}: {error}"
            ) from error

    def _check_explained(
        self, written: Sequence[Explanation], ids: Sequence[str]
    ) -> list[Explanation]:
        foreign = [item for item in written if not isinstance(item, Explanation)]
        if foreign or Counter(item.id for item in written) != Counter(ids):
            raise OutputRefused(
                pack=self.manifest.name,
                what="explanations",
                reason=f"it must explain each of {len(ids)} cases once",
            )
        return sorted(written, key=lambda explanation: explanation.id)

    def _check_table(self, table: Table) -> None:
        reason = _table_fault(table)
        if reason:
            raise OutputRefused(pack=self.manifest.name, what=f"table {table.name}", reason=reason)
        self._limit(f"rows in table {table.name}", len(table.frame), MAX_TABLE_ROWS)

    def _limit(self, what: str, size: int, limit: int) -> None:
        if size > limit:
            raise OutputTooLarge(pack=self.manifest.name, what=what, size=size, limit=limit)


def _learner(pack: Pack) -> LearningPack:
    assert isinstance(pack, LearningPack), "fit is called on packs that have one"
    return pack


def _table_fault(table: Table) -> str | None:
    """Why a table cannot be shown, if it cannot."""
    if not isinstance(table.frame, pl.DataFrame):
        return f"a {type(table.frame).__name__} is no frame"
    if set(table.columns) != set(table.frame.columns):
        return "each column needs a title, and each title a column"
    for values in table.frame:
        kind = values.dtype
        plain = kind.is_integer() or kind.is_float() or kind in (pl.String, pl.Boolean, pl.Null)
        finite = not kind.is_float() or values.is_finite().fill_null(True).all()
        if not plain or not finite:
            return f"column {values.name} holds other things than text and finite numbers"
    return None
