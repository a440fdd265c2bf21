"""Rules of the clinic that need no database: contraindications, scales, prescriptions.

Nothing here is medical advice. Which answers keep a person from training is a rule of the protocol
that the pack comes with; the clinic's physician may be stricter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from bci_rehab.clinic.errors import IntakeIncomplete, ScoreImpossible
from haihe.packs import gettext_noop


class Modality(StrEnum):
    """What the interface reads."""

    MOTOR_IMAGERY = "motor-imagery"
    ATTEMPTED_MOVEMENT = "attempted-movement"
    SSVEP = "ssvep"
    P300 = "p300"


class Side(StrEnum):
    """Which hand is trained, or was hit."""

    LEFT = "left"
    RIGHT = "right"
    BOTH = "both"


# What a new prescription offers until the therapist changes it.
USUAL_MINUTES, USUAL_FALSE_PER_MIN = 40, 0.5
ALL = frozenset(Modality)
FLICKER = frozenset({Modality.SSVEP})
FLASHES = frozenset({Modality.SSVEP, Modality.P300})


@dataclass(frozen=True)
class Question:
    """One line of the intake: a yes keeps the person from what it ``blocks``."""

    code: str
    text: str
    blocks: frozenset[Modality]


# Asked of everybody; the sources are in docs/explanation/rehabilitation-hazards.md, and a test sees
# that each question has one.
QUESTIONS: Sequence[Question] = (
    Question("epilepsy", gettext_noop("Epilepsy, or a seizure in the last two years"), ALL),
    Question(
        "photosensitive",
        gettext_noop("Seizure or migraine brought on by flickering light"),
        FLASHES,
    ),
    Question("skull", gettext_noop("Open wound or infection of the scalp, or a skull defect"), ALL),
    Question(
        "implant",
        gettext_noop("Active implant that electrodes or a stimulator could disturb"),
        ALL,
    ),
    Question("unstable", gettext_noop("Unstable heart, blood pressure or breathing"), ALL),
    Question("understanding", gettext_noop("Cannot follow a simple spoken instruction"), ALL),
    Question("neglect", gettext_noop("Severe visual loss or neglect"), FLASHES),
    Question("pain", gettext_noop("Severe pain or a fracture of the hand or arm to be moved"), ALL),
)
BY_CODE: Mapping[str, Question] = {question.code: question for question in QUESTIONS}


def blocked_by(answers: Mapping[str, bool]) -> dict[Modality, list[str]]:
    """Per modality the answers that keep the person from it; empty where none does.

    Raises
    ------
    IntakeIncomplete
        If a question was not answered: an unasked question is never a no.
    """
    missing = [question.code for question in QUESTIONS if question.code not in answers]
    if missing:
        raise IntakeIncomplete(missing=", ".join(missing))
    return {
        modality: [
            question.code
            for question in QUESTIONS
            if answers[question.code] and modality in question.blocks
        ]
        for modality in Modality
    }


@dataclass(frozen=True)
class Scale:
    """An outcome measure: its range, and the change that matters to a patient.

    ``mcid`` is the minimal clinically important difference with its source; a scale that is better
    when lower has ``is_higher_better`` False.
    """

    code: str
    title: str
    lowest: float
    highest: float
    step: float
    mcid: float
    mcid_source: str
    is_higher_better: bool = True


SCALES: Mapping[str, Scale] = {
    scale.code: scale
    for scale in (
        Scale(
            "FMA-UE",
            gettext_noop("Fugl-Meyer Assessment, upper extremity"),
            0,
            66,
            1,
            5.25,
            "Page, Fulk, Boyne, Phys. Ther. 92(6), 2012: 4.25 to 7.25 by movement, 5.25 overall",
        ),
    )
}


def check_score(code: str, value: float) -> Scale:
    """The scale, if a score is one that it can have.

    Raises
    ------
    ScoreImpossible
        If the scale is not known, or the value is outside it or between two of its steps.
    """
    scale = SCALES.get(code)
    if scale is None:
        raise ScoreImpossible(scale=code, value=value, rule="known are " + ", ".join(SCALES))
    if not scale.lowest <= value <= scale.highest or (value - scale.lowest) % scale.step:
        rule = f"it goes from {scale.lowest:g} to {scale.highest:g} in steps of {scale.step:g}"
        raise ScoreImpossible(scale=code, value=value, rule=rule)
    return scale


def change_of(scale: Scale, values: Sequence[float]) -> float | None:
    """The change from the first score to the last, above zero if it is for the better."""
    if len(values) < 2:
        return None
    change = values[-1] - values[0]
    return change if scale.is_higher_better else -change
