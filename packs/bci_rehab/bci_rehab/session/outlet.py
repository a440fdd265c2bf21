"""An amplifier's program for the benchmark: offers one signal as an LSL stream, in true time.

A process of its own, as such programs are; each sample carries the time at which it was due on the
host's monotonic clock, which is LSL's clock too, so that every reader on this host can say how old
a sample is.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

import numpy as np

from bci_rehab.errors import SourceFailed
from bci_rehab.signal import layout

CHUNK_S = 0.005
LOOP_S = 10.0
READY_S = 30.0


@contextmanager
def offered(source_id: str, *, channels: int, rate_hz: float) -> Iterator[None]:
    """Offer noise of EEG's size for as long as the block lasts.

    Raises
    ------
    SourceFailed
        The process did not come up.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(
        target=_offer, args=(theirs, source_id, channels, rate_hz), daemon=True
    )
    process.start()
    theirs.close()
    try:
        if not ours.poll(READY_S):
            raise SourceFailed(source=source_id, reason="its outlet did not come up")
        ours.recv()
        yield
    finally:
        process.terminate()
        process.join(5.0)
        ours.close()


def _offer(link: Connection, source_id: str, channels: int, rate_hz: float) -> None:
    import pylsl

    info = pylsl.StreamInfo("Benchmark", "EEG", channels, rate_hz, "float32", source_id)
    described = info.desc().append_child("channels")
    for name in layout.montage(channels):
        channel = described.append_child("channel")
        channel.append_child_value("label", name)
        channel.append_child_value("type", "EEG")
        channel.append_child_value("unit", "microvolts")
    outlet = pylsl.StreamOutlet(info)
    rng = np.random.default_rng(0)
    signal = rng.normal(0.0, 10.0, (round(LOOP_S * rate_hz), channels)).astype(np.float32)
    link.send("up")
    began_s, made = time.monotonic(), 0
    while not link.poll():
        due = int((time.monotonic() - began_s) * rate_hz)
        if due > made:
            rows = np.arange(made, due)
            stamps = (began_s + (rows + 1) / rate_hz).tolist()
            outlet.push_chunk(signal[rows % len(signal)], stamps)
            made = due
        time.sleep(CHUNK_S)
