"""The latency and the cost of a running session, measured on all its real parts.

A source in the acquisition's process, its ring, the loop, the decoder's process, the actuator's,
and a recording on the disk; a page that only counts messages. What a browser adds is measured in
the browser.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import psutil

from bci_rehab.session.actuator import ActuatorHost
from bci_rehab.session.decoding import DecoderProcess, MakeDecoder
from bci_rehab.session.drivers.hand import SimulatedHand
from bci_rehab.session.engine import Engine
from bci_rehab.session.interlock import Interlock, Limits
from bci_rehab.session.live import LiveSession
from bci_rehab.session.plan import SessionPlan
from bci_rehab.session.ports import Parts
from bci_rehab.session.record_format import RecordKind, read_recording
from bci_rehab.session.recorder import Recorder
from bci_rehab.signal.acquisition import Acquisition
from bci_rehab.signal.blocks import Block
from bci_rehab.signal.sources import Source
from bci_rehab.signal.watchdog import Watchdog

WARM_S = 2.0
# A message to the page: when, its first sample, how many rows, samples from row to row.
Shown: TypeAlias = tuple[float, int, int, int]


@dataclass(frozen=True, kw_only=True)
class Online:
    """What was measured. Latencies count from a block's arrival on the host, in milliseconds.

    Those that begin with ``sample`` count from the stamps of the samples themselves, which must be
    of the host's monotonic clock: from the last one of a decision's window, and from each that is
    drawn. ``cpu_share`` is by process, 1.0 for a whole core; ``decode_ms`` is the decoder's own
    time, filters included, for the block that completed a window; ``lost`` counts samples that the
    device made and the recording lacks.
    """

    seconds: float
    channels: int
    rate_hz: float
    decision_p50_ms: float
    decision_p99_ms: float
    screen_p50_ms: float
    screen_p99_ms: float
    decode_p50_ms: float
    decode_p99_ms: float
    sample_decision_p50_ms: float
    sample_decision_p99_ms: float
    sample_screen_p50_ms: float
    sample_screen_p99_ms: float
    decisions: int
    cpu_share: Mapping[str, float]
    bytes_per_s: float
    lost: int


def measure_online(
    make_source: Callable[[], Source], make_decoder: MakeDecoder, *, seconds: float = 20.0
) -> Online:
    """Run a session for so long and say what it took. Both makers must be picklable."""
    with tempfile.TemporaryDirectory(prefix="haihe-online-") as name:
        folder = Path(name)
        acquisition = Acquisition(make_source)
        limits = Limits()
        actuator = ActuatorHost(
            partial(SimulatedHand, path=folder / "hand"), limits=limits, folder=folder
        )
        decoder = DecoderProcess(make_decoder)
        try:
            actuator.start()
            decoder.start()
            info = acquisition.start()
            recorder = Recorder.create(folder / "recording", info, {"plan": {}})
            live: LiveSession
            shown: list[Shown] = []

            def page(message: dict[str, Any]) -> None:
                signal = message["signal"]
                rows = len(signal["microvolts"])
                if rows:
                    shown.append((time.monotonic(), signal["first"], rows, signal["step"]))
                live.heartbeat(message["number"])

            parts = Parts(
                info=info,
                source=acquisition.reader(),
                watchdog=Watchdog(info, now_s=time.monotonic()),
                engine=Engine(SessionPlan()),
                interlock=Interlock(limits),
                actuator=actuator,
                recorder=recorder,
                decoder=decoder,
            )
            live = LiveSession(parts, page)
            processes = _processes(acquisition, actuator, decoder)
            began_s, took_s, spent = _timed(live, processes, shown, seconds)
            recorder.close()
        finally:
            acquisition.stop()
            decoder.close()
            actuator.close()
        return _result(live, folder / "recording", shown, began_s, took_s, spent)


def _timed(
    live: LiveSession, processes: Mapping[str, psutil.Process], shown: list[Shown], seconds: float
) -> tuple[float, float, dict[str, float]]:
    """Warm up, then run: when it began, how long it took (s), the share of a core by process."""
    _run(live, WARM_S)
    live.to_decision.clear()
    live.to_screen.clear()
    shown.clear()
    before, began_s = _cpu_s(processes), time.monotonic()
    _run(live, seconds)
    took_s = time.monotonic() - began_s
    after = _cpu_s(processes)
    shares = {name: round((after[name] - before[name]) / took_s, 4) for name in before}
    return began_s, took_s, shares


def _result(
    live: LiveSession,
    path: Path,
    shown: list[Shown],
    began_s: float,
    took_s: float,
    cpu_share: Mapping[str, float],
) -> Online:
    read, info = read_recording(path), live.parts.info
    size = path.stat().st_size
    decision, screen = live.to_decision.summary(0.0), live.to_screen.summary(0.0)
    said = [record for record in read.of(RecordKind.DECISION) if record.at_s >= began_s]
    took_ms = [record.body["took_s"] * 1e3 for record in said]
    stamps = _stamps(read.blocks)
    decided_ms = [(record.at_s - stamps(record.body["end"] - 1)) * 1e3 for record in said]
    shown_ms = [
        (at_s - stamps(first + row * step)) * 1e3
        for at_s, first, rows, step in shown
        for row in range(rows)
    ]
    made = read.blocks[-1].end - read.blocks[0].first
    decode, sampled, drawn = quantiles(took_ms), quantiles(decided_ms), quantiles(shown_ms)
    return Online(
        seconds=took_s,
        channels=len(info.channels),
        rate_hz=info.rate_hz,
        decision_p50_ms=decision["p50_ms"] or 0.0,
        decision_p99_ms=decision["p99_ms"] or 0.0,
        screen_p50_ms=screen["p50_ms"] or 0.0,
        screen_p99_ms=screen["p99_ms"] or 0.0,
        decode_p50_ms=decode[0],
        decode_p99_ms=decode[1],
        sample_decision_p50_ms=sampled[0],
        sample_decision_p99_ms=sampled[1],
        sample_screen_p50_ms=drawn[0],
        sample_screen_p99_ms=drawn[1],
        decisions=len(said),
        cpu_share=cpu_share,
        bytes_per_s=size / (took_s + WARM_S),
        lost=made - sum(len(block) for block in read.blocks),
    )


def quantiles(values_ms: Sequence[float]) -> tuple[float, float]:
    """The median and the 99th percentile; 0 of nothing."""
    if not len(values_ms):
        return 0.0, 0.0
    p50, p99 = np.percentile(values_ms, [50, 99])
    return float(p50), float(p99)


def _stamps(blocks: Sequence[Block]) -> Callable[[int], float]:
    """When a sample was taken, by its number; one that was lost has its neighbour's time."""
    numbers = np.concatenate([np.arange(block.first, block.end) for block in blocks])
    times_s = np.concatenate([block.device_s for block in blocks])

    def stamp(number: int) -> float:
        return float(times_s[min(int(np.searchsorted(numbers, number)), len(numbers) - 1)])

    return stamp


def _run(live: LiveSession, seconds: float) -> None:
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        live.step()


def _processes(
    acquisition: Acquisition, actuator: ActuatorHost, decoder: DecoderProcess
) -> dict[str, psutil.Process]:
    host, standby = actuator.pids
    assert decoder.pid is not None
    reader = acquisition.reader()
    writer = reader.state().pid
    reader.close()
    return {
        "session": psutil.Process(),
        "acquisition": psutil.Process(writer),
        "actuator": psutil.Process(host),
        "stand-by": psutil.Process(standby),
        "decoder": psutil.Process(decoder.pid),
    }


def _cpu_s(processes: Mapping[str, psutil.Process]) -> dict[str, float]:
    return {name: sum(process.cpu_times()[:2]) for name, process in processes.items()}
