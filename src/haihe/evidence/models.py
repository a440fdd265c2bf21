"""Tables of the evidence log.

An entry is stored in its parts and nowhere else: the text that was hashed is put together from the
columns, so that no column can say one thing and the hashed text another. Entries, parties, nodes
and checkpoints are only ever inserted; triggers (migration 0002) refuse to update or delete them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any, ClassVar, Self, TypeVar
from uuid import UUID

from django.db import connection, models
from django.db.models import Q

from haihe.evidence.domain import (
    MAX_KIND_LENGTH,
    MAX_NAME_LENGTH,
    Checkpoint,
    Entry,
    Fact,
    PublicKey,
    entry_line,
    entry_text,
    timestamp,
)
from haihe.evidence.errors import EntryWrong, LogContradicts
from haihe.evidence.merkle import Frontier, leaf_hash
from haihe.kernel.clock import now
from haihe.kernel.errors import InvalidField
from haihe.kernel.pagination import MAX_LIMIT, Page
from haihe.policy.domain import Resource

M = TypeVar("M", bound=models.Model)
HASH_BYTES = 32
_PLACE = re.compile(r"[0-9]{1,18}")


class EvidenceKey(models.Model):
    """A public key that checkpoints are checked with. Its private half is a file in the home."""

    id = models.CharField(max_length=16, primary_key=True)
    public = models.BinaryField(max_length=HASH_BYTES)
    since_size = models.PositiveBigIntegerField(unique=True)
    created_at = models.DateTimeField(default=now)
    retired_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.id

    def public_key(self) -> PublicKey:
        """The key in the form that travels."""
        return PublicKey.of(bytes(self.public))


class EvidenceLogQuerySet(models.QuerySet["EvidenceLog"]):
    """Reads of the log's row."""

    def locked(self) -> Self:
        """The row, held until the transaction ends; on SQLite the transaction is the lock."""
        return self.select_for_update(of=("self",)).select_related("key")


class EvidenceLog(models.Model):
    """The one row of the log: its id, how far it has come, and who signs. Its lock, too.

    ``peaks`` are the hashes of the tree's frontier one after the other, so that appending reads
    nothing but this row.
    """

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    log = models.UUIDField(editable=False)
    size = models.PositiveBigIntegerField(default=0)
    peaks = models.BinaryField(default=b"")
    key = models.ForeignKey(EvidenceKey, on_delete=models.PROTECT, related_name="+")

    objects: ClassVar[EvidenceLogQuerySet] = EvidenceLogQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=Q(id=1), name="evidence_one_log")
        ]

    def __str__(self) -> str:
        return str(self.log)

    def frontier(self) -> Frontier:
        """What appending needs to know of the tree."""
        peaks = bytes(self.peaks)
        if len(peaks) != HASH_BYTES * self.size.bit_count():
            raise LogContradicts(reason=f"its frontier is not that of {self.size} entries")
        cut = range(0, len(peaks), HASH_BYTES)
        return Frontier(self.size, tuple(peaks[at : at + HASH_BYTES] for at in cut))

    def advance(self, frontier: Frontier) -> None:
        """Store the tree's new frontier."""
        self.size, self.peaks = frontier.size, b"".join(frontier.peaks)
        self.save(update_fields=["size", "peaks"])


class PlacedQuerySet(models.QuerySet[M]):
    """Rows whose primary key is a place in the log."""

    def page(self, cursor: str | None, limit: int) -> Page[M]:
        """The page that begins below the place ``cursor``, newest first."""
        if not 1 <= limit <= MAX_LIMIT:
            raise InvalidField(field="limit", value=limit, rule=f"give 1 to {MAX_LIMIT}")
        rows = self.order_by("-pk")
        if cursor:
            if not _PLACE.fullmatch(cursor):
                rule = "use the next_cursor of the page before"
                raise InvalidField(field="cursor", value=cursor[:64], rule=rule)
            rows = rows.filter(pk__lt=int(cursor))
        found = list(rows[: limit + 1])
        items = found[:limit]
        return Page(items, str(items[-1].pk) if len(found) > limit else None)


