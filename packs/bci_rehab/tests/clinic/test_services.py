"""What staff do with patients: who may, what must come before, and what stays."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from bci_rehab.clinic import services
from bci_rehab.clinic.domain import QUESTIONS, SCALES, Modality, Side, blocked_by, change_of
from bci_rehab.clinic.errors import (
    ConsentMissing,
    Contraindicated,
    IdentitySealed,
    IntakeIncomplete,
    IntakeMissing,
    PatientClosed,
    PrescriptionActive,
    ScoreImpossible,
)
from bci_rehab.clinic.identity import KEY_FILE, seal, unseal
from bci_rehab.clinic.models import Consent, Patient, Prescription
from clinic_people import (
    IDENTITY,
    NO_TO_ALL,
    PRESCRIBED,
    SIGNED,
    Clinic,
    make_clinic,
    prescribe,
)
from django.db import connection

from haihe.evidence.models import EvidenceEntry
from haihe.packs.checks import CHECKS, Status, Subject, run_check
from haihe.packs.discovery import find_pack
from haihe.packs.pages import MissingRecord, installation_home
from haihe.policy.domain import ANONYMOUS, PlatformRole, Principal
from haihe.policy.errors import NotAllowed, NotSignedIn, ScopeMissing

pytestmark = pytest.mark.django_db

# --- who may -------------------------------------------------------------------------------------


def test_only_those_who_treat_see_a_patient(clinic: Clinic, patient: Patient) -> None:
    with pytest.raises(NotSignedIn):
        services.find_patient(ANONYMOUS, patient.pk)
    operator = Principal(id=clinic.owner.id, platform_roles=frozenset({PlatformRole.OPERATOR}))
    other = make_clinic("other")
    for principal in (clinic.owner, clinic.researcher, operator, other.therapist):
        with pytest.raises(NotAllowed):
            services.find_patient(principal, patient.pk)
    for principal in (clinic.therapist, clinic.technician):
        assert services.find_patient(principal, patient.pk) == patient
        assert list(services.list_patients(principal)) == [patient]
    assert list(services.list_patients(other.therapist)) == []
    with pytest.raises(NotAllowed):
        services.list_patients(clinic.owner)


def test_a_technician_writes_notes_and_treats_nobody(clinic: Clinic, ready: Patient) -> None:
    note = services.write_note(clinic.technician, ready.pk, "Gel dried out at C3.")
    assert (note.author_id, note.patient) == (clinic.technician.id, ready)
    for act in (
        lambda: services.prescribe(clinic.technician, ready.pk, **PRESCRIBED),
        lambda: services.read_identity(clinic.technician, ready.pk),
        lambda: services.withdraw_consent(clinic.technician, ready.pk, purpose="training"),
        lambda: services.close_patient(clinic.technician, ready.pk, is_closed=True),
        lambda: services.fill_intake(clinic.technician, ready.pk, NO_TO_ALL),
    ):
        with pytest.raises(NotAllowed):
            act()


def test_a_token_needs_the_scope_of_packs(clinic: Clinic, patient: Patient) -> None:
    narrow = Principal(
        id=clinic.therapist.id,
        memberships=clinic.therapist.memberships,
        duties=clinic.therapist.duties,
        scopes=frozenset({"read"}),
    )
    with pytest.raises(ScopeMissing):
        services.find_patient(narrow, patient.pk)


# --- who it is -----------------------------------------------------------------------------------


def test_who_a_patient_is_is_nowhere_in_the_clear(clinic: Clinic, patient: Patient) -> None:
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')  # noqa: S608 (the database's own names)
            rows = repr(cursor.fetchall())
            assert IDENTITY.name not in rows, table
            assert IDENTITY.telephone not in rows, table
    assert services.read_identity(clinic.therapist, patient.pk) == IDENTITY
    seen = EvidenceEntry.objects.filter(kind="bci_rehab.identity_read")
    assert [entry.actor for entry in seen] == [f"person:{clinic.therapist.id}"]


def test_a_seal_opens_in_its_own_row_only(clinic: Clinic, patient: Patient) -> None:
    sealed = seal(IDENTITY, patient.pk, home=installation_home())
    other = services.enrol(
        clinic.therapist, organisation="clinic", identity=IDENTITY, affected_side=Side.RIGHT
    )
    for broken, row in ((sealed, other), (sealed[:-1] + b"x", patient), (b"", patient)):
        with pytest.raises(IdentitySealed):
            unseal(broken, row.pk, home=installation_home(), patient=row.pseudonym)


def test_without_the_key_nobody_is_taken_in_and_once_it_is_back_all_seals_open(
    clinic: Clinic, patient: Patient
) -> None:
    key = installation_home() / "keys" / KEY_FILE
    kept = key.read_bytes()

    def enrol() -> Patient:
        return services.enrol(
            clinic.therapist, organisation="clinic", identity=IDENTITY, affected_side=Side.LEFT
        )

    key.unlink()
    with pytest.raises(IdentitySealed, match="Restore the key"):
        enrol()
    assert not key.exists(), "none is made in its place"
    key.write_bytes(kept[::-1])
    with pytest.raises(IdentitySealed):
        enrol()
    key.write_bytes(kept)
    assert services.read_identity(clinic.therapist, enrol().pk) == IDENTITY
    assert services.read_identity(clinic.therapist, patient.pk) == IDENTITY


def test_pseudonyms_count_up_in_each_clinic(clinic: Clinic, patient: Patient) -> None:
    other = make_clinic("other")
    second, foreign = (
        services.enrol(who, organisation=slug, identity=IDENTITY, affected_side=Side.BOTH)
        for who, slug in ((clinic.therapist, "clinic"), (other.therapist, "other"))
    )
    assert [patient.pseudonym, second.pseudonym, foreign.pseudonym] == [
        "P-0001",
        "P-0002",
        "P-0001",
    ]


# --- what must come before -----------------------------------------------------------------------


def test_nothing_is_prescribed_without_consent_and_intake(clinic: Clinic, patient: Patient) -> None:
    with pytest.raises(ConsentMissing):
        prescribe(clinic, patient)
    services.give_consent(
        clinic.therapist, patient.pk, purpose="research", text_version="1", given_on=SIGNED
    )
    with pytest.raises(ConsentMissing, match="training"):
        prescribe(clinic, patient)
    services.give_consent(
        clinic.therapist, patient.pk, purpose="training", text_version="1", given_on=SIGNED
    )
    with pytest.raises(IntakeMissing):
        prescribe(clinic, patient)
    services.fill_intake(clinic.therapist, patient.pk, NO_TO_ALL)
    assert prescribe(clinic, patient).state == Prescription.State.ACTIVE
    with pytest.raises(PrescriptionActive):
        prescribe(clinic, patient)


def test_an_unasked_question_is_no_no(clinic: Clinic, patient: Patient) -> None:
    for question in QUESTIONS:
        answers = {code: False for code in NO_TO_ALL if code != question.code}
        with pytest.raises(IntakeIncomplete, match=question.code):
            services.fill_intake(clinic.therapist, patient.pk, answers)


def test_photosensitive_people_see_no_flicker_and_may_imagine(
    clinic: Clinic, ready: Patient
) -> None:
    services.fill_intake(clinic.therapist, ready.pk, {**NO_TO_ALL, "photosensitive": True})
    for modality in (Modality.SSVEP, Modality.P300):
        with pytest.raises(Contraindicated, match="photosensitive"):
            prescribe(clinic, ready, modality=modality)
    assert prescribe(clinic, ready).modality == Modality.MOTOR_IMAGERY


def test_every_question_blocks_what_it_says() -> None:
    assert not any(blocked_by(NO_TO_ALL).values())
    for question in QUESTIONS:
        found = blocked_by({**NO_TO_ALL, question.code: True})
        assert {modality for modality, codes in found.items() if codes} == question.blocks
        assert question.blocks


def test_a_new_answer_ends_the_training_that_it_forbids(clinic: Clinic, ready: Patient) -> None:
    prescription = prescribe(clinic, ready, modality=Modality.SSVEP)
    services.fill_intake(clinic.therapist, ready.pk, {**NO_TO_ALL, "photosensitive": True})
    prescription.refresh_from_db()
    assert prescription.state == Prescription.State.ENDED


def test_taking_consent_back_ends_training_and_keeps_the_record(
    clinic: Clinic, ready: Patient
) -> None:
    prescription = prescribe(clinic, ready)
    services.withdraw_consent(clinic.therapist, ready.pk, purpose=Consent.Purpose.TRAINING)
    prescription.refresh_from_db()
    assert prescription.ended_at is not None
    assert ready.consents.get().withdrawn_at is not None
    with pytest.raises(ConsentMissing):
        prescribe(clinic, ready)
    again = services.give_consent(
        clinic.therapist, ready.pk, purpose="training", text_version="2", given_on=SIGNED
    )
    assert again.withdrawn_at is None
    assert ready.consents.count() == 2


def test_a_form_that_is_sent_twice_leaves_one_row(clinic: Clinic, ready: Patient) -> None:
    score = {"scale": "FMA-UE", "value": 30.0, "measured_on": SIGNED}
    first = services.add_outcome(clinic.therapist, ready.pk, **score)
    assert services.add_outcome(clinic.therapist, ready.pk, **score) == first
    services.strike_outcome(clinic.therapist, ready.pk, first.pk, reason="another patient's")
    assert services.add_outcome(clinic.therapist, ready.pk, **score) != first
    note = services.write_note(clinic.therapist, ready.pk, "tired")
    assert services.write_note(clinic.therapist, ready.pk, "tired") == note
    assert services.write_note(clinic.technician, ready.pk, "tired") != note
    assert services.write_note(clinic.therapist, ready.pk, "very tired") != note


def test_consent_to_nothing_is_not_withdrawn(clinic: Clinic, ready: Patient) -> None:
    with pytest.raises(MissingRecord):
        services.withdraw_consent(clinic.therapist, ready.pk, purpose="nonsense")
    assert ready.consents.filter(withdrawn_at=None).exists()


def test_a_closed_record_is_read_only(clinic: Clinic, ready: Patient) -> None:
    prescription = prescribe(clinic, ready)
    services.close_patient(clinic.therapist, ready.pk, is_closed=True)
    prescription.refresh_from_db()
    assert prescription.state == Prescription.State.ENDED
    for act in (
        lambda: prescribe(clinic, ready),
        lambda: services.write_note(clinic.technician, ready.pk, "late"),
        lambda: services.fill_intake(clinic.therapist, ready.pk, NO_TO_ALL),
    ):
        with pytest.raises(PatientClosed):
            act()
    services.close_patient(clinic.therapist, ready.pk, is_closed=False)
    assert prescribe(clinic, ready)


# --- outcomes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scale", "value"), [("FMA-UE", 67), ("FMA-UE", -1), ("FMA-UE", 20.5), ("X", 1)]
)
def test_a_score_that_its_scale_does_not_have_is_refused(
    scale: str, value: float, clinic: Clinic, patient: Patient
) -> None:
    with pytest.raises(ScoreImpossible):
        services.add_outcome(
            clinic.therapist, patient.pk, scale=scale, value=value, measured_on=SIGNED
        )


def test_a_course_says_whether_the_change_matters(clinic: Clinic, patient: Patient) -> None:
    def score(value: float, day: int) -> Any:
        return services.add_outcome(
            clinic.therapist,
            patient.pk,
            scale="FMA-UE",
            value=value,
            measured_on=date(2026, 1, day),
        )

    score(25, 20)
    score(20, 5)
    [course] = services.courses_of(patient)
    assert (course.change, course.matters) == (5, False)
    wrong = score(60, 25)
    assert services.courses_of(patient)[0].matters
    services.strike_outcome(clinic.therapist, patient.pk, wrong.pk, reason="other patient")
    score(26, 26)
    [course] = services.courses_of(patient)
    assert (course.change, course.matters) == (6, True)
    assert patient.outcomes.get(pk=wrong.pk).struck_reason == "other patient"
    with pytest.raises(MissingRecord):
        services.strike_outcome(clinic.therapist, patient.pk, wrong.pk, reason="twice")


def test_one_score_is_no_change() -> None:
    scale = SCALES["FMA-UE"]
    assert change_of(scale, [20]) is None
    assert change_of(scale, [20, 30, 26]) == 6


def test_research_sees_those_only_who_consented_to_it(clinic: Clinic, ready: Patient) -> None:
    services.add_outcome(clinic.therapist, ready.pk, scale="FMA-UE", value=20, measured_on=SIGNED)
    assert list(services.research_outcomes(clinic.researcher)) == []
    services.give_consent(
        clinic.therapist, ready.pk, purpose="research", text_version="1", given_on=SIGNED
    )
    assert [row.value for row in services.research_outcomes(clinic.researcher)] == [20]
    services.withdraw_consent(clinic.therapist, ready.pk, purpose="research")
    assert list(services.research_outcomes(clinic.researcher)) == []
    for principal in (clinic.owner, clinic.therapist, make_clinic("other").therapist):
        with pytest.raises(NotAllowed):
            services.research_outcomes(principal)


def test_the_tables_have_their_migrations(tmp_path: Path) -> None:
    subject = Subject(find_pack("bci_rehab"), inputs=None, folder=tmp_path)
    result = run_check(subject, CHECKS["portal.tables_migrated"])
    assert (result.status, result.reason) == (Status.PASSED, "9 tables")
