"""Latency of our session and of mne-lsl's stream, on one signal, with one decoder, in one run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from bci_rehab.decode.settings import STEP_S
from bci_rehab.session.motor_live import practised
from bci_rehab.session.online import WARM_S, measure_online, quantiles
from bci_rehab.session.outlet import offered
from bci_rehab.session.peer import measure_peer
from bci_rehab.signal import layout
from bci_rehab.signal.blocks import Block, Channel, StreamInfo
from bci_rehab.signal.sources.lsl import LslSource

SOURCE_ID = "haihe-benchmark"
BLOCK_S = 0.02
# What this pack promises at 64 channels and 1,000 Hz (ms).
BOUNDS_MS = {"decision_p99": 20.0, "screen_p99": 100.0, "decode_p50": 2.0}


def latency_rows(
    *, seconds: float = 20.0, channels: int = 64, rate_hz: float = 1_000.0
) -> Iterator[dict[str, Any]]:
    """A row for each path, ours first. Latencies in milliseconds, from the samples' own stamps."""
    info = StreamInfo(
        name=SOURCE_ID,
        source_id=SOURCE_ID,
        rate_hz=rate_hz,
        channels=tuple(Channel(name=name) for name in layout.montage(channels)),
    )
    shared = {"channels": channels, "rate_hz": rate_hz, "bounds_ms": dict(BOUNDS_MS)}
    with offered(SOURCE_ID, channels=channels, rate_hz=rate_hz):
        ours = measure_online(
            partial(LslSource, source_id=SOURCE_ID), partial(practised, info), seconds=seconds
        )
        yield {
            "row": "latency",
            "path": "haihe",
            **shared,
            "seconds": round(ours.seconds, 1),
            "decisions": ours.decisions,
            **_rounded("decision", (ours.sample_decision_p50_ms, ours.sample_decision_p99_ms)),
            **_rounded("screen", (ours.sample_screen_p50_ms, ours.sample_screen_p99_ms)),
            **_rounded("decode", (ours.decode_p50_ms, ours.decode_p99_ms)),
            "cpu_share": dict(ours.cpu_share),
            "lost": ours.lost,
        }
        theirs = measure_peer(SOURCE_ID, practised, seconds=seconds, warm_s=WARM_S)
        yield {
            "row": "latency",
            "path": "mne_lsl",
            **shared,
            "seconds": round(theirs.seconds, 1),
            "decisions": len(theirs.took_s),
            **_rounded("decision", quantiles([1e3 * value for value in theirs.to_decision_s])),
            "screen_p50_ms": None,
            "screen_p99_ms": None,
            **_rounded("decode", quantiles([1e3 * value for value in theirs.took_s])),
            "cpu_share": {"all": round(theirs.cpu_share, 4)},
            "lost": None,
        }


def step_rows(
    *, steps: int = 200, channels: int = 64, rate_hz: float = 1_000.0
) -> Iterator[dict[str, Any]]:
    """The decode step by itself, in this process: filters and decoder for a block of 20 ms.

    A row for the electrodes over the sensorimotor strip, which is what sessions use, and one for
    all of them: where names do not say where electrodes sit, the decoder takes every channel.
    """
    size, per_step = round(BLOCK_S * rate_hz), round(STEP_S / BLOCK_S)
    rng = np.random.default_rng(0)
    for names in (layout.montage(channels), tuple(f"ch{n + 1}" for n in range(channels))):
        info = StreamInfo(
            name=SOURCE_ID,
            source_id=SOURCE_ID,
            rate_hz=rate_hz,
            channels=tuple(Channel(name=name) for name in names),
        )
        taken_ms: list[float] = []
        with threadpool_limits(1):
            decoder = practised(info)
            for turn in range(steps * per_step):
                block = Block(
                    first=turn * size,
                    samples=rng.normal(0.0, 10.0, (size, channels)),
                    device_s=np.arange(turn * size, (turn + 1) * size) / rate_hz,
                    host_s=0.0,
                )
                begun_s = time.perf_counter()
                if decoder.push(block):
                    taken_ms.append((time.perf_counter() - begun_s) * 1e3)
        yield {
            "row": "decode_step",
            "channels": channels,
            "electrodes": len(layout.sensorimotor(names)) or channels,
            "rate_hz": rate_hz,
            "decisions": len(taken_ms),
            **_rounded("decode", quantiles(taken_ms)),
        }


def _rounded(name: str, values_ms: tuple[float, float]) -> dict[str, float]:
    return {f"{name}_p50_ms": round(values_ms[0], 3), f"{name}_p99_ms": round(values_ms[1], 3)}
