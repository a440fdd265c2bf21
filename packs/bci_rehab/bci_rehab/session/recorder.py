"""Writes a session's recording so that a crash loses at most half a second of it.

The session hands records over and never waits: a thread writes them within some 20 ms, another
brings them to the disk every 200 ms. What was written survives the death of the process at once,
and the death of the machine after that. When the disk is full, or too slow for the bounded queue,
the next append raises and ``status`` says so: the interlock then stops the actuator.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from bci_rehab.errors import RecorderFailed, RecordingClosed
from bci_rehab.session.record_format import (
    FILE_HEAD,
    MAGIC,
    VERSION,
    RecordKind,
    Scan,
    encoded,
    first_digest,
    json_payload,
    samples_payload,
    stream_to,
)
from bci_rehab.signal.blocks import Block, StreamInfo
from haihe.packs import gettext_noop

BATCH_S = 0.02
SYNC_S = 0.2
QUEUE_RECORDS = 20_000
QUEUE_BYTES = 32 * 2**20
CLOSE_S = 10.0
COPY_BYTES = 2**20
FULL = gettext_noop("the disk is full")
TOO_SLOW = gettext_noop("the disk is too slow")
NO_ANSWER = gettext_noop("the disk does not answer")
DETAILS = (FULL, TOO_SLOW, NO_ANSWER)
FULL_CODES = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True, kw_only=True)
class RecorderStatus:
    """How the recording stands.

    ``behind_s`` is how long the oldest record waits to be written, ``unsynced_s`` the oldest that
    is written waits to be on the disk; ``failure`` is empty while all is well.
    """

    behind_s: float
    unsynced_s: float
    bytes_written: int
    failure: str


@dataclass(frozen=True, kw_only=True)
class _Queued:
    kind: RecordKind
    at_s: float
    taken_s: float
    payload: bytes
    block: Block | None

    @property
    def size(self) -> int:
        return len(self.payload) + (0 if self.block is None else self.block.samples.nbytes)


class Recorder:
    """Appends to one recording. Made by :meth:`create` or :meth:`resume`; used by one thread."""

    def __init__(
        self,
        path: Path,
        fd: int,
        *,
        end: int,
        number: int,
        digest: bytes,
        digest_all: Any,
        clock: Callable[[], float],
    ) -> None:
        self.path = path
        self._fd, self._end, self._number, self._digest = fd, end, number, digest
        self._hash, self._clock = digest_all, clock
        self._queue: deque[_Queued] = deque()
        self._queued_bytes = 0
        self._change = threading.Condition()
        self._writing_since_s: float | None = None
        self._unsynced_since_s: float | None = None
        self._failure = ""
        self._unwritten: list[_Queued] = []
        self._closing = False
        self._start()

    def _start(self) -> None:
        self._synced = threading.Event()
        self._threads = [
            threading.Thread(target=self._write_all, daemon=True, name="recorder"),
            threading.Thread(target=self._sync_all, daemon=True, name="recorder-sync"),
        ]
        for thread in self._threads:
            thread.start()

    @classmethod
    def create(
        cls,
        path: Path,
        stream: StreamInfo,
        info: Mapping[str, Any],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> Self:
        """Begin a recording at ``path``, which must not exist.

        ``info`` is what else must be known to read it in ten years: plan, model, versions.
        """
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            raise RecordingClosed(path=str(path), reason="it exists already") from None
        except OSError as error:
            raise RecorderFailed(path=str(path), reason=str(error)) from error
        _lock(fd, path)
        head = FILE_HEAD.pack(MAGIC, VERSION)
        try:
            _write(fd, head)
            _sync_folder(path.parent)
        except OSError as error:
            os.close(fd)
            raise RecorderFailed(path=str(path), reason=str(error)) from error
        made = cls(
            path, fd, end=len(head), number=0, digest=first_digest(),
            digest_all=hashlib.sha256(head), clock=clock,
        )  # fmt: skip
        body = {**info, "stream": stream_to(stream), "clock": clock_reading(clock())}
        made.append(RecordKind.INFO, body)
        return made

    @classmethod
    def resume(cls, path: Path, *, clock: Callable[[], float] = time.monotonic) -> Self:
        """Continue a recording whose process died.

        A torn tail is moved into a file beside it, never thrown away; a block says what was lost.

        Raises :class:`RecordingClosed` if it was finished or is being written.
        """
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        _lock(fd, path)
        with path.open("rb") as file:
            scan = Scan(file, path)
            last_s = 0.0
            for record in scan:
                last_s = record.at_s
        if scan.closed:
            os.close(fd)
            raise RecordingClosed(path=str(path), reason="it was finished")
        torn = _set_aside(path, scan.end) if scan.damage else None
        os.ftruncate(fd, scan.end)
        os.lseek(fd, scan.end, os.SEEK_SET)
        made = cls(
            path, fd, end=scan.end, number=scan.number, digest=scan.digest,
            digest_all=scan.hash, clock=clock,
        )  # fmt: skip
        lost_bytes, reason = 0, ""
        if scan.damage:
            lost_bytes, reason = scan.damage.lost_bytes, scan.damage.reason
        body = resumption(
            clock(), last_s=last_s, reason=reason, lost_bytes=lost_bytes,
            torn_file=torn.name if torn else "",
        )  # fmt: skip
        made.append(RecordKind.RESUMPTION, body)
        return made

    def go_on(self) -> None:
        """Write again after a failure, if the disk lets it: first what had waited then.

        What came in between is not here: samples that are missing show as a gap of their numbers.

        Raises :class:`RecorderFailed` if it still cannot be written; it can be tried again.
        """
        reason, now_s = self._failure, self._clock()
        assert reason, "only what failed goes on"
        self._synced.set()
        for thread in self._threads:
            thread.join(CLOSE_S)
        if any(thread.is_alive() for thread in self._threads):
            raise RecorderFailed(path=str(self.path), reason=NO_ANSWER)
        body = json_payload(resumption(now_s, last_s=now_s, reason=reason))
        mark = _Queued(
            kind=RecordKind.RESUMPTION, at_s=now_s, taken_s=now_s, payload=body, block=None
        )
        try:
            os.ftruncate(self._fd, self._end)
            os.lseek(self._fd, self._end, os.SEEK_SET)
            self._write_batch([*self._unwritten, mark])
            os.fdatasync(self._fd)
        except OSError as error:
            raise RecorderFailed(path=str(self.path), reason=_why(error)) from error
        with self._change:
            self._unwritten = []
            self._failure, self._writing_since_s, self._unsynced_since_s = "", None, None
        self._start()

    def append(
        self, kind: RecordKind, body: Mapping[str, Any], *, at_s: float | None = None
    ) -> None:
        """Hand over a record; never waits for the disk.

        Raises :class:`RecorderFailed` once the recording cannot be written.
        """
        now_s = self._clock()
        at_s = now_s if at_s is None else at_s
        payload = json_payload(body)
        self._put(_Queued(kind=kind, at_s=at_s, taken_s=now_s, payload=payload, block=None))

    def append_block(self, block: Block) -> None:
        """Hand over samples, which must not be changed afterwards; never waits for the disk."""
        self._put(
            _Queued(
                kind=RecordKind.SAMPLES,
                at_s=block.host_s,
                taken_s=self._clock(),
                payload=b"",
                block=block,
            )
        )

    def status(self) -> RecorderStatus:
        """How the recording stands now."""
        now_s = self._clock()
        with self._change:
            oldest_s = self._writing_since_s
            if oldest_s is None and self._queue:
                oldest_s = self._queue[0].taken_s
            return RecorderStatus(
                behind_s=0.0 if oldest_s is None else now_s - oldest_s,
                unsynced_s=0.0
                if self._unsynced_since_s is None
                else now_s - self._unsynced_since_s,
                bytes_written=self._end,
                failure=self._failure,
            )

    def close(self) -> str:
        """Finish the recording: its SHA-256 in a closing block, all of it on the disk.

        Returns the SHA-256. Raises :class:`RecorderFailed` if it could not be finished; what was
        written stays readable.
        """
        with self._change:
            self._closing = True
            self._change.notify_all()
        self._threads[0].join(CLOSE_S)
        self._synced.set()
        self._threads[1].join(CLOSE_S)
        if any(thread.is_alive() for thread in self._threads):
            raise RecorderFailed(path=str(self.path), reason=NO_ANSWER)
        try:
            if self._failure:
                raise RecorderFailed(path=str(self.path), reason=self._failure)
            return self._finish()
        except OSError as error:
            raise RecorderFailed(path=str(self.path), reason=str(error)) from error
        finally:
            os.close(self._fd)

    def _put(self, queued: _Queued) -> None:
        with self._change:
            if self._closing:
                raise RecordingClosed(path=str(self.path), reason="it was finished")
            full = len(self._queue) >= QUEUE_RECORDS or self._queued_bytes >= QUEUE_BYTES
            if full and not self._failure:
                self._failure = TOO_SLOW
            if self._failure:
                raise RecorderFailed(path=str(self.path), reason=self._failure)
            self._queue.append(queued)
            self._queued_bytes += queued.size
            self._change.notify_all()

    def _write_all(self) -> None:
        """The writer's thread: until it is closed and nothing is left, or it failed."""
        while True:
            with self._change:
                while not self._queue and not self._closing and not self._failure:
                    self._change.wait()
                if not self._queue:
                    return
                batch = list(self._queue)
                self._queue.clear()
                self._queued_bytes = 0
                self._writing_since_s = batch[0].taken_s
            try:
                self._write_batch(batch)
            except OSError as error:
                self._fail(error, batch)
                return
            with self._change:
                self._writing_since_s = None
                if self._unsynced_since_s is None:
                    self._unsynced_since_s = batch[0].taken_s
                closing = self._closing
            if not closing:
                time.sleep(BATCH_S)

    def _write_batch(self, batch: list[_Queued]) -> None:
        parts = []
        number, digest = self._number, self._digest
        for queued in batch:
            payload = queued.payload if queued.block is None else samples_payload(queued.block)
            number += 1
            raw = encoded(queued.kind, number, queued.at_s, payload, digest)
            digest = raw[len(raw) - len(payload) - len(digest) : len(raw) - len(payload)]
            parts.append(raw)
        joined = b"".join(parts)
        _write(self._fd, joined)
        self._hash.update(joined)
        self._number, self._digest = number, digest
        self._end += len(joined)

    def _sync_all(self) -> None:
        """The other thread: bring to the disk what was written, several times a second."""
        while not self._synced.wait(SYNC_S) and not self._failure:
            with self._change:
                since_s, self._unsynced_since_s = self._unsynced_since_s, None
            if since_s is None:
                continue
            try:
                os.fdatasync(self._fd)
            except OSError as error:
                self._fail(error)

    def _fail(self, error: OSError, batch: Sequence[_Queued] = ()) -> None:
        """Keep what is whole, and let every further append say why."""
        with self._change:
            self._failure = _why(error)
            self._unwritten = [*batch, *self._unwritten, *self._queue]
            self._queue.clear()
            self._queued_bytes = 0
            self._change.notify_all()
        # A torn last block is cut off, if the disk allows it; a reader copes with it anyway.
        os.ftruncate(self._fd, self._end)

    def _finish(self) -> str:
        sha256 = str(self._hash.hexdigest())
        payload = json_payload({"sha256": sha256, "clock": clock_reading(self._clock())})
        raw = encoded(RecordKind.CLOSING, self._number + 1, self._clock(), payload, self._digest)
        _write(self._fd, raw)
        os.fsync(self._fd)
        return sha256


