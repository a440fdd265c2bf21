"""Plans from prescriptions: as much feedback as the minutes hold."""

from __future__ import annotations

from typing import Any

import pytest
from bci_rehab.clinic.domain import Modality
from bci_rehab.clinic.domain import Side as TrainedSide
from bci_rehab.clinic.errors import ModalityNotLive
from bci_rehab.clinic.planning import longest_s, plan_for
from bci_rehab.errors import PlanImpossible
from bci_rehab.session.plan import SessionPlan, Side
from hypothesis import given
from hypothesis import strategies as st


def plan(**changes: Any) -> SessionPlan:
    given: dict[str, Any] = {
        "modality": Modality.MOTOR_IMAGERY, "side": TrainedSide.LEFT,
        "affected_side": TrainedSide.LEFT, "minutes": 40, "session": 1, "sessions": 12,
        "calibrate": True, "seed": 7,
    }  # fmt: skip
    return plan_for(**{**given, **changes})


@given(
    minutes=st.integers(5, 120),
    calibrate=st.booleans(),
    side=st.sampled_from(TrainedSide),
    seed=st.integers(0, 2**31),
)
def test_a_plan_is_over_in_its_minutes(
    minutes: int, calibrate: bool, side: TrainedSide, seed: int
) -> None:
    try:
        made = plan(minutes=minutes, calibrate=calibrate, side=side, seed=seed)
    except PlanImpossible:
        assert minutes < 8
        return
    assert longest_s(made) <= minutes * 60
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


def test_of_both_hands_the_affected_one_moves() -> None:
    made = plan(side=TrainedSide.BOTH)
    assert made.sides == (Side.LEFT, Side.RIGHT, Side.REST)
    assert made.hand is Side.LEFT


@pytest.mark.parametrize("modality", [Modality.SSVEP, Modality.P300])
def test_what_sessions_do_not_have_is_refused(modality: Modality) -> None:
    with pytest.raises(ModalityNotLive):
        plan(modality=modality)
