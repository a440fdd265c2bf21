"""Following the signal as it drifts, and refusing to follow where that does not help.

The mean covariance runs along without labels; the bias and means of the linear reading with them.
Whatever was adapted becomes the decoder in use only if it does better on held data by a paired
test: an adaptation that chases an artefact must not reach the patient's hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from pyriemann.geometry.geodesic import geodesic_riemann
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.utils.validation import check_is_fitted

from bci_rehab.decode.covariance import Floats, Labels
from bci_rehab.errors import TooLittleToLearn

EXACT_GROUPS = 12
SIGN_FLIPS = 4096


class RunningMean:
    """The Riemannian mean of covariances as they come, with forgetting.

    Each covariance moves the mean along the geodesic towards itself: by 1/n while few were seen,
    later by ``rate``, so that about the last ``1 / rate`` windows count.
    """

    def __init__(self, bands: int, channels: int, *, rate: float = 0.02) -> None:
        if not 0 < rate <= 1:
            raise ValueError("the rate of forgetting lies above 0 and up to 1")
        self.rate = rate
        self.seen = 0
        self.mean: Floats = np.tile(np.eye(channels), (bands, 1, 1))

    def update(self, covariances: Floats) -> Floats:
        """Take one window's covariances, shape (bands, channels, channels); give the mean."""
        if covariances.shape != self.mean.shape:
            raise ValueError(f"covariances of shape {covariances.shape}, not {self.mean.shape}")
        self.seen += 1
        share = max(1.0 / self.seen, self.rate)
        self.mean = np.stack(
            [
                new if share >= 1 else geodesic_riemann(old, new, share)
                for old, new in zip(self.mean, covariances, strict=True)
            ]
        )
        return self.mean

    def roots(self) -> Floats:
        """What :meth:`Transfer.recentre` takes: the inverse square root of each band's mean."""
        values, vectors = np.linalg.eigh(self.mean)
        roots: Floats = (vectors / np.sqrt(values)[:, None, :]) @ vectors.swapaxes(-1, -2)
        return roots


class AdaptiveLDA(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Linear discriminant analysis of two classes whose means follow (Vidaurre 2011).

    Parameters
    ----------
    rate : float
        How far one window moves a mean towards itself.
    """

    def __init__(self, rate: float = 0.03) -> None:
        self.rate = rate

    def fit(self, features: Floats, labels: ArrayLike) -> Self:
        """Learn from calibration. Shape (windows, features)."""
        targets = np.asarray(labels)
        first = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(features, targets)
        if len(first.classes_) != 2:
            raise TooLittleToLearn(
                what="a two-class decoder", found=f"{len(first.classes_)} classes", needed="two"
            )
        self.classes_ = first.classes_
        self.means_ = first.means_.copy()
        self.middle_ = self.means_.mean(axis=0)
        self.precision_ = np.linalg.pinv(first.covariance_, hermitian=True)
        return self

    def adapt(self, features: Floats) -> Self:
        """Without labels: move the middle between the classes, and so the bias only."""
        check_is_fitted(self)
        for row in np.atleast_2d(features):
            self.middle_ = (1.0 - self.rate) * self.middle_ + self.rate * row
        return self

    def partial_fit(self, features: Floats, labels: ArrayLike) -> Self:
        """With labels: move the mean of each window's class."""
        check_is_fitted(self)
        columns = np.searchsorted(self.classes_, np.asarray(labels))
        for row, column in zip(np.atleast_2d(features), columns, strict=True):
            self.means_[column] = (1.0 - self.rate) * self.means_[column] + self.rate * row
        self.middle_ = self.means_.mean(axis=0)
        return self

    def decision_function(self, features: Floats) -> Floats:
        """Log-odds of the second class, shape (windows,)."""
        check_is_fitted(self)
        weights = self.precision_ @ (self.means_[1] - self.means_[0])
        values: Floats = (features - self.middle_) @ weights
        return values

    def predict_proba(self, features: Floats) -> Floats:
        """Shape (windows, 2)."""
        second = 1.0 / (1.0 + np.exp(-np.clip(self.decision_function(features), -500.0, 500.0)))
        return np.stack([1.0 - second, second], axis=1)

    def predict(self, features: Floats) -> Labels:
        """The more probable class."""
        found: Labels = self.classes_[(self.decision_function(features) > 0).astype(int)]
        return found


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether an adapted decoder takes the place of the one in use, and why.

    ``improvement`` is the mean fall of log-loss per trial; ``p_value`` how often chance alone gives
    as much; accuracies are per trial.
    """

    kept: bool
    improvement: float
    p_value: float
    accuracy_before: float
    accuracy_after: float
    trials: int


def judge(
    current: Any,
    adapted: Any,
    windows: Any,
    labels: ArrayLike,
    trials: ArrayLike,
    *,
    level: float = 0.05,
    seed: int = 0,
) -> Verdict:
    """Hold an adapted decoder against the one in use, on trials that neither learned from.

    Log-losses are averaged within trials, since windows of a trial are no independent witnesses,
    and the signs of the differences between the two are flipped: all ways for up to
    :data:`EXACT_GROUPS` trials, :data:`SIGN_FLIPS` seeded ones for more.
    """
    targets, names = np.asarray(labels), np.asarray(trials)
    before, right_before = _by_trial(current, windows, targets, names)
    after, right_after = _by_trial(adapted, windows, targets, names)
    gains = before - after
    p_value = sign_flip_p(gains, seed=seed)
    accuracy_before, accuracy_after = float(right_before.mean()), float(right_after.mean())
    return Verdict(
        kept=bool(p_value <= level and accuracy_after >= accuracy_before),
        improvement=float(gains.mean()),
        p_value=p_value,
        accuracy_before=accuracy_before,
        accuracy_after=accuracy_after,
        trials=len(gains),
    )


def sign_flip_p(gains: Floats, *, seed: int = 0) -> float:
    """One-sided: the share of sign patterns whose mean gain is at least the one observed."""
    if not len(gains):
        raise TooLittleToLearn(what="whether it helps", found="no trial", needed="held trials")
    count = len(gains)
    if count <= EXACT_GROUPS:
        patterns = (np.arange(2**count)[:, None] >> np.arange(count)) & 1
        return float(np.mean((2 * patterns - 1) @ gains >= gains.sum() - 1e-12))
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(SIGN_FLIPS, count))
    reached = int(np.sum(signs @ gains >= gains.sum() - 1e-12))
    return (reached + 1) / (SIGN_FLIPS + 1)


def _by_trial(decoder: Any, windows: Any, targets: Labels, names: Labels) -> tuple[Floats, Floats]:
    """Mean log-loss of each trial, and whether its mean log-probability names its class."""
    logarithms = np.log(np.clip(decoder.predict_proba(windows), 1e-12, 1.0))
    columns = np.searchsorted(decoder.classes_, targets)
    _, first, inverse = np.unique(names, return_index=True, return_inverse=True)
    sizes = np.bincount(inverse)
    losses = np.bincount(inverse, weights=-logarithms[np.arange(len(targets)), columns]) / sizes
    sums = np.zeros((len(first), logarithms.shape[1]))
    np.add.at(sums, inverse, logarithms)
    right = (sums.argmax(axis=1) == columns[first]).astype(np.float64)
    return losses, right
