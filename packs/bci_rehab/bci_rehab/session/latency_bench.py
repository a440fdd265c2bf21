"""Latency of our session and of mne-lsl's stream, on one signal, with one decoder, in one run."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from bci_rehab.session.motor_live import practised
from bci_rehab.session.online import WARM_S, measure_online, quantiles
from bci_rehab.session.outlet import offered
from bci_rehab.session.peer import measure_peer
from bci_rehab.signal import layout
from bci_rehab.signal.blocks import Channel, StreamInfo
from bci_rehab.signal.sources.lsl import LslSource

SOURCE_ID = "haihe-benchmark"
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


def _rounded(name: str, values_ms: tuple[float, float]) -> dict[str, float]:
    return {f"{name}_p50_ms": round(values_ms[0], 3), f"{name}_p99_ms": round(values_ms[1], 3)}
