"""The waiting line of a pool: jobs in the order of their turn, searched without walking all of it.

Back-filling asks again and again for *the first job in turn that fits what is free and either ends
in time or fits beside the reservation*. Walking a line of 10^5 jobs at every end of a job would
take hours. The line is kept in blocks of some hundred jobs; each block knows, per class of size,
the shortest estimate in it, so that whole blocks are passed over, and a block that may hold an
answer is searched at once by numpy.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np

from haihe.compute.simulation.workload import Bools, Floats, Ints

BLOCK_JOBS = 512
MAX_SIZE_CLASSES = 256  # of the first resource; a log with no more sizes has one class for each
ENDLESS_S = float("inf")

Place = tuple[int, int]  # block, and position in it


class _Block:
    __slots__ = ("count", "jobs", "shortest_s")

    def __init__(self, jobs: Ints) -> None:
        self.count = len(jobs)
        self.jobs = np.zeros(2 * BLOCK_JOBS, dtype=np.int64)
        self.jobs[: self.count] = jobs
        self.shortest_s: Floats | None = None  # per size class or smaller; None: to be computed

    @property
    def held(self) -> Ints:
        return self.jobs[: self.count]


class Line:
    """Jobs of one pool that wait, by ``(turn, job)`` ascending.

    ``needs`` has an array per resource, ``turn`` and ``estimate_s`` one value for each job of the
    whole workload. A job's values are read when it joins and must not change while it waits.
    """

    def __init__(self, *, needs: Sequence[Ints], turn: Floats, estimate_s: Floats) -> None:
        self._needs = needs
        self._turn = turn
        self._estimate_s = estimate_s
        sizes = np.unique(needs[0])
        few = np.linspace(0, sizes.size - 1, min(sizes.size, MAX_SIZE_CLASSES)).astype(np.int64)
        self._least: list[int] = sizes[few].tolist()  # of each class but the first, which is empty
        self._class = np.searchsorted(sizes[few], needs[0], "right")
        self._blocks: list[_Block] = []
        self._firsts: list[tuple[float, int]] = []
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def before(self, turn: float, job: int) -> Ints:
        """The waiting jobs whose turn is before another's."""
        if not self._blocks:
            return np.zeros(0, dtype=np.int64)
        last = max(bisect_right(self._firsts, (turn, job)) - 1, 0)
        whole = [block.held for block in self._blocks[:last]]
        block = self._blocks[last]
        return np.concatenate([*whole, block.jobs[: self._position(block, (turn, job))]])

    def head(self) -> int:
        """The job whose turn it is."""
        return self._firsts[0][1]

    def join(self, job: int) -> None:
        """Put a job in at its turn."""
        entry = (float(self._turn[job]), job)
        self._length += 1
        if not self._blocks:
            self._blocks.append(_Block(np.array([job])))
            self._firsts.append(entry)
            return
        number = max(bisect_right(self._firsts, entry) - 1, 0)
        block = self._blocks[number]
        count = block.count
        position = self._position(block, entry)
        block.jobs[position + 1 : count + 1] = block.jobs[position:count]
        block.jobs[position] = job
        block.count = count + 1
        if position == 0:
            self._firsts[number] = entry
        if block.shortest_s is not None:
            own = block.shortest_s[self._class[job] :]
            np.minimum(own, self._estimate_s[job], out=own)
        if block.count == len(block.jobs):
            self._split(number)

    def leave(self, place: Place) -> int:
        """Take out the job at a place that :meth:`first_fit` gave, or at (0, 0)."""
        number, position = place
        block = self._blocks[number]
        job = int(block.jobs[position])
        block.jobs[position : block.count - 1] = block.jobs[position + 1 : block.count]
        block.count -= 1
        block.shortest_s = None
        self._length -= 1
        if block.count == 0:
            del self._blocks[number], self._firsts[number]
        elif position == 0:
            first = int(block.jobs[0])
            self._firsts[number] = (float(self._turn[first]), first)
        return job

    def first_fit(
        self,
        begin: Place,
        *,
        free: Sequence[int],
        slack_s: float,
        spare: Sequence[int],
        limit_s: Floats,
    ) -> Place | None:
        """The first job from ``begin`` on that needs no more than ``free``, and either has a
        ``limit_s`` of at most ``slack_s`` or needs no more than ``spare``.

        ``limit_s`` must not be below the estimate, which is what blocks are passed over by.
        """
        first, position = begin
        several = len(self._blocks) > 1
        free_class = bisect_right(self._least, free[0])
        beside_class = bisect_right(self._least, min(free[0], spare[0]))
        for number in range(first, len(self._blocks)):
            block = self._blocks[number]
            if several:
                shortest_s = block.shortest_s
                if shortest_s is None:
                    shortest_s = self._summary(block)
                if shortest_s[free_class] > slack_s and shortest_s[beside_class] == ENDLESS_S:
                    position = 0
                    continue
            jobs = block.jobs[position : block.count]
            if jobs.size:
                fits = self._fits(jobs, free, slack_s, spare, limit_s)
                found = int(fits.argmax())
                if fits[found]:
                    return number, position + found
            position = 0
        return None

    def _fits(
        self,
        jobs: Ints,
        free: Sequence[int],
        slack_s: float,
        spare: Sequence[int],
        limit_s: Floats,
    ) -> Bools:
        need = self._needs[0][jobs]
        room, beside = need <= free[0], need <= spare[0]
        for column, free_amount, spare_amount in zip(
            self._needs[1:], free[1:], spare[1:], strict=True
        ):
            need = column[jobs]
            room &= need <= free_amount
            beside &= need <= spare_amount
        beside |= limit_s[jobs] <= slack_s
        beside &= room
        return beside

    def _position(self, block: _Block, entry: tuple[float, int]) -> int:
        """How many jobs of the block have their turn at or before ``entry``."""
        turn, job = entry
        last = int(block.jobs[block.count - 1])
        if (self._turn[last], last) <= entry:
            return block.count
        held = block.held
        turns = self._turn[held]
        low, high = np.searchsorted(turns, turn, "left"), np.searchsorted(turns, turn, "right")
        return int(low + np.searchsorted(held[low:high], job, "right"))

    def _split(self, number: int) -> None:
        block = self._blocks[number]
        first, second = (_Block(half) for half in np.split(block.held, [BLOCK_JOBS]))
        self._blocks[number : number + 1] = [first, second]
        head = int(second.jobs[0])
        self._firsts.insert(number + 1, (float(self._turn[head]), head))

    def _summary(self, block: _Block) -> Floats:
        held = block.held
        shortest_s = np.full(len(self._least) + 1, ENDLESS_S)
        np.minimum.at(shortest_s, self._class[held], self._estimate_s[held])
        block.shortest_s = np.minimum.accumulate(shortest_s)
        return block.shortest_s
