"""A session's plan from what was prescribed: which classes, as much rest as the prescribed rate of
false triggers asks for, and as many runs as the minutes hold.

Pure: the prescription comes as plain values, the seed is handed in.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from bci_rehab.clinic import domain
from bci_rehab.clinic.domain import Modality
from bci_rehab.clinic.errors import ModalityNotLive, RateOutOfReach
from bci_rehab.decode.settings import STEP_S, WINDOW_S, rest_needed_min
from bci_rehab.errors import PlanImpossible
from bci_rehab.session.plan import SessionPlan, Side, Task

TASKS = {Modality.MOTOR_IMAGERY: Task.IMAGERY, Modality.ATTEMPTED_MOVEMENT: Task.ATTEMPT}
# Two at least, so that one can be left out; more where rest alone would become too long to bear.
CALIBRATION_RUNS, CALIBRATION_RUNS_MOST = 2, 4
FEEDBACK_RUNS_MOST = 8
# Of each class in a run; with fewer, a run says nothing.
TRIALS_MOST, TRIALS_LEAST = 10, 5
REST_MOST_S = 400.0
# So much of the rest is taken for usable; the remainder is for swallowing, moving, lost samples.
USABLE_SHARE = 0.85


def check_live(modality: Modality) -> Task:
    """The task of a kind of training that can be had in a session.

    Raises
    ------
    ModalityNotLive
        If sessions do not have this kind yet.
    """
    task = TASKS.get(modality)
    if task is None:
        raise ModalityNotLive(modality=modality.value)
    return task


def check_calibrates(
    *, modality: Modality, side: domain.Side, minutes: int, false_triggers_per_min: float
) -> None:
    """Refuse a prescription whose first session could never learn a decoder.

    Raises
    ------
    RateOutOfReach, PlanImpossible
    """
    if modality not in TASKS:
        return
    plan_for(
        modality=modality,
        side=side,
        affected_side=domain.Side.RIGHT,
        minutes=minutes,
        session=1,
        sessions=1,
        calibrate=True,
        false_triggers_per_min=false_triggers_per_min,
        seed=0,
    )


def plan_for(
    *,
    modality: Modality,
    side: domain.Side,
    affected_side: domain.Side,
    minutes: int,
    session: int,
    sessions: int,
    calibrate: bool,
    false_triggers_per_min: float,
    seed: int,
    has_earlier: bool = False,
) -> SessionPlan:
    """The plan with most feedback that is over within ``minutes``.

    A calibration holds as much rest as bounds the rate of false triggers that is prescribed.
    Shorter runs are chosen only where no whole run fits; where not even these leave time for
    feedback, a calibration is had alone. Where an accepted decoder's session can be learned from
    too (``has_earlier``), one run of calibration is enough.

    Raises
    ------
    ModalityNotLive
        If sessions do not have this kind of training.
    RateOutOfReach
        If the minutes hold too little rest to bound so low a rate.
    PlanImpossible
        If the minutes hold no run at all.
    """
    first = SessionPlan(
        task=check_live(modality),
        hand=_hand(side, affected_side),
        sides=_classes(side),
        session=session,
        sessions=sessions,
        calibration_runs=(1 if has_earlier else CALIBRATION_RUNS) if calibrate else 0,
        feedback_runs=1,
        seed=seed,
    )
    wanted_s = rest_needed_min(false_triggers_per_min) * 60.0 if calibrate else 0.0
    for plan in _candidates(first):
        rested = _with_rest(plan, wanted_s)
        if rested is not None and longest_s(rested) <= minutes * 60:
            return rested
    lowest = _lowest_per_min(first, minutes) if calibrate else None
    if lowest is not None:
        raise RateOutOfReach(
            rate=f"{false_triggers_per_min:g}", minutes=minutes, lowest=f"{lowest:.2f}"
        )
    raise PlanImpossible(
        field="minutes", value=str(minutes), rule="too short for one run; prescribe more"
    )


def longest_s(plan: SessionPlan) -> float:
    """How long a plan can take if nothing is repeated, in seconds: every pause at its longest."""
    timings = plan.timings
    trial_s = timings.fixation_s + timings.cue_s + timings.active_s + timings.pause_most_s
    trials = plan.trials_per_side * len(plan.sides)
    runs = plan.calibration_runs + plan.feedback_runs
    return (
        timings.check_s
        + timings.rest_s
        + (runs - 1) * timings.break_s
        + runs * trials * trial_s
        + plan.feedback_runs * trials * timings.feedback_s
    )


def rest_s(plan: SessionPlan) -> float:
    """How much rest a calibration's windows can judge: at its beginning, between and in trials."""
    timings = plan.timings
    of_each = plan.calibration_runs * plan.trials_per_side
    parts = [(1, timings.rest_s), (of_each * len(plan.sides), timings.fixation_s)]
    parts += [(of_each, timings.active_s)]
    return sum(count * max(0.0, lasts_s - WINDOW_S - 2 * STEP_S) for count, lasts_s in parts)


