"""The same decoder behind mne-lsl's stream, in a process of its own: what ours is held against.

``mne_lsl`` and ``pylsl`` each bring LSL's library, and a process bears only one of them. The loop
is the one of mne-lsl's examples: ask for new samples, take them, work, sleep a little. It has
neither recording nor watchdog nor a page, and the decoder runs in the loop itself.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import psutil

from bci_rehab.errors import SourceFailed
from bci_rehab.session.decoding import StreamDecoder
from bci_rehab.signal.blocks import Block, Channel, StreamInfo

POLL_S = 0.001
BUFFER_S = 2.0
# What is asked for at each turn; more than ever comes between two.
READ_S = 0.5
START_S = 60.0


@dataclass(frozen=True, kw_only=True)
class PeerMeasured:
    """Latencies of each decision from the stamp of its window's last sample (s), and the cost."""

    to_decision_s: tuple[float, ...]
    took_s: tuple[float, ...]
    cpu_share: float
    seconds: float


def measure_peer(
    source_id: str,
    make_decoder: Callable[[StreamInfo], StreamDecoder],
    *,
    seconds: float,
    warm_s: float,
) -> PeerMeasured:
    """Run it on a stream that is offered; ``make_decoder`` must be picklable.

    Raises
    ------
    SourceFailed
        Its process failed or gave no answer.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(
        target=_follow, args=(theirs, source_id, make_decoder, seconds, warm_s), daemon=True
    )
    process.start()
    theirs.close()
    try:
        if not ours.poll(START_S + warm_s + seconds):
            raise SourceFailed(source=source_id, reason="the peer gave no answer")
        found = ours.recv()
    except EOFError as error:
        raise SourceFailed(source=source_id, reason="the peer's process ended") from error
    finally:
        process.terminate()
        process.join(5.0)
        ours.close()
    assert isinstance(found, PeerMeasured)
    return found


def _follow(
    link: Connection,
    source_id: str,
    make_decoder: Callable[[StreamInfo], StreamDecoder],
    seconds: float,
    warm_s: float,
) -> None:
    from mne_lsl.stream import StreamLSL
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        stream = StreamLSL(BUFFER_S, source_id=source_id).connect()
        info = StreamInfo(
            name=source_id,
            source_id=source_id,
            rate_hz=float(stream.info["sfreq"]),
            channels=tuple(Channel(name=name) for name in stream.info["ch_names"]),
        )
        loop = _Loop(stream, info.rate_hz, make_decoder(info))
        loop.run(warm_s)
        loop.to_decision_s, loop.took_s = [], []
        process = psutil.Process()
        before, began_s = sum(process.cpu_times()[:2]), time.monotonic()
        loop.run(seconds)
        took_s = time.monotonic() - began_s
        share = (sum(process.cpu_times()[:2]) - before) / took_s
        stream.disconnect()
    link.send(
        PeerMeasured(
            to_decision_s=tuple(loop.to_decision_s),
            took_s=tuple(loop.took_s),
            cpu_share=share,
            seconds=took_s,
        )
    )


class _Loop:
    """Polls the stream, and decodes what is new."""

    def __init__(self, stream: Any, rate_hz: float, decoder: StreamDecoder) -> None:
        self._stream, self._rate_hz, self._decoder = stream, rate_hz, decoder
        self._first, self._last_s = 0, float("-inf")
        self.to_decision_s: list[float] = []
        self.took_s: list[float] = []

    def run(self, seconds: float) -> None:
        """For so long."""
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            if self._stream.n_new_samples:
                self._take()
            time.sleep(POLL_S)

    def _take(self) -> None:
        data, stamps = self._stream.get_data(READ_S)
        new = stamps > self._last_s
        if not new.any():
            return
        samples = np.ascontiguousarray(data[:, new].T, dtype=np.float64)
        times = stamps[new]
        block = Block(first=self._first, samples=samples, device_s=times, host_s=time.monotonic())
        begun_s = time.monotonic()
        decided = self._decoder.push(block)
        now_s = time.monotonic()
        for end, _, _ in decided:
            # A window may have been complete before the block's last sample.
            stamp_s = times[-1] - (block.end - end) / self._rate_hz
            self.to_decision_s.append(now_s - stamp_s)
            self.took_s.append(now_s - begun_s)
        self._first, self._last_s = block.end, float(times[-1])
