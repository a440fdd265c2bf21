"""What the services of the evidence log promise: to those who record, read, prove and export."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from haihe.evidence import services
from haihe.evidence.domain import canonical
from haihe.evidence.errors import NotCanonical, SigningKeyMissing, TooManyEntries
from haihe.evidence.merkle import consistency_holds, inclusion_holds, leaf_hash
from haihe.evidence.models import (
    EvidenceCheckpoint,
    EvidenceEntry,
    EvidenceKey,
    EvidenceLog,
    EvidenceNode,
    EvidenceParty,
)
from haihe.evidence.services import (
    checkpoints,
    consistency_proof,
    entries_of,
    export,
    find,
    get,
    head,
    inclusion_proof,
    record,
    rotate_key,
    verify_log,
)
from haihe.evidence.verify import verify_file
from haihe.kernel.clock import use_clock
from haihe.kernel.errors import InvalidField, MissingRecord
from haihe.kernel.work import before_commit, unit_of_work
from haihe.policy.domain import ANONYMOUS, Principal, Resource, system_principal
from haihe.policy.errors import NotAllowed, NotSignedIn, ScopeMissing
from haihe.policy.services import is_allowed
from tests.evidence.factories import (
    AUDITOR,
    BEGAN,
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


def log(
    count: int = 1,
    *,
    kind: str = "job.settled",
    parties: tuple[UUID, ...] = (CLINIC,),
    **data: Any,
) -> list[UUID]:
    """Record some facts in one transaction; their ids."""
    with unit_of_work():
        return [
            record(kind, subject=f"job:{number}", actor=SYSTEM, data=data or {}, parties=parties)
            for number in range(count)
        ]


# Recording


def test_a_fact_is_in_the_log_once_its_work_is_done() -> None:
    with use_clock(lambda: BEGAN):
        [id_] = log(amount_micro=5, parties=(CENTRE, CLINIC))
    entry = get(AUDITOR, id_)
    assert (entry.index, entry.at, entry.kind, entry.subject) == (0, BEGAN, "job.settled", "job:0")
    assert (entry.actor, entry.parties) == ("system:settlement", (CLINIC, CENTRE))
    assert entry.data == {"amount_micro": 5}
    assert entry.leaf == leaf_hash(entry.text().encode())


def test_entries_stand_in_the_order_in_which_they_were_recorded() -> None:
    first, second = log(2), log(3)
    rows = EvidenceEntry.objects.order_by("index")
    assert [row.id for row in rows] == first + second
    assert [row.index for row in rows] == [0, 1, 2, 3, 4]


def test_what_the_caller_changes_afterwards_is_not_what_was_recorded() -> None:
    data = {"list": [1]}
    with unit_of_work():
        id_ = record("job.settled", subject="job:1", actor=SYSTEM, data=data)
        data["list"].append(2)
    assert get(AUDITOR, id_).data == {"list": [1]}


def work_with(step: Callable[[], object], *, subject: str) -> None:
    """One unit of work that records a fact and then takes a step."""
    with unit_of_work():
        record("job.settled", subject=subject, actor=SYSTEM, data={})
        step()


def fail() -> None:
    raise ZeroDivisionError


def test_work_that_is_undone_leaves_no_evidence_and_none_to_the_next_one() -> None:
    log()
    with pytest.raises(ZeroDivisionError):
        work_with(fail, subject="job:lost")
    assert EvidenceEntry.objects.count() == 1
    log()
    assert not EvidenceEntry.objects.filter(subject="job:lost").exists()
    assert verify_log().size == 2


def test_a_failing_inner_step_undoes_the_evidence_of_the_outer_one() -> None:
    with pytest.raises(ZeroDivisionError):
        work_with(lambda: work_with(fail, subject="job:inner"), subject="job:outer")
    assert not EvidenceEntry.objects.exists()


def test_evidence_is_recorded_in_the_work_that_it_is_of() -> None:
    with pytest.raises(AssertionError, match="unit_of_work"):
        record("job.settled", subject="job:1", actor=SYSTEM, data={})


def test_evidence_that_would_come_too_late_is_not_lost_in_silence() -> None:
    def late() -> None:
        record("job.settled", subject="job:late", actor=SYSTEM, data={})

    with pytest.raises(AssertionError, match="already in the log"):
        work_with(lambda: before_commit("late", late), subject="job:1")


def test_only_the_log_itself_writes_of_itself() -> None:
    with pytest.raises(AssertionError), unit_of_work():
        record("evidence.key_rotated", subject="key:1", actor=SYSTEM, data={})


def test_a_fact_that_cannot_be_evidence_stops_the_work() -> None:
    with pytest.raises(NotCanonical, match=r"data\.score"), unit_of_work():
        record("job.settled", subject="job:1", actor=SYSTEM, data={"score": 0.5})
    assert not EvidenceEntry.objects.exists()


def test_one_transaction_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "MAX_ENTRIES_PER_TRANSACTION", 3)
    log(3)
    with pytest.raises(TooManyEntries):
        log(4)
    assert EvidenceEntry.objects.count() == 3


def test_a_batch_takes_as_many_statements_as_one_entry() -> None:
    def statements(count: int) -> int:
        with CaptureQueriesContext(connection) as queries:
            log(count)
        return len(queries)

    log()
    assert statements(500) == statements(1) < 10


def test_each_transaction_is_signed_for_once() -> None:
    log(3)
    log(2)
    assert [row.size for row in EvidenceCheckpoint.objects.order_by("size")] == [0, 3, 5]


# What is written stays


@pytest.mark.parametrize(
    ("model", "values"),
    [
        (EvidenceEntry, {"kind": "other.kind"}),
        (EvidenceParty, {"organisation": OTHER}),
        (EvidenceNode, {"hash": b"0" * 32}),
        (EvidenceCheckpoint, {"root": b"0" * 32}),
    ],
)
def test_the_database_refuses_to_change_or_delete_what_was_logged(
    model: Any, values: dict[str, Any]
) -> None:
    log(4)
    assert model.objects.exists()
    with pytest.raises(DatabaseError, match="evidence: update"), transaction.atomic():
        model.objects.update(**values)
    with pytest.raises(DatabaseError, match="evidence: delete"), transaction.atomic():
        model.objects.all()._raw_delete(model.objects.db)


def test_there_is_one_log() -> None:
    log()
    with pytest.raises(IntegrityError), transaction.atomic():
        EvidenceLog.objects.create(id=2, log=UUID(int=1), key=EvidenceKey.objects.get())


def test_a_log_that_another_process_began_meanwhile_is_joined(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log()
    locked = type(EvidenceLog.objects.all()).locked
    answers = [EvidenceLog.objects.none()]
    monkeypatch.setattr(
        type(EvidenceLog.objects),
        "locked",
        lambda manager: answers.pop() if answers else locked(manager.all()),
    )
    log()
    assert not answers
    assert verify_log().size == 2
    assert EvidenceKey.objects.count() == 1


# Reading


def test_a_log_that_has_not_begun_has_no_head_and_no_proofs() -> None:
    assert head(ANONYMOUS) is None
    assert verify_log() is None
    assert not find(AUDITOR).items
    with pytest.raises(MissingRecord):
        inclusion_proof(ANONYMOUS, 0)


def test_an_entry_is_read_by_its_parties_and_auditors_only() -> None:
    [id_] = log()
    with pytest.raises(NotSignedIn):
        get(ANONYMOUS, id_)
    for person in (STRANGER, OPERATOR, OFFICER):
        with pytest.raises(NotAllowed):
            get(person, id_)
    assert get(DOCTOR, id_) == get(AUDITOR, id_) == get(SYSTEM, str(id_))
    for missing in (UUID(int=5), "no-id"):
        with pytest.raises(MissingRecord):
            get(AUDITOR, missing)


def test_a_list_holds_what_the_caller_may_read_and_nothing_else() -> None:
    [ours] = log()
    [both] = log(parties=(CENTRE, CLINIC))
    [nobodys] = log(parties=())

    def seen(principal: Principal) -> list[UUID]:
        return [row.id for row in find(principal).items]

    assert seen(ANONYMOUS) == seen(STRANGER) == seen(OPERATOR) == []
    assert seen(DOCTOR) == [both, ours]
    assert seen(AUDITOR) == seen(SYSTEM) == [nobodys, both, ours]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    named=st.lists(st.sets(st.sampled_from([CLINIC, CENTRE, OTHER])), min_size=1, max_size=4),
    principal=st.sampled_from([ANONYMOUS, DOCTOR, STRANGER, AUDITOR, OPERATOR, OFFICER, SYSTEM]),
)
def test_the_list_and_the_policy_agree(named: list[set[UUID]], principal: Principal) -> None:
    ids = [log(parties=tuple(parties))[0] for parties in named]
    found = {row.id for row in find(principal, limit=500).items}
    for row in EvidenceEntry.objects.filter(id__in=ids):
        assert (row.id in found) == is_allowed(principal, "evidence.read", row.resource())


def test_a_token_without_the_scope_reads_nothing() -> None:
    [id_] = log()
    token = Principal(id=DOCTOR.id, memberships=DOCTOR.memberships, scopes=frozenset({"data"}))
    for read in (
        lambda: find(token),
        lambda: get(token, id_),
        lambda: head(token),
        lambda: checkpoints(token),
        lambda: inclusion_proof(token, 0),
        lambda: consistency_proof(token, 0, 1),
    ):
        with pytest.raises(ScopeMissing):
            read()


def test_lists_are_narrowed_by_kind_and_subject() -> None:
    log(2)
    log(3, kind="voucher.issued")
    assert len(find(AUDITOR, kind="voucher.issued").items) == 3
    assert len(find(AUDITOR, subject="job:0").items) == 2
    assert [row.index for row in find(AUDITOR, kind="job.settled", subject="job:1").items] == [1]


def test_pages_follow_each_other_while_the_log_grows() -> None:
    log(5)
    first = find(AUDITOR, limit=2)
    log(2)
    second = find(AUDITOR, limit=2, cursor=first.next_cursor)
    third = find(AUDITOR, limit=2, cursor=second.next_cursor)
    assert [row.index for page in (first, second, third) for row in page.items] == [4, 3, 2, 1, 0]
    assert third.next_cursor is None
    for bad in ({"limit": 0}, {"limit": 501}, {"cursor": "x"}, {"cursor": "9" * 30}):
        with pytest.raises(InvalidField):
            find(AUDITOR, **bad)


def test_calculators_read_a_kind_in_order_and_as_of_an_instant() -> None:
    for day in range(3):
        with use_clock(lambda day=day: BEGAN + timedelta(days=day)):
            log(day=day)
            log(kind="job.failed")
    as_of = BEGAN + timedelta(days=1)
    found = list(entries_of(kind="job.settled", as_of=as_of))
    assert [entry.data for entry in found] == [{"day": 0}, {"day": 1}]
    assert [entry.index for entry in found] == [0, 2]
    assert (found[0].at, found[0].parties) == (BEGAN, (CLINIC,))
    assert len(list(entries_of(kind="job.settled"))) == 3


def test_an_entry_bears_the_instant_at_which_its_work_was_done() -> None:
    """A bulletin as of an instant finds the same entries whenever it is computed."""
    instant = BEGAN

    def clock() -> datetime:
        return instant

    with use_clock(clock), unit_of_work():
        id_ = record("job.settled", subject="job:1", actor=SYSTEM, data={})
        instant = BEGAN + timedelta(hours=1)
    assert get(AUDITOR, id_).at == BEGAN + timedelta(hours=1)


# Proofs


def test_proofs_hold_against_the_signed_checkpoints() -> None:
    for count in (1, 4, 8):
        log(count)
    for size in (1, 5, 13):
        for index in range(size):
            proof = inclusion_proof(ANONYMOUS, index, size=size)
            leaf = EvidenceEntry.objects.get(index=index).leaf
            path = [bytes.fromhex(step) for step in proof.path]
            root = bytes.fromhex(proof.checkpoint.root)
            assert inclusion_holds(bytes(leaf), index, size, path, root)
    assert inclusion_proof(ANONYMOUS, 3).checkpoint == head(ANONYMOUS)
    roots = {row.size: bytes(row.root) for row in checkpoints(ANONYMOUS).items}
    for first, second in ((0, 13), (1, 5), (5, 13), (13, 13)):
        path = [bytes.fromhex(step) for step in consistency_proof(ANONYMOUS, first, second).path]
        assert consistency_holds(first, second, roots[first], roots[second], path)


def test_a_proof_is_asked_for_what_is_there() -> None:
    log(3)
    with pytest.raises(InvalidField):
        inclusion_proof(ANONYMOUS, 3)
    with pytest.raises(InvalidField):
        consistency_proof(ANONYMOUS, 3, 0)
    with pytest.raises(MissingRecord):
        inclusion_proof(ANONYMOUS, 0, size=2)


# Export


def test_an_export_is_verified_and_remembered(tmp_path: Path) -> None:
    log(3)
    path = tmp_path / "log.jsonl"
    for person in (DOCTOR, OPERATOR, OFFICER):
        with pytest.raises(NotAllowed):
            export(person, path)
    with pytest.raises(NotSignedIn):
        export(ANONYMOUS, path)
    assert not path.exists()
    written = export(AUDITOR, path)
    assert (written.entries, written.trusted_size) == (3, 3)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    report = verify_file(path)
    assert (report.entries, report.head) == (3, head(ANONYMOUS))
    assert list(tmp_path.glob(".log*")) == []


def test_an_empty_log_can_be_exported(tmp_path: Path) -> None:
    assert export(AUDITOR, tmp_path / "log.jsonl").entries == 0
    assert verify_file(tmp_path / "log.jsonl").entries == 0


def test_every_character_survives_the_export(tmp_path: Path) -> None:
    strange = {"text": '海河 \u0000\u001f\u007f\u2028"\\\U0001f600', "n": [-1, None, True, {}]}
    log(**strange)
    export(AUDITOR, tmp_path / "log.jsonl")
    verify_file(tmp_path / "log.jsonl")
    line = json.loads((tmp_path / "log.jsonl").read_bytes().split(b"\n")[1])
    assert line["entry"]["data"] == strange
    assert line["leaf"] == leaf_hash(canonical(line["entry"]).encode()).hex()


# Keys


def test_the_signing_key_is_in_a_file_for_its_owner_only(home: Path) -> None:
    log()
    [key] = EvidenceKey.objects.all()
    path = home / "keys" / f"evidence-{key.pk}.pem"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_only_the_operator_rotates_the_key() -> None:
    for person in (DOCTOR, AUDITOR, OFFICER):
        with pytest.raises(NotAllowed):
            rotate_key(person)
    with pytest.raises(NotSignedIn):
        rotate_key(ANONYMOUS)
    assert not EvidenceKey.objects.exists()


def test_a_rotated_key_signs_from_then_on_and_verifies_from_the_first(tmp_path: Path) -> None:
    log(2)
    path = tmp_path / "log.jsonl"
    export(AUDITOR, path)
    with use_clock(lambda: BEGAN):
        new = rotate_key(OPERATOR)
    log()
    rotate_key(OPERATOR)
    log()
    keys = list(EvidenceKey.objects.order_by("since_size"))
    assert [key.since_size for key in keys] == [0, 3, 5]
    assert keys[1] == new
    assert keys[0].retired_at == BEGAN
    assert keys[2].retired_at is None
    signed = EvidenceCheckpoint.objects.order_by("size").values_list("size", "key_id")
    first, second, third = (key.pk for key in keys)
    assert list(signed) == [
        (0, first),
        (2, first),
        (3, first),
        (4, second),
        (5, second),
        (6, third),
    ]
    assert export(AUDITOR, path).trusted_size == 6
    assert verify_file(path).keys == (first, second, third)
    assert verify_log().key == third


def test_facts_of_the_same_work_stand_on_both_sides_of_a_rotation(tmp_path: Path) -> None:
    with unit_of_work():
        record("job.settled", subject="job:1", actor=SYSTEM, data={})
        rotate_key(OPERATOR)
        record("job.settled", subject="job:2", actor=SYSTEM, data={})
    export(AUDITOR, tmp_path / "log.jsonl")
    assert verify_file(tmp_path / "log.jsonl").entries == 3


@pytest.mark.parametrize("damage", ["remove", "garbage", "other"])
def test_without_its_key_the_log_takes_nothing_and_says_what_to_restore(
    home: Path, damage: str
) -> None:
    log()
    [path] = (home / "keys").glob("*.pem")
    if damage == "remove":
        path.unlink()
    elif damage == "garbage":
        path.write_text("no key")
    else:
        path.write_bytes(
            services.files.Ed25519PrivateKey.generate().private_bytes(
                services.files.Encoding.PEM,
                services.files.PrivateFormat.PKCS8,
                services.files.NoEncryption(),
            )
        )
    with pytest.raises(SigningKeyMissing, match=path.name):
        verify_log()
    services.files.signing_key.cache_clear()
    with pytest.raises(SigningKeyMissing, match="restore"):
        log()
    assert EvidenceEntry.objects.count() == 1


# Crashes


WORK = """
import django
django.setup()
from haihe.evidence.services import record, verify_log
from haihe.kernel.work import unit_of_work
from haihe.policy.domain import system_principal
with unit_of_work():
    record("job.settled", subject="job:1", actor=system_principal("x"), data={})
