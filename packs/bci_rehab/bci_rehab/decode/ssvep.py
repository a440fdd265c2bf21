"""Decoders of steady-state visual evoked potentials: which flicker the patient looks at.

Training-free decoders compare a window with sines of each frequency; calibrated ones also with what
this patient's brain answered before. Windows have shape (windows, channels, samples), or
(windows, bands, channels, samples) after the bank that :func:`bank_hz` names. Labels are
frequencies in hertz; rest is :data:`REST_HZ`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import eigh
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from bci_rehab.decode.covariance import Floats, Labels, Tangent, banded, shrunk_covariances
from bci_rehab.errors import TooLittleToLearn

REST_HZ = 0.0
# Chen 2015: five bands that begin at multiples of 8 Hz and share their upper edge.
BANK_LOW_HZ = (8.0, 16.0, 24.0, 32.0, 40.0)
BANK_HIGH_HZ = 88.0
HARMONICS = 3
NARROW_HZ = 0.5


def bank_hz(rate_hz: float) -> tuple[tuple[float, float], ...]:
    """The filter bank of Chen 2015, as far as the rate allows."""
    high = min(BANK_HIGH_HZ, 0.45 * rate_hz)
    return tuple((low, high) for low in BANK_LOW_HZ if low < 0.8 * high)


def narrow_hz(frequencies_hz: Sequence[float]) -> tuple[tuple[float, float], ...]:
    """A band around each frequency, for covariances (Kalunga 2016)."""
    return tuple((hz - NARROW_HZ, hz + NARROW_HZ) for hz in frequencies_hz)


def bank_weights(bands: int) -> Floats:
    """How much each band counts: n^-1.25 + 0.25 (Chen 2015)."""
    weights: Floats = np.arange(1.0, bands + 1.0) ** -1.25 + 0.25
    return weights


def sines(hz: float, rate_hz: float, samples: int, harmonics: int) -> Floats:
    """Sine and cosine of each harmonic below half the rate, shape (2 x harmonics, samples)."""
    times = np.arange(samples) / rate_hz
    kept = [k for k in range(1, harmonics + 1) if k * hz < 0.5 * rate_hz]
    angles = [2.0 * np.pi * k * hz * times for k in kept]
    return np.stack([wave(angle) for angle in angles for wave in (np.sin, np.cos)])


class CanonicalCorrelation(ClassifierMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Canonical correlation with sines (Lin 2006), over a filter bank where given (Chen 2015).

    Parameters
    ----------
    frequencies_hz : sequence of float
        What flickers.
    rate_hz : float
    harmonics : int
    pairs : int
        How many canonical correlations :meth:`transform` gives for each frequency and band. The
        decision uses the first, as in both papers.
    """

    def __init__(
        self,
        frequencies_hz: Sequence[float] = (),
        rate_hz: float = 256.0,
        harmonics: int = HARMONICS,
        pairs: int = 1,
    ) -> None:
        self.frequencies_hz = frequencies_hz
        self.rate_hz = rate_hz
        self.harmonics = harmonics
        self.pairs = pairs

    def fit(self, windows: ArrayLike | None = None, labels: Any = None) -> Self:
        """Nothing is learned: the classes are the frequencies."""
        self.classes_ = np.sort(np.asarray(self.frequencies_hz, dtype=np.float64))
        if len(self.classes_) < 2:
            raise TooLittleToLearn(
                what="a choice", found=f"{len(self.classes_)} frequencies", needed="two"
            )
        return self

    def transform(self, windows: ArrayLike) -> Floats:
        """Correlations, shape (windows, bands x pairs x frequencies)."""
        found = self._correlations(banded(windows))
        return found.reshape(len(found), -1)

    def decision_function(self, windows: ArrayLike) -> Floats:
        """The weighted squared correlation with each frequency, shape (windows, classes)."""
        found = self._correlations(banded(windows))[:, :, 0]
        weighted: Floats = np.einsum("b,wbf->wf", bank_weights(found.shape[1]), found**2)
        return weighted

    def predict(self, windows: ArrayLike) -> Labels:
        """The frequency of the largest correlation."""
        found: Labels = self.classes_[self.decision_function(windows).argmax(axis=1)]
        return found

    def _correlations(self, array: Floats) -> Floats:
        """Shape (windows, bands, pairs, frequencies)."""
        check_is_fitted(self)
        basis = _orthonormal(array)
        references = [
            _orthonormal(sines(hz, self.rate_hz, array.shape[-1], self.harmonics))
            for hz in self.classes_
        ]
        values = [
            np.linalg.svd(basis.swapaxes(-1, -2) @ reference, compute_uv=False)[..., : self.pairs]
            for reference in references
        ]
        return np.stack(values, axis=-1)


