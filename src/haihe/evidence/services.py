"""Use cases of the evidence log.

:func:`record` only notes a fact; all facts of a unit of work are appended together as its last
step, under the log's one lock, with one signed checkpoint. So evidence commits or vanishes with
what it is evidence of, the lock is held for microseconds, and ten thousand facts cost a handful of
statements. An entry's instant is that of the append: what was committed by an instant is what a
query as of that instant finds, then and later.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog
from django.db import DatabaseError, IntegrityError, transaction

from haihe.evidence import files
from haihe.evidence.domain import (
    FORMAT,
    KEY_ROTATED,
    Checkpoint,
    Entry,
    Fact,
    PublicKey,
    Trust,
    canonical,
    checked_fact,
    entry_text,
    timestamp,
)
from haihe.evidence.errors import LogContradicts, TooManyEntries, TrustOfOtherLog
from haihe.evidence.merkle import (
    Frontier,
    consistency_holds,
    consistency_path,
    inclusion_holds,
    inclusion_path,
    leaf_hash,
    subtree_root,
)
from haihe.evidence.models import (
    EvidenceCheckpoint,
    EvidenceEntry,
    EvidenceKey,
    EvidenceLog,
    EvidenceNode,
    read_node,
)
from haihe.evidence.verify import read_trust, trust_path
from haihe.kernel.clock import now
from haihe.kernel.crash import crash_point
from haihe.kernel.errors import HaiheError, InvalidField, MissingRecord
from haihe.kernel.ids import new_id, parse_id
from haihe.kernel.pagination import DEFAULT_LIMIT, Page
from haihe.kernel.settings import load_settings
from haihe.kernel.work import after_commit, before_commit, unit_of_work
from haihe.policy.domain import Principal, Resource
from haihe.policy.services import authorize, is_allowed

MAX_ENTRIES_PER_TRANSACTION = 100_000
CHUNK = 2_000
LOG = Resource("Evidence", "log")

log_line = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Proof:
    """Hashes that prove something of the log as a signed checkpoint fixes it."""

    path: tuple[str, ...]
    checkpoint: Checkpoint


@dataclass(frozen=True)
class Exported:
    """What an export wrote."""

    path: Path
    trust_path: Path
    entries: int
    trusted_size: int


# Writing


def record(
    kind: str,
    *,
    subject: str,
    actor: Principal,
    data: Mapping[str, Any],
    parties: Iterable[UUID] = (),
) -> UUID:
    """Note a fact in the open unit of work; the id that its entry will have.

    The caller has authorised what the fact is about. ``data`` holds what a person needs to check
    the fact later, as canonical JSON: money as integers of micro-units, fractions as decimal
    strings, ids as text, content as hashes. ``parties`` are the organisations that may read it,
    besides auditors.

    Raises
    ------
    NotCanonical, EntryTooLarge, TooManyEntries
        If the fact, or one more of them in this transaction, cannot be logged.
    """
    assert not kind.startswith("evidence."), "the log keeps the kinds of its own entries"
    return _note(kind, subject=subject, actor=actor, data=data, parties=parties)


def rotate_key(principal: Principal) -> EvidenceKey:
    """Sign checkpoints with a new key from now on.

    The old key signs for the entry that introduces the new one, so whoever trusts the first key of
    the log can follow.
    """
    authorize(principal, "evidence.rotate_key", LOG)
    with unit_of_work():
        log = _locked_log()
        old = log.key
        public = PublicKey.of(files.create_signing_key(_home()))
        _note(
            KEY_ROTATED,
            subject=f"evidence-key:{public.key}",
            actor=principal,
            data={"old_key": old.pk, "new_key": public.key, "public": public.public},
        )
        before_commit("evidence", _Appendix()).write()
        log.refresh_from_db()
        new = EvidenceKey.objects.create(
            pk=public.key, public=bytes.fromhex(public.public), since_size=log.size
        )
        EvidenceKey.objects.filter(pk=old.pk).update(retired_at=now())
        EvidenceLog.objects.update(key=new)
    return new


class _Appendix:
    """The facts of one unit of work, appended when it is about to commit.

    It lives in the unit of work, so a unit that is rolled back leaves nothing to the next one.
    """

    def __init__(self) -> None:
        self.facts: list[Fact] = []
        self.closed = False

    def add(self, fact: Fact) -> None:
        assert not self.closed, "the evidence of this unit of work is already in the log"
        if len(self.facts) >= MAX_ENTRIES_PER_TRANSACTION:
            raise TooManyEntries(limit=MAX_ENTRIES_PER_TRANSACTION)
        self.facts.append(fact)

    def __call__(self) -> None:
        self.write()
        self.closed = True

    def write(self) -> None:
        """Append what has gathered."""
        facts, self.facts = self.facts, []
        if facts:
            _append(facts)


def _note(
    kind: str,
    *,
    subject: str,
    actor: Principal,
    data: Mapping[str, Any],
    parties: Iterable[UUID] = (),
) -> UUID:
    fact = checked_fact(
        new_id(), kind, subject=subject, actor=actor.actor, data=data, parties=parties
    )
    before_commit("evidence", _Appendix()).add(fact)
    return fact.id


def _append(facts: list[Fact]) -> None:
    """Put facts at the end of the log: entries, nodes, checkpoint and the log's row."""
    log = _locked_log()
    at = EvidenceCheckpoint.objects.instant(now())
    stamp = timestamp(at)
    leaves = [
        leaf_hash(
            entry_text(
                index=index,
                id=fact.id,
                at=stamp,
                kind=fact.kind,
                subject=fact.subject,
                actor=fact.actor,
                parties_json=fact.parties_json,
                data_json=fact.data_json,
            ).encode()
        )
        for index, fact in enumerate(facts, log.size)
    ]
    frontier, nodes = log.frontier().append(leaves)
    EvidenceEntry.objects.append(facts, leaves, first=log.size, at=at)
    EvidenceNode.append(nodes)
    log.advance(frontier)
    checkpoint = _sign(log, frontier, at)
    crash_point("evidence.flushed")
    after_commit(partial(_witness, checkpoint))


