"""A decoder from the calibration trials of a recording, with what must be known to accept it.

The accuracy is per trial, with whole runs left out; thresholds are set on stretches in which the
patient wanted nothing, judged by decoders that had not learnt from their run. Earlier sessions are
learned from too where held trials of today say that it helps, and so is the mean let follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bci_rehab.decode import evidence
from bci_rehab.decode.adaptation import judge
from bci_rehab.decode.covariance import Floats
from bci_rehab.decode.following import BANDS_HZ, FollowingTangent
from bci_rehab.decode.model import (
    Accuracy,
    Calibration,
    Decoder,
    Gathering,
    Manifest,
    save,
    trial_accuracy,
)
from bci_rehab.decode.settings import STEP_S, WINDOW_S
from bci_rehab.errors import TooLittleToLearn
from bci_rehab.session.motor_live import session_model
from bci_rehab.session.plan import SessionPlan, Side
from bci_rehab.session.record_format import Recording, read_recording
from bci_rehab.signal.blocks import ChannelKind
from bci_rehab.station.cutting import Cutter, Lessons, Stretch, stretches_in
from bci_rehab.station.earlier import Earlier, EarlierLessons, lessons_of

METHOD = "tangent space, following"
FEWEST_TRIALS = 5
# A single run is cut into this many parts, of which each is left out once.
PARTS = 4
# How much one of today's windows counts against one of an earlier session.
OWN_WEIGHT = 3.0
# The two ways to read a recording: the mean follows it, or stays at that of calibration.
READINGS = (True, False)


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A decoder that was written to ``path``, and what it promises.

    ``hits`` is the share of movement trials that would have triggered at the threshold, of runs
    that the decoder had not seen; ``false_per_min`` the upper bound of false triggers a minute.
    ``earlier`` are the decoders from whose recordings it learned besides today's, of as many as
    were ``offered``; ``follows`` is whether its mean follows the signal.
    """

    path: Path
    sha256: str
    accuracy: Accuracy
    threshold: float
    hits: float
    false_per_min: float
    earlier: tuple[str, ...]
    offered: int
    follows: bool

    def to_json(self) -> dict[str, Any]:
        """What the therapist reads before accepting it."""
        said = {**asdict(self), "accuracy": self.accuracy.model_dump(), "method": METHOD}
        del said["path"]
        return {**said, "file": self.path.name}


@dataclass(frozen=True)
class _Judged:
    """What decoders that had not learned from a stretch said within it, by reading."""

    stretch: Stretch
    times_s: list[float]
    said: dict[bool, Floats]


def fit(
    recording: Path,
    to: Path,
    *,
    wanted_per_min: float,
    version: str,
    earlier: Sequence[Earlier] = (),
) -> Fitted:
    """Learn from what ``recording`` holds so far, and write the decoder to ``to``.

    Raises
    ------
    TooLittleToLearn
        With how much is there and how much is needed.
    DecoderDamaged, CalibrationChanged
        An earlier decoder or recording is not the one that was accepted.
    """
    read = read_recording(recording)
    plan = SessionPlan.from_json(read.info["plan"])
    stretches = stretches_in(read)
    _enough(plan, stretches)
    cutter = Cutter(read)
    today = cutter.lessons([s for s in stretches if s.trial])
    folds = _folds(today)
    offered = lessons_of(earlier, read, plan)
    alone = _held_out(today, folds, None)
    helped = None if offered is None else _held_out(today, folds, offered)
    classes = np.unique(today.labels)
    before, held = None, alone
    if helped is not None and _helps(today, alone, helped, classes):
        before, held = offered, helped
    accuracy = trial_accuracy(held, classes, today.labels, today.trials)
    judged = _judged(today, folds, cutter, stretches, before)
    estimator = _taught(today, np.ones(len(today.labels), dtype=np.bool_), before)
    follows = _follows(judged, estimator)
    calibrated = {
        reading: _calibrated(judged, reading, estimator, wanted_per_min) for reading in READINGS
    }
    chosen = calibrated[follows]
    manifest = _manifest(read, estimator, accuracy, version).model_copy(
        update={
            "following": _gathering(calibrated[True].rule),
            "held": _gathering(calibrated[False].rule),
            "follows": follows,
            "calibration": (
                Calibration(sha256=read.sha256, length=read.covers),
                *(before.calibrations if before else ()),
            ),
        }
    )
    saved = save(Decoder(manifest=manifest, estimator=estimator), to)
    return Fitted(
        path=to,
        sha256=saved.sha256,
        accuracy=accuracy,
        threshold=chosen.rule.threshold,
        hits=_hits(chosen.rule, judged, follows, estimator),
        false_per_min=chosen.upper_per_min,
        earlier=before.decoders if before else (),
        offered=len(offered.decoders) if offered else 0,
        follows=follows,
    )


def rule_of(manifest: Manifest, *, follows: bool) -> evidence.Rule:
    """The rule by which a session gathers this decoder's evidence.

    Raises
    ------
    TooLittleToLearn
        The decoder was never given a threshold.
    """
    gathering = manifest.following if follows else manifest.held
    if gathering is None:
        raise TooLittleToLearn(what="a threshold", found="none", needed="a calibration")
    moves = tuple(name for name in manifest.classes if name != Side.REST.value)
    return evidence.Rule(classes=moves, **gathering.model_dump())


def _manifest(
    read: Recording, estimator: FollowingTangent, accuracy: Accuracy, version: str
) -> Manifest:
    return Manifest(
        method=METHOD,
        version=version,
        classes=tuple(str(label) for label in estimator.classes_),
        rate_hz=read.stream.rate_hz,
        channels=read.stream.named(ChannelKind.EEG),
        bands_hz=BANDS_HZ,
        window_s=WINDOW_S,
        calibration=(),
        accuracy=accuracy,
    )


