"""Dispatch: which waiting job goes to which centre next, and which one moves.

A round looks at the whole queue at once (:mod:`haihe.compute.domain.planning`) and then writes each
placement in a transaction of its own, under locks on the job and on the pool, after looking again
at both: rounds of several processes may overlap, and the database is never held for long.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from haihe.compute.domain import AttemptState, JobState
from haihe.compute.domain.choice import PoolFacts, Wish, choose, facts_as_dict
from haihe.compute.domain.planning import Placement, Plan, Waiting, plan
from haihe.compute.models import (
    Attempt,
    Decision,
    Job,
    Offer,
    Pool,
    Reservation,
)
from haihe.compute.services.allocations import locked_allocation_reason
from haihe.compute.services.holds import move_funds
from haihe.compute.services.kinds import give_kind, kind_without, waiting_wishes
from haihe.compute.services.seats import find_seats
from haihe.compute.services.settlement import DISPATCHER, lock_job
from haihe.compute.services.view import QUEUE_LIMIT, View, keep_reservations, shares
from haihe.compute.services.withdrawals import (
    end_cancelled,
    end_overdue,
    withdraw_from_closed,
    withdraw_from_silent,
    withdraw_to_move,
)
from haihe.evidence.services import record
from haihe.kernel.clock import now
from haihe.kernel.crash import crash_point
from haihe.kernel.work import unit_of_work

# After so long a job that fits only in pieces is given the room anyway: it gathers until it fits.
PIECES_PATIENCE = timedelta(hours=1)


def plan_round() -> int:
    """End what is unwanted, take back what went nowhere, place what fits; how much was done."""
    ended = end_cancelled() + end_overdue()
    taken_back = withdraw_from_silent() + withdraw_from_closed() + withdraw_to_move()
    return ended + taken_back + place()


def place() -> int:
    """Plan the whole queue and offer what fits to the agents."""
    planned = plan_queue()
    keep_reservations(planned.reservations() if planned else {})
    return 0 if planned is None else planned.write()


def plan_queue() -> Round | None:
    """One round's plan of the queue as it is now; None, if nothing waits."""
    queue = list(
        Job.objects.filter(state=JobState.QUEUED, cancel_requested_at=None)
        .order_by("pk")
        .values_list("pk", "organisation_id", "kind_id", "priority", "deadline_at", "created_at")[
            :QUEUE_LIMIT
        ]
    )
    if not queue:
        return None
    for pk in [row[0] for row in queue if row[2] is None]:
        give_kind(pk)  # it is placed in the next round
    view = View.of(now())
    wishes = waiting_wishes()
    numbers = {key: number for number, key in enumerate(wishes)}
    waiting = [
        Waiting(
            pk,
            organisation,
            numbers[kind],
            priority,
            view.is_urgent(wishes[kind].wall_s, due),
            rank,
            view.in_s(due),
        )
        for rank, (pk, organisation, kind, priority, due, _) in enumerate(queue)
        if kind in wishes
    ]
    impatient = {kind for _, _, kind, _, _, at in queue if view.at - at >= PIECES_PATIENCE}
    decided = plan(
        waiting,
        [
            view.job_class(key, wish, is_patient=key not in impatient)
            for key, wish in wishes.items()
        ],
        view.states(),
        shares=shares(),
        whole=view.whole(),
    )
    kind_of = {row[0]: row[2] for row in queue if row[2]}
    return Round(view, decided, kind_of, {row[0]: row[4] for row in queue})