def _locked_log() -> EvidenceLog:
    """The log's row, locked until the transaction ends; the log begins here if it has not."""
    log = EvidenceLog.objects.locked().first()
    if log is not None:
        return log
    try:
        with transaction.atomic():
            return _begin_log()
    except IntegrityError:
        # Another process began it while this one waited.
        return EvidenceLog.objects.locked().get()


def _begin_log() -> EvidenceLog:
    public = files.create_signing_key(_home())
    key = EvidenceKey.objects.create(pk=PublicKey.of(public).key, public=public, since_size=0)
    log = EvidenceLog.objects.create(log=new_id(), key=key)
    _sign(log, Frontier(), now())
    return log


def _sign(log: EvidenceLog, frontier: Frontier, at: datetime) -> Checkpoint:
    """Sign and store the checkpoint of the log's present size."""
    checkpoint = Checkpoint(
        log=str(log.log),
        size=frontier.size,
        root=frontier.root().hex(),
        at=timestamp(at),
        key=log.key_id,
    ).signed(files.signing_key(_home(), log.key_id))
    EvidenceCheckpoint.objects.create(
        size=frontier.size,
        root=frontier.root(),
        at=at,
        key_id=log.key_id,
        signature=bytes.fromhex(checkpoint.signature),
    )
    return checkpoint


def _home() -> Path:
    return load_settings().home.resolve()


# The witness


def verify_log() -> Checkpoint | None:
    """Check, in O(log n), that the database holds the log that it held before; its head.

    Entries are not read one by one: :func:`haihe.evidence.inspection.verify_entries` does that.
    What is found here is a database put back to an old copy or replaced, newest entries that are
    gone, and a signing key that cannot be used.

    Raises
    ------
    LogContradicts
        With the first contradiction.
    SigningKeyMissing
        If the next entry could not be signed for.
    """
    seen = files.read_witness(_home())
    log = EvidenceLog.objects.first()
    if log is None:
        if seen:
            raise LogContradicts(reason=f"it is empty, and log {seen.log} was seen in it")
        return None
    held = EvidenceEntry.objects.count_from_head()
    # An append may come between these reads, so more than the row counts is no contradiction.
    if held < log.size:
        raise LogContradicts(reason=f"it has {held} entries, and counts {log.size}")
    row = EvidenceCheckpoint.objects.select_related("key").filter(size=log.size).first()
    if row is None:
        raise LogContradicts(reason=f"no checkpoint of its size {log.size} is signed")
    checkpoint = row.checkpoint(log.log)
    if not checkpoint.is_signed_by(row.key.public_key()):
        raise LogContradicts(reason=f"its key did not sign its checkpoint of size {log.size}")
    roots = {subtree_root(0, log.size, read_node), log.frontier().root()}
    if roots != {bytes.fromhex(checkpoint.root)}:
        raise LogContradicts(reason=f"its root is not the one signed for at size {log.size}")
    if seen:
        _compare_with_witness(log, seen)
    files.load_signing_key(_home(), log.key_id)
    return checkpoint


