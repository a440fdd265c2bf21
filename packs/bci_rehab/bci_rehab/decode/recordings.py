"""Folders of public recordings, cut into labelled windows for the off-line tasks.

Files are found by their names, so that other subjects in the same layout can be put through the
same tasks. Only EEG channels are kept: a stimulus channel would tell the labels. A file that the
authors exclude (``EXCLUDED`` in its name) is left out, and so is a byte-for-byte copy of another,
which would be counted twice or stand on both sides of a split.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy import signal as sps

from bci_rehab.decode.covariance import Floats, Labels
from bci_rehab.decode.ssvep import REST_HZ
from bci_rehab.errors import FolderUnsuitable
from bci_rehab.signal import layout
from bci_rehab.signal.blocks import ChannelKind
from bci_rehab.signal.files import read
from bci_rehab.signal.filters import FilterBank
from bci_rehab.signal.pieces import Piece

Bands = tuple[tuple[float, float], ...]

FILES_LIMIT = 10_000
# How much later a session has an evoked potential, for the filter.
SMOOTHING_S, BAND_PASS_S = 0.1, 1.65
# The exoskeleton's events: which light the patient was told to look at, and when the lights began.
_EXO_HZ = {33024: REST_HZ, 33025: 13.0, 33026: 21.0, 33027: 17.0}
_EXO_LIGHTS_ON = 32779
# Its amplitudes, band-passed, are some thousandths: of a millivolt, as occipital EEG has.
_EXO_UV_PER_UNIT = 1e3
_MUSE_CHANNELS = ("TP9", "AF7", "AF8", "TP10")
_MUSE_TARGET = 2


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Labelled windows of one subject.

    Attributes
    ----------
    samples : ndarray, shape (windows, bands, channels, samples)
        Microvolts.
    labels : ndarray, shape (windows,)
    trials : ndarray of str, shape (windows,)
        The trial that a window was cut from.
    folds : ndarray of str, shape (windows,)
        The recording: what is left out together.
    ids : ndarray of str, shape (windows,)
        Unique.
    subject : str
    rate_hz : float
    """

    samples: Floats
    labels: Labels
    trials: Labels
    folds: Labels
    ids: Labels
    subject: str
    rate_hz: float


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Which part of a trial is used: windows of ``length_s`` from ``begin_s`` after the cue, one
    every ``hop_s``, the last ending by ``end_s``.
    """

    begin_s: float
    end_s: float
    length_s: float
    hop_s: float = 1.0

    def starts(self, onset: int, rate_hz: float) -> list[int]:
        """The first samples of the windows of a trial."""
        last = self.end_s - self.length_s
        count = int(np.floor((last - self.begin_s) / self.hop_s + 1e-9)) + 1
        return [onset + round((self.begin_s + k * self.hop_s) * rate_hz) for k in range(count)]


@dataclass(frozen=True, kw_only=True)
class Source:
    """One recording: samples of shape (samples, channels) and the trials' (onset, label).

    ``channels`` are the columns' names, where the file has some that say where electrodes sit.
    """

    subject: str
    name: str
    rate_hz: float
    samples: Floats
    trials: tuple[tuple[int, object], ...]
    channels: tuple[str, ...] = ()


def motor(folder: Path, runs: Sequence[int], names: dict[str, str]) -> Iterator[Source]:
    """PhysioNet's motor runs: ``S<subject>R<run>.edf``; ``names`` gives T1 and T2 their meaning."""
    for path, found in _files(folder, r"S(\d+)R(\d+)\.edf"):
        if int(found[2]) not in runs:
            continue
        recording = read(path)
        trials = tuple(
            (event.onset - recording.first, names[event.label])
            for event in recording.events
            if event.label in names
        )
        yield Source(
            subject=f"S{int(found[1]):03d}",
            name=path.stem,
            rate_hz=recording.info.rate_hz,
            samples=recording.samples[:, recording.info.indices(ChannelKind.EEG)],
            trials=trials,
            channels=recording.info.named(ChannelKind.EEG),
        )


def sensorimotor(sources: Sequence[Source]) -> list[Source]:
    """The same recordings with the electrodes over the sensorimotor cortex only."""
    return [_picked(source, layout.sensorimotor(source.channels)) for source in sources]


def _picked(source: Source, names: tuple[str, ...]) -> Source:
    if len(names) < 2:
        raise FolderUnsuitable(
            folder=source.name, task="any of movement", reason="no two channels lie over the hands"
        )
    columns = [source.channels.index(name) for name in names]
    samples = np.ascontiguousarray(source.samples[:, columns])
    return replace(source, samples=samples, channels=names)


def exoskeleton(folder: Path) -> Iterator[Source]:
    """The SSVEP exoskeleton's sessions: ``subject<nn>_<date>.npz``. Onset is when the lights begin,
    which one file in ten has later after the cue than the others.
    """
    for path, found in _files(folder, r"subject(\d+)_.*\.npz"):
        with np.load(path, allow_pickle=False) as stored:
            positions, codes = stored["event_pos"].ravel(), stored["event_type"].ravel()
            trials, told = [], None
            for position, code in zip(positions, codes, strict=True):
                if int(code) in _EXO_HZ:
                    told = _EXO_HZ[int(code)]
                elif code == _EXO_LIGHTS_ON and told is not None:
                    trials.append((int(position), told))
                    told = None
            yield Source(
                subject=f"subject{found[1]}",
                name=path.stem,
                rate_hz=float(stored["sfreq"]),
                samples=np.asarray(stored["signal"], dtype=np.float64) * _EXO_UV_PER_UNIT,
                trials=tuple(trials),
            )


