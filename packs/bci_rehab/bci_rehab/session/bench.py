"""A whole session on the bench: real time, real processes, a real file, and a simulated hand.

What the accidents are injected into, and what latency is measured on. The patient is a source of
plain noise and the decoder one that always knows the answer, so that the hand moves when it should
and every stop has the accident for its only cause.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bci_rehab.session.actuator import ActuatorHost
from bci_rehab.session.decoding import Decision, DecoderProcess
from bci_rehab.session.drivers.hand import HandState, SimulatedHand, hand_state
from bci_rehab.session.engine import Engine
from bci_rehab.session.events import Event
from bci_rehab.session.interlock import Interlock, Limits
from bci_rehab.session.live import LiveSession
from bci_rehab.session.plan import Phase, SegmentKind, SessionPlan, Side, Timings
from bci_rehab.session.ports import Parts
from bci_rehab.session.recorder import Recorder
from bci_rehab.session.slot import Slot
from bci_rehab.signal.acquisition import Acquisition
from bci_rehab.signal.blocks import Block, Channel, Floats, StreamInfo
from bci_rehab.signal.watchdog import Watchdog

BLOCK_S = 0.02
PATIENCE_S = 30.0
# A reader of files imports much, and the machine may be busy.
START_WITHIN_S = 120.0
NAMES = ("F3", "F4", "C3", "Cz", "C4", "P3", "P4", "Oz")


class Fault(StrEnum):
    """What can be made to go wrong with the stream."""

    STOPS = "stops"
    FREEZES = "freezes"
    DOUBLES = "doubles"
    TIME_JUMPS = "time_jumps"
    BURSTS = "bursts"
    LOSES = "loses"
    DETACHES = "detaches"
    UNITS = "units"
    SLOW = "slow"


@dataclass(kw_only=True)
class BenchSource:
    """Noise as of an amplifier, in real time; with ``fault`` set, an amplifier that fails.

    It runs in the acquisition's process, where ``orders`` tells it which fault to have.
    """

    rate_hz: float = 250.0
    names: tuple[str, ...] = NAMES
    seed: int = 0
    true_rate_hz: float | None = None
    fault: Fault | None = None
    orders: Path | None = None
    _slot: Slot | None = None
    _began_s: float = 0.0
    _first: int = 0
    _again: Block | None = None
    _held: list[Block] = field(default_factory=list)
    _frozen: Floats | None = None

    def __post_init__(self) -> None:
        self._random = np.random.default_rng(self.seed)
        self._last: Floats = np.zeros(len(self.names))

    @property
    def info(self) -> StreamInfo:
        """What it says of itself; the rate may be a lie."""
        channels = tuple(Channel(name=name) for name in self.names)
        return StreamInfo(name="bench", source_id="bench", rate_hz=self.rate_hz, channels=channels)

    def open(self) -> StreamInfo:
        """Begin now."""
        self._began_s = time.monotonic()
        self._slot = Slot(self.orders) if self.orders else None
        return self.info

    def close(self) -> None:
        """Nothing is held."""

    def read(self, timeout_s: float) -> Block | None:
        """The next block, when its time has come, or what the fault makes of it."""
        word = self._slot.read() if self._slot else None
        self.fault = Fault(word.payload.decode()) if word else self.fault
        if self._again is not None:
            block, self._again = self._again, None
            return block
        rate_hz = self.true_rate_hz or self.rate_hz
        count = max(1, round(BLOCK_S * rate_hz))
        due_s = self._began_s + (self._first + count) / rate_hz
        wait_s = due_s - time.monotonic()
        if wait_s > 0.0:
            time.sleep(min(wait_s, timeout_s))
        if time.monotonic() < due_s:
            return None
        return self._faulty(self._made(count, rate_hz))

    def _made(self, count: int, rate_hz: float) -> Block:
        numbers = np.arange(self._first, self._first + count)
        # Slow and fast parts, some ten microvolts in all, as resting EEG has.
        steps = self._random.normal(0.0, 3.0, (count, len(self.names)))
        samples = np.empty_like(steps)
        for row, step in enumerate(steps):
            self._last = 0.95 * self._last + step
            samples[row] = self._last
        self._first += count
        return Block(
            first=int(numbers[0]),
            samples=samples,
            device_s=numbers / rate_hz,
            host_s=time.monotonic(),
        )

    def _faulty(self, block: Block) -> Block | None:
        fault = self.fault
        if fault is None:
            return block
        if fault is Fault.STOPS:
            return None
        if fault is Fault.DOUBLES:
            self._again = block
        if fault is Fault.BURSTS:
            self._held.append(block)
            if len(self._held) < 1.5 / BLOCK_S:
                return None
            held, self._held = self._held, []
            return replace(
                held[0],
                samples=np.concatenate([b.samples for b in held]),
                device_s=np.concatenate([b.device_s for b in held]),
                host_s=time.monotonic(),
            )
        if fault is Fault.LOSES and block.first // len(block) % 3:
            return None
        return replace(block, **self._changed(block, fault))

    def _changed(self, block: Block, fault: Fault) -> dict[str, Any]:
        if fault is Fault.FREEZES:
            self._frozen = block.samples[-1] if self._frozen is None else self._frozen
            return {"samples": np.tile(self._frozen, (len(block), 1))}
        if fault is Fault.TIME_JUMPS:
            return {"device_s": block.device_s + 5.0}
        if fault is Fault.UNITS:
            return {"samples": block.samples * 1e4}
        if fault is Fault.DETACHES:
            samples = block.samples.copy()
            hum = np.sin(2 * np.pi * 50.0 * np.arange(block.first, block.end) / self.rate_hz)
            samples[:, :2] = 400.0 * hum[:, np.newaxis]
            return {"samples": samples}
        return {}


@dataclass(kw_only=True)
class BenchDecoder:
    """A decoder that is always sure; a slot tells it to raise, or to take two seconds."""

    orders: Path
    _slot: Slot | None = None

    def push(self, block: Block) -> list[tuple[int, Mapping[str, float], bool]]:
        """One decision per block."""
        self._slot = self._slot or Slot(self.orders)
        word = self._slot.read()
        order = word.payload if word else b""
        if order == b"raise":
            raise FloatingPointError("the covariance is not positive definite")
        if order == b"sleep":
            time.sleep(2.0)
        return [(block.end, {"right": 3.0, "rest": -3.0}, True)]


class Acquired:
    """The session's end of the acquisition: real process, real ring. ``given_s`` is the arrival of
    the newest block that the session was given.
    """

    def __init__(self, make_source: Callable[[], Any], orders: Path) -> None:
        self.given_s = 0.0
        self._acquisition = Acquisition(make_source)
        self._orders = Slot(orders)

    @property
    def pid(self) -> int:
        """The acquisition's process."""
        return self._reader.state().pid

    def start(self) -> StreamInfo:
        """Start the process; samples flow from then on."""
        info = self._acquisition.start(START_WITHIN_S)
        self._reader = self._acquisition.reader()
        return info

    def stop(self) -> None:
        """End the process."""
        self._acquisition.stop()

    def fail(self, fault: Fault) -> None:
        """Have the source fail from now on."""
        self._orders.write(fault.value.encode(), time.monotonic())

    def read(self, timeout_s: float) -> Block | None:
        """What has arrived."""
        block = self._reader.read(timeout_s)
        if block is not None:
            self.given_s = block.host_s
        return block


