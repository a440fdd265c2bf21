"""Use cases of the ledger.

:func:`transfer` is the one way money moves. It asks for no principal: other domains' services call
it inside their own unit of work, having authorised what the money is for. What a person asks of the
ledger itself (a deposit, a statement, an audit) is authorised here.

Reads open no unit of work: on SQLite that would take the one write lock. Each reads what it shows
in single statements, or pins it by a sequence number below which nothing changes any more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid5

from django.db import IntegrityError

from haihe.kernel.clock import check_past, now
from haihe.kernel.crash import crash_point
from haihe.kernel.errors import InvalidField, MissingRecord
from haihe.kernel.ids import check_slug
from haihe.kernel.money import CNY, check_asset
from haihe.kernel.pagination import DEFAULT_LIMIT, MAX_LIMIT, Page, paginate
from haihe.kernel.work import unit_of_work
from haihe.ledger.domain import (
    MOVING,
    NAME_LENGTH,
    VOUCHER_ASSET,
    Audit,
    Balance,
    Books,
    Discrepancy,
    Kind,
    Rule,
    TransferOrder,
    TransferRecord,
    check_batch,
    check_floor,
    check_groups,
    check_line,
    drift,
)
from haihe.ledger.errors import (
    AccountNotEmpty,
    AlreadyResolved,
    FloorDiffers,
    NotFromOutside,
    TransferRaced,
)
from haihe.ledger.models import Account, Expiry, Transfer
from haihe.ledger.protocols import NOTE_DEPOSIT, Deposit
from haihe.policy.domain import Principal, Resource
from haihe.policy.services import authorize, is_allowed

CASH, EXTERNAL = "cash", "external"
SWEEP_LIMIT = 1_000
MAX_DISCREPANCIES = 100


def open_account(
    owner_id: UUID | None, code: str, asset: str, *, name: str, floor_micro: int | None = 0
) -> Account:
    """The owner's account for one purpose and asset, opened if it is not there.

    ``owner_id`` None makes it the platform's own. The name of an account that exists stays.

    Raises
    ------
    FloorDiffers
        If the account exists with another floor.
    """
    check_slug(code, field="code")
    check_asset(asset)
    check_floor(floor_micro)
    check_line(name, field="name", length=NAME_LENGTH)
    with unit_of_work():
        account, _ = Account.objects.get_or_create(
            owner_id=owner_id,
            code=code,
            asset=asset,
            defaults={"name": name, "floor_micro": floor_micro},
        )
    if account.floor_micro != floor_micro:
        raise FloorDiffers(
            account=str(account), floor_micro=account.floor_micro, wanted_micro=floor_micro
        )
    return account


def open_cash(owner_id: UUID, *, name: str) -> Account:
    """The owner's account of money: what it deposits, is paid and pays with."""
    return open_account(owner_id, CASH, CNY, name=name)


def external_account(asset: str) -> Account:
    """The outside world: whatever enters or leaves the books of an asset does so through here."""
    return open_account(None, EXTERNAL, asset, name=f"External {asset}", floor_micro=None)


def close_account(account_id: UUID) -> None:
    """Let an account take part in nothing new. One that was closed before stays as it is.

    Raises
    ------
    AccountNotEmpty
        If money is in it, held from it, or on its way to it.
    """
    with unit_of_work():
        states = Account.objects.lock([account_id])
        if not states:
            raise MissingRecord(kind="account", id=str(account_id))
        balance = states[0].balance
        if balance != Balance():
            raise AccountNotEmpty(
                account=states[0].name,
                posted_micro=balance.posted_micro,
                held_micro=balance.held_micro,
                incoming_micro=balance.incoming_micro,
            )
        Account.objects.filter(pk=account_id, closed_at__isnull=True).update(closed_at=now())


def transfer(orders: Sequence[TransferOrder]) -> list[TransferRecord]:
    """Carry the orders out in their sequence, all or none; one record per order.

    An order that was carried out before gives the record of then, and has no further effect. What
    one use case moves belongs in one call: it locks its accounts in one order for all callers, and
    two calls in one transaction could on PostgreSQL meet two of another caller's in a deadlock.
    """
    check_batch(orders)
    with unit_of_work():
        records, _ = _carry_out(orders)
    return records


def deposit(
    principal: Principal,
    account_id: UUID,
    *,
    transfer_id: UUID,
    amount_micro: int,
    reference: str,
) -> TransferRecord:
    """Record money that reached an account from outside.

    ``reference`` names the proof outside: a bank's transaction, a budget document. Who recorded it
    is noted in the same transaction (:data:`haihe.ledger.protocols.NOTE_DEPOSIT`).

    Raises
    ------
    NotFromOutside
        If the account holds vouchers.
    """
    with unit_of_work():
        account = depositable_account(principal, account_id)
        order = TransferOrder(
            transfer_id=transfer_id,
            kind=Kind.POSTED,
            debit_account_id=external_account(account.asset).pk,
            credit_account_id=account.pk,
            amount_micro=amount_micro,
            asset=account.asset,
            reason="deposit",
            reference=reference,
        )
        [record], fresh = _carry_out([order])
        if fresh:
            made = Deposit(
                transfer_id=transfer_id,
                account_id=account.pk,
                owner_id=account.owner_id,
                asset=account.asset,
                amount_micro=amount_micro,
                reference=reference,
            )
            NOTE_DEPOSIT.get()(principal, made)
    return record


