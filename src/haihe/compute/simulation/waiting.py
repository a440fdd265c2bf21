"""When would a job start? The queue model: a projection of the pool, corrected by past errors.

**The projection** looks at what is certain: what is free, when running jobs give back what they
hold, and how much work is ahead. The job starts when the work ahead has been absorbed by what is
free over time and its own need fits. That is a fluid bound: it costs a few bisections, and errs in
ways that depend on the policy (small jobs overtake, wide ones wait for a hole).

**The correction** learns these ways. For each kind of job (fits now or not, projected wait, share
of the pool, run time, each in coarse steps) it keeps the last ratios of observed to projected wait,
and answers with their median and 90th percentile. A kind that was seen too rarely is judged by a
wider one. So the answer is a range from the first day, and is right about itself: nine of ten jobs
start before the 90th percentile, if the pool goes on as it did.

Everything is a function of small arrays: the dispatcher asks the same code as the back-test::

    model = QueueModel.from_dict(kept)               # one per pool; {} at first
    state = QueueState.of(capacity=(64_000,), running=[(600.0, (32_000,))], ahead=[])
    outlook = Projection(state).outlook((48_000,), run_s=3_600)
    model.corrected(outlook)                         # ExpectedStart(median_s=..., p90_s=...)
    model.learn(outlook, waited_s)                   # when the job has started
    kept = model.as_dict()
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from haihe.compute.simulation.workload import Floats, Ints
from haihe.kernel.errors import InvalidField

MEDIAN, HIGH = 0.5, 0.9
REMEMBERED = 200
ENOUGH = 20
MAX_KINDS = 10_000
SCALE_S = 60.0  # added to a projection before ratios are taken: a wait of 0 has a ratio too
UNLEARNED_HIGH = 2.0

Kind = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class QueueState:
    """A pool at one moment, as far as one job is concerned. Amounts are in the pool's resources.

    ``capacity`` and ``free`` have shape (resources,); ``running_need`` (running, resources) and
    ``running_left_s`` (running,) say what runs and how long it is still expected to; ``ahead_need``
    (ahead, resources) and ``ahead_run_s`` (ahead,) what waits before the job.
    """

    capacity: Ints
    free: Ints
    running_need: Ints
    running_left_s: Floats
    ahead_need: Ints
    ahead_run_s: Floats

    def __post_init__(self) -> None:
        resources = self.capacity.shape
        shapes = {
            "free": (self.free, resources),
            "running_need": (self.running_need, (*self.running_left_s.shape, *resources)),
            "ahead_need": (self.ahead_need, (*self.ahead_run_s.shape, *resources)),
        }
        for name, (values, shape) in shapes.items():
            if values.shape != shape:
                raise InvalidField(field=name, value=values.shape, rule=f"must have shape {shape}")

    @classmethod
    def of(
        cls,
        *,
        capacity: Sequence[int],
        running: Iterable[tuple[float, Sequence[int]]],
        ahead: Iterable[tuple[float, Sequence[int]]],
    ) -> QueueState:
        """From plain numbers: ``running`` and ``ahead`` are pairs of seconds, still left or to be
        run at most, and amounts per resource. What runs is not free.
        """
        runs, waits = list(running), list(ahead)
        shape = (-1, len(capacity))
        held = np.array([need for _, need in runs], dtype=np.int64).reshape(shape)
        whole = np.array(capacity, dtype=np.int64)
        return cls(
            capacity=whole,
            free=np.maximum(whole - held.sum(axis=0), 0),
            running_need=held,
            running_left_s=np.array([left_s for left_s, _ in runs], dtype=np.float64),
            ahead_need=np.array([need for _, need in waits], dtype=np.int64).reshape(shape),
            ahead_run_s=np.array([run_s for run_s, _ in waits], dtype=np.float64),
        )


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What is projected for one job, and the kinds of job that it is one of, narrowest first."""

    projected_s: float
    kinds: tuple[Kind, ...]


@dataclass(frozen=True, kw_only=True)
class ExpectedStart:
    """An answer: seconds from now until half, and nine tenths, of such jobs have started."""

    median_s: float
    p90_s: float


