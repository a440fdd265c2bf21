"""Every accident that a session must survive, done to a running one, and what came of it.

Each row says how long the hand kept moving after the accident (``stop_ms``; 0 where it never
moved), how much of the recording is missing (``lost_s``), and what the operator reads. Nothing is
simulated but the patient: processes, pipes, the hand's own clock and the file are the real ones.
"""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from bci_rehab.errors import DecoderMismatch, RecorderFailed
from bci_rehab.session.bench import NAMES, PLAN, Bench, BenchSource, Fault
from bci_rehab.session.drivers.hand import HangingHand, hand_state
from bci_rehab.session.interlock import STOP_WITHIN_S, StopReason
from bci_rehab.session.plan import Timings
from bci_rehab.session.record_format import Recording, read_recording
from bci_rehab.session.recorder import Recorder
from bci_rehab.session.slot import Slot
from haihe.packs import HaiheError

WATCH_S = 5.0
KILLS = 3
# These lie in a session from its beginning: the hand must not move at all.
BEFORE = frozenset(
    {
        "wrong_rate_in_header", "two_sources_of_one_name", "channel_labels_swapped",
        "class_labels_swapped",
    }
)  # fmt: skip
# On a machine that is busy for 150 ms the session may stop before the accident; then once more.
TRIES = 3
# A stream that gives nothing for so long has ended; the interlock has not looked yet.
STALE_S = 0.1
# A block that was on its way when the hand stopped is no loss; more is.
LOST_S, LOST_WHEN_KILLED_S = 0.1, 0.5


@dataclass(frozen=True, kw_only=True)
class Row:
    """What came of one accident. ``stopped`` is whether the hand was at rest in the end.

    Where it had not ``moved``, the accident lay there before, and its ``stop_ms`` of 0 is no
    measurement.
    """

    accident: str
    stop_ms: float
    lost_s: float
    message: str
    stopped: bool = True
    moved: bool = True

    @property
    def is_measured(self) -> bool:
        """Whether the accident came to a hand that moved, or is one that must not let it move."""
        return self.moved or self.accident in BEFORE

    @property
    def is_safe(self) -> bool:
        """Whether it ended as is promised: at rest in time, told, and nothing lost."""
        killed = self.accident.startswith("session_killed")
        kept = self.lost_s <= (LOST_WHEN_KILLED_S if killed else LOST_S)
        at_rest = self.stopped and self.stop_ms <= STOP_WITHIN_S * 1e3
        return self.is_measured and at_rest and kept and bool(self.message)

    def to_json(self) -> dict[str, Any]:
        """The row for ``bench bci --faults``."""
        return {
            "accident": self.accident,
            "stop_ms": round(self.stop_ms, 1),
            "lost_s": round(self.lost_s, 3),
            "message": self.message,
            "stopped": self.stopped,
            "moved": self.moved,
        }


def accidents(*, seed: int = 0) -> dict[str, Callable[[], Row]]:
    """Every accident by name, each a function that does it to a session of its own."""
    streams = {
        "stream_stops": Fault.STOPS,
        "stream_freezes": Fault.FREEZES,
        "stream_doubles": Fault.DOUBLES,
        "stream_jumps_in_time": Fault.TIME_JUMPS,
        "stream_late_in_bursts": Fault.BURSTS,
        "samples_lost": Fault.LOSES,
        "channel_detached": Fault.DETACHES,
        "units_10000_times_off": Fault.UNITS,
    }
    made: dict[str, Callable[[], Row]] = {
        name: _injection(name, partial(_set_fault, fault)) for name, fault in streams.items()
    }
    made |= {
        "wrong_rate_in_header": _wrong_rate,
        "file_cut_short": _file_cut_short,
        "two_sources_of_one_name": _two_sources,
        "channel_labels_swapped": _channels_swapped,
        "class_labels_swapped": _classes_swapped,
        "decoder_raises": _injection("decoder_raises", lambda bench: bench.order(b"raise")),
        "decoder_takes_2_s": _injection("decoder_takes_2_s", lambda bench: bench.order(b"sleep")),
        "disk_full": _disk_full,
        "browser_closed": _injection("browser_closed", _close_page),
        "driver_hangs": _driver_hangs,
        "acquisition_process_killed": _injection("acquisition_process_killed", _kill_acquisition),
        "actuator_process_killed": _injection("actuator_process_killed", _kill_host),
        "decoder_process_killed": _injection("decoder_process_killed", _kill_decoder),
    }
    source = random.Random(seed)  # noqa: S311 - instants of kills, no secret
    for number in range(1, KILLS + 1):
        after_s = source.uniform(0.0, 1.0)
        name = f"session_killed_{number}"
        made[name] = partial(_session_killed, name, after_s)
    return made


