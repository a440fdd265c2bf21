"""One pool's scheduler: which of its waiting jobs start now.

It is asked once for each instant at which something happened, after all that ended has ended and
all that was submitted has been submitted. The head of the line starts as soon as it fits; else it
gets a reservation, and what neither delays the reservation nor exceeds what is free may start
(:mod:`.policies`).

Most of the work is avoided rather than done fast. Between two ends of jobs the reservation stays,
and of the waiting jobs none that did not fit before fits now: only what has just been submitted is
looked at. ``tests/compute/simulation/reference.py`` does it all plainly, and a property test holds
the two together.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from haihe.compute.simulation.line import Line, Place
from haihe.compute.simulation.policies import Policy
from haihe.compute.simulation.prediction import corrected_end_s
from haihe.compute.simulation.running import Running, reserve
from haihe.compute.simulation.waiting import Outlook, Projection, QueueState
from haihe.compute.simulation.workload import Floats, Ints, Workload

HEAD = (0, 0)
BEHIND_HEAD = (0, 1)
Ends = list[tuple[float, int]]  # heap of (when, job) of what runs in any pool


@dataclass(kw_only=True)
class Jobs:
    """What all pools of a replay share: the jobs' needs, and the columns that the replay fills.

    ``needs`` has an array per resource that any job asks for, ``need`` the same as a tuple per job.
    """

    workload: Workload
    needs: Sequence[Ints]
    need: Sequence[tuple[int, ...]]
    run_s: Sequence[float]
    requested_s: Sequence[float]
    turn_s: Floats
    estimate_s: Floats
    start_s: Floats
    planned_end_s: Floats
    ends: Ends


@dataclass(slots=True)
class _Plan:
    """The head's reservation; ``firm`` if by requested times, whatever the estimates say."""

    start_s: float
    spare: list[int]
    firm: bool