class EvidenceEntryQuerySet(PlacedQuerySet["EvidenceEntry"]):
    """Reads and the one write of entries."""

    def page(self, cursor: str | None, limit: int) -> Page[EvidenceEntry]:
        """The page below ``cursor``; each entry on it is the one that was logged."""
        page = super().page(cursor, limit)
        for row in page.items:
            row.checked()
        return page

    def naming(self, organisations: Iterable[UUID]) -> Self:
        """Entries to which one of the organisations is a party."""
        named = EvidenceParty.objects.filter(organisation__in=list(organisations))
        return self.filter(index__in=named.values("entry_id"))

    def count_from_head(self) -> int:
        """How many entries there are if none is missing: the newest index and one."""
        newest = self.aggregate(newest=models.Max("index"))["newest"]
        return 0 if newest is None else int(newest) + 1

    def append(
        self, facts: Sequence[Fact], leaves: Sequence[bytes], *, first: int, at: datetime
    ) -> None:
        """Write facts as entries ``first``, ``first + 1``, ..."""
        uuid = _stored_uuid()
        stored_at = connection.ops.adapt_datetimefield_value(at)
        _insert(
            EvidenceEntry,
            ("index", "id", "at", "kind", "subject", "actor", "parties_json", "data_json", "leaf"),
            [
                (
                    index,
                    uuid(fact.id),
                    stored_at,
                    fact.kind,
                    fact.subject,
                    fact.actor,
                    fact.parties_json,
                    fact.data_json,
                    leaf,
                )
                for index, (fact, leaf) in enumerate(zip(facts, leaves, strict=True), first)
            ],
        )
        _insert(
            EvidenceParty,
            ("organisation", "entry_id"),
            [
                (uuid(party), index)
                for index, fact in enumerate(facts, first)
                for party in fact.parties
            ],
        )


class EvidenceEntry(models.Model):
    """One logged fact, at its place in the log."""

    index = models.PositiveBigIntegerField(primary_key=True)
    id = models.UUIDField(unique=True)
    at = models.DateTimeField()
    kind = models.CharField(max_length=MAX_KIND_LENGTH)
    subject = models.CharField(max_length=MAX_NAME_LENGTH)
    actor = models.CharField(max_length=MAX_NAME_LENGTH)
    parties_json = models.TextField()
    data_json = models.TextField()
    leaf = models.BinaryField(max_length=HASH_BYTES)

    objects: ClassVar[EvidenceEntryQuerySet] = EvidenceEntryQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["kind", "index"]),
            models.Index(fields=["kind", "at"]),
            models.Index(fields=["subject", "index"]),
        ]

    def __str__(self) -> str:
        return f"{self.index} {self.kind} {self.subject}"

    @cached_property
    def data(self) -> dict[str, Any]:
        """What the fact is, as logged."""
        content: dict[str, Any] = json.loads(self.data_json)
        return content

    @cached_property
    def parties(self) -> tuple[UUID, ...]:
        """The organisations that have a part in it."""
        return tuple(UUID(party) for party in json.loads(self.parties_json))

    def resource(self) -> Resource:
        """The entry as a policy sees it: it belongs to nobody, and its parties read it."""
        return Resource("Evidence", str(self.id), parties=frozenset(self.parties))

    def entry(self) -> Entry:
        """The entry as a value."""
        return Entry(
            index=self.index,
            id=self.id,
            at=self.at,
            kind=self.kind,
            subject=self.subject,
            actor=self.actor,
            parties=self.parties,
            data=self.data,
        )

    def text(self) -> str:
        """The canonical text that the leaf is the hash of."""
        return entry_text(
            index=self.index,
            id=self.id,
            at=timestamp(self.at),
            kind=self.kind,
            subject=self.subject,
            actor=self.actor,
            parties_json=self.parties_json,
            data_json=self.data_json,
        )

    def checked(self) -> Self:
        """The row itself, if its content is still what was logged.

        Whoever has the database can put other content beside the hash that the signed root
        covers: content is shown and computed with only after this.

        Raises
        ------
        EntryWrong
            If its text is not what its hash was made of.
        """
        if leaf_hash(self.text().encode()) != bytes(self.leaf):
            reason = "its content is not what its hash was made of"
            raise EntryWrong(index=self.index, id=str(self.id), reason=reason)
        return self

    def line(self) -> str:
        """The entry as a line of an export."""
        return entry_line(bytes(self.leaf), self.text())


