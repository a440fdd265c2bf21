"""A motor decoder left alone with a whole recording, rest included: what it would have triggered.

One run is left out at a time. The decoder learns rest and movements from the other runs of the same
task; the threshold of its evidence is set on the rest in the subject's runs of other tasks, from
which it learned nothing. Then the run that was left out comes as one continuous stream through the
live decoder. Nothing here scores: it hands windows, trials and triggers to the platform.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bci_rehab.decode import evidence, recordings
from bci_rehab.decode.covariance import Floats, Labels
from bci_rehab.decode.following import BANDS_HZ, FollowingTangent
from bci_rehab.decode.recordings import Cut, Source
from bci_rehab.decode.settings import CONFIDENCE, WINDOW_S
from bci_rehab.errors import TooLittleToLearn
from bci_rehab.session.motor_live import session_model, stream_decoder
from bci_rehab.signal.blocks import Block, Channel, StreamInfo
from haihe.packs import RawStream, Trial

REST = "rest"
TRIAL_S = 4.1
# From when the cue has been read; rest from when the rhythms have come back.
READ_S, RETURNED_S = 0.5, 1.0
LEARN_STEP_S = 0.25
WANTED_PER_MIN = 2.0
# A window that ends within its own length behind a trial still holds some of it.
GRACE_S = WINDOW_S
# PhysioNet's runs with trials: 3 to 14.
RUNS = tuple(range(3, 15))


@dataclass(frozen=True, kw_only=True)
class Streamed:
    """One run as a stream, and what its decoder was calibrated to."""

    raw: RawStream
    calibrated: evidence.Calibrated


@dataclass(frozen=True, kw_only=True)
class _Spoken:
    """Windows of a stream: end, whether clean, log-odds of each movement, most probable class."""

    ends_s: Floats
    clean: Labels
    log_odds: Floats
    said: Labels


def streamed(
    folder: Path, runs: Sequence[int], names: dict[str, str], *, wanted_per_min: float
) -> Iterator[Streamed]:
    """Each of ``runs`` of each subject, left out and streamed.

    Raises
    ------
    TooLittleToLearn
        A subject has fewer than two of the runs, or too little rest in others.
    """
    asked = recordings.sensorimotor(list(recordings.motor(folder, runs, names)))
    beside = tuple(run for run in RUNS if run not in runs)
    resting = recordings.sensorimotor(list(recordings.motor(folder, beside, names)))
    for subject in sorted({source.subject for source in asked}):
        own = [source for source in asked if source.subject == subject]
        if len(own) < 2:
            raise TooLittleToLearn(
                what=f"a decoder of {subject}", found="one run", needed="at least two"
            )
        idle = [source for source in resting if source.subject == subject]
        for left_out in own:
            others = [source for source in own if source is not left_out]
            yield _left_out(left_out, others, idle, wanted_per_min)


def _left_out(
    source: Source, others: Sequence[Source], resting: Sequence[Source], wanted_per_min: float
) -> Streamed:
    model = _learned(others)
    movements = tuple(str(name) for name in model.classes_ if name != REST)
    idle = [stretch for one in resting for stretch in _at_rest(_spoken(model, one), one)]
    rule = evidence.Rule(classes=movements, threshold=1.0)
    calibrated = evidence.calibrate(
        rule, idle, wanted_per_min=wanted_per_min, confidence=CONFIDENCE
    )
    spoken = _spoken(model, source)
    triggers = evidence.run(calibrated.rule, spoken.log_odds, spoken.ends_s, spoken.clean)
    raw = RawStream(
        name=source.name,
        duration_s=len(source.samples) / source.rate_hz,
        truth=_truth(source, spoken.ends_s),
        predicted=spoken.said,
        trials=[
            Trial(begin_s=begin_s, end_s=end_s, label=label)
            for begin_s, end_s, label in _trials(source)
        ],
        triggers=[(trigger.at_s, trigger.label) for trigger in triggers],
    )
    return Streamed(raw=raw, calibrated=calibrated)


def _learned(sources: Sequence[Source]) -> FollowingTangent:
    """Rest and movements of whole recordings, by windows that lie within one of them."""
    windows, labels, runs = [], [], []
    for source in sources:
        filtered = recordings.filtered(source, BANDS_HZ)
        length = round(WINDOW_S * source.rate_hz)
        for start_s, label in _lessons(source):
            start = round(start_s * source.rate_hz)
            windows.append(filtered[..., start : start + length])
            labels.append(label)
            runs.append(source.name)
    return session_model().fit(np.stack(windows), np.array(labels), np.array(runs))


def _lessons(source: Source) -> Iterator[tuple[float, str]]:
    """Where windows to learn from begin (s), and what they hold."""
    ends_s = len(source.samples) / source.rate_hz
    for begin_s, end_s, label in _trials(source):
        yield from ((at_s, label) for at_s in _starts(begin_s + READ_S, min(end_s, ends_s)))
    for begin_s, end_s in _rests(source):
        yield from ((at_s, REST) for at_s in _starts(begin_s + RETURNED_S, end_s))


def _starts(begin_s: float, end_s: float) -> Iterator[float]:
    if end_s - begin_s >= WINDOW_S:
        part = Cut(begin_s=begin_s, end_s=end_s, length_s=WINDOW_S, hop_s=LEARN_STEP_S)
        yield from (start / 1_000.0 for start in part.starts(0, 1_000.0))


def _trials(source: Source) -> list[tuple[float, float, str]]:
    return [
        (onset / source.rate_hz, onset / source.rate_hz + TRIAL_S, str(label))
        for onset, label in source.trials
    ]


def _rests(source: Source) -> list[tuple[float, float]]:
    """From each trial's end to the next cue, and before the first and behind the last."""
    ends_s = len(source.samples) / source.rate_hz
    trials = _trials(source)
    begins = [0.0, *(end_s for _, end_s, _ in trials)]
    ends = [*(begin_s for begin_s, _, _ in trials), ends_s]
    return [(begin, end) for begin, end in zip(begins, ends, strict=True) if end > begin]


