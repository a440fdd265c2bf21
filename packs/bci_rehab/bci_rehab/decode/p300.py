"""Decoders of the P300: whether the patient waited for what was just shown.

Epochs are microvolts of shape (epochs, channels, samples), from ``BEGIN_S`` to ``END_S`` after the
event. Filters that curve the phase bend the potential; give epochs of a linear-phase or a very wide
filter. Choices were made on the public recordings' second and third sessions; the benchmark asks
the first.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from pyriemann.estimation import XdawnCovariances
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils.validation import check_is_fitted

from bci_rehab.decode.covariance import Floats, Labels, Tangent, banded
from bci_rehab.errors import WindowsUnusable

# A low pass: each epoch is centred instead of a high pass, which no session could wait for.
BAND_HZ = (0.0, 20.0)
# What comes in the first tenth of a second is the answer of the eye, to a target and to any other.
BEGIN_S, END_S = 0.1, 0.8


def xdawn_decoder(*, components: int = 4) -> Pipeline:
    """Xdawn covariances, tangent space and logistic regression (Barachant and Congedo 2014)."""
    return make_pipeline(
        Flat(),
        XdawnCovariances(components, estimator="oas"),
        Tangent(),
        LogisticRegression(C=0.1, class_weight="balanced", max_iter=1000),
    )


def default_decoder() -> Pipeline:
    """What a session uses: the mean probability of two readings of an epoch, the first twice.

    Covariances say how alike an epoch is to the mean answer whatever its size; the regularised
    linear reading of its course (Blankertz 2011) follows the sizes at each instant. On the second
    and third sessions the area is 0.7905 so, 0.7902 if both count alike, 0.7895 the other way.
    """
    course = make_pipeline(
        Flat(),
        Course(),
        LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto", priors=(0.5, 0.5)),
    )
    readings = [("xdawn", xdawn_decoder()), ("course", course)]
    vote = VotingClassifier(readings, voting="soft", weights=[2, 1])
    return make_pipeline(Bounded(), vote)


def epochs(
    samples: Floats,
    onsets: ArrayLike,
    *,
    rate_hz: float,
    begin_s: float = BEGIN_S,
    end_s: float = END_S,
) -> tuple[Floats, Labels]:
    """Cut epochs from samples of shape (channels, samples), around events at ``onsets``.

    Returns
    -------
    epochs : ndarray, shape (kept, channels, samples)
    kept : ndarray of int
        Which onsets have a whole epoch.
    """
    length = round((end_s - begin_s) * rate_hz)
    first = np.asarray(onsets, dtype=np.int64) + round(begin_s * rate_hz)
    kept = np.flatnonzero((first >= 0) & (first + length <= samples.shape[-1]))
    if not len(kept):
        raise WindowsUnusable(reason="no event has a whole epoch within the recording")
    cut = np.stack([samples[:, start : start + length] for start in first[kept]])
    return np.asarray(cut, dtype=np.float64), kept


class Flat(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Windows without their band axis, which must be single."""

    def fit(self, windows: ArrayLike, labels: Any = None) -> Self:
        """Nothing is learned."""
        self.fitted_ = True
        return self

    def transform(self, windows: ArrayLike) -> Floats:
        """Shape (windows, channels, samples)."""
        array = banded(windows)
        if array.shape[1] != 1:
            raise WindowsUnusable(reason=f"they have {array.shape[1]} bands; this takes one")
        return array[:, 0]


class Bounded(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Centred epochs whose swings are bounded softly: a blink must not outweigh all other epochs.

    Parameters
    ----------
    limit : float
        The bound, in robust standard deviations of each channel in training (1.4826 times the
        median distance from 0). Swings far below it pass as they are.
    """

    def __init__(self, limit: float = 3.0) -> None:
        self.limit = limit

    def fit(self, windows: ArrayLike, labels: Any = None) -> Self:
        """Learn how far each channel usually swings."""
        spread = 1.4826 * np.median(np.abs(_centred(banded(windows))), axis=(0, 3))
        self.bound_ = self.limit * np.maximum(spread, np.finfo(np.float64).tiny)[..., None]
        return self

    def transform(self, windows: ArrayLike) -> Floats:
        """Shape (windows, bands, channels, samples)."""
        check_is_fitted(self)
        bounded: Floats = self.bound_ * np.tanh(_centred(banded(windows)) / self.bound_)
        return bounded


class Course(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """The course of each channel, one sample after another."""

    def fit(self, windows: Floats, labels: Any = None) -> Self:
        """Nothing is learned."""
        self.fitted_ = True
        return self

    def transform(self, windows: Floats) -> Floats:
        """Shape (windows, channels x samples)."""
        return windows.reshape(len(windows), -1)


def _centred(epochs: Floats) -> Floats:
    centred: Floats = epochs - epochs.mean(axis=-1, keepdims=True)
    return centred
