"""Plain schedulers that look at everything at every instant: what the fast engine must agree with.

They share no code with the engine. Of Haihe's policy, turns and estimates come from the policy
itself, the decisions from here; first come and EASY are written from their descriptions alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from haihe.compute.simulation.policies import Haihe
from haihe.compute.simulation.workload import Workload


@dataclass
class Plain:
    """One pool; ``capacity`` has an amount for each of ``resources``."""

    workload: Workload
    capacity: tuple[int, ...]
    policy: str
    resources: tuple[str, ...] = ("cpu_milli",)
    starts: dict[int, float] = field(default_factory=dict)
    overtook: list[tuple[int, int, float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        columns = [getattr(self.workload, name).tolist() for name in self.resources]
        self.need: list[tuple[int, ...]] = list(zip(*columns, strict=True))
        self.run_s: list[float] = self.workload.run_s.tolist()
        self.submit_s = self.workload.submit_s.tolist()
        self.requested_s = self.workload.requested_s.tolist()
        self.waiting: list[int] = []
        self.running: list[int] = []
        self.turn_s = list(self.submit_s)
        self.estimate_s = list(self.requested_s)
        self.planned_end_s: dict[int, float] = {}
        self.learned = Haihe(self.workload) if self.policy == "haihe" else None

    def replay(self) -> list[float]:
        """The start of each job."""
        moments = sorted(set(self.submit_s))
        while moments:
            now = moments.pop(0)
            for job in sorted(self.running, key=lambda job: (self._end_s(job), job)):
                if self._end_s(job) <= now:
                    self.running.remove(job)
                    if self.learned:
                        self.learned.end(job, pool=0)
            for job, submitted in enumerate(self.submit_s):
                if submitted == now and job not in self.starts and job not in self.waiting:
                    self._arrive(job, now)
            self.waiting.sort(key=lambda job: (self.turn_s[job], job))
            for job in self._pass(now):
                moments.append(self._end_s(job))
            moments = sorted(set(moments))
        return [self.starts[job] for job in range(len(self.need))]

    def _arrive(self, job: int, now: float) -> None:
        if self.learned:
            self.turn_s[job], self.estimate_s[job] = self.learned.arrive(
                job, pool=0, now_s=now, share=self._share(job)
            )
        self.waiting.append(job)

    def _share(self, job: int) -> float:
        return max(n / c for n, c in zip(self.need[job], self.capacity, strict=True))

    def _end_s(self, job: int) -> float:
        return self.starts[job] + self.run_s[job]

    def _free(self) -> tuple[int, ...]:
        return minus(self.capacity, *(self.need[job] for job in self.running))

    def _start(self, job: int, now: float) -> int:
        self.waiting.remove(job)
        self.running.append(job)
        self.starts[job] = now
        self.planned_end_s[job] = now + self.estimate_s[job]
        return job

    def _pass(self, now: float) -> list[int]:
        started = []
        while self.waiting and fits(self.need[self.waiting[0]], self._free()):
            started.append(self._start(self.waiting[0], now))
        if not self.waiting or self.policy == "fcfs":
            return started
        head = self.waiting[0]
        firm = self.policy == "easy" or self.turn_s[head] <= now
        limit_s = self.requested_s if firm else self.estimate_s
        shadow_s, spare = self._reservation(head, now, firm)
        for job in self.waiting[1:]:
            if not fits(self.need[job], self._free()):
                continue
            if limit_s[job] > shadow_s - now:
                if not fits(self.need[job], spare):
                    continue
                spare = minus(spare, self.need[job])
            started.append(self._start(job, now))
            self.overtook.append((job, head, now, shadow_s))
        return started

    def _reservation(self, head: int, now: float, firm: bool) -> tuple[float, tuple[int, ...]]:
        ends = {}
        for job in self.running:
            if firm:
                ends[job] = self.starts[job] + self.requested_s[job]
                continue
            while self.planned_end_s[job] <= now:  # twice as long as planned, at least a minute
                planned_s = max(self.planned_end_s[job] - self.starts[job], 30.0)
                longer_s = min(2 * planned_s, self.requested_s[job])
                self.planned_end_s[job] = self.starts[job] + longer_s
            ends[job] = self.planned_end_s[job]
        for end_s in sorted(set(ends.values())):
            there = minus(self.capacity, *(self.need[job] for job in ends if ends[job] > end_s))
            if fits(self.need[head], there):
                return end_s, minus(there, self.need[head])
        raise AssertionError("the head fits an empty pool")


def fits(need: tuple[int, ...], there: tuple[int, ...]) -> bool:
    """Whether no resource is short."""
    return all(amount <= has for amount, has in zip(need, there, strict=True))


def minus(amounts: tuple[int, ...], *taken: tuple[int, ...]) -> tuple[int, ...]:
    """What is left per resource."""
    return tuple(has - sum(gone) for has, *gone in zip(amounts, *taken, strict=True))


def plain_replay(
    workload: Workload,
    capacity: tuple[int, ...],
    policy: str,
    resources: tuple[str, ...] = ("cpu_milli",),
) -> list[float]:
    """The start of each job under a plain scheduler."""
    return Plain(workload, capacity, policy, resources).replay()
