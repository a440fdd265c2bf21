"""A recording as a source: at the speed it was made, faster, or step by step without a clock.

The live path is proven with it: what comes out are the recorded samples, bit by bit, under their
own numbers, with the gaps where they were.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

from bci_rehab.errors import SourceClosed
from bci_rehab.signal.blocks import Block, StreamInfo
from bci_rehab.signal.recording import Recording
from bci_rehab.signal.sources import Clock, Sleep


class Replay:
    """Plays a recording once; then nothing more comes and ``finished`` is true.

    Parameters
    ----------
    recording : Recording
        What to play.
    speed : float or None
        1.0 is true speed; None gives a block at each read and asks no clock.
    block_s : float
        Length of the blocks in seconds of the recording.
    """

    def __init__(
        self,
        recording: Recording,
        *,
        speed: float | None = 1.0,
        block_s: float = 0.02,
        clock: Clock = time.monotonic,
        sleep: Sleep = time.sleep,
    ) -> None:
        if speed is not None and not speed > 0:
            raise ValueError(f"a recording is played at a positive speed, not {speed}")
        self._recording = recording
        self._speed = speed
        self._size = max(1, round(block_s * recording.info.rate_hz))
        self._clock = clock
        self._sleep = sleep
        self._blocks: Iterator[Block] | None = None
        self._next: Block | None = None
        self._began_s = 0.0

    @property
    def finished(self) -> bool:
        """Whether all samples have been read."""
        return self._blocks is not None and self._next is None

    def open(self) -> StreamInfo:
        """Start at the first sample."""
        self._blocks = self._recording.blocks(self._size)
        self._next = next(self._blocks, None)
        self._began_s = self._clock()
        return self._recording.info

    def read(self, timeout_s: float) -> Block | None:
        """The next block, once its last sample's time has come."""
        if self._blocks is None:
            raise SourceClosed(source=self._recording.info.name)
        block = self._next
        if block is None:
            if self._speed is not None:
                self._sleep(timeout_s)
            return None
        if self._speed is None:
            host_s = block.host_s
        else:
            due_s = self._began_s + self._offset_s(block) / self._speed
            wait_s = due_s - self._clock()
            if wait_s > timeout_s:
                self._sleep(timeout_s)
                return None
            if wait_s > 0:
                self._sleep(wait_s)
            host_s = self._clock()
        self._next = next(self._blocks, None)
        return replace(block, host_s=host_s)

    def close(self) -> None:
        """Forget the place; opening starts anew."""
        self._blocks = None
        self._next = None

    def _offset_s(self, block: Block) -> float:
        return (block.end - self._recording.first) / self._recording.info.rate_hz
