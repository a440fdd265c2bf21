"""What staff do with patients. Each function authorises first; what it did is in the evidence log,
under the patient's id and never with words about them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from uuid import UUID

from django.db.models import Prefetch, QuerySet

from bci_rehab.clinic import station
from bci_rehab.clinic.domain import (
    Modality,
    Scale,
    Side,
    blocked_by,
    change_of,
    check_score,
)
from bci_rehab.clinic.errors import (
    ConsentMissing,
    Contraindicated,
    HaltUnconfirmed,
    IntakeMissing,
    NothingPrescribed,
    PatientClosed,
    PrescriptionActive,
)
from bci_rehab.clinic.identity import Identity, seal, unseal
from bci_rehab.clinic.models import (
    Consent,
    Intake,
    Note,
    Outcome,
    Patient,
    Prescription,
    TrainingSession,
)
from bci_rehab.clinic.models import Identity as IdentityRow
from bci_rehab.clinic.planning import check_calibrates
from haihe.packs import Refused
from haihe.packs.pages import (
    MissingRecord,
    Organisation,
    Principal,
    Resource,
    ServiceUnavailable,
    authorize,
    find_organisation,
    installation_home,
    now,
    parse_id,
    record,
    unit_of_work,
)

THERAPIST, TECHNICIAN = "bci_rehab.therapist", "bci_rehab.technician"
RESEARCHER = "bci_rehab.researcher"
# The same words of the same person within this time are the same form, sent twice.
SENT_TWICE_S = 60


def clinics_of(principal: Principal, *duties: str) -> list[Organisation]:
    """The organisations that entrust the caller with one of these duties; any, if none is named."""
    wanted = duties or (THERAPIST, TECHNICIAN)
    found: frozenset[UUID] = frozenset().union(*map(principal.entrusted_by, wanted))
    return list(Organisation.objects.filter(pk__in=found).order_by("slug"))


def list_patients(principal: Principal) -> QuerySet[Patient]:
    """The patients whom the caller attends, with their active prescriptions."""
    clinics = clinics_of(principal)
    resource = Resource("Patient", organisation=clinics[0].pk if clinics else None)
    authorize(principal, "bci_rehab.list_patients", resource)
    active = Prescription.objects.filter(state=Prescription.State.ACTIVE)
    return (
        Patient.objects.of(frozenset(clinic.pk for clinic in clinics))
        .select_related("organisation")
        .prefetch_related(Prefetch("prescriptions", queryset=active, to_attr="active"))
    )


def find_patient(principal: Principal, patient_id: str | UUID) -> Patient:
    """One patient; for others than their own clinic's staff there is none."""
    pk = parse_id(patient_id, kind="patient")
    found = Patient.objects.select_related("organisation", "created_by").filter(pk=pk).first()
    if found is None:
        raise MissingRecord(kind="patient", id=str(pk))
    authorize(principal, "bci_rehab.read_patient", found.resource())
    return found


def check_may_enrol(principal: Principal, clinics: Sequence[Organisation]) -> None:
    """Refuse who is no therapist of any clinic, before a form is shown."""
    resource = Resource("Patient", organisation=clinics[0].pk if clinics else None)
    authorize(principal, "bci_rehab.enrol_patient", resource)


def treated(principal: Principal, patient_id: str | UUID) -> Patient:
    """A patient whom the caller treats."""
    patient = find_patient(principal, patient_id)
    authorize(principal, "bci_rehab.treat", patient.resource())
    return patient


