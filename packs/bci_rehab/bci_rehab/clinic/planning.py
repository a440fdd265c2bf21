"""A session's plan from what was prescribed: which classes, and as many runs as the minutes hold.

Pure: the prescription comes as plain values, the seed is handed in.
"""

from __future__ import annotations

from dataclasses import replace

from bci_rehab.clinic import domain
from bci_rehab.clinic.domain import Modality
from bci_rehab.clinic.errors import ModalityNotLive
from bci_rehab.errors import PlanImpossible
from bci_rehab.session.plan import SegmentKind, SessionPlan, Side, Task, Timings, segments_of

TASKS = {Modality.MOTOR_IMAGERY: Task.IMAGERY, Modality.ATTEMPTED_MOVEMENT: Task.ATTEMPT}
CALIBRATION_RUNS = 2
FEEDBACK_RUNS_MOST = 8
# Of each class in a run; with fewer, a run says nothing.
TRIALS_MOST, TRIALS_LEAST = 10, 5


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


def plan_for(
    *,
    modality: Modality,
    side: domain.Side,
    affected_side: domain.Side,
    minutes: int,
    session: int,
    sessions: int,
    calibrate: bool,
    seed: int,
) -> SessionPlan:
    """The plan with most feedback that is over within ``minutes``.

    Shorter runs are chosen only where no whole run fits; where not even these leave time for
    feedback, a calibration is had alone.

    Raises
    ------
    ModalityNotLive, PlanImpossible
        If sessions do not have this kind of training, or the minutes hold no run at all.
    """
    first = SessionPlan(
        task=check_live(modality),
        hand=_hand(side, affected_side),
        sides=_classes(side),
        session=session,
        sessions=sessions,
        calibration_runs=CALIBRATION_RUNS if calibrate else 0,
        feedback_runs=1,
        seed=seed,
    )
    for feedback_least in (1, 0) if calibrate else (1,):
        for trials in range(TRIALS_MOST, TRIALS_LEAST - 1, -1):
            for runs in range(FEEDBACK_RUNS_MOST, feedback_least - 1, -1):
                plan = replace(first, trials_per_side=trials, feedback_runs=runs)
                if longest_s(plan) <= minutes * 60:
                    return plan
    raise PlanImpossible(
        field="minutes", value=str(minutes), rule="too short for one run; prescribe more"
    )


def longest_s(plan: SessionPlan) -> float:
    """How long a plan can take if nothing is repeated, in seconds: every pause at its longest."""
    return sum(
        segment.lasts_s + len(segment.trials) * _trial_s(plan.timings, segment.kind)
        for segment in segments_of(plan)
    )


def _trial_s(timings: Timings, kind: SegmentKind) -> float:
    feedback_s = timings.feedback_s if kind is SegmentKind.FEEDBACK else 0.0
    whole = timings.fixation_s + timings.cue_s + timings.active_s + timings.pause_most_s
    return whole + feedback_s


def _hand(side: domain.Side, affected_side: domain.Side) -> Side:
    """The hand that moves: the one that is trained, or of both the one that was hit."""
    chosen = affected_side if side is domain.Side.BOTH else side
    return Side.LEFT if chosen is domain.Side.LEFT else Side.RIGHT


def _classes(side: domain.Side) -> tuple[Side, ...]:
    """Rest is among them always: the threshold is set on it."""
    if side is domain.Side.BOTH:
        return (Side.LEFT, Side.RIGHT, Side.REST)
    return (Side(side.value), Side.REST)
