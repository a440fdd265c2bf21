"""Tables of the ledger, and every query on them.

Transfers are append-only, and an account keeps its owner, code and asset: triggers on SQLite and
PostgreSQL hold both (migration 0002). The balances in an account's row are what its transfers say,
kept current in the transaction that writes a transfer; the audit computes them again from the
transfers alone.

The statements that each transfer runs are SQL, because there the ORM costs more than the database.
Both vendors run the same text.
"""

# ruff: noqa: S608 (the texts are put together from this file's constants; values are parameters)

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, ClassVar
from uuid import UUID

from django.db import connection, models
from django.db.models import Count, F, Q
from django.utils.translation import gettext_lazy as _

from haihe.kernel.clock import now
from haihe.kernel.ids import SLUG_LENGTH
from haihe.kernel.models import Entity
from haihe.kernel.money import MICRO
from haihe.ledger.domain import (
    NAME_LENGTH,
    REFERENCE_LENGTH,
    RESOLVING,
    AccountState,
    Balance,
    Kind,
    TransferRecord,
    available_micro,
    is_currency,
)
from haihe.policy.domain import Resource

# What a row does to its two accounts, restated in SQL: one row per transfer and account.
_CHANGES = """
SELECT t.debit_account_id AS account_id, t.sequence AS sequence,
       CASE WHEN t.kind IN ('posted', 'post') THEN -t.amount_micro ELSE 0 END AS posted,
       CASE t.kind WHEN 'posted' THEN 0 WHEN 'pending' THEN t.amount_micro
                   ELSE -p.amount_micro END AS held,
       0 AS incoming
FROM ledger_transfer t LEFT JOIN ledger_transfer p ON p.transfer_id = t.pending_id
UNION ALL
SELECT t.credit_account_id, t.sequence,
       CASE WHEN t.kind IN ('posted', 'post') THEN t.amount_micro ELSE 0 END,
       0,
       CASE t.kind WHEN 'posted' THEN 0 WHEN 'pending' THEN t.amount_micro
                   ELSE -p.amount_micro END
FROM ledger_transfer t LEFT JOIN ledger_transfer p ON p.transfer_id = t.pending_id
"""


def _total(column: str) -> str:
    """SQL for an exact sum whose total fits 64 bits, though sums on the way may not."""
    return f"COALESCE(SUM({column} / {MICRO}) * {MICRO} + SUM({column} %% {MICRO}), 0)"


_TOTALS = (
    f"{_total('posted')} AS posted, {_total('held')} AS held, {_total('incoming')} AS incoming"
)


def _uuid_writer() -> Callable[[UUID], Any]:
    """How this database stores a UUID; Django's own conversion costs more than the insert."""
    if connection.features.has_native_uuid_field:
        return lambda value: value
    return lambda value: value.hex


def _uuid(value: Any) -> UUID:
    return value if isinstance(value, UUID) else UUID(value)


def _places(values: Collection[Any]) -> str:
    return "(" + ", ".join(["%s"] * len(values)) + ")"


