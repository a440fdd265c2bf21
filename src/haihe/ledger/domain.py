"""What a transfer is, and what a sequence of transfers does to balances.

The model is TigerBeetle's: a transfer moves an amount from one debit account to one credit account
(so each sums to zero by construction), at once or in two phases. A *pending* transfer holds the
amount; it is then *posted*, fully or for less, *voided*, or it *expires*, once. :class:`Books` is
the whole of these rules over plain values. The service loads into it what a batch touches and
writes what comes out; the tests run it beside the service as the model.

A balance is credits minus debits. Two invariants make a second phase always possible, so that
funds once held can be paid out: ``posted - held`` never passes below the floor, and
``posted - held`` and ``posted + incoming`` stay within :data:`BALANCE_LIMIT_MICRO`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from haihe.kernel.errors import InvalidField, MissingRecord, WrongState
from haihe.kernel.ids import check_slug
from haihe.kernel.money import check_amount_micro, check_asset
from haihe.ledger.errors import (
    AccountClosed,
    AlreadyResolved,
    AssetMismatch,
    BalanceLimitReached,
    DuplicateOrder,
    GroupComplete,
    InsufficientFunds,
    PendingExpired,
    PendingNotDue,
    PostExceedsPending,
    TooManyOrders,
    TransferMismatch,
)

MAX_ORDERS = 10_000
# Held may reach twice this, which a 64-bit column still holds.
BALANCE_LIMIT_MICRO = 4_000_000_000_000_000_000
NAME_LENGTH = 200
REFERENCE_LENGTH = 200
VOUCHER_ASSET = "voucher:"

# No control characters, and no lone surrogates, which no database stores.
_LINE = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]+")


class Kind(StrEnum):
    """What a transfer does."""

    POSTED = "posted"
    PENDING = "pending"
    POST = "post"
    VOID = "void"
    EXPIRE = "expire"


MOVING = frozenset({Kind.POSTED, Kind.POST})
RESOLVING = frozenset({Kind.POST, Kind.VOID, Kind.EXPIRE})


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferOrder:
    """One transfer that a caller wants.

    ``transfer_id`` is the caller's choice, and makes the order idempotent: sent twice, it has one
    effect. POSTED and PENDING name both accounts, amount and asset; POST, VOID and EXPIRE name the
    ``pending_id`` they resolve and take the rest from it, but that a POST may give a smaller
    amount, and what is left over is released. Orders that share a ``group_id`` are written in one
    call, and a group once written admits no more.

    Parameters
    ----------
    reason : str
        A slug for why money moves, as ``job-hold``; statements and reports group by it.
    reference : str
        The id of what it moves for, as a job or a voucher: the way from the number to its evidence.
    """

    transfer_id: UUID
    kind: Kind
    reason: str
    reference: str
    debit_account_id: UUID | None = None
    credit_account_id: UUID | None = None
    amount_micro: int | None = None
    asset: str | None = None
    expires_at: datetime | None = None
    pending_id: UUID | None = None
    group_id: UUID | None = None

    def __post_init__(self) -> None:
        check_slug(self.reason, field="reason")
        check_line(self.reference, field="reference", length=REFERENCE_LENGTH)
        if self.kind in RESOLVING:
            _check_resolution(self)
        else:
            _check_movement(self)


def check_line(text: str, *, field: str, length: int) -> str:
    """Return ``text`` if it is one line of 1 to ``length`` characters."""
    if len(text) > length or not _LINE.fullmatch(text):
        raise InvalidField(
            field=field, value=text[:length], rule=f"give one line of 1 to {length} characters"
        )
    return text


def is_currency(asset: str) -> bool:
    """Whether an asset is money; else it is what a voucher scheme issues."""
    return not asset.startswith(VOUCHER_ASSET)


def check_zoned(instant: datetime, *, field: str) -> datetime:
    """Return ``instant`` if it has a zone."""
    if instant.tzinfo is None:
        raise InvalidField(field=field, value=instant, rule="give a time with its zone")
    return instant


def check_floor(floor_micro: int | None) -> int | None:
    """Return the floor if a balance can lie on it."""
    whole = isinstance(floor_micro, int) and not isinstance(floor_micro, bool)
    if floor_micro is not None and not (whole and abs(floor_micro) <= BALANCE_LIMIT_MICRO):
        raise InvalidField(
            field="floor_micro",
            value=floor_micro,
            rule=f"give None, or a whole number within ±{BALANCE_LIMIT_MICRO}",
        )
    return floor_micro


def _check_movement(order: TransferOrder) -> None:
    if order.debit_account_id is None or order.credit_account_id is None:
        raise _misshapen(order, "name the debit and the credit account")
    if order.debit_account_id == order.credit_account_id:
        raise _misshapen(order, "name two different accounts")
    if order.pending_id is not None:
        raise _misshapen(order, "only post, void and expire name a pending transfer")
    check_amount_micro(order.amount_micro)
    check_asset(order.asset or "")
    if order.expires_at is not None:
        if order.kind is not Kind.PENDING:
            raise _misshapen(order, "only a pending transfer expires")
        check_zoned(order.expires_at, field="expires_at")


def _check_resolution(order: TransferOrder) -> None:
    if order.pending_id is None:
        raise _misshapen(order, "name the pending transfer to resolve")
    inherited = (
        order.debit_account_id,
        order.credit_account_id,
        order.asset,
        order.expires_at,
    )
    if inherited != (None, None, None, None):
        raise _misshapen(order, "accounts, asset and expiry come from the pending transfer")
    if order.amount_micro is not None:
        if order.kind is not Kind.POST:
            raise _misshapen(order, "void and expire release the whole amount")
        check_amount_micro(order.amount_micro)


def _misshapen(order: TransferOrder, rule: str) -> InvalidField:
    return InvalidField(field="kind", value=str(order.kind), rule=rule)


def check_batch(orders: Sequence[TransferOrder]) -> None:
    """Refuse a batch that is too large or names one id twice."""
    if len(orders) > MAX_ORDERS:
        raise TooManyOrders(count=len(orders), limit=MAX_ORDERS)
    if len({order.transfer_id for order in orders}) == len(orders):
        return
    counts = Counter(order.transfer_id for order in orders)
    raise DuplicateOrder(transfer_id=str(counts.most_common(1)[0][0]))


def check_groups(orders: Sequence[TransferOrder], written: Mapping[UUID, Set[UUID]]) -> None:
    """Refuse orders that would add to a group that was written, or repeat a part of it.

    Parameters
    ----------
    written : mapping of group id to transfer ids
        The members of the orders' groups that exist.
    """
    asked: dict[UUID, set[UUID]] = {}
    for order in orders:
        if order.group_id is not None and order.group_id in written:
            asked.setdefault(order.group_id, set()).add(order.transfer_id)
    for group_id, transfer_ids in asked.items():
        if transfer_ids != written[group_id]:
            raise GroupComplete(group_id=str(group_id), count=len(written[group_id]))


class TransferRecord(NamedTuple):
    """One transfer as it was written: immutable from then on."""

    transfer_id: UUID
    kind: Kind
    debit_account_id: UUID
    credit_account_id: UUID
    amount_micro: int
    pending_id: UUID | None
    expires_at: datetime | None
    group_id: UUID | None
    reason: str
    reference: str
    created_at: datetime


@dataclass(slots=True)
class Balance:
    """What an account holds: settled, held for pending debits, and announced by pending credits."""

    posted_micro: int = 0
    held_micro: int = 0
    incoming_micro: int = 0

    def minus(self, other: Balance) -> Balance:
        """The difference, part by part."""
        return Balance(
            self.posted_micro - other.posted_micro,
            self.held_micro - other.held_micro,
            self.incoming_micro - other.incoming_micro,
        )


@dataclass(slots=True)
class AccountState:
    """An account as the rules see it. ``floor_micro`` None means that it may owe without limit."""

    account_id: UUID
    name: str
    asset: str
    floor_micro: int | None = 0
    closed: bool = False
    balance: Balance = field(default_factory=Balance)

    @property
    def available_micro(self) -> int | None:
        """What may still be debited; None without a floor."""
        return available_micro(self.balance, self.floor_micro)


def available_micro(balance: Balance, floor_micro: int | None) -> int | None:
    """What may be debited from a balance above a floor; None without a floor."""
    if floor_micro is None:
        return None
    return balance.posted_micro - balance.held_micro - floor_micro


class Rule(StrEnum):
    """What must hold of all books at any time."""

    ASSET_SUM = "asset-sum"
    POSTED = "posted"
    HELD = "held"
    INCOMING = "incoming"
    FLOOR = "floor"
    ONE_ASSET = "one-asset"
    RESOLVED_ONCE = "resolved-once"
    RESOLUTION = "resolution"
    EXPIRY = "expiry"


@dataclass(frozen=True)
class Discrepancy:
    """One place where a rule does not hold.

    ``subject`` is an asset, an account's id or a transfer's; ``found_micro`` is what the books
    say where the rule is about an amount, and ``expected_micro`` what they should.
    """

    rule: Rule
    subject: str
    found_micro: int | None = None
    expected_micro: int | None = None


@dataclass(frozen=True)
class Audit:
    """The state of all books at one time."""

    at: datetime
    accounts: int
    transfers: int
    open_pending: int
    discrepancies: tuple[Discrepancy, ...]

    @property
    def balanced(self) -> bool:
        """Whether every rule holds."""
        return not self.discrepancies


def drift(subject: str, found: Balance, expected: Balance) -> list[Discrepancy]:
    """The parts in which a stored balance is not the one that the transfers make."""
    parts = (
        (Rule.POSTED, found.posted_micro, expected.posted_micro),
        (Rule.HELD, found.held_micro, expected.held_micro),
        (Rule.INCOMING, found.incoming_micro, expected.incoming_micro),
    )
    return [Discrepancy(rule, subject, is_, ought) for rule, is_, ought in parts if is_ != ought]


class Books:
    """The accounts and transfers that a sequence of orders touches, and what it does to them.

    An order that is refused leaves the books as they were.

    Parameters
    ----------
    accounts : iterable of AccountState
        Every account that an order, or the pending transfer it resolves, names. Changed in place.
    known : iterable of TransferRecord
        The transfers that exist among the orders' ids and pending ids.
    resolved : iterable of UUID
        Which of the pending ids are resolved.
    """

    def __init__(
        self,
        accounts: Iterable[AccountState],
        *,
        known: Iterable[TransferRecord] = (),
        resolved: Iterable[UUID] = (),
    ) -> None:
        self.accounts = {account.account_id: account for account in accounts}
        self.records = {record.transfer_id: record for record in known}
        self.resolved = set(resolved)
        self.fresh: list[TransferRecord] = []
        self._opening = {key: replace(account.balance) for key, account in self.accounts.items()}

    def apply(self, order: TransferOrder, at: datetime) -> TransferRecord:
        """Carry the order out at ``at``; one that was carried out before has no further effect."""
        if order.kind in RESOLVING:
            record = self._resolution(order, at)
        else:
            record = self._movement(order, at)
        known = self.records.get(order.transfer_id)
        if known is not None:
            if known._replace(created_at=at) != record:
                raise TransferMismatch(transfer_id=str(order.transfer_id))
            return known
        if record.kind in RESOLVING:
            self._resolve(record)
        else:
            self._move(record, order.asset)
        self.records[record.transfer_id] = record
        self.fresh.append(record)
        return record

    def deltas(self) -> dict[UUID, Balance]:
        """By how much each account changed; accounts that did not are left out."""
        differences = (
            (key, account.balance.minus(self._opening[key]))
            for key, account in self.accounts.items()
        )
        return {key: difference for key, difference in differences if difference != Balance()}

    def _movement(self, order: TransferOrder, at: datetime) -> TransferRecord:
        assert order.debit_account_id is not None
        assert order.credit_account_id is not None
        assert order.amount_micro is not None
        return TransferRecord(
            order.transfer_id,
            order.kind,
            order.debit_account_id,
            order.credit_account_id,
            order.amount_micro,
            None,
            order.expires_at,
            order.group_id,
            order.reason,
            order.reference,
            at,
        )

    def _resolution(self, order: TransferOrder, at: datetime) -> TransferRecord:
        assert order.pending_id is not None
        pending = self.records.get(order.pending_id)
        if pending is None:
            raise MissingRecord(kind="pending transfer", id=str(order.pending_id))
        if pending.kind is not Kind.PENDING:
            raise WrongState(
                kind="transfer", id=str(order.pending_id), state=pending.kind, needed=Kind.PENDING
            )
        return TransferRecord(
            order.transfer_id,
            order.kind,
            pending.debit_account_id,
            pending.credit_account_id,
            order.amount_micro or pending.amount_micro,
            order.pending_id,
            None,
            order.group_id,
            order.reason,
            order.reference,
            at,
        )

    def _move(self, record: TransferRecord, asset: str | None) -> None:
        debit = self._party(record.debit_account_id, asset)
        credit = self._party(record.credit_account_id, asset)
        amount_micro = record.amount_micro
        _check_room(debit, credit, amount_micro)
        if record.kind is Kind.PENDING:
            debit.balance.held_micro += amount_micro
            credit.balance.incoming_micro += amount_micro
        else:
            debit.balance.posted_micro -= amount_micro
            credit.balance.posted_micro += amount_micro

    def _resolve(self, record: TransferRecord) -> None:
        assert record.pending_id is not None
        pending = self.records[record.pending_id]
        if pending.transfer_id in self.resolved:
            raise AlreadyResolved(pending_id=str(pending.transfer_id))
        _check_time(record, pending)
        if record.amount_micro > pending.amount_micro:
            raise PostExceedsPending(
                pending_id=str(pending.transfer_id),
                held_micro=pending.amount_micro,
                amount_micro=record.amount_micro,
            )
        debit = self.accounts[pending.debit_account_id].balance
        credit = self.accounts[pending.credit_account_id].balance
        debit.held_micro -= pending.amount_micro
        credit.incoming_micro -= pending.amount_micro
        if record.kind is Kind.POST:
            debit.posted_micro -= record.amount_micro
            credit.posted_micro += record.amount_micro
        assert debit.held_micro >= 0
        assert credit.incoming_micro >= 0
        self.resolved.add(pending.transfer_id)

    def _party(self, account_id: UUID, asset: str | None) -> AccountState:
        account = self.accounts.get(account_id)
        if account is None:
            raise MissingRecord(kind="account", id=str(account_id))
        if account.asset != asset:
            raise AssetMismatch(account=account.name, held_asset=account.asset, asset=str(asset))
        if account.closed:
            raise AccountClosed(account=account.name)
        return account


def _check_room(debit: AccountState, credit: AccountState, amount_micro: int) -> None:
    """Refuse an amount that the debit account lacks, or that would pass the limit of a balance."""
    available = debit.available_micro
    if available is not None and available < amount_micro:
        raise InsufficientFunds(
            account=debit.name,
            available_micro=available,
            needed_micro=amount_micro,
            asset=debit.asset,
        )
    left = debit.balance.posted_micro - debit.balance.held_micro - amount_micro
    if left < -BALANCE_LIMIT_MICRO:
        raise BalanceLimitReached(account=debit.name, limit_micro=BALANCE_LIMIT_MICRO)
    reached = credit.balance.posted_micro + credit.balance.incoming_micro + amount_micro
    if reached > BALANCE_LIMIT_MICRO:
        raise BalanceLimitReached(account=credit.name, limit_micro=BALANCE_LIMIT_MICRO)


def _check_time(record: TransferRecord, pending: TransferRecord) -> None:
    """A pending transfer can be posted before its expiry only, and expire only from then on.

    It can be voided at any time: after the expiry too, a void releases what the sweep would.
    """
    due = pending.expires_at is not None and pending.expires_at <= record.created_at
    if record.kind is Kind.POST and due:
        raise PendingExpired(
            pending_id=str(pending.transfer_id), expired_at=str(pending.expires_at)
        )
    if record.kind is Kind.EXPIRE and not due:
        raise PendingNotDue(
            pending_id=str(pending.transfer_id), expires_at=str(pending.expires_at or "never")
        )