def _spoken(model: FollowingTangent, source: Source) -> _Spoken:
    """The recording pushed through the live decoder, in blocks as an amplifier gives."""
    info = StreamInfo(
        name=source.name,
        source_id=source.name,
        rate_hz=source.rate_hz,
        channels=tuple(Channel(name=name) for name in source.channels),
    )
    decoder, size = stream_decoder(info, model), max(1, round(0.02 * source.rate_hz))
    decided = []
    for first in range(0, len(source.samples), size):
        samples = source.samples[first : first + size]
        times = np.arange(first, first + len(samples)) / source.rate_hz
        decided += decoder.push(Block(first=first, samples=samples, device_s=times, host_s=0.0))
    classes = tuple(map(str, model.classes_))
    table = np.array([[odds[name] for name in classes] for _, odds, _ in decided])
    return _Spoken(
        ends_s=np.array([end for end, _, _ in decided]) / source.rate_hz,
        clean=np.array([clean for _, _, clean in decided]),
        log_odds=table[:, [index for index, name in enumerate(classes) if name != REST]],
        said=np.array(classes)[table.argmax(axis=1)],
    )


def _at_rest(spoken: _Spoken, source: Source) -> list[tuple[list[list[float]], list[float]]]:
    """Log-odds and times of the windows that end in rest, stretch by stretch.

    A stretch begins as the scored rest does: a trigger in the grace after a trial is the trial's.
    """
    stretches = []
    for begin_s, end_s in _rests(source):
        since_s = begin_s + (GRACE_S if begin_s > 0.0 else 0.0)
        inside = (spoken.ends_s > since_s) & (spoken.ends_s <= end_s) & spoken.clean
        if inside.any():
            stretches.append((spoken.log_odds[inside].tolist(), spoken.ends_s[inside].tolist()))
    return stretches


def _truth(source: Source, ends_s: Floats) -> Labels:
    """What most of each window was: a movement, or rest."""
    truth = np.full(len(ends_s), REST, dtype=object)
    middles_s = ends_s - WINDOW_S / 2.0
    for begin_s, end_s, label in _trials(source):
        truth[(middles_s >= begin_s) & (middles_s < end_s)] = label
    return truth.astype(str)
