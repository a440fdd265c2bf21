"""The linear programme of a pool: how much of which request on which kind of node.

What the bound and the prices of requests have in common. Of every kind of node:

- CPUs and memory of all its nodes count together, as if they were one machine;
- each GPU is cut by one pattern, a maximal way of putting shares of the sizes that occur on one
  GPU, or taken whole;
- a fraction of a request may be placed, and only on a kind of node that can hold one of it.

Every real packing satisfies this, so that the optimum is no less than the best packing. Where
shares have so many sizes that the patterns are too many, sizes are rounded down, which keeps it so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from haihe.compute.placement.model import GPU_MILLI, Kind, Request
from haihe.compute.placement.state import Floats

GRIDS_MILLI = (1, 10, 20, 50, 100, 200)


@dataclass(frozen=True, kw_only=True)
class Solution:
    """The optimum, and what one more of each row's limit would add to it."""

    optimum: float
    prices: Floats


@dataclass
class Programme:
    """A linear programme put together column by column: maximise, every row at most its limit."""

    limits: list[float] = field(default_factory=list)
    gains: list[float] = field(default_factory=list)
    most: list[float] = field(default_factory=list)
    entries: list[tuple[int, int, float]] = field(default_factory=list)

    def row(self, limit: float) -> int:
        """A new row; its number."""
        self.limits.append(limit)
        return len(self.limits) - 1

    def column(self, gain: float, uses: Mapping[int, float], *, most: float = np.inf) -> None:
        """A new variable from 0 to ``most``, with what one of it uses of each row."""
        self.entries += [(row, len(self.gains), amount) for row, amount in uses.items()]
        self.gains.append(gain)
        self.most.append(most)

    def solve(self) -> Solution:
        """Maximise.

        Raises
        ------
        RuntimeError
            If the solver fails; it has not been seen to.
        """
        import scipy.sparse as sparse  # seconds, which only who solves should pay
        from scipy.optimize import linprog

        rows, columns, amounts = zip(*self.entries, strict=True)
        shape = (len(self.limits), len(self.gains))
        answer = linprog(
            -np.array(self.gains),
            A_ub=sparse.csr_matrix((amounts, (rows, columns)), shape=shape),
            b_ub=np.array(self.limits),
            bounds=np.column_stack([np.zeros(len(self.most)), self.most]),
            method="highs",
        )
        if answer.x is None:
            raise RuntimeError(answer.message)
        return Solution(optimum=float(-answer.fun), prices=-answer.ineqlin.marginals)


@dataclass(frozen=True)
class _Rows:
    """The rows of one kind of node."""

    cpu: int
    memory: int
    gpu: int
    room: int
    slots: Mapping[int, int]


class PoolProgramme(Programme):
    """The rows of a pool, into which requests can then be placed.

    Parameters
    ----------
    kinds : how many nodes there are of each kind.
    requests : all that will be placed, for the sizes of their shares.
    patterns_limit : how many patterns there may be before sizes are rounded.
    """

    def __init__(
        self, kinds: Mapping[Kind, int], requests: Sequence[Request], *, patterns_limit: int
    ) -> None:
        super().__init__()
        sizes = {request.gpu_milli for request in requests if request.shape.is_shared}
        self._grid, patterns = _patterns(sorted(sizes), patterns_limit)
        self._rows = {kind: self._add_kind(kind, count, patterns) for kind, count in kinds.items()}

    def place(self, request: Request, *, gain: float, uses: Mapping[int, float]) -> bool:
        """A column for each kind of node that can hold the request; whether there is one."""
        holders = [kind for kind in self._rows if kind.can_hold(request)]
        for kind in holders:
            self.column(gain, {**uses, **self._needs(request, self._rows[kind])})
        return bool(holders)

    def _add_kind(self, kind: Kind, count: int, patterns: Sequence[Mapping[int, int]]) -> _Rows:
        rows = _Rows(
            cpu=self.row(count * kind.cpu_milli),
            memory=self.row(count * kind.memory_mib),
            gpu=self.row(count * kind.gpus),
            room=self.row(count * kind.gpus * GPU_MILLI),
            slots={size: self.row(0) for size in patterns[0]},
        )
        for pattern in patterns:
            cuts = {rows.slots[size]: -times for size, times in pattern.items() if times}
            self.column(0.0, {rows.gpu: 1.0, **cuts})
        return rows

    def _needs(self, request: Request, rows: _Rows) -> dict[int, float]:
        needs = {
            rows.cpu: request.cpu_milli,
            rows.memory: request.memory_mib,
            rows.room: request.shape.total_gpu_milli,
        }
        if not request.shape.is_shared:
            needs[rows.gpu] = request.gpus
        elif request.gpu_milli >= self._grid:
            needs[rows.slots[request.gpu_milli // self._grid * self._grid]] = 1
        return {row: float(amount) for row, amount in needs.items() if amount}


def _patterns(sizes: Sequence[int], limit: int) -> tuple[int, list[dict[int, int]]]:
    """All maximal ways to cut a GPU, on the finest grid on which they are not too many."""
    for grid in GRIDS_MILLI:
        rounded = sorted({size // grid * grid for size in sizes if size >= grid}, reverse=True)
        patterns: list[dict[int, int]] = []
        for times in _cuts(rounded, GPU_MILLI):
            patterns.append(dict(zip(rounded, times, strict=True)))
            if len(patterns) > limit:
                break
        else:
            return grid, patterns
    raise AssertionError("the coarsest grid has few cuts")


def _cuts(sizes: Sequence[int], room: int) -> Iterator[tuple[int, ...]]:
    """Ways to fill ``room`` with pieces of ``sizes``, largest first, to which none can be added."""
    if not sizes:
        yield ()
        return
    size, rest = sizes[0], sizes[1:]
    for times in range(room // size, -1, -1):
        left = room - times * size
        for others in _cuts(rest, left):
            used = sum(a * b for a, b in zip(rest, others, strict=True))
            if left - used < size:
                yield (times, *others)
