"""Covariances of windows, and what is learned from them: the ground of all motor decoders here.

Windows are microvolts of shape (windows, channels, samples), or (windows, bands, channels, samples)
after a filter bank. The filters run over the continuous signal before windows are cut, so that the
live path and the off-line path see the same samples and no window begins with a filter's transient.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pyriemann.geometry.mean import gmean
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted

from bci_rehab.errors import WindowsUnusable

Floats = NDArray[np.float64]
Labels = NDArray[Any]

# Below this share of the largest eigenvalue a direction of the reference holds no signal (average
# reference, interpolated channels); dividing by it would fill the features with rounding errors.
_RANK_SHARE = 1e-10


def banded(windows: ArrayLike) -> Floats:
    """Windows with a band axis: (windows, bands, channels, samples).

    Raises
    ------
    WindowsUnusable
        Another number of axes, none, or values that are not finite.
    """
    array = np.asarray(windows, dtype=np.float64)
    if array.ndim == 3:
        array = array[:, None]
    if array.ndim != 4 or 0 in array.shape:
        raise WindowsUnusable(
            reason=f"they have the shape {array.shape}, not (windows, [bands,] channels, samples)"
        )
    if not np.isfinite(array).all():
        raise WindowsUnusable(reason="some samples are missing or infinite")
    return array


def shrunk_covariances(windows: Floats) -> Floats:
    """Covariances that are positive definite even for windows shorter than the channels are many.

    Oracle approximating shrinkage towards a multiple of the identity (Chen 2010), for all windows
    at once.

    Parameters
    ----------
    windows : ndarray, shape (..., channels, samples)

    Returns
    -------
    ndarray, shape (..., channels, channels)
        Square microvolts.
    """
    centred = windows - windows.mean(axis=-1, keepdims=True)
    channels, samples = centred.shape[-2:]
    empirical = centred @ centred.swapaxes(-1, -2) / samples
    level = np.trace(empirical, axis1=-2, axis2=-1) / channels
    if not (level > 0).all():
        raise WindowsUnusable(reason="a window is flat on all channels")
    power = (empirical**2).mean(axis=(-2, -1))
    spread = (samples + 1.0) * (power - level**2 / channels)
    share = np.where(spread > 0, (power + level**2) / np.where(spread > 0, spread, 1.0), 1.0)
    share = np.minimum(share, 1.0)[..., None, None]
    target = level[..., None, None] * np.eye(channels)
    shrunk: Floats = (1.0 - share) * empirical + share * target
    return shrunk


def matrix_log(matrices: Floats) -> Floats:
    """The matrix logarithm of symmetric positive definite matrices, shape (..., n, n)."""
    values, vectors = np.linalg.eigh(matrices)
    tiny = np.finfo(np.float64).tiny
    logarithms: Floats = (
        vectors * np.log(np.maximum(values, tiny))[..., None, :]
    ) @ vectors.swapaxes(-1, -2)
    return logarithms


def whitening(mean: Floats) -> Floats:
    """The inverse square root of a mean covariance, without directions that hold no signal."""
    values, vectors = np.linalg.eigh(mean)
    held = values > _RANK_SHARE * values[-1]
    scaled = vectors[:, held] / np.sqrt(values[held])
    white: Floats = scaled.T
    return white


class Covariance(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Windows to shrunk covariances, shape (windows, bands, channels, channels)."""

    def fit(self, windows: ArrayLike, labels: Any = None) -> Self:
        """Only remembers the shape."""
        array = banded(windows)
        self.bands_, self.channels_ = array.shape[1:3]
        return self

    def transform(self, windows: ArrayLike) -> Floats:
        """Covariances of each window in each band."""
        check_is_fitted(self)
        array = banded(windows)
        if array.shape[1:3] != (self.bands_, self.channels_):
            raise WindowsUnusable(
                reason=f"they have {array.shape[1]} bands of {array.shape[2]} channels, and the "
                f"decoder was made for {self.bands_} of {self.channels_}"
            )
        return shrunk_covariances(array)


