"""Somebody has the database and lifts the triggers: what they do is found, and named."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from django.db import IntegrityError, connection

from haihe.evidence import files, services
from haihe.evidence.domain import Checkpoint
from haihe.evidence.errors import (
    CheckpointWrong,
    EntriesMissing,
    EntriesRewritten,
    EntryWrong,
    LineUnreadable,
    LogContradicts,
    NotATrustFile,
    TrustOfOtherLog,
)
from haihe.evidence.merkle import EMPTY_ROOT, leaf_hash
from haihe.evidence.models import EvidenceEntry, EvidenceLog, EvidenceNode
from haihe.evidence.services import (
    consistency_proof,
    export,
    head,
    inclusion_proof,
    record,
    verify_log,
)
from haihe.evidence.verify import main, read_trust, trust_path, verify_file
from haihe.kernel.errors import HaiheError
from haihe.kernel.work import unit_of_work
from haihe.policy.domain import ANONYMOUS, system_principal
from tests.evidence.factories import AUDITOR, CLINIC
from tests.triggers import lifted_triggers

pytestmark = pytest.mark.django_db(transaction=True)
SYSTEM = system_principal("settlement")


def log(count: int = 1, **data: Any) -> None:
    """Record facts, each in a transaction of its own."""
    for number in range(count):
        with unit_of_work():
            record(
                "job.settled",
                subject=f"job:{number}",
                actor=SYSTEM,
                data=data or {"number": number},
                parties=[CLINIC],
            )


def checked(path: Path) -> HaiheError | None:
    """What is wrong with an export of the log as it is now."""
    export(AUDITOR, path)
    try:
        verify_file(path, read_trust(trust_path(path)))
    except HaiheError as error:
        return error
    return None


def put_back(row: EvidenceLog) -> None:
    """Turn the database into the copy that was made when ``row`` was read."""
    with lifted_triggers() as execute:
        execute(f"DELETE FROM evidence_evidenceparty WHERE entry_id >= {row.size}")
        execute(f'DELETE FROM evidence_evidenceentry WHERE "index" >= {row.size}')
        execute(f'DELETE FROM evidence_evidencenode WHERE ("index" + 1) << level > {row.size}')
        execute(f"DELETE FROM evidence_evidencecheckpoint WHERE size > {row.size}")
    row.save()


def replace_database() -> None:
    """Leave nothing of the log in the database."""
    with lifted_triggers() as execute:
        for table in ("party", "entry", "node", "checkpoint", "log", "key"):
            execute(f"DELETE FROM evidence_evidence{table}")


# Single entries


@pytest.mark.parametrize(
    "change",
    [
        "data_json = '{\"number\":9}'",
        "data_json = 'no json'",
        "data_json = '{}' || chr(10) || '{}'",
        "kind = 'other.kind'",
        "subject = 'job:9'",
        "actor = 'person:9'",
        "parties_json = '[]'",
        "id = '00000000000000000000000000000009'",
        "at = '2020-01-01 00:00:00+00:00'",
    ],
)
def test_no_column_of_an_entry_can_be_changed_unseen(committed: Path, change: str) -> None:
    if connection.vendor == "sqlite":
        change = change.replace("chr(10)", "char(10)").replace("+00:00", ".000000")
    log(4)
    path = committed / "log.jsonl"
    assert checked(path) is None
    with lifted_triggers() as execute:
        execute(f'UPDATE evidence_evidenceentry SET {change} WHERE "index" = 2')
    error = checked(path)
    assert isinstance(error, EntryWrong | LineUnreadable)
    assert error.index == 2
    assert main([str(path)]) == 1


def test_an_entry_rewritten_with_its_hash_is_found_by_the_checkpoint_after_it(
    committed: Path,
) -> None:
    log(4)
    entry = EvidenceEntry.objects.get(index=2)
    entry.data_json = '{"number":9}'
    with lifted_triggers():
        EvidenceEntry.objects.filter(index=2).update(
            data_json=entry.data_json, leaf=leaf_hash(entry.text().encode())
        )
    error = checked(committed / "log.jsonl")
    assert isinstance(error, EntriesRewritten)
    assert (error.first, error.last) == (2, 2)
    with pytest.raises(LogContradicts, match="entry 2"):
        inclusion_proof(ANONYMOUS, 2)


def test_an_entry_deleted_in_the_middle_is_missed(committed: Path) -> None:
    log(5)
    with lifted_triggers() as execute:
        execute("DELETE FROM evidence_evidenceparty WHERE entry_id = 2")
        execute('DELETE FROM evidence_evidenceentry WHERE "index" = 2')
    error = checked(committed / "log.jsonl")
    assert isinstance(error, EntriesMissing)
    assert (error.first, error.last) == (2, 2)


def test_two_entries_that_change_places_are_found(committed: Path) -> None:
    log(5)
    with lifted_triggers() as execute:
        execute("DELETE FROM evidence_evidenceparty")
        for before, after in ((1, 99), (3, 1), (99, 3)):
            execute(f'UPDATE evidence_evidenceentry SET "index" = {after} WHERE "index" = {before}')
    error = checked(committed / "log.jsonl")
    assert isinstance(error, EntryWrong)
    assert error.index == 1


def test_a_checkpoint_that_was_changed_is_found(committed: Path) -> None:
    log(3)
    with lifted_triggers() as execute:
        execute("UPDATE evidence_evidencecheckpoint SET at = '2020-01-01' WHERE size = 2")
    error = checked(committed / "log.jsonl")
    assert isinstance(error, CheckpointWrong)
    assert error.size == 2


# The newest entries


def test_the_newest_entry_alone_cannot_be_deleted_unseen(committed: Path) -> None:
    log(5)
    with lifted_triggers() as execute:
        execute("DELETE FROM evidence_evidenceparty WHERE entry_id = 4")
        execute('DELETE FROM evidence_evidenceentry WHERE "index" = 4')
    with pytest.raises(LogContradicts, match="has 4 entries, and counts 5"):
        verify_log()
    error = checked(committed / "log.jsonl")
    assert isinstance(error, EntriesMissing)
    assert (error.first, error.last) == (4, 4)


def test_a_database_put_back_to_an_old_copy_contradicts_the_witness(committed: Path) -> None:
    log(3)
    old = EvidenceLog.objects.get()
    log(2)
    assert verify_log().size == 5
    put_back(old)
    with pytest.raises(LogContradicts, match="3 entries, and 5 were seen"):
        verify_log()
    error = checked(committed / "log.jsonl")
    assert isinstance(error, EntriesMissing)
    assert (error.first, error.last) == (3, 4)


def test_an_old_copy_without_its_witness_contradicts_the_trust_file(committed: Path) -> None:
    path = committed / "log.jsonl"
    log(3)
    old = EvidenceLog.objects.get()
    log(2)
    assert checked(path) is None
    put_back(old)
    (committed / "evidence" / "witness.jsonl").unlink()
    assert verify_log().size == 3
    error = checked(path)
    assert isinstance(error, EntriesMissing)
    assert "older copy" in str(error)
    assert read_trust(trust_path(path)).checkpoint.size == 5
    trust_path(path).unlink()
    assert checked(path) is None, "no memory is left: nothing can tell"


def test_an_old_copy_that_grew_past_what_was_seen_is_still_found(committed: Path) -> None:
    path = committed / "log.jsonl"
    log(3)
    old = EvidenceLog.objects.get()
    log(2)
    assert checked(path) is None
    put_back(old)
    log(4, other="history")
    with pytest.raises(LogContradicts, match="first 5 entries are not those seen"):
        verify_log()
    assert files.read_witness(committed).size == 5
    error = checked(path)
    assert isinstance(error, EntriesRewritten)
    assert error.last == 4
    assert read_trust(trust_path(path)).checkpoint.size == 5
    (committed / "evidence" / "witness.jsonl").unlink()
    assert isinstance(checked(path), EntriesRewritten), "the trust file is enough"


@pytest.mark.sqlite
def test_the_database_file_itself_put_back_is_found(committed: Path) -> None:
    log(3)
    with closing(sqlite3.connect(committed / "copy.sqlite3")) as copy:
        connection.connection.backup(copy)
        log(2)
        copy.backup(connection.connection)
    assert head(ANONYMOUS).size == 3
    with pytest.raises(LogContradicts, match="older copy"):
        verify_log()
    assert isinstance(checked(committed / "log.jsonl"), EntriesMissing)


def test_an_emptied_database_is_found(committed: Path) -> None:
    log(2)
    replace_database()
    with pytest.raises(LogContradicts, match="it is empty"):
        verify_log()


def test_a_new_log_does_not_pass_for_the_old_one(committed: Path) -> None:
    log(2)
    path = committed / "log.jsonl"
    assert checked(path) is None
    before = path.read_bytes()
    replace_database()
    log(4)
    with pytest.raises(LogContradicts, match="was here before"):
        verify_log()
    with pytest.raises(TrustOfOtherLog):
        export(AUDITOR, path)
    assert path.read_bytes() == before
    assert isinstance(checked(committed / "elsewhere.jsonl"), CheckpointWrong)


# What lies beside the entries


def test_changed_nodes_give_no_false_proofs(committed: Path) -> None:
    log(4)
    assert inclusion_proof(ANONYMOUS, 0)
    node = EvidenceNode.objects.filter(level=1, index=1)
    with lifted_triggers():
        node.update(hash=b"0" * 32)
    with pytest.raises(LogContradicts, match="entry 0 is not under checkpoint 4"):
        inclusion_proof(ANONYMOUS, 0)
    with pytest.raises(LogContradicts, match="checkpoint 4 does not continue checkpoint 2"):
        consistency_proof(ANONYMOUS, 2, 4)
    with lifted_triggers() as execute:
        execute('DELETE FROM evidence_evidencenode WHERE level = 1 AND "index" = 1')
    with pytest.raises(LogContradicts, match="level 1, index 1 is missing"):
        inclusion_proof(ANONYMOUS, 0)


def test_a_head_that_its_key_did_not_sign_is_found(committed: Path) -> None:
    log(2)
    with lifted_triggers() as execute:
        execute("UPDATE evidence_evidencecheckpoint SET at = '2020-01-01' WHERE size = 2")
    with pytest.raises(LogContradicts, match="did not sign"):
        verify_log()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"peaks": b"0" * 64}, "its root is not the one signed for"),
        ({"peaks": b"0" * 63}, "its frontier"),
        ({"size": 1}, "its frontier"),
        ({"size": 9}, "counts 9"),
    ],
)
def test_a_changed_row_of_the_log_is_found(
    committed: Path, changes: dict[str, Any], reason: str
) -> None:
    log(3)
    EvidenceLog.objects.update(**changes)
    with pytest.raises(LogContradicts, match=reason):
        verify_log()


def test_an_append_never_takes_the_place_of_an_entry(committed: Path) -> None:
    log(1)
    old = EvidenceLog.objects.get()
    log(2)
    old.save()
    with pytest.raises(IntegrityError):
        log(1, other="history")
    assert [row.data for row in EvidenceEntry.objects.order_by("index")] == [
        {"number": 0},
        {"number": 0},
        {"number": 1},
    ]


# The witness


@pytest.fixture
def witness(committed: Path) -> Callable[[], Checkpoint | None]:
    return lambda: files.read_witness(committed)


def test_the_witness_sees_what_was_committed_and_nothing_else(
    witness: Callable[[], Checkpoint | None],
) -> None:
    assert witness() is None
    log(2)
    assert witness() == head(ANONYMOUS)

    def undone() -> None:
        with unit_of_work():
            record("job.settled", subject="job:1", actor=SYSTEM, data={})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        undone()
    assert witness().size == 2


def test_the_witness_is_one_line_and_never_goes_back(
    committed: Path, witness: Callable[[], Checkpoint | None]
) -> None:
    log()
    first = witness()
    log(3)
    services._witness(first)
    assert witness().size == 4
    assert (committed / "evidence" / "witness.jsonl").read_text().count("\n") == 1


def test_a_witness_that_fell_behind_catches_up(
    committed: Path, witness: Callable[[], Checkpoint | None]
) -> None:
    log()
    behind = (committed / "evidence" / "witness.jsonl").read_bytes()
    log(2)
    (committed / "evidence" / "witness.jsonl").write_bytes(behind)
    assert verify_log().size == 3
    log()
    assert witness().size == 4


def test_the_witness_of_another_log_is_kept(
    committed: Path, witness: Callable[[], Checkpoint | None]
) -> None:
    log()
    other = replace(witness(), log="other", size=0, root=EMPTY_ROOT.hex())
    files.write_witness(committed, other)
    log()
    assert witness() == other


def test_work_is_done_even_if_the_witness_cannot_be_written(
    committed: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (committed / "evidence").write_text("no folder")
    log(2)
    assert any("evidence.witness_failed" in str(line.msg) for line in caplog.records)
    assert EvidenceEntry.objects.count() == 2


def test_a_witness_of_garbage_is_reported_and_an_empty_one_forgotten(committed: Path) -> None:
    log()
    path = committed / "evidence" / "witness.jsonl"
    for garbage in ("{", "[]", json.dumps({"checkpoint": {}, "signature": ""})):
        path.write_text(garbage)
        with pytest.raises(LogContradicts, match="unreadable"):
            verify_log()
    path.write_text("")
    assert verify_log().size == 1
    log()
    assert files.read_witness(committed).size == 2


def test_transactions_side_by_side_make_one_log(committed: Path) -> None:
    """Also the first ones of all, which find no log yet."""
    start = Barrier(4)

    def work() -> None:
        try:
            start.wait(timeout=10)
            log(5)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        for outcome in [pool.submit(work) for _ in range(4)]:
            outcome.result(timeout=60)
    assert verify_log().size == 20
    assert files.read_witness(committed) == head(ANONYMOUS)
    assert checked(committed / "log.jsonl") is None


# The trust file


def test_the_trust_file_moves_forward_with_each_export(committed: Path) -> None:
    path = committed / "log.jsonl"
    log(2)
    assert export(AUDITOR, path).trusted_size == 2
    log(1)
    assert export(AUDITOR, path).trusted_size == 3
    assert read_trust(trust_path(path)).checkpoint == head(ANONYMOUS)


def test_the_trust_file_never_moves_back(committed: Path) -> None:
    path = committed / "log.jsonl"
    log(1)
    old = EvidenceLog.objects.get()
    log(2)
    export(AUDITOR, path)
    old.save()
    assert export(AUDITOR, path).trusted_size == 3
    assert read_trust(trust_path(path)).checkpoint.size == 3


def test_a_trust_file_of_garbage_stops_the_export(committed: Path) -> None:
    log()
    path = committed / "log.jsonl"
    trust_path(path).write_text("{}")
    with pytest.raises(NotATrustFile):
        export(AUDITOR, path)
    assert not path.exists()
