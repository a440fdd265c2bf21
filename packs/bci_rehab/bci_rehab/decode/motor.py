"""Decoders of imagined and attempted movement.

Every function gives a scikit-learn estimator over windows of shape (windows, channels, samples) or
(windows, bands, channels, samples), in microvolts, with ``predict_proba``. Movement lowers the mu
and beta rhythms over the part of the cortex that moves; all of these read where.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from pyriemann.classification import MDM
from pyriemann.spatialfilters import CSP
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.svm import SVC
from sklearn.utils.validation import check_is_fitted

from bci_rehab.decode.covariance import (
    Augment,
    Covariance,
    EachBand,
    Floats,
    Labels,
    Tangent,
    banded,
)
from bci_rehab.errors import TooLittleToLearn

# The rhythms of the sensorimotor cortex (Pfurtscheller and Lopes da Silva 1999).
MU_BETA_HZ = ((8.0, 13.0), (13.0, 30.0))
# Nine bands of four hertz (Ang 2008).
FILTER_BANK_HZ = tuple((float(low), low + 4.0) for low in range(4, 40, 4))


def default_decoder() -> Pipeline:
    """What the pack's model of single trials uses, over :data:`MU_BETA_HZ`: the tangent space.

    It takes whatever channels there are and knows of no recording; a session, which does, uses
    :class:`bci_rehab.decode.following.FollowingTangent`. Chosen on S001 over
    :func:`filter_bank_csp` and over a vote of both: on executed left against right (runs 3, 7, 11)
    0.69 against 0.58 and 0.60, on executed fists against feet all 0.96.
    """
    return tangent_space()


def tangent_space(*, inverse_penalty: float = 1.0) -> Pipeline:
    """Tangent space and logistic regression in each band (Barachant 2012)."""
    return make_pipeline(Covariance(), _tangent_of_covariances(inverse_penalty))


def filter_bank_csp(*, components: int = 6) -> Pipeline:
    """Common spatial patterns in each band, then shrinkage LDA over all bands (Ang 2008).

    Shrinkage takes the place of the paper's selection of features: it needs no choice of a number.
    """
    return make_pipeline(Covariance(), _csp_of_covariances(components))


def minimum_distance() -> Pipeline:
    """Minimum distance to the Riemannian mean in each band (Barachant 2012)."""
    return make_pipeline(Covariance(), EachBand(MDM(metric="riemann")))


def augmented_covariance(*, order: int = 2, lag: int = 5, kernel: str = "logistic") -> Pipeline:
    """Augmented covariance in tangent space (Carrara and Papadopoulo 2023).

    ``kernel`` is ``logistic`` (regression) or ``svm`` (linear). ``lag`` is in samples: a quarter of
    a period of the rhythm says most about its phase, 5 samples at 160 Hz for mu.
    """
    heads = {
        "logistic": LogisticRegression(max_iter=1000),
        "svm": SVC(kernel="linear"),
    }
    return make_pipeline(
        Augment(order, lag), Covariance(), EachBand(make_pipeline(Tangent(), heads[kernel]))
    )


class CommonSpatialPatterns(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Log-powers of common spatial patterns of each band, from covariances of the windows."""

    def __init__(self, components: int = 6) -> None:
        self.components = components

    def fit(self, covariances: Floats, labels: ArrayLike) -> Self:
        """Shape (windows, bands, channels, channels)."""
        count = min(self.components, covariances.shape[-1])
        self.patterns_ = [
            CSP(nfilter=count, metric="euclid", log=True).fit(_scaled(band), labels)
            for band in covariances.swapaxes(0, 1)
        ]
        return self

    def transform(self, covariances: Floats) -> Floats:
        """Shape (windows, bands x components)."""
        check_is_fitted(self)
        powers = [
            pattern.transform(_scaled(covariances[:, band]))
            for band, pattern in enumerate(self.patterns_)
        ]
        return np.concatenate(powers, axis=1)


class TwoStage(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """First whether the patient moves at all, then what.

    Rest is no class like the others: it has no pattern of its own, and a patient is at rest most of
    the time. The first stage tells rest from everything else, the second was never shown rest.

    Parameters
    ----------
    idle : label
        The label of rest in the training data.
    gate, decoder : estimators with predict_proba
        The two stages; :func:`default_decoder` each, by default.
    """

    def __init__(self, idle: Any = "rest", gate: Any = None, decoder: Any = None) -> None:
        self.idle = idle
        self.gate = gate
        self.decoder = decoder

    def fit(self, windows: ArrayLike, labels: ArrayLike) -> Self:
        """Learn both stages."""
        array, targets = banded(windows), np.asarray(labels)
        active = targets != self.idle
        if active.all() or len(np.unique(targets[active])) < 2:
            raise TooLittleToLearn(
                what="a decoder with rest",
                found=", ".join(sorted(map(str, np.unique(targets)))),
                needed=f"windows of {self.idle} and of two movements",
            )
        gate = default_decoder() if self.gate is None else self.gate
        decoder = default_decoder() if self.decoder is None else self.decoder
        self.gate_ = clone(gate).fit(array, active)
        self.decoder_ = clone(decoder).fit(array[active], targets[active])
        self.classes_ = np.concatenate([[self.idle], self.decoder_.classes_])
        return self

    def predict_proba(self, windows: ArrayLike) -> Floats:
        """Rest first, then the movements, in the order of ``classes_``."""
        check_is_fitted(self)
        array = banded(windows)
        moving = self.gate_.predict_proba(array)[:, [1]]
        kinds = self.decoder_.predict_proba(array)
        return np.concatenate([1.0 - moving, moving * kinds], axis=1)

    def predict(self, windows: ArrayLike) -> Labels:
        """The most probable class."""
        found: Labels = self.classes_[self.predict_proba(windows).argmax(axis=1)]
        return found


def _tangent_of_covariances(inverse_penalty: float = 1.0) -> EachBand:
    return EachBand(make_pipeline(Tangent(), LogisticRegression(C=inverse_penalty, max_iter=1000)))


def _csp_of_covariances(components: int) -> Pipeline:
    return make_pipeline(
        CommonSpatialPatterns(components),
        LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"),
    )


def _scaled(covariances: Floats) -> Floats:
    """Trace 1: a loud window must not outweigh the others in the mean of its class."""
    trace = np.trace(covariances, axis1=-2, axis2=-1)
    scaled: Floats = covariances / trace[:, None, None]
    return scaled
