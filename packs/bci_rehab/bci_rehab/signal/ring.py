"""Samples in shared memory: one writer, any number of readers, and nobody waits for anybody.

Each row holds a sample with its number, its device time and when it arrived. The writer claims
rows, writes them, then publishes them by advancing a counter that only grows. A reader copies, then
looks at the claim again: rows that were claimed meanwhile are dropped and counted, never handed out
torn. A reader that is slow or dead cannot hold the writer up; a writer that is dead is told by its
readers from the operating system, not from silence.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Sized
from dataclasses import dataclass
from enum import IntEnum
from multiprocessing import resource_tracker
from multiprocessing.shared_memory import SharedMemory

import numpy as np
import psutil

from bci_rehab.errors import RingMissing, SourceFailed
from bci_rehab.signal.blocks import Block, Channel, ChannelKind, StreamInfo
from bci_rehab.signal.sources import Clock, Sleep

POLL_S = 0.001
# How often a waiting reader asks the operating system whether the writer lives.
LIVENESS_S = 0.03
BYTES_LIMIT = 2**30
_MAGIC = 0x4841_4948_4542_4349
_VERSION = 1
_TEXT_BYTES = 2_048
_INFO_BYTES = 65_536
_attach_lock = threading.Lock()
_fence_lock = threading.Lock()


class Phase(IntEnum):
    """How far the writer is."""

    WAITING = 0
    RUNNING = 1
    ENDED = 2
    FAILED = 3


@dataclass(frozen=True, kw_only=True)
class WriterState:
    """What the writer left in the header."""

    phase: Phase
    heartbeat_s: float
    rows: int
    pid: int
    note: str
    error: str


_HEADER = np.dtype(
    [
        ("magic", "<u8"), ("version", "<i8"), ("capacity", "<i8"), ("channels", "<i8"),
        ("claim", "<i8"), ("head", "<i8"), ("phase", "<i8"), ("pid", "<i8"),
        ("born_s", "<f8"), ("heartbeat_s", "<f8"),
        ("info_bytes", "<i8"), ("note_bytes", "<i8"), ("error_bytes", "<i8"),
        ("note", f"S{_TEXT_BYTES}"), ("error", f"S{_TEXT_BYTES}"), ("info", f"S{_INFO_BYTES}"),
    ]
)  # fmt: skip


class _Ring:
    """The shared memory, and its parts as arrays."""

    def __init__(self, memory: SharedMemory) -> None:
        self.memory = memory
        self._header = np.ndarray((1,), dtype=_HEADER, buffer=memory.buf)
        self.words = {name: self._header[name] for name in _HEADER.names or ()}

    def map_rows(self) -> None:
        """Lay the columns out behind the header, as its capacity and channels say."""
        capacity, channels = int(self.words["capacity"][0]), int(self.words["channels"][0])
        at = _HEADER.itemsize
        buffer = self.memory.buf
        self.numbers = np.ndarray((capacity,), "<i8", buffer, at)
        self.device_s = np.ndarray((capacity,), "<f8", buffer, at + 8 * capacity)
        self.host_s = np.ndarray((capacity,), "<f8", buffer, at + 16 * capacity)
        self.samples = np.ndarray((capacity, channels), "<f8", buffer, at + 24 * capacity)
        self.capacity = capacity

    def text(self, field: str) -> str:
        length = int(self.words[f"{field}_bytes"][0])
        return bytes(self.words[field].tobytes()[:length]).decode("utf-8", "replace")

    def set_text(self, field: str, text: str, limit: int) -> None:
        data = text.encode()[:limit]
        self.words[f"{field}_bytes"][0] = 0
        self.words[field][0] = data
        self.words[f"{field}_bytes"][0] = len(data)

    def close(self) -> None:
        """Let the memory go; arrays over it must be gone first."""
        for name in ("numbers", "device_s", "host_s", "samples", "_header"):
            self.__dict__.pop(name, None)
        self.words.clear()
        self.memory.close()


class RingWriter:
    """The one writer. ``create`` makes the memory, which its maker removes with ``remove``."""

    def __init__(self, ring: _Ring, *, clock: Clock = time.monotonic) -> None:
        self._ring = ring
        self._clock = clock

    @classmethod
    def create(
        cls, info: StreamInfo, *, seconds: float = 10.0, clock: Clock = time.monotonic
    ) -> RingWriter:
        """Make a ring that holds so many seconds of the source."""
        capacity = max(16, round(seconds * info.rate_hz))
        channels = len(info.channels)
        size = _HEADER.itemsize + capacity * 8 * (3 + channels)
        described = _to_json(info)
        if size > BYTES_LIMIT or len(described.encode()) > _INFO_BYTES:
            raise ValueError(f"a ring of {size} bytes is beyond the limit of {BYTES_LIMIT}")
        ring = _Ring(SharedMemory(create=True, size=size))
        ring.words["version"][0] = _VERSION
        ring.words["capacity"][0] = capacity
        ring.words["channels"][0] = channels
        ring.set_text("info", described, _INFO_BYTES)
        ring.map_rows()
        _fence()
        ring.words["magic"][0] = _MAGIC
        return cls(ring, clock=clock)

    @classmethod
    def attach(cls, name: str, *, clock: Clock = time.monotonic) -> RingWriter:
        """Write, from another process, into a ring that was made."""
        return cls(_attach(name), clock=clock)

    @property
    def name(self) -> str:
        """By what name readers attach."""
        return self._ring.memory.name

    def begin(self, *, note: str = "") -> None:
        """Become the writer: from now on readers see whether this process lives."""
        words = self._ring.words
        words["pid"][0] = os.getpid()
        words["born_s"][0] = psutil.Process().create_time()
        self._ring.set_text("note", note, _TEXT_BYTES)
        self.beat()
        _fence()
        words["phase"][0] = Phase.RUNNING

    def write(self, block: Block) -> None:
        """Append a block; of one longer than the ring the last part is kept."""
        ring = self._ring
        count = min(len(block), ring.capacity // 2)
        skipped = len(block) - count
        head = int(ring.words["head"][0])
        ring.words["claim"][0] = head + count
        _fence()
        rows = np.arange(head, head + count) % ring.capacity
        ring.numbers[rows] = np.arange(block.first + skipped, block.end)
        ring.device_s[rows] = block.device_s[skipped:]
        ring.host_s[rows] = block.host_s
        ring.samples[rows] = block.samples[skipped:]
        _fence()
        ring.words["head"][0] = head + count

    def beat(self) -> None:
        """Say that the loop turns."""
        self._ring.words["heartbeat_s"][0] = self._clock()

    def end(self) -> None:
        """Say that no more comes, on purpose."""
        self._ring.words["phase"][0] = Phase.ENDED

    def fail(self, reason: str) -> None:
        """Say why no more comes."""
        self._ring.set_text("error", reason, _TEXT_BYTES)
        _fence()
        self._ring.words["phase"][0] = Phase.FAILED

    def state(self) -> WriterState:
        """What readers see."""
        return _state(self._ring)

    def close(self) -> None:
        """Let go of the memory; it stays for the others."""
        self._ring.close()

    def remove(self) -> None:
        """Let go, and have the memory freed when the last reader lets go too."""
        self._ring.close()
        self._ring.memory.unlink()


class RingReader:
    """One reader; each has its own place.

    Parameters
    ----------
    name : str
        The ring's.
    from_oldest : bool
        Begin with the oldest row that is still there instead of the next one to come.

    Attributes
    ----------
    overrun : int
        How many samples were written and overwritten before this reader came to them. They show as
        gaps of the sample number too.
    """

    def __init__(
        self,
        name: str,
        *,
        from_oldest: bool = False,
        clock: Clock = time.monotonic,
        sleep: Sleep = time.sleep,
    ) -> None:
        self._ring = _attach(name)
        self._clock = clock
        self._sleep = sleep
        self._looked_s = -1.0
        self._writer: psutil.Process | None = None
        head = int(self._ring.words["head"][0])
        oldest = int(self._ring.words["claim"][0]) - self._ring.capacity
        self._next = max(0, oldest) if from_oldest else head
        self.overrun = 0
        self.info = _from_json(self._ring.text("info"))

    def read(self, timeout_s: float) -> Block | None:
        """All consecutive samples since the last call, or None when none came within the timeout.

        Raises
        ------
        SourceFailed
            The writer said so, or its process is gone, and all it wrote was read.
        """
        until_s = self._clock() + timeout_s
        while True:
            block = self._take()
            if block is not None:
                return block
            failure = self._look_after_writer()
            if failure is not None:
                # What was written between the last look and the end is still to be had.
                block = self._take()
                if block is not None:
                    return block
                raise failure
            left_s = until_s - self._clock()
            if left_s <= 0:
                return None
            self._sleep(min(POLL_S, left_s))

    def state(self) -> WriterState:
        """What the writer says of itself."""
        return _state(self._ring)

    def heartbeat_age_s(self) -> float:
        """How long ago the writer's loop turned."""
        return self._clock() - float(self._ring.words["heartbeat_s"][0])

    def close(self) -> None:
        """Let go of the memory."""
        self._ring.close()

    def _take(self) -> Block | None:
        ring = self._ring
        head = int(ring.words["head"][0])
        _fence()
        self._skip_overwritten()
        if self._next >= head:
            return None
        rows = np.arange(self._next, head) % ring.capacity
        numbers = ring.numbers[rows]
        device_s, host_s, samples = ring.device_s[rows], ring.host_s[rows], ring.samples[rows]
        _fence()
        torn = min(self._skip_overwritten(), len(rows))
        numbers, samples = numbers[torn:], samples[torn:]
        device_s, host_s = device_s[torn:], host_s[torn:]
        if not len(numbers):
            return None
        breaks = np.flatnonzero(np.diff(numbers) != 1)
        count = int(breaks[0]) + 1 if len(breaks) else len(numbers)
        self._next += count
        return Block(
            first=int(numbers[0]),
            samples=np.array(samples[:count]),
            device_s=np.array(device_s[:count]),
            host_s=float(host_s[count - 1]),
        )

    def _skip_overwritten(self) -> int:
        """Move the place behind what the writer has claimed since; how far."""
        oldest = int(self._ring.words["claim"][0]) - self._ring.capacity
        torn = max(0, oldest - self._next)
        self._next += torn
        self.overrun += torn
        return torn

    def _look_after_writer(self) -> SourceFailed | None:
        words = self._ring.words
        phase = Phase(int(words["phase"][0]))
        if phase is Phase.FAILED:
            return SourceFailed(source=self.info.name, reason=self._ring.text("error"))
        now_s = self._clock()
        if phase is not Phase.RUNNING or now_s - self._looked_s < LIVENESS_S:
            return None
        self._looked_s = now_s
        pid = int(words["pid"][0])
        if self._writer is None or self._writer.pid != pid:
            self._writer = _process(pid, float(words["born_s"][0]))
        if self._writer is not None and _alive(self._writer):
            return None
        return SourceFailed(
            source=self.info.name, reason=f"its acquisition process {pid} was ended from outside"
        )


