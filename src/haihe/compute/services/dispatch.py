"""Dispatch: which waiting job goes to which centre next, and which one moves.

A round looks at the whole queue at once (:mod:`haihe.compute.domain.planning`) and then writes each
placement in a transaction of its own, under locks on the job and on the pool, after looking again
at both: rounds of several processes may overlap, and the database is never held for long.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Count

from haihe.compute.domain import AttemptState, Capacity, EndReason, JobState
from haihe.compute.domain.choice import (
    Choice,
    PoolFacts,
    Wish,
    choose,
    facts_as_dict,
    should_move,
)
from haihe.compute.domain.planning import JobClass, Placement, Plan, PoolState, Waiting, plan
from haihe.compute.models import (
    Agent,
    Attempt,
    Decision,
    Job,
    JobKind,
    Offer,
    Pool,
    Reservation,
)
from haihe.compute.services.facts import SILENT_AFTER, PoolNow, look_at_pools, present_facts
from haihe.compute.services.holds import move_funds
from haihe.compute.services.kinds import Kind, give_kind, read_kind
from haihe.compute.services.seats import find_seats, unseatable
from haihe.compute.services.settlement import (
    DISPATCHER,
    AttemptEnd,
    close_job,
    end_attempt,
    lock_job,
)
from haihe.evidence.services import record
from haihe.kernel.clock import now
from haihe.kernel.crash import crash_point
from haihe.kernel.work import unit_of_work

LOOKED_AT = 200
QUEUE_LIMIT = 100_000
URGENT_SLACK = timedelta(hours=1)
MOVE_AFTER = timedelta(minutes=5)
MOVES_LIMIT = 3
# After so long a job that fits only in pieces is given the room anyway: it gathers until it fits.
PIECES_PATIENCE = timedelta(hours=1)


def plan_round() -> int:
    """End what is unwanted, take back what went nowhere, place what fits; how much was done."""
    return end_cancelled() + end_overdue() + withdraw_from_silent() + withdraw_to_move() + place()


def end_cancelled() -> int:
    """End jobs whose cancellation came before any agent claimed them: nothing ran or is paid."""
    ended = 0
    waiting = Job.objects.waiting().filter(cancel_requested_at__isnull=False)
    for pk in list(waiting.values_list("pk", flat=True)[:LOOKED_AT]):
        with unit_of_work():
            job = lock_job(pk)
            if job.state == JobState.QUEUED:
                close_job(job, JobState.CANCELLED, EndReason.CANCELLED)
                ended += 1
    offered = Attempt.objects.unfinished().filter(
        claimed_at=None, job__cancel_requested_at__isnull=False
    )
    for pk in list(offered.values_list("pk", flat=True)[:LOOKED_AT]):
        ended += _end_unclaimed(pk, AttemptState.CANCELLED, EndReason.CANCELLED)
    return ended


def withdraw_from_silent() -> int:
    """Take back what was offered to an agent that has not been heard of: it goes elsewhere."""
    silent = Agent.objects.in_force().exclude(seen_at__gt=now() - SILENT_AFTER)
    offered = Attempt.objects.unfinished().filter(
        claimed_at=None,
        created_at__lte=now() - SILENT_AFTER,
        pool__centre__agents__in=silent,
    )
    return sum(
        _end_unclaimed(pk, AttemptState.WITHDRAWN, EndReason.WITHDRAWN)
        for pk in list(offered.values_list("pk", flat=True)[:LOOKED_AT])
    )


def end_overdue() -> int:
    """End waiting jobs that can no longer be done by their deadline: nothing ran or is paid."""
    ended = 0
    late = Job.objects.waiting().filter(deadline_at__lte=now())
    for pk in list(late.values_list("pk", flat=True)[:LOOKED_AT]):
        with unit_of_work():
            job = lock_job(pk)
            if job.state == JobState.QUEUED:
                close_job(job, JobState.FAILED, EndReason.DEADLINE)
                ended += 1
    return ended


def withdraw_to_move() -> int:
    """Ask for the return of attempts that wait in a scheduler and are better off elsewhere.

    Only of agents that are heard: what waits at another may have started since, and nobody knows.
    """
    waiting = list(
        Attempt.objects.filter(
            state=AttemptState.STARTING,
            claimed_at__lte=now() - MOVE_AFTER,
            withdraw_requested_at=None,
            started_at=None,
            job__cancel_requested_at=None,
        )
        .exclude(pending_reason="")
        .select_related("job__kind", "job__quote", "pool__centre")[:LOOKED_AT]
    )
    if not waiting:
        return 0
    view = View.of(now())
    moved = 0
    for attempt in waiting:
        if attempt.job.kind is None or _moves_of(attempt.job) >= MOVES_LIMIT:
            continue
        if not view.is_heard(attempt.pool):
            continue
        choice = view.choice_of(read_kind(attempt.job.kind), beside=attempt.pool)[1]
        if should_move(choice, str(attempt.pool)):
            with unit_of_work():
                moved += Attempt.objects.filter(
                    pk=attempt.pk, state=AttemptState.STARTING, withdraw_requested_at=None
                ).update(withdraw_requested_at=now())
    return moved


def place() -> int:
    """Plan the whole queue and offer what fits to the agents."""
    planned = plan_queue()
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
    rows = JobKind.objects.in_bulk({row[2] for row in queue if row[2] is not None})
    kinds = {key: read_kind(row) for key, row in rows.items()}
    choices = {key: view.choice_of(kind) for key, kind in kinds.items()}
    numbers = {key: number for number, key in enumerate(kinds)}
    waiting = [
        Waiting(pk, organisation, numbers[kind], priority, view.is_urgent(kinds[kind], due), rank)
        for rank, (pk, organisation, kind, priority, due, _) in enumerate(queue)
        if kind in kinds
    ]
    patient = {kind for _, _, kind, _, _, at in queue if view.at - at < PIECES_PATIENCE}
    impatient = {kind for _, _, kind, _, _, at in queue if view.at - at >= PIECES_PATIENCE}
    in_pieces = view.in_pieces({key: kinds[key] for key in patient - impatient if key in kinds})
    decided = plan(
        waiting,
        [view.job_class(kinds[key], choices[key][1], without=in_pieces[key]) for key in kinds],
        view.states(),
        shares=_shares(),
        whole=view.whole(),
    )
    facts = {key: kept for key, (kept, _) in choices.items()}
    return Round(view, decided, kinds, facts, {row[0]: row[2] for row in queue if row[2]})


@dataclass(frozen=True)
class Round:
    """What one look at the queue decided, not yet written."""

    view: View
    plan: Plan
    kinds: Mapping[str, Kind]
    facts: Mapping[str, Sequence[PoolFacts]]
    kind_of: Mapping[UUID, str]

    def write(self) -> int:
        """Write the placements that are still possible; how many they were."""
        return sum(self._write(placement) for placement in self.plan.placements)

    def _write(self, placement: Placement) -> int:
        seen = self.view.seen
        pool = seen[placement.pool].pool
        key = self.kind_of[placement.job]
        roomy = {str(seen[number].pool) for number in placement.roomy}
        facts = [replace(fact, has_room=fact.pool in roomy) for fact in self.facts[key]]
        kind = self.kinds[key]
        offer = next(bid.offer_id for bid in kind.bids if bid.pool_id == pool.pk)
        return _place(placement.job, pool, offer, kind.wish, facts)


@dataclass(frozen=True)
class View:
    """The network at one instant, as a round sees it."""

    at: datetime
    seen: Sequence[PoolNow]
    pending: dict[UUID, int]

    @classmethod
    def of(cls, at: datetime) -> View:
        """Look at everything once."""
        pools = Pool.objects.select_related("centre").order_by("centre__slug", "slug")
        pending = (
            Attempt.objects.filter(state=AttemptState.STARTING)
            .values_list("pool")
            .annotate(count=Count("pk"))
        )
        return cls(at, look_at_pools(pools, at), dict(pending))

    def is_heard(self, pool: Pool) -> bool:
        """Whether the agent of a pool's centre spoke lately."""
        return any(one.pool.pk == pool.pk and one.silent_s is not None for one in self.seen)

    def choice_of(
        self, kind: Kind, *, beside: Pool | None = None
    ) -> tuple[list[PoolFacts], Choice]:
        """The facts of a kind now, and what follows if every pool had room.

        ``beside`` is a pool in which the job holds room already: elsewhere it must be free now.
        """
        seen = {pool.pool.pk: pool for pool in self.seen}
        facts = [
            present_facts(bid.facts, seen[bid.pool_id], kind.wish, self.at)
            for bid in kind.bids
            if bid.pool_id in seen
        ]
        if beside is not None:
            need = _need(kind.wish)
            facts = [
                replace(fact, has_room=not fact.free.shortfall(need) or fact.pool == str(beside))
                for fact in facts
            ]
        return facts, choose(kind.wish, facts)

    def choice_with_room(self, kind: Kind) -> Choice:
        """What follows for a kind if only pools may have it that have room for it now."""
        need = _need(kind.wish)
        facts = [
            replace(fact, has_room=not fact.free.shortfall(need))
            for fact in self.choice_of(kind)[0]
        ]
        return choose(kind.wish, facts)

    def in_pieces(self, kinds: Mapping[str, Kind]) -> Mapping[str, set[str]]:
        """For each kind the pools whose free room is in pieces too small for it."""
        found: dict[str, set[str]] = defaultdict(set)
        for one in self.seen:
            fitting = {
                key: kind.wish
                for key, kind in kinds.items()
                if not one.free.shortfall(_need(kind.wish))
            }
            for key in unseatable(one.pool, fitting) if fitting else ():
                found[key].add(str(one.pool))
        return found

    def job_class(self, kind: Kind, choice: Choice, *, without: Container[str] = ()) -> JobClass:
        """A kind as planning sees it: the pools that it may go to, the best first."""
        numbers = {str(pool.pool): number for number, pool in enumerate(self.seen)}
        good = [
            verdict
            for verdict in choice.verdicts
            if verdict.score is not None and verdict.pool not in without
        ]
        good.sort(key=lambda verdict: (-(verdict.score or 0.0), verdict.pool))
        return JobClass(
            _triple(_need(kind.wish)),
            kind.wish.wall_s,
            [numbers[verdict.pool] for verdict in good],
        )

    def states(self) -> list[PoolState]:
        """The pools as planning sees them."""
        return [
            PoolState(
                _triple(pool.free),
                [(left, _triple(held)) for left, held in pool.running],
                max(0, pool.pool.pending_limit - self.pending.get(pool.pool.pk, 0)),
            )
            for pool in self.seen
        ]

    def whole(self) -> tuple[int, int, int]:
        """All that the network has."""
        return (
            sum(pool.pool.cpu_milli for pool in self.seen),
            sum(pool.pool.memory_bytes for pool in self.seen),
            sum(pool.pool.gpu_milli for pool in self.seen),
        )

    def is_urgent(self, kind: Kind, deadline_at: datetime | None) -> bool:
        """Whether a job must start soon to end in time."""
        if deadline_at is None:
            return False
        return deadline_at - timedelta(seconds=kind.wish.wall_s) - self.at <= URGENT_SLACK


