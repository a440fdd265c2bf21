"""An upper bound on what any policy could allocate of given requests.

A linear programme that every real packing satisfies, so that its optimum is no less than the best:

- how much of each request is placed on each type of node (a fraction of a request counts), at
  most as often as it arrived, only where its model is and one of it fits;
- CPUs and memory of all nodes of a type count together, as if they were one machine;
- GPUs are cut by patterns: every maximal way of putting shares of the sizes that occur on one
  GPU, and each GPU of a type is cut by one of them or taken whole.

It maximises the GPU placed. It forgets that a node's GPUs, CPUs and memory must be had together,
that requests without a GPU want room too, that the order of arrival is not known, and that what
fits is not turned away; each makes the true best lower. Where shares have so many sizes that the
patterns are too many, sizes are rounded down, which keeps it a bound.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sparse
from scipy.optimize import linprog

from haihe.compute.placement.model import GPU_MILLI, Node, Request

HOW = (
    "linear programme over all requests arrived by then: fractions of requests, CPUs and memory "
    "pooled per type of node, GPUs cut by patterns of the shares that fit on one (HiGHS)"
)
PATTERNS_LIMIT = 4_000
GRIDS_MILLI = (1, 10, 20, 50, 100, 200)


def most_gpus(nodes: Sequence[Node], arrived: Mapping[Request, int]) -> float:
    """The most GPUs that could be allocated of ``arrived`` requests on ``nodes``.

    Raises
    ------
    RuntimeError
        If the solver fails; it has not been seen to.
    """
    kinds: dict[tuple[int, int, int, str], int] = {}
    for node in nodes:
        kind = (node.cpu_milli, node.memory_mib, node.gpus, node.gpu_model)
        kinds[kind] = kinds.get(kind, 0) + 1
    wanted = [(request, count) for request, count in arrived.items() if request.gpus and count]
    if not wanted:
        return 0.0
    sizes = {request.gpu_milli for request, _ in wanted if request.shape.is_shared}
    grid, patterns = _patterns(sorted(sizes))
    programme = _Programme()
    available = [programme.row(count) for _, count in wanted]
    for (cpu_milli, memory_mib, gpus, model), count in kinds.items():
        cpu, memory = programme.row(count * cpu_milli), programme.row(count * memory_mib)
        gpu = programme.row(count * gpus)
        room = programme.row(count * gpus * GPU_MILLI)
        slots = {size: programme.row(0) for size in patterns[0]} if patterns else {}
        for pattern in patterns:
            cuts = {slots[size]: -times for size, times in pattern.items() if times}
            programme.column(0.0, {gpu: 1.0, **cuts})
        for (request, _), row in zip(wanted, available, strict=True):
            fits = request.cpu_milli <= cpu_milli and request.memory_mib <= memory_mib
            if not fits or request.gpus > gpus or (request.models and model not in request.models):
                continue
            amount = request.gpus * request.gpu_milli
            uses = {row: 1.0, cpu: request.cpu_milli, memory: request.memory_mib, room: amount}
            if not request.shape.is_shared:
                uses[gpu] = request.gpus
            elif request.gpu_milli >= grid:
                uses[slots[request.gpu_milli // grid * grid]] = 1.0
            programme.column(amount / GPU_MILLI, uses)
    return programme.maximum()


def _patterns(sizes: Sequence[int]) -> tuple[int, list[dict[int, int]]]:
    """All maximal ways to cut a GPU, on the finest grid on which they are not too many."""
    for grid in GRIDS_MILLI:
        rounded = sorted({size // grid * grid for size in sizes if size >= grid}, reverse=True)
        patterns: list[dict[int, int]] = []
        for times in _cuts(rounded, GPU_MILLI):
            patterns.append(dict(zip(rounded, times, strict=True)))
            if len(patterns) > PATTERNS_LIMIT:
                break
        else:
            return grid, patterns
    raise AssertionError("the coarsest grid has five cuts")


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


@dataclass
class _Programme:
    """A linear programme put together column by column: maximise, every row at most its limit."""

    limits: list[float] = field(default_factory=list)
    gains: list[float] = field(default_factory=list)
    entries: list[tuple[int, int, float]] = field(default_factory=list)

    def row(self, limit: float) -> int:
        self.limits.append(limit)
        return len(self.limits) - 1

    def column(self, gain: float, uses: Mapping[int, float]) -> None:
        self.entries += [(row, len(self.gains), amount) for row, amount in uses.items()]
        self.gains.append(gain)

    def maximum(self) -> float:
        rows, columns, amounts = zip(*self.entries, strict=True)
        shape = (len(self.limits), len(self.gains))
        matrix = sparse.csr_matrix((amounts, (rows, columns)), shape=shape)
        answer = linprog(
            -np.array(self.gains), A_ub=matrix, b_ub=np.array(self.limits), method="highs"
        )
        if answer.fun is None:
            raise RuntimeError(answer.message)
        return float(-answer.fun)
