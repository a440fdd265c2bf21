"""Funds held for jobs: from each payer to the provider, pending until a job is settled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid5

from haihe.compute.models import Job, Quote, Reservation
from haihe.kernel.money import CNY
from haihe.ledger.domain import Kind, TransferOrder
from haihe.ledger.models import Account
from haihe.ledger.services import open_account, open_cash, transfer
from haihe.parties.models import Organisation

VOUCHER_RECEIVABLE = "voucher-receivable"

Hold = dict[str, Any]


def hold_funds(jobs: Sequence[Job], quote: Quote) -> dict[UUID, list[Hold]]:
    """Pending transfers from each payer to the provider for each job, all or none."""
    orders: list[TransferOrder] = []
    holds: dict[UUID, list[Hold]] = {job.pk: [] for job in jobs}
    for share in quote.shares:
        target = _target(quote.pool.centre.operator, share["asset"])
        for job in jobs:
            hold_id = uuid5(job.pk, f"hold:{share['account_id']}")
            kept = {
                **share,
                "amount_micro": share["amount_micro"] // len(jobs),
                "hold_id": str(hold_id),
            }
            orders.append(_pending(job, kept, target, uuid5(job.pk, "hold")))
            holds[job.pk].append(kept)
    transfer(orders)
    return holds


def move_funds(job: Job, provider_id: UUID, *, number: int) -> None:
    """In the open unit of work: hold a job's funds for another provider, all at once.

    What was held is given back and held anew in one batch, so that at no time nothing is held.
    """
    provider = Organisation.objects.get(pk=provider_id)
    reservation = Reservation.objects.get(job=job)
    orders, holds = [], []
    group = uuid5(job.pk, f"move:{number}")
    for hold in reservation.holds:
        hold_id = UUID(hold["hold_id"])
        orders.append(
            TransferOrder(
                transfer_id=uuid5(hold_id, "move"),
                kind=Kind.VOID,
                pending_id=hold_id,
                reason="job-moved",
                reference=f"job:{job.pk}",
                group_id=group,
            )
        )
    for hold in reservation.holds:
        moved_id = uuid5(job.pk, f"hold:{hold['account_id']}:{number}")
        kept = {**hold, "hold_id": str(moved_id)}
        orders.append(_pending(job, kept, _target(provider, hold["asset"]), group))
        holds.append(kept)
    transfer(orders)
    reservation.holds = holds
    reservation.save(update_fields=["holds"])


def _target(provider: Organisation, asset: str) -> Account:
    """Where a provider receives: money as cash, a voucher as a claim on its scheme."""
    if asset == CNY:
        return open_cash(provider.pk, name=provider.name)
    return open_account(provider.pk, VOUCHER_RECEIVABLE, asset, name=provider.name)


def _pending(job: Job, hold: Hold, target: Account, group: UUID) -> TransferOrder:
    return TransferOrder(
        transfer_id=UUID(hold["hold_id"]),
        kind=Kind.PENDING,
        debit_account_id=UUID(hold["account_id"]),
        credit_account_id=target.pk,
        amount_micro=hold["amount_micro"],
        asset=hold["asset"],
        reason="job-hold",
        reference=f"job:{job.pk}",
        group_id=group,
    )
