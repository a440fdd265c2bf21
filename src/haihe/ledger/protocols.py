"""What the ledger needs of others, filled in by the composition."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from haihe.kernel.wiring import Slot
from haihe.policy.domain import Principal


@dataclass(frozen=True, kw_only=True)
class Deposit:
    """Money that reached an account from outside, and by what proof."""

    transfer_id: UUID
    account_id: UUID
    owner_id: UUID | None
    asset: str
    amount_micro: int
    reference: str


# Keeps, in the open unit of work, who recorded a deposit: the books have no room for persons.
NOTE_DEPOSIT: Slot[Callable[[Principal, Deposit], None]] = Slot("note of a deposit")