def run_accidents(names: Sequence[str] = (), *, seed: int = 0) -> Iterator[Row]:
    """Do the accidents one after another, in real time; all of them unless some are named."""
    everything = accidents(seed=seed)
    for name in names or everything:
        for _ in range(TRIES):
            row = everything[name]()
            if row.is_measured:
                break
        yield row


# --- into a session that moves the hand -----------------------------------------------------------


def _injection(name: str, inject: Callable[[Bench], object]) -> Callable[[], Row]:
    def done() -> Row:
        with _folder() as folder, Bench(folder) as bench:
            if not bench.begin_and_move():
                return _never_moved(name, bench)
            bench.until(lambda: False, within_s=0.3)
            began_s = time.monotonic()
            inject(bench)
            return _watched(name, bench, began_s)

    return done


def _watched(name: str, bench: Bench, began_s: float) -> Row:
    """Run on until the hand is at rest, and read the recording back."""
    bench.until(lambda: bench.hand.level == 0.0, within_s=WATCH_S)
    hand = bench.hand
    delivered_s = bench.source.given_s
    bench.until(lambda: False, within_s=0.4)
    assert bench.recorder is not None
    try:
        bench.recorder.close()
    except RecorderFailed as error:
        told = str(error)
    else:
        told = ""
    stopped = bench.hand.level == 0.0 and bench.hand.movements == hand.movements
    return Row(
        accident=name,
        stop_ms=max(0.0, (hand.since_s - began_s) * 1e3) if hand.level == 0.0 else float("inf"),
        lost_s=_lost_s(read_recording(bench.recording), delivered_s),
        message=told or _last_word(bench),
        stopped=stopped,
    )


def _last_word(bench: Bench) -> str:
    """The first stop of those that were decided together: what the operator reads."""
    stops = list(bench.interlock.stops)
    if not stops:
        return ""
    first = next(stop for stop in stops if stop.decided_s == stops[-1].decided_s)
    return f"{first.reason.words} {first.detail}".strip()


def _lost_s(recording: Recording, delivered_s: float) -> float:
    """How much of what the source delivered before the hand stopped is not in the file."""
    last_s = recording.blocks[-1].host_s if recording.blocks else 0.0
    return max(0.0, delivered_s - last_s)


def _set_fault(fault: Fault, bench: Bench) -> None:
    bench.source.fail(fault)


def _close_page(bench: Bench) -> None:
    bench.page_open = False


def _kill_acquisition(bench: Bench) -> None:
    os.kill(bench.source.pid, signal.SIGKILL)


def _kill_host(bench: Bench) -> None:
    os.kill(bench.actuator.pids[0], signal.SIGKILL)


def _kill_decoder(bench: Bench) -> None:
    pid = bench.decoder.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


def _never_moved(name: str, bench: Bench) -> Row:
    """The accident lay in the session from its beginning, and the hand never moved."""
    verdicts = bench.last_message.get("health", {}).get("verdicts", [])
    message = verdicts[0]["message"] if verdicts else _last_word(bench)
    return Row(
        accident=name,
        stop_ms=0.0,
        lost_s=0.0,
        message=message,
        stopped=bench.hand.movements == 0,
        moved=False,
    )