class EvidenceParty(models.Model):
    """By which entries can be found through an organisation. Organisations are a floor above."""

    pk = models.CompositePrimaryKey("organisation", "entry_id")
    organisation = models.UUIDField()
    entry = models.ForeignKey(
        EvidenceEntry, on_delete=models.PROTECT, related_name="+", db_index=False
    )

    def __str__(self) -> str:
        return f"{self.organisation} {self.entry_id}"


class EvidenceNode(models.Model):
    """The root of a complete subtree of ``2**level`` leaves. Level 0 is the leaves themselves."""

    pk = models.CompositePrimaryKey("level", "index")
    level = models.PositiveSmallIntegerField()
    index = models.PositiveBigIntegerField()
    hash = models.BinaryField(max_length=HASH_BYTES)

    def __str__(self) -> str:
        return f"{self.level}/{self.index}"

    @classmethod
    def append(cls, nodes: Sequence[tuple[int, int, bytes]]) -> None:
        """Write nodes that have become complete."""
        _insert(cls, ("level", "index", "hash"), nodes)


class EvidenceCheckpointQuerySet(PlacedQuerySet["EvidenceCheckpoint"]):
    """Reads of checkpoints."""

    def agree_with(self, checkpoint: Checkpoint) -> bool:
        """Whether the same root was signed for at the same size."""
        return self.filter(size=checkpoint.size, root=bytes.fromhex(checkpoint.root)).exists()

    def instant(self, at: datetime) -> datetime:
        """``at``, or the newest checkpoint's instant if the clock was set back behind it.

        Time in the log never runs back (RFC 6962 asks the same of its tree heads): else what is
        logged now would turn up in figures of an instant before entries that precede it.
        """
        newest = self.order_by("-pk").values_list("at", flat=True).first()
        return max(at, newest) if newest else at


class EvidenceCheckpoint(models.Model):
    """The signed root of the log at a size. Its text is put together from the columns."""

    size = models.PositiveBigIntegerField(primary_key=True)
    root = models.BinaryField(max_length=HASH_BYTES)
    at = models.DateTimeField()
    key = models.ForeignKey(EvidenceKey, on_delete=models.PROTECT, related_name="+", db_index=False)
    signature = models.BinaryField(max_length=2 * HASH_BYTES)

    objects: ClassVar[EvidenceCheckpointQuerySet] = EvidenceCheckpointQuerySet.as_manager()  # type: ignore[assignment]

    def __str__(self) -> str:
        return str(self.size)

    def checkpoint(self, log: UUID) -> Checkpoint:
        """The checkpoint as it was signed, of the log with this id."""
        return Checkpoint(
            log=str(log),
            size=self.size,
            root=bytes(self.root).hex(),
            at=timestamp(self.at),
            key=self.key_id,
            signature=bytes(self.signature).hex(),
        )


def read_node(level: int, index: int) -> bytes:
    """The stored hash of a complete subtree, or of an entry at level 0.

    Raises
    ------
    LogContradicts
        If it is not there although the log is long enough.
    """
    found: bytes | memoryview | None
    if level == 0:
        found = EvidenceEntry.objects.filter(index=index).values_list("leaf", flat=True).first()
    else:
        nodes = EvidenceNode.objects.filter(level=level, index=index)
        found = nodes.values_list("hash", flat=True).first()
    if found is None:
        raise LogContradicts(reason=f"the hash at level {level}, index {index} is missing")
    return bytes(found)


def _insert(model: type[models.Model], names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Insert rows with one statement, in the way that is fast on the database at hand.

    ``bulk_create`` compiles every value of every row and takes several times as long; evidence is
    appended under the log's one lock.
    """
    if not rows:
        return
    quote = connection.ops.quote_name
    table, columns = quote(model._meta.db_table), ", ".join(quote(name) for name in names)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            statement = f"COPY {table} ({columns}) FROM STDIN"
            with connection.wrap_database_errors, cursor.copy(statement) as copy:
                for row in rows:
                    copy.write_row(row)
        else:
            marks = ", ".join(["%s"] * len(names))
            cursor.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows)  # noqa: S608


def _stored_uuid() -> Callable[[UUID], UUID | str]:
    """How the database at hand keeps an id: as such, or as 32 hex digits."""
    if connection.features.has_native_uuid_field:
        return lambda value: value
    return lambda value: value.hex
