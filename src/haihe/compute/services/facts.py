"""What is known of every pool for one job: the facts that the choice of a centre is made from.

As many queries for twenty pools as for one. What differs from job to job (price, funds, agreements)
and what differs from moment to moment (room, silence, maintenance) are gathered apart, since a
waiting job keeps the first and is looked at again with the second.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Count, Q

from haihe.compute.domain import (
    NOT_THE_JOBS_FAULT,
    AttemptState,
    Capacity,
    JobSpec,
    need_of,
)
from haihe.compute.domain.choice import PoolFacts, Wish
from haihe.compute.models import Agent, Attempt, MaintenanceWindow, Node, Pool, Reservation
from haihe.compute.services.embedded import EMBEDDED

SILENT_AFTER = timedelta(minutes=2)
STALE_AFTER = timedelta(minutes=5)
RELIABILITY_DAYS = 30
PRIOR_GOOD, PRIOR_ALL = 19, 20  # a pool of which nothing is known counts as 95 % reliable
NOTHING = Capacity(0, 0, 0)


@dataclass(frozen=True)
class PoolNow:
    """What is known of a pool at one moment, whatever the job.

    ``free`` is what neither our jobs hold nor, where a scheduler serves others too, those use.
    ``strangers_pending`` are the jobs of others in its queue.
    """

    pool: Pool
    free: Capacity
    nodes: Sequence[Capacity]
    silent_s: float | None
    maintenance_at: datetime | None
    reliability: float
    running: Sequence[tuple[float, Capacity]]
    strangers_pending: int = 0


def wish_of(spec: JobSpec, at: datetime) -> Wish:
    """What of a spec matters to where it goes."""
    deadline = spec.deadline_at
    return Wish(
        objective=spec.objective,
        cpu_milli=spec.cpu_milli,
        memory_bytes=spec.memory_bytes,
        gpu_milli=spec.gpu_milli,
        nodes=spec.nodes,
        wall_s=spec.wall_s,
        accelerator=spec.accelerator,
        software=tuple(spec.software),
        centres=tuple(spec.centres),
        deadline_in_s=(deadline - at).total_seconds() if deadline else None,
    )


def look_at_pools(pools: Iterable[Pool], at: datetime) -> list[PoolNow]:
    """All pools as they are at this moment."""
    shown = list(pools)
    held = Reservation.objects.held_by_pool(shown)
    nodes, unused = _nodes(shown)
    ours = _ours(shown)
    windows = _next_windows(shown, at)
    silence = _silence(shown, at)
    reliability = _reliability(shown, at)
    running = _running(shown, at)
    return [
        PoolNow(
            pool=pool,
            free=_free(
                pool,
                held.get(pool.pk, NOTHING),
                unused.get(pool.pk) if is_shared(pool, at) else None,
                ours.get(pool.pk, _Ours()),
            ),
            nodes=nodes.get(pool.pk) or [pool.capacity],
            silent_s=silence.get(pool.pk),
            maintenance_at=windows.get(pool.pk),
            reliability=reliability.get(pool.pk, PRIOR_GOOD / PRIOR_ALL),
            running=running.get(pool.pk, []),
            strangers_pending=max(0, pool.pending - ours.get(pool.pk, _Ours()).pending)
            if is_shared(pool, at)
            else 0,
        )
        for pool in shown
    ]


def silence_of(pool: Pool, agent: Agent | None, at: datetime) -> float | None:
    """For how long the agent of a pool has been silent; None if it is not heard of, or not on it.

    Of a pool at fault it speaks by naming the fault.
    """
    if agent is None or agent.public_key.startswith(EMBEDDED):
        return None if agent is None else 0.0
    told = [agent.seen_at] if pool.fault else [agent.seen_at, pool.reported_at]
    if any(moment is None or at - moment > SILENT_AFTER for moment in told):
        return None
    return None if agent.seen_at is None else round((at - agent.seen_at).total_seconds(), 1)


def present_facts(facts: PoolFacts, seen: PoolNow, wish: Wish, at: datetime) -> PoolFacts:
    """The facts of a pool with what has changed since they were gathered."""
    pool = seen.pool
    starts_s = expected_start_s(seen, wish.need, wish.wall_s)
    until = seen.maintenance_at
    return replace(
        facts,
        is_open=pool.is_open and pool.centre.is_open,
        silent_s=seen.silent_s,
        fault=pool.fault,
        whole=pool.capacity,
        free=seen.free,
        largest=_largest(seen.nodes, wish.each),
        fitting_nodes=sum(not node.shortfall(wish.each) for node in seen.nodes),
        maintenance_in_s=None if until is None else max(0.0, (until - at).total_seconds()),
        start_s=starts_s,
        start_p90_s=starts_s,
        reliability=round(seen.reliability, 4),
    )


def without_hold(seen: PoolNow, held: Reservation, at: datetime) -> PoolNow:
    """A pool as it would be without what one job holds of it."""
    own = Capacity(held.cpu_milli, held.memory_bytes, held.gpu_milli)
    if held.placed_at is None or held.released_at is not None:
        return seen
    running = list(seen.running)
    running.remove((_left_s(held.placed_at, held.wall_s, at), own))
    return replace(seen, free=seen.free.plus(own), running=running)


def expected_start_s(seen: PoolNow, need: Capacity, wall_s: int) -> float:
    """When a job could start if what runs takes all the time it asked for: an upper estimate."""
    free = seen.free
    if not free.shortfall(need):
        return 0.0
    for remaining_s, held in sorted(seen.running, key=lambda pair: pair[0]):
        free = free.plus(held)
        if not free.shortfall(need):
            return round(remaining_s, 1)
    return strangers_wait_s(seen, need, wall_s)


def strangers_wait_s(seen: PoolNow, need: Capacity, wall_s: int) -> float:
    """How long a job may wait for jobs of others, whose limits nobody tells us; 0, if for none.

    Theirs are taken to be as long as the job itself, and to leave one after another: as many as
    run leave in that time, and those in the scheduler's queue come first.
    """
    free = seen.free
    for _, held in seen.running:
        free = free.plus(held)
    if not free.shortfall(need):
        return 0.0
    return round(wall_s * (seen.strangers_pending + 1) / max(1, seen.pool.running), 1)


def is_shared(pool: Pool, at: datetime) -> bool:
    """Whether others use the pool too, and their use was reported lately."""
    if pool.is_packed_here or pool.reported_at is None:
        return False
    return at - pool.reported_at <= STALE_AFTER


def energy_wh(spec: JobSpec, pool: Pool) -> float | None:
    """What a job may draw at most: its cards at board power, and its share of the pool's rest."""
    hours = spec.wall_s / 3_600
    need = need_of(spec)
    cards = pool.card.watts * need.gpu_milli / 1_000
    if pool.watts_busy is None:
        return round(hours * cards, 3) if cards else None
    share = max(
        need.cpu_milli / pool.cpu_milli,
        need.memory_bytes / pool.memory_bytes,
        need.gpu_milli / pool.gpu_milli if pool.gpu_milli else 0.0,
    )
    return round(hours * share * pool.watts_busy, 3)


