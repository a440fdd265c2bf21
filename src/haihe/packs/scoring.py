"""What predictions are worth: figures that the platform computes from truth and raw scores.

Pure functions of arrays, so that an auditor recomputes any figure from the stored predictions.
Proportions carry their counts and an exact interval; the area under the ROC curve carries DeLong's
interval, which counts patients and not rows where a patient has several.

SciPy and scikit-learn are imported where they are used: they take seconds, and every command of the
platform imports this module's words.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Truth = NDArray[np.bool_]
Values = NDArray[np.float64]

CONFIDENCE = 0.95
CALIBRATION_BINS = 10
# A score of exactly 0 or 1 has no finite log-odds; it is taken for one in a billion.
LEAST_PROBABILITY = 1e-9


@dataclass(frozen=True, kw_only=True)
class Interval:
    """An estimate with its 95 % confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A figure with its standard error; None where one cluster shows nothing of how they vary."""

    value: float
    error: float | None


@dataclass(frozen=True, kw_only=True)
class Proportion:
    """``count`` of ``total``, with the exact (Clopper-Pearson) 95 % interval; None of nothing."""

    count: int
    total: int
    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class CalibrationBin:
    """The cases whose score lies from ``low`` to ``high``: what was said, and what happened."""

    low: float
    high: float
    rows: int
    mean_score: float
    positive_share: float


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Whether a probability means what it says.

    ``slope`` and ``intercept`` are those of the logistic regression of truth on the log-odds of
    the score (Cox 1958): 1 and 0 if scores are right, slope below 1 if they are too extreme. They
    are None where no finite fit exists: scores all equal, or classes perfectly separated.
    ``expected_error`` is the mean distance of score and frequency over ten bins of equal width,
    weighted by rows (ECE, Naeini et al. 2015).
    """

    slope: float | None
    intercept: float | None
    expected_error: float
    bins: tuple[CalibrationBin, ...]


@dataclass(frozen=True, kw_only=True)
class AtThreshold:
    """How good it would be if every score from ``threshold`` on counted as positive."""

    threshold: float
    accuracy: Proportion
    sensitivity: Proportion
    specificity: Proportion


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """How good the pack's own decisions are where it does not abstain.

    ``coverage`` is the share of cases decided; ``error`` the share of those decided wrongly;
    ``false_omission`` the share of positives among cases called negative; ``false_discovery`` that
    of negatives among cases called positive.
    """

    coverage: Proportion
    error: Proportion
    false_omission: Proportion
    false_discovery: Proportion


@dataclass(frozen=True, kw_only=True)
class Scores:
    """All figures over one set of cases."""

    rows: int
    positives: int
    roc_auc: Interval
    average_precision: float
    brier: float
    log_loss: float
    calibration: Calibration
    at_threshold: AtThreshold
    decisions: Decisions


def score_binary(
    truth: Truth,
    score: Values,
    *,
    decided: Truth,
    positive: Truth,
    groups: NDArray[np.generic],
    threshold: float,
) -> Scores:
    """Score predictions of a yes-or-no question.

    Parameters
    ----------
    truth : bool array of shape (rows,)
        Both classes must be present.
    score : float array of shape (rows,)
        Probability of the positive class.
    decided, positive : bool arrays of shape (rows,)
        Whether the pack decided the case, and if so whether for positive.
    groups : array of shape (rows,)
        Whom each case belongs to.
    threshold : float
        The score from which a case counts as positive.
    """
    from sklearn.metrics import average_precision_score, brier_score_loss, log_loss

    return Scores(
        rows=len(truth),
        positives=int(truth.sum()),
        roc_auc=roc_auc(truth, score, groups=groups),
        average_precision=float(average_precision_score(truth, score)),
        brier=float(brier_score_loss(truth, score)),
        log_loss=float(log_loss(truth, score, labels=[False, True])),
        calibration=calibration(truth, score),
        at_threshold=at_threshold(truth, score, threshold=threshold),
        decisions=decisions(truth, decided=decided, positive=positive),
    )