def enrol(
    principal: Principal,
    *,
    organisation: str,
    identity: Identity,
    affected_side: Side,
    birth_year: int | None = None,
    onset_on: date | None = None,
    diagnosis: str = "",
) -> Patient:
    """Take a person in under the organisation's next pseudonym; who they are is sealed.

    Raises
    ------
    IdentitySealed
        If the key of the seals is gone or another one: it is put back before anybody is taken in.
    """
    clinic = find_organisation(principal, organisation)
    authorize(principal, "bci_rehab.enrol_patient", Resource("Patient", organisation=clinic.pk))
    with unit_of_work():
        # The organisation's row is the turn of whoever gives the next number.
        Organisation.objects.select_for_update().get(pk=clinic.pk)
        _check_key()
        number = Patient.objects.filter(organisation=clinic).count() + 1
        patient = Patient.objects.create(
            organisation=clinic,
            pseudonym=f"P-{number:04d}",
            affected_side=affected_side,
            birth_year=birth_year,
            onset_on=onset_on,
            diagnosis=diagnosis,
            created_by_id=principal.person_id,
        )
        IdentityRow.objects.create(
            patient=patient, sealed=seal(identity, patient.pk, home=installation_home())
        )
        _record("patient_enrolled", principal, patient)
    return patient


def read_identity(principal: Principal, patient_id: str | UUID) -> Identity:
    """Who a patient is; that somebody looked is in the evidence log."""
    patient = find_patient(principal, patient_id)
    authorize(principal, "bci_rehab.read_identity", patient.resource())
    with unit_of_work():
        _record("identity_read", principal, patient)
    sealed = bytes(patient.identity.sealed)
    return unseal(sealed, patient.pk, home=installation_home(), patient=patient.pseudonym)


def give_consent(
    principal: Principal,
    patient_id: str | UUID,
    *,
    purpose: str,
    text_version: str,
    given_on: date,
) -> Consent:
    """Record what a patient signed; one in force for a purpose is not given twice."""
    patient = _open_patient(principal, patient_id)
    with unit_of_work():
        consent, fresh = Consent.objects.get_or_create(
            patient=patient,
            purpose=purpose,
            withdrawn_at=None,
            defaults={
                "text_version": text_version,
                "given_on": given_on,
                "recorded_by_id": principal.person_id,
            },
        )
        if fresh:
            _record("consent_given", principal, patient, purpose=purpose, text=text_version)
    return consent


def withdraw_consent(principal: Principal, patient_id: str | UUID, *, purpose: str) -> None:
    """Record that a patient takes consent back. Training ends with it; what is recorded stays."""
    patient = treated(principal, patient_id)
    if purpose not in Consent.Purpose.values:
        raise MissingRecord(kind="consent", id=purpose)
    with unit_of_work():
        taken = patient.consents.filter(purpose=purpose, withdrawn_at=None).update(
            withdrawn_at=now(), withdrawal_recorded_by_id=principal.person_id
        )
        if taken:
            _record("consent_withdrawn", principal, patient, purpose=purpose)
        if taken and purpose == Consent.Purpose.TRAINING:
            _end_prescriptions(principal, patient)
    _halt_what_may_not_go_on(principal, patient)


def fill_intake(
    principal: Principal, patient_id: str | UUID, answers: Mapping[str, bool]
) -> Intake:
    """Keep the answers to the checklist; an active prescription that they forbid ends."""
    patient = _open_patient(principal, patient_id)
    blocked = blocked_by(answers)
    with unit_of_work():
        intake = Intake.objects.create(
            patient=patient, answers=dict(answers), recorded_by_id=principal.person_id
        )
        _record("intake_filled", principal, patient)
        active = patient.prescriptions.filter(state=Prescription.State.ACTIVE).first()
        if active is not None and blocked[Modality(active.modality)]:
            _end_prescriptions(principal, patient)
    _halt_what_may_not_go_on(principal, patient)
    return intake


def prescribe(
    principal: Principal,
    patient_id: str | UUID,
    *,
    modality: Modality,
    side: Side,
    sessions: int,
    minutes: int,
    false_triggers_per_min: float,
) -> Prescription:
    """Prescribe training.

    Raises
    ------
    ConsentMissing, IntakeMissing, Contraindicated, PrescriptionActive
        If the patient has not consented, was not asked, may not, or has a prescription already.
    RateOutOfReach, PlanImpossible
        If no session of these minutes could calibrate a decoder that moves so rarely by mistake.
    """
    patient = _open_patient(principal, patient_id)
    with unit_of_work():
        check_may_train(patient, modality)
        check_calibrates(
            modality=modality,
            side=side,
            minutes=minutes,
            false_triggers_per_min=false_triggers_per_min,
        )
        if patient.prescriptions.filter(state=Prescription.State.ACTIVE).exists():
            raise PrescriptionActive(patient=patient.pseudonym)
        prescription = Prescription.objects.create(
            patient=patient,
            modality=modality,
            side=side,
            sessions=sessions,
            minutes=minutes,
            false_triggers_per_min=false_triggers_per_min,
            prescribed_by_id=principal.person_id,
        )
        _record("prescribed", principal, patient, prescription=str(prescription.pk))
    return prescription


