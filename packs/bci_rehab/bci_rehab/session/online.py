"""The latency and the cost of a running session, measured on all its real parts.

A source in the acquisition's process, its ring, the loop, the decoder's process, the actuator's,
and a recording on the disk; a page that only counts messages. What a browser adds is measured in
the browser.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

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
from bci_rehab.signal.sources import Source
from bci_rehab.signal.watchdog import Watchdog

WARM_S = 2.0


@dataclass(frozen=True, kw_only=True)
class Online:
    """What was measured. Latencies count from a block's arrival on the host, in milliseconds.

    ``cpu_share`` is by process, 1.0 for a whole core; ``decode_ms`` is the decoder's own time for a
    block; ``lost`` counts samples that the device made and the recording lacks.
    """

    seconds: float
    channels: int
    rate_hz: float
    decision_p50_ms: float
    decision_p99_ms: float
    screen_p50_ms: float
    screen_p99_ms: float
    decode_p50_ms: float
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
            messages: list[int] = []

            def page(message: dict[str, Any]) -> None:
                messages.append(message["number"])
                live.heartbeat()

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
            processes = _processes(actuator, decoder)
            _run(live, WARM_S)
            live.to_decision, live.to_screen = type(live.to_decision)(), type(live.to_screen)()
            before, began_s = _cpu_s(processes), time.monotonic()
            _run(live, seconds)
            took_s = time.monotonic() - began_s
            after = _cpu_s(processes)
            recorder.close()
        finally:
            acquisition.stop()
            decoder.close()
            actuator.close()
        return _result(live, folder / "recording", took_s, before, after)


def _result(
    live: LiveSession,
    path: Path,
    took_s: float,
    before: Mapping[str, float],
    after: Mapping[str, float],
) -> Online:
    read, info = read_recording(path), live.parts.info
    size = path.stat().st_size
    decision, screen = live.to_decision.summary(0.0), live.to_screen.summary(0.0)
    took = sorted(record.body["took_s"] for record in read.of(RecordKind.DECISION))
    made = read.blocks[-1].end - read.blocks[0].first
    return Online(
        seconds=took_s,
        channels=len(info.channels),
        rate_hz=info.rate_hz,
        decision_p50_ms=decision["p50_ms"] or 0.0,
        decision_p99_ms=decision["p99_ms"] or 0.0,
        screen_p50_ms=screen["p50_ms"] or 0.0,
        screen_p99_ms=screen["p99_ms"] or 0.0,
        decode_p50_ms=took[len(took) // 2] * 1e3 if took else 0.0,
        cpu_share={name: round((after[name] - before[name]) / took_s, 4) for name in before},
        bytes_per_s=size / (took_s + WARM_S),
        lost=made - sum(len(block) for block in read.blocks),
    )


def _run(live: LiveSession, seconds: float) -> None:
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        live.step()


def _processes(actuator: ActuatorHost, decoder: DecoderProcess) -> dict[str, psutil.Process]:
    host, standby = actuator.pids
    assert decoder.pid is not None
    return {
        "session": psutil.Process(),
        "actuator": psutil.Process(host),
        "stand-by": psutil.Process(standby),
        "decoder": psutil.Process(decoder.pid),
    }


def _cpu_s(processes: Mapping[str, psutil.Process]) -> dict[str, float]:
    return {name: sum(process.cpu_times()[:2]) for name, process in processes.items()}
