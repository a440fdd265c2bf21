"""What was recorded before, used to shorten today's calibration.

Caps sit otherwise and skin conducts otherwise each day, which moves all covariances together. Each
session is therefore brought to the identity as its mean before sessions are joined (Zanini 2018;
He and Wu 2020); then today's calibration has only to correct what is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from pyriemann.geometry.mean import gmean
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.utils.validation import check_is_fitted

from bci_rehab.decode.covariance import Floats, Labels, banded, matrix_log, shrunk_covariances
from bci_rehab.errors import WindowsUnusable

_RANK_SHARE = 1e-10


def euclidean_alignment(windows: ArrayLike) -> Floats:
    """Windows of one session whitened by their arithmetic mean covariance (He and Wu 2020).

    Same shape, in units of the session's own size. Any decoder may follow.
    """
    array = banded(windows)
    centred = array - array.mean(axis=-1, keepdims=True)
    mean = (centred @ centred.swapaxes(-1, -2)).mean(axis=0) / array.shape[-1]
    aligned: Floats = np.stack([_inverse_root(band) for band in mean]) @ array
    return aligned


def inverse_roots(covariances: Floats, *, metric: str = "riemann") -> Floats:
    """The symmetric inverse square root of each band's mean, shape (bands, channels, channels).

    Symmetric, unlike any other whitening, so that channels keep their names across sessions.
    """
    bands = covariances.swapaxes(0, 1)
    return np.stack([_inverse_root(gmean(band, metric=metric)) for band in bands])


class Session:
    """Labelled windows of one session, which share one mean."""

    def __init__(self, windows: ArrayLike, labels: ArrayLike) -> None:
        self.windows = banded(windows)
        self.labels = np.asarray(labels)


class Transfer(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Tangent space and regression over earlier sessions and today's, each re-centred.

    With no earlier session it is the same decoder on today's alone. Each band has a regression;
    their log-probabilities are averaged.

    Parameters
    ----------
    earlier : sequence of Session
        Of the same patient or of others; of the same channels and bands.
    own_weight : float
        How much one of today's windows counts against one of an earlier session. Earlier sessions
        say where the answer usually lies; today's own trials are the better witness.
    inverse_penalty : float
    metric : str
        Of the means; ``riemann`` (Zanini 2018) or ``euclid``.
    """

    def __init__(
        self,
        earlier: Sequence[Session] = (),
        own_weight: float = 3.0,
        inverse_penalty: float = 1.0,
        metric: str = "riemann",
    ) -> None:
        self.earlier = earlier
        self.own_weight = own_weight
        self.inverse_penalty = inverse_penalty
        self.metric = metric

    def fit(self, windows: ArrayLike, labels: ArrayLike) -> Self:
        """Learn from today's calibration and what came before."""
        today = Session(windows, labels)
        features, targets, weights = [], [], []
        for session in (*self.earlier, today):
            if session.windows.shape[1:3] != today.windows.shape[1:3]:
                raise WindowsUnusable(
                    reason="an earlier session has other channels or bands than today's"
                )
            covariances = shrunk_covariances(session.windows)
            roots = inverse_roots(covariances, metric=self.metric)
            features.append(_tangent(roots @ covariances @ roots))
            targets.append(session.labels)
            own = session is today and bool(self.earlier)
            weights.append(np.full(len(session.labels), self.own_weight if own else 1.0))
        self.roots_ = roots
        self.classes_ = np.unique(np.concatenate(targets))
        joined, taught = np.concatenate(features), np.concatenate(targets)
        self.estimators_ = [
            LogisticRegression(C=self.inverse_penalty, max_iter=1000).fit(
                joined[:, band], taught, sample_weight=np.concatenate(weights)
            )
            for band in range(joined.shape[1])
        ]
        return self

    def recentre(self, roots: Floats) -> Self:
        """Bring the windows that come to the identity by another mean, as it drifts."""
        check_is_fitted(self)
        if roots.shape != self.roots_.shape:
            raise WindowsUnusable(reason="the new mean has other channels or bands")
        self.roots_ = roots
        return self

    def predict_proba(self, windows: ArrayLike) -> Floats:
        """The normalised geometric mean over bands, shape (windows, classes)."""
        check_is_fitted(self)
        features = _tangent(self.roots_ @ shrunk_covariances(banded(windows)) @ self.roots_)
        total = sum(
            estimator.predict_log_proba(features[:, band])
            for band, estimator in enumerate(self.estimators_)
        )
        mean = total / len(self.estimators_)
        probabilities: Floats = np.exp(mean - np.logaddexp.reduce(mean, axis=1, keepdims=True))
        return probabilities

    def predict(self, windows: ArrayLike) -> Labels:
        """The most probable class."""
        found: Labels = self.classes_[self.predict_proba(windows).argmax(axis=1)]
        return found


def _tangent(covariances: Floats) -> Floats:
    """Vectors at the identity, shape (windows, bands, n (n + 1) / 2)."""
    logarithms = matrix_log(covariances)
    rows, columns = np.triu_indices(logarithms.shape[-1])
    scale: Any = np.where(rows == columns, 1.0, np.sqrt(2.0))
    vectors: Floats = logarithms[..., rows, columns] * scale
    return vectors


def _inverse_root(mean: Floats) -> Floats:
    """Of one mean; directions without signal are held at the floor of rounding."""
    values, vectors = np.linalg.eigh(mean)
    floored = np.maximum(values, _RANK_SHARE * values[-1])
    root: Floats = (vectors / np.sqrt(floored)) @ vectors.T
    return root
