"""Kinds of waiting jobs: where they may go, at which price, under which quote."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any
from uuid import UUID

from haihe.compute.domain import JobState
from haihe.compute.domain.choice import PoolFacts, Wish, choose, facts_from
from haihe.compute.models import Job, JobKind, Quote
from haihe.compute.services.facts import wish_of
from haihe.kernel.clock import now
from haihe.kernel.work import unit_of_work


@dataclass(frozen=True)
class Bid:
    """One pool that was asked for the jobs of a kind: what was known of it, and its offer then."""

    pool_id: UUID
    offer_id: UUID | None
    facts: PoolFacts

    @property
    def centre(self) -> str:
        """The slug of the pool's centre."""
        return self.facts.pool.partition("/")[0]


@dataclass(frozen=True)
class Kind:
    """A kind, read."""

    wish: Wish
    bids: Sequence[Bid]


def kind_of_quote(quote: Quote, pools: Mapping[str, UUID]) -> JobKind:
    """In the open unit of work: the kind of the jobs that a quote is for.

    They may go wherever they would be under the same contract and cost no more than what is held
    for them. The other pools are kept too, so that who asks why a job waits is told of them all;
    what changes from moment to moment is looked at again when a job is to start.
    """
    compared, offers = quote.comparison["facts"], quote.comparison["offers"]
    bids = []
    for kept in compared["pools"]:
        facts = replace(_timeless(facts_from(kept)), held_micro=quote.amount_micro)
        offer = offers.get(facts.pool)
        if facts.pool in pools:
            bids.append(Bid(pools[facts.pool], UUID(offer) if offer else None, facts))
    wish = replace(Wish(**compared["wish"]), deadline_in_s=None)
    return keep_kind(wish, bids)


def give_kind(job_id: UUID) -> None:
    """Give a kind to a job from before there were any: it stays with its pool."""
    with unit_of_work():
        job = (
            Job.objects.select_for_update(of=("self",))
            .select_related("pool__centre", "quote")
            .get(pk=job_id)
        )
        facts = PoolFacts(
            pool=str(job.pool),
            whole=job.pool.capacity,
            free=job.pool.capacity,
            largest=job.pool.capacity,
            fitting_nodes=1,
            gpu_model=job.pool.gpu_model,
            amount_micro=job.amount_micro,
            payable_micro=job.amount_micro,
        )
        wish = replace(wish_of(job.quote.spec, now()), deadline_in_s=None)
        job.kind = keep_kind(wish, [Bid(job.pool_id, job.offer_id, facts)])
        job.save(update_fields=["kind"])


def keep_kind(wish: Wish, bids: Sequence[Bid]) -> JobKind:
    """In the open unit of work: the row of a kind, made if there is none."""
    data = {"wish": asdict(wish), "bids": [_bid_as_dict(bid) for bid in bids]}
    text = json.dumps(data, sort_keys=True, default=list)
    key = hashlib.sha256(text.encode()).hexdigest()
    row, _ = JobKind.objects.get_or_create(key=key, defaults=json.loads(text))
    return row


def read_kind(row: JobKind) -> Kind:
    """A kind from its row."""
    return Kind(
        Wish(**row.wish),
        [
            Bid(
                UUID(bid["pool_id"]),
                UUID(bid["offer_id"]) if bid["offer_id"] else None,
                facts_from(bid["facts"]),
            )
            for bid in row.bids
        ],
    )


def waiting_wishes() -> dict[str, Wish]:
    """What the jobs of each kind that waits ask for, without where they may go: most of a row."""
    waiting = Job.objects.filter(state=JobState.QUEUED).values("kind_id")
    rows = JobKind.objects.filter(pk__in=waiting).values_list("key", "wish")
    return {key: Wish(**wish) for key, wish in rows}


def kind_without(row: JobKind, pool_id: UUID, *, is_centre: bool = True) -> JobKind:
    """In the open unit of work: the kind without a pool, or without all pools of its centre.

    What a centre lost may be lost at its other pools too, so that these come last. The kind itself,
    if nothing else is left.
    """
    kind = read_kind(row)
    centres = {bid.centre for bid in kind.bids if bid.pool_id == pool_id and is_centre}
    others = [bid for bid in kind.bids if bid.pool_id != pool_id]
    for left in ([bid for bid in others if bid.centre not in centres], others):
        if any(_may_have(bid, kind.wish) for bid in left):
            return keep_kind(kind.wish, left)
    return row


def _may_have(bid: Bid, wish: Wish) -> bool:
    """Whether a pool may have the jobs of a kind at all, at some hour."""
    return choose(wish, [bid.facts]).chosen is not None


def _timeless(facts: PoolFacts) -> PoolFacts:
    """The facts without what changes from moment to moment, so that like jobs are one kind."""
    return replace(
        facts,
        is_open=True,
        silent_s=0.0,
        fault="",
        free=facts.whole,
        largest=facts.whole,
        fitting_nodes=1,
        maintenance_in_s=None,
        funds_reason="",
        start_s=0.0,
        start_p90_s=0.0,
        reliability=1.0,
        has_room=True,
        is_in_pieces=False,
        kept_for="",
    )


def _bid_as_dict(bid: Bid) -> dict[str, Any]:
    return {
        "pool_id": str(bid.pool_id),
        "offer_id": str(bid.offer_id) if bid.offer_id else None,
        "facts": asdict(bid.facts),
    }
