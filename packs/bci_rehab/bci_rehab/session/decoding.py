"""Decoding beside the session: in a process of its own, with a deadline that the interlock keeps.

A decoder may raise, take seconds, hold the interpreter or take its process down; none of it reaches
the loop that keeps the actuator's permit. Each block that is handed over is answered, also where
no decision is due, so that "late" is known from the oldest block without an answer.
"""

from __future__ import annotations

import math
import multiprocessing
import queue
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Protocol, TypeAlias

import numpy as np

from bci_rehab.errors import DecoderUnavailable
from bci_rehab.session import spawned
from bci_rehab.session.interlock import Fault, StopReason
from bci_rehab.session.spawned import Process
from bci_rehab.signal.blocks import Block, Floats, StreamInfo
from bci_rehab.signal.pieces import Piece

START_WITHIN_S = 60.0
# Blocks that wait for a decoder that is late. It is stopped long before these are used up.
WAITING_LIMIT = 256
ANSWERS_PER_POLL = 256
DETAIL_LENGTH = 500
# Less than any electrode on skin gives in any band, and more than filters make of rounding.
FLAT_UV = 1e-3


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The decoder's word on the window that ends before sample ``end``.

    ``log_odds`` by class, natural logarithm; ``clean`` is whether the window is free of artefacts
    and gaps. ``host_s`` is when its last block arrived, ``took_s`` what the block cost to decode.
    """

    end: int
    log_odds: Mapping[str, float]
    clean: bool
    host_s: float
    took_s: float


class StreamDecoder(Protocol):
    """What runs in the decoder's process: filters, features and model, fed with every block."""

    def push(self, block: Block) -> list[tuple[int, Mapping[str, float], bool]]:
        """Take a block in; for each window that it completes: end, log-odds by class, clean."""


_LOG_P_RANGE = (math.log(1e-9), math.log1p(-1e-9))

MakeDecoder: TypeAlias = Callable[[], StreamDecoder]


class Chain(Protocol):
    """A causal filter chain with kept state, as in :class:`bci_rehab.signal.filters.Chain`."""

    def process(self, block: Block) -> Piece:
        """Filter a block: a :class:`bci_rehab.signal.pieces.Piece`."""

    def reset(self) -> None:
        """Forget the past."""


class Model(Protocol):
    """What answers for a window, as :class:`bci_rehab.decode.model.Decoder` does."""

    def log_probabilities(self, windows: Floats) -> Floats:
        """Shape (windows, classes), of windows (windows, [bands,] channels, samples)."""


class WindowDecoder:
    """Slides a window over a filtered stream and asks a model at every step.

    Of a window that is not clean the model is not asked, and so learns nothing of it either: its
    log-odds are 0. That holds for a flat one too, as an amplifier sends it before its leads are in.

    Parameters
    ----------
    info : StreamInfo
        What the blocks are.
    chain : Chain
        The same causal chain with which the model's calibration data were filtered.
    model : Model
        Fitted on windows of that chain's output; ``classes`` are its classes, in its order.
    window_s, step_s : float
        Length of the window, and how often it is looked at (s).
    """

    def __init__(
        self,
        info: StreamInfo,
        chain: Chain,
        model: Model,
        *,
        classes: Sequence[str],
        window_s: float = 1.0,
        step_s: float = 0.1,
    ) -> None:
        self._chain, self._model, self._classes = chain, model, tuple(classes)
        self._rate_hz, self._window_s, self._step_s = info.rate_hz, window_s, step_s
        self._samples: Floats = np.empty((0, 0))
        self._usable = np.empty(0, dtype=np.bool_)
        self._end: int | None = None
        self._rows_to_go = 0

    def push(self, block: Block) -> list[tuple[int, Mapping[str, float], bool]]:
        """Filter the block and decide for each window that it completes."""
        piece = self._chain.process(block)
        if not len(piece.samples):
            return []
        length = round(self._window_s * self._rate_hz / piece.stride)
        step = max(1, round(self._step_s * self._rate_hz / piece.stride))
        if self._end != piece.first:
            # After a gap that the chain did not bridge the window begins anew.
            self._samples = np.empty((0, *piece.samples.shape[1:]))
            self._usable = np.empty(0, dtype=np.bool_)
            self._rows_to_go = length
        self._samples = np.concatenate([self._samples, piece.samples])
        self._usable = np.concatenate([self._usable, piece.usable])
        self._end = piece.end
        self._rows_to_go -= len(piece.samples)
        made: list[tuple[int, Mapping[str, float], bool]] = []
        while self._rows_to_go <= 0:
            stop = len(self._samples) + self._rows_to_go
            window = self._samples[stop - length : stop]
            clean = bool(self._usable[stop - length : stop].all()) and not is_flat(window)
            said = self._log_odds(window) if clean else dict.fromkeys(self._classes, 0.0)
            made.append((piece.end + self._rows_to_go * piece.stride, said, clean))
            self._rows_to_go += step
        keep = length + step
        self._samples, self._usable = self._samples[-keep:], self._usable[-keep:]
        return made

    def _log_odds(self, window: Floats) -> dict[str, float]:
        row = self._model.log_probabilities(np.moveaxis(window, 0, -1)[np.newaxis])[0]
        # A probability of exactly 0 or 1 is a rounding; its log-odds must stay finite.
        log_p = np.clip(row, *_LOG_P_RANGE)
        log_odds = log_p - np.log(-np.expm1(log_p))
        return dict(zip(self._classes, map(float, log_odds), strict=True))


