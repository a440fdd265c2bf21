"""Errors of the ledger.

    Invalid       DuplicateOrder, AssetMismatch
    NotFound      kernel.MissingRecord for an account or a pending transfer
    Conflict      TransferMismatch, TransferRaced, GroupComplete, AlreadyResolved, PendingExpired,
                  PendingNotDue, AccountClosed, AccountNotEmpty, FloorDiffers
    Refused       InsufficientFunds, PostExceedsPending, NotFromOutside
    TooLarge      TooManyOrders, BalanceLimitReached

Whatever is raised, nothing was written: a batch is carried out whole or not at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from haihe.kernel.errors import Conflict, Invalid, Refused, TooLarge, gettext_noop
from haihe.kernel.money import format_micro


@dataclass(kw_only=True, eq=False)
class DuplicateOrder(Invalid):
    """One batch holds two orders with one id."""

    code: ClassVar[str] = "ledger.duplicate_order"
    template: ClassVar[str] = gettext_noop(
        "Transfer {transfer_id} occurs twice in one batch. Give each order an id of its own."
    )

    transfer_id: str


@dataclass(kw_only=True, eq=False)
class AssetMismatch(Invalid):
    """An account holds another asset than the one to be moved."""

    code: ClassVar[str] = "ledger.asset_mismatch"
    template: ClassVar[str] = gettext_noop(
        "{account} holds {held_asset}, and the transfer moves {asset}. Transfer between accounts "
        "of one asset."
    )

    account: str
    held_asset: str
    asset: str


@dataclass(kw_only=True, eq=False)
class TransferMismatch(Conflict):
    """A transfer with this id exists and says something else."""

    code: ClassVar[str] = "ledger.transfer_mismatch"
    template: ClassVar[str] = gettext_noop(
        "Transfer {transfer_id} exists with another content. Send a new id for a new transfer."
    )

    transfer_id: str


@dataclass(kw_only=True, eq=False)
class TransferRaced(Conflict):
    """Another call wrote one of the ids between this call's look and its write."""

    code: ClassVar[str] = "ledger.transfer_raced"
    template: ClassVar[str] = gettext_noop(
        "Another call used one of these {count} transfer ids at the same moment. Nothing was "
        "changed; send the same call again."
    )

    count: int


@dataclass(kw_only=True, eq=False)
class GroupComplete(Conflict):
    """A group of linked transfers was written, and other orders now name it."""

    code: ClassVar[str] = "ledger.group_complete"
    template: ClassVar[str] = gettext_noop(
        "Group {group_id} was written with {count} transfers, which are not the ones in this call. "
        "Send the whole group in one call, or a new group id."
    )

    group_id: str
    count: int


@dataclass(kw_only=True, eq=False)
class AlreadyResolved(Conflict):
    """A pending transfer resolves once."""

    code: ClassVar[str] = "ledger.already_resolved"
    template: ClassVar[str] = gettext_noop(
        "Pending transfer {pending_id} was posted, voided or expired before. Read the account's "
        "statement to see which."
    )

    pending_id: str


@dataclass(kw_only=True, eq=False)
class PendingExpired(Conflict):
    """A pending transfer can no longer be posted."""

    code: ClassVar[str] = "ledger.pending_expired"
    template: ClassVar[str] = gettext_noop(
        "Pending transfer {pending_id} expired at {expired_at} and cannot be posted. Hold the "
        "funds again with a new transfer."
    )

    pending_id: str
    expired_at: str


@dataclass(kw_only=True, eq=False)
class PendingNotDue(Conflict):
    """A pending transfer's time has not run out."""

    code: ClassVar[str] = "ledger.pending_not_due"
    template: ClassVar[str] = gettext_noop(
        "Pending transfer {pending_id} has not expired: its time is {expires_at}. Void it to "
        "release the funds now."
    )

    pending_id: str
    expires_at: str


@dataclass(kw_only=True, eq=False)
class AccountClosed(Conflict):
    """A closed account takes part in no new transfer."""

    code: ClassVar[str] = "ledger.account_closed"
    template: ClassVar[str] = gettext_noop("{account} is closed. Use another account of its owner.")

    account: str


@dataclass(kw_only=True, eq=False)
class AccountNotEmpty(Conflict):
    """An account with money in it, or on its way, cannot be closed."""

    code: ClassVar[str] = "ledger.account_not_empty"
    template: ClassVar[str] = gettext_noop(
        "{account} cannot be closed: posted {posted_micro}, held {held_micro}, incoming "
        "{incoming_micro} micro-units. Resolve what is pending and transfer the rest."
    )

    account: str
    posted_micro: int
    held_micro: int
    incoming_micro: int


@dataclass(kw_only=True, eq=False)
class FloorDiffers(Conflict):
    """The account to be opened exists with another floor."""

    code: ClassVar[str] = "ledger.floor_differs"
    template: ClassVar[str] = gettext_noop(
        "{account} exists with floor {floor_micro}, not {wanted_micro}. Open it with its own "
        "floor, or under another code."
    )

    account: str
    floor_micro: int | None
    wanted_micro: int | None


@dataclass(kw_only=True, eq=False)
class InsufficientFunds(Refused):
    """A transfer would take an account below its floor."""

    code: ClassVar[str] = "ledger.insufficient_funds"
    template: ClassVar[str] = gettext_noop(
        "{account} has {available} available, and {needed} is needed. Deposit the difference or "
        "ask for less."
    )

    account: str
    available_micro: int
    needed_micro: int
    asset: str

    def params(self) -> dict[str, Any]:
        """The fields, and both amounts as people read them."""
        return super().params() | {
            "available": format_micro(self.available_micro, self.asset),
            "needed": format_micro(self.needed_micro, self.asset),
        }


@dataclass(kw_only=True, eq=False)
class PostExceedsPending(Refused):
    """More was to be posted than was held."""

    code: ClassVar[str] = "ledger.post_exceeds_pending"
    template: ClassVar[str] = gettext_noop(
        "Pending transfer {pending_id} holds {held_micro} micro-units, and {amount_micro} are to "
        "be posted. Post at most what is held."
    )

    pending_id: str
    held_micro: int
    amount_micro: int


@dataclass(kw_only=True, eq=False)
class NotFromOutside(Refused):
    """Vouchers come into being in their scheme, against its budget, and nowhere else."""

    code: ClassVar[str] = "ledger.not_from_outside"
    template: ClassVar[str] = gettext_noop(
        "{account} holds {asset}, and only money is deposited from outside. Vouchers are issued "
        "by funding their scheme."
    )

    account: str
    asset: str


@dataclass(kw_only=True, eq=False)
class TooManyOrders(TooLarge):
    """A batch is larger than one transaction should be."""

    code: ClassVar[str] = "ledger.too_many_orders"
    template: ClassVar[str] = gettext_noop(
        "{count} orders in one batch; at most {limit}. Send several batches."
    )

    count: int
    limit: int


@dataclass(kw_only=True, eq=False)
class BalanceLimitReached(TooLarge):
    """A balance would leave the range in which sums are exact."""

    code: ClassVar[str] = "ledger.balance_limit"
    template: ClassVar[str] = gettext_noop(
        "The balance of {account} would pass {limit_micro} micro-units. Use a second account."
    )

    account: str
    limit_micro: int