def _process(pid: int, born_s: float) -> psutil.Process | None:
    """The process, unless another has taken its number since.

    The times of birth may differ by what the wall clock was corrected meanwhile.
    """
    try:
        process = psutil.Process(pid)
        return process if abs(process.create_time() - born_s) < 60.0 else None
    except psutil.NoSuchProcess:
        return None


def _alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _fence() -> None:
    """Keep what stands before in memory order before what stands after.

    Processors other than x86 may show writes to another core in another order. Taking and leaving a
    lock twice is a full barrier there, and costs a tenth of a microsecond.
    """
    with _fence_lock:
        pass
    with _fence_lock:
        pass


def _attach(name: str) -> _Ring:
    try:
        memory = _open_untracked(name)
    except FileNotFoundError as error:
        raise RingMissing(ring=name, reason="no such shared memory") from error
    if memory.size < _HEADER.itemsize:
        memory.close()
        raise RingMissing(ring=name, reason="too small for a header")
    ring = _Ring(memory)
    if int(ring.words["magic"][0]) != _MAGIC or int(ring.words["version"][0]) != _VERSION:
        ring.close()
        raise RingMissing(ring=name, reason="it is not one of ours")
    ring.map_rows()
    return ring


def _open_untracked(name: str) -> SharedMemory:
    """Open memory that another made, without becoming answerable for its removal.

    Before Python 3.13 each opener registers with its resource tracker, which would remove the
    memory from under the others when this process ends (CPython issue 82300).
    """
    if sys.version_info >= (3, 13):
        return SharedMemory(name=name, track=False)
    with _attach_lock:
        register = resource_tracker.register
        resource_tracker.register = _untracked
        try:
            return SharedMemory(name=name)
        finally:
            resource_tracker.register = register


def _untracked(name: Sized, rtype: str) -> None:
    """Stands in for the tracker's ``register`` while memory of others is opened."""


def _state(ring: _Ring) -> WriterState:
    return WriterState(
        phase=Phase(int(ring.words["phase"][0])),
        heartbeat_s=float(ring.words["heartbeat_s"][0]),
        rows=int(ring.words["head"][0]),
        pid=int(ring.words["pid"][0]),
        note=ring.text("note"),
        error=ring.text("error"),
    )


def _to_json(info: StreamInfo) -> str:
    channels = [[c.name, c.kind.value, c.microvolts_per_unit] for c in info.channels]
    return json.dumps([info.name, info.source_id, info.rate_hz, channels])


def _from_json(text: str) -> StreamInfo:
    name, source_id, rate_hz, channels = json.loads(text)
    return StreamInfo(
        name=name,
        source_id=source_id,
        rate_hz=rate_hz,
        channels=tuple(
            Channel(name=label, kind=ChannelKind(kind), microvolts_per_unit=factor)
            for label, kind, factor in channels
        ),
    )
