"""The evidence pages, as a visitor, a party, an operator and an auditor see them."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from django.test import Client

from haihe.evidence import files, labels, services
from haihe.evidence.models import EvidenceEntry, EvidenceKey
from haihe.evidence.proof import EntryProof, check
from haihe.evidence.services import record
from haihe.kernel.work import unit_of_work
from haihe.parties.models import Organisation, Person
from haihe.policy.domain import ANONYMOUS, system_principal
from tests.factories import make_organisation, make_person
from tests.pages import CHINESE, ENGLISH, asks_to_sign_in, browser, sound

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]
JOB = "job:01a20292-5096-77e6-bd86-4c67fe853955"


@pytest.fixture
def member() -> Person:
    return make_person("ann@example.test")


@pytest.fixture
def clinic(member: Person) -> Organisation:
    return make_organisation("clinic", member=member)


@pytest.fixture
def entry_id(clinic: Organisation) -> UUID:
    return log_one(clinic)


def log_one(*parties: Organisation, subject: str = JOB, kind: str = "job.settled") -> UUID:
    """Log an entry in a transaction of its own; its id."""
    with unit_of_work():
        return record(
            kind,
            subject=subject,
            actor=system_principal("settlement"),
            data={"amount_micro": 7_654_321},
            parties=[party.pk for party in parties],
        )


@pytest.mark.parametrize("language", [ENGLISH, CHINESE])
def test_all_pages_render_in_both_languages(entry_id: UUID, language: str) -> None:
    operator = make_person(roles=("operator", "auditor"))
    client = browser(operator, language)
    for address in (
        "/evidence",
        f"/evidence/entries/{entry_id}",
        "/evidence/checkpoints",
        "/evidence/verify",
        "/evidence/keys/rotate",
    ):
        sound(client.get(address))


def test_an_empty_log_says_what_comes_next() -> None:
    client = browser()
    assert "Sign in to read entries" in sound(client.get("/evidence")).text
    assert "No checkpoint yet" in sound(client.get("/evidence/checkpoints")).text
    assert "The log is empty" in sound(client.get("/evidence/verify")).text
    named = browser(make_person("bob@example.test"))
    assert "No entry concerns your organisations yet" in sound(named.get("/evidence")).text


def test_a_visitor_sees_heads_and_proofs_and_no_content(entry_id: UUID) -> None:
    client = browser()
    assert "7654321" not in sound(client.get("/evidence")).text
    page = sound(client.get(f"/evidence/entries/{entry_id}"))
    assert "is for its parties and for auditors" in page.text
    assert "7654321" not in page.text
    assert JOB not in page.text


def test_the_wrong_member_sees_the_proof_and_no_content(entry_id: UUID) -> None:
    stranger = make_person()
    make_organisation(owner=stranger)
    client = browser(stranger)
    assert "Job settled" not in sound(client.get("/evidence")).text.replace("All kinds", "")[-600:]
    assert "7654321" not in sound(client.get(f"/evidence/entries/{entry_id}")).text


def test_a_party_reads_its_entry_and_goes_on_from_there(
    entry_id: UUID, member: Person, clinic: Organisation
) -> None:
    client = browser(member)
    assert f"/evidence/entries/{entry_id}" in client.get("/evidence").content.decode()
    response = client.get(f"/evidence/entries/{entry_id}")
    assert '"amount_micro": 7654321' in sound(response).text
    source = response.content.decode()
    assert f"/organisations/by-id/{clinic.pk}" in source
    assert "/evidence?subject=job%3A" in source.replace("job:", "job%3A")


def test_the_downloaded_proof_verifies_offline(entry_id: UUID, member: Person) -> None:
    for client, is_shown in ((browser(), False), (browser(member), True)):
        response = client.get(f"/evidence/entries/{entry_id}/proof.json")
        assert response["Content-Disposition"] == 'attachment; filename="proof-0.json"'
        report = check(EntryProof.read(response.content))
        assert (report.entry is not None) == is_shown


def test_an_entry_that_is_not_there_is_not_found(entry_id: UUID) -> None:
    missing = "/evidence/entries/00000000-0000-0000-0000-000000000000"
    assert browser().get(missing).status_code == 404
    assert browser().get(f"{missing}/proof.json").status_code == 404


def test_the_list_is_narrowed_and_says_so(entry_id: UUID, member: Person) -> None:
    client = browser(member)
    log_one(Organisation.objects.get(), kind="dataset.read", subject="dataset:2")
    by_kind = sound(client.get("/evidence?kind=dataset.read"))
    assert "haihe evidence list --kind dataset.read" in by_kind.text
    source = client.get(f"/evidence?subject={JOB}").content.decode()
    assert str(entry_id) in source
    assert source.count("/evidence/entries/") == 1
    assert "No entry matches" in sound(client.get("/evidence?kind=job.lost")).text
    wrong = client.get("/evidence?organisation=nonsense")
    assert "/evidence/entries/" not in sound(wrong, 422).text


def test_a_long_list_is_read_by_cursor(member: Person, clinic: Organisation) -> None:
    with unit_of_work():
        for number in range(60):
            record(
                "job.settled",
                subject=f"job:{number}",
                actor=system_principal("settlement"),
                data={},
                parties=[clinic.pk],
            )
    client = browser(member)
    first = client.get("/evidence").content.decode()
    assert first.count("/evidence/entries/") == 50
    assert "cursor=10" in first
    assert client.get("/evidence?cursor=10").content.decode().count("/evidence/entries/") == 10


def test_rows_are_exported_with_their_content(entry_id: UUID, member: Person) -> None:
    response = browser(member).get("/evidence?format=csv")
    assert response["Content-Type"].startswith("text/csv")
    [row] = csv.DictReader(io.StringIO(response.content.decode("utf-8-sig")))
    assert (row["id"], json.loads(row["data"])) == (str(entry_id), {"amount_micro": 7_654_321})
    assert browser().get("/evidence?format=csv").content.count(b"\n") == 1
    book = browser().get("/evidence/checkpoints?format=xlsx")
    assert book.content.startswith(b"PK")


def test_a_subject_leads_to_its_page_or_to_its_entries(member: Person) -> None:
    client = browser(member)
    assert client.get(f"/evidence/subjects/{JOB}")["Location"] == f"/jobs/{JOB[4:]}"
    entries = client.get("/evidence/subjects/person:1")["Location"]
    assert entries == "/evidence?subject=person%3A1"
    strange = client.get("/evidence/subjects/job:not-an-id")["Location"]
    assert strange.startswith("/evidence?subject=")
    assert labels.page_of("scheme:demo-2026") == "/schemes/demo-2026"
    assert labels.page_of("pack:tumour_triage") == "/packs/tumour_triage"
    for sort, folder in {
        "centre": "/centres/by-id",
        "dataset": "/datasets/by-id",
        "dataset-version": "/datasets/versions",
        "plan": "/plans/by-id",
        "scheme": "/schemes/by-id",
        "contract": "/contracts",
    }.items():
        assert labels.page_of(f"{sort}:{JOB[4:]}") == f"{folder}/{JOB[4:]}"
    assert labels.page_of("https://elsewhere.test/") == ""


def test_the_log_is_narrowed_to_ones_own_organisations(
    entry_id: UUID, member: Person, clinic: Organisation
) -> None:
    page = browser(member).get("/evidence")
    offered = page.context["form"].fields["organisation"].widget.choices
    assert [label for _value, label in offered] == ["All organisations", "Clinic"]
    shown = sound(browser(member).get(f"/evidence?organisation={clinic.pk}"))
    assert "Job settled" in shown.text
    alone = browser(make_person("eve@example.test")).get("/evidence")
    assert alone.context["form"].fields["organisation"].widget.is_hidden


def test_an_entry_names_its_parties_and_who_acted(entry_id: UUID, member: Person) -> None:
    text = sound(browser(member).get(f"/evidence/entries/{entry_id}")).text
    assert "Parties Clinic" in text
    assert "Done by Platform · settlement" in text


def test_the_log_is_checked_from_its_page(entry_id: UUID, member: Person) -> None:
    address = "/evidence/verify"
    assert "Never checked" in sound(browser().get(address)).text
    assert "Check now" not in sound(browser(member).get(address)).text
    assert asks_to_sign_in(browser().post(address))
    assert "You may not" in sound(browser(member).post(address), 403).text
    assert "Never checked" in sound(browser().get(address)).text
    auditor = browser(make_person(roles=("auditor",)))
    assert "Check now" in sound(auditor.get(address)).text
    page = sound(auditor.post(address, follow=True))
    assert "All 1 entries are as they were logged." in page.text
    assert "Held when last checked" in sound(browser().get(address)).text


def test_a_contradiction_is_shown_where_it_was_looked_for(entry_id: UUID, home: Path) -> None:
    head = services.head(ANONYMOUS)
    assert head is not None
    with files.witness_lock(home):
        files.write_witness(home, replace(head, size=9))
    page = sound(browser(make_person(roles=("operator",))).post("/evidence/verify"), 500)
    assert "The log is not what it was" in page.text
    assert "older copy" in page.text
    assert EvidenceEntry.objects.count() == 1


def test_the_key_is_replaced_by_the_operator_only(entry_id: UUID, member: Person) -> None:
    address = "/evidence/keys/rotate"
    assert asks_to_sign_in(browser().post(address))
    assert "You may not" in sound(browser(member).post(address), 403).text
    assert EvidenceKey.objects.count() == 1
    operator = browser(make_person(roles=("operator",)))
    assert "Replace the key" in sound(operator.get("/evidence/checkpoints")).text
    assert "Replace the key" not in sound(browser(member).get("/evidence/checkpoints")).text
    page = sound(operator.post(address, follow=True))
    assert EvidenceKey.objects.count() == 2
    assert "retired" in page.text


def test_acting_needs_the_form_of_the_page(entry_id: UUID) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(make_person(roles=("operator",)))
    for address in ("/evidence/verify", "/evidence/keys/rotate"):
        assert client.post(address).status_code == 403
    assert EvidenceKey.objects.count() == 1
