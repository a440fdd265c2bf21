"""Paying providers for the vouchers they redeemed."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID, uuid5

from haihe.evidence.services import record
from haihe.kernel.ids import new_id
from haihe.kernel.money import CNY
from haihe.kernel.work import unit_of_work
from haihe.ledger.models import Account
from haihe.ledger.services import open_account, open_cash, transfer
from haihe.parties.models import Organisation
from haihe.parties.services import find_organisation
from haihe.policy.domain import Principal
from haihe.policy.services import authorize
from haihe.programme.errors import NothingToPay
from haihe.programme.services.books import (
    BURNED,
    RECEIVABLE,
    free_micro,
    move,
    scheme_account,
    scheme_claims,
)
from haihe.programme.services.vouchers import find_scheme


@dataclass(frozen=True)
class Claim:
    """What a provider redeemed and was not paid yet."""

    provider: Organisation
    account_id: UUID
    amount_micro: int


def open_claims(principal: Principal, slug: str) -> list[Claim]:
    """The providers that wait for payment, the largest claim first, for whoever may pay them."""
    scheme = find_scheme(principal, slug)
    authorize(principal, "voucher.pay", scheme.resource())
    accounts = list(scheme_claims(scheme))
    providers = Organisation.objects.in_bulk([account.owner_id for account in accounts])
    return [
        Claim(providers[account.owner_id], account.pk, free_micro(account))
        for account in accounts
        if account.owner_id is not None
    ]


def pay_provider(principal: Principal, slug: str, *, provider: str) -> int:
    """Pay a provider for the vouchers it redeemed: the claim is burned, the office's money moves.

    Both happen or neither. Returns the amount in micro-units.

    Raises
    ------
    NothingToPay
        If the provider has no claim, or was paid already.
    InsufficientFunds
        If the office's account does not hold the amount.
    """
    scheme, payee = find_scheme(principal, slug), find_organisation(principal, provider)
    authorize(principal, "voucher.pay", scheme.resource())
    with unit_of_work():
        claim = open_account(payee.pk, RECEIVABLE, scheme.asset, name=payee.name)
        claim = Account.objects.select_for_update().get(pk=claim.pk)
        amount = free_micro(claim)
        if amount <= 0:
            raise NothingToPay(provider=payee.name, scheme=slug)
        payment = new_id()
        office = open_cash(scheme.office_id, name=scheme.office.name)
        cash = open_cash(payee.pk, name=payee.name)
        reference = f"scheme:{slug}"
        burn, pay = uuid5(payment, "burn"), uuid5(payment, "pay")
        burned = scheme_account(scheme, BURNED)
        transfer(
            [
                move(scheme.asset, burn, claim, burned, amount, "burn-voucher", reference),
                move(CNY, pay, office, cash, amount, "pay-voucher", reference),
            ]
        )
        record(
            "voucher.paid",
            subject=f"scheme:{scheme.pk}",
            actor=principal,
            data={"provider": provider, "amount_micro": amount, "payment": str(payment)},
            parties=[scheme.office_id, payee.pk],
        )
    return amount
