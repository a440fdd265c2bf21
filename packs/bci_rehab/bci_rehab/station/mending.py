"""Makes parts anew that failed in mid-session, so that it can go on where it was.

Nothing moves again by itself: a part that was put in anew is used once a person has armed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from haihe.packs import HaiheError

# A device or a disk that somebody must see to first is tried again ever more seldom.
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 20.0
# So many tries last for half an hour and more; then somebody must close the session.
TRIES_LIMIT = 120
# What has been well for so long has all its chances again.
WELL_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Repair:
    """How a part is seen to be broken, and what makes it anew. ``mend`` may block."""

    is_broken: Callable[[float], bool]
    mend: Callable[[], None]


class Mender:
    """Looks after the parts of a session; what takes time is done by ``worker``."""

    def __init__(
        self,
        worker: Executor,
        repairs: Sequence[Repair],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._worker, self._repairs, self._clock = worker, repairs, clock
        self._tries = self._in_vain = 0
        self._next_s = self._broken_s = float("-inf")
        self._is_busy = False

    def look(self, now_s: float) -> None:
        """Have mended what is broken; returns at once."""
        if self._is_busy or now_s < self._next_s:
            return
        broken = [repair for repair in self._repairs if repair.is_broken(now_s)]
        if not broken:
            if now_s - self._broken_s > WELL_S:
                self._tries = 0
            return
        self._broken_s = now_s
        if self._tries < TRIES_LIMIT:
            self._is_busy = True
            self._tries += 1
            self._worker.submit(self._mend, broken)

    def _mend(self, broken: Sequence[Repair]) -> None:
        try:
            for repair in broken:
                repair.mend()
            self._in_vain = 0
        except HaiheError:
            # The interlock goes on saying what is wrong; a therapist reads it.
            self._in_vain += 1
        finally:
            wait_s = FIRST_WAIT_S * 2.0 ** min(self._in_vain, 10)
            self._next_s = self._clock() + min(wait_s, LONGEST_WAIT_S)
            self._is_busy = False