class PoolScheduler:
    """The jobs of one pool, waiting and running."""

    def __init__(self, number: int, capacity: Sequence[int], jobs: Jobs, policy: Policy) -> None:
        self.number = number
        self.capacity = tuple(capacity)
        self.free = list(capacity)
        self.line = Line(needs=jobs.needs, turn=jobs.turn_s, estimate_s=jobs.estimate_s)
        self.running = Running(jobs.needs)
        self._jobs = jobs
        self._policy = policy
        self._least = [int(column.min(initial=0)) for column in jobs.needs]
        self._submitted: list[int] = []
        self._plan: _Plan | None = None
        # Dominant share times seconds: of what waits, and of what runs (see backlog_s).
        self._waiting_s = 0.0
        self._share_by_end_s = 0.0
        self._running_share = 0.0

    def share_of(self, job: int) -> float:
        """The largest part of any resource of the pool that the job takes."""
        need = self._jobs.need[job]
        return max(
            amount / whole if whole else 0.0
            for amount, whole in zip(need, self.capacity, strict=True)
        )

    def backlog_s(self, now_s: float) -> float:
        """How long the whole pool would need for all that waits and runs, by the estimates."""
        left_s = self._share_by_end_s - now_s * self._running_share
        return self._waiting_s + max(left_s, 0.0)

    def fits_now(self, need: Sequence[int]) -> bool:
        """Whether a job could start if nobody else waited."""
        for amount, there in zip(need, self.free, strict=True):  # noqa: SIM110 (the hot spot)
            if amount > there:
                return False
        return True

    def submit(self, job: int, now_s: float) -> None:
        """A job comes; :meth:`start_jobs` decides on it."""
        jobs, share = self._jobs, self.share_of(job)
        turn_s, estimate_s = self._policy.arrive(job, pool=self.number, now_s=now_s, share=share)
        jobs.turn_s[job], jobs.estimate_s[job] = turn_s, estimate_s
        self._waiting_s += share * estimate_s
        self._submitted.append(job)

    def outlook(self, job: int, now_s: float) -> Outlook:
        """What the queue model projects for a job that was just submitted."""
        projection = Projection(self._state_for(job, now_s))
        run_s = float(self._jobs.estimate_s[job])
        return projection.outlook(self._jobs.need[job], run_s=run_s)

    def _state_for(self, job: int, now_s: float) -> QueueState:
        jobs, running = self._jobs, self.running.jobs
        own = (float(jobs.turn_s[job]), job)
        beside = [other for other in self._submitted if (float(jobs.turn_s[other]), other) < own]
        ahead = np.concatenate([self.line.before(*own), np.array(beside, dtype=np.int64)])
        # Who runs on beyond the planned end is believed to be half-way, within the limit.
        run_s = now_s - jobs.start_s[running]
        overrun_s = np.minimum(run_s, jobs.workload.requested_s[running] - run_s)
        planned_s = jobs.planned_end_s[running] - now_s
        return QueueState(
            capacity=np.array(self.capacity),
            free=np.array(self.free),
            running_need=np.stack([column[running] for column in jobs.needs], axis=1),
            running_left_s=np.where(planned_s > 0, planned_s, np.maximum(overrun_s, 0.0)),
            ahead_need=np.stack([column[ahead] for column in jobs.needs], axis=1),
            ahead_run_s=jobs.estimate_s[ahead],
        )

    def end(self, job: int) -> None:
        """A running job has ended."""
        planned_end_s, share = float(self._jobs.planned_end_s[job]), self.share_of(job)
        for resource, amount in enumerate(self._jobs.need[job]):
            self.free[resource] += amount
        self.running.remove(job, planned_end_s)
        self._share_by_end_s -= share * planned_end_s
        self._running_share -= share
        self._plan = None
        self._policy.end(job, pool=self.number)

    def start_jobs(self, now_s: float) -> None:
        """Start what may start now."""
        submitted, turn_s = self._submitted, self._jobs.turn_s
        if len(submitted) > 1:
            submitted.sort(key=lambda job: (turn_s[job], job))
        plan = self._plan
        if plan is not None and self._plan_holds(submitted, now_s):
            for job in submitted:
                if self._may_overtake(job, plan, now_s):
                    self._overtake(job, plan, now_s)
                else:
                    self.line.join(job)
        else:
            for job in submitted:
                self.line.join(job)
            self._start_from_line(now_s)
        submitted.clear()
        if not len(self.line):
            self._waiting_s = 0.0  # sums of floats drift

    def _start_from_line(self, now_s: float) -> None:
        line, need = self.line, self._jobs.need
        self._plan = None
        while len(line) and self.fits_now(need[line.head()]):
            self._start(line.leave(HEAD), now_s)
        if len(line) < 2 or not self._policy.backfills or self._is_full():
            return
        plan = self._plan = self._reserve(line.head(), now_s)
        place = self._next_fit(BEHIND_HEAD, plan, now_s)
        while place is not None:
            self._overtake(line.leave(place), plan, now_s)
            place = self._next_fit(place, plan, now_s)

    def _is_full(self) -> bool:
        """Whether not even the least that any job of the workload needs is free."""
        return any(there < least for there, least in zip(self.free, self._least, strict=True))

    def _start(self, job: int, now_s: float) -> None:
        jobs, free, share = self._jobs, self.free, self.share_of(job)
        for resource, amount in enumerate(jobs.need[job]):
            free[resource] -= amount
        estimate_s = float(jobs.estimate_s[job])
        planned_end_s = now_s + estimate_s
        jobs.start_s[job] = now_s
        jobs.planned_end_s[job] = planned_end_s
        self.running.add(job, planned_end_s)
        self._waiting_s -= share * estimate_s
        self._share_by_end_s += share * planned_end_s
        self._running_share += share
        heapq.heappush(jobs.ends, (now_s + jobs.run_s[job], job))

    # --- back-filling ----------------------------------------------------------------------------

    def _next_fit(self, begin: Place, plan: _Plan, now_s: float) -> Place | None:
        """The first job from ``begin`` on that may overtake."""
        jobs = self._jobs
        return self.line.first_fit(
            begin,
            free=self.free,
            slack_s=plan.start_s - now_s,
            spare=plan.spare,
            limit_s=jobs.workload.requested_s if plan.firm else jobs.estimate_s,
        )

    def _may_overtake(self, job: int, plan: _Plan, now_s: float) -> bool:
        """Whether a job that is not yet in the line may start before the head."""
        need = self._jobs.need[job]
        if not self.fits_now(need):
            return False
        in_time = self._limit_s(job, plan) <= plan.start_s - now_s
        return in_time or all(
            amount <= beside for amount, beside in zip(need, plan.spare, strict=True)
        )

    def _overtake(self, job: int, plan: _Plan, now_s: float) -> None:
        if self._limit_s(job, plan) > plan.start_s - now_s:
            for resource, amount in enumerate(self._jobs.need[job]):
                plan.spare[resource] -= amount
        self._start(job, now_s)

    def _limit_s(self, job: int, plan: _Plan) -> float:
        jobs = self._jobs
        return jobs.requested_s[job] if plan.firm else float(jobs.estimate_s[job])

    def _plan_holds(self, submitted: Sequence[int], now_s: float) -> bool:
        """Whether the reservation is what a new one would be, now that only jobs were submitted."""
        turn_s, head = self._jobs.turn_s, self.line.head()
        if submitted and (turn_s[submitted[0]], submitted[0]) < (turn_s[head], head):
            return False
        assert self._plan is not None
        if self._plan.firm or not self._policy.predicts:
            return True
        return bool(turn_s[head] > now_s and self.running.end_s[0] > now_s)

    def _reserve(self, head: int, now_s: float) -> _Plan:
        """The head's reservation; by what was requested once its turn has come."""
        jobs, running = self._jobs, self.running
        firm = self._policy.predicts and bool(jobs.turn_s[head] <= now_s)
        if firm:
            end_s = jobs.start_s[running.jobs] + jobs.workload.requested_s[running.jobs]
            order = end_s.argsort(kind="stable")
            run, end_s = running.jobs[order], end_s[order]
        else:
            self._correct(now_s)
            run, end_s = running.jobs, running.end_s
        start_s, spare = reserve(jobs.needs, run, end_s, jobs.need[head], self.free)
        return _Plan(start_s, spare, firm)

    def _correct(self, now_s: float) -> None:
        """Plan anew for jobs that have run on beyond their planned end."""
        jobs, running = self._jobs, self.running
        while running.end_s[0] <= now_s:
            job, planned_end_s = int(running.jobs[0]), float(running.end_s[0])
            end_s = corrected_end_s(
                start_s=float(jobs.start_s[job]),
                planned_end_s=planned_end_s,
                requested_s=jobs.requested_s[job],
            )
            running.remove(job, planned_end_s)
            running.add(job, end_s)
            jobs.planned_end_s[job] = end_s
            self._share_by_end_s += self.share_of(job) * (end_s - planned_end_s)