def _driver_hangs() -> Row:
    with _folder() as folder, Bench(folder, make_hand=HangingHand) as bench:
        bench.begin_and_move()
        return _watched("driver_hangs", bench, bench.hand.since_s)


def _disk_full() -> Row:
    name = "disk_full"
    with _folder() as folder, Bench(folder) as bench:
        if not bench.begin_and_move():
            return _never_moved(name, bench)
        bench.until(lambda: False, within_s=0.3)
        began_s = time.monotonic()
        with _file_size_limit(bench.recording.stat().st_size):
            return _watched(name, bench, began_s)


# --- what must stop a session before it moves anything --------------------------------------------


def _wrong_rate() -> Row:
    """The header says 500 Hz and the device gives 250: seen in the check, which never ends."""
    name = "wrong_rate_in_header"
    source = partial(BenchSource, rate_hz=500.0, true_rate_hz=250.0)
    plan = replace(PLAN, timings=replace(PLAN.timings, check_s=3.0))
    with _folder() as folder, Bench(folder, source=source, plan=plan) as bench:
        assert bench.live is not None
        bench.live.ask("begin")
        bench.until(lambda: bench.hand.level > 0.0, within_s=6.0)
        return _never_moved(name, bench)


def _file_cut_short() -> Row:
    """A recording that is replayed ends before its header says: the stream simply stops there."""
    from bci_rehab.signal import files
    from bci_rehab.station.devices import played

    name = "file_cut_short"
    with _folder() as folder:
        path = folder / "cut.edf"
        _write_cut_edf(path)
        cut_short = files.read(path).cut_short
        with Bench(folder, source=partial(played, path, 1.0)) as bench:
            if not bench.begin_and_move():
                return _never_moved(name, bench)
            bench.until(lambda: time.monotonic() - bench.source.given_s > STALE_S)
            row = _watched(name, bench, bench.source.given_s)
        return replace(row, message=f"{row.message} The file: {cut_short}")


def _write_cut_edf(path: Path) -> None:
    """Thirty seconds of noise in records of one second, without the last third."""
    import edfio
    import numpy as np

    noise = np.random.default_rng(5).normal(0.0, 10.0, (len(NAMES), 7_500))
    signals = [
        edfio.EdfSignal(row, 250.0, label=name, physical_dimension="uV", physical_range=(-200, 200))
        for name, row in zip(NAMES, noise, strict=True)
    ]
    edfio.Edf(signals).write(path)
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) * 7 // 10 + 11])


def _two_sources() -> Row:
    """Two LSL outlets of one name on the network: opening refuses to guess."""
    import pylsl

    from bci_rehab.signal.sources.lsl import LslSource

    stream = f"haihe-accident-{os.getpid()}"
    outlets = [
        pylsl.StreamOutlet(pylsl.StreamInfo(stream, "EEG", 8, 250.0, pylsl.cf_float32, f"cap-{n}"))
        for n in (1, 2)
    ]
    source = LslSource(name=stream, resolve_s=10.0)
    try:
        source.open()
    except HaiheError as error:
        message, stopped = str(error), True
    else:
        message, stopped = "", False
    finally:
        source.close()
        outlets.clear()
    return Row(
        accident="two_sources_of_one_name",
        stop_ms=0.0,
        lost_s=0.0,
        message=message,
        stopped=stopped,
        moved=False,
    )


def _channels_swapped() -> Row:
    """C3 and C4 have changed places since the calibration: the session is not begun."""
    from bci_rehab.decode.model import Accuracy, Decoder, Manifest

    manifest = Manifest(
        method="bench", version="1", classes=("right", "rest"), rate_hz=250.0, channels=NAMES,
        bands_hz=(), window_s=1.0, calibration=(),
        accuracy=Accuracy(
            value=1.0, standard_error=0.0, trials=40, chance=0.5, chance_bound=0.65, confidence=1.0
        ),
    )  # fmt: skip
    swapped = tuple({"C3": "C4", "C4": "C3"}.get(name, name) for name in NAMES)
    message, stopped = "", False
    try:
        Decoder(manifest=manifest, estimator=None).check(BenchSource(names=swapped).info)
    except DecoderMismatch as error:
        message, stopped = str(error), True
    return Row(
        accident="channel_labels_swapped",
        stop_ms=0.0,
        lost_s=0.0,
        message=message,
        stopped=stopped,
        moved=False,
    )


