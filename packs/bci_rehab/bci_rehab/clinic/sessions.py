"""What staff do with sessions: plan, open, close, cancel, and see.

Each function authorises first. The station is asked outside of any transaction: what it did is
written down afterwards, and each step can be repeated if the portal stopped in between.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from bci_rehab.clinic import services, station
from bci_rehab.clinic.domain import Modality, Side
from bci_rehab.clinic.errors import (
    DecoderNotAccepted,
    NothingPrescribed,
    SessionNotReady,
    SessionOpen,
    StationHolds,
)
from bci_rehab.clinic.models import Consent, DecoderVersion, Patient, Prescription, TrainingSession
from bci_rehab.clinic.planning import plan_for
from haihe.packs.pages import (
    MissingRecord,
    Person,
    Principal,
    Resource,
    ServiceUnavailable,
    authorize,
    is_allowed,
    new_id,
    now,
    parse_id,
    record,
    unit_of_work,
)

State = TrainingSession.State
NO_ACTUATOR: Mapping[str, Any] = {"kind": "none", "given": {}}
SEEDS = 2**31
# More would be learned from for long and say little that is new.
EARLIER_MOST = 2


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a session is opened with. The actuator's ``output`` is off until somebody turns it on,
    in each session anew.
    """

    source: Mapping[str, Any]
    actuator: str = "none"
    given: Mapping[str, Any] = field(default_factory=dict)
    output: bool = False


def find_session(principal: Principal, session_id: str | UUID) -> TrainingSession:
    """One session, for the staff of the patient's clinic."""
    pk = parse_id(session_id, kind="session")
    related = (
        "prescription__patient__organisation", "prescription__prescribed_by",
        "decoder__accepted_by", "decoder__rejected_by", "opened_by", "planned_by",
    )  # fmt: skip
    found = TrainingSession.objects.select_related(*related).filter(pk=pk).first()
    if found is None:
        raise MissingRecord(kind="session", id=str(pk))
    authorize(principal, "bci_rehab.read_patient", found.resource())
    return found


def checked(principal: Principal, session_id: str | UUID) -> TrainingSession:
    """A session whose signal the caller may check, and whose pages they may open."""
    session = find_session(principal, session_id)
    authorize(principal, "bci_rehab.check_signal", session.resource())
    return session


def run_by(principal: Principal, session_id: str | UUID) -> TrainingSession:
    """A session that the caller runs."""
    session = find_session(principal, session_id)
    authorize(principal, "bci_rehab.run_session", session.resource())
    return session


def may_run(principal: Principal, patient: Patient) -> bool:
    """Whether the caller runs this patient's sessions."""
    return is_allowed(principal, "bci_rehab.run_session", patient.resource())


def sessions_of(patient: Patient) -> QuerySet[TrainingSession]:
    """A patient's sessions, newest first."""
    rows = TrainingSession.objects.filter(prescription__patient=patient)
    return rows.select_related("prescription__patient", "decoder").order_by("-pk")


def planned_for(principal: Principal, patient_id: str | UUID) -> Patient:
    """A patient for whom the caller may plan a session."""
    patient = services.find_patient(principal, patient_id)
    authorize(principal, "bci_rehab.run_session", patient.resource())
    return patient


def plan_session(
    principal: Principal, patient_id: str | UUID, *, calibrate: bool
) -> TrainingSession:
    """Plan the next session of the prescription; without an accepted decoder it calibrates.

    Raises
    ------
    PatientClosed, NothingPrescribed, SessionOpen, ConsentMissing, IntakeMissing, Contraindicated
        If something stands against training.
    DecoderNotAccepted
        If feedback is wanted without calibration, and there is no decoder for it.
    ModalityNotLive, PlanImpossible
        If what is prescribed cannot be had in a session.
    """
    patient = planned_for(principal, patient_id)
    with unit_of_work():
        prescription = _prescription(patient)
        services.check_stands(patient, prescription)
        if prescription.trainings.filter(state__in=(State.PLANNED, State.RUNNING)).exists():
            raise SessionOpen(patient=patient.pseudonym)
        number = prescription.trainings.exclude(state=State.ABORTED).count() + 1
        if number > prescription.sessions:
            raise NothingPrescribed(patient=patient.pseudonym)
        decoder = None if calibrate else decoder_of(patient)
        seed = secrets.randbelow(SEEDS)
        plan = plan_for(
            modality=Modality(prescription.modality),
            side=Side(prescription.side),
            affected_side=Side(patient.affected_side),
            minutes=prescription.minutes,
            session=number,
            sessions=prescription.sessions,
            calibrate=calibrate,
            has_earlier=patient.decoders.exclude(accepted_at=None)
            .filter(rejected_at=None)
            .exists(),
            false_triggers_per_min=prescription.false_triggers_per_min,
            seed=seed,
        )
        pk = new_id()
        session = TrainingSession.objects.create(
            pk=pk,
            prescription=prescription,
            number=number,
            seed=seed,
            plan=plan.to_json(),
            decoder=decoder,
            folder=f"sessions/{patient.pk}/{pk}",
            planned_by_id=principal.person_id,
        )
        note("session_planned", principal, session, calibrates=str(calibrate).lower())
    return session


