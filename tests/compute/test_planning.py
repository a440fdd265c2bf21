"""Planning a queue: capacity is kept, reservations hold, and the order is as promised."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from haihe.compute.domain.planning import (
    RESERVING_LIMIT,
    JobClass,
    Plan,
    PoolState,
    Resources,
    Waiting,
    dominant_share,
    plan,
)

A, B, C = UUID(int=1), UUID(int=2), UUID(int=3)
WHOLE = (100, 100, 100)


def job(number: int, organisation: UUID = A, kind: int = 0, **fields: Any) -> Waiting:
    """A waiting job; smaller numbers are older."""
    return Waiting(UUID(int=100 + number), organisation, kind, age_rank=number, **fields)


def kind_of(
    need: Resources, wall_s: int, pools: Sequence[int], ends_s: Sequence[float]
) -> JobClass:
    return JobClass(need, wall_s, lambda: (pools, ends_s))


def cpus(count: int, wall_s: int = 100, pools: tuple[int, ...] = (0,)) -> JobClass:
    return kind_of((count, 0, 0), wall_s, pools, [float(wall_s)] * len(pools))


def started(decided: Plan) -> list[int]:
    return [placement.job.int - 100 for placement in decided.placements]


def decide(
    waiting: list[Waiting],
    kinds: list[JobClass],
    *pools: PoolState,
    shares: dict[UUID, Resources] | None = None,
) -> Plan:
    return plan(waiting, kinds, pools, shares=shares or {}, whole=WHOLE)


def some_queue(rng: random.Random) -> tuple[list[Waiting], list[JobClass], list[PoolState]]:
    """Any queue of a few jobs, kinds, organisations and pools."""

    def amounts() -> Resources:
        return rng.randint(0, 8), rng.randint(0, 8), rng.randint(0, 4)

    pools = [
        PoolState(
            amounts(),
            [(rng.uniform(1, 1_000), amounts()) for _ in range(rng.randint(0, 4))],
            rng.randint(0, 2),
        )
        for _ in range(rng.randint(1, 3))
    ]
    kinds = []
    for _ in range(rng.randint(1, 4)):
        where = rng.sample(range(len(pools)), rng.randint(1, len(pools)))
        wall_s = rng.randint(1, 1_000)
        ends_s = [wall_s + rng.choice([0.0, 500.0]) for _ in where]
        kinds.append(kind_of(amounts(), wall_s, where, ends_s))
    waiting = [
        Waiting(
            UUID(int=number),
            rng.choice([A, B, C]),
            rng.randrange(len(kinds)),
            rng.randint(-2, 2),
            rng.random() < 0.2,
            number,
            rng.choice([None, None, rng.uniform(0, 2_000)]),
        )
        for number in range(rng.randint(0, 12))
    ]
    return waiting, kinds, pools


@given(st.integers(0, 2**40))
@settings(max_examples=300)
def test_no_pool_is_given_more_than_it_has_and_no_job_is_late(seed: int) -> None:
    waiting, kinds, pools = some_queue(random.Random(seed))
    decided = decide(waiting, kinds, *pools)
    jobs = {one.job: one for one in waiting}
    assert len({placement.job for placement in decided.placements}) == len(decided.placements)
    free = [pool.free for pool in pools]
    sent_to_wait: Counter[int] = Counter()
    for placement in decided.placements:
        asked, there = kinds[jobs[placement.job].kind], free[placement.pool]
        assert placement.pool == placement.roomy[0]
        if all(n <= f for n, f in zip(asked.need, there, strict=True)):
            cpu, memory, gpu = (f - n for n, f in zip(asked.need, there, strict=True))
            free[placement.pool] = cpu, memory, gpu
        else:
            sent_to_wait[placement.pool] += 1
        due = jobs[placement.job].deadline_s
        assert due is None or placement.pool in asked.in_time(due)
    assert all(count <= pools[number].waiting_room for number, count in sent_to_wait.items())


@given(
    st.lists(st.tuples(st.integers(1, 500), st.integers(1, 8)), min_size=1, max_size=4),
    st.integers(0, 8),
    st.integers(1, 20),
    st.lists(st.tuples(st.integers(1, 700), st.integers(1, 8)), max_size=12),
)
@settings(max_examples=300)
def test_what_fills_in_does_not_delay_a_reserved_start(
    running: list[tuple[int, int]], free: int, wanted: int, others: list[tuple[int, int]]
) -> None:
    """The first in line starts as early as if nothing behind it had started at all."""
    pool = PoolState((free, 0, 0), [(float(end), (held, 0, 0)) for end, held in running])
    kinds = [cpus(wanted, 1_000), *(cpus(count, wall_s) for wall_s, count in others)]
    first = job(0, is_urgent=True)
    behind = [job(number, kind=number) for number in range(1, len(kinds))]
    decided = decide([first, *behind], kinds, pool)
    alone = _earliest(free, running, wanted)
    assert (decided.reserved == {0: first.job}) == (wanted > free and alone is not None)
    if decided.reserved.get(0) == first.job:
        filled = [(kinds[number].wall_s, kinds[number].need[0]) for number in started(decided)]
        left = free - sum(held for _, held in filled)
        assert _earliest(left, [*running, *filled], wanted) == alone


def _earliest(free: int, ends: list[tuple[int, int]], wanted: int) -> int | None:
    """When so many are free, if what runs takes all its time."""
    for end in sorted({end for end, _ in ends}):
        if wanted <= free + sum(held for other, held in ends if other <= end):
            return end
    return None


def test_a_short_job_fills_in_and_a_long_one_does_not() -> None:
    kinds = [cpus(10, 1_000), cpus(4, 50), cpus(4, 500)]
    pool = PoolState((4, 0, 0), [(100.0, (6, 0, 0))])
    waiting = [job(0, kind=0), job(1, kind=2), job(2, kind=1)]
    decided = decide(waiting, kinds, pool)
    assert started(decided) == [2], "the long one would delay the job that needs the whole pool"
    assert decided.reserved == {0: waiting[0].job}


def test_a_long_job_fills_in_if_it_takes_only_what_will_be_left() -> None:
    kinds = [cpus(8, 1_000), cpus(2, 10_000)]
    decided = decide(
        [job(0, kind=0), job(1, kind=1), job(2, kind=1)],
        kinds,
        PoolState((4, 0, 0), [(100.0, (6, 0, 0))]),
    )
    assert started(decided) == [1], "two are left beside the eight, and no more"


def test_a_pool_keeps_one_start_only() -> None:
    kinds = [cpus(10), cpus(9)]
    pool = PoolState((1, 0, 0), [(100.0, (9, 0, 0))])
    waiting = [job(0, kind=0), job(1, kind=1)]
    assert decide(waiting, kinds, pool).reserved == {0: waiting[0].job}


def test_the_organisation_that_holds_least_is_served_first() -> None:
    decided = decide(
        [job(0, A), job(1, B)], [cpus(5)], PoolState((5, 0, 0)), shares={A: (50, 0, 0)}
    )
    assert started(decided) == [1]


def test_the_share_is_that_of_the_resource_held_most_of() -> None:
    assert dominant_share((10, 0, 40), WHOLE) == 0.4
    assert dominant_share((10, 0, 40), (100, 100, 0)) == 0.1, "of nothing nobody holds a share"
    decided = decide(
        [job(0, A), job(1, B)],
        [cpus(5)],
        PoolState((5, 0, 0)),
        shares={A: (0, 0, 40), B: (30, 30, 0)},
    )
    assert started(decided) == [1]


def test_what_is_given_in_a_round_counts_in_it() -> None:
    waiting = [job(0, A), job(1, A), job(2, B), job(3, B)]
    assert started(decide(waiting, [cpus(5)], PoolState((20, 0, 0)))) == [0, 2, 1, 3]


def test_priority_orders_within_an_organisation() -> None:
    waiting = [job(0, A, priority=-5), job(1, A), job(2, A, priority=100)]
    assert started(decide(waiting, [cpus(5)], PoolState((15, 0, 0)))) == [2, 1, 0]


def test_no_priority_overtakes_another_organisation() -> None:
    waiting = [job(0, A), job(1, B, priority=100)]
    for shares in ({}, {B: (10, 0, 0)}):
        assert started(decide(waiting, [cpus(5)], PoolState((5, 0, 0)), shares=shares)) == [0]


def test_a_job_whose_deadline_leaves_no_slack_comes_first() -> None:
    waiting = [job(0), job(1, is_urgent=True)]
    assert started(decide(waiting, [cpus(5)], PoolState((5, 0, 0)))) == [1]


def test_a_job_goes_where_it_ends_in_time_or_does_not_start() -> None:
    kind = kind_of((5, 0, 0), 100, (0, 1), [300.0, 120.0])
    pools = PoolState((9, 0, 0)), PoolState((9, 0, 0))
    [placement] = decide([job(0, deadline_s=200.0)], [kind], *pools).placements
    assert placement.pool == 1, "the best pool is too far away"
    decided = decide([job(0, deadline_s=110.0), job(1)], [kind], *pools)
    assert started(decided) == [1], "and a job that cannot end in time bars no other of its kind"
    assert decided.reserved == {}


def test_a_scheduler_is_given_as_many_to_keep_as_it_may() -> None:
    waiting = [job(number) for number in range(5)]
    assert started(decide(waiting, [cpus(5)], PoolState((5, 0, 0), (), 2))) == [0, 1, 2]


def test_where_a_kind_may_go_is_not_asked_if_nothing_could_take_it() -> None:
    """Of many kinds that wait for a full network a round asks for the first few only."""
    asked: list[int] = []

    def kind(number: int) -> JobClass:
        def ask() -> tuple[Sequence[int], Sequence[float]]:
            asked.append(number)
            return (0,), (100.0,)

        return JobClass((5, 0, 0), 100, ask)

    kinds = [kind(number) for number in range(1_000)]
    waiting = [job(number, kind=number) for number in range(1_000)]
    decided = decide(waiting, kinds, PoolState((4, 0, 0), [(50.0, (6, 0, 0))]))
    assert decided.placements == []
    assert decided.reserved == {0: waiting[0].job}
    assert asked == list(range(RESERVING_LIMIT))
