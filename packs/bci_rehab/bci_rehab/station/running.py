"""One live session with all its parts: opened, run in a thread of its own, closed.

Everything here blocks; the station calls it from worker threads. Whatever goes wrong while opening
leaves no process behind.
"""

from __future__ import annotations

import platform
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bci_rehab.decode.adaptation import Verdict
from bci_rehab.decode.model import load
from bci_rehab.errors import RecorderFailed
from bci_rehab.session.actuator import ActuatorHost
from bci_rehab.session.decoding import DecoderProcess
from bci_rehab.session.drivers.sham import Yoke, YokedTrial
from bci_rehab.session.engine import Engine
from bci_rehab.session.gathering import GatheredEvidence
from bci_rehab.session.hosting import MakeDriver
from bci_rehab.session.interlock import Interlock, Limits
from bci_rehab.session.latency import Latency
from bci_rehab.session.live import LiveSession
from bci_rehab.session.ports import Parts
from bci_rehab.session.record_format import RecordKind, read_recording
from bci_rehab.session.recorder import Recorder
from bci_rehab.session.resume import engine_of
from bci_rehab.signal import layout
from bci_rehab.signal.acquisition import Acquisition
from bci_rehab.signal.blocks import StreamInfo
from bci_rehab.signal.watchdog import Watchdog
from bci_rehab.station import devices
from bci_rehab.station.calibration import rule_of
from bci_rehab.station.errors import SourceDiffers
from bci_rehab.station.following import Follower
from bci_rehab.station.guard import AdaptationGuard, judge_feedback
from bci_rehab.station.mending import Mender, Repair
from bci_rehab.station.opening import RECORDING, SUMMARY, DecoderFile, Opening, within
from bci_rehab.station.pathway import open_decoder
from bci_rehab.station.summary import results_of, write_summary
from haihe.packs import HaiheError

LIBRARIES = ("haihe", "haihe-bci-rehab", "mne", "numpy", "pyriemann", "scikit-learn", "scipy")
IMPEDANCE_S = 2.0
# A cold or busy computer takes long to load what reads an amplifier; the portal waits longer.
START_WITHIN_S = 60.0

OnMessage = Callable[[dict[str, Any]], None]


