"""Planning a whole queue at once: who starts now, and where.

The order is urgency (a deadline that leaves no slack), then the organisation whose dominant share
of the network is least (Ghodsi et al., "Dominant Resource Fairness", NSDI 2011), then, within that
organisation alone, priority, then age. A job takes the best pool that has room for it and where it
would end by its deadline. The first job that finds no room anywhere gets a reservation at its best
pool (EASY back-fill, Lifka, JSSPP 1995): later jobs may still start there if they end before it can
start, or take only what it will leave.

Jobs that ask for the same are one class. Room only shrinks within a round, so a class that found
none is looked at no more, and where a class may go is asked only if some pool could take it or a
start may still be kept for it. So the cost of a round follows what is placed, not how many jobs
wait nor how many kinds of them.
"""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from uuid import UUID

Resources = tuple[int, int, int]  # milli-CPUs, bytes, milli-GPUs
RESERVING_LIMIT = 100  # so many kinds that find no room, the first in line, may have a start kept


Where = tuple[Sequence[int], Sequence[float]]


@dataclass(frozen=True)
class JobClass:
    """What jobs of one kind need, and where they may go.

    ``ask`` gives the pools, the best first, and for each of them in how long a job would have ended
    there at the latest. It may be costly, and is called once at most, if at all.
    """

    need: Resources
    wall_s: int
    ask: Callable[[], Where]

    @cached_property
    def where(self) -> Where:
        """The pools, and when a job would have ended there."""
        return self.ask()

    @property
    def pools(self) -> Sequence[int]:
        """The pools, the best first."""
        return self.where[0]

    def in_time(self, deadline_s: float | None) -> Sequence[int]:
        """The pools where a job would end by a deadline, the best first."""
        pools, ends_s = self.where
        if deadline_s is None:
            return pools
        return [p for p, end_s in zip(pools, ends_s, strict=True) if end_s <= deadline_s]


@dataclass(frozen=True)
class Waiting:
    """One waiting job. ``job`` is any key of the caller's; smaller ``age_rank`` is older.

    ``deadline_s`` is in how long it must have ended.
    """

    job: UUID
    organisation: UUID
    kind: int
    priority: int = 0
    is_urgent: bool = False
    age_rank: int = 0
    deadline_s: float | None = None


@dataclass
class PoolState:
    """A pool at the beginning of a round.

    ``running`` are remaining seconds and resources of what runs there. ``waiting_room`` is how
    many jobs may be sent beyond what fits, to wait in the scheduler's own queue.
    """

    free: Resources
    running: Sequence[tuple[float, Resources]] = ()
    waiting_room: int = 0


@dataclass(frozen=True)
class Placement:
    """A job that starts now. ``roomy`` are the pools of its class that could have taken it."""

    job: UUID
    pool: int
    roomy: Sequence[int]


@dataclass
class Plan:
    """What a round decided: placements in order, and the jobs that hold a reservation, by pool."""

    placements: list[Placement] = field(default_factory=list)
    reserved: dict[int, UUID] = field(default_factory=dict)
    blocked_kinds: set[int] = field(default_factory=set)


@dataclass
class _Room:
    """What is left of a pool in this round, and what a reservation keeps of it."""

    free: Resources
    running: Sequence[tuple[float, Resources]]
    waiting_room: int
    shadow_s: float | None = None
    spare: Resources = (0, 0, 0)
    placed: list[tuple[float, Resources]] = field(default_factory=list)

    def takes(self, need: Resources, wall_s: int) -> bool:
        """Whether a job can start without delaying the reservation."""
        if not _fits(need, self.free):
            return self.waiting_room > 0
        return self.shadow_s is None or wall_s <= self.shadow_s or _fits(need, self.spare)

    def take(self, need: Resources, wall_s: int) -> None:
        """Start a job."""
        if not _fits(need, self.free):
            self.waiting_room -= 1
            return
        self.free = _minus(self.free, need)
        self.placed.append((float(wall_s), need))
        if self.shadow_s is not None and wall_s > self.shadow_s:
            self.spare = _minus(self.spare, need)

    def reserve(self, need: Resources) -> bool:
        """Keep the earliest start that ``need`` can have here; False if it never fits."""
        free = self.free
        for remaining_s, held in sorted([*self.running, *self.placed]):
            free = _plus(free, held)
            if _fits(need, free):
                self.shadow_s, self.spare = remaining_s, _minus(free, need)
                return True
        return False