def expire_due(at: datetime, *, limit: int = SWEEP_LIMIT) -> int:
    """Release up to ``limit`` pending transfers whose time ran out by ``at``; how many were.

    Each is released in a transaction of its own, so that other writers pass in between. The id is
    derived from the pending transfer's, so that two sweeps at once do the work once.
    """
    expired = 0
    for entry in Expiry.objects.due(at, limit=limit):
        order = TransferOrder(
            transfer_id=uuid5(entry.pending_id, Kind.EXPIRE),
            kind=Kind.EXPIRE,
            pending_id=entry.pending_id,
            reason="expired",
            reference=entry.pending.reference,
        )
        # Somebody may have posted or voided it since the list was read: then there is no work.
        with suppress(AlreadyResolved), unit_of_work():
            _, fresh = _carry_out([order])
            expired += len(fresh)
    return expired


@dataclass(frozen=True)
class StatementRow:
    """One transfer as the holder of the account sees it."""

    transfer: Transfer
    counterparty: Account
    change_micro: int
    balance_micro: int


@dataclass(frozen=True)
class Statement:
    """A page of an account's transfers, newest first.

    ``balance`` is that of the whole account as of the statement's time; ``closing_micro`` and
    ``opening_micro`` are the settled balances after the newest and before the oldest row of this
    page, so that the opening of one page is the closing of the next.
    """

    account: Account
    as_of: datetime
    balance: Balance
    opening_micro: int
    rows: Sequence[StatementRow]
    closing_micro: int
    next_cursor: str | None

    @property
    def items(self) -> Sequence[StatementRow]:
        """The rows, by the name that every list by cursor has for them."""
        return self.rows