def _place(job_id: UUID, pool: Pool, offer_id: UUID, wish: Wish, facts: Sequence[PoolFacts]) -> int:
    """Hold capacity and open an attempt; nothing if the pool is full or the job is gone."""
    with unit_of_work():
        job = lock_job(job_id)
        Pool.objects.select_for_update().get(pk=pool.pk)
        if job.state != JobState.QUEUED or job.cancel_requested_at is not None:
            return 0
        full = bool(Reservation.objects.free_of(pool).shortfall(_need(wish)))
        if full and not _may_wait(pool):
            return 0
        seats = find_seats(pool, wish)
        if seats is None:
            return 0
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
            result=choose(wish, facts).as_dict(),
        )
    crash_point("dispatch.placed")
    return 1


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


def _moves_of(job: Job) -> int:
    return job.attempts.filter(state=AttemptState.WITHDRAWN).count()


def _shares() -> dict[Any, tuple[int, int, int]]:
    """What each organisation holds now, over all pools."""
    return {
        organisation: _triple(held)
        for organisation, held in Reservation.objects.held_by_organisation().items()
    }


def _need(wish: Wish) -> Capacity:
    return Capacity(
        wish.cpu_milli * wish.nodes, wish.memory_bytes * wish.nodes, wish.gpu_milli * wish.nodes
    )


def _triple(capacity: Capacity) -> tuple[int, int, int]:
    return capacity.cpu_milli, capacity.memory_bytes, capacity.gpu_milli


def _end_unclaimed(attempt_id: UUID, state: AttemptState, reason: EndReason) -> int:
    """End an attempt that its agent has not claimed; nothing if it has meanwhile."""
    with unit_of_work():
        lock_job(Attempt.objects.values_list("job_id", flat=True).get(pk=attempt_id))
        if not Attempt.objects.unfinished().filter(pk=attempt_id, claimed_at=None).exists():
            return 0
        if state is AttemptState.WITHDRAWN:
            Attempt.objects.filter(pk=attempt_id).update(withdraw_requested_at=now())
        end_attempt(attempt_id, AttemptEnd(state=state, reason=reason))
    return 1
