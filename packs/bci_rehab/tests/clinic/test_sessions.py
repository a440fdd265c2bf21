"""Sessions and decoders: who may, what must come before, and what is asked of the station."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from bci_rehab.clinic import decoders, services, sessions
from bci_rehab.clinic.errors import (
    ConsentMissing,
    Contraindicated,
    DecoderAtChance,
    DecoderNotAccepted,
    FitGone,
    HaltUnconfirmed,
    NothingPrescribed,
    PatientClosed,
    SessionNotReady,
    SessionOpen,
    StationHolds,
)
from bci_rehab.clinic.models import DecoderVersion, Patient, TrainingSession
from bci_rehab.clinic.sessions import Setting
from clinic_people import NO_TO_ALL, SIGNED, Clinic, make_clinic
from django.db import IntegrityError, transaction
from fake_station import ACCURACY, FIT, HAND, SUMMARY, SYNTHETIC, FakeStation

from haihe.evidence.models import EvidenceEntry
from haihe.kernel.clock import now
from haihe.packs import Refused
from haihe.packs.channels import verified
from haihe.packs.pages import ServiceRefused, ServiceUnavailable, pack_home
from haihe.policy.domain import ANONYMOUS, Principal
from haihe.policy.errors import NotAllowed, NotSignedIn

pytestmark = pytest.mark.django_db
WITH_HAND = Setting(
    source=SYNTHETIC,
    actuator="simulated",
    given=HAND["given"],
    output=True,  # type: ignore[arg-type]
)
QUIET = Setting(source=SYNTHETIC)


def kinds() -> list[str]:
    found = EvidenceEntry.objects.filter(kind__startswith="bci_rehab.").order_by("index")
    return [entry.kind.removeprefix("bci_rehab.") for entry in found]


def plan(clinic: Clinic, patient: Patient, *, calibrate: bool = True) -> TrainingSession:
    return sessions.plan_session(clinic.therapist, patient.pk, calibrate=calibrate)


def fitted(clinic: Clinic, running: TrainingSession) -> DecoderVersion:
    decoders.fit(clinic.therapist, running.pk)
    return decoders.accept_fit(clinic.therapist, running.pk, FIT["sha256"])


# --- who may -------------------------------------------------------------------------------------


def test_only_a_therapist_runs_sessions(clinic: Clinic, running: TrainingSession) -> None:
    patient, pk = running.patient.pk, running.pk
    acts: list[Any] = [
        lambda who: sessions.plan_session(who, patient, calibrate=True),
        lambda who: sessions.close_session(who, pk),
        lambda who: sessions.cancel_session(who, pk),
        lambda who: sessions.open_session(who, pk, WITH_HAND),
        lambda who: decoders.fit(who, pk),
        lambda who: decoders.accept_fit(who, pk, FIT["sha256"]),
    ]
    others = (clinic.technician, clinic.owner, clinic.researcher, make_clinic("x").therapist)
    for act in acts:
        for principal in others:
            with pytest.raises(NotAllowed):
                act(principal)
        with pytest.raises(NotSignedIn):
            act(ANONYMOUS)


def test_a_technician_checks_the_signal_with_no_actuator(
    clinic: Clinic, prescribed: Patient, station: FakeStation
) -> None:
    planned = plan(clinic, prescribed)
    opened = sessions.open_session(clinic.technician, planned.pk, QUIET)
    assert opened.state == TrainingSession.State.RUNNING
    assert station.asked_for("open")[0]["actuator"] == {"kind": "none", "given": {}}
    for principal in (clinic.owner, clinic.researcher):
        with pytest.raises(NotAllowed):
            sessions.ticket_for(principal, opened.pk, "therapist")


@pytest.mark.parametrize(
    ("duty", "asked", "role"),
    [
        ("therapist", "therapist", "therapist"),
        ("technician", "therapist", "technician"),
        ("technician", "patient", "patient"),
        ("therapist", "nonsense", "therapist"),
    ],
)
def test_a_ticket_says_who_one_is(
    duty: str, asked: str, role: str, clinic: Clinic, running: TrainingSession
) -> None:
    principal: Principal = getattr(clinic, duty)
    given = sessions.ticket_for(principal, running.pk, asked)
    ticket = verified(given["ticket"])
    assert ticket is not None
    assert ticket.claims["role"] == role
    assert ticket.claims["session"] == str(running.pk)
    assert ticket.claims["person"] == str(principal.id)
    assert given["address"] == "/services/bci_rehab/station"


# --- what must come before -----------------------------------------------------------------------


def test_nothing_is_planned_without_a_prescription(clinic: Clinic, ready: Patient) -> None:
    with pytest.raises(NothingPrescribed):
        plan(clinic, ready)


def test_one_session_at_a_time_and_no_more_than_prescribed(
    clinic: Clinic, prescribed: Patient, station: FakeStation
) -> None:
    for number in (1, 2):
        planned = plan(clinic, prescribed)
        assert (planned.number, planned.plan["session"]) == (number, number)
        with pytest.raises(SessionOpen):
            plan(clinic, prescribed)
        sessions.open_session(clinic.therapist, planned.pk, QUIET)
        sessions.close_session(clinic.therapist, planned.pk)
    with pytest.raises(NothingPrescribed):
        plan(clinic, prescribed)


def test_an_aborted_session_is_had_again_under_its_number(
    clinic: Clinic, prescribed: Patient
) -> None:
    first = plan(clinic, prescribed)
    sessions.cancel_session(clinic.therapist, first.pk)
    again = plan(clinic, prescribed)
    assert (again.number, again.pk != first.pk) == (1, True)


def test_what_stands_against_training_stands_against_opening(
    clinic: Clinic, prescribed: Patient, station: FakeStation
) -> None:
    planned = plan(clinic, prescribed)

    def refused(error: type[Exception]) -> None:
        with pytest.raises(error):
            sessions.open_session(clinic.therapist, planned.pk, QUIET)
        assert station.asked_for("open") == []

    services.fill_intake(clinic.therapist, prescribed.pk, {**NO_TO_ALL, "epilepsy": True})
    refused(NothingPrescribed)
    planned.prescription.state = "active"
    planned.prescription.save()
    refused(Contraindicated)
    prescribed.consents.update(withdrawn_at=now())
    refused(ConsentMissing)
    services.close_patient(clinic.therapist, prescribed.pk, is_closed=True)
    refused(PatientClosed)


def test_output_is_off_unless_chosen(
    clinic: Clinic, prescribed: Patient, station: FakeStation
) -> None:
    planned = plan(clinic, prescribed)
    off = Setting(source=SYNTHETIC, actuator="simulated", given={"name": "simulated hand"})
    opened = sessions.open_session(clinic.therapist, planned.pk, off)
    assert station.asked_for("open")[0]["actuator"]["kind"] == "none"
    assert opened.actuator["output"] is False
    station.session = ""  # it was lost
    sessions.open_session(clinic.therapist, planned.pk, WITH_HAND)
    again = station.asked_for("open")[1]
    assert (again["actuator"]["kind"], again["resume"]) == ("simulated", True)
    assert kinds()[-2:] == ["session_opened", "session_reopened"]


# --- the station ---------------------------------------------------------------------------------


def test_what_the_station_is_asked_to_open(
    clinic: Clinic, running: TrainingSession, station: FakeStation
) -> None:
    [order] = station.asked_for("open")
    assert order == {
        "what": "open",
        "session": str(running.pk),
        "folder": f"sessions/{running.patient.pk}/{running.pk}",
        "plan": running.plan,
        "source": {"kind": "synthetic", "given": {"channels": 16}},
        "actuator": {"kind": "none", "given": {}},
        "decoder": None,
        "earlier": [],
        "false_triggers_per_min": 0.5,
        "resume": False,
    }
    assert json.loads(json.dumps(order)) == order


def test_a_session_that_does_not_open_stays_planned(
    clinic: Clinic, prescribed: Patient, station: FakeStation
) -> None:
    planned = plan(clinic, prescribed)
    station.is_up = False
    with pytest.raises(ServiceUnavailable):
        sessions.open_session(clinic.therapist, planned.pk, QUIET)
    station.is_up, station.session = True, "another"
    with pytest.raises(ServiceRefused):
        sessions.open_session(clinic.therapist, planned.pk, QUIET)
    planned.refresh_from_db()
    assert planned.state == TrainingSession.State.PLANNED
    assert "session_opened" not in kinds()


def test_one_that_was_opened_and_not_written_down_keeps_its_settings(
    clinic: Clinic, prescribed: Patient, station: FakeStation
) -> None:
    planned = plan(clinic, prescribed)
    planned.source = dict(SYNTHETIC)
    planned.actuator = {"kind": "none", "given": {}, "output": False}
    planned.save()
    station.session = str(planned.pk)
    opened = sessions.open_session(clinic.therapist, planned.pk, WITH_HAND)
    assert opened.actuator["output"] is False
    assert station.asked_for("open") == []


def test_closing_takes_the_summary_in_once(
    clinic: Clinic, running: TrainingSession, station: FakeStation
) -> None:
    for _ in range(2):
        closed = sessions.close_session(clinic.therapist, running.pk)
        assert closed.state == TrainingSession.State.ENDED
        assert closed.summary == SUMMARY
    assert kinds().count("session_closed") == 1
    with pytest.raises(SessionNotReady):
        sessions.ticket_for(clinic.therapist, running.pk, "therapist")
    with pytest.raises(SessionNotReady):
        sessions.open_session(clinic.therapist, running.pk, QUIET)


@pytest.mark.parametrize("is_up", [True, False])
def test_a_summary_that_was_left_in_the_folder_is_taken(
    is_up: bool, clinic: Clinic, running: TrainingSession, station: FakeStation
) -> None:
    folder = pack_home("bci_rehab") / running.folder
    folder.mkdir(parents=True)
    (folder / "summary.json").write_text(json.dumps(SUMMARY))
    station.session, station.is_up = "", is_up
    assert sessions.close_session(clinic.therapist, running.pk).summary == SUMMARY
    assert station.asked_for("close") == []


def test_one_without_a_trial_counts_as_aborted(
    clinic: Clinic, running: TrainingSession, station: FakeStation
) -> None:
    station.summary = {**SUMMARY, "ended": "interrupted", "trials": 0, "calibration_trials": 0}
    closed = sessions.close_session(clinic.therapist, running.pk)
    assert closed.state == TrainingSession.State.ABORTED
    assert plan(clinic, running.patient).number == 1


def test_a_session_that_the_station_holds_is_not_given_up(
    clinic: Clinic, running: TrainingSession, station: FakeStation
) -> None:
    with pytest.raises(StationHolds):
        sessions.cancel_session(clinic.therapist, running.pk)
    station.session = ""
    assert sessions.cancel_session(clinic.therapist, running.pk).state == "aborted"
    assert sessions.cancel_session(clinic.therapist, running.pk).state == "aborted"
    assert kinds().count("session_cancelled") == 1


# --- decoders ------------------------------------------------------------------------------------


def test_an_accepted_decoder_drives_this_session_and_the_next(
    clinic: Clinic, running: TrainingSession, station: FakeStation
) -> None:
    with pytest.raises(DecoderNotAccepted):
        sessions.decoder_of(running.patient)
    decoder = fitted(clinic, running)
    assert station.asked_for("use")[0]["decoder"] == {"file": FIT["file"], "sha256": FIT["sha256"]}
    assert (decoder.version, decoder.may_drive) == (1, True)
    assert list(decoder.calibration_sessions.all()) == [running]
    assert fitted(clinic, running) == decoder  # asked twice, kept once
    sessions.close_session(clinic.therapist, running.pk)
    following = plan(clinic, running.patient, calibrate=False)
    assert (following.decoder, following.plan["calibration_runs"]) == (decoder, 0)
    sessions.open_session(clinic.therapist, following.pk, WITH_HAND)
    assert station.asked_for("open")[-1]["decoder"]["sha256"] == FIT["sha256"]
    assert kinds().count("decoder_accepted") == 1


def test_an_accepted_sessions_recording_shortens_the_next_calibration(
    clinic: Clinic, running: TrainingSession, station: FakeStation
) -> None:
    decoder = fitted(clinic, running)
    assert (decoder.hits, decoder.false_per_min) == (FIT["hits"], FIT["false_per_min"])
    sessions.close_session(clinic.therapist, running.pk)
    following = plan(clinic, running.patient, calibrate=True)
    assert following.plan["calibration_runs"] < running.plan["calibration_runs"]
    sessions.open_session(clinic.therapist, following.pk, QUIET)
    file = {"file": FIT["file"], "sha256": FIT["sha256"]}
    assert station.asked_for("open")[-1]["earlier"] == [file]
    station.fit = {**FIT, "sha256": "d" * 64, "earlier": [FIT["sha256"]], "offered": 1}
    second = decoders.accept_fit(clinic.therapist, following.pk, "d" * 64)
    assert set(second.calibration_sessions.all()) == {running, following}
    decoders.reject(clinic.therapist, decoder.pk, "noisy")
    assert decoder not in sessions.earlier_of(following)


def test_only_what_was_looked_at_is_accepted(
    clinic: Clinic, running: TrainingSession, station: FakeStation
) -> None:
    for fit in (None, {**FIT, "state": "running"}, {**FIT, "sha256": "c" * 64}):
        station.fit = fit
        with pytest.raises(FitGone):
            decoders.accept_fit(clinic.therapist, running.pk, FIT["sha256"])
    assert not DecoderVersion.objects.exists()


def test_what_guessing_explains_is_not_accepted(
    clinic: Clinic, running: TrainingSession, station: FakeStation
) -> None:
    station.fit = {**FIT, "accuracy": {**ACCURACY, "value": 0.6}}
    with pytest.raises(DecoderAtChance):
        decoders.accept_fit(clinic.therapist, running.pk, FIT["sha256"])
    assert not DecoderVersion.objects.get().may_drive
    assert station.asked_for("use") == []


def test_a_rejected_decoder_drives_nothing_ever_again(
    clinic: Clinic, running: TrainingSession, station: FakeStation
) -> None:
    decoder = fitted(clinic, running)
    with pytest.raises(SessionOpen):
        decoders.reject(clinic.therapist, decoder.pk, "montage")
    sessions.close_session(clinic.therapist, running.pk)
    planned = plan(clinic, running.patient, calibrate=False)
    decoders.reject(clinic.therapist, decoder.pk, "wrong montage")
    with pytest.raises(DecoderNotAccepted):
        sessions.open_session(clinic.therapist, planned.pk, QUIET)
    with pytest.raises(DecoderNotAccepted):
        decoders.accept(clinic.therapist, decoder.pk)
    decoder.refresh_from_db()
    assert (decoder.may_drive, decoder.rejected_reason) == (False, "wrong montage")


def test_the_database_keeps_decisions_whole(clinic: Clinic, running: TrainingSession) -> None:
    decoder = fitted(clinic, running)
    rows = DecoderVersion.objects.filter(pk=decoder.pk)
    open_rows = TrainingSession.objects.filter(pk=running.pk)
    for change in (
        lambda: rows.update(accepted_by=None),
        lambda: rows.update(rejected_at=now()),
        lambda: rows.update(threshold=0),
        lambda: open_rows.update(ended_at=now()),
        lambda: open_rows.update(state="planned"),
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            change()


# --- research ------------------------------------------------------------------------------------


def test_research_sees_ended_sessions_of_those_who_consented(
    clinic: Clinic, running: TrainingSession
) -> None:
    sessions.close_session(clinic.therapist, running.pk)
    assert list(sessions.research_sessions(clinic.researcher)) == []
    services.give_consent(
        clinic.therapist, running.patient.pk, purpose="research", text_version="1", given_on=SIGNED
    )
    assert [row.pk for row in sessions.research_sessions(clinic.researcher)] == [running.pk]
    for principal in (clinic.owner, clinic.therapist, make_clinic("y").therapist):
        with pytest.raises(NotAllowed):
            sessions.research_sessions(principal)
    with pytest.raises(NotAllowed):
        sessions.find_session(clinic.researcher, running.pk)


def test_times_of_a_session_follow_each_other(clinic: Clinic, running: TrainingSession) -> None:
    closed = sessions.close_session(clinic.therapist, running.pk)
    assert closed.started_at is not None
    assert closed.ended_at is not None
    assert timedelta() <= closed.ended_at - closed.started_at < timedelta(minutes=1)


# --- what stands against it in mid-session -------------------------------------------------------


def stands_against(clinic: Clinic, patient: Patient) -> list[Any]:
    """Each way in which a patient may come to train no more."""
    yes = {**NO_TO_ALL, "epilepsy": True}
    return [
        lambda: services.withdraw_consent(clinic.therapist, patient.pk, purpose="training"),
        lambda: services.fill_intake(clinic.therapist, patient.pk, yes),
        lambda: services.end_prescription(clinic.therapist, patient.pk),
        lambda: services.close_patient(clinic.therapist, patient.pk, is_closed=True),
    ]


@pytest.mark.parametrize("way", range(4))
def test_a_patient_who_may_not_go_on_is_moved_no_more(
    clinic: Clinic, running: TrainingSession, station: FakeStation, way: int
) -> None:
    decoders.fit(clinic.therapist, running.pk)
    stands_against(clinic, running.patient)[way]()
    (halt,) = station.asked_for("halt")
    assert halt["session"] == str(running.pk)
    assert halt["why"].startswith("bci_rehab.")
    assert "session_halted" in kinds()
    with pytest.raises(Refused):
        decoders.accept_fit(clinic.therapist, running.pk, FIT["sha256"])
    with pytest.raises(Refused):
        sessions.open_session(clinic.therapist, running.pk, QUIET)
    assert sessions.close_session(clinic.therapist, running.pk).summary == SUMMARY


def test_what_does_not_stand_against_it_halts_nothing(
    clinic: Clinic, running: TrainingSession, station: FakeStation
) -> None:
    services.fill_intake(clinic.therapist, running.patient.pk, NO_TO_ALL)
    services.withdraw_consent(clinic.therapist, running.patient.pk, purpose="research")
    assert not station.asked_for("halt")


def test_a_halt_that_the_station_does_not_confirm_is_said_and_the_withdrawal_stands(
    clinic: Clinic, running: TrainingSession, station: FakeStation
) -> None:
    def withdraw() -> None:
        services.withdraw_consent(clinic.therapist, running.patient.pk, purpose="training")

    station.ends = False
    with pytest.raises(HaltUnconfirmed, match="Press the stop"):
        withdraw()
    assert not running.patient.consents.filter(withdrawn_at=None, purpose="training").exists()
    station.is_up = False
    with pytest.raises(HaltUnconfirmed):
        withdraw()
    station.is_up = station.ends = True
    withdraw()
    station.session = ""
    withdraw()


def test_what_a_lost_station_had_recorded_is_taken_though_nothing_more_may_be_had(
    clinic: Clinic, running: TrainingSession, station: FakeStation
) -> None:
    station.session = ""
    services.withdraw_consent(clinic.therapist, running.patient.pk, purpose="training")
    with pytest.raises(ServiceRefused):
        sessions.close_session(clinic.therapist, running.pk)
    station.left = {running.folder}
    closed = sessions.close_session(clinic.therapist, running.pk)
    assert (closed.state, closed.summary["ended"]) == ("ended", "interrupted")
