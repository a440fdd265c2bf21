"""Plans from prescriptions: as much feedback as the minutes hold."""

from __future__ import annotations

from typing import Any

import pytest
from bci_rehab.clinic.domain import Modality
from bci_rehab.clinic.domain import Side as TrainedSide
from bci_rehab.clinic.errors import ModalityNotLive, RateOutOfReach
from bci_rehab.clinic.planning import check_calibrates, longest_s, plan_for, rest_s
from bci_rehab.decode.settings import rest_needed_min
from bci_rehab.errors import PlanImpossible
from bci_rehab.session.plan import SegmentKind, SessionPlan, Side, segments_of
from hypothesis import given
from hypothesis import strategies as st


def plan(**changes: Any) -> SessionPlan:
    given: dict[str, Any] = {
        "modality": Modality.MOTOR_IMAGERY, "side": TrainedSide.LEFT,
        "affected_side": TrainedSide.LEFT, "minutes": 40, "session": 1, "sessions": 12,
        "calibrate": True, "false_triggers_per_min": 0.5, "seed": 7,
    }  # fmt: skip
    return plan_for(**{**given, **changes})


def _lasts_s(plan: SessionPlan) -> float:
    """How long the plan's own parts take, with the pauses that were drawn."""
    timings = plan.timings
    trial_s = timings.fixation_s + timings.cue_s + timings.active_s
    return sum(
        segment.lasts_s
        + sum(trial_s + trial.pause_s for trial in segment.trials)
        + (segment.kind is SegmentKind.FEEDBACK) * len(segment.trials) * timings.feedback_s
        for segment in segments_of(plan)
    )


@given(
    minutes=st.integers(5, 120),
    calibrate=st.booleans(),
    side=st.sampled_from(TrainedSide),
    wanted=st.floats(0.01, 10.0),
    seed=st.integers(0, 2**31),
)
def test_a_plan_is_over_in_its_minutes(
    minutes: int, calibrate: bool, side: TrainedSide, wanted: float, seed: int
) -> None:
    asked = {"minutes": minutes, "calibrate": calibrate, "side": side, "seed": seed}
    try:
        made = plan(**asked, false_triggers_per_min=wanted)
    except RateOutOfReach as refused:
        assert calibrate
        assert float(refused.lowest) > wanted
        assert plan(**asked, false_triggers_per_min=float(refused.lowest))
        return
    except PlanImpossible:
        assert minutes < 14
        return
    if calibrate:
        assert rest_s(made) >= 60.0 * rest_needed_min(wanted)
    assert longest_s(made) <= minutes * 60
    assert _lasts_s(made) <= longest_s(made)
    assert bool(made.calibration_runs) is calibrate
    assert Side.REST in made.sides
    assert made == SessionPlan.from_json(made.to_json())


def test_an_ordinary_prescription_has_calibration_and_feedback() -> None:
    made = plan()
    assert (made.calibration_runs, made.trials_per_side, made.sides) == (
        2,
        10,
        (Side.LEFT, Side.REST),
    )
    assert made.feedback_runs >= 3
    assert plan(calibrate=False).feedback_runs > made.feedback_runs


def test_earlier_sessions_halve_the_calibration() -> None:
    shorter = plan(has_earlier=True)
    assert shorter.calibration_runs == 1
    assert rest_s(shorter) >= 60.0 * rest_needed_min(0.5)
    assert longest_s(shorter) < longest_s(plan())


def test_of_both_hands_the_affected_one_moves() -> None:
    made = plan(side=TrainedSide.BOTH)
    assert made.sides == (Side.LEFT, Side.RIGHT, Side.REST)
    assert made.hand is Side.LEFT


@pytest.mark.parametrize("modality", [Modality.SSVEP, Modality.P300])
def test_what_sessions_do_not_have_is_refused(modality: Modality) -> None:
    with pytest.raises(ModalityNotLive):
        plan(modality=modality)


def test_a_rate_that_no_calibration_could_bound_is_refused_with_the_lowest_that_can() -> None:
    asked = {"modality": Modality.MOTOR_IMAGERY, "side": TrainedSide.LEFT, "minutes": 40}
    with pytest.raises(RateOutOfReach, match=r"40 minutes.*Prescribe 0\.\d+ or more"):
        check_calibrates(**asked, false_triggers_per_min=0.05)
    check_calibrates(**asked, false_triggers_per_min=0.5)
