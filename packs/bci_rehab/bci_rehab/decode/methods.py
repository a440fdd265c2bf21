"""The methods that each off-line task compares: the pack's own, and plain ones of the libraries.

A method names the bands it wants and makes a fresh estimator. The plain ones are put together from
MNE, pyRiemann and scikit-learn alone, as their examples do, and see the same windows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import mne
import numpy as np
from mne.decoding import CSP, Vectorizer
from numpy.typing import ArrayLike
from pyriemann.classification import MDM
from pyriemann.estimation import Covariances, XdawnCovariances
from pyriemann.tangentspace import TangentSpace
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.cross_decomposition import CCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from bci_rehab.decode import following, p300, ssvep
from bci_rehab.decode.covariance import Floats, Labels
from bci_rehab.decode.recordings import Bands

FLICKERS_HZ = (13.0, 17.0, 21.0)
EXO_RATE_HZ = 256.0
PLAIN_MOTOR_HZ: Bands = ((7.0, 30.0),)
PLAIN_FLICKER_HZ: Bands = ((5.0, 45.0),)
PLAIN_EVOKED_HZ = (0.5, 20.0)


@dataclass(frozen=True, kw_only=True)
class Method:
    """One row of a comparison. ``make`` gives an estimator that was never fitted.

    With ``strip`` it takes only the electrodes over the sensorimotor cortex.
    """

    name: str
    ours: bool
    bands_hz: Bands
    make: Callable[[], Any]
    strip: bool = False


def motor_methods() -> tuple[Method, ...]:
    """For imagined and attempted movement."""
    return (
        Method(
            name="following tangent space of mu and beta",
            ours=True,
            bands_hz=following.BANDS_HZ,
            make=following.FollowingTangent,
            strip=True,
        ),
        Method(
            name="CSP + LDA (MNE, scikit-learn)",
            ours=False,
            bands_hz=PLAIN_MOTOR_HZ,
            make=lambda: make_pipeline(_QuietCSP(6), LinearDiscriminantAnalysis()),
        ),
        Method(
            name="tangent space + LR (pyRiemann, scikit-learn)",
            ours=False,
            bands_hz=PLAIN_MOTOR_HZ,
            make=lambda: make_pipeline(
                _single(), Covariances("oas"), TangentSpace(), LogisticRegression(max_iter=1000)
            ),
        ),
        Method(
            name="MDM (pyRiemann)",
            ours=False,
            bands_hz=PLAIN_MOTOR_HZ,
            make=lambda: make_pipeline(_single(), Covariances("oas"), MDM()),
        ),
    )


def free_flicker_methods() -> tuple[Method, ...]:
    """For flicker without calibration."""
    return (
        Method(
            name="filter-bank CCA",
            ours=True,
            bands_hz=ssvep.bank_hz(EXO_RATE_HZ),
            make=lambda: ssvep.CanonicalCorrelation(FLICKERS_HZ, EXO_RATE_HZ),
        ),
        Method(
            name="CCA (scikit-learn)",
            ours=False,
            bands_hz=PLAIN_FLICKER_HZ,
            make=lambda: PlainCCA(FLICKERS_HZ, EXO_RATE_HZ, harmonics=2),
        ),
    )


def calibrated_flicker_methods() -> tuple[Method, ...]:
    """For flicker with calibration, rest being a class."""
    narrow = ssvep.narrow_hz(FLICKERS_HZ)
    return (
        Method(
            name="canonical correlations + tangent space",
            ours=True,
            bands_hz=ssvep.bank_hz(EXO_RATE_HZ) + narrow,
            make=lambda: ssvep.calibrated_decoder(FLICKERS_HZ, EXO_RATE_HZ),
        ),
        Method(
            name="MDM (pyRiemann)",
            ours=False,
            bands_hz=narrow,
            make=lambda: make_pipeline(_joined(), Covariances("lwf"), MDM()),
        ),
        Method(
            name="tangent space + LR (pyRiemann, scikit-learn)",
            ours=False,
            bands_hz=narrow,
            make=lambda: make_pipeline(
                _joined(),
                Covariances("lwf"),
                TangentSpace(),
                LogisticRegression(max_iter=1000),
            ),
        ),
    )


def p300_methods() -> tuple[Method, ...]:
    """For the P300."""
    bands = (PLAIN_EVOKED_HZ,)
    return (
        Method(
            name="Xdawn covariance + course",
            ours=True,
            bands_hz=(p300.BAND_HZ,),
            make=p300.default_decoder,
        ),
        Method(
            name="MDM on Xdawn covariances (pyRiemann)",
            ours=False,
            bands_hz=bands,
            make=lambda: make_pipeline(_single(), XdawnCovariances(2, estimator="oas"), MDM()),
        ),
        Method(
            name="vectorised + LDA (MNE, scikit-learn)",
            ours=False,
            bands_hz=bands,
            make=lambda: make_pipeline(
                _single(),
                Vectorizer(),
                LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"),
            ),
        ),
    )


class PlainCCA(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """scikit-learn's canonical correlation of each window with each frequency's sines."""

    def __init__(self, frequencies_hz: Sequence[float], rate_hz: float, harmonics: int) -> None:
        self.frequencies_hz = frequencies_hz
        self.rate_hz = rate_hz
        self.harmonics = harmonics

    def fit(self, windows: ArrayLike | None = None, labels: Any = None) -> Self:
        """Nothing is learned."""
        self.classes_ = np.sort(np.asarray(self.frequencies_hz))
        return self

    def decision_function(self, windows: Floats) -> Floats:
        """The first canonical correlation, shape (windows, classes)."""
        samples = windows.shape[-1]
        references = [
            ssvep.sines(hz, self.rate_hz, samples, self.harmonics).T for hz in self.classes_
        ]
        rows = []
        for window in windows[:, 0]:
            row = []
            for reference in references:
                pair = CCA(n_components=1).fit_transform(window.T, reference)
                row.append(np.corrcoef(pair[0][:, 0], pair[1][:, 0])[0, 1])
            rows.append(row)
        return np.array(rows)

    def predict(self, windows: Floats) -> Labels:
        """The frequency of the largest correlation."""
        found: Labels = self.classes_[self.decision_function(windows).argmax(axis=1)]
        return found


class _QuietCSP(CSP):  # type: ignore[misc]
    """MNE's, without a line of log for each class, over windows of a single band."""

    def fit(self, windows: Floats, labels: Labels) -> Self:
        with mne.use_log_level("ERROR"):
            super().fit(windows[:, 0], labels)
        return self

    def transform(self, windows: Floats) -> Floats:
        powers: Floats = super().transform(windows[:, 0])
        return powers

    def fit_transform(self, windows: Floats, labels: Labels) -> Floats:
        return self.fit(windows, labels).transform(windows)


def _single() -> Any:
    return p300.Flat()


def _joined() -> Any:
    return FunctionTransformer(_join_bands)


def _join_bands(windows: Floats) -> Floats:
    return windows.reshape(len(windows), -1, windows.shape[-1])
