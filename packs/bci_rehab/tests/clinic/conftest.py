"""A clinic with a therapist, a technician and a researcher, and its patients."""

from __future__ import annotations

import pytest
from bci_rehab.clinic import services
from bci_rehab.clinic.domain import Side
from bci_rehab.clinic.models import Consent, Patient
from clinic_people import IDENTITY, NO_TO_ALL, SIGNED, Clinic, make_clinic


@pytest.fixture
def clinic(db: None) -> Clinic:
    return make_clinic("clinic")


@pytest.fixture
def patient(clinic: Clinic) -> Patient:
    return services.enrol(
        clinic.therapist,
        organisation="clinic",
        identity=IDENTITY,
        affected_side=Side.LEFT,
        birth_year=1958,
        diagnosis="缺血性脑卒中",
    )


@pytest.fixture
def ready(clinic: Clinic, patient: Patient) -> Patient:
    """A patient who has consented, and was asked."""
    services.give_consent(
        clinic.therapist,
        patient.pk,
        purpose=Consent.Purpose.TRAINING,
        text_version="2026-01",
        given_on=SIGNED,
    )
    services.fill_intake(clinic.therapist, patient.pk, NO_TO_ALL)
    return patient