class Oracle:
    """Evidence that knows what the trial asks for; ``swapped``, it says the opposite."""

    def __init__(self, engine: Engine, *, swapped: bool = False) -> None:
        self._engine, self._swapped = engine, swapped

    def update(self, decision: Decision) -> str | None:
        """The trial's own side, or the other."""
        state = self._engine.state
        if state.phase is not Phase.ACTIVE or state.outcome is not None:
            return None
        asked = self._engine.cue.side
        if not self._swapped:
            return asked
        return Side.RIGHT if asked is Side.REST else None if asked is None else Side.LEFT

    def reset(self) -> None:
        """Nothing is kept."""

    def value(self) -> Mapping[str, float]:
        """Nothing is gathered."""
        return {}


# One run of feedback, whose first trial moves the hand for as long as an accident takes.
PLAN = SessionPlan(
    calibration_runs=0,
    feedback_runs=1,
    trials_per_side=10,
    seed=5,
    timings=Timings(
        check_s=0.5, rest_s=0.1, fixation_s=0.1, cue_s=0.1, active_s=0.5, feedback_s=4.0,
        pause_least_s=0.1, pause_most_s=0.2,
    ),
)  # fmt: skip
LIMITS = Limits(bad_channels=1, refractory_s=0.2, duty_share=0.9)