def _compare_with_witness(log: EvidenceLog, seen: Checkpoint) -> None:
    if seen.log != str(log.log):
        raise LogContradicts(reason=f"it is log {log.log}, and log {seen.log} was here before")
    if seen.size > log.size:
        reason = f"it has {log.size} entries, and {seen.size} were seen: this is an older copy"
        raise LogContradicts(reason=reason)
    if not EvidenceCheckpoint.objects.agree_with(seen):
        raise LogContradicts(reason=f"its first {seen.size} entries are not those seen before")


def _witness(checkpoint: Checkpoint) -> None:
    """Remember a committed checkpoint outside the database. The request is safe already.

    Memory only moves forward along one history: a newer checkpoint of a log that does not hold
    the one remembered must not wipe out what would tell.
    """
    home = _home()
    try:
        with files.witness_lock(home):
            seen = files.read_witness(home)
            if seen is not None:
                if seen.log == checkpoint.log and seen.size >= checkpoint.size:
                    return
                if not _holds(checkpoint.log, seen):
                    log_line.error("evidence.witness_contradicts", seen=seen.line())
                    return
            files.write_witness(home, checkpoint)
    except (OSError, DatabaseError, HaiheError):
        log_line.exception("evidence.witness_failed", size=checkpoint.size)


def _holds(log_id: str, seen: Checkpoint) -> bool:
    """Whether the log in the database signed for the same root at the same size."""
    return seen.log == log_id and EvidenceCheckpoint.objects.agree_with(seen)


# Reading


def head(principal: Principal) -> Checkpoint | None:
    """The newest checkpoint; None before the first entry of all."""
    authorize(principal, "evidence.list", LOG)
    log = EvidenceLog.objects.first()
    return _checkpoint(log, log.size) if log else None


def checkpoints(
    principal: Principal, *, cursor: str | None = None, limit: int = DEFAULT_LIMIT
) -> Page[EvidenceCheckpoint]:
    """The signed checkpoints, newest first."""
    authorize(principal, "evidence.list", LOG)
    return EvidenceCheckpoint.objects.all().page(cursor, limit)


def inclusion_proof(principal: Principal, index: int, *, size: int | None = None) -> Proof:
    """The proof that entry ``index`` is under the checkpoint of ``size``, the head if not given."""
    authorize(principal, "evidence.list", LOG)
    log = _log()
    checkpoint = _checkpoint(log, log.size if size is None else size)
    if not 0 <= index < checkpoint.size:
        raise InvalidField(field="index", value=index, rule=f"give 0 to {checkpoint.size - 1}")
    path = inclusion_path(index, checkpoint.size, read_node)
    root = bytes.fromhex(checkpoint.root)
    if not inclusion_holds(read_node(0, index), index, checkpoint.size, path, root):
        raise LogContradicts(reason=f"entry {index} is not under checkpoint {checkpoint.size}")
    return Proof(tuple(step.hex() for step in path), checkpoint)


def consistency_proof(principal: Principal, first: int, second: int) -> Proof:
    """The proof that the checkpoint of size ``second`` continues the one of size ``first``."""
    authorize(principal, "evidence.list", LOG)
    if not 0 <= first <= second:
        raise InvalidField(field="first", value=first, rule=f"give 0 to {second}")
    log = _log()
    before, after = _checkpoint(log, first), _checkpoint(log, second)
    path = consistency_path(first, second, read_node)
    roots = bytes.fromhex(before.root), bytes.fromhex(after.root)
    if not consistency_holds(first, second, *roots, path):
        raise LogContradicts(reason=f"checkpoint {second} does not continue checkpoint {first}")
    return Proof(tuple(step.hex() for step in path), after)


