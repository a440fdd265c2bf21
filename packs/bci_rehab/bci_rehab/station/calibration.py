"""A decoder from the calibration trials of a recording, with what must be known to accept it.

Windows are cut from the recording as it went through the live path. The accuracy is per trial, with
whole runs left out; the threshold is set on stretches in which the patient wanted nothing, judged
by decoders that had not learnt from their run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import clone

from bci_rehab.decode import evidence
from bci_rehab.decode.covariance import Floats, log_probabilities
from bci_rehab.decode.model import Accuracy, Decoder, Manifest, cross_validated, hashes, save
from bci_rehab.decode.motor import MU_BETA_HZ, default_decoder
from bci_rehab.errors import TooLittleToLearn
from bci_rehab.session import events as ev
from bci_rehab.session.plan import Phase, Segment, SegmentKind, SessionPlan, Side, segments_of
from bci_rehab.session.record_format import Recording, RecordKind, read_recording
from bci_rehab.signal.blocks import ChannelKind
from bci_rehab.station.pathway import STEP_S, WINDOW_S, Filtered, filtered

METHOD = "tangent space"
# The patient needs this long after the cue; the delay of the filters is in it.
REACTION_S = 0.5
# Windows of one trial overlap; closer ones say little that is new.
LEARN_STEP_S = 0.25
FEWEST_TRIALS = 5
# A single run is cut into this many parts, of which each is left out once.
PARTS = 4


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """A part of a calibration, in seconds of the host's clock.

    ``side`` is what was asked for; rest outside of trials has the ``trial`` 0.
    """

    side: Side
    run: int
    trial: int
    begins_s: float
    ends_s: float


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A decoder that was written to ``path``, and what it promises.

    ``hits`` is the share of movement trials that would have triggered at the threshold, of runs
    that the decoder had not seen; ``false_per_min`` the upper bound of false triggers a minute.
    """

    path: Path
    sha256: str
    accuracy: Accuracy
    threshold: float
    hits: float
    false_per_min: float

    def to_json(self) -> dict[str, Any]:
        """What the therapist reads before accepting it."""
        return {
            "file": self.path.name,
            "sha256": self.sha256,
            "method": METHOD,
            "accuracy": self.accuracy.model_dump(),
            "threshold": self.threshold,
            "hits": self.hits,
            "false_per_min": self.false_per_min,
        }


def fit(recording: Path, to: Path, *, wanted_per_min: float, version: str) -> Fitted:
    """Learn from what ``recording`` holds so far, and write the decoder to ``to``.

    Raises
    ------
    TooLittleToLearn
        With how much is there and how much is needed.
    """
    read = read_recording(recording)
    plan = SessionPlan.from_json(read.info["plan"])
    stretches = stretches_of(plan, [ev.event_from(r.body) for r in read.of(RecordKind.EVENT)])
    _enough(plan, stretches)
    cutter = _Cutter(read)
    learnt = cutter.cut([s for s in stretches if s.trial], step_s=LEARN_STEP_S)
    folds = _folds(learnt)
    estimator = default_decoder()
    accuracy = cross_validated(estimator, learnt.windows, learnt.labels, learnt.trials, folds)
    judged = _judged(estimator, learnt, folds, cutter, stretches)
    moves = tuple(str(side) for side in plan.sides if side is not Side.REST)
    rule = evidence.Rule(classes=moves, threshold=1.0)
    idle = [(odds, times) for stretch, odds, times in judged if stretch.side is Side.REST]
    calibrated = evidence.calibrate(rule, idle, wanted_per_min=wanted_per_min)
    hits = _hits(calibrated.rule, judged)
    decoder = estimator.fit(learnt.windows, learnt.labels)
    manifest = Manifest(
        method=METHOD,
        version=version,
        classes=tuple(str(label) for label in decoder.classes_),
        rate_hz=read.stream.rate_hz,
        channels=read.stream.named(ChannelKind.EEG),
        bands_hz=MU_BETA_HZ,
        window_s=WINDOW_S,
        calibration_sha256=hashes([recording]),
        accuracy=accuracy,
        threshold=calibrated.rule.threshold,
    )
    saved = save(Decoder(manifest=manifest, estimator=decoder), to)
    return Fitted(
        path=to,
        sha256=saved.sha256,
        accuracy=accuracy,
        threshold=calibrated.rule.threshold,
        hits=hits,
        false_per_min=calibrated.upper_per_min,
    )


def rule_of(manifest: Manifest) -> evidence.Rule:
    """The rule by which a session gathers this decoder's evidence."""
    moves = tuple(name for name in manifest.classes if name != Side.REST.value)
    return evidence.Rule(classes=moves, threshold=manifest.threshold)


def stretches_of(plan: SessionPlan, events: Sequence[ev.Event]) -> list[Stretch]:
    """What was asked of the patient in the calibration, and when nothing was.

    Trials that were broken off are left out. After a movement its rhythm takes a while to return,
    so the pause behind a trial counts neither as movement nor as rest.
    """
    segments, found = segments_of(plan), []
    segment: Segment = segments[0]
    began: ev.PhaseBegan | ev.SegmentBegan | None = None
    for event in events:
        regular = isinstance(event, ev.PhaseBegan | ev.SegmentBegan)
        if began is not None and regular:
            found += _between(segment, began, event.at_s)
        if isinstance(event, ev.SegmentBegan):
            segment = segments[event.segment]
        if regular or isinstance(event, ev.Paused | ev.Skipped | ev.Aborted | ev.Recovered):
            began = event if isinstance(event, ev.PhaseBegan | ev.SegmentBegan) else None
    return found


