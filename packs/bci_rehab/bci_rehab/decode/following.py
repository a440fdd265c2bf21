"""The motor decoder of a session: tangent space over the sensorimotor strip, following the signal.

Three choices, each with its reason, were made on S001's executed movements (fists against feet in
runs 5, 9, 13, left against right in 3, 7, 11), never on the imagined ones that the benchmark asks:

- only the electrodes over the sensorimotor cortex. Mu and beta fall there (Pfurtscheller and Lopes
  da Silva 1999); the others bring eyes and muscles, and four times the weights to learn;
- 7 to 14 and 13 to 30 Hz: a causal filter's delay grows as its band narrows, and a mu band that
  is two hertz wider leaves more of the window to the trial;
- each recording is brought to the identity as its mean (Zanini 2018, doi
  10.1109/TBME.2017.2742541), without labels: in training by all its windows, then by those that
  have come so far. On executed left against right that took 0.73 to 0.82.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.utils.validation import check_is_fitted

from bci_rehab.decode.covariance import Floats, Labels, banded, matrix_log, shrunk_covariances
from bci_rehab.errors import TooLittleToLearn, WindowsUnusable

BANDS_HZ = ((7.0, 14.0), (13.0, 30.0))
# So many windows of calibration stand for the mean of a recording that has only begun.
PRIOR_WINDOWS = 15.0
_TINY = float(np.finfo(np.float64).tiny)


class FollowingTangent(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Tangent space at each recording's own mean, and a logistic regression for each band.

    What is asked in one call is one recording, its windows in order of time; of each window's mean
    only the windows before it and itself are part. :meth:`follower` does the same for windows that
    come one by one.

    Parameters
    ----------
    inverse_penalty : float
        Of the regressions.
    prior_windows : float
        For how many windows the mean of calibration counts in a recording's mean. A stream of
        overlapping windows wants more of them than a list of trials.
    memory_windows : float, optional
        For how many windows the mean counts at most: what is older fades. Without it nothing does.
    reach : float, optional
        Which share of calibration's windows lies within reach of their mean. A window beyond moves
        the mean no further than one at its edge, whatever it holds. Without it all move it fully.
    """

    def __init__(
        self,
        inverse_penalty: float = 1.0,
        prior_windows: float = PRIOR_WINDOWS,
        memory_windows: float | None = None,
        reach: float | None = None,
    ) -> None:
        self.inverse_penalty = inverse_penalty
        self.prior_windows = prior_windows
        self.memory_windows = memory_windows
        self.reach = reach

    def fit(
        self,
        windows: ArrayLike,
        labels: ArrayLike,
        runs: ArrayLike | None = None,
        weights: ArrayLike | None = None,
    ) -> Self:
        """Learn from labelled windows of shape (windows, [bands,] channels, samples).

        ``runs`` names the recording of each window; without it all are of one. ``weights`` is how
        much each counts, all alike without it; where the mean of a recording that has only begun
        lies is taken from those that count most.
        """
        covariances, targets = shrunk_covariances(banded(windows)), np.asarray(labels)
        names = np.zeros(len(targets)) if runs is None else np.asarray(runs)
        self.classes_ = np.unique(targets)
        if len(self.classes_) < 2:
            raise TooLittleToLearn(what="a decoder", found="one class", needed="at least two")
        logarithms = matrix_log(covariances)
        centred = np.empty_like(covariances)
        for name in np.unique(names):
            own = names == name
            roots = _inverse_roots(logarithms[own].mean(axis=0))
            centred[own] = roots @ covariances[own] @ roots
        counts = None if weights is None else np.asarray(weights, dtype=np.float64)
        nearest = logarithms if counts is None else logarithms[counts == counts.max()]
        self.prior_ = nearest.mean(axis=0)
        features = matrix_log(centred)
        distances = np.linalg.norm(features, axis=(-2, -1))
        self.reach_ = (
            np.full(features.shape[1], np.inf)
            if self.reach is None
            else np.quantile(distances, self.reach, axis=0)
        )
        learned = [
            self._learned(features[:, band], targets, counts) for band in range(features.shape[1])
        ]
        self.weights_ = np.stack([weights for weights, _ in learned])
        self.intercepts_ = np.stack([intercepts for _, intercepts in learned])
        return self

    def follower(self, *, follows: bool = True) -> Follower:
        """A reading of one recording from its beginning; without ``follows`` at the prior mean."""
        check_is_fitted(self)
        return Follower(self, follows=follows)

    def predict_log_proba(self, windows: ArrayLike) -> Floats:
        """Shape (windows, classes): the normalised mean over bands."""
        return self.follower().log_probabilities(windows)

    def predict_proba(self, windows: ArrayLike) -> Floats:
        """Shape (windows, classes)."""
        found: Floats = np.exp(self.predict_log_proba(windows))
        return found

    def predict(self, windows: ArrayLike) -> Labels:
        """The most probable class."""
        found: Labels = self.classes_[self.predict_log_proba(windows).argmax(axis=1)]
        return found

    def _learned(
        self, logarithms: Floats, targets: Labels, weights: Floats | None
    ) -> tuple[Floats, Floats]:
        """One band's regression, its weights as symmetric matrices: (classes, n, n), (classes,).

        The product of such a matrix with a logarithm, summed, is that of the weights with the
        tangent vector, which then need not be laid out for each window.
        """
        size = logarithms.shape[-1]
        rows, columns = np.triu_indices(size)
        scale = np.where(rows == columns, 1.0, np.sqrt(2.0))
        model = LogisticRegression(C=self.inverse_penalty, max_iter=1000)
        model.fit(logarithms[:, rows, columns] * scale, targets, sample_weight=weights)
        coefficients, intercepts = model.coef_, model.intercept_
        if len(self.classes_) == 2:
            coefficients = np.concatenate([-coefficients, coefficients]) / 2.0
            intercepts = np.concatenate([-intercepts, intercepts]) / 2.0
        weights = np.zeros((len(self.classes_), size, size))
        weights[:, rows, columns] = coefficients / scale
        weights[:, columns, rows] = coefficients / scale
        return weights, np.asarray(intercepts)


