"""A clinic with a therapist, a technician and a researcher, and its patients."""

from __future__ import annotations

import pytest
from bci_rehab.clinic import services, sessions
from bci_rehab.clinic.domain import Side
from bci_rehab.clinic.models import Consent, Patient, TrainingSession
from clinic_people import IDENTITY, NO_TO_ALL, SIGNED, Clinic, make_clinic, prescribe
from fake_station import SYNTHETIC, FakeStation


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


@pytest.fixture
def station(monkeypatch: pytest.MonkeyPatch) -> FakeStation:
    """A station that runs."""
    fake = FakeStation()
    monkeypatch.setattr("bci_rehab.clinic.station.ask_service", fake.ask)
    return fake


@pytest.fixture
def prescribed(clinic: Clinic, ready: Patient) -> Patient:
    """A patient with a prescription of two sessions."""
    prescribe(clinic, ready, sessions=2)
    return ready


@pytest.fixture
def running(clinic: Clinic, prescribed: Patient, station: FakeStation) -> TrainingSession:
    """A calibration that is open at the station."""
    planned = sessions.plan_session(clinic.therapist, prescribed.pk, calibrate=True)
    return sessions.open_session(clinic.therapist, planned.pk, sessions.Setting(source=SYNTHETIC))