class Projection:
    """A pool's future by its running jobs and the work ahead.

    Built once for a state; asked for many jobs, and told of each that is put in line.
    """

    def __init__(self, state: QueueState) -> None:
        order = np.argsort(state.running_left_s, kind="stable")
        self._left_s: list[float] = state.running_left_s[order].tolist()
        steps = np.diff(state.running_left_s[order], prepend=0.0)
        freed = state.free + np.cumsum(state.running_need[order], axis=0)
        rate = np.concatenate([state.free[None, :], freed[:-1]])[: len(order)]
        self._capacity: list[int] = state.capacity.tolist()
        self._free: list[int] = state.free.tolist()
        # Per resource: what is free after each end, and the work that can be done until then.
        self._after: list[list[int]] = freed.T.tolist()
        self._done: list[list[float]] = np.cumsum(rate * steps[:, None], axis=0).T.tolist()
        self._ahead: list[float] = (state.ahead_run_s @ state.ahead_need).tolist()

    def put_in_line(self, need: Sequence[int], run_s: float) -> None:
        """One job more is ahead of those asked for next."""
        for resource, amount in enumerate(need):
            self._ahead[resource] += amount * run_s

    def fits_now(self, need: Sequence[int]) -> bool:
        """Whether the job could start at once if nobody was ahead."""
        return all(amount <= free for amount, free in zip(need, self._free, strict=True))

    def share_of(self, need: Sequence[int]) -> float:
        """The largest part of any resource of the pool that is asked for."""
        pairs = zip(need, self._capacity, strict=True)
        return max(amount / whole if whole else 0.0 for amount, whole in pairs)

    def start_s(self, need: Sequence[int]) -> float:
        """Seconds until the work ahead is absorbed and the need fits."""
        moments = [0.0]
        for resource, amount in enumerate(need):
            if amount > self._free[resource]:
                moments.append(self._freed_s(resource, amount))
            if self._ahead[resource] > 0:
                moments.append(self._absorbed_s(resource))
        return max(moments)

    def _freed_s(self, resource: int, amount: int) -> float:
        """Until so much is free at once; until all is, where that is not enough."""
        ends = len(self._left_s)
        at = bisect_left(self._after[resource], amount)
        return self._left_s[min(at, ends - 1)] if ends else 0.0

    def _absorbed_s(self, resource: int) -> float:
        work, done = self._ahead[resource], self._done[resource]
        at = bisect_left(done, work)
        before = done[at - 1] if at else 0.0
        since_s = self._left_s[at - 1] if at else 0.0
        free = self._after[resource][at - 1] if at else self._free[resource]
        # After the last end all of the pool is free, also of what the state did not account for.
        rate = free if at < len(done) else max(self._capacity[resource], 1)
        return since_s + (work - before) / rate

    def outlook(self, need: Sequence[int], *, run_s: float) -> Outlook:
        """What a job of ``need`` that runs for about ``run_s`` has to expect."""
        projected_s = self.start_s(need)
        wait = math.frexp(projected_s + 1.0)[1]
        size = math.frexp(self.share_of(need) * 1_000 + 1.0)[1]
        length = math.frexp(run_s + 1.0)[1]
        fits = int(self.fits_now(need))
        kinds = (fits, wait // 2, size // 2, length // 2), (fits, wait), (fits,), ()
        return Outlook(projected_s=projected_s, kinds=kinds)


class QueueModel:
    """Projections of one pool, corrected by how earlier ones turned out."""

    def __init__(self) -> None:
        self._past: dict[Kind, _Past] = {}

    def corrected(self, outlook: Outlook) -> ExpectedStart:
        """What the past of the narrowest kind that was seen often enough makes of a projection."""
        scale_s = outlook.projected_s + SCALE_S
        for kind in outlook.kinds:
            past = self._past.get(kind)
            if past is not None and len(past.recent) >= ENOUGH:
                return ExpectedStart(
                    median_s=past.quantile(MEDIAN) * scale_s, p90_s=past.quantile(HIGH) * scale_s
                )
        return ExpectedStart(median_s=outlook.projected_s, p90_s=UNLEARNED_HIGH * scale_s)

    def learn(self, outlook: Outlook, waited_s: float) -> None:
        """A job has started ``waited_s`` after this was its outlook."""
        ratio = max(waited_s, 0.0) / (outlook.projected_s + SCALE_S)
        for kind in outlook.kinds:
            past = self._past.get(kind)
            if past is None:
                if len(self._past) >= MAX_KINDS:
                    continue
                past = self._past[kind] = _Past()
            past.add(ratio)

    def as_dict(self) -> dict[str, Any]:
        """What was learned, as JSON: to be kept between runs."""
        return {",".join(map(str, kind)): list(past.recent) for kind, past in self._past.items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Iterable[float]]) -> QueueModel:
        """A model that goes on where another stopped."""
        model = cls()
        for text, ratios in data.items():
            past = model._past[tuple(int(part) for part in text.split(",") if part)] = _Past()
            for ratio in ratios:
                past.add(float(ratio))
        return model


class _Past:
    """The last ratios of one kind, in the order they came and in the order of size."""

    __slots__ = ("_sorted", "recent")

    def __init__(self) -> None:
        self.recent: deque[float] = deque()
        self._sorted: list[float] = []

    def add(self, ratio: float) -> None:
        if len(self.recent) == REMEMBERED:
            del self._sorted[bisect_left(self._sorted, self.recent.popleft())]
        self.recent.append(ratio)
        insort(self._sorted, ratio)

    def quantile(self, part: float) -> float:
        return self._sorted[round(part * (len(self._sorted) - 1))]