def roc_auc(truth: Truth, score: Values, *, groups: NDArray[np.generic]) -> Interval:
    """The area under the ROC curve with the interval that follows from its standard error.

    The interval is symmetric and cut at 0 and 1; with perfect separation it has no width, which
    says that the data show no error, not that there can be none.
    """
    from scipy import stats

    found = area(truth, score, groups=groups)
    if found.error is None:
        return Interval(value=found.value, low=0.0, high=1.0)
    reach = float(stats.norm.ppf((1 + CONFIDENCE) / 2)) * found.error
    return Interval(
        value=found.value, low=max(0.0, found.value - reach), high=min(1.0, found.value + reach)
    )


def area(truth: Truth, score: Values, *, groups: NDArray[np.generic]) -> Estimate:
    """The area under the ROC curve with DeLong's standard error.

    Structural components by midranks, in O(n log n): Sun and Xu, "Fast implementation of DeLong's
    algorithm", IEEE Signal Processing Letters 21 (2014). Their covariance is summed over groups
    after Obuchowski, "Nonparametric analysis of clustered ROC curve data", Biometrics 53 (1997),
    which is DeLong's own where each group has one row.
    """
    from scipy import stats

    positives, negatives = score[truth], score[~truth]
    assert min(len(positives), len(negatives)) > 0, "the area needs both classes"
    ranks = stats.rankdata(score)
    of_positives = (ranks[truth] - stats.rankdata(positives)) / len(negatives)
    of_negatives = 1 - (ranks[~truth] - stats.rankdata(negatives)) / len(positives)
    value = float(of_positives.mean())

    members, index = np.unique(groups, return_inverse=True)
    deviation_10 = np.bincount(index[truth], of_positives - value, minlength=len(members))
    deviation_01 = np.bincount(index[~truth], of_negatives - value, minlength=len(members))
    clusters_10, clusters_01 = len(np.unique(index[truth])), len(np.unique(index[~truth]))
    if min(clusters_10, clusters_01) < 2:  # one cluster shows nothing of how clusters vary
        return Estimate(value=value, error=None)
    common = 2 * _bessel(len(members)) * (deviation_10 @ deviation_01)
    variance = float(
        _bessel(clusters_10) * (deviation_10 @ deviation_10) / len(positives) ** 2
        + _bessel(clusters_01) * (deviation_01 @ deviation_01) / len(negatives) ** 2
        + common / (len(positives) * len(negatives))
    )
    return Estimate(value=value, error=max(variance, 0.0) ** 0.5)


def accuracy(
    truth: NDArray[np.generic], predicted: NDArray[np.generic], *, groups: NDArray[np.generic]
) -> Estimate:
    """The share of cases whose class was predicted, with its standard error.

    Errors of one group (the windows of a trial, the trials of a person) are not independent; the
    error is that of a mean over clusters of unequal size (Cochran, Sampling Techniques, 1977, eq.
    3.31), which is the binomial one, but for n - 1 in the place of n, where each group has one row.
    """
    right = (truth == predicted).astype(np.float64)
    value = float(right.mean())
    members, index = np.unique(groups, return_inverse=True)
    if len(members) < 2:
        return Estimate(value=value, error=None)
    deviation = np.bincount(index, right - value, minlength=len(members))
    variance = _bessel(len(members)) * float(deviation @ deviation) / len(right) ** 2
    return Estimate(value=value, error=variance**0.5)


def normalised_matthews(truth: NDArray[np.generic], predicted: NDArray[np.generic]) -> float:
    """The Matthews correlation of classes, brought from -1..1 to 0..1: (MCC + 1) / 2.

    A guesser has 0.5 however unequal the classes are, so that a stream that is mostly rest is not
    scored well for answering rest. Over several classes it is Gorodkin's R_K (2004). Used so for
    asynchronous decoders by Carrara and Papadopoulo, "Pseudo-online framework for BCI evaluation",
    Journal of Neural Engineering 21 (2024), doi 10.1088/1741-2552/ad171a.
    """
    from sklearn.metrics import matthews_corrcoef

    return (float(matthews_corrcoef(truth, predicted)) + 1.0) / 2.0