def end_prescription(principal: Principal, patient_id: str | UUID) -> None:
    """End the active prescription; the sessions that were had stay."""
    patient = treated(principal, patient_id)
    with unit_of_work():
        _end_prescriptions(principal, patient)
    _halt_what_may_not_go_on(principal, patient)


def check_stands(patient: Patient, prescription: Prescription) -> None:
    """Refuse where record, prescription, consent or intake stand against a session now."""
    _check_open(patient)
    if prescription.state != Prescription.State.ACTIVE:
        raise NothingPrescribed(patient=patient.pseudonym)
    check_may_train(patient, Modality(prescription.modality))


def check_may_train(patient: Patient, modality: Modality) -> None:
    """Refuse where consent, intake or an answer of it stands against training."""
    purpose = Consent.Purpose.TRAINING
    if not patient.consents.filter(purpose=purpose, withdrawn_at=None).exists():
        raise ConsentMissing(patient=patient.pseudonym, purpose=str(purpose))
    intake = patient.intakes.order_by("-pk").first()
    if intake is None:
        raise IntakeMissing(patient=patient.pseudonym)
    stands_against = blocked_by(intake.answers)[modality]
    if stands_against:
        raise Contraindicated(
            patient=patient.pseudonym, modality=str(modality), answers=", ".join(stands_against)
        )


def add_outcome(
    principal: Principal,
    patient_id: str | UUID,
    *,
    scale: str,
    value: float,
    measured_on: date,
    rater: str = "",
) -> Outcome:
    """Enter a score. One that stands there already, of the same day and rater, is not doubled."""
    patient = _open_patient(principal, patient_id)
    check_score(scale, value)
    with unit_of_work():
        outcome, fresh = Outcome.objects.get_or_create(
            patient=patient,
            scale=scale,
            value=value,
            measured_on=measured_on,
            rater=rater,
            struck_at=None,
            defaults={"recorded_by_id": principal.person_id},
        )
        if fresh:
            _record("outcome_entered", principal, patient, outcome=str(outcome.pk))
    return outcome


def strike_outcome(
    principal: Principal, patient_id: str | UUID, outcome_id: str | UUID, *, reason: str
) -> None:
    """Strike a wrong score out; it stays to be seen, with the reason."""
    patient = _open_patient(principal, patient_id)
    pk = parse_id(outcome_id, kind="outcome")
    with unit_of_work():
        struck = patient.outcomes.filter(pk=pk, struck_at=None).update(
            struck_at=now(), struck_reason=reason
        )
        if not struck:
            raise MissingRecord(kind="outcome", id=str(pk))
        _record("outcome_struck", principal, patient, outcome=str(pk))


def write_note(principal: Principal, patient_id: str | UUID, text: str) -> Note:
    """Write something down about a patient. A form that is sent twice leaves one note."""
    patient = find_patient(principal, patient_id)
    authorize(principal, "bci_rehab.write_note", patient.resource())
    _check_open(patient)
    just_now = now() - timedelta(seconds=SENT_TWICE_S)
    with unit_of_work():
        twice = patient.notes.filter(
            text=text, author=principal.person_id, created_at__gte=just_now
        ).first()
        if twice is not None:
            return twice
        note = Note.objects.create(patient=patient, text=text, author_id=principal.person_id)
        _record("note_written", principal, patient)
    return note


def close_patient(principal: Principal, patient_id: str | UUID, *, is_closed: bool) -> None:
    """Close a record, or open it again; a closed one is read only."""
    patient = treated(principal, patient_id)
    with unit_of_work():
        Patient.objects.filter(pk=patient.pk).update(closed_at=now() if is_closed else None)
        if is_closed:
            _end_prescriptions(principal, patient)
        _record("patient_closed" if is_closed else "patient_opened", principal, patient)
    _halt_what_may_not_go_on(principal, patient)


