"""HTTP routes of accounts, statements, deposits and the audit of the books."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from ninja import Query, Router, Schema, Status
from pydantic import Field

from haihe.kernel.api import AmountMicro, CursorPage, PageQuery, as_page
from haihe.kernel.ids import new_id, parse_id
from haihe.ledger import services
from haihe.ledger.models import Account
from haihe.ledger.services import StatementRow
from haihe.policy.http import Request

router = Router(tags=["ledger"])


class BalanceOut(Schema):
    """What an account holds, in micro-units of its asset."""

    posted_micro: int = Field(description="Settled.")
    held_micro: int = Field(description="Held for pending debits.")
    incoming_micro: int = Field(description="Announced by pending credits.")


class AccountOut(BalanceOut):
    """An account, with its present balance."""

    id: UUID
    owner_id: UUID | None = Field(description="The organisation; null for the platform's own.")
    code: str = Field(description="What it is for.")
    asset: str = Field(description="`CNY`, or `voucher:<scheme>`.")
    name: str
    floor_micro: int | None = Field(description="It never holds less; null for no floor.")
    available_micro: int | None = Field(description="What may be debited; null for no floor.")
    closed_at: datetime | None


class StatementRowOut(Schema):
    """One transfer as the holder of the account sees it."""

    sequence: int
    transfer_id: UUID
    at: datetime
    kind: str = Field(description="posted, pending, post, void or expire.")
    amount_micro: int
    change_micro: int = Field(description="What it does to the settled balance.")
    balance_micro: int = Field(description="The settled balance after it.")
    counterparty_id: UUID
    counterparty: str
    reason: str
    reference: str = Field(description="What it is for, as `job:<id>`: the subject of evidence.")
    pending_id: UUID | None
    expires_at: datetime | None


class StatementOut(Schema):
    """A page of an account's transfers, newest first.

    `balance` is that of the whole account as of `as_of`; the opening of one page is the closing of
    the next.
    """

    account_id: UUID
    name: str
    asset: str
    as_of: datetime
    balance: BalanceOut
    opening_micro: int
    closing_micro: int
    items: list[StatementRowOut]
    next_cursor: str | None


class DepositIn(Schema):
    """Money that reached an account from outside."""

    amount_micro: AmountMicro
    reference: str = Field(
        max_length=200, description="The proof outside: a bank's transaction, a budget document."
    )
    transfer_id: UUID | None = Field(
        None, description="An id of your choice, which makes the deposit happen once for ever."
    )


class DepositOut(Schema):
    """A deposit as it was recorded."""

    transfer_id: UUID
    account_id: UUID
    amount_micro: int
    reference: str
    at: datetime


class DiscrepancyOut(Schema):
    """One place where a rule of the books does not hold."""

    rule: str
    subject: str = Field(description="An asset, an account's id or a transfer's.")
    found_micro: int | None
    expected_micro: int | None


class AuditOut(Schema):
    """The state of all books."""

    at: datetime
    balanced: bool
    accounts: int
    transfers: int
    open_pending: int
    discrepancies: list[DiscrepancyOut]


@router.get("/accounts", response=CursorPage[AccountOut])
def list_accounts(
    request: Request, page: Query[PageQuery], owner: UUID | None = None
) -> CursorPage[AccountOut]:
    """The accounts of an organisation, or all that the caller may read."""
    if owner is None:
        found = services.readable_accounts(request.principal, cursor=page.cursor, limit=page.limit)
    else:
        found = services.accounts_of(request.principal, owner, cursor=page.cursor, limit=page.limit)
    return as_page(found, _account)


@router.get("/accounts/{account_id}/statement", response=StatementOut)
def read_statement(
    request: Request, account_id: str, page: Query[PageQuery], as_of: datetime | None = None
) -> StatementOut:
    """What happened on an account up to a time (now, if none is given)."""
    found = services.statement(
        request.principal,
        parse_id(account_id, kind="account"),
        as_of=as_of,
        cursor=page.cursor,
        limit=page.limit,
    )
    return StatementOut(
        account_id=found.account.pk,
        name=found.account.name,
        asset=found.account.asset,
        as_of=found.as_of,
        balance=BalanceOut.from_orm(found.balance),
        opening_micro=found.opening_micro,
        closing_micro=found.closing_micro,
        items=[_row(row) for row in found.rows],
        next_cursor=found.next_cursor,
    )


@router.post("/accounts/{account_id}/deposits", response={201: DepositOut})
def deposit(request: Request, account_id: str, body: DepositIn) -> Status[DepositOut]:
    """Record money that reached an account from outside, as the platform's operator."""
    record = services.deposit(
        request.principal,
        parse_id(account_id, kind="account"),
        transfer_id=body.transfer_id or new_id(),
        amount_micro=body.amount_micro,
        reference=body.reference,
    )
    return Status(
        201,
        DepositOut(
            transfer_id=record.transfer_id,
            account_id=record.credit_account_id,
            amount_micro=record.amount_micro,
            reference=record.reference,
            at=record.created_at,
        ),
    )


@router.get("/ledger/audit", response=AuditOut)
def audit_ledger(request: Request) -> AuditOut:
    """Check all books against the transfers alone, as officer, operator or auditor."""
    return AuditOut.from_orm(services.audit(request.principal))


def _account(row: Account) -> AccountOut:
    return AccountOut.from_orm(row)


def _row(row: StatementRow) -> StatementRowOut:
    transfer = row.transfer
    return StatementRowOut(
        sequence=transfer.sequence,
        transfer_id=transfer.transfer_id,
        at=transfer.created_at,
        kind=transfer.kind,
        amount_micro=transfer.amount_micro,
        change_micro=row.change_micro,
        balance_micro=row.balance_micro,
        counterparty_id=row.counterparty.pk,
        counterparty=row.counterparty.name,
        reason=transfer.reason,
        reference=transfer.reference,
        pending_id=transfer.pending_id,
        expires_at=transfer.expires_at,
    )
