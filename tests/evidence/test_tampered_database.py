"""Somebody edits the database past the triggers: the platform itself says so, and shows nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from typer.testing import CliRunner

from haihe.app.wiring import _verify_entries as verify_entries_beat
from haihe.cli.main import app
from haihe.evidence.errors import (
    EntriesMissing,
    EntriesRewritten,
    EntryWrong,
    LogContradicts,
)
from haihe.evidence.inspection import last_check, prove, verify_entries
from haihe.evidence.merkle import leaf_hash
from haihe.evidence.models import EvidenceEntry
from haihe.evidence.services import entries_of, find, get, record, rotate_key, verify_log
from haihe.kernel.clock import now
from haihe.kernel.errors import Corrupt
from haihe.kernel.work import unit_of_work
from haihe.policy.domain import ANONYMOUS, system_principal
from tests.evidence.factories import AUDITOR, CLINIC, DOCTOR, OPERATOR
from tests.factories import make_person
from tests.pages import browser, sound
from tests.triggers import Execute, lifted_triggers

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("committed")]
Harm = Callable[[Execute], Any]


def log(count: int) -> list[UUID]:
    """Log entries, each in a transaction of its own; their ids."""
    ids = []
    for number in range(count):
        with unit_of_work():
            ids.append(
                record(
                    "job.settled",
                    subject=f"job:{number}",
                    actor=system_principal("settlement"),
                    data={"amount_micro": number},
                    parties=[CLINIC],
                )
            )
    return ids


def forge(execute: Execute, index: int = 2) -> None:
    """Put another amount into an entry, beside the hash of the old one."""
    execute(
        "UPDATE evidence_evidenceentry SET data_json = '{\"amount_micro\":9000000}' "
        f'WHERE "index" = {index}'
    )


def forge_with_hash(execute: Execute) -> None:
    """Put another amount into an entry, and the hash of what it says now."""
    row = EvidenceEntry.objects.get(index=2)
    row.data_json = '{"amount_micro":9000000}'
    leaf = leaf_hash(row.text().encode()).hex()
    forge(execute)
    EvidenceEntry.objects.filter(index=2).update(leaf=bytes.fromhex(leaf))


def delete(execute: Execute) -> None:
    """Take an entry out of the middle."""
    execute("DELETE FROM evidence_evidenceparty WHERE entry_id = 2")
    execute('DELETE FROM evidence_evidenceentry WHERE "index" = 2')


def delete_newest(execute: Execute) -> None:
    """Take the newest entry away."""
    execute("DELETE FROM evidence_evidenceparty WHERE entry_id = 4")
    execute('DELETE FROM evidence_evidenceentry WHERE "index" = 4')


def exchange(execute: Execute) -> None:
    """Let two entries change places."""
    execute("DELETE FROM evidence_evidenceparty")
    for before, after in ((1, 99), (3, 1), (99, 3)):
        execute(f'UPDATE evidence_evidenceentry SET "index" = {after} WHERE "index" = {before}')


TAMPERINGS: list[tuple[Harm, type[Corrupt], dict[str, Any]]] = [
    (forge, EntryWrong, {"index": 2}),
    (forge_with_hash, EntriesRewritten, {"first": 2, "last": 2}),
    (delete, EntriesMissing, {"first": 2, "last": 2}),
    (delete_newest, LogContradicts, {}),
    (exchange, EntryWrong, {"index": 1}),
]


@pytest.mark.parametrize(("harm", "error", "named"), TAMPERINGS)
def test_the_check_of_the_database_names_what_was_done(
    harm: Harm, error: type[Corrupt], named: dict[str, Any]
) -> None:
    log(5)
    with lifted_triggers() as execute:
        harm(execute)
    result = CliRunner().invoke(app, ["evidence", "verify", "--json"])
    assert isinstance(result.exception, error)
    assert result.exception.params().items() >= named.items()
    assert last_check(ANONYMOUS) is None, "a check that failed is not logged as one that held"
    with pytest.raises(error):
        verify_entries_beat(now())


def test_a_log_that_was_left_alone_is_good_through_rotations() -> None:
    log(3)
    rotate_key(OPERATOR)
    log(3)
    head = verify_entries()
    assert head is not None
    assert head.size == 7
    said = json.loads(CliRunner().invoke(app, ["evidence", "verify", "--json"]).stdout)
    assert (said["good"], said["size"]) == (True, 7)


def test_an_empty_log_has_nothing_to_check() -> None:
    assert verify_entries() is None


def test_a_changed_entry_is_neither_shown_nor_proved_nor_computed_with() -> None:
    ids = log(5)
    with lifted_triggers() as execute:
        forge(execute)
    assert verify_log() is not None, "the short check reads no entries"
    for read in (
        lambda: get(AUDITOR, ids[2]),
        lambda: prove(ANONYMOUS, ids[2]),
        lambda: find(AUDITOR),
        lambda: list(entries_of(kind="job.settled")),
    ):
        with pytest.raises(EntryWrong) as caught:
            read()
        assert caught.value.index == 2
    assert get(AUDITOR, ids[1]).data == {"amount_micro": 1}


def test_who_writes_themselves_into_an_entry_does_not_read_it() -> None:
    ids = log(1)
    with lifted_triggers() as execute:
        execute(f"UPDATE evidence_evidenceentry SET parties_json = '[\"{UUID(int=9)}\"]'")
    with pytest.raises(EntryWrong):
        get(DOCTOR, ids[0])


@pytest.mark.usefixtures("committed")
def test_the_page_of_a_changed_entry_says_so_and_shows_none_of_it() -> None:
    ids = log(3)
    with lifted_triggers() as execute:
        forge(execute)
    page = sound(browser(make_person(roles=("auditor",))).get(f"/evidence/entries/{ids[2]}"), 500)
    assert "This is not what was logged" in page.text
    assert str(ids[2]) in page.text
    assert "9000000" not in page.text
    assert "leads to the signed root" not in page.text


def test_a_check_from_the_page_reads_every_entry(committed: Path) -> None:
    log(3)
    with lifted_triggers() as execute:
        forge(execute)
    page = sound(browser(make_person(roles=("operator",))).post("/evidence/verify"), 500)
    assert "The log is not what it was" in page.text
    assert "Entry 2" in page.text
