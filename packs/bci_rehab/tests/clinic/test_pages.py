"""The clinic's pages, as its staff use them, in both languages."""

from __future__ import annotations

import pytest
from bci_rehab.clinic import services
from bci_rehab.clinic.domain import QUESTIONS
from bci_rehab.clinic.models import Patient
from clinic_people import IDENTITY, SIGNED, Clinic, prescribe
from django.test import Client
from tests.callers import person_of
from tests.pages import CHINESE, ENGLISH, asks_to_sign_in, browser, sound

from haihe.policy.domain import Principal

pytestmark = pytest.mark.django_db
NEW = {
    "organisation": "clinic", "name": IDENTITY.name, "document": "", "telephone": "",
    "affected_side": "left", "birth_year": "1958", "onset_on": "2025-12-01", "diagnosis": "",
}  # fmt: skip
NO_TO_ALL = {question.code: "no" for question in QUESTIONS}
DISCLAIMER = {
    ENGLISH: "For research and training; not a medical device.",
    CHINESE: "仅供科研与培训使用，不是医疗器械。",
}


def seen_by(principal: Principal, language: str = ENGLISH) -> Client:
    return browser(person_of(principal), language)


@pytest.mark.parametrize("language", [ENGLISH, CHINESE])
def test_every_page_says_what_the_pack_is_not(
    language: str, clinic: Clinic, ready: Patient
) -> None:
    prescribe(clinic, ready)
    for day, value in ((5, 20), (25, 26)):
        services.add_outcome(
            clinic.therapist,
            ready.pk,
            scale="FMA-UE",
            value=value,
            measured_on=SIGNED.replace(day=day),
        )
    client, base = seen_by(clinic.therapist, language), f"/bci-rehab/patients/{ready.pk}"
    outcome = ready.outcomes.first()
    assert outcome is not None
    for address in (
        "/bci-rehab/patients", "/bci-rehab/patients/-/new", base, f"{base}/identity",
        f"{base}/consents/-/new", f"{base}/intakes/-/new", f"{base}/prescriptions/-/new",
        f"{base}/outcomes/-/new", f"{base}/outcomes/{outcome.pk}/strike", f"{base}/notes/-/new",
    ):  # fmt: skip
        page = client.get(address)
        sound(page)
        assert DISCLAIMER[language] in page.content.decode(), address


def test_a_therapist_takes_somebody_in_and_prescribes(clinic: Clinic) -> None:
    client = seen_by(clinic.therapist)
    base = client.post("/bci-rehab/patients/-/new", NEW)["Location"]
    assert IDENTITY.name not in client.get(base).content.decode()
    too_early = client.post(
        f"{base}/prescriptions/-/new",
        {"modality": "ssvep", "side": "left", "sessions": "12", "minutes": "40",
         "false_triggers_per_min": "0.5"},
    )  # fmt: skip
    sound(too_early, 422)
    assert "has not consented to training" in too_early.content.decode()
    signed = {"purpose": "training", "text_version": "1", "given_on": "2026-01-05"}
    assert client.post(f"{base}/consents/-/new", signed)["Location"] == base
    half = dict(list(NO_TO_ALL.items())[1:])
    sound(client.post(f"{base}/intakes/-/new", half), 422)
    asked = {**NO_TO_ALL, "photosensitive": "yes"}
    assert client.post(f"{base}/intakes/-/new", asked)["Location"] == base
    prescribed = {
        "modality": "ssvep", "side": "left", "sessions": "12", "minutes": "40",
        "false_triggers_per_min": "0.5",
    }  # fmt: skip
    flicker = client.post(f"{base}/prescriptions/-/new", prescribed)
    sound(flicker, 422)
    assert "photosensitive" in flicker.content.decode()
    imagery = {**prescribed, "modality": "motor-imagery"}
    assert client.post(f"{base}/prescriptions/-/new", imagery)["Location"] == base
    page = client.get(base).content.decode()
    assert "Motor imagery" in page
    assert "Seizure or migraine" in page
    assert client.post(f"{base}/prescriptions/-/end")["Location"] == base
    assert "Nothing prescribed" in client.get(base).content.decode()


def test_an_identity_is_shown_on_asking_only_and_not_kept_by_browsers(
    clinic: Clinic, patient: Patient
) -> None:
    client, address = seen_by(clinic.therapist), f"/bci-rehab/patients/{patient.pk}/identity"
    assert IDENTITY.name not in client.get(address).content.decode()
    shown = client.post(address, {"show": "yes"})
    assert IDENTITY.name in shown.content.decode()
    assert "no-store" in shown["Cache-Control"]


def test_others_are_kept_out(clinic: Clinic, patient: Patient) -> None:
    base = f"/bci-rehab/patients/{patient.pk}"
    for address in ("/bci-rehab/patients", "/bci-rehab/patients/-/new", base):
        assert asks_to_sign_in(browser().get(address))
        for principal in (clinic.owner, clinic.researcher):
            assert seen_by(principal).get(address).status_code == 403
    technician = seen_by(clinic.technician)
    page = technician.get(base)
    sound(page)
    assert "Prescribe" not in page.content.decode().replace("Nothing prescribed", "").replace(
        "After consent and intake a therapist prescribes the training.", ""
    )
    assert technician.get(f"{base}/prescriptions/-/new").status_code == 403
    assert technician.post(f"{base}/identity", {"show": "yes"}).status_code == 403


def test_a_duty_is_given_on_the_members_page(clinic: Clinic) -> None:
    client = seen_by(clinic.owner)
    member = clinic.researcher.person_id
    address = f"/organisations/clinic/members/{member}"
    assert "EEG technician" in client.get(address).content.decode()
    client.post(address, {"role": "member", "duties": ["bci_rehab.technician"]})
    page = client.get("/organisations/clinic/members").content.decode()
    assert page.count("EEG technician") == 2
    refused = client.post(address, {"role": "member", "duties": ["bci_rehab.surgeon"]})
    assert refused.status_code == 422


def test_the_menu_has_what_one_is_entrusted_with(clinic: Clinic) -> None:
    entries = {"/bci-rehab/patients": "Rehabilitation", "/bci-rehab/outcomes": "outcomes"}
    shown = {
        name: [address for address in entries if f'href="{address}"' in page]
        for name, page in (
            (name, seen_by(principal).get("/packs").content.decode())
            for name, principal in (
                ("owner", clinic.owner),
                ("therapist", clinic.therapist),
                ("researcher", clinic.researcher),
            )
        )
    }
    assert shown == {
        "owner": [],
        "therapist": ["/bci-rehab/patients"],
        "researcher": ["/bci-rehab/outcomes"],
    }


def test_old_notes_are_to_be_had_page_by_page(clinic: Clinic, ready: Patient) -> None:
    for number in range(60):
        services.write_note(clinic.therapist, ready.pk, f"note number {number}.")
    client, path = seen_by(clinic.therapist), f"/bci-rehab/patients/{ready.pk}"
    first = client.get(path)
    assert "note number 59." in first.content.decode()
    assert "note number 0." not in first.content.decode()
    cursor = first.context["notes"].next_cursor
    assert "note number 0." in client.get(path, {"cursor": cursor}).content.decode()
