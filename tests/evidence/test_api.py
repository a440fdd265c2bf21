"""The evidence log over HTTP: heads and proofs for anybody, contents for who may read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.test import Client

from haihe.evidence import files
from haihe.evidence.domain import Checkpoint
from haihe.evidence.merkle import consistency_holds
from haihe.evidence.models import EvidenceKey
from haihe.evidence.proof import EntryProof, check
from haihe.evidence.services import record
from haihe.kernel.work import unit_of_work
from haihe.parties.models import Organisation, Person
from haihe.policy.domain import system_principal
from tests.factories import make_organisation, make_person, make_token

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]
ROOT = "/api/v1/evidence"


def as_person(person: Person | None, *scopes: str) -> Client:
    if person is None:
        return Client()
    return Client(headers={"authorization": f"Bearer {make_token(person, *scopes)}"})


def post(client: Client, path: str, key: str = "k1") -> Any:
    headers = {"idempotency-key": key}
    return client.post(ROOT + path, "{}", content_type="application/json", headers=headers)


@pytest.fixture
def member() -> Person:
    return make_person("ann@example.test")


@pytest.fixture
def clinic(member: Person) -> Organisation:
    return make_organisation("clinic", member=member)


@pytest.fixture
def entry_id(clinic: Organisation) -> UUID:
    """The second of three entries, each in a transaction of its own; the clinic's."""
    ids = []
    for number, parties in enumerate([[], [clinic.pk], []]):
        with unit_of_work():
            ids.append(
                record(
                    "job.settled",
                    subject=f"job:{number}",
                    actor=system_principal("settlement"),
                    data={"amount_micro": number, "note": None},
                    parties=parties,
                )
            )
    return ids[1]


def test_anybody_reads_heads_and_keys_and_follows_them(entry_id: UUID) -> None:
    client = Client()
    head = client.get(f"{ROOT}/head").json()
    [key] = client.get(f"{ROOT}/keys").json()
    assert Checkpoint(**head).is_signed_by(EvidenceKey.objects.get().public_key())
    assert head["key"] == key["key"]
    listed = client.get(f"{ROOT}/checkpoints?limit=2").json()
    assert [item["size"] for item in listed["items"]] == [3, 2]
    older = client.get(f"{ROOT}/checkpoints?limit=2&cursor={listed['next_cursor']}").json()
    assert [item["size"] for item in older["items"]] == [1, 0]
    assert older["next_cursor"] is None


def test_before_the_first_entry_there_is_no_head() -> None:
    assert Client().get(f"{ROOT}/head").json() is None
    assert Client().get(f"{ROOT}/keys").json() == []


def test_anybody_proves_that_one_head_continues_another(entry_id: UUID) -> None:
    client = Client()
    heads = {item["size"]: item for item in client.get(f"{ROOT}/checkpoints").json()["items"]}
    proof = client.get(f"{ROOT}/consistency?first=1&second=3").json()
    assert consistency_holds(
        1,
        3,
        bytes.fromhex(heads[1]["root"]),
        bytes.fromhex(proof["checkpoint"]["root"]),
        [bytes.fromhex(step) for step in proof["path"]],
    )
    assert client.get(f"{ROOT}/consistency?first=4&second=3").status_code == 422
    assert client.get(f"{ROOT}/consistency?first=1&second=9").status_code == 404
    assert client.get(f"{ROOT}/consistency").status_code == 422


def test_a_nobody_proves_an_entry_and_does_not_see_it(entry_id: UUID) -> None:
    assert Client().get(f"{ROOT}/entries/{entry_id}").status_code == 401
    answer = Client().get(f"{ROOT}/entries/{entry_id}/proof")
    assert answer.status_code == 200
    assert "entry" not in answer.json()
    assert check(EntryProof.read(answer.content)).index == 1


def test_the_wrong_member_proves_an_entry_and_does_not_see_it(entry_id: UUID) -> None:
    stranger = make_person()
    make_organisation(owner=stranger)
    client = as_person(stranger)
    answer = client.get(f"{ROOT}/entries/{entry_id}")
    assert (answer.status_code, answer.json()["code"]) == (403, "policy.not_allowed")
    assert "entry" not in client.get(f"{ROOT}/entries/{entry_id}/proof").json()