def plan(
    waiting: Iterable[Waiting],
    kinds: Sequence[JobClass],
    pools: Sequence[PoolState],
    *,
    shares: Mapping[UUID, Resources],
    whole: Resources,
) -> Plan:
    """Decide one round.

    Parameters
    ----------
    waiting : jobs in any order.
    kinds : what ``Waiting.kind`` counts into.
    pools : what ``JobClass.pools`` counts into.
    shares : what each organisation holds now, over all pools.
    whole : what the network has, over all pools.

    Returns
    -------
    Plan
        With jobs placed in an order in which all of them fit.
    """
    rooms = [_Room(pool.free, pool.running, pool.waiting_room) for pool in pools]
    held: dict[UUID, Resources] = defaultdict(lambda: (0, 0, 0), shares)
    lines = _lines(waiting)
    ranks = _ranks(lines)
    heap = [_key(line, queue[0], held, whole, ranks) for line, queue in lines.items()]
    heapq.heapify(heap)
    decided, reserving = Plan(), RESERVING_LIMIT
    while heap:
        key = heapq.heappop(heap)
        line = key[-1]
        queue = lines[line]
        fresh = _key(line, queue[0], held, whole, ranks)
        if fresh[:-1] > key[:-1]:  # its organisation was given something meanwhile
            heapq.heappush(heap, fresh)
            continue
        organisation, kind, *_ = line
        if kind in decided.blocked_kinds:
            continue
        asked = kinds[kind]
        taking = {p for p, room in enumerate(rooms) if room.takes(asked.need, asked.wall_s)}
        if not taking and reserving <= 0:
            decided.blocked_kinds.add(kind)
            continue
        usable = asked.in_time(queue[0].deadline_s)
        roomy = [p for p in usable if p in taking]
        if not roomy:
            if len(usable) == len(asked.pools):
                decided.blocked_kinds.add(kind)
            if reserving > 0:
                _reserve(decided, rooms, asked.need, usable, queue[0].job)
            reserving -= 1
            continue
        rooms[roomy[0]].take(asked.need, asked.wall_s)
        held[organisation] = _plus(held[organisation], asked.need)
        decided.placements.append(Placement(queue.popleft().job, roomy[0], roomy))
        if queue:
            heapq.heappush(heap, _key(line, queue[0], held, whole, ranks))
    return decided


def in_order(
    waiting: Iterable[Waiting], *, shares: Mapping[UUID, Resources], whole: Resources
) -> list[UUID]:
    """The jobs as a round begins to look at them, by what organisations hold before it.

    What a round gives to one organisation then brings the others forward.
    """
    lines = _lines(waiting)
    ranks = _ranks(lines)
    held = {line[0]: shares.get(line[0], (0, 0, 0)) for line in lines}
    keyed = [
        (_key(line, job, held, whole, ranks), job.job)
        for line, queue in lines.items()
        for job in queue
    ]
    keyed.sort(key=lambda pair: pair[0][:-1])
    return [job for _, job in keyed]


_Line = tuple[UUID, int, int, bool, float | None]
_Key = tuple[bool, float, int, int, int, int, _Line]
_Ranks = tuple[Mapping[tuple[UUID, bool], int], Mapping[_Line, int]]


def _lines(waiting: Iterable[Waiting]) -> dict[_Line, deque[Waiting]]:
    """The jobs that differ in age alone, the oldest first."""
    lines: dict[_Line, deque[Waiting]] = defaultdict(deque)
    for job in sorted(waiting, key=lambda job: job.age_rank):
        line = job.organisation, job.kind, job.priority, job.is_urgent, job.deadline_s
        lines[line].append(job)
    return lines


def _ranks(lines: Mapping[_Line, deque[Waiting]]) -> _Ranks:
    """What orders organisations of the same share (their oldest job), and lines alike in all."""
    oldest: dict[tuple[UUID, bool], int] = {}
    for (organisation, _, _, is_urgent, _), queue in lines.items():
        rank = queue[0].age_rank
        oldest[organisation, is_urgent] = min(oldest.get((organisation, is_urgent), rank), rank)
    return oldest, {line: number for number, line in enumerate(lines)}


def _key(
    line: _Line,
    head: Waiting,
    held: Mapping[UUID, Resources],
    whole: Resources,
    ranks: _Ranks,
) -> _Key:
    oldest, numbers = ranks
    share = dominant_share(held[line[0]], whole)
    first = oldest[line[0], head.is_urgent]
    return (
        not head.is_urgent, share, first, -head.priority, head.age_rank, numbers[line], line
    )  # fmt: skip


def dominant_share(held: Resources, whole: Resources) -> float:
    """The largest share that an organisation has of any one resource of the network."""
    return max((h / w for h, w in zip(held, whole, strict=True) if w), default=0.0)


def _reserve(
    decided: Plan, rooms: Sequence[_Room], need: Resources, pools: Sequence[int], job: UUID
) -> None:
    """Keep a start for a blocked job at the best pool where none is kept yet."""
    for pool in pools:
        if pool in decided.reserved:
            return
        if rooms[pool].reserve(need):
            decided.reserved[pool] = job
            return


def _fits(need: Resources, free: Resources) -> bool:
    return need[0] <= free[0] and need[1] <= free[1] and need[2] <= free[2]


def _minus(left: Resources, right: Resources) -> Resources:
    return left[0] - right[0], left[1] - right[1], left[2] - right[2]


def _plus(left: Resources, right: Resources) -> Resources:
    return left[0] + right[0], left[1] + right[1], left[2] + right[2]