@dataclass(frozen=True)
class Round:
    """What one look at the queue decided, not yet written."""

    view: View
    plan: Plan
    kind_of: Mapping[UUID, str]
    deadlines: Mapping[UUID, datetime | None]

    def write(self) -> int:
        """Write the placements that are still possible; how many they were."""
        return sum(self._write(placement) for placement in self.plan.placements)

    def reservations(self) -> Mapping[str, str]:
        """For which job each pool's next room is kept, by names and ids."""
        seen = self.view.seen
        kept = self.plan.reserved.items()
        return {str(seen[number].pool): str(job) for number, job in kept}

    def _write(self, placement: Placement) -> int:
        seen = self.view.seen
        pool = seen[placement.pool].pool
        key = self.kind_of[placement.job]
        roomy = {str(seen[number].pool) for number in placement.roomy}
        kind, seen_facts, _ = self.view.found_for(key)
        facts = [replace(fact, has_room=fact.pool in roomy) for fact in seen_facts]
        offer = next(bid.offer_id for bid in kind.bids if bid.pool_id == pool.pk)
        assert offer is not None, "a pool without a price is given nothing"
        wish = replace(kind.wish, deadline_in_s=self.view.in_s(self.deadlines[placement.job]))
        return _place(placement.job, pool, offer, wish, facts)


def _place(job_id: UUID, pool: Pool, offer_id: UUID, wish: Wish, facts: Sequence[PoolFacts]) -> int:
    """Hold capacity and open an attempt; nothing if the pool is full or the job is gone."""
    with unit_of_work():
        job = lock_job(job_id)
        Pool.objects.select_for_update().get(pk=pool.pk)
        if job.state != JobState.QUEUED or job.cancel_requested_at is not None:
            return 0
        full = bool(Reservation.objects.free_of(pool).shortfall(wish.need))
        if full and not _may_wait(pool):
            return 0
        if pool.pk != job.pool_id and _is_over_allocation(job, pool):
            return 0
        seats = find_seats(pool, wish)
        if seats is None:
            return 0
        choice = choose(wish, facts)
        assert choice.chosen == str(pool), "what is told of a placement is why it was made"
        earlier = job.attempts.count()
        is_moved = pool.pk != job.pool_id
        if is_moved:
            _retarget(job, pool, Offer.objects.get(pk=offer_id), earlier)
        Reservation.objects.filter(job=job).update(placed_at=now(), pool=pool)
        job.state = JobState.STARTING
        job.save(update_fields=["state"])
        Attempt.objects.create(job=job, pool=pool, number=earlier + 1, seats=seats)
        occasion = Decision.Occasion.AGAIN if earlier else Decision.Occasion.PLACED
        if is_moved and earlier:
            occasion = Decision.Occasion.MOVED
        Decision.objects.create(
            job=job,
            occasion=occasion,
            facts=facts_as_dict(wish, facts),
            result=choice.as_dict(),
        )
    crash_point("dispatch.placed")
    return 1


def _is_over_allocation(job: Job, pool: Pool) -> bool:
    """Whether a job may not move to a pool for want of an allocation: it then never looks there."""
    spec = job.quote.spec
    if not locked_allocation_reason(spec, job.organisation_id, pool, now(), jobs=1):
        return False
    if job.kind is not None:
        job.kind = kind_without(job.kind, pool.pk, is_centre=False)
        job.save(update_fields=["kind"])
    return True


def _retarget(job: Job, pool: Pool, offer: Offer, earlier: int) -> None:
    """Give a waiting job to another pool, at the price of its quote; its funds follow it."""
    before = str(job.pool)
    operator_id = pool.centre.operator_id
    if operator_id != job.provider_id:
        move_funds(job, operator_id, number=earlier)
    job.pool, job.offer, job.provider_id = pool, offer, operator_id
    job.save(update_fields=["pool", "offer", "provider"])
    record(
        "job.moved",
        subject=f"job:{job.pk}",
        actor=DISPATCHER,
        data={"before": before, "after": str(pool)},
        parties=[job.organisation_id, operator_id],
    )


def _may_wait(pool: Pool) -> bool:
    """Whether the pool's scheduler may be given one more job to keep in its own queue."""
    waiting = Attempt.objects.filter(pool=pool, state=AttemptState.STARTING).count()
    return waiting < pool.pending_limit
