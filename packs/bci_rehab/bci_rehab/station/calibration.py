"""A decoder from the calibration trials of a recording, with what must be known to accept it.

Windows are cut from the recording as it went through the live path. The accuracy is per trial, with
whole runs left out; the threshold is set on stretches in which the patient wanted nothing, judged
by decoders that had not learnt from their run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from bci_rehab.decode import evidence
from bci_rehab.decode.covariance import Floats
from bci_rehab.decode.following import BANDS_HZ, FollowingTangent
from bci_rehab.decode.model import Accuracy, Decoder, Manifest, cross_validated, hashes, save
from bci_rehab.decode.settings import STEP_S, WINDOW_S
from bci_rehab.errors import TooLittleToLearn
from bci_rehab.session import events as ev
from bci_rehab.session.plan import Phase, Segment, SegmentKind, SessionPlan, Side, segments_of
from bci_rehab.session.record_format import Recording, RecordKind, read_recording
from bci_rehab.signal.blocks import ChannelKind
from bci_rehab.station.pathway import filtered

METHOD = "tangent space, following"
# The patient needs this long after the cue; the delay of the filters is in it.
REACTION_S = 0.5
# Windows of one trial overlap; closer ones say little that is new.
LEARN_STEP_S = 0.25
FEWEST_TRIALS = 5
# A single run is cut into this many parts, of which each is left out once.
PARTS = 4
# Windows that are held in memory at a time.
CHUNK = 200


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
    accuracy = cross_validated(
        FollowingTangent(), learnt.windows, learnt.labels, learnt.trials, folds
    )
    judged = _judged(learnt, folds, cutter, stretches)
    moves = tuple(str(side) for side in plan.sides if side is not Side.REST)
    rule = evidence.Rule(classes=moves, threshold=1.0)
    idle = [(odds, times) for stretch, odds, times in judged if stretch.side is Side.REST]
    calibrated = evidence.calibrate(rule, idle, wanted_per_min=wanted_per_min)
    hits = _hits(calibrated.rule, judged)
    decoder = FollowingTangent().fit(learnt.windows, learnt.labels, learnt.runs)
    manifest = Manifest(
        method=METHOD,
        version=version,
        classes=tuple(str(label) for label in decoder.classes_),
        rate_hz=read.stream.rate_hz,
        channels=read.stream.named(ChannelKind.EEG),
        bands_hz=BANDS_HZ,
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
    segments = segments_of(plan)
    found: list[Stretch] = []
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
        self._path = filtered(recording.stream, recording.blocks)
        self._rate_hz = recording.stream.rate_hz
        self._arrived_s = [block.host_s for block in recording.blocks]
        self._ends = [block.end for block in recording.blocks]

    def ends(self, begins_s: float, ends_s: float, *, step_s: float) -> list[int]:
        """The sample numbers at which windows between two times end."""
        first, last = np.interp([begins_s, ends_s], self._arrived_s, self._ends)
        step = step_s * self._rate_hz
        found = np.arange(first + WINDOW_S * self._rate_hz, last, step)
        return [int(end) for end in np.round(found)]

    def windows(self, ends: Sequence[int]) -> Iterator[tuple[int, Floats]]:
        """The windows that end there, as far as their samples are good."""
        for end in ends:
            window = self._path.window(end, WINDOW_S)
            if window is not None:
                yield end, window

    def seconds(self, end: int) -> float:
        """The time of a sample on the device's own count."""
        return end / self._rate_hz

    def cut(self, stretches: Sequence[Stretch], *, step_s: float) -> _Windows:
        """All windows of some trials, from when the patient can have reacted."""
        made = []
        for stretch in stretches:
            ends = self.ends(stretch.begins_s + REACTION_S, stretch.ends_s, step_s=step_s)
            made.append([window for _, window in self.windows(ends)])
        counts = [len(windows) for windows in made]
        if not sum(counts):
            raise TooLittleToLearn(what="a decoder", found="no clean window", needed="clean signal")
        return _Windows(
            windows=np.stack([window for windows in made for window in windows]),
            labels=np.repeat([str(stretch.side) for stretch in stretches], counts),
            trials=np.repeat([stretch.trial for stretch in stretches], counts),
            runs=np.repeat([stretch.run for stretch in stretches], counts),
        )


def _folds(learnt: _Windows) -> Any:
    """By run; a single run is cut into parts of consecutive trials."""
    if len(np.unique(learnt.runs)) > 1:
        return learnt.runs
    order = np.unique(learnt.trials)
    return np.searchsorted(order, learnt.trials) * PARTS // len(order)


_Judged = tuple[Stretch, list[list[float]], list[float]]


def _judged(
    learnt: _Windows, folds: Any, cutter: _Cutter, stretches: Sequence[Stretch]
) -> list[_Judged]:
    """Log-odds over each stretch, of decoders that did not learn from its run.

    Each decoder reads its part of the recording from the beginning to the end, as a session does;
    what is kept is what it said within the stretches.
    """
    fold_of = dict(zip(learnt.trials.tolist(), folds.tolist(), strict=True))
    made: list[_Judged] = []
    for fold in sorted(set(fold_of.values())):
        own = _of_fold(fold, fold_of, stretches)
        learn = folds != fold
        model = FollowingTangent().fit(
            learnt.windows[learn], learnt.labels[learn], learnt.runs[learn]
        )
        said = _read(model, cutter, own[0].begins_s, own[-1].ends_s)
        for stretch in own:
            ends = cutter.ends(stretch.begins_s, stretch.ends_s, step_s=STEP_S)
            inside = [end for end in said if ends and ends[0] <= end <= ends[-1]]
            times = [cutter.seconds(end) for end in inside]
            made.append((stretch, [said[end] for end in inside], times))
    return made


def _of_fold(fold: int, fold_of: dict[int, int], stretches: Sequence[Stretch]) -> list[Stretch]:
    """The stretches of a fold: a fixation belongs to the trial behind it, the rest at the
    beginning to the first."""
    own, known = [], min(fold_of.values())
    for place, stretch in enumerate(stretches):
        behind = (s.trial for s in stretches[place:] if s.trial in fold_of)
        known = fold_of.get(next(behind, 0), known)
        if known == fold:
            own.append(stretch)
    return own


def _read(
    model: FollowingTangent, cutter: _Cutter, begins_s: float, ends_s: float
) -> dict[int, list[float]]:
    """What a decoder says of each movement between two times, by the window's last sample."""
    follower, classes = model.follower(), [str(label) for label in model.classes_]
    windows = cutter.windows(cutter.ends(begins_s, ends_s, step_s=STEP_S))
    said: dict[int, list[float]] = {}
    while chunk := list(islice(windows, CHUNK)):
        logarithms = follower.log_probabilities(np.stack([window for _, window in chunk]))
        odds = evidence.log_odds_of(np.exp(logarithms).tolist(), classes, rest=Side.REST.value)
        said |= zip([end for end, _ in chunk], odds.tolist(), strict=True)
    return said


def _hits(rule: evidence.Rule, judged: Sequence[_Judged]) -> float:
    """The share of movement trials whose first decision is the right one."""
    right = [
        bool(decided) and decided[0].label == str(stretch.side)
        for stretch, odds, times in judged
        if stretch.trial and stretch.side is not Side.REST
        for decided in [evidence.run(rule, odds, times)]
    ]
    return float(np.mean(right)) if right else 0.0