def carbon_g(energy: float | None, pool: Pool) -> float | None:
    """The carbon of an amount of energy at the pool's centre."""
    intensity = pool.centre.carbon_g_per_kwh
    return None if energy is None or intensity is None else round(energy / 1_000 * intensity, 3)


# --- queries -------------------------------------------------------------------------------------


def _nodes(pools: Sequence[Pool]) -> tuple[dict[UUID, list[Capacity]], dict[UUID, Capacity]]:
    """The nodes of each pool that are up, and what is unused on them together."""
    nodes: dict[UUID, list[Capacity]] = defaultdict(list)
    unused: dict[UUID, Capacity] = defaultdict(lambda: NOTHING)
    for node in Node.objects.filter(pool__in=pools):
        unused[node.pool_id] = unused[node.pool_id]  # nothing, where none of them is up
        if node.condition != Node.Condition.UP:
            continue
        whole = Capacity(node.cpu_milli, node.memory_bytes, node.gpus * 1_000)
        used = Capacity(node.used_cpu_milli, node.used_memory_bytes, node.used_gpu_milli)
        nodes[node.pool_id].append(whole)
        unused[node.pool_id] = unused[node.pool_id].plus(whole.minus(used))
    return nodes, unused


@dataclass
class _Ours:
    """Our jobs in a pool that do not use its nodes yet: how many, and what they hold."""

    pending: int = 0
    held: Capacity = NOTHING