def get(principal: Principal, id: UUID | str) -> EvidenceEntry:  # noqa: A002 (the field's name)
    """An entry, for its parties and auditors."""
    row = EvidenceEntry.objects.filter(id=parse_id(id, kind="evidence")).first()
    if row is None:
        raise MissingRecord(kind="evidence", id=str(id))
    authorize(principal, "evidence.read", row.checked().resource())
    return row


def find(
    principal: Principal,
    *,
    kind: str = "",
    subject: str = "",
    organisation: UUID | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[EvidenceEntry]:
    """The entries that the caller may read, newest first; :class:`EntryWrong` for a changed one."""
    authorize(principal, "evidence.list", LOG)
    rows = EvidenceEntry.objects.all()
    # Who may read an entry that names no party may read them all.
    if not is_allowed(principal, "evidence.read", Resource("Evidence")):
        rows = rows.naming(principal.organisations())
    if kind:
        rows = rows.filter(kind=kind)
    if subject:
        rows = rows.filter(subject=subject)
    if organisation:
        rows = rows.naming([organisation])
    return rows.page(cursor, limit)


def entries_of(*, kind: str, as_of: datetime | None = None) -> Iterator[Entry]:
    """All entries of a kind in order of the log, up to an instant; for computing, not for showing.

    No caller is asked for: what is computed from them is authorised where it is shown. Nothing is
    computed from content that was changed: that is an :class:`EntryWrong`.
    """
    rows = EvidenceEntry.objects.filter(kind=kind).order_by("index")
    if as_of is not None:
        rows = rows.filter(at__lte=as_of)
    return (row.checked().entry() for row in rows.iterator(chunk_size=CHUNK))


def export(principal: Principal, path: Path) -> Exported:
    """Write the whole log to a file that :mod:`haihe.evidence.verify` checks, and its trust file.

    A checkpoint that only the witness knows of is written too, so that the export of a database
    that was put back to an old copy shows it. The trust file never moves back, and never over to
    a history that does not hold what it remembers.

    Raises
    ------
    TrustOfOtherLog
        If the trust file beside ``path`` remembers another log; nothing is written.
    """
    authorize(principal, "evidence.export", LOG)
    with unit_of_work():
        log = _locked_log()
    trusted = read_trust(trust_path(path))
    if trusted and trusted.checkpoint.log != str(log.log):
        raise TrustOfOtherLog(
            place=str(trust_path(path)), trusted=trusted.checkpoint.log, log=str(log.log)
        )
    files.write_export(path, export_lines(log))
    newest = _checkpoint(log, log.size)
    if trusted is None:
        trusted = Trust(EvidenceKey.objects.get(since_size=0).public_key(), newest)
        files.write_trust(trust_path(path), trusted)
    elif trusted.checkpoint.size < newest.size and _holds(str(log.log), trusted.checkpoint):
        trusted = Trust(trusted.key, newest)
        files.write_trust(trust_path(path), trusted)
    return Exported(path, trust_path(path), log.size, trusted.checkpoint.size)


def export_lines(log: EvidenceLog) -> Iterator[str]:
    """Header, entries, checkpoints of the log up to the size that its row had when it was read."""
    signed = EvidenceCheckpoint.objects.filter(size__lte=log.size).order_by("size")
    seen = files.read_witness(_home())
    if seen is not None and _holds(str(log.log), seen):
        seen = None
    keys = EvidenceKey.objects.filter(since_size__lte=log.size).order_by("since_size")
    yield canonical(
        {
            "format": FORMAT,
            "log": str(log.log),
            "size": log.size,
            "checkpoints": signed.count() + (seen is not None),
            "keys": [asdict(key.public_key()) for key in keys],
        }
    )
    entries = EvidenceEntry.objects.filter(index__lt=log.size).order_by("index")
    yield from (entry.line() for entry in entries.iterator(chunk_size=CHUNK))
    stored = (row.checkpoint(log.log) for row in signed.iterator(chunk_size=CHUNK))
    for checkpoint in heapq.merge(stored, [seen] if seen else [], key=attrgetter("size")):
        yield checkpoint.line()


def _log() -> EvidenceLog:
    log = EvidenceLog.objects.first()
    if log is None:
        raise MissingRecord(kind="evidence log", id="log")
    return log


def _checkpoint(log: EvidenceLog, size: int) -> Checkpoint:
    row = EvidenceCheckpoint.objects.filter(size=size).first()
    if row is None:
        raise MissingRecord(kind="checkpoint", id=str(size))
    return row.checkpoint(log.log)
