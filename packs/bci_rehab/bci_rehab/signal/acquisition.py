"""A source in a process of its own, so that nothing a page or a decoder does can hold it up.

The process asks for a real-time priority and says what it got. It writes to the ring, turns its
loop at least every ``READ_S`` and beats each time. It ends with its parent. An error of the source
ends it too, in words that every reader of the ring is given.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from multiprocessing.reduction import ForkingPickler
from typing import Any

from bci_rehab.errors import SourceClosed, SourceFailed
from bci_rehab.signal.blocks import StreamInfo
from bci_rehab.signal.ring import Phase, RingReader, RingWriter
from bci_rehab.signal.sources import Source
from haihe.packs import HaiheError

READ_S = 0.02
FIFO_PRIORITY = 10
NICENESS = -10
ANSWERS_PER_TURN = 16
# What a pipe takes without waiting for a reader, with room to spare.
ANSWER_BYTES_LIMIT = 60_000


@dataclass(frozen=True, kw_only=True)
class AcquisitionState:
    """How the acquisition fares; ``error`` says why it ended, where it did not end on purpose."""

    phase: Phase
    alive: bool
    scheduling: str
    heartbeat_age_s: float
    samples: int
    error: str


class Acquisition:
    """Runs a source in its own process.

    Parameters
    ----------
    factory : callable
        Makes the source, in the new process; it is pickled on the way there
        (``functools.partial(SyntheticPatient, profile, rate_hz=250.0)``).
    ring_s : float
        How many seconds the ring holds: what a reader may be late without losing samples.
    """

    def __init__(self, factory: Callable[[], Source], *, ring_s: float = 10.0) -> None:
        self._factory = factory
        self._ring_s = ring_s
        self._process: SpawnProcess | None = None
        self._link: Connection | None = None
        self._ring: RingWriter | None = None
        self._asked = 0
        self.info: StreamInfo | None = None

    @property
    def ring(self) -> str:
        """The name under which readers, in any process, attach."""
        if self._ring is None:
            raise SourceClosed(source="of the acquisition")
        return self._ring.name

    def start(self, timeout_s: float = 30.0) -> StreamInfo:
        """Start the process and open the source; returns when samples can flow."""
        if self._process is not None:
            self.stop()
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        self._link = ours
        self._process = context.Process(
            target=_serve, args=(self._factory, theirs), name="haihe-acquisition", daemon=True
        )
        self._process.start()
        theirs.close()
        try:
            self.info = self._expect("opened", timeout_s)
            self._ring = RingWriter.create(self.info, seconds=self._ring_s)
            ours.send(("ring", self._ring.name))
            self._expect("running", timeout_s)
        except BaseException:
            self.stop(timeout_s=1.0)
            raise
        return self.info

    def reader(self, *, from_oldest: bool = False) -> RingReader:
        """A new reader of the samples."""
        return RingReader(self.ring, from_oldest=from_oldest)

    def ask(self, command: str, *arguments: Any, timeout_s: float = 2.0) -> Any:
        """Have the source carry out one of its ``commands``, and return its answer."""
        if self._link is None:
            raise SourceClosed(source="of the acquisition")
        self._asked += 1
        try:
            self._link.send(("command", self._asked, command, arguments))
        except (BrokenPipeError, ConnectionResetError) as error:
            raise self._failed("its process has ended") from error
        return self._expect("answer", timeout_s, asked=self._asked)

    def state(self) -> AcquisitionState:
        """How it fares now."""
        alive = self._process is not None and self._process.is_alive()
        if self._ring is None:
            return AcquisitionState(
                phase=Phase.WAITING,
                alive=alive,
                scheduling="",
                heartbeat_age_s=float("inf"),
                samples=0,
                error="",
            )
        state = self._ring.state()
        phase, error = state.phase, state.error
        if not alive and phase is Phase.RUNNING:
            phase, error = Phase.FAILED, f"its process {state.pid} was ended from outside"
        return AcquisitionState(
            phase=phase,
            alive=alive,
            scheduling=state.note,
            heartbeat_age_s=time.monotonic() - state.heartbeat_s,
            samples=state.rows,
            error=error,
        )

    def stop(self, timeout_s: float = 3.0) -> None:
        """End the process: asked first, then told, then killed. The ring is freed."""
        if self._link is not None:
            # One that has ended already has what is wanted.
            with suppress(BrokenPipeError, ConnectionResetError):
                self._link.send(("stop",))
        if self._process is not None:
            self._process.join(timeout_s)
            for end in (self._process.terminate, self._process.kill):
                if self._process.is_alive():
                    end()
                    self._process.join(1.0)
            self._process.close()
        if self._link is not None:
            self._link.close()
        if self._ring is not None:
            self._ring.remove()
        self._process = self._link = self._ring = None

    def __enter__(self) -> Acquisition:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _expect(self, wanted: str, timeout_s: float, *, asked: int = 0) -> Any:
        """The process's next message; its own account where it failed."""
        assert self._link is not None
        assert self._process is not None
        until_s = time.monotonic() + timeout_s
        value: Any = None
        kind, answers = "", -1
        # An answer that came after its question was given up belongs to nobody.
        while answers != asked and kind != "failed":
            if not self._link.poll(max(0.0, until_s - time.monotonic())):
                raise self._failed(f"it gave no answer within {timeout_s} s")
            try:
                kind, value, answers = self._link.recv()
            except (EOFError, ConnectionResetError) as error:
                self._process.join(1.0)
                code = self._process.exitcode
                raise self._failed(f"its process ended with code {code}") from error
        if kind in ("failed", "error"):
            if isinstance(value, str):
                raise self._failed(value)
            kind_of_error, params = value
            raise kind_of_error(**params)
        if kind != wanted:
            raise self._failed(f"it answered {kind} where {wanted} was due")
        return value

    def _failed(self, reason: str) -> SourceFailed:
        name = self.info.name if self.info else "of the acquisition"
        return SourceFailed(source=name, reason=reason)


