"""The steps of the pack."""

from __future__ import annotations

import polars as pl

from haihe.packs import (
    EvaluateContext,
    ExplainContext,
    FitContext,
    InputRefused,
    PrepareContext,
    RunContext,
)
from tumour_triage import tables
from tumour_triage.data import ID, LABEL
from tumour_triage.model import Model, fit_model
from tumour_triage.reasons import explain_cases

CASES = "cases"
MEASUREMENTS = (
    "radius",
    "texture",
    "perimeter",
    "area",
    "smoothness",
    "compactness",
    "concavity",
    "concave_points",
    "symmetry",
    "fractal_dimension",
)
COLUMNS = (
    *(f"mean_{name}" for name in MEASUREMENTS),
    *(f"{name}_error" for name in MEASUREMENTS),
    *(f"worst_{name}" for name in MEASUREMENTS),
)


class TumourTriage:
    """Calls a tumour benign or malignant where that is clear, and says why."""

    def prepare(self, context: PrepareContext) -> None:
        """Refuse measurements that no nucleus has."""
        cases = context.input(CASES)
        if len(cases.filter(pl.any_horizontal(pl.col(COLUMNS) < 0))):
            raise InputRefused(input=CASES, reason="a measurement is below zero")
        for name in MEASUREMENTS:
            # "Worst" is the mean of the three largest values, so never below the mean of all.
            wrong = cases.filter(pl.col(f"worst_{name}") < pl.col(f"mean_{name}"))
            if len(wrong):
                raise InputRefused(
                    input=CASES,
                    reason=f"worst_{name} is below mean_{name} in {len(wrong)} rows",
                )

    def fit(self, context: FitContext) -> None:
        """Learn a model from the training cases."""
        cases = context.input(CASES)
        model = fit_model(
            COLUMNS,
            cases.select(COLUMNS).to_numpy(),
            cases[LABEL].to_numpy(),
            cases[ID].to_list(),
            rng=context.rng(),
        )
        model.save(context.artifact("model"))
        context.log.debug("undecided from %.3f to %.3f", model.low, model.high)

    def run(self, context: RunContext) -> None:
        """Give each case its probability, and a decision where the case is clear."""
        cases = context.input(CASES)
        model = Model.load(context.artifact("model"))
        values = cases.select(COLUMNS).to_numpy()
        probability = model.probabilities(values)
        decision = pl.Series(probability > model.high)
        context.predictions(
            pl.DataFrame({"id": cases[ID], "score": probability}).with_columns(
                pl.when(pl.Series(model.decided(values))).then(decision).alias("decision")
            )
        )

    def explain(self, context: ExplainContext) -> None:
        """Name the measurements that moved a case most."""
        cases = context.input(CASES)
        titles = {column.name: column.title for column in context.manifest.cases.columns}
        context.explanations(
            explain_cases(
                Model.load(context.artifact("model")),
                cases[ID].to_list(),
                cases.select(COLUMNS).to_numpy(),
                titles=titles,
            )
        )

    def evaluate(self, context: EvaluateContext) -> None:
        """What clinicians ask for: the triage as it came out, and other limits they could set."""
        context.table(
            "triage",
            tables.triage(context.scored),
            title=tables.TRIAGE_TITLE,
            columns=tables.TRIAGE_COLUMNS,
        )
        context.table(
            "operating_points",
            tables.operating_points(context.scored),
            title=tables.OPERATING_TITLE,
            columns=tables.OPERATING_COLUMNS,
        )