def _classes_swapped() -> Row:
    """The model takes one class for the other: seen from the trials, before long."""
    name = "class_labels_swapped"
    quick = Timings(
        check_s=0.5, rest_s=0.1, fixation_s=0.1, cue_s=0.1, active_s=0.2, feedback_s=0.1,
        pause_least_s=0.1, pause_most_s=0.1,
    )  # fmt: skip
    plan = replace(PLAN, timings=quick)
    with _folder() as folder, Bench(folder, plan=plan, swapped=True) as bench:
        assert bench.live is not None
        bench.live.ask("begin")
        bench.until(lambda: bench.engine.segment.trials != () or bench.engine.state.paused)
        bench.live.ask("arm")
        bench.until(lambda: not bench.interlock.armed and bool(bench.interlock.stops))
        row = _watched(name, bench, time.monotonic())
        told = any(s.reason is StopReason.DECODER_CONTRADICTS for s in bench.interlock.stops)
        return replace(row, stop_ms=0.0, stopped=row.stopped and told, moved=False)


# --- killed ---------------------------------------------------------------------------------------

_SESSION = """
import sys
from pathlib import Path
from bci_rehab.session.accidents import session_to_kill
if __name__ == "__main__":
    session_to_kill(Path(sys.argv[1]))
"""


def session_to_kill(folder: Path) -> None:
    """What runs in the process that is killed: a session that moves the hand."""
    with Bench(folder) as bench:
        handed = Slot(folder / "handed")
        bench.begin_and_move()
        until_s = time.monotonic() + 60.0
        while time.monotonic() < until_s:
            bench.until(lambda: True)
            assert bench.live is not None
            bench.live.step()
            handed.write(b"delivered", bench.source.given_s)


def _session_killed(name: str, after_s: float) -> Row:
    """Kill -9, some time after the hand began to move; then read, and resume, the recording."""
    with _folder() as folder:
        handed = Slot.create(folder / "handed")
        script = folder / "session.py"
        script.write_text(_SESSION, encoding="utf-8")
        command = [sys.executable, str(script), str(folder)]
        with subprocess.Popen(command) as process:  # noqa: S603 - our own interpreter and script
            began = _wait(lambda: handed.read() is not None)
            hand = Slot(folder / "hand")
            _wait(lambda: hand_state(hand, time.monotonic()).level > 0.0)
            time.sleep(after_s)
            began_s = time.monotonic()
            process.kill()
        _wait(lambda: hand_state(hand, time.monotonic()).level == 0.0)
        state = hand_state(hand, time.monotonic())
        word = handed.read()
        delivered_s = word.stamp_s if word else began_s
        recording = read_recording(folder / "recording.haihe")
        Recorder.resume(folder / "recording.haihe").close()
        whole = read_recording(folder / "recording.haihe", with_samples=False).intact
        return Row(
            accident=name,
            stop_ms=max(0.0, (state.since_s - began_s) * 1e3),
            lost_s=_lost_s(recording, delivered_s),
            message="The session's process ended. The actuator is off; resume the session.",
            stopped=began and whole and state.level == 0.0,
        )


def _wait(met: Callable[[], bool]) -> bool:
    until_s = time.monotonic() + 60.0
    while not met():
        if time.monotonic() > until_s:
            return False
        time.sleep(0.005)
    return True


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="haihe-accident-") as name:
        yield Path(name)


@contextmanager
def _file_size_limit(size: int) -> Iterator[None]:
    """A disk that is full once a file has this size, for this process."""
    assert threading.current_thread() is threading.main_thread(), "limits are the process's"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
