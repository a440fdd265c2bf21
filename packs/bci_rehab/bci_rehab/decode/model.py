"""A decoder as a file: what was learned, and all that must be known before it drives anything.

The file is a zip of ``manifest.json`` and the estimator in the format of skops, which unlike a
pickle can only make objects of types that are named here. The manifest holds the estimator's hash,
and is itself named by the hash of the whole file, which the registry and the session's log keep.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import skops.io
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict, ValidationError
from scipy.stats import binom
from sklearn.base import clone

from bci_rehab.decode.covariance import Floats, banded, log_probabilities
from bci_rehab.decode.following import fitted as taught
from bci_rehab.errors import (
    CalibrationChanged,
    DecoderDamaged,
    DecoderMismatch,
    TooLittleToLearn,
)
from bci_rehab.signal.blocks import ChannelKind, StreamInfo

FORMAT = 2
BYTES_LIMIT = 256 * 2**20
_MANIFEST, _ESTIMATOR = "manifest.json", "estimator.skops"
# Types outside of scikit-learn, SciPy and NumPy that a decoder is made of.
_TRUSTED = ("bci_rehab.decode.", "pyriemann.")


class Accuracy(BaseModel):
    """How well a method predicts trials of runs that it did not learn from.

    ``chance_bound`` is the accuracy that a guesser stays below in 95 of 100 such tests (Combrisson
    and Jerbi 2015). ``confidence`` is the share of guessers that would have done worse.
    """

    model_config = ConfigDict(frozen=True)

    value: float
    standard_error: float
    trials: int
    chance: float
    chance_bound: float
    confidence: float

    @property
    def above_chance(self) -> bool:
        """Whether guessing is no explanation."""
        return self.value > self.chance_bound


class Calibration(BaseModel):
    """What of a recording was learned from: its first ``length`` bytes, and their hash.

    A decoder is fitted while its session goes on being recorded; the closed file begins with the
    same bytes.
    """

    model_config = ConfigDict(frozen=True)

    sha256: str
    length: int

    def check(self, path: Path) -> None:
        """Refuse a file that does not begin with what was learned from.

        Raises
        ------
        CalibrationChanged
            Or one that is not there.
        """
        if not path.is_file():
            raise CalibrationChanged(path=str(path))
        with path.open("rb") as file:
            digest = hashlib.sha256(file.read(self.length)).hexdigest()
        if digest != self.sha256:
            raise CalibrationChanged(path=str(path))


class Gathering(BaseModel):
    """By which rule a session gathers a decoder's evidence, as it was calibrated.

    ``threshold`` is in natural log-odds; the times are those of :class:`evidence.Rule`.
    """

    model_config = ConfigDict(frozen=True)

    threshold: float
    half_life_s: float
    refractory_s: float
    gap_s: float


class Manifest(BaseModel):
    """What a decoder is, what it learned from, and which source it fits.

    ``bands_hz`` are those of the filter bank in front of it, empty for none; ``window_s`` is the
    length of what it decides on. ``following`` is how evidence is gathered while its mean follows
    the signal, ``held`` while it stays at that of calibration; None for a decoder that drives
    nothing. ``follows`` is what did better in calibration.
    """

    model_config = ConfigDict(frozen=True)

    format: int = FORMAT
    method: str
    version: str
    classes: tuple[str, ...]
    rate_hz: float
    channels: tuple[str, ...]
    bands_hz: tuple[tuple[float, float], ...]
    window_s: float
    calibration: tuple[Calibration, ...]
    accuracy: Accuracy
    following: Gathering | None = None
    held: Gathering | None = None
    follows: bool = True
    estimator_sha256: str = ""


@dataclass(frozen=True, kw_only=True)
class Decoder:
    """A fitted estimator with its manifest; ``sha256`` names the file it came from or went to."""

    manifest: Manifest
    estimator: Any
    sha256: str = ""

    def check(self, info: StreamInfo) -> None:
        """Refuse a source other than the one it was made for.

        Raises
        ------
        DecoderMismatch
            Another rate, other channels, or the same ones in another order: a decoder would answer
            all the same, and wrongly.
        """
        name = f"{self.manifest.method} {self.manifest.version}"
        if info.rate_hz != self.manifest.rate_hz:
            raise DecoderMismatch(
                decoder=name,
                field="a rate of",
                expected=f"{self.manifest.rate_hz:g} Hz",
                found=f"{info.rate_hz:g} Hz",
            )
        found = info.named(ChannelKind.EEG)
        if found != self.manifest.channels:
            raise DecoderMismatch(
                decoder=name,
                field="the channels",
                expected=", ".join(self.manifest.channels),
                found=", ".join(found),
            )

    def log_probabilities(self, windows: ArrayLike) -> Floats:
        """Shape (windows, classes), in the order of the manifest's classes."""
        array = banded(windows)
        expected = (max(1, len(self.manifest.bands_hz)), len(self.manifest.channels))
        if array.shape[1:3] != expected:
            raise DecoderMismatch(
                decoder=f"{self.manifest.method} {self.manifest.version}",
                field="bands by channels",
                expected=f"{expected[0]} by {expected[1]}",
                found=f"{array.shape[1]} by {array.shape[2]}",
            )
        return log_probabilities(self.estimator, array)