def is_flat(window: Floats) -> bool:
    """Whether no channel moves in one of the bands, shape (samples, [bands,] channels)."""
    moves = np.ptp(window, axis=0) > FLAT_UV
    return not bool(moves.any(axis=-1).all())


class DecoderProcess:
    """The session's end of the decoder: hands blocks over, collects decisions, never waits.

    ``make_decoder`` is called in the process and must be picklable.
    """

    def __init__(self, make_decoder: MakeDecoder, *, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._make_decoder = make_decoder
        self._pipe, self._theirs = multiprocessing.Pipe()
        self._process: Process | None = None
        self._outbox: queue.Queue[tuple[int, Block] | None] = queue.Queue(WAITING_LIMIT)
        self._unanswered: deque[tuple[int, float]] = deque()
        self._number = 0
        self._fault: Fault | None = None

    @property
    def pid(self) -> int | None:
        """The process's id, once it is started."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the process and wait until the decoder is made.

        Raises :class:`DecoderUnavailable` with the decoder's own words if it cannot be made.
        """
        fd = self._theirs.fileno()
        self._process = spawned.start(_decode, self._make_decoder, fd, pass_fds=[fd])
        self._theirs.close()
        if not self._pipe.poll(START_WITHIN_S):
            self.close()
            raise DecoderUnavailable(reason="it did not start in time")
        try:
            ready = self._pipe.recv()
        except EOFError:
            ready = "its process ended"
        if ready != "ready":
            self.close()
            raise DecoderUnavailable(reason=ready)
        threading.Thread(target=self._send, daemon=True, name="decoder-blocks").start()

    def submit(self, block: Block) -> None:
        """Hand a block over. With a decoder that is stuck, blocks beyond the limit are left out."""
        if self._fault is not None:
            return
        self._number += 1
        try:
            self._outbox.put_nowait((self._number, block))
        except queue.Full:
            return  # long since late, which stands until the process is made anew
        self._unanswered.append((self._number, self._clock()))

    def poll(self) -> list[Decision]:
        """The decisions since the last call."""
        made: list[Decision] = []
        for _ in range(ANSWERS_PER_POLL):
            if self._fault is not None:
                break
            try:
                if not self._pipe.poll():
                    break
                answer = self._pipe.recv()
            except (EOFError, OSError):
                answer = "its process ended"
            if isinstance(answer, str):
                self._fault = Fault(
                    reason=StopReason.DECODER_FAILED, cause_s=self._clock(), detail=answer
                )
                break
            number, decisions = answer
            while self._unanswered and self._unanswered[0][0] <= number:
                self._unanswered.popleft()
            made += decisions
        return made

    def age_s(self, now_s: float) -> float:
        """How long the oldest block without an answer waits."""
        return now_s - self._unanswered[0][1] if self._unanswered else 0.0

    def fault(self) -> Fault | None:
        """What the decoder died of; None while it lives."""
        return self._fault

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            spawned.end(self._process, within_s=0.0, politely=False)
        self._pipe.close()
        self._theirs.close()
        try:
            self._outbox.put_nowait(None)
        except queue.Full:
            self._outbox.get_nowait()
            self._outbox.put_nowait(None)

    def _send(self) -> None:
        """The sending thread: the pipe of a stuck decoder fills up, and only this thread waits."""
        while (item := self._outbox.get()) is not None:
            try:
                self._pipe.send(item)
            except OSError:
                return  # the decoder is gone; poll finds its end of the pipe closed


def _decode(make_decoder: MakeDecoder, fd: int) -> None:
    """The decoder's process; ``fd`` is its end of the pipe."""
    pipe = Connection(fd)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from threadpoolctl import threadpool_limits

    # One thread: a decode step is small, and the other core has the acquisition.
    with threadpool_limits(1):
        try:
            decoder = make_decoder()
        except Exception as error:  # noqa: BLE001 - a model is foreign code; all it raises is told
            pipe.send(_said(error))
            return
        pipe.send("ready")
        while True:
            try:
                number, block = pipe.recv()
            except (EOFError, OSError):
                return  # the session is gone
            begun_s = time.monotonic()
            try:
                pushed = _finite(decoder.push(block))
            except Exception as error:  # noqa: BLE001 - see above
                pipe.send(_said(error))
                return
            took_s = time.monotonic() - begun_s
            decisions = [
                Decision(
                    end=end, log_odds=dict(log_odds), clean=clean, host_s=block.host_s,
                    took_s=took_s,
                )
                for end, log_odds, clean in pushed
            ]  # fmt: skip
            pipe.send((number, decisions))


def _finite(
    pushed: list[tuple[int, Mapping[str, float], bool]],
) -> list[tuple[int, Mapping[str, float], bool]]:
    """Let through what is a number; one that is not must never be taken for evidence."""
    for end, log_odds, _ in pushed:
        for name, value in log_odds.items():
            if not math.isfinite(value):
                raise ValueError(f"the log-odds of {name} before sample {end} are {value}")
    return pushed


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:DETAIL_LENGTH]