def _between(
    segment: Segment, began: ev.PhaseBegan | ev.SegmentBegan, ends_s: float
) -> Iterator[Stretch]:
    """The stretch from an event to the next, if it is one of the calibration."""
    if isinstance(began, ev.SegmentBegan):
        if segment.kind is SegmentKind.REST:
            yield Stretch(side=Side.REST, run=0, trial=0, begins_s=began.at_s, ends_s=ends_s)
    elif segment.kind is SegmentKind.CALIBRATION:
        if began.phase is Phase.ACTIVE:
            number = segment.trials[began.trial].number
            yield Stretch(
                side=began.side, run=segment.run, trial=number, begins_s=began.at_s, ends_s=ends_s
            )
        elif began.phase is Phase.FIXATION:
            yield Stretch(
                side=Side.REST, run=segment.run, trial=0, begins_s=began.at_s, ends_s=ends_s
            )


def _enough(plan: SessionPlan, stretches: Sequence[Stretch]) -> None:
    for side in plan.sides:
        count = sum(bool(s.trial) and s.side is side for s in stretches)
        if count < FEWEST_TRIALS:
            raise TooLittleToLearn(
                what="a decoder", found=f"{count} trials of {side}", needed=f"{FEWEST_TRIALS}"
            )


@dataclass(frozen=True)
class _Windows:
    """Windows (windows, bands, channels, samples) with the label, trial and run of each."""

    windows: Floats
    labels: Any
    trials: Any
    runs: Any


class _Cutter:
    """Cuts windows out of a recording by the host's clock."""

    def __init__(self, recording: Recording) -> None:
        self._path: Filtered = filtered(recording.stream, recording.blocks)
        self._rate_hz = recording.stream.rate_hz
        self._arrived_s = [block.host_s for block in recording.blocks]
        self._ends = [block.end for block in recording.blocks]

    def of(self, stretch: Stretch, *, step_s: float) -> tuple[list[Floats], list[float]]:
        """The windows within a stretch, and the times of their ends (s of the samples)."""
        first, last = np.interp([stretch.begins_s, stretch.ends_s], self._arrived_s, self._ends)
        begin = first + (REACTION_S if stretch.trial else 0.0) * self._rate_hz
        ends = np.arange(begin + WINDOW_S * self._rate_hz, last, step_s * self._rate_hz)
        windows, times = [], []
        for end in np.round(ends).astype(int):
            window = self._path.window(int(end), WINDOW_S)
            if window is not None:
                windows.append(window)
                times.append(end / self._rate_hz)
        return windows, times

    def cut(self, stretches: Sequence[Stretch], *, step_s: float) -> _Windows:
        """All windows of some stretches."""
        made = [(stretch, self.of(stretch, step_s=step_s)[0]) for stretch in stretches]
        counts = [len(windows) for _, windows in made]
        if not sum(counts):
            raise TooLittleToLearn(what="a decoder", found="no clean window", needed="clean signal")
        return _Windows(
            windows=np.stack([window for _, windows in made for window in windows]),
            labels=np.repeat([str(stretch.side) for stretch, _ in made], counts),
            trials=np.repeat([stretch.trial for stretch, _ in made], counts),
            runs=np.repeat([stretch.run for stretch, _ in made], counts),
        )


def _folds(learnt: _Windows) -> Any:
    """By run; a single run is cut into parts of consecutive trials."""
    if len(np.unique(learnt.runs)) > 1:
        return learnt.runs
    order = np.unique(learnt.trials)
    return np.searchsorted(order, learnt.trials) * PARTS // len(order)


_Judged = tuple[Stretch, list[list[float]], list[float]]


def _judged(
    estimator: Any,
    learnt: _Windows,
    folds: Any,
    cutter: _Cutter,
    stretches: Sequence[Stretch],
) -> list[_Judged]:
    """Log-odds over each stretch, of decoders that did not learn from its run."""
    fold_of = dict(zip(learnt.trials.tolist(), folds.tolist(), strict=True))
    numbers = sorted(set(fold_of.values()))
    fitted = {
        fold: clone(estimator).fit(learnt.windows[folds != fold], learnt.labels[folds != fold])
        for fold in numbers
    }
    made: list[_Judged] = []
    fold = numbers[0]
    for place, stretch in enumerate(stretches):
        # A fixation belongs to the trial behind it; the rest at the beginning to the first run.
        behind = (s.trial for s in stretches[place:] if s.trial in fold_of)
        fold = fold_of.get(next(behind, 0), fold)
        windows, times = cutter.of(stretch, step_s=STEP_S)
        if windows:
            logarithms = log_probabilities(fitted[fold], np.stack(windows))
            classes = [str(label) for label in fitted[fold].classes_]
            odds = evidence.log_odds_of(np.exp(logarithms), classes, rest=Side.REST.value)
            made.append((stretch, odds.tolist(), times))
    return made


def _hits(rule: evidence.Rule, judged: Sequence[_Judged]) -> float:
    """The share of movement trials whose first decision is the right one."""
    right = [
        bool(decided) and decided[0].label == str(stretch.side)
        for stretch, odds, times in judged
        if stretch.trial and stretch.side is not Side.REST
        for decided in [evidence.run(rule, odds, times)]
    ]
    return float(np.mean(right)) if right else 0.0