def save(decoder: Decoder, path: Path) -> Decoder:
    """Write a decoder; give it back with its hashes."""
    classes = tuple(str(label) for label in decoder.estimator.classes_)
    if classes != decoder.manifest.classes:
        raise DecoderMismatch(
            decoder=decoder.manifest.method,
            field="the classes",
            expected=", ".join(decoder.manifest.classes),
            found=", ".join(classes),
        )
    estimator = skops.io.dumps(decoder.estimator)
    digest = hashlib.sha256(estimator).hexdigest()
    manifest = decoder.manifest.model_copy(update={"estimator_sha256": digest})
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_MANIFEST, manifest.model_dump_json(indent=1))
        archive.writestr(_ESTIMATOR, estimator)
    whole = buffer.getvalue()
    path.write_bytes(whole)
    return Decoder(
        manifest=manifest,
        estimator=decoder.estimator,
        sha256=hashlib.sha256(whole).hexdigest(),
    )


def load(path: Path, *, sha256: str | None = None) -> Decoder:
    """Read a decoder.

    Parameters
    ----------
    sha256 : str, optional
        What the registry says of the whole file.

    Raises
    ------
    DecoderDamaged
        Another hash, a file that is none of ours, or one that would make foreign objects.
    """
    if path.stat().st_size > BYTES_LIMIT:
        raise DecoderDamaged(path=str(path), reason=f"it is larger than {BYTES_LIMIT} bytes")
    whole = path.read_bytes()
    digest = hashlib.sha256(whole).hexdigest()
    if sha256 is not None and digest != sha256:
        raise DecoderDamaged(path=str(path), reason=f"its SHA-256 is {digest}, not {sha256}")
    try:
        with zipfile.ZipFile(io.BytesIO(whole)) as archive:
            manifest = Manifest.model_validate_json(archive.read(_MANIFEST))
            estimator = archive.read(_ESTIMATOR)
    except (zipfile.BadZipFile, KeyError, ValidationError) as error:
        raise DecoderDamaged(path=str(path), reason="it is no decoder, or a damaged one") from error
    if manifest.format != FORMAT:
        raise DecoderDamaged(
            path=str(path), reason=f"its format is {manifest.format}, and {FORMAT} is known"
        )
    if hashlib.sha256(estimator).hexdigest() != manifest.estimator_sha256:
        raise DecoderDamaged(
            path=str(path), reason="its estimator is not the one it was saved with"
        )
    unknown = skops.io.get_untrusted_types(data=estimator)
    foreign = [name for name in unknown if not name.startswith(_TRUSTED)]
    if foreign:
        raise DecoderDamaged(
            path=str(path), reason=f"it would make objects of {', '.join(sorted(foreign))}"
        )
    return Decoder(
        manifest=manifest,
        estimator=skops.io.loads(estimator, trusted=unknown),
        sha256=digest,
    )


def cross_validated(
    estimator: Any, windows: ArrayLike, labels: ArrayLike, trials: ArrayLike, runs: ArrayLike
) -> Accuracy:
    """Accuracy per trial with one run left out at a time."""
    array, targets, folds = banded(windows), np.asarray(labels), np.asarray(runs)
    if len(np.unique(folds)) < 2:
        raise TooLittleToLearn(what="an accuracy", found="one run", needed="at least two runs")
    classes = np.unique(targets)
    said = np.empty((len(targets), len(classes)))
    for fold in np.unique(folds):
        test = folds == fold
        fitted = taught(clone(estimator), array[~test], targets[~test], folds[~test])
        said[test] = log_probabilities(fitted, array[test])
    return trial_accuracy(said, classes, targets, trials)


def trial_accuracy(
    logarithms: Floats, classes: ArrayLike, labels: ArrayLike, trials: ArrayLike
) -> Accuracy:
    """Accuracy per trial of what was said of windows that were not learned from.

    Trials are counted, not windows: windows of one trial overlap and would feign certainty. The
    windows of a trial are combined by the mean of their log-probabilities, which have the shape
    (windows, classes).
    """
    names, targets, columns = np.asarray(trials), np.asarray(labels), np.asarray(classes)
    right, wanted = [], []
    for trial in np.unique(names):
        of_trial = names == trial
        wanted.append(targets[of_trial][0])
        answer = columns[logarithms[of_trial].mean(axis=0).argmax()]
        right.append(bool(answer == wanted[-1]))
    _, counts = np.unique(wanted, return_counts=True)
    return accuracy(sum(right), len(right), chance=float(counts.max() / counts.sum()))


def accuracy(right: int, trials: int, *, chance: float) -> Accuracy:
    """An accuracy with its error and the bound of chance.

    ``chance`` is the share of the most frequent class: what a guesser who knows it would reach.
    """
    if not 0 <= right <= trials or trials < 1 or not 0 < chance < 1:
        raise ValueError("right answers are among the trials, and chance between 0 and 1")
    value = right / trials
    return Accuracy(
        value=value,
        standard_error=float(np.sqrt(value * (1.0 - value) / trials)),
        trials=trials,
        chance=chance,
        chance_bound=float(binom.ppf(0.95, trials, chance)) / trials,
        confidence=float(binom.cdf(right - 1, trials, chance)),
    )