def test_a_party_reads_and_proves_its_entry(
    entry_id: UUID, member: Person, clinic: Organisation
) -> None:
    client = as_person(member)
    entry = client.get(f"{ROOT}/entries/{entry_id}").json()
    assert entry["data"] == {"amount_micro": 1, "note": None}
    assert entry["parties"] == [str(clinic.pk)]
    answer = client.get(f"{ROOT}/entries/{entry_id}/proof")
    report = check(EntryProof.read(answer.content))
    assert report.entry is not None
    assert (report.entry["id"], report.leaf) == (str(entry_id), entry["leaf"])


def test_a_token_without_the_scope_reads_nothing(entry_id: UUID, member: Person) -> None:
    client = as_person(member, "compute")
    assert client.get(f"{ROOT}/entries/{entry_id}").json()["code"] == "policy.scope_missing"
    assert client.get(f"{ROOT}/head").json()["code"] == "policy.scope_missing"


def test_a_list_holds_what_the_caller_may_read(entry_id: UUID, member: Person) -> None:
    def indexes(person: Person | None, query: str = "") -> list[int]:
        answer = as_person(person).get(f"{ROOT}/entries{query}")
        return [item["index"] for item in answer.json()["items"]]

    auditor = make_person(roles=("auditor",))
    assert indexes(None) == []
    assert indexes(make_person()) == []
    assert indexes(member) == [1]
    assert indexes(auditor) == [2, 1, 0]
    assert indexes(auditor, "?subject=job:2") == [2]
    assert indexes(auditor, "?kind=job.lost") == []
    assert indexes(auditor, f"?organisation={Organisation.objects.get().pk}") == [1]
    assert as_person(auditor).get(f"{ROOT}/entries?organisation=x").status_code == 422
    assert as_person(auditor).get(f"{ROOT}/entries?cursor=x").status_code == 422


@pytest.mark.parametrize("entry", ["no-id", "00000000-0000-0000-0000-000000000000"])
def test_what_is_not_there_is_not_found(entry_id: UUID, entry: str) -> None:
    for path in (f"/entries/{entry}", f"/entries/{entry}/proof"):
        assert Client().get(ROOT + path).status_code == 404


def test_the_log_is_checked_by_whom_the_policies_permit(entry_id: UUID, member: Person) -> None:
    assert post(Client(), "/verify").status_code == 401
    assert post(as_person(member), "/verify").status_code == 403
    answer = post(as_person(make_person(roles=("operator",))), "/verify")
    assert answer.status_code == 200
    assert answer.json()["size"] == 3
    auditor = as_person(make_person(roles=("auditor",)))
    listed = auditor.get(f"{ROOT}/entries?kind=log.verified").json()["items"]
    assert [item["id"] for item in listed] == [answer.json()["id"]]


def test_a_contradiction_is_a_problem_with_its_code(entry_id: UUID, home: Path) -> None:
    head = Checkpoint(**Client().get(f"{ROOT}/head").json())
    with files.witness_lock(home):
        files.write_witness(home, Checkpoint(**{**vars(head), "size": 9}))
    answer = post(as_person(make_person(roles=("auditor",))), "/verify")
    assert answer.status_code == 500
    assert answer.json()["code"] == "evidence.log_contradicts"
    assert "older copy" in json.dumps(answer.json())


def test_the_key_is_replaced_by_the_operator_once(entry_id: UUID, member: Person) -> None:
    assert post(Client(), "/keys/rotate").status_code == 401
    assert post(as_person(member), "/keys/rotate").status_code == 403
    assert post(as_person(make_person(roles=("auditor",))), "/keys/rotate").status_code == 403
    assert EvidenceKey.objects.count() == 1
    operator = as_person(make_person(roles=("operator",)))
    first, again = post(operator, "/keys/rotate"), post(operator, "/keys/rotate")
    assert first.status_code == 201
    assert first.json() == again.json()
    keys = Client().get(f"{ROOT}/keys").json()
    assert [key["key"] for key in keys][0] == first.json()["key"]
    assert len(keys) == 2
    assert keys[1]["retired_at"] is not None