class Bench:
    """A session with all its parts; use it in a ``with`` statement.

    ``make_hand`` may be another driver's class, and ``source`` what makes another source in the
    acquisition's process; a ``recording`` that exists is resumed.
    """

    def __init__(
        self,
        folder: Path,
        *,
        source: Callable[[], Any] | None = None,
        plan: SessionPlan = PLAN,
        limits: Limits = LIMITS,
        swapped: bool = False,
        make_hand: Callable[..., Any] = SimulatedHand,
        events: tuple[Event, ...] = (),
    ) -> None:
        self.folder = folder
        self.recording = folder / "recording.haihe"
        self.page_open, self.messages = True, 0
        self.last_message: dict[str, Any] = {}
        for name in ("hand", "orders", "source"):
            Slot.create(folder / name).close()
        self.source = Acquired(
            source or partial(BenchSource, orders=folder / "source"), folder / "source"
        )
        self._hand, self._orders = Slot(folder / "hand"), Slot(folder / "orders")
        self.engine = Engine(plan, events)
        self.interlock = Interlock(limits)
        self.actuator = ActuatorHost(
            partial(make_hand, path=folder / "hand"), limits=limits, folder=folder
        )
        self.decoder = DecoderProcess(partial(BenchDecoder, orders=folder / "orders"))
        self._oracle = Oracle(self.engine, swapped=swapped)
        self.recorder: Recorder | None = None
        self.live: LiveSession | None = None

    def __enter__(self) -> Bench:
        try:
            self.actuator.start()
            self.decoder.start()
            info = self.source.start()
        except BaseException:
            self.__exit__()
            raise
        if self.recording.exists():
            self.recorder = Recorder.resume(self.recording)
        else:
            self.recorder = Recorder.create(
                self.recording, info, {"plan": self.engine.plan.to_json()}
            )
        parts = Parts(
            info=info,
            source=self.source,
            watchdog=Watchdog(info, now_s=time.monotonic()),
            engine=self.engine,
            interlock=self.interlock,
            actuator=self.actuator,
            recorder=self.recorder,
            decoder=self.decoder,
            evidence=self._oracle,
        )
        self.live = LiveSession(parts, self._page)
        self.live.ask("staff", present=True)
        return self

    def __exit__(self, *_: object) -> None:
        self.actuator.close()
        self.decoder.close()
        self.source.stop()

    @property
    def hand(self) -> HandState:
        """What the hand does now."""
        return hand_state(self._hand, time.monotonic())

    def order(self, word: bytes) -> None:
        """Tell the decoder what to do."""
        self._orders.write(word, time.monotonic())

    def until(self, met: Callable[[], bool], *, within_s: float = PATIENCE_S) -> bool:
        """Run the session until a condition holds; whether it did in time."""
        assert self.live is not None
        end_s = time.monotonic() + within_s
        while not met():
            if time.monotonic() > end_s:
                return False
            self.live.step()
        return True

    def begin_and_move(self) -> bool:
        """Begin, arm when the check is through, and run until the hand moves."""
        assert self.live is not None
        self.live.ask("begin")
        through = self.until(lambda: self.engine.segment.kind is SegmentKind.FEEDBACK)
        if not through:
            return False
        self.live.ask("arm", by="bench")
        return self.until(lambda: self.hand.level > 0.0)

    def _page(self, told: dict[str, Any]) -> None:
        """A page that answers each message with a heartbeat, while it is open."""
        self.messages += 1
        self.last_message = told
        if self.page_open and self.live is not None:
            self.live.heartbeat(told["number"])
