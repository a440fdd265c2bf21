"""The replay itself: a discrete-event simulation of a workload on a network under one policy.

Events are submissions and ends. All events of one instant are taken together, ends first; then each
pool that saw one starts what may start. A submitted job goes to one pool and stays there: the pool
that can hold it and is best by the objective at that moment. What no pool can ever hold is left out
and counted.

The scheduler knows the requested times and what it has learned from jobs that ended; the run time
of a job is known to the clock alone.
"""

from __future__ import annotations

import heapq
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from haihe.compute.domain import Objective
from haihe.compute.domain.accelerators import accepts
from haihe.compute.simulation.errors import NothingToRun
from haihe.compute.simulation.network import Network
from haihe.compute.simulation.policies import POLICIES
from haihe.compute.simulation.rates import carbon_g_per_h, cost_micro_per_h
from haihe.compute.simulation.scheduler import Jobs, PoolScheduler
from haihe.compute.simulation.workload import RESOURCES, Bools, Floats, Ints, Workload

NOWHERE = -1
TELL_EVERY = 1_000
NEVER_S = float("inf")
SHORTEST_S = 60.0

Tell = Callable[[int, int], None]


class Watcher(Protocol):
    """Somebody who looks on: the back-test of the queue model."""

    def submitted(self, job: int, pool: PoolScheduler, now_s: float) -> None:
        """A job was submitted to a pool, which has not yet decided on it."""


@dataclass(frozen=True, kw_only=True)
class Replay:
    """What became of each job: ``start_s`` is NaN and ``pool`` is -1 where none can hold it."""

    policy: str
    workload: Workload
    network: Network
    start_s: Floats
    pool: Ints

    @property
    def ran(self) -> Bools:
        """The jobs that ran."""
        return np.asarray(self.pool != NOWHERE)


def replay(
    workload: Workload,
    network: Network,
    policy: str,
    *,
    objective: Objective = Objective.SOONEST,
    tell: Tell | None = None,
    watcher: Watcher | None = None,
) -> Replay:
    """Replay a workload. Deterministic: the same arguments give the same starts.

    ``tell`` is called now and then with the number of jobs submitted and of all jobs.

    Raises
    ------
    NothingToRun
        If no job fits into any pool.
    """
    simulation = _Simulation(workload, network, policy, objective)
    simulation.run(tell, watcher)
    return Replay(
        policy=policy,
        workload=workload,
        network=network,
        start_s=simulation.jobs.start_s,
        pool=np.array(simulation.pool_of, dtype=np.int64),
    )


def eligible(workload: Workload, network: Network) -> Bools:
    """Which job (rows) each pool (columns) can hold when empty, of a model that the job takes."""
    columns = []
    for _, _, pool in network.pools:
        whole = pool.capacity
        good = np.ones(len(workload), dtype=bool)
        for name in RESOURCES:
            good &= getattr(workload, name) <= getattr(whole, name)
        own = sum(
            1 << bit for bit, name in enumerate(workload.model_names) if accepts(name, pool.model)
        )
        columns.append(good & ((workload.models == 0) | (workload.models & own != 0)))
    return np.stack(columns, axis=1)


class _Simulation:
    def __init__(
        self, workload: Workload, network: Network, policy: str, objective: Objective
    ) -> None:
        count = len(workload)
        can_run = eligible(workload, network)
        if not can_run.any():
            raise NothingToRun(trace=workload.name, jobs=count)
        used = [name for name in RESOURCES if getattr(workload, name).any()]
        needs = [getattr(workload, name) for name in used]
        self.jobs = Jobs(
            workload=workload,
            needs=needs,
            need=list(zip(*(column.tolist() for column in needs), strict=True)),
            run_s=workload.run_s.tolist(),
            requested_s=workload.requested_s.tolist(),
            turn_s=np.zeros(count),
            estimate_s=np.zeros(count),
            start_s=np.full(count, np.nan),
            planned_end_s=np.zeros(count),
            ends=[],
        )
        rules = POLICIES[policy](workload)
        self._pools = [
            PoolScheduler(number, [getattr(pool.capacity, name) for name in used], self.jobs, rules)
            for number, (_, _, pool) in enumerate(network.pools)
        ]
        self._choices = _choices(can_run)
        self._objective = objective
        self._has_cards = [pool.gpus > 0 for _, _, pool in network.pools]
        self._rates = _rates(workload, network, objective)
        self.pool_of = [NOWHERE] * count

    def run(self, tell: Tell | None, watcher: Watcher | None) -> None:
        """Take instant after instant until nothing is left."""
        submit_s, ends, pools = self.jobs.workload.submit_s.tolist(), self.jobs.ends, self._pools
        count, job = len(submit_s), 0
        while job < count or ends:
            next_s = submit_s[job] if job < count else NEVER_S
            now_s = min(next_s, ends[0][0]) if ends else next_s
            touched = set()
            while ends and ends[0][0] <= now_s:
                ended = heapq.heappop(ends)[1]
                pools[self.pool_of[ended]].end(ended)
                touched.add(self.pool_of[ended])
            while job < count and submit_s[job] <= now_s:
                number = self.pool_of[job] = self._choose(job, now_s)
                if number != NOWHERE:
                    pools[number].submit(job, now_s)
                    touched.add(number)
                    if watcher is not None:
                        watcher.submitted(job, pools[number], now_s)
                job += 1
                if tell is not None and job % TELL_EVERY == 0:
                    tell(job, count)
            for number in sorted(touched):
                pools[number].start_jobs(now_s)

    def _choose(self, job: int, now_s: float) -> int:
        """The pool that a job goes to: best by the objective, then by the other measure, then one
        whose cards it does not stand in front of.

        ``balanced`` weighs the price against the least and the wait against the job's own length,
        as :mod:`haihe.compute.domain.choice` does, which also knows what no trace tells.
        """
        choices = self._choices[job]
        if len(choices) < 2:
            return choices[0] if choices else NOWHERE
        need = self.jobs.need[job]
        needs_cards = bool(self.jobs.workload.gpu_milli[job])
        length_s = max(self.jobs.requested_s[job], SHORTEST_S)
        rates = {number: float(self._rates[number][job]) for number in choices}
        least = max(min(rates.values()), sys.float_info.min)

        def rank(number: int) -> tuple[float, float, bool, int]:
            pool = self._pools[number]
            at_once = not len(pool.line) and pool.fits_now(need)
            wait_s = 0.0 if at_once else pool.backlog_s(now_s)
            rate, wasteful = rates[number], self._has_cards[number] and not needs_cards
            if self._objective == Objective.SOONEST:
                return wait_s, rate, wasteful, number
            if self._objective == Objective.BALANCED:
                return rate / least + wait_s / length_s, wait_s, wasteful, number
            return rate, wait_s, wasteful, number

        return min(choices, key=rank)


def _choices(can_run: Bools) -> list[tuple[int, ...]]:
    """The pools that can hold each job; jobs alike share one tuple."""
    kinds, kind_of = np.unique(can_run, axis=0, return_inverse=True)
    pools = [tuple(np.flatnonzero(kind).tolist()) for kind in kinds]
    return [pools[kind] for kind in kind_of.ravel().tolist()]


def _rates(workload: Workload, network: Network, objective: Objective) -> list[Floats]:
    """Per pool, each job's price or carbon per hour: the run time is the same in all of them."""
    if objective == Objective.GREENEST:
        return [carbon_g_per_h(workload, centre, pool) for _, centre, pool in network.pools]
    return [cost_micro_per_h(workload, pool) for _, _, pool in network.pools]