def open_session(principal: Principal, session_id: str | UUID, setting: Setting) -> TrainingSession:
    """Open a session at the station, or open a running one again after the station was lost.

    A technician opens it for the check of the signal, with the actuator's output off; a therapist
    opens it as they choose. One that the station holds already keeps the settings it has.

    Raises
    ------
    SessionNotReady
        If it has ended.
    ServiceUnavailable, ServiceRefused
        If the station is not running or does not open it; the session stays as it was.
    """
    session = checked(principal, session_id)
    if setting.output:
        authorize(principal, "bci_rehab.run_session", session.resource())
    _check_may_open(session)
    if not _holds(session):
        _choose(session, setting)
        station.open_session(order_of(session, resume=session.state == State.RUNNING))
    with unit_of_work():
        begun = TrainingSession.objects.filter(pk=session.pk, state=State.PLANNED).update(
            state=State.RUNNING, started_at=now(), opened_by_id=principal.person_id
        )
        note(
            "session_opened" if begun else "session_reopened",
            principal,
            session,
            source=str(session.source.get("kind", "")),
            actuator=str(session.actuator.get("kind", "")),
            output="on" if session.actuator.get("output") else "off",
        )
    session.refresh_from_db()
    return session


def order_of(session: TrainingSession, *, resume: bool) -> dict[str, Any]:
    """What the station is asked to open. An actuator whose output is off is not opened at all."""
    actuator = session.actuator if session.actuator["output"] else NO_ACTUATOR
    decoder = session.decoder
    return {
        "session": str(session.pk),
        "folder": session.folder,
        "plan": session.plan,
        "source": {"kind": session.source["kind"], "given": session.source["given"]},
        "actuator": {"kind": actuator["kind"], "given": actuator["given"]},
        "decoder": _file(decoder) if decoder else None,
        "earlier": [_file(one) for one in earlier_of(session)] if session.calibrates else [],
        "false_triggers_per_min": session.prescription.false_triggers_per_min,
        "resume": resume,
    }


def close_session(principal: Principal, session_id: str | UUID) -> TrainingSession:
    """End a session at the station and take what it came to into the record.

    Done twice it changes nothing more; if the portal stopped in between, the summary that the
    station left in the session's folder is taken, and if the station itself was lost, what the
    recording holds. One without any trial counts as aborted, and its
    number is had again.
    """
    session = run_by(principal, session_id)
    if not session.is_open:
        return session
    if session.state == State.PLANNED:
        raise SessionNotReady(session=str(session.number), state=session.state, needed="running")
    summary = _summary(session)
    trained = summary.get("trials", 0) + summary.get("calibration_trials", 0)
    broken_off = summary.get("ended") == "aborted" or not trained
    state = State.ABORTED if broken_off else State.ENDED
    with unit_of_work():
        ended = TrainingSession.objects.filter(pk=session.pk, state=State.RUNNING).update(
            state=state, ended_at=now(), summary=summary
        )
        if ended:
            note("session_closed", principal, session, state=str(state))
    session.refresh_from_db()
    return session


def cancel_session(principal: Principal, session_id: str | UUID) -> TrainingSession:
    """Give up a session that was planned, or one whose station is gone for good.

    Raises
    ------
    StationHolds
        If the station still has it: then it is closed, with its summary.
    """
    session = run_by(principal, session_id)
    if not session.is_open:
        return session
    if session.state == State.RUNNING and _holds(session):
        raise StationHolds(session=str(session.number))
    with unit_of_work():
        open_states = (State.PLANNED, State.RUNNING)
        gone = TrainingSession.objects.filter(pk=session.pk, state__in=open_states).update(
            state=State.ABORTED, ended_at=now()
        )
        if gone:
            note("session_cancelled", principal, session)
    session.refresh_from_db()
    return session


