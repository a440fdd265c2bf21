"""The reasons for a case, in words: the largest terms of the model's sum."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from haihe.packs import Explanation, Reason, Text
from tumour_triage.model import Model, Values

REASONS_PER_CASE = 5


def explain_cases(
    model: Model, patients: Sequence[str], values: Values, *, titles: Mapping[str, Text]
) -> list[Explanation]:
    """The weightiest reasons of each case, exact for this model.

    Parameters
    ----------
    patients : sequence of str
        Ids of the cases.
    values : float array of shape (cases, columns)
        Measurements, in the order of the model's columns.
    titles : mapping
        What each column is called.
    """
    deviations, contributions = model.standardised(values), model.contributions(values)
    leading = np.argsort(-np.abs(contributions), axis=1, kind="stable")[:, :REASONS_PER_CASE]
    return [
        Explanation(
            id=patient,
            reasons=tuple(
                Reason(
                    column=model.columns[index],
                    contribution=float(contributions[row, index]),
                    text=_text(
                        titles[model.columns[index]],
                        value=float(values[row, index]),
                        deviation=float(deviations[row, index]),
                        contribution=float(contributions[row, index]),
                    ),
                )
                for index in leading[row]
            ),
        )
        for row, patient in enumerate(patients)
    ]


def _text(title: Text, *, value: float, deviation: float, contribution: float) -> Text:
    """One term in words. A factor on the odds is the exact meaning of an addend to log-odds."""
    above = deviation >= 0
    factor = _factor(contribution)
    return Text(
        zh=f"{title.zh}为 {value:.4g}，比训练病例的均值{'高' if above else '低'} "
        f"{abs(deviation):.1f} 个标准差，使恶性的优势（odds）变为原来的 {factor} 倍。",
        en=f"{title.en}: {value:.4g} is {abs(deviation):.1f} standard deviations "
        f"{'above' if above else 'below'} the mean of the training cases, which multiplies the "
        f"odds of malignancy by {factor}.",
    )


def _factor(contribution: float) -> str:
    """``e`` to the power of the contribution; beyond a thousandfold only that it is so much."""
    limit = math.log(1_000)
    if contribution > limit:
        return "> 1000"
    if contribution < -limit:
        return "< 0.001"
    return f"{math.exp(contribution):.3g}"