def statement(
    principal: Principal,
    account_id: UUID,
    *,
    as_of: datetime | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Statement:
    """What happened on an account up to ``as_of`` (now if None), with the running balance.

    As of a time are all transfers up to the newest one stamped at or before it.
    """
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidField(field="limit", value=limit, rule=f"give 1 to {MAX_LIMIT}")
    account = _readable(principal, account_id)
    as_of, last = _pin(account_id, as_of)
    balance = Account.objects.balance_at(account_id, last)
    first = min(last, _sequence(cursor) - 1) if cursor else last
    found = Transfer.objects.page_of(account_id, up_to=first, limit=limit + 1)
    shown = found[:limit]
    closing = balance if first == last else Account.objects.balance_at(account_id, first)
    rows: list[StatementRow] = []
    running_micro = closing.posted_micro
    for row in shown:
        debited = row.debit_account_id == account_id
        sign = -1 if debited else 1
        change_micro = sign * row.amount_micro if row.kind in MOVING else 0
        counterparty = row.credit_account if debited else row.debit_account
        rows.append(StatementRow(row, counterparty, change_micro, running_micro))
        running_micro -= change_micro
    return Statement(
        account=account,
        as_of=as_of,
        balance=balance,
        opening_micro=running_micro,
        rows=rows,
        closing_micro=closing.posted_micro,
        next_cursor=str(shown[-1].sequence) if len(found) > limit else None,
    )


def balance_of(principal: Principal, account_id: UUID, *, as_of: datetime | None = None) -> Balance:
    """What an account held at ``as_of`` (now if None)."""
    _readable(principal, account_id)
    _, last = _pin(account_id, as_of)
    return Account.objects.balance_at(account_id, last)


def accounts_of(
    principal: Principal,
    organisation_id: UUID,
    *,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[Account]:
    """An organisation's accounts, the newest first."""
    authorize(principal, "account.read", Resource("Account", organisation=organisation_id))
    return paginate(Account.objects.owned_by(organisation_id), cursor=cursor, limit=limit)


def readable_accounts(
    principal: Principal, *, cursor: str | None = None, limit: int = DEFAULT_LIMIT
) -> Page[Account]:
    """The accounts that the caller may read, the newest first."""
    # Who may read an account that belongs to nobody may read them all.
    if is_allowed(principal, "account.read", Resource("Account")):
        return paginate(Account.objects.all(), cursor=cursor, limit=limit)
    owners = principal.organisations()
    # Somebody without organisations reads an empty list; nobody is asked to sign in.
    for owner_id in owners if principal.id else {None}:
        authorize(principal, "account.read", Resource("Account", organisation=owner_id))
    return paginate(Account.objects.filter(owner_id__in=owners), cursor=cursor, limit=limit)


def depositable_accounts(
    principal: Principal,
    organisation_id: UUID,
    *,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[Account]:
    """An organisation's accounts of money, for who records deposits; balances are not for them."""
    authorize(principal, "account.deposit", Resource("Account", organisation=organisation_id))
    owned = Account.objects.owned_by(organisation_id)
    rows = owned.exclude(asset__startswith=VOUCHER_ASSET)
    return paginate(rows, cursor=cursor, limit=limit)


def depositable_account(principal: Principal, account_id: UUID) -> Account:
    """An account, for who records a deposit on it; its balance is not for them."""
    account = _account(account_id)
    authorize(principal, "account.deposit", account.resource())
    if not account.is_currency:
        raise NotFromOutside(account=account.name, asset=account.asset)
    return account


def sweep(principal: Principal, *, limit: int = SWEEP_LIMIT) -> int:
    """Release now what :func:`expire_due` would; `haihe up` does this all the time."""
    authorize(principal, "system.manage", Resource("Platform", "platform"))
    return expire_due(now(), limit=limit)


def audit(principal: Principal) -> Audit:
    """Check all books against the transfers alone.

    Each rule is one statement, and so of one instant, whatever is written meanwhile.
    """
    authorize(principal, "ledger.audit", Resource("Ledger", "all"))
    at = now()
    return Audit(
        at=at,
        accounts=Account.objects.count(),
        transfers=Transfer.objects.count(),
        open_pending=Transfer.objects.open().count(),
        discrepancies=tuple(_discrepancies(limit=MAX_DISCREPANCIES)),
    )


def _carry_out(
    orders: Sequence[TransferOrder],
) -> tuple[list[TransferRecord], list[TransferRecord]]:
    """The record of each order, and those among them that are new.

    Pending transfers are read before the locks, because they name accounts to lock, and cannot
    change; what can change is read once the locks are held.
    """
    if not orders:
        return [], []
    pending_ids = {order.pending_id for order in orders if order.pending_id}
    pending = Transfer.objects.records(pending_ids)
    accounts = Account.objects.lock(_account_ids(orders, pending))
    existing = Transfer.objects.existing([order.transfer_id for order in orders])
    if group_ids := {order.group_id for order in orders if order.group_id}:
        check_groups(orders, Transfer.objects.groups(group_ids))
    books = Books(
        accounts,
        known=[*pending, *Transfer.objects.records(existing)],
        resolved=Transfer.objects.resolved(pending_ids),
    )
    at = now()
    records = [books.apply(order, at) for order in orders]
    if books.fresh:
        _write(books)
    return records, books.fresh


def _write(books: Books) -> None:
    try:
        Transfer.objects.append(books.fresh)
    except IntegrityError as error:
        # Only a call that locks none of the same accounts gets here with one of the same ids.
        raise TransferRaced(count=len(books.fresh)) from error
    Account.objects.add(books.deltas())
    Expiry.objects.note(books.fresh)
    crash_point("ledger.transferred")


def _account_ids(orders: Sequence[TransferOrder], pending: Sequence[TransferRecord]) -> set[UUID]:
    named = {order.debit_account_id for order in orders}
    named |= {order.credit_account_id for order in orders}
    named |= {record.debit_account_id for record in pending}
    named |= {record.credit_account_id for record in pending}
    return {account_id for account_id in named if account_id is not None}


def _account(account_id: UUID) -> Account:
    account = Account.objects.filter(pk=account_id).first()
    if account is None:
        raise MissingRecord(kind="account", id=str(account_id))
    return account


def _readable(principal: Principal, account_id: UUID) -> Account:
    account = _account(account_id)
    authorize(principal, "account.read", account.resource())
    return account


def _pin(account_id: UUID, as_of: datetime | None) -> tuple[datetime, int]:
    """The time a read is of, and the account's last transfer by then."""
    at = check_past(as_of, field="as_of", latest=now())
    return at, Transfer.objects.last_sequence(account_id, as_of=as_of)


def _sequence(cursor: str) -> int:
    if len(cursor) > 18 or not (cursor.isascii() and cursor.isdigit()):
        raise InvalidField(
            field="cursor", value=cursor[:64], rule="use the next_cursor of the page before"
        )
    return int(cursor)


def _discrepancies(*, limit: int) -> Iterator[Discrepancy]:
    """What each rule of the books finds, at most ``limit`` per rule."""
    for asset, total_micro in Account.objects.unbalanced_assets(limit=limit):
        yield Discrepancy(Rule.ASSET_SUM, asset, total_micro, 0)
    for account_id, stored, computed in Account.objects.drifted(limit=limit):
        yield from drift(str(account_id), stored, computed)
    for account in Account.objects.below_floor()[:limit]:
        above_micro = account.posted_micro - account.held_micro
        yield Discrepancy(Rule.FLOOR, str(account.pk), above_micro, account.floor_micro)
    for row in Transfer.objects.crossing_assets()[:limit]:
        yield Discrepancy(Rule.ONE_ASSET, str(row.transfer_id))
    for pending_id in Transfer.objects.resolved_twice()[:limit]:
        yield Discrepancy(Rule.RESOLVED_ONCE, str(pending_id))
    for row in Transfer.objects.badly_resolved()[:limit]:
        yield Discrepancy(Rule.RESOLUTION, str(row.transfer_id))
    for pending_id in Expiry.objects.astray(limit=limit):
        yield Discrepancy(Rule.EXPIRY, str(pending_id))
