"""Orders and accounts with everything filled in that a test does not speak of."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from haihe.kernel.ids import new_id
from haihe.kernel.money import CNY
from haihe.ledger.domain import Kind, TransferOrder
from haihe.ledger.models import Account
from haihe.ledger.services import external_account, open_account, transfer


def posted(debit: UUID, credit: UUID, amount_micro: int, **fields: Any) -> TransferOrder:
    """An order to move an amount at once."""
    return _movement(Kind.POSTED, debit, credit, amount_micro, fields)


def pending(
    debit: UUID,
    credit: UUID,
    amount_micro: int,
    *,
    expires_at: datetime | None = None,
    **fields: Any,
) -> TransferOrder:
    """An order to hold an amount."""
    return _movement(Kind.PENDING, debit, credit, amount_micro, fields | {"expires_at": expires_at})


def resolve(kind: Kind, pending_id: UUID, **fields: Any) -> TransferOrder:
    """An order to post, void or expire a pending transfer."""
    defaults = {"transfer_id": new_id(), "reason": "test", "reference": "job-1"}
    return TransferOrder(**defaults | fields, kind=kind, pending_id=pending_id)


def open_cash(name: str, *, funds_micro: int = 0, owner_id: UUID | None = None) -> Account:
    """A CNY account of an organisation, with funds from outside."""
    account = open_account(owner_id or new_id(), "cash", CNY, name=name)
    if funds_micro:
        transfer([posted(external_account(CNY).pk, account.pk, funds_micro)])
        account.refresh_from_db()
    return account


def balance(account: Account) -> tuple[int, int, int]:
    """What is posted, held and incoming, as the row says now."""
    account.refresh_from_db()
    return account.posted_micro, account.held_micro, account.incoming_micro


def _movement(
    kind: Kind, debit: UUID, credit: UUID, amount_micro: int, fields: dict[str, Any]
) -> TransferOrder:
    defaults = {"transfer_id": new_id(), "reason": "test", "reference": "job-1", "asset": CNY}
    return TransferOrder(
        **defaults | fields,
        kind=kind,
        debit_account_id=debit,
        credit_account_id=credit,
        amount_micro=amount_micro,
    )