def _gathering(rule: evidence.Rule) -> Gathering:
    return Gathering(
        threshold=rule.threshold,
        half_life_s=rule.half_life_s,
        refractory_s=rule.refractory_s,
        gap_s=rule.gap_s,
    )


def _enough(plan: SessionPlan, stretches: Sequence[Stretch]) -> None:
    for side in plan.sides:
        count = sum(bool(s.trial) and s.side is side for s in stretches)
        if count < FEWEST_TRIALS:
            raise TooLittleToLearn(
                what="a decoder", found=f"{count} trials of {side}", needed=f"{FEWEST_TRIALS}"
            )


def _folds(today: Lessons) -> Any:
    """By run; a single run is cut into parts of consecutive trials."""
    if len(np.unique(today.runs)) > 1:
        return today.runs
    order = np.unique(today.trials)
    return np.searchsorted(order, today.trials) * PARTS // len(order)


def _taught(today: Lessons, learn: Any, before: EarlierLessons | None) -> FollowingTangent:
    """A decoder of some of today's windows, and of all of earlier sessions."""
    windows, labels = today.windows[learn], today.labels[learn]
    runs = np.array([f"today {run}" for run in today.runs[learn]])
    if before is None:
        return session_model().fit(windows, labels, runs)
    return session_model().fit(
        np.concatenate([windows, before.windows]),
        np.concatenate([labels, before.labels]),
        np.concatenate([runs, before.runs]),
        np.repeat([OWN_WEIGHT, 1.0], [len(labels), len(before.labels)]),
    )


def _held_out(today: Lessons, folds: Any, before: EarlierLessons | None) -> Floats:
    """Log-probabilities of today's windows, each of a decoder that did not learn from its fold."""
    said = np.empty((len(today.labels), len(np.unique(today.labels))))
    for fold in np.unique(folds):
        test = folds == fold
        said[test] = _taught(today, ~test, before).predict_log_proba(today.windows[test])
    return said


def _helps(today: Lessons, alone: Floats, helped: Floats, classes: Any) -> bool:
    """Whether earlier sessions made the answers to today's held trials better."""
    return judge(alone, helped, today.labels, today.trials, classes=classes).kept


def _judged(
    today: Lessons,
    folds: Any,
    cutter: Cutter,
    stretches: Sequence[Stretch],
    before: EarlierLessons | None,
) -> list[_Judged]:
    """What is said over each stretch, by decoders that did not learn from its run.

    Each decoder reads its part of the recording from the beginning to the end, as a session does;
    what is kept is what it said within the stretches.
    """
    fold_of = dict(zip(today.trials.tolist(), folds.tolist(), strict=True))
    made: list[_Judged] = []
    for fold in sorted(set(fold_of.values())):
        own = _of_fold(fold, fold_of, stretches)
        model = _taught(today, folds != fold, before)
        followers = [model.follower(follows=reading) for reading in READINGS]
        said = cutter.said(followers, own[0].begins_s, own[-1].ends_s)
        for stretch in own:
            ends = cutter.ends(stretch.begins_s, stretch.ends_s, step_s=STEP_S)
            inside = [end for end in said if ends and ends[0] <= end <= ends[-1]]
            shape = (len(inside), len(model.classes_))
            by_reading = {
                reading: np.reshape([said[end][place] for end in inside], shape)
                for place, reading in enumerate(READINGS)
            }
            made.append(_Judged(stretch, [cutter.seconds(end) for end in inside], by_reading))
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


def _follows(judged: Sequence[_Judged], estimator: FollowingTangent) -> bool:
    """Whether following did better than staying, on trials of runs that were left out."""
    trials = [one for one in judged if one.stretch.trial and len(one.times_s)]
    counts = [len(one.times_s) for one in trials]
    labels = np.repeat([str(one.stretch.side) for one in trials], counts)
    names = np.repeat([one.stretch.trial for one in trials], counts)
    said = {reading: np.concatenate([one.said[reading] for one in trials]) for reading in READINGS}
    return judge(said[False], said[True], labels, names, classes=estimator.classes_).kept


def _odds(one: _Judged, reading: bool, estimator: FollowingTangent) -> list[list[float]]:
    """Log-odds of each movement, of each window of a stretch."""
    if not one.times_s:
        return []
    classes = [str(label) for label in estimator.classes_]
    probabilities = np.exp(one.said[reading]).tolist()
    odds: list[list[float]] = evidence.log_odds_of(
        probabilities, classes, rest=Side.REST.value
    ).tolist()
    return odds


def _calibrated(
    judged: Sequence[_Judged], reading: bool, estimator: FollowingTangent, wanted_per_min: float
) -> evidence.Calibrated:
    """The threshold of one way of reading, from all stretches in which nothing was wanted."""
    moves = tuple(str(label) for label in estimator.classes_ if label != Side.REST.value)
    rule = evidence.Rule(classes=moves, threshold=1.0)
    idle = [
        (_odds(one, reading, estimator), one.times_s)
        for one in judged
        if one.stretch.side is Side.REST
    ]
    return evidence.calibrate(rule, idle, wanted_per_min=wanted_per_min)


def _hits(
    rule: evidence.Rule, judged: Sequence[_Judged], reading: bool, estimator: FollowingTangent
) -> float:
    """The share of movement trials whose first decision is the right one."""
    right = [
        bool(decided) and decided[0].label == str(one.stretch.side)
        for one in judged
        if one.stretch.trial and one.stretch.side is not Side.REST
        for decided in [evidence.run(rule, _odds(one, reading, estimator), one.times_s)]
    ]
    return float(np.mean(right)) if right else 0.0