def _candidates(first: SessionPlan) -> Iterator[SessionPlan]:
    """Plans in the order in which they are wished for."""
    calibrates = first.calibration_runs > 0
    most = CALIBRATION_RUNS_MOST if calibrates else 0
    for feedback_least in (1, 0) if calibrates else (1,):
        for trials in range(TRIALS_MOST, TRIALS_LEAST - 1, -1):
            for runs in range(FEEDBACK_RUNS_MOST, feedback_least - 1, -1):
                for calibration_runs in range(first.calibration_runs, most + 1):
                    yield replace(
                        first,
                        trials_per_side=trials,
                        feedback_runs=runs,
                        calibration_runs=calibration_runs,
                    )


def _with_rest(plan: SessionPlan, wanted_s: float) -> SessionPlan | None:
    """The plan with so much rest at its beginning as is wanting; None where that is too long."""
    missing_s = max(0.0, wanted_s / USABLE_SHARE - rest_s(plan))
    longer_s = math.ceil(plan.timings.rest_s + missing_s)
    if longer_s > max(REST_MOST_S, plan.timings.rest_s):
        return None
    return replace(plan, timings=replace(plan.timings, rest_s=float(longer_s)))


def _lowest_per_min(first: SessionPlan, minutes: int) -> float | None:
    """The lowest rate that a calibration of so many minutes can bound; None if none fits."""
    reached_s = 0.0
    for trials, runs in product(
        range(TRIALS_LEAST, TRIALS_MOST + 1),
        range(first.calibration_runs, CALIBRATION_RUNS_MOST + 1),
    ):
        plan = replace(first, feedback_runs=0, trials_per_side=trials, calibration_runs=runs)
        spare_s = minutes * 60 - longest_s(plan)
        if spare_s >= 0:
            longest = min(REST_MOST_S, math.floor(plan.timings.rest_s + spare_s))
            rested = replace(plan, timings=replace(plan.timings, rest_s=float(longest)))
            reached_s = max(reached_s, rest_s(rested) * USABLE_SHARE)
    if not reached_s:
        return None
    # Upwards, so that what is said can be prescribed.
    return math.ceil(100.0 * rest_needed_min(1.0) * 60.0 / reached_s) / 100.0


def _hand(side: domain.Side, affected_side: domain.Side) -> Side:
    """The hand that moves: the one that is trained, or of both the one that was hit."""
    chosen = affected_side if side is domain.Side.BOTH else side
    return Side.LEFT if chosen is domain.Side.LEFT else Side.RIGHT


def _classes(side: domain.Side) -> tuple[Side, ...]:
    """Rest is among them always: the threshold is set on it."""
    if side is domain.Side.BOTH:
        return (Side.LEFT, Side.RIGHT, Side.REST)
    return (Side(side.value), Side.REST)