@dataclass(frozen=True)
class Course:
    """The scores of one scale over time, struck ones left out, and what became of them.

    ``change`` is above zero for the better; ``matters`` says whether it reaches the minimal
    clinically important difference.
    """

    scale: Scale
    outcomes: Sequence[Outcome]
    change: float | None

    @property
    def matters(self) -> bool:
        """Whether the change is one that a patient notices."""
        return self.change is not None and self.change >= self.scale.mcid


def courses_of(patient: Patient) -> list[Course]:
    """The course of each scale that was scored."""
    by_scale: dict[str, list[Outcome]] = {}
    for outcome in patient.outcomes.filter(struck_at=None).order_by("measured_on", "pk"):
        by_scale.setdefault(outcome.scale, []).append(outcome)
    return [
        Course(
            outcomes[0].measure,
            outcomes,
            change_of(outcomes[0].measure, [outcome.value for outcome in outcomes]),
        )
        for outcomes in by_scale.values()
    ]


def research_outcomes(principal: Principal) -> QuerySet[Outcome]:
    """The scores of patients who consented to research and did not take it back."""
    clinics = clinics_of(principal, RESEARCHER)
    resource = Resource("Patient", organisation=clinics[0].pk if clinics else None)
    authorize(principal, "bci_rehab.export_outcomes", resource)
    consented = Consent.objects.filter(
        purpose=Consent.Purpose.RESEARCH,
        withdrawn_at=None,
        patient__organisation__in=[clinic.pk for clinic in clinics],
    )
    rows = Outcome.objects.filter(patient__in=consented.values("patient"), struck_at=None)
    return rows.select_related("patient__organisation")


def _check_key() -> None:
    """Seal nobody with another key than those before them, which could never be put back then."""
    last = IdentityRow.objects.select_related("patient").order_by("-pk").first()
    if last is not None:
        patient = last.patient
        unseal(bytes(last.sealed), patient.pk, home=installation_home(), patient=patient.pseudonym)


def _open_patient(principal: Principal, patient_id: str | UUID) -> Patient:
    """A patient whom the caller treats, and whose record is open."""
    patient = treated(principal, patient_id)
    _check_open(patient)
    return patient


def _check_open(patient: Patient) -> None:
    if patient.closed_at is not None:
        raise PatientClosed(patient=patient.pseudonym)


def _halt_what_may_not_go_on(principal: Principal, patient: Patient) -> None:
    """End at the station a session against which something stands now. Never in a unit of work.

    Raises
    ------
    HaltUnconfirmed
        If the station did not say that it ended. What stands against it is written down by then.
    """
    running = TrainingSession.objects.filter(
        prescription__patient=patient, state=TrainingSession.State.RUNNING
    )
    for session in running.select_related("prescription__patient"):
        try:
            check_stands(session.patient, session.prescription)
        except Refused as error:
            _halt(principal, session, why=error.code)


def _halt(principal: Principal, session: TrainingSession, *, why: str) -> None:
    try:
        ended = station.halt(str(session.pk), why)
    except ServiceUnavailable as error:
        raise HaltUnconfirmed(session=str(session.number)) from error
    if not ended:
        raise HaltUnconfirmed(session=str(session.number))
    with unit_of_work():
        _record("session_halted", principal, session.patient, session=str(session.pk), why=why)


def _end_prescriptions(principal: Principal, patient: Patient) -> None:
    ended = patient.prescriptions.filter(state=Prescription.State.ACTIVE).update(
        state=Prescription.State.ENDED, ended_at=now()
    )
    if ended:
        _record("prescription_ended", principal, patient)


def _record(kind: str, principal: Principal, patient: Patient, **data: str) -> None:
    record(
        f"bci_rehab.{kind}",
        subject=f"bci_rehab_patient:{patient.pk}",
        actor=principal,
        data=data,
        parties=[patient.organisation_id],
    )