# --- in the process ------------------------------------------------------------------------------


class _ParentGone(Exception):
    """Nobody reads what would come."""


def _serve(factory: Callable[[], Source], link: Connection) -> None:
    """The process's whole life."""
    writer: RingWriter | None = None
    source: Source | None = None
    try:
        source = factory()
        link.send(("opened", source.open(), 0))
        message = _next_order(link)
        if message[0] != "ring":
            return
        writer = RingWriter.attach(message[1])
        writer.begin(note=_raise_priority())
        link.send(("running", None, 0))
        _pump(source, writer, link)
        writer.end()
    except _ParentGone:
        return
    except Exception as error:  # noqa: BLE001 - the edge of a process: each cause goes to readers
        reason = str(error) or repr(error)
        if writer is not None:
            writer.fail(reason)
        _tell(link, _portable(error))
    finally:
        if source is not None:
            source.close()
        if writer is not None:
            writer.close()
        link.close()


def _pump(source: Source, writer: RingWriter, link: Connection) -> None:
    """Move samples until told to stop."""
    while True:
        block = source.read(READ_S)
        if block is not None:
            writer.write(block)
        writer.beat()
        for _ in range(ANSWERS_PER_TURN):
            if not link.poll():
                break
            message = _next_order(link)
            if message[0] == "stop":
                return
            _, asked, command, arguments = message
            kind, value = _answer(source, command, arguments)
            link.send((kind, value, asked))


def _next_order(link: Connection) -> tuple[Any, ...]:
    try:
        order: tuple[Any, ...] = link.recv()
    except (EOFError, ConnectionResetError) as error:
        raise _ParentGone from error
    return order


def _answer(source: Source, command: str, arguments: tuple[Any, ...]) -> tuple[str, Any]:
    """Carry out an order. One that fails is told to who gave it; the samples flow on."""
    if command not in getattr(source, "commands", ()):
        return "error", f"the source has no command {command}"
    try:
        answer = getattr(source, command)(*arguments)
        size = len(ForkingPickler.dumps(answer))
        if size > ANSWER_BYTES_LIMIT:
            return "error", f"the answer to {command} takes {size} bytes, too many to pass"
    except Exception as error:  # noqa: BLE001 - a wrong order must not end a patient's session
        return "error", _portable(error)
    return "answer", answer


def _portable(error: Exception) -> tuple[type[HaiheError], dict[str, Any]] | str:
    """An error as what a pipe can carry: ours by type and parameters, others by their words."""
    if isinstance(error, HaiheError):
        return type(error), error.params()
    return str(error) or repr(error)


def _tell(link: Connection, error: object) -> None:
    try:
        link.send(("failed", error, 0))
    except (BrokenPipeError, ConnectionResetError):
        return  # The parent is gone too; the ring holds the words.


def _raise_priority() -> str:
    """Ask for real time, then for niceness, and say what was granted."""
    try:
        os.sched_setscheduler(
            0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(FIFO_PRIORITY)
        )
    except (PermissionError, AttributeError, OSError):
        pass  # Not allowed or not on this system: the next best is asked for.
    else:
        return f"real time (SCHED_FIFO {FIFO_PRIORITY})"
    try:
        return f"niceness {os.nice(NICENESS)}"
    except (PermissionError, AttributeError, OSError):
        return "ordinary priority"