def ticket_for(principal: Principal, session_id: str | UUID, role: str) -> dict[str, str]:
    """A ticket for a page of a running session: the patient's screen, or the staff's page.

    Who may not run it gets the role of a technician, whose orders no station obeys but the
    emergency stop.
    """
    session = checked(principal, session_id)
    if session.state != State.RUNNING:
        raise SessionNotReady(session=str(session.number), state=session.state, needed="running")
    if role != "patient":
        role = "therapist" if may_run(principal, session.patient) else "technician"
    return station.ticket(
        {
            "session": str(session.pk),
            "role": role,
            "person": str(principal.person_id),
            "name": person_name(principal),
        }
    )


def person_name(principal: Principal) -> str:
    """What a person is called on the station's pages and in the recording."""
    return str(Person.objects.get(pk=principal.person_id))


def decoder_of(patient: Patient) -> DecoderVersion:
    """The newest decoder that may drive."""
    found = patient.decoders.exclude(accepted_at=None).filter(rejected_at=None)
    newest = found.order_by("-version").first()
    if newest is None:
        raise DecoderNotAccepted(patient=patient.pseudonym)
    return newest


def earlier_of(session: TrainingSession) -> list[DecoderVersion]:
    """The accepted decoders whose recordings may shorten a session's calibration, newest first."""
    found = session.patient.decoders.exclude(accepted_at=None).filter(rejected_at=None)
    others = found.exclude(file__startswith=f"{session.folder}/")
    return list(others.order_by("-version")[:EARLIER_MOST])


def research_sessions(principal: Principal) -> QuerySet[TrainingSession]:
    """The ended sessions of patients who consented to research and did not take it back."""
    clinics = services.clinics_of(principal, services.RESEARCHER)
    resource = Resource("Patient", organisation=clinics[0].pk if clinics else None)
    authorize(principal, "bci_rehab.export_outcomes", resource)
    consented = Consent.objects.filter(
        purpose=Consent.Purpose.RESEARCH,
        withdrawn_at=None,
        patient__organisation__in=[clinic.pk for clinic in clinics],
    )
    rows = TrainingSession.objects.filter(
        prescription__patient__in=consented.values("patient"), state=State.ENDED
    )
    return rows.select_related("prescription__patient__organisation")


def check_going(session: TrainingSession) -> None:
    """Refuse what needs a session that is not over, of a patient who may go on with it."""
    check_open(session)
    services.check_stands(session.patient, session.prescription)


def check_open(session: TrainingSession) -> None:
    """Refuse what needs a session that is not over."""
    if not session.is_open:
        raise SessionNotReady(
            session=str(session.number), state=session.state, needed="planned or running"
        )


def note(kind: str, principal: Principal, session: TrainingSession, **data: str) -> None:
    """Write down that something was done with a session."""
    record(
        f"bci_rehab.{kind}",
        subject=f"bci_rehab_session:{session.pk}",
        actor=principal,
        data={"patient": str(session.patient.pk), **data},
        parties=[session.patient.organisation_id],
    )


def _file(decoder: DecoderVersion) -> dict[str, str]:
    return {"file": decoder.file, "sha256": decoder.sha256}


def _check_may_open(session: TrainingSession) -> None:
    check_going(session)
    _check_decoder(session)


def _choose(session: TrainingSession, setting: Setting) -> None:
    """Keep what a session is opened with, before the station is asked."""
    session.source = dict(setting.source)
    session.actuator = {
        "kind": setting.actuator, "given": dict(setting.given), "output": setting.output
    }  # fmt: skip
    with unit_of_work():
        session.save(update_fields=["source", "actuator"])


def _holds(session: TrainingSession) -> bool:
    """Whether the station has this session now."""
    return station.state().get("session") == str(session.pk)


def _summary(session: TrainingSession) -> dict[str, Any]:
    """What it came to: from the station, or from the folder if it was closed there before."""
    kept = station.kept_summary(session.folder)
    try:
        holds = _holds(session)
    except ServiceUnavailable:
        if kept is None:
            raise
        holds = False
    return (
        kept if kept is not None and not holds else station.close(str(session.pk), session.folder)
    )


def _prescription(patient: Patient) -> Prescription:
    """The prescription in force, locked: one plans at a time."""
    rows = patient.prescriptions.select_for_update().filter(state=Prescription.State.ACTIVE)
    found = rows.first()
    if found is None:
        raise NothingPrescribed(patient=patient.pseudonym)
    return found


def _check_decoder(session: TrainingSession) -> None:
    """Refuse a decoder that was rejected since, and feedback without any."""
    has_none = session.decoder is None and not session.calibrates
    if has_none or (session.decoder is not None and not session.decoder.may_drive):
        raise DecoderNotAccepted(patient=session.patient.pseudonym)
