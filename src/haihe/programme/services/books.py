"""Where a scheme's vouchers are: the accounts of its own asset in the ledger.

A scheme's pool, each voucher, each provider's claim and what was burned are accounts; a voucher's
balance *is* what is left of it. Figures are read from the accounts' rows and open none: a page that
only looks takes no lock.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Q, QuerySet, Sum

from haihe.compute.models import Settlement
from haihe.ledger.domain import Kind, TransferOrder
from haihe.ledger.models import Account
from haihe.ledger.services import open_account
from haihe.programme.models import Scheme, Voucher

ISSUE, POOL, BURNED, RECEIVABLE = (
    "voucher-issue",
    "voucher-pool",
    "voucher-burned",
    "voucher-receivable",
)
VOUCHER_PREFIX = "voucher-v-"


@dataclass(frozen=True)
class SchemeBalance:
    """Where a scheme's vouchers are, in micro-units.

    ``granted_micro`` is what firms were granted and did not give back; ``redeemed_micro`` the part
    of it that providers received; ``paid_micro`` the part of that which was paid out.
    """

    pool_micro: int
    granted_micro: int
    redeemed_micro: int
    paid_micro: int
    pool_account: UUID | None
    burned_account: UUID | None


@dataclass(frozen=True)
class VoucherBalance:
    """What became of a voucher's amount, in micro-units."""

    left_micro: int
    held_micro: int
    redeemed_micro: int


def scheme_balance(scheme: Scheme) -> SchemeBalance:
    """How much is in the pool, with firms, with providers, and paid."""
    accounts = Account.objects.filter(asset=scheme.asset)
    own = {a.code: a for a in accounts.filter(owner_id=scheme.office_id, code__in=[POOL, BURNED])}
    pool, burned = own.get(POOL), own.get(BURNED)
    totals = accounts.aggregate(
        claimed=Sum("posted_micro", filter=Q(code=RECEIVABLE)),
        held=Sum("posted_micro", filter=Q(code__startswith=VOUCHER_PREFIX)),
    )
    claimed, held = totals["claimed"] or 0, totals["held"] or 0
    paid = burned.posted_micro if burned else 0
    return SchemeBalance(
        pool_micro=pool.posted_micro if pool else 0,
        granted_micro=held + claimed + paid,
        redeemed_micro=claimed + paid,
        paid_micro=paid,
        pool_account=pool.pk if pool else None,
        burned_account=burned.pk if burned else None,
    )


def scheme_claims(scheme: Scheme) -> QuerySet[Account]:
    """The accounts of providers to whom something is owed, the largest first."""
    claims = Account.objects.filter(asset=scheme.asset, code=RECEIVABLE, posted_micro__gt=0)
    return claims.order_by("-posted_micro", "pk")


def voucher_balances(vouchers: Iterable[Voucher]) -> dict[UUID, VoucherBalance]:
    """How much of each voucher is free, held for jobs, and redeemed; by the voucher's id."""
    listed = list(vouchers)
    accounts = Account.objects.in_bulk([v.account_id for v in listed if v.account_id is not None])
    return {voucher.pk: _balance(voucher, accounts) for voucher in listed}


def voucher_balance(voucher: Voucher) -> VoucherBalance:
    """How much is free, held for jobs, and redeemed."""
    return voucher_balances([voucher])[voucher.pk]


@dataclass(frozen=True)
class Redemption:
    """What a voucher paid for one job, and the evidence of it."""

    settlement: Settlement
    amount_micro: int


def redemptions_of(voucher: Voucher, *, limit: int) -> list[Redemption]:
    """The newest jobs that a voucher paid a part of."""
    if voucher.account_id is None:
        return []
    settled = Settlement.objects.filter(job__quote__contract=voucher.contract_id)
    return [
        Redemption(settlement, share["amount_micro"])
        for settlement in settled.select_related("job").order_by("-pk")[:limit]
        for share in settlement.shares
        if share["account_id"] == str(voucher.account_id)
    ]


def voucher_account(voucher: Voucher) -> Account:
    """The account of a voucher that was granted."""
    assert voucher.account_id is not None, "a granted voucher has an account"
    return Account.objects.get(pk=voucher.account_id)


def scheme_account(scheme: Scheme, code: str) -> Account:
    """One of a scheme's own accounts, opened if it is not there."""
    return open_account(scheme.office_id, code, scheme.asset, name=scheme.title)


def free_micro(account: Account) -> int:
    """What can be taken from an account that has a floor."""
    free = account.available_micro
    assert free is not None, f"account {account} has no floor"
    return free


def move(
    asset: str,
    transfer_id: UUID,
    debit: Account,
    credit: Account,
    amount_micro: int,
    reason: str,
    reference: str,
) -> TransferOrder:
    """An order to move an amount at once."""
    return TransferOrder(
        transfer_id=transfer_id,
        kind=Kind.POSTED,
        debit_account_id=debit.pk,
        credit_account_id=credit.pk,
        amount_micro=amount_micro,
        asset=asset,
        reason=reason,
        reference=reference,
    )


def _balance(voucher: Voucher, accounts: dict[UUID, Account]) -> VoucherBalance:
    if voucher.account_id is None:
        return VoucherBalance(0, 0, 0)
    account = accounts[voucher.account_id]
    return VoucherBalance(
        left_micro=free_micro(account),
        held_micro=account.held_micro,
        redeemed_micro=voucher.amount_micro - voucher.returned_micro - account.posted_micro,
    )
