"""Quotes: what a job would cost at most, where, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, NoReturn
from uuid import UUID

from haihe.compute.domain import (
    BillLine,
    JobSpec,
    Share,
    Subsidy,
    most_usage,
    need_of,
    price_usage,
    round_lines,
    split_bill,
    total_micro,
)
from haihe.compute.domain.choice import (
    Choice,
    PoolFacts,
    Verdict,
    Wish,
    choose,
    facts_as_dict,
    reason_of,
)
from haihe.compute.errors import JobTooLarge, NoOffer, NoPool, TooCostly
from haihe.compute.models import Contract, Offer, PersonAccount, Pool, Quote
from haihe.compute.protocols import FUNDING, INPUTS, InputCard
from haihe.compute.services.allocations import allocation_reason
from haihe.compute.services.centres import offers_at
from haihe.compute.services.contracts import check_within_contract, contract_in_force
from haihe.compute.services.facts import (
    PoolNow,
    carbon_g,
    energy_wh,
    look_at_pools,
    present_facts,
    strangers_wait_s,
    wish_of,
)
from haihe.compute.services.files import files_of
from haihe.compute.services.queues import outlooks
from haihe.compute.simulation.waiting import ExpectedStart
from haihe.kernel.clock import now
from haihe.kernel.errors import MissingRecord
from haihe.kernel.ids import parse_id
from haihe.kernel.money import CNY, MAX_AMOUNT_MICRO, format_micro
from haihe.kernel.work import unit_of_work
from haihe.ledger.models import Account
from haihe.ledger.services import open_cash
from haihe.parties.models import Organisation
from haihe.parties.services import find_organisation
from haihe.policy.domain import Principal
from haihe.policy.services import authorize

TOO_COSTLY = "its cost could be more than any amount"
QUOTE_LIFE = timedelta(minutes=15)


def request_quote(
    principal: Principal, spec: JobSpec, *, organisation: str, contract: str = ""
) -> Quote:
    """Price a job at its limits on every pool, choose the best for its objective, and say why.

    With a contract only its provider's pools may have the job, and its voucher, if it has one,
    pays its share. The comparison is kept with the quote. Nothing is held yet.

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
    files = files_of(buyer.pk, spec.files)
    moved = sum(card.bytes for card in inputs) + sum(row.bytes for row in files.values())
    account = open_cash(buyer.pk, name=buyer.name)
    found = _compare(_Bidder(spec, principal, buyer, agreed, inputs, moved, account, at))
    bid = _chosen(spec, found, agreed)
    assert bid.offer is not None, "a pool without a price is never chosen"
    reasons = [
        *_pool_reasons(found.choice, found.bids),
        bid.voucher_reason,
        *(f"{card.name}: {card.dataset}@{card.version}, {card.under}" for card in inputs),
    ]
    with unit_of_work():
        return Quote.objects.create(
            organisation=buyer,
            pool=bid.pool,
            offer=bid.offer,
            contract=agreed,
            spec_data=spec.as_dict(),
            lines=[asdict(line) for line in bid.lines],
            shares=bid.shares,
            reasons=reasons,
            comparison=found.as_dict(),
            amount_micro=bid.amount_micro,
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


@dataclass(frozen=True)
class _Bid:
    """What one pool would do the job for."""

    pool: Pool
    facts: PoolFacts
    offer: Offer | None
    lines: list[BillLine]
    amount_micro: int
    shares: list[dict[str, Any]]
    voucher_reason: str


@dataclass(frozen=True)
class _Bidder:
    """Prices one job on many pools."""

    spec: JobSpec
    principal: Principal
    buyer: Organisation
    contract: Contract | None
    inputs: list[InputCard]
    bytes_to_move: int
    account: Account
    at: datetime

    def bids(self, pools: list[Pool]) -> list[_Bid]:
        """The bids of all pools, in as many queries as for one."""
        offers = offers_at(pools, self.at)
        accounts = set(
            PersonAccount.objects.filter(person=self.principal.person_id).values_list(
                "centre_id", flat=True
            )
        )
        subsidy, why = (None, "no contract, no voucher")
        if self.contract is not None:
            subsidy, why = FUNDING.get().subsidy(self.contract.pk, at=self.at)
        wish = wish_of(self.spec, self.at)
        seen = look_at_pools(pools, self.at)
        expected = outlooks(seen, need_of(self.spec), self.spec.wall_s)
        agreed = self.contract
        left = max(0, agreed.amount_micro - agreed.committed_micro()) if agreed else None
        bids = [
            self._bid(one, offers.get(one.pool.pk), accounts, subsidy, why, wish, left)
            for one in seen
        ]
        others = {
            one.pool.pk: strangers_wait_s(one, need_of(self.spec), self.spec.wall_s) for one in seen
        }
        return [_with_start(bid, expected[bid.pool.pk][1], others[bid.pool.pk]) for bid in bids]

    def _bid(
        self,
        seen: PoolNow,
        offer: Offer | None,
        accounts: set[UUID],
        subsidy: Subsidy | None,
        why: str,
        wish: Wish,
        left: int | None,
    ) -> _Bid:
        pool, agreed = seen.pool, self.contract
        is_in_contract = agreed is None or pool.centre.operator_id == agreed.provider_id
        lines, amount, shares = [], None, []
        if offer is not None:
            lines = round_lines(price_usage(most_usage(self.spec), offer.price))
            amount = total_micro(lines) * self.spec.array
            shares = self._shares(amount, subsidy if is_in_contract else None)
        payable = sum(share["amount_micro"] for share in shares if share["asset"] == CNY)
        energy = energy_wh(self.spec, pool)
        facts = PoolFacts(
            pool=str(pool),
            whole=pool.capacity,
            free=seen.free,
            largest=pool.capacity,
            fitting_nodes=1,
            backend_reason=pool.backend_reason(wish.nodes, has_account=pool.centre_id in accounts),
            gpu_model=pool.gpu_model,
            software=tuple(pool.software),
            has_account=not pool.needs_account or pool.centre_id in accounts,
            is_in_contract=is_in_contract,
            blocked_inputs=tuple(
                card.dataset
                for card in self.inputs
                if card.centres and pool.centre.slug not in card.centres
            ),
            allocation_reason=allocation_reason(
                self.spec, self.buyer.pk, pool, self.at, jobs=self.spec.array
            ),
            amount_micro=amount,
            payable_micro=None if amount is None else payable,
            funds_reason=self._funds_reason(amount or 0, payable, left),
            bytes_to_move=self.bytes_to_move,
            link_bytes_per_s=pool.centre.link_bytes_per_s,
            energy_wh=energy,
            carbon_g=carbon_g(energy, pool),
        )
        facts = present_facts(facts, seen, wish, self.at)
        return _Bid(pool, facts, offer, lines, amount or 0, shares, why)

    def _shares(self, amount_micro: int, subsidy: Subsidy | None) -> list[dict[str, Any]]:
        """Who pays which part, with the ratio that settlement uses again.

        The parts divide evenly among the jobs of an array, each of which is settled for itself.
        """
        jobs = self.spec.array
        firm = Share(self.buyer.name, str(self.account.pk), CNY, 0)
        each = replace(subsidy, left_micro=subsidy.left_micro // jobs) if subsidy else None
        ratio = {subsidy.account_id: subsidy.ratio_percent} if subsidy else {}
        return [
            {
                **asdict(share),
                "amount_micro": share.amount_micro * jobs,
                "ratio_percent": ratio.get(share.account_id, 0),
            }
            for share in split_bill(amount_micro // jobs, each, firm)
        ]

    def _funds_reason(self, amount_micro: int, payable_micro: int, left_micro: int | None) -> str:
        """Why it cannot be paid there: no such amounts, the contract's rest, the account."""
        if amount_micro > MAX_AMOUNT_MICRO:
            return TOO_COSTLY
        if left_micro is not None and amount_micro > left_micro:
            left = format_micro(left_micro)
            return f"{format_micro(amount_micro)} needed, {left} left in the contract"
        there = self.account.available_micro
        if there is None or payable_micro <= there:
            return ""
        return f"{format_micro(payable_micro)} needed, {format_micro(there)} there"


@dataclass(frozen=True)
class _Comparison:
    """The bids of all pools, and what follows from them."""

    wish: Wish
    facts: list[PoolFacts]
    choice: Choice
    bids: Mapping[str, _Bid]

    def as_dict(self) -> dict[str, Any]:
        """What is kept with the quote, so that the choice can be made again."""
        offers = {name: str(bid.offer.pk) for name, bid in self.bids.items() if bid.offer}
        return {
            "facts": facts_as_dict(self.wish, self.facts),
            "result": self.choice.as_dict(),
            "offers": offers,
        }


def _compare(bidder: _Bidder) -> _Comparison:
    pools = list(Pool.objects.select_related("centre__operator").order_by("centre__slug", "slug"))
    bids = {bid.facts.pool: bid for bid in bidder.bids(pools)}
    wish, facts = wish_of(bidder.spec, bidder.at), [bid.facts for bid in bids.values()]
    choice = choose(wish, facts)
    if choice.chosen is None:
        # Who lacks only the money is told what it would cost, and by the ledger what is missing.
        facts = [replace(fact, funds_reason="") for fact in facts]
        choice = choose(wish, facts)
    return _Comparison(wish, facts, choice, bids)


def _chosen(spec: JobSpec, found: _Comparison, contract: Contract | None) -> _Bid:
    """The bid that was chosen; an error, if none was, or if it cannot be paid under any terms."""
    if found.choice.chosen is None:
        _refuse(spec, found.choice, contract)
    bid = found.bids[found.choice.chosen]
    if bid.amount_micro > MAX_AMOUNT_MICRO:
        raise TooCostly(
            job=spec.name,
            amount=format_micro(bid.amount_micro),
            most=format_micro(MAX_AMOUNT_MICRO),
        )
    if contract is not None:
        check_within_contract(contract, bid.amount_micro)
    return bid


def _with_start(bid: _Bid, start: ExpectedStart, others_s: float) -> _Bid:
    """The bid with when the job would start: by the queue model, or as jobs of others let it."""
    median_s, p90_s = max(start.median_s, others_s), max(start.p90_s, others_s)
    facts = replace(bid.facts, start_s=round(median_s, 1), start_p90_s=round(p90_s, 1))
    return replace(bid, facts=facts)


def _refuse(spec: JobSpec, choice: Choice, contract: Contract | None) -> NoReturn:
    """No pool may have the job: the nearest miss, which is the pool that most filters pass."""
    open_ones = [
        verdict
        for verdict in choice.verdicts
        if not {"open", "price", "contract"} & {check.name for check in verdict.failed}
    ]
    if not open_ones:
        raise NoOffer(provider=contract.provider.name if contract else "any centre")
    nearest = min(open_ones, key=lambda verdict: (len(verdict.failed), _shortfall(verdict)))
    if any(check.name == "resources" for check in nearest.failed):
        check = next(check for check in nearest.failed if check.name == "resources")
        needed, resource = check.asked.split()
        raise JobTooLarge(
            job=spec.name,
            pool=nearest.pool,
            resource=resource,
            needed=int(needed),
            there=int(check.there.split()[0]),
        )
    raise NoPool(
        job=spec.name, pool=nearest.pool, reason=reason_of(nearest.pool, nearest.failed[0])
    )


def _shortfall(verdict: Verdict) -> float:
    """Which part of what is asked for is missing: CPUs and bytes compare only by it."""
    for check in verdict.failed:
        if check.name == "resources":
            return 1.0 - int(check.there.split()[0]) / int(check.asked.split()[0])
    return 0.0


def _pool_reasons(choice: Choice, bids: Mapping[str, _Bid]) -> list[str]:
    """A sentence on each pool, and which one was chosen."""
    said = []
    for verdict in choice.verdicts:
        if verdict.failed:
            said.append(reason_of(verdict.pool, verdict.failed[0]))
        else:
            amount = format_micro(bids[verdict.pool].amount_micro)
            said.append(f"{verdict.pool}: fits, at most {amount}, score {verdict.score:.3f}")
    return [*said, f"chosen {choice.chosen}: the best score, {choice.objective}"]
