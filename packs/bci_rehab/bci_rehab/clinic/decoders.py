"""Decoders of a patient: fitted by the station, accepted or rejected by a therapist."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from bci_rehab.clinic import sessions, station
from bci_rehab.clinic.errors import DecoderAtChance, DecoderNotAccepted, FitGone, SessionOpen
from bci_rehab.clinic.models import DecoderVersion, Patient, TrainingSession
from haihe.packs.pages import (
    MissingRecord,
    Principal,
    authorize,
    now,
    parse_id,
    record,
    unit_of_work,
)


def find_decoder(principal: Principal, decoder_id: str | UUID) -> DecoderVersion:
    """One decoder, for those who run its patient's sessions."""
    pk = parse_id(decoder_id, kind="decoder")
    found = DecoderVersion.objects.select_related("patient").filter(pk=pk).first()
    if found is None:
        raise MissingRecord(kind="decoder", id=str(pk))
    authorize(principal, "bci_rehab.read_patient", found.resource())
    authorize(principal, "bci_rehab.run_session", found.resource())
    return found


def fit(principal: Principal, session_id: str | UUID) -> None:
    """Have the station learn a decoder from the calibration trials so far."""
    session = sessions.run_by(principal, session_id)
    sessions.check_going(session)
    station.fit(str(session.pk))


def accept_fit(principal: Principal, session_id: str | UUID, sha256: str) -> DecoderVersion:
    """Accept the decoder that the station has fitted, and put it into the session.

    ``sha256`` is that of the decoder whose accuracy was looked at. Done again, it is put in again.

    Raises
    ------
    FitGone
        If the station has another one by now.
    DecoderAtChance
        If guessing could explain its accuracy.
    """
    session = sessions.run_by(principal, session_id)
    sessions.check_going(session)
    decoder = accept(principal, keep_fit(principal, session, sha256).pk)
    station.use(str(session.pk), {"file": decoder.file, "sha256": decoder.sha256})
    with unit_of_work():
        TrainingSession.objects.filter(pk=session.pk).update(decoder=decoder)
        sessions.note("decoder_used", principal, session, decoder=decoder.sha256)
    return decoder


def keep_fit(principal: Principal, session: TrainingSession, sha256: str) -> DecoderVersion:
    """Write down what the station has fitted, as the patient's next version."""
    fitted = station.state().get("fit") or {}
    if fitted.get("state") != "done" or fitted.get("sha256") != sha256:
        raise FitGone()
    with unit_of_work():
        patient = Patient.objects.select_for_update().get(pk=session.patient.pk)
        known = patient.decoders.filter(sha256=sha256).first()
        if known is not None:
            return known
        decoder = DecoderVersion.objects.create(
            patient=patient,
            version=patient.decoders.count() + 1,
            **{name: fitted[name] for name in ("file", "sha256", "method", "accuracy")},
            **{name: fitted.get(name) for name in ("threshold", "hits", "false_per_min")},
        )
        earlier = patient.decoders.filter(sha256__in=fitted.get("earlier", ()))
        before = TrainingSession.objects.filter(calibrated__in=earlier)
        decoder.calibration_sessions.add(session, *before)
        sessions.note("decoder_fitted", principal, session, decoder=sha256)
    return decoder


def accept(principal: Principal, decoder_id: str | UUID) -> DecoderVersion:
    """Let a decoder drive from now on; one that was rejected stays so."""
    decoder = find_decoder(principal, decoder_id)
    if decoder.rejected_at is not None:
        raise DecoderNotAccepted(patient=decoder.patient.pseudonym)
    if not decoder.is_above_chance:
        raise DecoderAtChance(
            decoder=str(decoder),
            accuracy=f"{decoder.accuracy['value']:.0%}",
            bound=f"{decoder.accuracy['chance_bound']:.0%}",
        )
    with unit_of_work():
        _decide(
            principal,
            decoder,
            "decoder_accepted",
            accepted_at=now(),
            accepted_by_id=principal.person_id,
        )
    decoder.refresh_from_db()
    return decoder


def reject(principal: Principal, decoder_id: str | UUID, reason: str) -> DecoderVersion:
    """End a decoder's use, or never begin it; the reason stays with it.

    Raises
    ------
    SessionOpen
        If it drives a session just now: that is ended first.
    """
    decoder = find_decoder(principal, decoder_id)
    if decoder.driven.filter(state=TrainingSession.State.RUNNING).exists():
        raise SessionOpen(patient=decoder.patient.pseudonym)
    with unit_of_work():
        _decide(
            principal,
            decoder,
            "decoder_rejected",
            rejected_at=now(),
            rejected_by_id=principal.person_id,
            rejected_reason=reason,
        )
    decoder.refresh_from_db()
    return decoder


def _decide(principal: Principal, decoder: DecoderVersion, kind: str, **decided: Any) -> None:
    """Write a decision down once; a second one of its kind changes nothing."""
    first = next(iter(decided))
    rows = DecoderVersion.objects.filter(pk=decoder.pk, **{"rejected_at": None, first: None})
    if rows.update(**decided):
        record(
            f"bci_rehab.{kind}",
            subject=f"bci_rehab_decoder:{decoder.pk}",
            actor=principal,
            data={"patient": str(decoder.patient_id), "sha256": decoder.sha256},
            parties=[decoder.patient.organisation_id],
        )
