"""Pages of sessions in both languages: what each shows, and what it refuses."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from typing import Any

import pytest
from bci_rehab.clinic import decoders, services, sessions
from bci_rehab.clinic.models import DecoderVersion, Patient, TrainingSession
from bci_rehab.clinic.session_forms import key_of
from bci_rehab.session.record_format import TORN
from bci_rehab.signal.verdicts import Code, Finding
from clinic_people import SIGNED, Clinic, make_clinic
from fake_station import FIT, HAND, SUMMARY, SYNTHETIC, FakeStation
from test_pages import DISCLAIMER, seen_by
from tests.pages import CHINESE, ENGLISH, asks_to_sign_in, browser, sound

from haihe.packs.pages import pack_home

pytestmark = pytest.mark.django_db


def decoder_in(clinic: Clinic, running: TrainingSession) -> DecoderVersion:
    decoders.fit(clinic.therapist, running.pk)
    return decoders.accept_fit(clinic.therapist, running.pk, FIT["sha256"])


@pytest.mark.parametrize("language", [ENGLISH, CHINESE])
def test_every_page_of_a_session_is_sound(
    language: str, clinic: Clinic, prescribed: Patient, station: FakeStation
) -> None:
    client = seen_by(clinic.therapist, language)
    patient = f"/bci-rehab/patients/{prescribed.pk}"
    planned = sessions.plan_session(clinic.therapist, prescribed.pk, calibrate=True)
    base = f"/bci-rehab/sessions/{planned.pk}"

    def seen(*addresses: str) -> None:
        for address in addresses:
            page = client.get(address)
            sound(page)
            assert DISCLAIMER[language] in page.content.decode(), address

    seen(patient, f"{patient}/sessions/-/new", base, f"{base}/open")
    sessions.open_session(clinic.therapist, planned.pk, sessions.Setting(source=SYNTHETIC))
    decoder = decoder_in(clinic, planned)
    seen(patient, base, f"{base}/open", f"{base}/live", f"{base}/screen")
    seen(f"/bci-rehab/decoders/{decoder.pk}/reject")
    sessions.close_session(clinic.therapist, planned.pk)
    seen(patient, base)
    assert client.get(f"{base}/live")["Location"] == base
    services.give_consent(
        clinic.therapist, prescribed.pk, purpose="research", text_version="1", given_on=SIGNED
    )
    page = seen_by(clinic.researcher, language).get("/bci-rehab/research/sessions")
    sound(page)
    assert DISCLAIMER[language] in page.content.decode()


def test_a_session_from_plan_to_results(
    clinic: Clinic, prescribed: Patient, station: FakeStation
) -> None:
    client = seen_by(clinic.therapist)
    planned = client.post(
        f"/bci-rehab/patients/{prescribed.pk}/sessions/-/new", {"calibrate": "yes"}
    )
    address = planned["Location"]
    base = address.removesuffix("/open")
    form = client.get(address).content.decode()
    assert "Synthetic patient (16 channels, 250 Hz)" in form
    chosen = {"source": key_of(SYNTHETIC), "actuator": json.dumps(["none", "", {}])}
    refused = client.post(address, {**chosen, "output": "on"})
    sound(refused, 422)
    assert "Choose the actuator whose output" in refused.content.decode()
    opened = client.post(address, {**chosen, "actuator": key_of(HAND), "output": "on"})
    assert opened["Location"] == f"{base}/live"
    assert station.asked_for("open")[0]["actuator"]["kind"] == "simulated"
    given = client.post(f"{base}/ticket", {"role": "therapist"}).json()
    assert given["address"] == "/services/bci_rehab/station"
    assert client.post(f"{base}/fit")["Location"] == f"{base}/live"
    said = client.post(
        f"{base}/fit/accept", {"sha256": FIT["sha256"]}, headers={"HX-Request": "true"}
    )
    assert "Decoder D-1 is accepted and in use" in said.content.decode()
    assert client.post(f"{base}/close")["Location"] == base
    page = client.get(base).content.decode()
    for words in ("82 %", "The therapist stopped it.", "41.5", "C3 (2.0 %)", "gel at C3"):
        assert words in page, words


def test_a_station_that_is_down_is_said_plainly(
    clinic: Clinic, running: TrainingSession, station: FakeStation
) -> None:
    station.is_up = False
    client, base = seen_by(clinic.therapist), f"/bci-rehab/sessions/{running.pk}"
    page = client.get(f"{base}/open")
    sound(page)
    assert "haihe packs serve bci_rehab station" in page.content.decode()
    for address in (f"{base}/close", f"{base}/fit"):
        answer = client.post(address)
        assert answer.status_code == 503
        assert "cannot be asked" in answer.content.decode()


def test_a_technician_sees_no_controls_but_the_stop(
    clinic: Clinic, running: TrainingSession
) -> None:
    client, base = seen_by(clinic.technician), f"/bci-rehab/sessions/{running.pk}"
    page = client.get(f"{base}/live").content.decode()
    assert 'data-order="emergency"' in page
    assert 'data-order="begin"' not in page
    assert "fit-sha256" not in page
    assert 'name="output"' not in client.get(f"{base}/open").content.decode()
    sound(client.get(f"{base}/screen"))


def test_others_are_kept_out_of_sessions(clinic: Clinic, running: TrainingSession) -> None:
    base = f"/bci-rehab/sessions/{running.pk}"
    pages = (base, f"{base}/open", f"{base}/live", f"{base}/screen")
    for address in pages:
        assert asks_to_sign_in(browser().get(address))
        for principal in (clinic.owner, clinic.researcher):
            assert seen_by(principal).get(address).status_code == 403
    assert seen_by(clinic.researcher).post(f"{base}/ticket").status_code == 403
    assert seen_by(clinic.technician).post(f"{base}/close").status_code == 403


def test_research_takes_a_file_with_pseudonyms(clinic: Clinic, running: TrainingSession) -> None:
    sessions.close_session(clinic.therapist, running.pk)
    services.give_consent(
        clinic.therapist, running.patient.pk, purpose="research", text_version="1", given_on=SIGNED
    )
    answer = seen_by(clinic.researcher).get("/bci-rehab/research/sessions?format=csv")
    content = b"".join(answer) if answer.streaming else answer.content
    [row] = csv.DictReader(io.StringIO(content.decode("utf-8-sig")))
    assert row["pseudonym"] == "P-0001"
    assert (row["session"], row["accuracy"], row["minutes"], row["stops"]) == (
        "1",
        "0.825",
        "30.0",
        "2",
    )


def test_stops_and_damage_are_said_in_the_readers_language(
    clinic: Clinic, running: TrainingSession, station: FakeStation
) -> None:
    finding = Finding(code=Code.SCALE, value=80_000.0, limit=5_000.0).message
    stop = {
        "reason": "signal_implausible",
        "detail": finding,
        "at_s": 3.0,
        "was_on": True,
        "latency_ms": 12.0,
    }
    recording = {**SUMMARY["recording"], "intact": False, "damage": TORN}
    station.summary = {**SUMMARY, "stops": [stop], "recording": recording}
    sessions.close_session(clinic.therapist, running.pk)
    for page in ("", "/report"):
        path = f"/bci-rehab/sessions/{running.pk}{page}"
        said = seen_by(clinic.therapist, CHINESE).get(path).content.decode()
        assert finding not in said
        assert TORN not in said
        assert "文件在数据块中间中断" in said
        assert TORN in seen_by(clinic.therapist, ENGLISH).get(path).content.decode()


def let_go(response: Any) -> None:
    """Close what it streams, and not the connection to the database, as its own end would."""
    for close in response._resource_closers:
        close()


def test_a_recording_is_had_as_a_file_by_those_who_may(
    clinic: Clinic, running: TrainingSession, station: FakeStation
) -> None:
    path = f"/bci-rehab/sessions/{running.pk}/export"
    therapist = seen_by(clinic.therapist)
    assert therapist.post(path, {"format": "edf"}).status_code == 409, "it is not over"
    sessions.close_session(clinic.therapist, running.pk)
    assert path in therapist.get(f"/bci-rehab/sessions/{running.pk}").content.decode()
    edf = therapist.post(path, {"format": "edf"})
    assert edf["Content-Disposition"].endswith(f'{running.patient.pseudonym}-01.edf"')
    assert b"".join(edf.streaming_content).decode() == running.folder  # type: ignore[attr-defined]
    bids = therapist.post(path, {"format": "bids"})
    let_go(edf)
    packed = io.BytesIO(b"".join(bids.streaming_content))  # type: ignore[attr-defined]
    let_go(bids)
    with zipfile.ZipFile(packed) as archive:
        assert archive.namelist() == [f"sub-{running.patient.pseudonym}/eeg.vhdr"]
    assert list((pack_home("bci_rehab") / "exports").iterdir()) == [], "nothing of it stays"
    for who in (clinic.technician, clinic.researcher, clinic.owner, make_clinic("y").therapist):
        assert seen_by(who).post(path, {"format": "edf"}).status_code in (403, 404)
    services.give_consent(
        clinic.therapist,
        running.patient.pk,
        purpose="research",
        text_version="1",
        given_on=SIGNED,
    )
    researcher = seen_by(clinic.researcher)
    assert path in researcher.get("/bci-rehab/research/sessions").content.decode()
    taken = researcher.post(path, {"format": "edf"})
    assert taken.status_code == 200
    let_go(taken)
    services.withdraw_consent(clinic.therapist, running.patient.pk, purpose="research")
    assert researcher.post(path, {"format": "edf"}).status_code in (403, 404)
