"""A session's plan: what a therapist prescribes, and the sequence of trials that follows from it.

The sequence is fixed by the plan and its seed alone, so that a session can be replayed, resumed
and audited. Trials are drawn in blocks: each run holds every class equally often, in an order
without more than ``max_repeats`` of one class in a row, so that neither the patient nor a decoder
can profit from the order.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from itertools import groupby
from typing import Any

from bci_rehab.errors import PlanImpossible

RUNS_LIMIT = 50
TRIALS_LIMIT = 200
DRAWS_LIMIT = 10_000


class Side(StrEnum):
    """What a trial asks for."""

    LEFT = "left"
    RIGHT = "right"
    FEET = "feet"
    REST = "rest"


class Task(StrEnum):
    """What the patient does at the cue."""

    IMAGERY = "imagery"
    ATTEMPT = "attempt"


class SegmentKind(StrEnum):
    """A part of a session."""

    CHECK = "check"
    REST = "rest"
    CALIBRATION = "calibration"
    FEEDBACK = "feedback"
    BREAK = "break"
    SUMMARY = "summary"


class Phase(StrEnum):
    """A part of a trial. In ``ACTIVE`` the patient moves in thought, or tries to."""

    FIXATION = "fixation"
    CUE = "cue"
    ACTIVE = "active"
    FEEDBACK = "feedback"
    PAUSE = "pause"


@dataclass(frozen=True, kw_only=True)
class Timings:
    """How long each part lasts (s). The pause between trials is drawn between its two ends."""

    check_s: float = 5.0
    rest_s: float = 60.0
    fixation_s: float = 2.0
    cue_s: float = 1.0
    active_s: float = 4.0
    feedback_s: float = 2.0
    pause_least_s: float = 1.5
    pause_most_s: float = 3.5
    break_s: float = 60.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0.0 < value <= 3_600.0:
                raise PlanImpossible(field=name, value=str(value), rule="above 0, at most an hour")
        if self.pause_least_s > self.pause_most_s:
            raise PlanImpossible(
                field="pause_least_s", value=str(self.pause_least_s), rule="at most pause_most_s"
            )


@dataclass(frozen=True, kw_only=True)
class SessionPlan:
    """One session of a prescription.

    ``sides`` are the classes of a run, ``trials_per_side`` how often each comes in a run. The hand
    is the one that is treated.
    """

    task: Task = Task.IMAGERY
    hand: Side = Side.RIGHT
    sides: tuple[Side, ...] = (Side.RIGHT, Side.REST)
    session: int = 1
    sessions: int = 1
    calibration_runs: int = 2
    feedback_runs: int = 3
    trials_per_side: int = 10
    max_repeats: int = 3
    timings: Timings = field(default_factory=Timings)
    seed: int = 0

    def __post_init__(self) -> None:
        _require(len(set(self.sides)) >= 2, "sides", self.sides, "two classes or more")
        _require(len(set(self.sides)) == len(self.sides), "sides", self.sides, "each class once")
        _require(self.hand in (Side.LEFT, Side.RIGHT), "hand", self.hand, "left or right")
        _require(1 <= self.session <= self.sessions, "session", self.session, "1 to sessions")
        runs = self.calibration_runs + self.feedback_runs
        at_least = min(self.calibration_runs, self.feedback_runs)
        _require(at_least >= 0, "runs", at_least, "0 or more")
        _require(1 <= runs <= RUNS_LIMIT, "runs", runs, f"1 to {RUNS_LIMIT}")
        per_run = self.trials_per_side * len(self.sides)
        _require(
            self.trials_per_side >= 1 and per_run <= TRIALS_LIMIT,
            "trials_per_side", self.trials_per_side, f"1 or more, {TRIALS_LIMIT} in a run at most",
        )  # fmt: skip
        _require(self.max_repeats >= 1, "max_repeats", self.max_repeats, "1 or more")
        tight = self.max_repeats == 1 and len(self.sides) == 2
        _require(not tight, "max_repeats", 1, "2 or more, or two classes merely alternate")

    def to_json(self) -> dict[str, Any]:
        """The plan for JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> SessionPlan:
        """The plan from JSON."""
        return cls(
            **{
                **said,
                "task": Task(said["task"]),
                "hand": Side(said["hand"]),
                "sides": tuple(Side(side) for side in said["sides"]),
                "timings": Timings(**said["timings"]),
            }
        )


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One trial of a run: what it asks for, and how long the pause behind it lasts."""

    number: int
    side: Side
    pause_s: float


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A part of the session: one with trials, or one that lasts ``lasts_s``."""

    kind: SegmentKind
    run: int = 0
    lasts_s: float = 0.0
    trials: tuple[Trial, ...] = ()


def segments_of(plan: SessionPlan) -> tuple[Segment, ...]:
    """The whole session: check, rest, the runs with breaks between them, summary."""
    # A seed of text is spread over the whole state of the generator; sessions do not resemble.
    source = random.Random(f"{plan.seed}:{plan.session}")  # noqa: S311 - order, no secret
    timings = plan.timings
    made = [
        Segment(kind=SegmentKind.CHECK, lasts_s=timings.check_s),
        Segment(kind=SegmentKind.REST, lasts_s=timings.rest_s),
    ]
    kinds = [SegmentKind.CALIBRATION] * plan.calibration_runs
    kinds += [SegmentKind.FEEDBACK] * plan.feedback_runs
    number = 1
    for run, kind in enumerate(kinds, start=1):
        if run > 1:
            made.append(Segment(kind=SegmentKind.BREAK, lasts_s=timings.break_s))
        trials = []
        for side in shuffled(plan.sides, plan.trials_per_side, plan.max_repeats, source):
            pause_s = round(source.uniform(timings.pause_least_s, timings.pause_most_s), 3)
            trials.append(Trial(number=number, side=side, pause_s=pause_s))
            number += 1
        made.append(Segment(kind=kind, run=run, trials=tuple(trials)))
    made.append(Segment(kind=SegmentKind.SUMMARY))
    return tuple(made)


def shuffled(
    sides: tuple[Side, ...], times: int, max_repeats: int, source: random.Random
) -> list[Side]:
    """Each side ``times`` times, in random order, none more than ``max_repeats`` in a row.

    Drawn until it fits, which keeps every order that fits equally likely. Where that would take too
    long the order is built step by step, with the most frequent of what is left when it must be.
    """
    order = [side for side in sides for _ in range(times)]
    for _ in range(DRAWS_LIMIT // len(order)):
        source.shuffle(order)
        if max(len(list(group)) for _, group in groupby(order)) <= max_repeats:
            return order
    return _built(sides, times, max_repeats, source)


def _built(
    sides: tuple[Side, ...], times: int, max_repeats: int, source: random.Random
) -> list[Side]:
    left = dict.fromkeys(sides, times)
    order: list[Side] = []
    while any(left.values()):
        last = order[-max_repeats:]
        blocked = last[0] if len(last) == max_repeats and len(set(last)) == 1 else None
        allowed = [side for side in sides if left[side] and side is not blocked]
        most = max(allowed, key=lambda side: left[side])
        rest = sum(left.values()) - left[most]
        # Once the others only just part what is left of this one, no other choice fits.
        must = left[most] > max_repeats * rest
        chosen = most if must else source.choices(allowed, [left[s] for s in allowed])[0]
        left[chosen] -= 1
        order.append(chosen)
    return order


def _require(met: bool, name: str, value: object, rule: str) -> None:
    if not met:
        raise PlanImpossible(field=name, value=str(value), rule=rule)
