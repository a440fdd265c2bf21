"""The running jobs of a pool by their planned end, and when room for one more will be there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from haihe.compute.simulation.workload import Floats, Ints

FIRST_ROOM = 64


class Running:
    """Running jobs, sorted by planned end.

    The planned end is what the scheduler believes, not when the job will end. ``needs`` has an
    array per resource with one value for each job of the whole workload.
    """

    def __init__(self, needs: Sequence[Ints]) -> None:
        self._needs = needs
        self._end_s = np.zeros(FIRST_ROOM)
        self._jobs = np.zeros(FIRST_ROOM, dtype=np.int64)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def jobs(self) -> Ints:
        """The running jobs, the one with the earliest planned end first."""
        return self._jobs[: self._count]

    @property
    def end_s(self) -> Floats:
        """Their planned ends."""
        return self._end_s[: self._count]

    def add(self, job: int, end_s: float) -> None:
        """A job starts."""
        count = self._count
        if count == len(self._jobs):
            self._end_s = np.concatenate([self._end_s, np.zeros(count)])
            self._jobs = np.concatenate([self._jobs, np.zeros(count, dtype=np.int64)])
        at = int(self._end_s[:count].searchsorted(end_s, "right"))
        if at < count:
            self._end_s[at + 1 : count + 1] = self._end_s[at:count]
            self._jobs[at + 1 : count + 1] = self._jobs[at:count]
        self._end_s[at] = end_s
        self._jobs[at] = job
        self._count = count + 1

    def remove(self, job: int, end_s: float) -> None:
        """A job ends; ``end_s`` is its planned end."""
        count = self._count
        at = int(self._end_s[:count].searchsorted(end_s, "left"))
        while self._jobs[at] != job:
            at += 1
        assert at < count
        self._end_s[at : count - 1] = self._end_s[at + 1 : count]
        self._jobs[at : count - 1] = self._jobs[at + 1 : count]
        self._count = count - 1


def reserve(
    needs: Sequence[Ints], jobs: Ints, end_s: Floats, need: Sequence[int], free: Sequence[int]
) -> tuple[float, list[int]]:
    """When ``need`` fits if ``jobs`` end at ``end_s`` (ascending), and what is free beside it then.

    The need must not fit now, and must fit when all have ended.
    """
    last = 0
    for column, wanted, there in zip(needs, need, free, strict=True):
        if wanted > there:
            freed = column[jobs].cumsum()
            last = max(last, int(freed.searchsorted(wanted - there)))
    start_s = float(end_s[last])
    gone = jobs[: int(end_s.searchsorted(start_s, "right"))]
    spare = [
        int(column[gone].sum()) + there - wanted
        for column, wanted, there in zip(needs, need, free, strict=True)
    ]
    return start_s, spare