def muse(folder: Path, session: int = 1) -> Iterator[Source]:
    """Muse recordings: ``subject<n>/session<m>/*.csv``, of one session of each subject."""
    for path, found in _files(folder, r".*subject(\d+)/session(\d+)/[^/]+\.csv"):
        if int(found[2]) != session:
            continue
        with path.open(newline="", encoding="utf-8") as lines:
            names = next(csv.reader(lines))
            values = np.loadtxt(lines, delimiter=",", ndmin=2)
        times, markers = values[:, 0], values[:, names.index("Marker")]
        onsets = np.flatnonzero(markers)
        yield Source(
            subject=f"subject{found[1]}",
            name=path.stem,
            # The stamps are rounded to milliseconds; their mean step is not.
            rate_hz=float(round((len(times) - 1) / (times[-1] - times[0]))),
            samples=values[:, [names.index(name) for name in _MUSE_CHANNELS]],
            trials=tuple(
                (int(at), "target" if markers[at] == _MUSE_TARGET else "other") for at in onsets
            ),
        )


def cut(sources: Sequence[Source], bands_hz: Bands, part: Cut) -> list[Windows]:
    """Filter each recording, causally and whole, and cut its trials. One item for each subject."""
    return _gather(sources, [filtered(source, bands_hz) for source in sources], part)


def epochs(
    sources: Sequence[Source], band_hz: tuple[float, float], part: Cut, *, factor: int
) -> list[Windows]:
    """The same for evoked potentials: smoothed with a linear phase, every ``factor``-th sample.

    A potential is told by its shape, which a filter with a curved phase would bend. These are
    symmetric; their delay is taken off the time here, and a session has to wait for it:
    ``SMOOTHING_S`` for a low pass (lower edge 0), ``BAND_PASS_S`` for a band pass, as the plain
    methods want it and as no session could use it.
    """
    smoothed = [_smoothed(source, band_hz) for source in sources]
    return [
        replace(subject, samples=subject.samples[..., ::factor], rate_hz=subject.rate_hz / factor)
        for subject in _gather(sources, smoothed, part)
    ]


def filtered(source: Source, bands_hz: Bands) -> Floats:
    """The live path's filter bank over a whole recording, shape (bands, channels, samples)."""
    count = len(source.samples)
    piece = Piece(
        first=0,
        samples=source.samples,
        usable=np.ones(count, dtype=np.bool_),
        device_s=np.arange(count) / source.rate_hz,
        host_s=0.0,
    )
    banked = FilterBank(source.rate_hz, bands_hz).process(piece).samples
    return np.ascontiguousarray(banked.transpose(1, 2, 0))


def _smoothed(source: Source, band_hz: tuple[float, float]) -> Floats:
    """Shape (1, channels, samples)."""
    low_hz, high_hz = band_hz
    half = round((BAND_PASS_S if low_hz else SMOOTHING_S) * source.rate_hz)
    edges = band_hz if low_hz else high_hz
    taps = sps.firwin(2 * half + 1, edges, pass_zero=not low_hz, fs=source.rate_hz)
    rested = (source.samples - source.samples[0]).T
    whole = sps.fftconvolve(rested, taps[None], axes=-1)
    shifted: Floats = whole[None, :, half : half + rested.shape[-1]]
    return shifted


def _gather(sources: Sequence[Source], banked: Sequence[Floats], part: Cut) -> list[Windows]:
    """Cut filtered recordings of shape (bands, channels, samples), and sort them by subject."""
    subjects: dict[str, list[tuple[Floats, object, str, str, str]]] = {}
    rates: dict[str, float] = {}
    for source, values in zip(sources, banked, strict=True):
        length = round(part.length_s * source.rate_hz)
        rows = subjects.setdefault(source.subject, [])
        rates[source.subject] = source.rate_hz
        for number, (onset, label) in enumerate(source.trials):
            trial = f"{source.subject}/{source.name}/{number}"
            for index, start in enumerate(part.starts(onset, source.rate_hz)):
                # A recording that ends within a trial has no whole window there.
                if start >= 0 and start + length <= values.shape[-1]:
                    window = values[..., start : start + length]
                    rows.append((window, label, trial, source.name, f"{trial}/{index}"))
    return [_joined(subject, rows, rates[subject]) for subject, rows in subjects.items() if rows]


def _joined(
    subject: str, rows: list[tuple[Floats, object, str, str, str]], rate_hz: float
) -> Windows:
    windows, labels, trials, folds, ids = zip(*rows, strict=True)
    return Windows(
        samples=np.stack(windows),
        labels=np.array(labels),
        trials=np.array(trials),
        folds=np.array(folds),
        ids=np.array(ids),
        subject=subject,
        rate_hz=rate_hz,
    )


def _files(folder: Path, pattern: str) -> Iterator[tuple[Path, re.Match[str]]]:
    """Files below a folder whose name or path fits, in order, without excluded ones and copies."""
    if not folder.is_dir():
        raise FolderUnsuitable(folder=str(folder), task="any", reason="it is not a folder")
    seen: set[str] = set()
    for count, path in enumerate(sorted(folder.rglob("*"))):
        if count >= FILES_LIMIT:
            raise FolderUnsuitable(
                folder=str(folder), task="any", reason=f"it holds over {FILES_LIMIT} files"
            )
        tail = path.as_posix() if "/" in pattern else path.name
        found = re.fullmatch(pattern, tail)
        if found is None or "EXCLUDED" in path.name or not path.is_file():
            continue
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if digest not in seen:
            seen.add(digest)
            yield path, found
