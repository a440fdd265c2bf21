"""The network as it is: every centre and pool with what is known of it, and how old that is."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from haihe.compute.domain import HOUR_MS, Capacity, JobState
from haihe.compute.domain.accelerators import card_hours
from haihe.compute.domain.telemetry import KEPT, Point, condense
from haihe.compute.models import (
    Agent,
    Centre,
    Job,
    MaintenanceWindow,
    Node,
    Offer,
    Pool,
    Reservation,
    Sample,
)
from haihe.compute.services.centres import find_pool, list_centres, offers_at
from haihe.compute.services.embedded import EMBEDDED
from haihe.compute.services.facts import silence_of
from haihe.kernel.clock import now
from haihe.policy.domain import Principal, Resource
from haihe.policy.services import authorize

FORMAT = "haihe.network/1"
FRESH_FOR = timedelta(minutes=5)
POINTS_LIMIT = 350
NOTHING = Capacity(0, 0, 0)
# Metrics that are shares of what a pool has, and how much it has; and those that are counted.
SHARES: Mapping[str, Callable[[Pool], int]] = {
    "cpu": lambda pool: pool.cpu_milli,
    "memory": lambda pool: pool.memory_bytes,
    "gpu": lambda pool: pool.gpu_milli,
}
COUNTS = ("pending", "running")


class PoolState(StrEnum):
    """Whether a pool takes jobs, and if not, why; the first that holds."""

    CLOSED = "closed"  # its operator takes no jobs
    SILENT = "silent"  # its agent is not heard of
    FAULT = "fault"  # its agent says that the scheduler does not answer
    MAINTENANCE = "maintenance"
    OPEN = "open"


class Watts(StrEnum):
    """Where a figure of power comes from."""

    MEASURED = "measured"
    MODELLED = "modelled"  # between what the operator says of the idle and the busy pool


@dataclass(frozen=True)
class PoolCondition:
    """One pool, now. Shares are 0 to 1; None is what is not known.

    ``age_s`` is how long ago its agent last reported; ``is_stale`` says that this is too long for
    the figures to be believed. ``waiting`` are jobs in Haihe's queue for it, ``pending`` those in
    the scheduler's own, and ``running`` what the scheduler runs, from whomever.
    """

    pool: Pool
    state: PoolState
    age_s: float | None
    is_stale: bool
    held: Capacity
    nodes: Mapping[str, int]
    used: Mapping[str, float]
    waiting: int
    offer: Offer | None
    watts: float | None
    watts_source: Watts | None
    maintenance: MaintenanceWindow | None

    @property
    def cards(self) -> float:
        """Accelerators, each counted as the part of one A100 that its peak is."""
        return float(card_hours(self.pool.gpu_milli * HOUR_MS, self.pool.card))


@dataclass(frozen=True)
class CentreCondition:
    """One centre, now; ``seen_s`` is how long ago its agent spoke, 0 if that is the platform."""

    centre: Centre
    agent: Agent | None
    seen_s: float | None
    pools: Sequence[PoolCondition]

    @property
    def is_embedded(self) -> bool:
        """Whether the platform's own process speaks for it."""
        return self.agent is not None and self.agent.public_key.startswith(EMBEDDED)


@dataclass(frozen=True)
class Network:
    """All centres at one instant, and how many jobs are in which state."""

    at: datetime
    centres: Sequence[CentreCondition]
    jobs: Mapping[str, int]


def look_at_network(principal: Principal, *, centre: str = "") -> Network:
    """Every centre, or one, with its pools; for everybody, as prices and capacity are public."""
    rows = list_centres(principal)
    centres = list(rows.filter(slug=centre) if centre else rows.order_by("slug"))
    at = now()
    pools = [pool for row in centres for pool in row.pools.all()]
    agents = {row.centre_id: row for row in Agent.objects.in_force().filter(centre__in=centres)}
    seen = {row.pk: _seen_s(agents.get(row.pk), at) for row in centres}
    look = _Look(pools, agents, at)
    return Network(
        at,
        [
            CentreCondition(
                row, agents.get(row.pk), seen[row.pk], [look.at_pool(p) for p in row.pools.all()]
            )
            for row in centres
        ],
        Job.objects.count_unfinished(),
    )