class Follower:
    """Reads windows of one recording as they come; the same windows give the same bits.

    Each window is worked out by itself, so that it makes no difference whether windows come one by
    one or all at once.
    """

    def __init__(self, model: FollowingTangent, *, follows: bool = True) -> None:
        self._model, self._follows = model, follows
        self._sum: Floats = model.prior_windows * model.prior_
        self._count = float(model.prior_windows)

    def log_probabilities(self, windows: ArrayLike) -> Floats:
        """Shape (windows, classes), of windows (windows, [bands,] channels, samples)."""
        array = banded(windows)
        if array.shape[1:3] != self._model.prior_.shape[:2]:
            raise WindowsUnusable(
                reason=f"they have {array.shape[1]} bands of {array.shape[2]} channels, and the "
                f"decoder was made for {self._model.prior_.shape[0]} of "
                f"{self._model.prior_.shape[1]}"
            )
        return np.stack([self._one(np.ascontiguousarray(window)) for window in array])

    def _one(self, window: Floats) -> Floats:
        covariances = shrunk_covariances(window)
        if self._follows:
            self._move(matrix_log(covariances))
        roots = _inverse_roots(self._sum / self._count)
        values, vectors = np.linalg.eigh(roots @ covariances @ roots)
        logarithms = np.log(np.maximum(values, _TINY))
        # Sum over i of log(value_i) * vector_i' W vector_i, for each band and class.
        turned = self._model.weights_ @ vectors[:, None]
        parts = (turned * vectors[:, None]).sum(axis=-2)
        scores = (parts * logarithms[:, None]).sum(axis=-1) + self._model.intercepts_
        by_band = scores - np.logaddexp.reduce(scores, axis=-1, keepdims=True)
        mean = by_band.mean(axis=0)
        normalised: Floats = mean - np.logaddexp.reduce(mean)
        return normalised

    def _move(self, logarithms: Floats) -> None:
        """Bring the mean towards a window, each band no further than its reach."""
        mean = self._sum / self._count
        distances = np.linalg.norm(logarithms - mean, axis=(-2, -1))
        beyond = distances > self._model.reach_
        if beyond.any():
            share = np.where(beyond, self._model.reach_ / np.where(beyond, distances, 1.0), 1.0)
            logarithms = mean + share[:, None, None] * (logarithms - mean)
        memory = self._model.memory_windows
        if memory is not None and self._count > memory:
            self._sum, self._count = mean * memory, memory
        self._sum = self._sum + logarithms
        self._count += 1.0


def _inverse_roots(logarithms: Floats) -> Floats:
    """Inverse square roots of matrices given by their logarithms, shape (..., n, n)."""
    values, vectors = np.linalg.eigh(logarithms)
    roots: Floats = (vectors * np.exp(-values / 2.0)[..., None, :]) @ vectors.swapaxes(-1, -2)
    return roots


def fitted(estimator: Any, windows: Floats, labels: Labels, runs: Labels) -> Any:
    """Fit any estimator; one that follows recordings is told which window is of which."""
    if isinstance(estimator, FollowingTangent):
        return estimator.fit(windows, labels, runs)
    return estimator.fit(windows, labels)