class RunningSession:
    """A session from its opening to its summary.

    ``on_message`` is called from the session's thread 20 times a second and must return at once.
    """

    def __init__(self, opening: Opening, home: Path, on_message: OnMessage) -> None:
        self.opening, self._home, self._on_message = opening, home, on_message
        self.folder = within(home, opening.folder)
        self.plan = opening.session_plan
        self.failure = ""
        self.ended = threading.Event()
        self._closing = threading.Event()
        self._is_finished = False
        self._frames, self._frames_count = Latency(), 0
        self._impedance: dict[str, float] | None = None
        self._driving: DecoderFile | None = opening.decoder
        self._hosts = 0
        # An earlier session's decoder meets another cap: its mean follows until a run has shown
        # that it had better not.
        self._follows = True
        self._guard = AdaptationGuard(self._judgement, self._heed)
        self._made = ExitStack()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="source-orders")
        self._thread = threading.Thread(target=self._run, name="session", daemon=True)

    @property
    def recording(self) -> Path:
        """The file that is written."""
        return self.folder / RECORDING

    def open(self) -> None:
        """Start every part; the session then waits for its beginning.

        Raises
        ------
        HaiheError
            What could not be opened, in words. Nothing is left running.
        """
        with self._undone_on_error() as made:
            self._parts(made)
            self._thread.start()

    def order(self, order: str, **arguments: Any) -> None:
        """Give an order of the therapist, or an emergency of anybody."""
        self._live.ask(order, **arguments)

    def drawn(self, number: int, frame_ms: list[float]) -> None:
        """The patient's page has drawn this message; its frames took so long."""
        self._live.heartbeat(number)
        for value in frame_ms:
            self._frames.add(value / 1e3)
        self._frames_count += len(frame_ms)

    def use(self, file: DecoderFile) -> None:
        """Let an accepted decoder drive from now on; the actuator must be armed again."""
        found = load(within(self._home, file.file), sha256=file.sha256)
        self._drive(file, follows=found.manifest.follows)

    def _drive(self, file: DecoderFile, *, follows: bool) -> None:
        decoder, evidence = self._decoder(file, self._made, follows=follows)
        before = self._live.parts.decoder
        self._driving, self._follows = file, follows
        self._live.replace(decoder=decoder, evidence=evidence, sha256=file.sha256)
        if isinstance(before, DecoderProcess):
            self._worker.submit(before.close)

    def opened_message(self) -> dict[str, Any]:
        """What a page needs once: channels with their places, the plan, the device that moves."""
        info = self._live.parts.info
        return {
            "type": "opened",
            "session": str(self.opening.session),
            "source": info.name,
            "rate_hz": info.rate_hz,
            "channels": [_channel(name) for name in (c.name for c in info.channels)],
            "plan": self.plan.to_json(),
            "segments": [
                {"kind": s.kind.value, "run": s.run, "trials": len(s.trials), "lasts_s": s.lasts_s}
                for s in self._live.parts.engine.segments
            ],
            "actuator": {"kind": _shown(self.opening)},
        }

    def close(self) -> dict[str, Any]:
        """End the session, finish its recording, and say what it came to.

        Raises :class:`RecorderFailed` if the summary cannot be written; ask again once it can.
        """
        self._closing.set()
        self._thread.join(10.0)
        self._finish()
        to = self.folder / SUMMARY
        try:
            return write_summary(self.recording, to)
        except OSError as error:
            reason = error.strerror or str(error)
            raise RecorderFailed(path=str(to), reason=reason) from error

    def frames(self) -> dict[str, Any]:
        """How the patient's page was drawn: milliseconds from frame to frame."""
        found = self._frames.summary(time.monotonic())
        return {
            "p50_ms": found["p50_ms"], "p99_ms": found["p99_ms"], "count": self._frames_count,
        }  # fmt: skip

    # --- opening ---------------------------------------------------------------------------------

    @contextmanager
    def _undone_on_error(self) -> Iterator[ExitStack]:
        try:
            yield self._made
        except BaseException:
            self._made.close()
            self._worker.shutdown(wait=False)
            raise

    def _parts(self, made: ExitStack) -> None:
        """Start acquisition, actuator, decoder and recording, and tie them together."""
        opening = self.opening
        self.folder.mkdir(parents=True, exist_ok=True)
        made.callback(shutil.rmtree, self.folder / "running", ignore_errors=True)
        source = devices.source_for(opening.source.kind, opening.source.given, self._home)
        self._acquisition = acquisition = Acquisition(source)
        made.callback(acquisition.stop)
        info = acquisition.start(START_WITHIN_S)
        actuator = self._actuator(made)
        decoder = evidence = None
        self._info = info
        if opening.decoder is not None:
            decoder, evidence = self._decoder(opening.decoder, made, follows=self._follows)
        recorder, engine = self._recorded(info)
        made.callback(_finish_recording, recorder)
        parts = Parts(
            info=info,
            source=acquisition.reader(),
            watchdog=Watchdog(info, now_s=time.monotonic()),
            engine=engine,
            interlock=Interlock(Limits()),
            actuator=actuator,
            recorder=recorder,
            decoder=decoder,
            evidence=evidence,
            yoke=self._yoke(),
            level=0.0 if opening.actuator.kind == "none" else 1.0,
        )
        self._live = LiveSession(parts, self._tell)
        self._mender = Mender(self._worker, self._repairs())
        if opening.resume and engine.state.begun:
            self._live.ask("recover")
        self._follower = (
            Follower(acquisition.ask, self._worker) if opening.source.kind == "synthetic" else None
        )
        self._next_impedance_s = 0.0

    def _recorded(self, info: StreamInfo) -> tuple[Recorder, Engine]:
        if self.opening.resume and self.recording.exists():
            before = read_recording(self.recording, with_samples=False, kinds={RecordKind.EVENT})
            check_same(before.stream, info)
            return Recorder.resume(self.recording), engine_of(before)
        said = {
            "session": str(self.opening.session),
            "plan": self.plan.to_json(),
            "source": self.opening.source.model_dump(),
            "actuator": self.opening.actuator.model_dump(),
            "decoder": self.opening.decoder.sha256 if self.opening.decoder else "",
            "versions": _versions(),
        }
        return Recorder.create(self.recording, info, said), Engine(self.plan)

    def _actuator(self, made: ExitStack) -> ActuatorHost:
        """The actuator's processes, off; each time in a folder of their own."""
        self._hosts += 1
        scratch = self.folder / "running" / str(self._hosts)
        scratch.mkdir(parents=True, exist_ok=True)
        host = ActuatorHost(self._driver(scratch), limits=Limits(), folder=scratch)
        made.callback(host.close)
        host.start()
        return host

    def _driver(self, scratch: Path) -> MakeDriver:
        """The driver of the device; a sham arm moves the one that the study names."""
        device, given = self.opening.actuator, self.opening.actuator.given
        if device.kind == "sham":
            through = dict(given.get("through", {"kind": "simulated", "given": {}}))
            return devices.driver_for(through["kind"], through["given"], self._home, scratch)
        return devices.driver_for(device.kind, given, self._home, scratch)

    def _yoke(self) -> Yoke | None:
        if self.opening.actuator.kind != "sham":
            return None
        other = within(self._home, str(self.opening.actuator.given.get("recording", "")))
        results = results_of(read_recording(other, with_samples=False, kinds={RecordKind.EVENT}))
        return Yoke(
            YokedTrial(
                side=result.side.value,
                after_s=result.after_s if result.decided else None,
                decided=result.decided.value if result.decided else None,
            )
            for result in results
        )

    def _decoder(
        self, file: DecoderFile, made: ExitStack, *, follows: bool
    ) -> tuple[DecoderProcess, GatheredEvidence]:
        path = within(self._home, file.file)
        found = load(path, sha256=file.sha256)
        found.check(self._info)
        make = partial(open_decoder, path, file.sha256, self._info, follows=follows)
        process = DecoderProcess(make)
        process.start()
        made.callback(process.close)
        rule = rule_of(found.manifest, follows=follows)
        return process, GatheredEvidence(rule, rate_hz=self._info.rate_hz)

    # --- in the session's thread -----------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._live.run(until=self._closing.is_set)
        except Exception as error:  # noqa: BLE001 - the actuator is off without permits; it is told
            self.failure = f"{type(error).__name__}: {error}"
            self._on_message({"type": "failed", "detail": self.failure})
        self.ended.set()

    def _tell(self, message: dict[str, Any]) -> None:
        if self._follower is not None:
            self._follower.follow(message)
        self._guard.follow(message)
        self._mender.look(message["at_s"])
        if message["at_s"] >= self._next_impedance_s and message["trial"]["kind"] == "waiting":
            self._next_impedance_s = message["at_s"] + IMPEDANCE_S
            self._worker.submit(self._measure_impedance)
        message["impedance"] = self._impedance
        message["frames"] = self.frames()
        self._on_message(message)

    def _repairs(self) -> list[Repair]:
        """What can be made anew in mid-session."""
        parts = self._live.parts
        return [
            Repair(
                is_broken=lambda now_s: parts.actuator.fault(now_s) is not None,
                mend=self._mend_actuator,
            ),
            Repair(is_broken=lambda _: self._live.source_failed, mend=self._mend_source),
            Repair(
                is_broken=lambda _: parts.decoder is not None and parts.decoder.fault() is not None,
                mend=self._mend_decoder,
            ),
            Repair(
                is_broken=lambda _: bool(parts.recorder.status().failure), mend=self._mend_recorder
            ),
        ]

    def _mend_actuator(self) -> None:
        before = self._live.parts.actuator
        if isinstance(before, ActuatorHost):
            before.close()
        self._live.replace(actuator=self._actuator(self._made))

    def _mend_source(self) -> None:
        """Start the acquisition again; with it the decoder, whose filters hold the old signal."""
        info = self._acquisition.start(START_WITHIN_S)
        check_same(self._info, info)
        self._live.replace(
            source=self._acquisition.reader(), watchdog=Watchdog(info, now_s=time.monotonic())
        )
        self._mend_decoder()

    def _mend_decoder(self) -> None:
        if self._driving is not None:
            self._drive(self._driving, follows=self._follows)

    def _mend_recorder(self) -> None:
        recorder = self._live.parts.recorder
        assert isinstance(recorder, Recorder)
        recorder.go_on()
        self._live.replace(recorder=recorder)

    def _judgement(self) -> partial[Verdict | None] | None:
        """What judges the decoder in use, at the end of a run."""
        if self._driving is None or self._live.parts.yoke is not None:
            return None
        path = within(self._home, self._driving.file)
        return partial(
            judge_feedback, self.recording, path, self._driving.sha256, follows=self._follows
        )

    def _heed(self, verdict: Verdict) -> None:
        """Write the verdict down, and read the signal in the other way if that did better."""
        with suppress(RecorderFailed):
            self._live.parts.recorder.append(
                RecordKind.NOTE,
                {"what": "adaptation", "followed": self._follows, **asdict(verdict)},
            )
        if verdict.kept and self._driving is not None and not self._closing.is_set():
            with suppress(HaiheError):  # what cannot be changed goes on as it was
                self._drive(self._driving, follows=not self._follows)

    def _measure_impedance(self) -> None:
        """Ask the source, before the session begins; most amplifiers cannot tell."""
        try:
            found: Mapping[str, float] = self._acquisition.ask("impedances")
        except HaiheError:
            self._next_impedance_s = float("inf")
            return
        self._impedance = {name: round(value, 1) for name, value in found.items()}

    def _finish(self) -> None:
        """End every part, once. What is being mended is finished first, so that none is left."""
        if self._is_finished:
            return
        self._is_finished = True
        self._guard.close()
        self._worker.shutdown(wait=True, cancel_futures=True)
        with suppress(RecorderFailed):
            recorder = self._live.parts.recorder
            if recorder.status().failure:
                self._mend_recorder()
            if self._frames_count:
                recorder.append(RecordKind.NOTE, {"what": "frames", **self.frames()})
        self._made.close()


def check_same(recorded: StreamInfo, given: StreamInfo) -> None:
    """Refuse to go on with other electrodes or another rate than a recording began with.

    Raises
    ------
    SourceDiffers
    """
    if (recorded.rate_hz, recorded.channels) != (given.rate_hz, given.channels):
        raise SourceDiffers(recorded=_described(recorded), given=_described(given))


def _described(info: StreamInfo) -> str:
    names = ", ".join(channel.name for channel in info.channels)
    return f"{len(info.channels)} channels ({names}), {info.rate_hz:g} Hz"


def _finish_recording(recorder: Recorder) -> None:
    # What was written is readable, and the summary says that it was not finished.
    with suppress(RecorderFailed):
        recorder.close()


def _channel(name: str) -> dict[str, Any]:
    if not layout.is_electrode(name):
        return {"name": name, "x": None, "y": None}
    x, y = layout.position_2d(name)
    return {"name": name, "x": round(x, 3), "y": round(y, 3)}


def _shown(opening: Opening) -> str:
    """The actuator's kind as pages are told: a sham arm is never named."""
    if opening.actuator.kind != "sham":
        return opening.actuator.kind
    return str(opening.actuator.given.get("through", {}).get("kind", "simulated"))


def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}}