class Augment(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Set delayed copies of the channels beside them, for the augmented covariance.

    The covariance of a window and its own past is that of an autoregressive model and holds what
    a filter bank would separate (Carrara and Papadopoulo 2023, doi 10.1109/TNSRE.2023.3321640).

    Parameters
    ----------
    order : int
        Copies, the present one included.
    lag : int
        Samples from one copy to the next.
    """

    def __init__(self, order: int = 2, lag: int = 5) -> None:
        self.order = order
        self.lag = lag

    def fit(self, windows: ArrayLike, labels: Any = None) -> Self:
        """Check that a window is long enough."""
        samples = banded(windows).shape[-1]
        if self.order < 1 or self.lag < 1 or (self.order - 1) * self.lag >= samples // 2:
            raise WindowsUnusable(
                reason=f"{samples} samples hold no {self.order} copies {self.lag} samples apart"
            )
        self.fitted_ = True
        return self

    def transform(self, windows: ArrayLike) -> Floats:
        """Shape (windows, bands, order x channels, samples less the delays)."""
        array = banded(windows)
        kept = array.shape[-1] - (self.order - 1) * self.lag
        copies = [array[..., k * self.lag : k * self.lag + kept] for k in range(self.order)]
        return np.concatenate(copies, axis=-2)


class Tangent(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Covariances as vectors in the tangent space at their mean (Barachant 2013).

    pyRiemann's takes the mean apart again at each call, which doubles the time of a live decision;
    this one keeps the whitening matrix, and another may be put in its place when the signal drifts.

    Parameters
    ----------
    mean : str
        The mean to whiten by, a metric of pyRiemann's. The log-Euclidean one is found in one step;
        at such a reference the map is as faithful as at the Riemannian mean, to which it is close.
    """

    def __init__(self, mean: str = "logeuclid") -> None:
        self.mean = mean

    def fit(self, covariances: Floats, labels: Any = None) -> Self:
        """Find the mean. Shape (windows, channels, channels)."""
        self.whitening_ = whitening(gmean(covariances, metric=self.mean))
        return self

    def transform(self, covariances: Floats) -> Floats:
        """Shape (windows, n (n + 1) / 2); the norm is the Riemannian distance to the mean."""
        check_is_fitted(self)
        logarithms = matrix_log(self.whitening_ @ covariances @ self.whitening_.T)
        size = logarithms.shape[-1]
        rows, columns = np.triu_indices(size)
        vectors: Floats = logarithms[:, rows, columns] * np.where(
            rows == columns, 1.0, np.sqrt(2.0)
        )
        return vectors


class EachBand(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """One classifier for each band; their log-probabilities are averaged.

    Joining the bands' features instead gives a model with bands times as many weights, and no more
    trials to learn them from.
    """

    def __init__(self, estimator: Any = None) -> None:
        self.estimator = estimator

    def fit(self, covariances: Floats, labels: ArrayLike) -> Self:
        """Shape (windows, bands, channels, channels)."""
        targets = np.asarray(labels)
        self.estimators_ = [
            clone(self.estimator).fit(covariances[:, band], targets)
            for band in range(covariances.shape[1])
        ]
        self.classes_ = np.unique(targets)
        return self

    def predict_proba(self, covariances: Floats) -> Floats:
        """The normalised geometric mean over bands, shape (windows, classes)."""
        check_is_fitted(self)
        total = sum(
            log_probabilities(estimator, covariances[:, band])
            for band, estimator in enumerate(self.estimators_)
        )
        probabilities: Floats = softmax(total / len(self.estimators_), axis=1)
        return probabilities

    def predict(self, covariances: Floats) -> Labels:
        """The most probable class."""
        found: Labels = self.classes_[self.predict_proba(covariances).argmax(axis=1)]
        return found


def log_probabilities(estimator: Any, features: Any) -> Floats:
    """Log-probabilities, from the decision function where it has one, which never overflows."""
    if hasattr(estimator, "predict_proba"):
        logarithms: Floats = np.log(np.clip(estimator.predict_proba(features), 1e-12, 1.0))
        return logarithms
    values = np.asarray(estimator.decision_function(features))
    if values.ndim == 1:
        positive = expit(values)
        values = np.log(np.clip(np.stack([1.0 - positive, positive], axis=1), 1e-12, 1.0))
    return values
