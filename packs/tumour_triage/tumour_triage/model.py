"""The pack's model: a calibrated linear one, with a band of probabilities it does not decide on.

Linear, so that the reasons for a case are the terms of a sum and nothing has to be approximated;
stored as JSON, so that a fitted model can be read, compared and served without running foreign
code. All that is chosen (strength of the penalty, calibration, band) is chosen by cross-validation
inside the training cases.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

Values = NDArray[np.float64]
Flags = NDArray[np.bool_]

INVERSE_PENALTIES = (0.03, 0.3, 3.0)
# Next to none, yet finite, for training cases that a line separates without error.
CALIBRATION_INVERSE_PENALTY = 100.0
INNER_FOLDS = 5
# Of those called benign at most one in a hundred may be malignant, and the other way round.
MAX_ERROR = 0.01
# A measurement over twice the largest ever learned from is a slip or another device: not decided.
RANGE_FACTOR = 2.0


class Model(BaseModel):
    """Log-odds of malignancy are ``intercept`` plus the sum of weight x (value - mean) / scale.

    A probability below ``low`` is called benign, one above ``high`` malignant.
    """

    columns: list[str]
    mean: list[float]
    scale: list[float]
    maximum: list[float]
    weight: list[float]
    intercept: float
    inverse_penalty: float
    low: float
    high: float

    def standardised(self, values: Values) -> Values:
        """Values, of shape (cases, columns), in standard deviations from the training mean."""
        standardised: Values = (values - np.array(self.mean)) / np.array(self.scale)
        return standardised

    def contributions(self, values: Values) -> Values:
        """What each value adds to the log-odds, of shape (cases, columns)."""
        contributions: Values = self.standardised(values) * np.array(self.weight)
        return contributions

    def probabilities(self, values: Values) -> Values:
        """The probability of malignancy, of shape (cases,)."""
        probability: Values = expit(self.intercept + self.contributions(values).sum(axis=1))
        return probability

    def decided(self, values: Values) -> Flags:
        """Whether a case is clear enough to be decided."""
        probability = self.probabilities(values)
        clear = (probability < self.low) | (probability > self.high)
        known = (values <= RANGE_FACTOR * np.array(self.maximum)).all(axis=1)
        return clear & known

    def save(self, folder: Path) -> None:
        """Write the model into ``folder``."""
        (folder / "model.json").write_text(self.model_dump_json(indent=1), "utf-8")

    @classmethod
    def load(cls, folder: Path) -> Model:
        """Read the model that :meth:`save` wrote."""
        return cls.model_validate_json((folder / "model.json").read_text("utf-8"))


def fit_model(
    columns: Sequence[str],
    values: Values,
    malignant: Flags,
    groups: Sequence[str],
    *,
    rng: np.random.Generator,
) -> Model:
    """Learn from training cases.

    Logistic regression shrinks towards the middle and so is too timid; its log-odds are therefore
    stretched by a second regression (Platt 1999) on predictions for cases that were held out of
    the fit. A linear map of a linear model is linear: the reasons stay exact.
    """
    # Keeping patients together takes half the time of a fit; where each has one case, spare it.
    repeated = len(set(groups)) < len(groups)
    kind = StratifiedGroupKFold if repeated else StratifiedKFold
    inner = kind(INNER_FOLDS, shuffle=True, random_state=int(rng.integers(2**32)))
    splits = list(inner.split(values, malignant, groups if repeated else None))
    held_out = {
        inverse_penalty: cross_val_predict(
            _pipeline(inverse_penalty), values, malignant, cv=splits, method="decision_function"
        )
        for inverse_penalty in INVERSE_PENALTIES
    }
    best = min(held_out, key=lambda key: log_loss(malignant, expit(held_out[key])))
    log_odds = held_out[best].reshape(-1, 1)
    stretch = _regression(CALIBRATION_INVERSE_PENALTY).fit(log_odds, malignant)
    low, high = undecided_band(malignant, stretch.predict_proba(log_odds)[:, 1])

    fitted = _pipeline(best).fit(values, malignant)
    scaler, linear = fitted[0], fitted[1]
    slope = float(stretch.coef_[0, 0])
    return Model(
        columns=list(columns),
        mean=scaler.mean_.tolist(),
        scale=scaler.scale_.tolist(),
        maximum=values.max(axis=0).tolist(),
        weight=(slope * linear.coef_[0]).tolist(),
        intercept=slope * float(linear.intercept_[0]) + float(stretch.intercept_[0]),
        inverse_penalty=best,
        low=low,
        high=high,
    )


def undecided_band(malignant: Flags, probability: Values) -> tuple[float, float]:
    """The narrowest band outside of which at most :data:`MAX_ERROR` of each side are wrong.

    Where both sides could be decided past each other there is no band, and the limit lies as near
    to one half as they allow. A side that cannot be decided well enough is never decided.
    """
    order = np.argsort(probability)
    ranked, truth = probability[order], malignant[order]
    cuts = np.flatnonzero(np.diff(ranked) > 0) + 1
    limits = (ranked[cuts - 1] + ranked[cuts]) / 2
    malignant_below = np.cumsum(truth)[cuts - 1]
    benign_above = (~truth).sum() - (cuts - malignant_below)
    good_below = limits[malignant_below / cuts <= MAX_ERROR]
    good_above = limits[benign_above / (len(truth) - cuts) <= MAX_ERROR]
    low = float(good_below.max(initial=0.0))
    high = float(good_above.min(initial=1.0))
    if low > high:
        low = high = min(max(0.5, high), low)
    return low, high


def _pipeline(inverse_penalty: float) -> Pipeline:
    return make_pipeline(StandardScaler(), _regression(inverse_penalty))


def _regression(inverse_penalty: float) -> LogisticRegression:
    return LogisticRegression(C=inverse_penalty, solver="newton-cholesky", tol=1e-8)