class AccountQuerySet(models.QuerySet["Account"]):
    """Reads and writes of accounts and their balances."""

    def owned_by(self, organisation_id: UUID) -> AccountQuerySet:
        """The accounts of one organisation."""
        return self.filter(owner_id=organisation_id)

    def lock(self, account_ids: Collection[UUID]) -> list[AccountState]:
        """The accounts, locked to the end of the transaction, always in the order of their ids.

        SQLite needs no lock of a row: an immediate transaction is the only writer.
        """
        if not account_ids:
            return []
        write = _uuid_writer()
        locking = " FOR NO KEY UPDATE" if connection.features.has_select_for_no_key_update else ""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT id, name, asset, floor_micro, closed_at, posted_micro, held_micro, "
                f"incoming_micro FROM ledger_account WHERE id IN {_places(account_ids)} "
                f"ORDER BY id{locking}",
                [write(account_id) for account_id in account_ids],
            )
            return [
                AccountState(
                    _uuid(row[0]), row[1], row[2], row[3], row[4] is not None, Balance(*row[5:])
                )
                for row in cursor.fetchall()
            ]

    def add(self, deltas: Mapping[UUID, Balance]) -> None:
        """Change balances; the accounts must be locked."""
        write = _uuid_writer()
        with connection.cursor() as cursor:
            cursor.executemany(
                "UPDATE ledger_account SET posted_micro = posted_micro + %s, "
                "held_micro = held_micro + %s, incoming_micro = incoming_micro + %s WHERE id = %s",
                [
                    (delta.posted_micro, delta.held_micro, delta.incoming_micro, write(account_id))
                    for account_id, delta in deltas.items()
                ],
            )

    def balance_at(self, account_id: UUID, sequence: int) -> Balance:
        """The balance after transfer ``sequence``: the present one less what came later.

        One statement, so that balance and transfers are of one instant, and as fast as there are
        few later transfers.
        """
        account = _uuid_writer()(account_id)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT a.posted_micro - c.posted, a.held_micro - c.held, "
                "a.incoming_micro - c.incoming FROM ledger_account a, "
                f"(SELECT {_TOTALS} FROM ({_CHANGES}) AS changes "
                "WHERE account_id = %s AND sequence > %s) AS c WHERE a.id = %s",
                [account, sequence, account],
            )
            return Balance(*(int(part) for part in cursor.fetchone()))

    def drifted(self, *, limit: int) -> list[tuple[UUID, Balance, Balance]]:
        """Accounts whose row says another balance than their transfers: (id, row, transfers)."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT a.id, a.posted_micro, a.held_micro, a.incoming_micro, "
                "COALESCE(c.posted, 0), COALESCE(c.held, 0), COALESCE(c.incoming, 0) "
                "FROM ledger_account a LEFT JOIN (SELECT account_id, "
                f"{_TOTALS} FROM ({_CHANGES}) AS changes GROUP BY account_id) AS c "
                "ON c.account_id = a.id WHERE a.posted_micro <> COALESCE(c.posted, 0) "
                "OR a.held_micro <> COALESCE(c.held, 0) "
                "OR a.incoming_micro <> COALESCE(c.incoming, 0) ORDER BY a.id LIMIT %s",
                [limit],
            )
            return [
                (_uuid(row[0]), Balance(*row[1:4]), Balance(*map(int, row[4:])))
                for row in cursor.fetchall()
            ]

    def unbalanced_assets(self, *, limit: int) -> list[tuple[str, int]]:
        """Assets whose accounts, the outside among them, do not sum to zero."""
        total = _total("posted_micro")
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT asset, {total} FROM ledger_account GROUP BY asset "
                f"HAVING {total} <> 0 ORDER BY asset LIMIT %s",
                [limit],
            )
            return [(row[0], int(row[1])) for row in cursor.fetchall()]

    def below_floor(self) -> AccountQuerySet:
        """Accounts whose settled and held funds lie below their floor."""
        return self.filter(floor_micro__gt=F("posted_micro") - F("held_micro"))


class Account(Entity):
    """A purpose for which somebody holds one asset."""

    owner_id = models.UUIDField(null=True, blank=True)
    code = models.SlugField(max_length=SLUG_LENGTH, db_index=False)
    asset = models.CharField(max_length=64)
    name = models.CharField(max_length=NAME_LENGTH)
    floor_micro = models.BigIntegerField(null=True, blank=True)
    posted_micro = models.BigIntegerField(default=0)
    held_micro = models.BigIntegerField(default=0)
    incoming_micro = models.BigIntegerField(default=0)
    closed_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[AccountQuerySet] = AccountQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["owner_id", "code", "asset"], name="ledger_one_account_each"
            ),
            # Two NULLs differ, so the platform's own accounts need a constraint of their own.
            models.UniqueConstraint(
                fields=["code", "asset"],
                condition=Q(owner_id__isnull=True),
                name="ledger_one_platform_account_each",
            ),
            models.CheckConstraint(
                condition=Q(floor_micro__isnull=True)
                | Q(floor_micro__lte=F("posted_micro") - F("held_micro")),
                name="ledger_floor_holds",
            ),
            models.CheckConstraint(
                condition=Q(held_micro__gte=0, incoming_micro__gte=0),
                name="ledger_pending_not_negative",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.asset})"

    @property
    def balance(self) -> Balance:
        """The balance as the row was read."""
        return Balance(self.posted_micro, self.held_micro, self.incoming_micro)

    @property
    def available_micro(self) -> int | None:
        """What may still be debited; None without a floor."""
        return available_micro(self.balance, self.floor_micro)

    @property
    def is_currency(self) -> bool:
        """Whether it holds money, which may come from outside."""
        return is_currency(self.asset)

    def resource(self) -> Resource:
        """The account as a policy sees it."""
        return Resource("Account", str(self.pk), organisation=self.owner_id)


class TransferQuerySet(models.QuerySet["Transfer"]):
    """Reads of transfers, and the one way to write them."""

    def existing(self, transfer_ids: Collection[UUID]) -> list[UUID]:
        """Which of the ids are taken."""
        return self._found("transfer_id", transfer_ids)

    def resolved(self, pending_ids: Collection[UUID]) -> list[UUID]:
        """Which of the pending transfers were posted, voided or expired."""
        return self._found("pending_id", pending_ids)

    def records(self, transfer_ids: Collection[UUID]) -> list[TransferRecord]:
        """The transfers with these ids, as the rules see them."""
        if not transfer_ids:
            return []
        rows = self.filter(transfer_id__in=transfer_ids).values_list(*TransferRecord._fields)
        return [TransferRecord(row[0], Kind(row[1]), *row[2:]) for row in rows]

    def groups(self, group_ids: Collection[UUID]) -> dict[UUID, set[UUID]]:
        """The members of those groups that exist."""
        members: dict[UUID, set[UUID]] = {}
        rows = self.filter(group_id__in=group_ids).values_list("group_id", "transfer_id")
        for group_id, transfer_id in rows:
            assert group_id is not None
            members.setdefault(group_id, set()).add(transfer_id)
        return members

    def append(self, records: Sequence[TransferRecord]) -> None:
        """Write new transfers, in this order."""
        write = _uuid_writer()
        # The records of one call share their time of writing, so that one conversion serves all.
        stamp = cache(connection.ops.adapt_datetimefield_value)
        rows = [
            (
                write(record.transfer_id),
                record.kind.value,
                write(record.debit_account_id),
                write(record.credit_account_id),
                record.amount_micro,
                record.pending_id and write(record.pending_id),
                stamp(record.expires_at),
                record.group_id and write(record.group_id),
                record.reason,
                record.reference,
                stamp(record.created_at),
            )
            for record in records
        ]
        with connection.cursor() as cursor:
            cursor.executemany(_INSERT, rows)

    def last_sequence(self, account_id: UUID, *, as_of: datetime | None) -> int:
        """The account's newest transfer stamped at or before ``as_of``; 0 if there is none."""
        account = _uuid_writer()(account_id)
        timely = "" if as_of is None else "AND created_at <= %s "
        stamps = [] if as_of is None else [connection.ops.adapt_datetimefield_value(as_of)]
        newest = " UNION ALL ".join(
            "SELECT sequence FROM (SELECT sequence FROM ledger_transfer "
            f"WHERE {side}_account_id = %s {timely}ORDER BY sequence DESC LIMIT 1) AS {side}"
            for side in ("debit", "credit")
        )
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT COALESCE(MAX(sequence), 0) FROM ({newest}) AS newest",
                [account, *stamps] * 2,
            )
            return int(cursor.fetchone()[0])

    def page_of(self, account_id: UUID, *, up_to: int, limit: int) -> list[Transfer]:
        """The account's newest transfers up to a sequence number, with both accounts.

        Each side is read by its own index and limited before the two are merged: an OR of both
        sides would make either database sort the account's whole history.
        """
        account = _uuid_writer()(account_id)
        sides = " UNION ALL ".join(
            "SELECT * FROM (SELECT * FROM ledger_transfer "
            f"WHERE {side}_account_id = %s AND sequence <= %s "
            f"ORDER BY sequence DESC LIMIT %s) AS {side}"
            for side in ("debit", "credit")
        )
        rows = self.raw(
            f"SELECT * FROM ({sides}) AS both_sides ORDER BY sequence DESC LIMIT %s",
            [*[account, up_to, limit] * 2, limit],
        )
        found = list(rows)
        models.prefetch_related_objects(found, "debit_account", "credit_account")
        return found

    def crossing_assets(self) -> TransferQuerySet:
        """Transfers between accounts of two assets."""
        return self.exclude(debit_account__asset=F("credit_account__asset"))

    def open(self) -> TransferQuerySet:
        """Pending transfers that nothing has resolved."""
        return self.filter(kind=Kind.PENDING, resolution__isnull=True)

    def resolved_twice(self) -> models.QuerySet[Any, Any]:
        """Ids of pending transfers with more than one resolution."""
        counted = self.filter(pending__isnull=False).values("pending_id").annotate(n=Count("pk"))
        return counted.filter(n__gt=1).values_list("pending_id", flat=True)

    def badly_resolved(self) -> TransferQuerySet:
        """Resolutions that contradict the transfer they resolve."""
        same = Q(
            pending__kind=Kind.PENDING,
            debit_account=F("pending__debit_account"),
            credit_account=F("pending__credit_account"),
        )
        whole = Q(amount_micro=F("pending__amount_micro"))
        due = Q(pending__expires_at__lte=F("created_at"))
        late_post = Q(kind=Kind.POST) & due
        right = (
            Q(kind=Kind.POST, amount_micro__lte=F("pending__amount_micro"))
            | Q(kind=Kind.VOID) & whole
            | Q(kind=Kind.EXPIRE) & whole & due
        )
        return self.filter(kind__in=RESOLVING).filter(~(same & right) | late_post)

    def _found(self, column: str, values: Collection[UUID]) -> list[UUID]:
        if not values:
            return []
        write = _uuid_writer()
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT {column} FROM ledger_transfer WHERE {column} IN {_places(values)}",
                [write(value) for value in values],
            )
            return [_uuid(row[0]) for row in cursor.fetchall()]


