"""Quotes: what a job would cost at most, where, and why."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from haihe.compute.domain import (
    JobSpec,
    Share,
    check_fits,
    most_usage,
    price_usage,
    round_lines,
    split_bill,
    total_micro,
)
from haihe.compute.errors import JobTooLarge, NoOffer, TooCostly
from haihe.compute.models import Contract, Offer, Pool, Quote
from haihe.compute.protocols import FUNDING, INPUTS
from haihe.compute.services.centres import offers_at
from haihe.compute.services.contracts import check_within_contract, contract_in_force
from haihe.kernel.clock import now
from haihe.kernel.errors import MissingRecord
from haihe.kernel.ids import parse_id
from haihe.kernel.money import CNY, MAX_AMOUNT_MICRO, format_micro
from haihe.kernel.work import unit_of_work
from haihe.ledger.services import open_account
from haihe.parties.models import Organisation
from haihe.parties.services import find_organisation
from haihe.policy.domain import Principal
from haihe.policy.services import authorize

QUOTE_LIFE = timedelta(minutes=15)
CASH = "cash"


def request_quote(
    principal: Principal, spec: JobSpec, *, organisation: str, contract: str = ""
) -> Quote:
    """Price a job at its limits, on the cheapest pool that can run it, and say why.

    With a contract, only its provider's pools are asked, and its voucher, if it has one, pays its
    share. Nothing is held yet.

    Raises
    ------
    JobTooLarge
        If no pool could ever run the job; the error names the nearest miss.
    NoOffer
        If no open pool has a price now.
    TooCostly
        If the limits allow for a cost that no amount can be.
    NoAgreement
        If the organisation may not use an input.
    """
    buyer = find_organisation(principal, organisation)
    authorize(principal, "quote.create", buyer.resource("Quote"))
    at = now()
    agreed = contract_in_force(principal, contract, buyer, at) if contract else None
    inputs = [INPUTS.get().describe(principal, buyer.pk, ref, at=at) for ref in spec.inputs]
    chosen, reasons = _choose_pool(spec, agreed, at)
    lines = round_lines(price_usage(most_usage(spec), chosen.price))
    amount = total_micro(lines)
    _check_sum(spec, amount)
    if agreed is not None:
        check_within_contract(agreed, amount)
    shares, why = _shares(buyer, agreed, amount, at)
    reasons += [
        why,
        *(f"{card.name}: {card.dataset}@{card.version}, {card.under}" for card in inputs),
    ]
    with unit_of_work():
        return Quote.objects.create(
            organisation=buyer,
            pool=chosen.pool,
            offer=chosen,
            contract=agreed,
            spec_data=spec.as_dict(),
            lines=[asdict(line) for line in lines],
            shares=shares,
            reasons=reasons,
            amount_micro=amount,
            expires_at=at + QUOTE_LIFE,
            created_by_id=principal.person_id,
        )


def find_quote(principal: Principal, quote_id: str | UUID) -> Quote:
    """A quote, for its organisation."""
    pk = parse_id(quote_id, kind="quote")
    quote = (
        Quote.objects.select_related("organisation", "pool__centre__operator", "offer", "contract")
        .filter(pk=pk)
        .first()
    )
    if quote is None:
        raise MissingRecord(kind="quote", id=str(pk))
    authorize(principal, "quote.read", quote.resource())
    return quote


def _choose_pool(spec: JobSpec, contract: Contract | None, at: datetime) -> tuple[Offer, list[str]]:
    """The cheapest open pool that can ever run the job, with a word on each pool."""
    pools = Pool.objects.open().select_related("centre__operator").order_by("centre__slug", "slug")
    if contract is not None:
        pools = pools.filter(centre__operator=contract.provider_id)
    prices = offers_at(list(pools), at)
    reasons: list[str] = []
    misses: list[JobTooLarge] = []
    candidates: list[tuple[int, Offer]] = []
    for pool in pools:
        offer = prices.get(pool.pk)
        if offer is None:
            reasons.append(f"{pool}: no offer now")
            continue
        try:
            check_fits(spec, str(pool), pool.capacity)
        except JobTooLarge as miss:
            misses.append(miss)
            reasons.append(f"{pool}: needs {miss.needed} {miss.resource}, has {miss.there}")
            continue
        cost = total_micro(price_usage(most_usage(spec), offer.price))
        reasons.append(f"{pool}: fits, at most {format_micro(cost)}")
        candidates.append((cost, offer))
    if candidates:
        cost, offer = min(candidates, key=lambda pair: pair[0])
        return offer, [*reasons, f"chosen {offer.pool}: the least at {format_micro(cost)}"]
    if misses:
        raise min(misses, key=lambda miss: miss.needed - miss.there)
    raise NoOffer(provider=contract.provider.name if contract else "any centre")


def _check_sum(spec: JobSpec, amount_micro: int) -> None:
    if amount_micro > MAX_AMOUNT_MICRO:
        raise TooCostly(
            job=spec.name, amount=format_micro(amount_micro), most=format_micro(MAX_AMOUNT_MICRO)
        )


def _shares(
    buyer: Organisation, contract: Contract | None, amount_micro: int, at: datetime
) -> tuple[list[dict[str, Any]], str]:
    """Who pays which part, with the ratio that settlement uses again, and why."""
    subsidy, why = (
        FUNDING.get().subsidy(contract.pk, at=at) if contract else (None, "no contract, no voucher")
    )
    account = open_account(buyer.pk, CASH, CNY, name=buyer.name)
    firm = Share(buyer.name, str(account.pk), CNY, 0)
    shares = split_bill(amount_micro, subsidy, firm)
    ratio = {subsidy.account_id: subsidy.ratio_percent} if subsidy else {}
    data = [{**asdict(share), "ratio_percent": ratio.get(share.account_id, 0)} for share in shares]
    return data, why