def network_as_dict(network: Network) -> dict[str, Any]:
    """The network as JSON for another system: amounts in base units, times in UTC, ages in s."""
    return {
        "format": FORMAT,
        "at": network.at.isoformat(),
        "jobs": dict(network.jobs),
        "centres": [
            {
                "slug": one.centre.slug,
                "name": one.centre.name,
                "name_en": one.centre.name_en,
                "operator": one.centre.operator.slug,
                "region": one.centre.region,
                "is_open": one.centre.is_open,
                "carbon_g_per_kwh": one.centre.carbon_g_per_kwh,
                "agent": {
                    "is_embedded": one.is_embedded,
                    "version": one.agent.version if one.agent else "",
                    "seen_s": one.seen_s,
                },
                "pools": [pool_as_dict(pool) for pool in one.pools],
            }
            for one in network.centres
        ],
    }


def pool_as_dict(one: PoolCondition) -> dict[str, Any]:
    """A pool as JSON."""
    pool, window = one.pool, one.maintenance
    return {
        "pool": str(pool),
        "backend": pool.backend,
        "version": pool.version,
        "state": one.state,
        "fault": pool.fault,
        "age_s": one.age_s,
        "is_stale": one.is_stale,
        "capacity": asdict(pool.capacity),
        "held": asdict(one.held),
        "gpu_model": pool.gpu_model,
        "normalised_cards": round(one.cards, 3),
        "software": list(pool.software),
        "nodes": dict(one.nodes),
        "used": {name: round(share, 4) for name, share in one.used.items()},
        "waiting": one.waiting,
        "pending": pool.pending,
        "running": pool.running,
        "offer": None if one.offer is None else asdict(one.offer.price),
        "watts": None if one.watts is None else round(one.watts, 1),
        "watts_source": one.watts_source,
        "maintenance": None
        if window is None
        else {
            "begins_at": window.begins_at.isoformat(),
            "ends_at": window.ends_at.isoformat(),
            "reason": window.reason,
        },
    }


def pool_history(
    principal: Principal, pool_path: str, *, last: timedelta = timedelta(days=7)
) -> dict[str, list[Point]]:
    """What was measured of a pool, by metric, in at most :data:`POINTS_LIMIT` equal spans."""
    pool = find_pool(principal, pool_path)
    found: dict[str, list[Point]] = defaultdict(list)
    for sample in Sample.objects.since([pool], now() - last):
        found[sample.metric].append(sample.point)
    spans = [span_s for span_s, _ in KEPT if last.total_seconds() / span_s <= POINTS_LIMIT]
    span_s = min(spans, default=KEPT[-1][0])
    return {metric: condense(points, span_s) for metric, points in sorted(found.items())}


def network_history(
    principal: Principal, pools: Iterable[Pool], *, last: timedelta = timedelta(days=7)
) -> dict[str, list[tuple[datetime, float]]]:
    """What was measured of many pools together, by metric and hour; for everybody.

    A share is the mean of the pools' own, each weighted by what it has; counts are added up.
    """
    authorize(principal, "centre.read", Resource("Centre"))
    by_pool = {pool.pk: pool for pool in pools}
    metrics = (*SHARES, *COUNTS)
    rows = Sample.objects.since(by_pool.values(), now() - last).filter(metric__in=metrics)
    parts: dict[str, dict[datetime, list[tuple[float, int]]]] = {name: {} for name in metrics}
    for pool_id, metric, at, mean in rows.hourly():
        weight = SHARES[metric](by_pool[pool_id]) if metric in SHARES else 1
        parts[metric].setdefault(at, []).append((mean, weight))
    return {name: _together(name, inside) for name, inside in parts.items()}


def nodes_of(principal: Principal, pool_path: str) -> QuerySet[Node]:
    """A pool's nodes as its agent last reported them, those out of service first."""
    # Down, draining, up: the words stand in the order that is wanted.
    return find_pool(principal, pool_path).nodes.order_by("condition", "name")


def pool_gauges(metric: str) -> dict[str, float]:
    """One figure of every pool that is heard of, by pool, for Prometheus."""
    at = now()
    agents = {agent.centre_id: agent for agent in Agent.objects.in_force()}
    pools = list(Pool.objects.select_related("centre"))
    look = _Look(pools, agents, at)
    found = {}
    for one in map(look.at_pool, pools):
        value = {**one.used, "waiting": one.waiting, "watts": one.watts}.get(metric)
        if value is not None and not one.is_stale:
            found[str(one.pool)] = float(value)
    return found