print(verify_log().size)
"""


def run_in(home: Path, *command: str, crash_at: str = "") -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "haihe.app.settings",
        "HAIHE_HOME": str(home),
        "HAIHE_CRASH_AT": crash_at,
        "HAIHE_DATABASE_URL": "",
    }
    return subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with an empty database for processes of their own."""
    home = tmp_path_factory.mktemp("migrated")
    assert run_in(home, "-m", "django", "migrate", "-v0").returncode == 0
    return home


@pytest.mark.faults
@pytest.mark.parametrize(
    ("point", "kept"),
    [("evidence.flushed", 0), ("work.before_commit", 0), ("work.after_commit", 1)],
)
def test_a_crash_leaves_all_of_a_transactions_evidence_or_none(
    migrated: Path, tmp_path: Path, point: str, kept: int
) -> None:
    home = shutil.copytree(migrated, tmp_path / "crashed")
    assert run_in(home, "-c", WORK, crash_at=point).returncode == -signal.SIGKILL
    assert run_in(home, "-c", WORK).stdout == f"{kept + 1}\n"


def test_a_lists_resource_is_an_entry_without_parties() -> None:
    assert is_allowed(AUDITOR, "evidence.read", Resource("Evidence"))
    assert not is_allowed(DOCTOR, "evidence.read", Resource("Evidence"))
