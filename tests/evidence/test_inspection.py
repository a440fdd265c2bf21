"""Whoever checks the log: proofs for anybody, content for parties, checks that leave evidence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from haihe.evidence import files, inspection, services
from haihe.evidence.errors import LogContradicts
from haihe.evidence.models import EvidenceEntry
from haihe.evidence.proof import EntryProof, check
from haihe.kernel.errors import MissingRecord
from haihe.kernel.ids import new_id
from haihe.kernel.work import unit_of_work
from haihe.policy.domain import ANONYMOUS, Principal, system_principal
from haihe.policy.errors import NotAllowed, NotSignedIn
from tests.evidence.factories import (
    AUDITOR,
    CENTRE,
    CLINIC,
    DOCTOR,
    OFFICER,
    OPERATOR,
    OTHER,
    STRANGER,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]
SYSTEM = system_principal("settlement")


def log_one(*parties: UUID, kind: str = "job.settled", subject: str = "job:1") -> UUID:
    """Log an entry in a transaction of its own; its id."""
    with unit_of_work():
        return services.record(
            kind, subject=subject, actor=SYSTEM, data={"amount_micro": 7}, parties=parties
        )


@pytest.mark.parametrize("stranger", [ANONYMOUS, STRANGER, OPERATOR])
def test_anybody_gets_a_proof_and_never_the_content(stranger: Principal) -> None:
    entry_id = log_one(CLINIC)
    proof = inspection.prove(stranger, entry_id)
    assert proof.entry_text == ""
    assert check(EntryProof.read(proof.text().encode())).entry is None


@pytest.mark.parametrize("reader", [DOCTOR, AUDITOR, SYSTEM])
def test_who_may_read_an_entry_gets_it_in_the_proof(reader: Principal) -> None:
    entry_id = log_one(CLINIC)
    report = check(EntryProof.read(inspection.prove(reader, entry_id).text().encode()))
    assert report.entry is not None
    assert report.entry["id"] == str(entry_id)


def test_a_proof_made_after_a_rotation_names_the_new_key() -> None:
    entry_id = log_one(CLINIC)
    first = inspection.prove(ANONYMOUS, entry_id).key
    new = services.rotate_key(OPERATOR)
    log_one(CENTRE)
    proof = inspection.prove(ANONYMOUS, entry_id)
    assert proof.key.key == new.pk != first.key
    check(proof, key=new.pk)
    assert [key.pk for key in inspection.signing_keys(ANONYMOUS)] == [new.pk, first.key]


def test_an_entry_that_is_not_there_is_not_proved() -> None:
    log_one(CLINIC)
    for wrong in (new_id(), "no-id"):
        with pytest.raises(MissingRecord):
            inspection.prove(ANONYMOUS, wrong)


@pytest.mark.parametrize(
    ("caller", "error"),
    [(ANONYMOUS, NotSignedIn), (DOCTOR, NotAllowed), (OFFICER, NotAllowed)],
)
def test_only_operator_and_auditor_have_the_log_checked(
    caller: Principal, error: type[Exception]
) -> None:
    log_one(CLINIC)
    with pytest.raises(error):
        inspection.check_log(caller)
    assert not inspection.may_check(caller)
    assert inspection.last_check(ANONYMOUS) is None


@pytest.mark.parametrize("caller", [OPERATOR, AUDITOR, SYSTEM])
def test_a_check_that_held_is_evidence_itself(caller: Principal) -> None:
    log_one(CLINIC)
    found = inspection.check_log(caller)
    assert found is not None
    newest = EvidenceEntry.objects.order_by("-index")[0]
    assert (newest.id, newest.kind, newest.actor) == (found.id, "log.verified", caller.actor)
    assert newest.data["size"] == 1
    shown = inspection.last_check(ANONYMOUS)
    assert shown is not None
    assert (shown.id, shown.size, shown.actor) == (found.id, 1, caller.actor)


def test_an_empty_log_is_checked_and_stays_empty() -> None:
    assert inspection.check_log(OPERATOR) is None
    assert not EvidenceEntry.objects.exists()


def test_a_contradiction_is_told_and_nothing_is_added(home: Path) -> None:
    log_one(CLINIC)
    head = services.head(ANONYMOUS)
    assert head is not None
    with files.witness_lock(home):
        files.write_witness(home, replace(head, size=head.size + 4))
    with pytest.raises(LogContradicts, match="older copy"):
        inspection.check_log(OPERATOR)
    assert EvidenceEntry.objects.count() == 1


def test_the_log_is_narrowed_to_an_organisation_among_what_one_may_read() -> None:
    both, mine = log_one(CLINIC, CENTRE), log_one(CLINIC)
    log_one(OTHER)

    def found(caller: Principal, organisation: UUID) -> list[UUID]:
        page = services.find(caller, organisation=organisation)
        return [row.id for row in page.items]

    assert found(DOCTOR, CENTRE) == [both]
    assert found(DOCTOR, CLINIC) == [mine, both]
    assert found(DOCTOR, OTHER) == []
    assert len(found(AUDITOR, OTHER)) == 1
    assert found(ANONYMOUS, CLINIC) == []
