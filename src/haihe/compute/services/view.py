"""The network at one instant, as a dispatch round and an explanation see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from uuid import UUID

from django.core.cache import cache
from django.db.models import Count

from haihe.compute.domain import AttemptState, Capacity
from haihe.compute.domain.choice import Choice, PoolFacts, Wish, choose
from haihe.compute.domain.planning import JobClass, PoolState, Where
from haihe.compute.models import Attempt, JobKind, Pool, Reservation
from haihe.compute.services.facts import (
    PoolNow,
    look_at_pools,
    present_facts,
    without_hold,
)
from haihe.compute.services.kinds import Kind, read_kind
from haihe.compute.services.seats import FreePieces, free_pieces

QUEUE_LIMIT = 100_000
RESERVED = "compute.reserved"
RESERVED_S = 86_400
URGENT_SLACK = timedelta(hours=1)


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

    def found_for(self, key: str) -> tuple[Kind, list[PoolFacts], Choice]:
        """A kind by its key, with :meth:`choice_of` it; found once."""
        if key not in self._found:
            kind = read_kind(JobKind.objects.get(pk=key))
            self._found[key] = (kind, *self.choice_of(kind))
        return self._found[key]

    @cached_property
    def _found(self) -> dict[str, tuple[Kind, list[PoolFacts], Choice]]:
        return {}

    def choice_of(self, kind: Kind) -> tuple[list[PoolFacts], Choice]:
        """The facts of a kind now, and what follows if every pool had room."""
        facts = self._facts_of(kind, {})
        return facts, choose(kind.wish, facts)

    def choice_beside(self, kind: Kind, attempt: Attempt) -> Choice:
        """What follows for a job that waits in a pool already: elsewhere it needs room now.

        There its own hold does not stand in its way. How long it has waited is taken as how long
        it still will: no queue that others use too tells more, and the longer waits have the
        longer rests (waits are heavy-tailed).
        """
        held = attempt.job.reservation
        waited_s = (self.at - (attempt.claimed_at or attempt.created_at)).total_seconds()
        here = {
            one.pool.pk: without_hold(one, held, self.at)
            for one in self.seen
            if one.pool.pk == attempt.pool_id
        }
        facts = []
        for fact in self._facts_of(kind, here):
            if fact.pool == str(attempt.pool):
                start_s = round(max(fact.start_s, waited_s), 1)
                facts.append(replace(fact, start_s=start_s, start_p90_s=start_s))
            else:
                facts.append(replace(fact, has_room=not fact.free.shortfall(kind.wish.need)))
        return choose(kind.wish, facts)

    def _facts_of(self, kind: Kind, instead: Mapping[UUID, PoolNow]) -> list[PoolFacts]:
        seen = {**{pool.pool.pk: pool for pool in self.seen}, **instead}
        return [
            present_facts(bid.facts, seen[bid.pool_id], kind.wish, self.at)
            for bid in kind.bids
            if bid.pool_id in seen
        ]

    def choice_now(self, kind: Kind, job_id: UUID) -> Choice:
        """What follows for a waiting job if only pools may have it that have room for it now.

        Which pools keep their room for another job is what the last round left.
        """
        need = kind.wish.need
        pieces = self.in_pieces(kind)
        kept = {pool: job for pool, job in kept_reservations().items() if job != str(job_id)}
        facts = []
        for fact in self._facts_of(kind, {}):
            has_room = not fact.free.shortfall(need)
            facts.append(
                replace(
                    fact,
                    has_room=has_room,
                    is_in_pieces=has_room and fact.pool in pieces,
                    kept_for=kept.get(fact.pool, "") if has_room else "",
                )
            )
        return choose(kind.wish, facts)

    @cached_property
    def pieces(self) -> Mapping[UUID, FreePieces]:
        """What is free on the nodes of each pool."""
        return free_pieces(one.pool for one in self.seen)

    def in_pieces(self, kind: Kind) -> set[str]:
        """The pools whose free room is in pieces too small for the jobs of a kind."""
        return {
            str(one.pool)
            for one in self.seen
            if not one.free.shortfall(kind.wish.need)
            and not self.pieces[one.pool.pk].have_room(kind.wish)
        }

    def job_class(self, key: str, wish: Wish, *, is_patient: bool) -> JobClass:
        """A kind as planning sees it: where its jobs may go is looked at when it is asked.

        A patient kind is not given a pool whose free room is in pieces.
        """

        def ask() -> Where:
            kind, facts, choice = self.found_for(key)
            without = self.in_pieces(kind) if is_patient else set()
            ends_s = {fact.pool: fact.end_s(kind.wish) for fact in facts}
            good = [one for one in choice.verdicts if one.fits and one.pool not in without]
            good.sort(key=lambda one: (-(one.score or 0.0), one.pool))
            return (
                [self.numbers[one.pool] for one in good],
                [ends_s[one.pool] for one in good],
            )

        return JobClass(triple(wish.need), wish.wall_s, ask)

    @cached_property
    def numbers(self) -> Mapping[str, int]:
        """What each pool is called in planning."""
        return {str(pool.pool): number for number, pool in enumerate(self.seen)}

    def states(self) -> list[PoolState]:
        """The pools as planning sees them."""
        return [
            PoolState(
                triple(pool.free),
                [(left, triple(held)) for left, held in pool.running],
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

    def in_s(self, at: datetime | None) -> float | None:
        """In how many seconds an instant is."""
        return None if at is None else (at - self.at).total_seconds()

    def is_urgent(self, wall_s: int, deadline_at: datetime | None) -> bool:
        """Whether a job must start soon to end in time."""
        if deadline_at is None:
            return False
        return deadline_at - timedelta(seconds=wall_s) - self.at <= URGENT_SLACK


def keep_reservations(reserved: Mapping[str, str]) -> None:
    """Keep for which job each pool's next room is, for who asks why another waits."""
    if reserved != kept_reservations():
        cache.set(RESERVED, dict(reserved), RESERVED_S)


def kept_reservations() -> Mapping[str, str]:
    """For which job each pool's next room is, as of the last round."""
    found: Mapping[str, str] = cache.get(RESERVED, {})
    return found


def shares() -> dict[UUID, tuple[int, int, int]]:
    """What each organisation holds now, over all pools."""
    return {
        organisation: triple(held)
        for organisation, held in Reservation.objects.held_by_organisation().items()
    }


def triple(capacity: Capacity) -> tuple[int, int, int]:
    """A capacity as planning counts it."""
    return capacity.cpu_milli, capacity.memory_bytes, capacity.gpu_milli