class _Look:
    """What is read for all pools at once."""

    def __init__(self, pools: Sequence[Pool], agents: Mapping[UUID, Agent], at: datetime) -> None:
        self.at, self.agents = at, agents
        self.held = Reservation.objects.held_by_pool(pools)
        self.offers = offers_at(pools, at)
        self.nodes: dict[UUID, list[Node]] = defaultdict(list)
        for node in Node.objects.filter(pool__in=pools):
            self.nodes[node.pool_id].append(node)
        windows = MaintenanceWindow.objects.filter(
            pool__in=pools, withdrawn_at=None, ends_at__gt=at
        )
        self.windows = {row.pool_id: row for row in windows.order_by("-begins_at")}
        self.watts = {
            sample.pool_id: sample.mean
            for sample in Sample.objects.since(pools, at - FRESH_FOR).filter(metric="watts")
        }
        waiting = Job.objects.filter(state=JobState.QUEUED, pool__in=pools)
        self.waiting = Counter(waiting.values_list("pool_id", flat=True))

    def at_pool(self, pool: Pool) -> PoolCondition:
        age_s = None
        if pool.reported_at is not None:
            age_s = round(max(0.0, (self.at - pool.reported_at).total_seconds()), 1)
        held, nodes = self.held.get(pool.pk, NOTHING), self.nodes.get(pool.pk, [])
        used = _used(pool, held, nodes)
        watts, source = self._watts(pool, used)
        window = self.windows.get(pool.pk)
        return PoolCondition(
            pool=pool,
            state=self._state(pool, window),
            age_s=age_s,
            is_stale=age_s is None or age_s > FRESH_FOR.total_seconds(),
            held=held,
            nodes=Counter(node.condition for node in nodes),
            used=used,
            waiting=self.waiting.get(pool.pk, 0),
            offer=self.offers.get(pool.pk),
            watts=watts,
            watts_source=source,
            maintenance=window,
        )

    def _state(self, pool: Pool, window: MaintenanceWindow | None) -> PoolState:
        if not (pool.is_open and pool.centre.is_open):
            return PoolState.CLOSED
        if silence_of(pool, self.agents.get(pool.centre_id), self.at) is None:
            return PoolState.SILENT
        if pool.fault:
            return PoolState.FAULT
        if window is not None and window.begins_at <= self.at:
            return PoolState.MAINTENANCE
        return PoolState.OPEN

    def _watts(self, pool: Pool, used: Mapping[str, float]) -> tuple[float | None, Watts | None]:
        measured = self.watts.get(pool.pk)
        if measured is not None:
            return measured, Watts.MEASURED
        if pool.watts_busy is None:
            return None, None
        idle = pool.watts_idle or 0
        return idle + max(used.values(), default=0.0) * (pool.watts_busy - idle), Watts.MODELLED


def _used(pool: Pool, held: Capacity, nodes: Sequence[Node]) -> dict[str, float]:
    """The used share of each resource: as the nodes report, or else what Haihe's jobs hold."""
    rows = {
        "cpu": (
            sum(n.cpu_milli for n in nodes), sum(n.used_cpu_milli for n in nodes),
            pool.cpu_milli, held.cpu_milli,
        ),
        "memory": (
            sum(n.memory_bytes for n in nodes), sum(n.used_memory_bytes for n in nodes),
            pool.memory_bytes, held.memory_bytes,
        ),
        "gpu": (
            sum(n.gpus for n in nodes) * 1_000, sum(n.used_gpu_milli for n in nodes),
            pool.gpu_milli, held.gpu_milli,
        ),
    }  # fmt: skip
    found = {}
    for name, (there, used, whole, held_of_it) in rows.items():
        part, of = (used, there) if there else (held_of_it, whole)
        if of and whole:
            found[name] = min(1.0, part / of)
    return found


def _together(
    metric: str, parts: Mapping[datetime, Sequence[tuple[float, int]]]
) -> list[tuple[datetime, float]]:
    """One value for each span: the mean of shares by weight, the sum of counts."""
    found = []
    for at, inside in sorted(parts.items()):
        total, weight = sum(v * w for v, w in inside), sum(w for _, w in inside)
        if metric in COUNTS:
            found.append((at, total))
        elif weight:
            found.append((at, total / weight))
    return found


def _seen_s(agent: Agent | None, at: datetime) -> float | None:
    if agent is None:
        return None
    if agent.public_key.startswith(EMBEDDED):
        return 0.0
    return None if agent.seen_at is None else round((at - agent.seen_at).total_seconds(), 1)