def _ours(pools: Sequence[Pool]) -> dict[UUID, _Ours]:
    found: dict[UUID, _Ours] = {}
    rows = Attempt.objects.filter(pool__in=pools, state=AttemptState.STARTING).values_list(
        "pool",
        "claimed_at",
        "job__reservation__cpu_milli",
        "job__reservation__memory_bytes",
        "job__reservation__gpu_milli",
    )
    for pool, claimed_at, cpu, memory, gpu in rows:
        ours = found.setdefault(pool, _Ours())
        ours.pending += claimed_at is not None
        ours.held = ours.held.plus(Capacity(cpu, memory, gpu))
    return found


def _free(pool: Pool, held: Capacity, unused: Capacity | None, ours: _Ours) -> Capacity:
    """What is left of a pool: beside what we hold, and beside what is used on its nodes."""
    free = pool.capacity.minus(held)
    if unused is None:
        return free
    left = unused.minus(ours.held)
    return Capacity(
        min(free.cpu_milli, left.cpu_milli),
        min(free.memory_bytes, left.memory_bytes),
        min(free.gpu_milli, left.gpu_milli),
    )


def _next_windows(pools: Sequence[Pool], at: datetime) -> dict[UUID, datetime]:
    """When each pool's present or next maintenance begins."""
    windows = MaintenanceWindow.objects.filter(
        pool__in=pools, withdrawn_at=None, ends_at__gt=at
    ).order_by("-begins_at")
    return {window.pool_id: window.begins_at for window in windows}


def _silence(pools: Sequence[Pool], at: datetime) -> Mapping[UUID, float | None]:
    """For how long each pool's agent has been silent on it; None where it is not heard of.

    The platform's own process counts as present: what it has not yet looked at, it will. An agent
    that speaks, but not of a pool, does not serve it.
    """
    agents = Agent.objects.in_force().filter(centre__in={pool.centre_id for pool in pools})
    speakers = {agent.centre_id: agent for agent in agents}
    return {pool.pk: silence_of(pool, speakers.get(pool.centre_id), at) for pool in pools}


def _reliability(pools: Sequence[Pool], at: datetime) -> dict[UUID, float]:
    """The share of a month's attempts that did not fail by the centre's fault, smoothed."""
    counts = (
        Attempt.objects.filter(
            pool__in=pools, finished_at__gt=at - timedelta(days=RELIABILITY_DAYS)
        )
        .exclude(state=AttemptState.WITHDRAWN)
        .values_list("pool")
        .annotate(
            ended=Count("pk"),
            failed=Count("pk", filter=Q(end_reason__in=NOT_THE_JOBS_FAULT)),
        )
    )
    return {
        pool: (ended - failed + PRIOR_GOOD) / (ended + PRIOR_ALL) for pool, ended, failed in counts
    }


def _running(pools: Sequence[Pool], at: datetime) -> dict[UUID, list[tuple[float, Capacity]]]:
    """What each pool's started jobs hold, and for how long they may still hold it."""
    found: dict[UUID, list[tuple[float, Capacity]]] = defaultdict(list)
    started = Reservation.objects.filter(
        pool__in=pools, placed_at__isnull=False, released_at=None
    ).values_list("pool", "placed_at", "wall_s", "cpu_milli", "memory_bytes", "gpu_milli")
    for pool, placed_at, wall_s, cpu, memory, gpu in started:
        assert placed_at is not None
        found[pool].append((_left_s(placed_at, wall_s, at), Capacity(cpu, memory, gpu)))
    return found


def _left_s(placed_at: datetime, wall_s: int, at: datetime) -> float:
    return max(1.0, wall_s - (at - placed_at).total_seconds())


def _largest(nodes: Sequence[Capacity], each: Capacity) -> Capacity:
    """The node that fits a part of a job best, or lacks least for it; NOTHING without nodes."""
    return min(
        nodes,
        key=lambda n: (n.lack(each), -n.gpu_milli, -n.memory_bytes, -n.cpu_milli),
        default=NOTHING,
    )