class Transfer(models.Model):
    """An amount that moved, or was held or released: written once, never changed.

    ``sequence`` grows with each transfer of an account, because a writer holds the accounts' locks
    when it takes the number; statements are in its order.
    """

    KINDS: ClassVar[list[tuple[str, Any]]] = [
        (Kind.POSTED.value, _("Transfer")),
        (Kind.PENDING.value, _("Funds held")),
        (Kind.POST.value, _("Held funds paid")),
        (Kind.VOID.value, _("Held funds released")),
        (Kind.EXPIRE.value, _("Held funds released: time ran out")),
    ]

    sequence = models.BigAutoField(primary_key=True)
    transfer_id = models.UUIDField(unique=True)
    kind = models.CharField(max_length=8, choices=KINDS)
    debit_account = models.ForeignKey(
        Account, on_delete=models.PROTECT, related_name="debits", db_index=False
    )
    credit_account = models.ForeignKey(
        Account, on_delete=models.PROTECT, related_name="credits", db_index=False
    )
    amount_micro = models.BigIntegerField()
    pending = models.OneToOneField(
        "self",
        to_field="transfer_id",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="resolution",
    )
    expires_at = models.DateTimeField(null=True, blank=True)
    group_id = models.UUIDField(null=True, blank=True)
    reason = models.CharField(max_length=SLUG_LENGTH)
    reference = models.CharField(max_length=REFERENCE_LENGTH)
    created_at = models.DateTimeField(default=now)

    objects: ClassVar[TransferQuerySet] = TransferQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=Q(amount_micro__gt=0), name="ledger_amount_positive"),
            models.CheckConstraint(
                condition=~Q(debit_account=F("credit_account")), name="ledger_two_accounts"
            ),
            models.CheckConstraint(
                condition=Q(kind__in=["posted", "pending"], pending__isnull=True)
                | Q(kind__in=["post", "void", "expire"], pending__isnull=False),
                name="ledger_resolution_names_pending",
            ),
            models.CheckConstraint(
                condition=Q(kind="pending") | Q(expires_at__isnull=True),
                name="ledger_only_pending_expires",
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["debit_account", "sequence"], name="ledger_debits"),
            models.Index(fields=["credit_account", "sequence"], name="ledger_credits"),
            models.Index(
                fields=["group_id"], condition=Q(group_id__isnull=False), name="ledger_groups"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.transfer_id}"