def information_rate(accuracy: float, *, classes: int, choices_per_min: float) -> float:
    """Bits a minute by Wolpaw (2002), doi 10.1016/S1388-2457(02)00057-3; 0 at or below chance.

    It takes all classes to be equally frequent and all errors to be equally likely.
    """
    assert 0.0 <= accuracy <= 1.0
    assert classes > 1
    if accuracy <= 1.0 / classes:
        return 0.0
    bits = math.log2(classes) + accuracy * math.log2(accuracy)
    if accuracy < 1.0:
        bits += (1.0 - accuracy) * math.log2((1.0 - accuracy) / (classes - 1))
    return bits * choices_per_min


def _bessel(clusters: int) -> float:
    """The factor that makes a sum of squares over clusters unbiased."""
    return clusters / (clusters - 1)


def calibration(truth: Truth, score: Values) -> Calibration:
    """Slope, intercept and expected error of the scores as probabilities."""
    slope, intercept = _calibration_line(truth, score)
    index = np.minimum((score * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    bins = tuple(
        CalibrationBin(
            low=int(number) / CALIBRATION_BINS,
            high=(int(number) + 1) / CALIBRATION_BINS,
            rows=int((index == number).sum()),
            mean_score=float(score[index == number].mean()),
            positive_share=float(truth[index == number].mean()),
        )
        for number in np.unique(index)
    )
    error = sum(part.rows * abs(part.mean_score - part.positive_share) for part in bins)
    return Calibration(
        slope=slope, intercept=intercept, expected_error=error / len(truth), bins=bins
    )


def _calibration_line(truth: Truth, score: Values) -> tuple[float | None, float | None]:
    clipped = np.clip(score, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    log_odds = np.log(clipped / (1 - clipped))
    positives, negatives = log_odds[truth], log_odds[~truth]
    separated = positives.min() >= negatives.max() or positives.max() <= negatives.min()
    if separated:  # among them the case that all scores are equal
        return None, None
    from sklearn.linear_model import LogisticRegression

    line = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-8)
    line.fit(log_odds.reshape(-1, 1), truth)
    return float(line.coef_[0, 0]), float(line.intercept_[0])


def at_threshold(truth: Truth, score: Values, *, threshold: float) -> AtThreshold:
    """Accuracy, sensitivity and specificity if every case had to be decided by its score."""
    called = score >= threshold
    return AtThreshold(
        threshold=threshold,
        accuracy=proportion(int((called == truth).sum()), len(truth)),
        sensitivity=proportion(int((called & truth).sum()), int(truth.sum())),
        specificity=proportion(int((~called & ~truth).sum()), int((~truth).sum())),
    )


def decisions(truth: Truth, *, decided: Truth, positive: Truth) -> Decisions:
    """Coverage, and the errors among the cases that were decided."""
    called_positive, called_negative = decided & positive, decided & ~positive
    missed = int((called_negative & truth).sum())
    false_alarms = int((called_positive & ~truth).sum())
    return Decisions(
        coverage=proportion(int(decided.sum()), len(truth)),
        error=proportion(missed + false_alarms, int(decided.sum())),
        false_omission=proportion(missed, int(called_negative.sum())),
        false_discovery=proportion(false_alarms, int(called_positive.sum())),
    )


def proportion(count: int, total: int) -> Proportion:
    """``count`` of ``total`` with its exact interval."""
    assert 0 <= count <= total
    if total == 0:
        return Proportion(count=0, total=0, value=None, low=None, high=None)
    from scipy import stats

    interval = stats.binomtest(count, total).proportion_ci(CONFIDENCE, method="exact")
    return Proportion(
        count=count,
        total=total,
        value=count / total,
        low=float(interval.low),
        high=float(interval.high),
    )