def clock_reading(monotonic_s: float) -> dict[str, Any]:
    """The host's clocks side by side, so that times of two runs, or after a restart, can be set
    against each other."""
    return {"monotonic_s": monotonic_s, "utc": datetime.now(UTC).isoformat()}


def resumption(
    now_s: float, *, last_s: float, reason: str, lost_bytes: int = 0, torn_file: str = ""
) -> dict[str, Any]:
    """Where a recording goes on behind a break: why it broke, and what was lost of the file."""
    return {
        "lost_bytes": lost_bytes, "reason": reason, "torn_file": torn_file, "last_s": last_s,
        "clock": clock_reading(now_s),
    }  # fmt: skip


def _why(error: OSError) -> str:
    return FULL if error.errno in FULL_CODES else error.strerror or str(error)


def _lock(fd: int, path: Path) -> None:
    """Only one process writes a recording; the lock goes with the process, however it ends."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise RecordingClosed(path=str(path), reason="another process writes it") from None


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _set_aside(path: Path, end: int) -> Path:
    """Copy what lies behind ``end`` into a file of its own, on the disk before anything is cut."""
    number = 1
    while (aside := path.with_name(f"{path.name}.torn-{number}")).exists():
        number += 1
    with path.open("rb") as source, aside.open("xb") as target:
        source.seek(end)
        while chunk := source.read(COPY_BYTES):
            target.write(chunk)
        target.flush()
        os.fsync(target.fileno())
    _sync_folder(path.parent)
    return aside


def _sync_folder(folder: Path) -> None:
    """A new file's name is on the disk only once its folder is."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
