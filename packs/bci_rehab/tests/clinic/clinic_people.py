"""Who works in a clinic, and what they fill in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from bci_rehab.clinic import services
from bci_rehab.clinic.domain import QUESTIONS, Modality, Side
from bci_rehab.clinic.identity import Identity
from bci_rehab.clinic.models import Patient, Prescription
from tests.callers import person_of
from tests.factories import make_member, make_organisation

from haihe.parties.models import Organisation
from haihe.parties.services import entrust, principal_of
from haihe.policy.domain import Principal

IDENTITY = Identity(name="王小明", document="A-17", telephone="022-1234")
NO_TO_ALL = {question.code: False for question in QUESTIONS}
SIGNED = date(2026, 1, 5)


@dataclass(frozen=True)
class Clinic:
    """An organisation and who does what in it."""

    organisation: Organisation
    owner: Principal
    therapist: Principal
    technician: Principal
    researcher: Principal


def make_clinic(slug: str) -> Clinic:
    organisation = make_organisation(slug, kind="hospital")
    owner = make_member(organisation, "owner")

    def staff(duty: str) -> Principal:
        member = make_member(organisation, "member")
        entrust(owner, slug, member.person_id, [f"bci_rehab.{duty}"])
        return principal_of(person_of(member))

    duties = ("therapist", "technician", "researcher")
    return Clinic(organisation, owner, *(staff(duty) for duty in duties))


PRESCRIBED = {
    "modality": Modality.MOTOR_IMAGERY, "side": Side.LEFT, "sessions": 12, "minutes": 40,
    "false_triggers_per_min": 0.5,
}  # fmt: skip


def prescribe(clinic: Clinic, patient: Patient, **changes: Any) -> Prescription:
    return services.prescribe(clinic.therapist, patient.pk, **{**PRESCRIBED, **changes})