class ExpiryQuerySet(models.QuerySet["Expiry"]):
    """The work list of the sweep."""

    def due(self, at: datetime, *, limit: int) -> list[Expiry]:
        """Open pending transfers whose time has run out, the longest overdue first."""
        due = self.filter(expires_at__lte=at).select_related("pending")
        return list(due.order_by("expires_at", "pk")[:limit])

    def note(self, records: Sequence[TransferRecord]) -> None:
        """List what of newly written transfers will expire, and strike off what they resolve."""
        begun = [
            Expiry(pending_id=record.transfer_id, expires_at=record.expires_at)
            for record in records
            if record.expires_at is not None
        ]
        ended = [record.pending_id for record in records if record.pending_id is not None]
        if begun:
            self.bulk_create(begun)
        if ended:
            self.filter(pending__transfer_id__in=ended).delete()

    def astray(self, *, limit: int) -> list[UUID]:
        """Pending transfers that are listed though resolved, or open and not listed."""
        resolved = self.filter(pending__resolution__isnull=False).values_list("pk", flat=True)
        unlisted = (
            Transfer.objects.open()
            .filter(expires_at__isnull=False, expiry__isnull=True)
            .values_list("transfer_id", flat=True)
        )
        return [*resolved[:limit], *unlisted[:limit]][:limit]


class Expiry(models.Model):
    """An open pending transfer that will expire.

    A list of work, and not a fact: transfers cannot be marked as resolved, and without this list
    each sweep would read every transfer that was ever pending.
    """

    pending = models.OneToOneField(
        Transfer,
        to_field="transfer_id",
        primary_key=True,
        on_delete=models.PROTECT,
        related_name="expiry",
    )
    expires_at = models.DateTimeField(db_index=True)

    objects: ClassVar[ExpiryQuerySet] = ExpiryQuerySet.as_manager()  # type: ignore[assignment]

    def __str__(self) -> str:
        return f"{self.pending_id} at {self.expires_at}"


_INSERT = (
    "INSERT INTO ledger_transfer (transfer_id, kind, debit_account_id, credit_account_id, "
    "amount_micro, pending_id, expires_at, group_id, reason, reference, created_at) "
    f"VALUES {_places(TransferRecord._fields)}"
)