class ExtendedCorrelation(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Canonical correlation with sines and with the patient's own mean answer (Nakanishi 2015).

    Needs a flicker whose phase is the same at each trial's beginning.
    """

    def __init__(self, rate_hz: float = 256.0, harmonics: int = HARMONICS) -> None:
        self.rate_hz = rate_hz
        self.harmonics = harmonics

    def fit(self, windows: ArrayLike, labels: ArrayLike) -> Self:
        """Average the trials of each frequency."""
        array, targets = banded(windows), np.asarray(labels, dtype=np.float64)
        self.classes_ = _frequencies(targets)
        self.templates_ = np.stack([array[targets == hz].mean(axis=0) for hz in self.classes_])
        return self

    def decision_function(self, windows: ArrayLike) -> Floats:
        """The sum of signed squared correlations, shape (windows, classes)."""
        check_is_fitted(self)
        array = _centred(banded(windows))
        weights = bank_weights(array.shape[1])
        scores = np.zeros((len(array), len(self.classes_)))
        for column, hz in enumerate(self.classes_):
            reference = sines(hz, self.rate_hz, array.shape[-1], self.harmonics)
            for band, weight in enumerate(weights):
                template = _centred(self.templates_[column, band])
                for row, window in enumerate(array[:, band]):
                    scores[row, column] += weight * _extended(window, template, reference)
        return scores

    def predict(self, windows: ArrayLike) -> Labels:
        """The frequency of the largest score."""
        found: Labels = self.classes_[self.decision_function(windows).argmax(axis=1)]
        return found


class TaskRelatedComponents(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Task-related component analysis over a filter bank (Nakanishi 2018).

    Finds the directions whose signal repeats from trial to trial. Needs a flicker whose phase is
    the same at each trial's beginning. With ``ensemble``, the filters of all frequencies are used
    for each.
    """

    def __init__(self, ensemble: bool = True) -> None:
        self.ensemble = ensemble

    def fit(self, windows: ArrayLike, labels: ArrayLike) -> Self:
        """One spatial filter and one template for each frequency and band."""
        array, targets = _centred(banded(windows)), np.asarray(labels, dtype=np.float64)
        self.classes_ = _frequencies(targets)
        groups = [array[targets == hz] for hz in self.classes_]
        self.templates_ = np.stack([group.mean(axis=0) for group in groups])
        self.filters_ = np.stack(
            [[_task_filter(group[:, band]) for group in groups] for band in range(array.shape[1])]
        )
        return self

    def decision_function(self, windows: ArrayLike) -> Floats:
        """The weighted squared correlation with each template, shape (windows, classes)."""
        check_is_fitted(self)
        array = _centred(banded(windows))
        scores = np.zeros((len(array), len(self.classes_)))
        for band, weight in enumerate(bank_weights(array.shape[1])):
            for column in range(len(self.classes_)):
                chosen = self.filters_[band] if self.ensemble else self.filters_[band, [column]]
                seen = (chosen @ array[:, band]).reshape(len(array), -1)
                template = (chosen @ self.templates_[column, band]).ravel()
                scores[:, column] += weight * _signed_square(_correlation(seen, template))
        return scores

    def predict(self, windows: ArrayLike) -> Labels:
        """The frequency of the largest score."""
        found: Labels = self.classes_[self.decision_function(windows).argmax(axis=1)]
        return found


class TaskDiscriminantComponents(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Task-discriminant component analysis (Liu 2021, doi 10.1109/TNSRE.2021.3114340).

    Two-dimensional discriminant analysis over delayed copies of the channels and their projection
    on the sines. Needs a flicker whose phase is the same at each trial's beginning.
    """

    def __init__(
        self,
        rate_hz: float = 256.0,
        harmonics: int = HARMONICS,
        delays: int = 3,
        components: int = 4,
    ) -> None:
        self.rate_hz = rate_hz
        self.harmonics = harmonics
        self.delays = delays
        self.components = components

    def fit(self, windows: ArrayLike, labels: ArrayLike) -> Self:
        """Filters that all frequencies share, and templates."""
        array, targets = banded(windows), np.asarray(labels, dtype=np.float64)
        self.classes_ = _frequencies(targets)
        self.filters_, self.templates_ = [], []
        for band in range(array.shape[1]):
            groups = [self._augmented(array[targets == hz, band], hz) for hz in self.classes_]
            means = np.stack([group.mean(axis=0) for group in groups])
            found = _discriminant_filters(groups, means, self.components)
            self.filters_.append(found)
            self.templates_.append(found @ means)
        return self

    def decision_function(self, windows: ArrayLike) -> Floats:
        """The weighted squared correlation with each template, shape (windows, classes)."""
        check_is_fitted(self)
        array = banded(windows)
        scores = np.zeros((len(array), len(self.classes_)))
        for band, weight in enumerate(bank_weights(array.shape[1])):
            for column, hz in enumerate(self.classes_):
                seen = self.filters_[band] @ self._augmented(array[:, band], hz)
                template = self.templates_[band][column].ravel()
                value = _correlation(seen.reshape(len(array), -1), template)
                scores[:, column] += weight * _signed_square(value)
        return scores

    def predict(self, windows: ArrayLike) -> Labels:
        """The frequency of the largest score."""
        found: Labels = self.classes_[self.decision_function(windows).argmax(axis=1)]
        return found

    def _augmented(self, windows: Floats, hz: float) -> Floats:
        """Delayed copies, beside them their projection on the sines of one frequency."""
        samples = windows.shape[-1]
        padded = np.pad(windows, ((0, 0), (0, 0), (0, self.delays)))
        copies = [padded[..., k : k + samples] for k in range(self.delays + 1)]
        stacked = _centred(np.concatenate(copies, axis=-2))
        basis = _orthonormal(sines(hz, self.rate_hz, samples, self.harmonics))
        return np.concatenate([stacked, stacked @ basis @ basis.T], axis=-1)


class NarrowTangent(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Bands around the frequencies, joined as one covariance, in tangent space (Kalunga 2016)."""

    def fit(self, windows: ArrayLike, labels: Any = None) -> Self:
        """Find the mean."""
        self.tangent_ = Tangent().fit(self._joined(windows))
        return self

    def transform(self, windows: ArrayLike) -> Floats:
        """Shape (windows, n (n + 1) / 2), n = bands x channels."""
        check_is_fitted(self)
        return self.tangent_.transform(self._joined(windows))

    def _joined(self, windows: ArrayLike) -> Floats:
        array = banded(windows)
        return shrunk_covariances(array.reshape(len(array), -1, array.shape[-1]))


class Bands(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Some of the bands of a bank: those from ``first`` until ``end``."""

    def __init__(self, first: int = 0, end: int | None = None) -> None:
        self.first = first
        self.end = end

    def fit(self, windows: ArrayLike, labels: Any = None) -> Self:
        """Nothing is learned."""
        self.fitted_ = True
        return self

    def transform(self, windows: ArrayLike) -> Floats:
        """Shape (windows, chosen bands, channels, samples)."""
        return banded(windows)[:, self.first : self.end]


class WithRest(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A decoder of frequencies that answers rest unless one stands out.

    The threshold lies on how far the best score is above the second. It is given, or learned: the
    value that ``false_share`` of the rest windows exceed.
    """

    def __init__(
        self, decoder: Any = None, threshold: float | None = None, false_share: float = 0.05
    ) -> None:
        self.decoder = decoder
        self.threshold = threshold
        self.false_share = false_share

    def fit(self, windows: ArrayLike, labels: ArrayLike) -> Self:
        """Learn the decoder from the flickers and the threshold from rest."""
        array, targets = banded(windows), np.asarray(labels, dtype=np.float64)
        rest = targets == REST_HZ
        self.decoder_ = clone(self.decoder).fit(array[~rest], targets[~rest])
        self.threshold_ = self.threshold
        if self.threshold_ is None:
            if not rest.any():
                raise TooLittleToLearn(what="a threshold", found="no window of rest", needed="some")
            margins = self._margins(self.decoder_.decision_function(array[rest]))
            self.threshold_ = float(np.quantile(margins, 1.0 - self.false_share))
        self.classes_ = np.concatenate([[REST_HZ], self.decoder_.classes_])
        return self

    def decision_function(self, windows: ArrayLike) -> Floats:
        """Scores above the second best; rest has the threshold. Shape (windows, classes)."""
        check_is_fitted(self)
        scores = self.decoder_.decision_function(windows)
        raised = scores - np.sort(scores, axis=1)[:, [-2]]
        return np.concatenate([np.full((len(scores), 1), self.threshold_), raised], axis=1)

    def predict(self, windows: ArrayLike) -> Labels:
        """A frequency, or rest."""
        found: Labels = self.classes_[self.decision_function(windows).argmax(axis=1)]
        return found

    @staticmethod
    def _margins(scores: Floats) -> Floats:
        ordered = np.sort(scores, axis=1)
        margins: Floats = ordered[:, -1] - ordered[:, -2]
        return margins


def calibrated_decoder(frequencies_hz: Sequence[float], rate_hz: float) -> VotingClassifier:
    """What a session uses once it is calibrated, with rest as a class like the others.

    Windows hold the bands of :func:`bank_hz` and, after them, those of :func:`narrow_hz`. The mean
    probability of two regressions: on canonical correlations, which need no phase to repeat, and on
    the tangent space of covariances around each frequency, which learns where the patient answers.
    """
    bank = len(bank_hz(rate_hz))
    correlations = make_pipeline(
        Bands(0, bank),
        CanonicalCorrelation(tuple(frequencies_hz), rate_hz, pairs=2),
        StandardScaler(),
        LogisticRegression(C=0.1, max_iter=1000),
    )
    covariances = make_pipeline(
        Bands(bank), NarrowTangent(), LogisticRegression(C=0.1, max_iter=1000)
    )
    return VotingClassifier(
        [("correlations", correlations), ("covariances", covariances)], voting="soft"
    )


def _frequencies(targets: Floats) -> Floats:
    """The classes; a template needs some trials of each."""
    classes, counts = np.unique(targets, return_counts=True)
    if len(classes) < 2 or counts.min() < 2:
        raise TooLittleToLearn(
            what="templates",
            found=", ".join(f"{n} of {hz:g} Hz" for hz, n in zip(classes, counts, strict=True)),
            needed="two trials each of two frequencies",
        )
    return np.asarray(classes)


def _centred(array: Floats) -> Floats:
    centred: Floats = array - array.mean(axis=-1, keepdims=True)
    return centred


def _orthonormal(rows: Floats) -> Floats:
    """An orthonormal basis of the span of the rows, as columns, shape (..., samples, rows)."""
    basis: Floats = np.linalg.qr(_centred(rows).swapaxes(-1, -2))[0]
    return basis


def _correlation(rows: Floats, template: Floats) -> Floats:
    """The correlation of each row with the template."""
    centred, reference = _centred(rows), template - template.mean()
    norms = np.linalg.norm(centred, axis=-1) * np.linalg.norm(reference)
    values: Floats = centred @ reference / np.maximum(norms, np.finfo(np.float64).tiny)
    return values


def _signed_square(values: Floats) -> Floats:
    squared: Floats = np.sign(values) * values**2
    return squared


def _task_filter(trials: Floats) -> Floats:
    """The direction of largest covariance between trials against that within, shape (channels,)."""
    total = trials.sum(axis=0)
    within = np.einsum("tcs,tds->cd", trials, trials)
    between = total @ total.T - within
    found: Floats = _leading(between, within, 1)[0]
    return found


def _discriminant_filters(groups: list[Floats], means: Floats, components: int) -> Floats:
    """Directions that tell the classes' means apart, shape (components, rows)."""
    spread = means - means.mean(axis=0)
    between = np.einsum("kcs,kds->cd", spread, spread) / len(groups)
    within = np.zeros_like(between)
    for group, mean in zip(groups, means, strict=True):
        deviation = group - mean
        within += np.einsum("tcs,tds->cd", deviation, deviation) / len(group)
    return _leading(between, within / len(groups), min(components, len(between)))


def _leading(wanted: Floats, unwanted: Floats, count: int) -> Floats:
    """Leading generalised eigenvectors as rows; a little ridge, as channels may be dependent."""
    ridge = 1e-3 * np.trace(unwanted) / len(unwanted) * np.eye(len(unwanted))
    vectors = eigh(wanted, unwanted + ridge)[1]
    leading: Floats = vectors[:, ::-1][:, :count].T
    return leading


def _canonical_directions(left: Floats, right: Floats) -> tuple[Floats, Floats]:
    """The first pair of canonical directions of two sets of rows."""
    left_basis, left_factor = np.linalg.qr(_centred(left).T)
    right_basis, right_factor = np.linalg.qr(_centred(right).T)
    u, _, vt = np.linalg.svd(left_basis.T @ right_basis)
    return (
        np.linalg.lstsq(left_factor, u[:, 0], rcond=None)[0],
        np.linalg.lstsq(right_factor, vt[0], rcond=None)[0],
    )


def _extended(window: Floats, template: Floats, reference: Floats) -> float:
    """The five correlations of Nakanishi 2015, their signed squares summed."""
    to_sines, of_sines = _canonical_directions(window, reference)
    to_template, of_template = _canonical_directions(window, template)
    template_to_sines, _ = _canonical_directions(template, reference)
    pairs = (
        (to_sines @ window, of_sines @ reference),
        (to_template @ window, to_template @ template),
        (to_sines @ window, to_sines @ template),
        (template_to_sines @ window, template_to_sines @ template),
        (to_template @ template, of_template @ template),
    )
    values = np.array([_correlation(left[None], right)[0] for left, right in pairs])
    return float(_signed_square(values).sum())
