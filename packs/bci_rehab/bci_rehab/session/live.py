"""A running session: one loop that ties signal, decoder, trials, interlock and recording together.

The loop does nothing that can wait but read the next block, and that only for milliseconds: the
decoder, the actuator and the disk each have a process or thread of their own. If the loop itself
is stuck or killed, its permits cease, and the actuator turns off without it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from bci_rehab.errors import NotArmable, RecorderFailed, StepNotAllowed
from bci_rehab.session.engine import Engine, contradicts
from bci_rehab.session.events import Event, Paused, PhaseBegan, TimedOut, Triggered
from bci_rehab.session.interlock import Fault, Observed, Permit, StopReason
from bci_rehab.session.latency import Latency
from bci_rehab.session.page import Drawn, finite, message
from bci_rehab.session.plan import Phase, SegmentKind, Side
from bci_rehab.session.ports import Actuator, Decoder, Evidence, Parts, Tape
from bci_rehab.session.record_format import RecordKind
from bci_rehab.session.recorder import clock_reading
from bci_rehab.signal.blocks import Block
from bci_rehab.signal.verdicts import Code, Health
from haihe.packs import HaiheError

READ_S = 0.002
PERMIT_PERIOD_S = 0.02
MESSAGE_PERIOD_S = 0.05
HEALTH_PERIOD_S = 1.0
CLOCK_PERIOD_S = 10.0
COMMANDS_LIMIT = 100
ANSWERS_KEPT = 5
DECODER_NEEDED = "decoder_needed"
BLOCKS_PER_STEP = 64
# What the watchdog finds in the stream as a whole, and the stop that follows from it.
STREAM_STOPS: Mapping[Code, StopReason] = {
    Code.FROZEN: StopReason.DATA_STALE,
    Code.DOUBLED: StopReason.STREAM_IRREGULAR,
    Code.LATE: StopReason.STREAM_IRREGULAR,
    Code.CLOCK_JUMP: StopReason.STREAM_IRREGULAR,
    Code.RESTARTED: StopReason.SOURCE_CHANGED,
    Code.RATE: StopReason.SIGNAL_IMPLAUSIBLE,
    Code.SCALE: StopReason.SIGNAL_IMPLAUSIBLE,
}


@dataclass
class _Due:
    """Says when a thing that is done in a period is due."""

    period_s: float
    last_s: float = field(default=float("-inf"))

    def __call__(self, now_s: float) -> bool:
        if now_s - self.last_s < self.period_s:
            return False
        self.last_s = now_s
        return True


class LiveSession:
    """Runs a session. :meth:`ask` and :meth:`heartbeat` may be called from any thread.

    ``on_message`` gets a plain dictionary every 50 ms and must return at once.
    """

    def __init__(
        self,
        parts: Parts,
        on_message: Callable[[dict[str, Any]], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.parts, self._on_message, self._clock = parts, on_message, clock
        self.to_decision, self.to_screen = Latency(), Latency()
        self._drawn = Drawn(parts.info)
        self._commands: deque[tuple[str, dict[str, Any]]] = deque()
        self._page_s = float("-inf")
        self._source_fault: Fault | None = None
        self._recorder_fault: Fault | None = None
        self._health = parts.watchdog.health(clock())
        self._observed = self._observe(clock())
        self._unshown_s: list[float] = []
        self._stops_seen_s = float("-inf")
        self._number = 0
        self._side_counts: dict[Side, int] = {}
        self._why_paused = ""
        self._answers: deque[dict[str, Any]] = deque(maxlen=ANSWERS_KEPT)
        self._permit_due, self._message_due = _Due(PERMIT_PERIOD_S), _Due(MESSAGE_PERIOD_S)
        self._health_due, self._clock_due = _Due(HEALTH_PERIOD_S), _Due(CLOCK_PERIOD_S)

    def heartbeat(self) -> None:
        """The patient's page is open and was drawn just now. Due at least every 100 ms."""
        self._page_s = self._clock()

    def ask(self, command: str, **arguments: Any) -> None:
        """Queue an order: begin, arm, stop, emergency, pause, resume, skip, abort, recover, note.

        It is carried out within one pass of the loop; what it led to is in the messages.
        """
        assert command in _COMMANDS, f"no order {command!r}"
        if len(self._commands) < COMMANDS_LIMIT:
            self._commands.append((command, arguments))

    def replace(
        self,
        *,
        decoder: Decoder | None = None,
        evidence: Evidence | None = None,
        actuator: Actuator | None = None,
        recorder: Tape | None = None,
        sha256: str = "",
    ) -> None:
        """Put a fresh part in the place of another. The interlock must be armed again.

        ``sha256`` is that of the decoder's file, for the recording.
        """
        self.ask(
            "replace", decoder=decoder, evidence=evidence, actuator=actuator, recorder=recorder,
            sha256=sha256,
        )  # fmt: skip

    def run(self, *, until: Callable[[], bool]) -> None:
        """Pass after pass, until the session has ended or ``until`` says so; then off."""
        try:
            while not until() and not self.parts.engine.state.ended:
                self.step()
        finally:
            now_s = self._clock()
            self._renew(self.parts.interlock.stop(StopReason.SESSION_ENDED, now_s))
            self._note_stops()
            self._tell(now_s)

    def step(self) -> None:
        """One pass: read, decode, decide, permit, tell."""
        self._read()
        self._decide()
        now_s = self._clock()
        self._obey(now_s)
        if self._permit_due(now_s):
            self._permit(now_s)
        if self._clock_due(now_s):
            self._record(RecordKind.CLOCK, clock_reading(now_s), now_s)
        if self._health_due(now_s):
            self._record(RecordKind.HEALTH, _health_record(self._health), now_s)
        if self._message_due(now_s):
            self._tell(now_s)

    def _read(self) -> None:
        """Take in all that has arrived."""
        parts = self.parts
        timeout_s = READ_S
        for _ in range(BLOCKS_PER_STEP):
            try:
                block = parts.source.read(timeout_s)
            except HaiheError as error:
                # What is wrong with the source is said once; the interlock stops on it from now on.
                self._source_fault = Fault(
                    reason=StopReason.DATA_STALE, cause_s=self._clock(), detail=str(error)
                )
                return
            if block is None:
                return
            timeout_s = 0.0
            self._source_fault = None  # it is back; the interlock stays latched until it is armed
            self._keep(block)
            parts.watchdog.feed(block)
            self._drawn.add(block)
            self._unshown_s.append(block.host_s)
            if parts.decoder is not None:
                parts.decoder.submit(block)

    def _decide(self) -> None:
        """Take in what the decoder has answered, and trigger the trial if the evidence suffices."""
        parts = self.parts
        if parts.decoder is None:
            return
        for decision in parts.decoder.poll():
            now_s = self._clock()
            age_s = now_s - decision.host_s
            self.to_decision.add(age_s)
            self._record(RecordKind.DECISION, asdict(decision), now_s)
            # What a decoder says after it was stuck is about a past that nobody waits for.
            late = age_s > parts.interlock.limits.decoder_age_s
            side = parts.evidence.update(decision) if parts.evidence and not late else None
            if side is not None and parts.yoke is None:
                self._log(parts.engine.trigger(Side(side), now_s))

    def _permit(self, now_s: float) -> None:
        """Look at everything, move the trial on, and renew the permit or stop."""
        parts = self.parts
        self._health = parts.watchdog.health(now_s)
        self._observed = self._observe(now_s)
        standing = parts.interlock.standing(now_s, self._observed)
        if standing and parts.engine.running and _disturbed(parts.engine, standing):
            self._log(parts.engine.pause(now_s, standing[0].reason.value))
        if parts.engine.running and _lacks_decoder(parts):
            self._log(parts.engine.pause(now_s, DECODER_NEEDED))
        good = not any(fault.reason not in _BESIDE_SIGNAL for fault in standing)
        self._log(parts.engine.tick(now_s, signal_good=good))
        self._follow_yoke(now_s)
        level = parts.level if parts.engine.wants_movement else 0.0
        permit = parts.interlock.step(now_s, self._observed, level)
        self._renew(permit)
        self._note_stops()
        self._follow_driver(now_s)

    def _follow_driver(self, now_s: float) -> None:
        """Record what the driver did, and complete the stops that waited for it."""
        parts = self.parts
        for transition in parts.actuator.news():
            self._record(RecordKind.PERMIT, {"driver": asdict(transition)}, transition.at_s)
            if transition.level > 0.0:
                continue
            self._confirm_off(transition.at_s, now_s)
            reason = transition.reason
            if parts.interlock.armed and reason is not None and reason.latched:
                # Its process stopped on its own account; that holds until a person arms again.
                self._stop(reason, now_s, "the actuator's own process")
        host = parts.actuator.status()
        stops = parts.interlock.stops
        waiting = bool(stops) and stops[-1].was_on and stops[-1].off_s is None
        if waiting and host.level == 0.0 and host.stamp_s - stops[-1].decided_s > PERMIT_PERIOD_S:
            # It was permitted to move and did not, for its dose or for a rest: off all along.
            self._confirm_off(stops[-1].decided_s, now_s)

    def _confirm_off(self, off_s: float, now_s: float) -> None:
        for stop in self.parts.interlock.confirm_off(off_s):
            body = {**asdict(stop), "latency_ms": stop.latency_ms}
            self._record(RecordKind.STOP, body, now_s)

    def _follow_yoke(self, now_s: float) -> None:
        """In a sham session the other recording's decision takes the place of the decoder's."""
        engine, yoke = self.parts.engine, self.parts.yoke
        active = engine.running and engine.state.phase is Phase.ACTIVE
        if yoke is None or not active or engine.state.outcome is not None:
            return
        side = engine.cue.side
        if side is None or engine.segment.kind is not SegmentKind.FEEDBACK:
            return
        count = max(0, self._side_counts.get(side, 1) - 1)
        decided = yoke.decided(side.value, count, now_s - engine.state.begins_s)
        if decided is not None:
            self._log(engine.trigger(Side(decided), now_s))

    def _observe(self, now_s: float) -> Observed:
        """Everything that the actuator depends on, for the interlock."""
        parts, health = self.parts, self._health
        recorder = parts.recorder.status()
        faults = [
            Fault(reason=STREAM_STOPS[finding.code], cause_s=now_s, detail=finding.message)
            for finding in health.verdicts
            if finding.code in STREAM_STOPS
        ]
        if recorder.failure and self._recorder_fault is None:
            self._recorder_fault = Fault(
                reason=StopReason.RECORDER_FAILED, cause_s=now_s, detail=recorder.failure
            )
        faults += [
            fault
            for fault in (
                self._source_fault,
                self._recorder_fault,
                parts.actuator.fault(now_s),
                parts.decoder.fault() if parts.decoder else None,
            )
            if fault is not None
        ]
        return Observed(
            data_age_s=health.age_s,
            lost_share=health.lost_share,
            bad_channels=health.bad_channels,
            decoder_age_s=parts.decoder.age_s(now_s) if parts.decoder else 0.0,
            page_age_s=now_s - self._page_s,
            recorder_behind_s=recorder.behind_s,
            faults=tuple(faults),
        )

    def _obey(self, now_s: float) -> None:
        """Carry out what pages have asked for; what is not allowed is told, not raised."""
        for _ in range(len(self._commands)):
            command, arguments = self._commands.popleft()
            refused = ""
            try:
                _COMMANDS[command](self, now_s, **arguments)
            except (NotArmable, StepNotAllowed) as error:
                refused = str(error)
            said = {k: v for k, v in arguments.items() if isinstance(v, str | int | float)}
            body = {"what": command, **said, "refused": refused}
            self._record(RecordKind.NOTE, body, now_s)
            self._answers.append(body)

    def _stop(self, reason: StopReason, now_s: float, detail: str = "") -> None:
        self._renew(self.parts.interlock.stop(reason, now_s, detail=detail))
        self._note_stops()
        if self.parts.engine.running:
            self._log(self.parts.engine.pause(now_s, reason.value))

    def _arm(self, now_s: float, **_: Any) -> None:
        self.parts.interlock.arm(now_s, self._observe(now_s))

    def _replace(
        self,
        now_s: float,
        decoder: Decoder | None = None,
        evidence: Evidence | None = None,
        actuator: Actuator | None = None,
        recorder: Tape | None = None,
        **_: Any,
    ) -> None:
        parts = self.parts
        if parts.interlock.armed:
            self._stop(StopReason.PART_REPLACED, now_s)
        parts.decoder = decoder or parts.decoder
        parts.evidence = evidence or parts.evidence
        parts.actuator = actuator or parts.actuator
        if recorder is not None:
            parts.recorder, self._recorder_fault = recorder, None

    def _renew(self, permit: Permit) -> None:
        self.parts.actuator.renew(permit)
        self._record(RecordKind.PERMIT, asdict(permit), permit.stamp_s)

    def _note_stops(self) -> None:
        """Record the stops that are new; each is recorded again when the driver is off."""
        stops = self.parts.interlock.stops
        fresh = [stop for stop in stops if stop.decided_s > self._stops_seen_s]
        for stop in fresh:
            self._record(RecordKind.STOP, {**asdict(stop), "latency_ms": None}, stop.decided_s)
            self._stops_seen_s = stop.decided_s

    def _log(self, events: list[Event]) -> None:
        for event in events:
            self._record(RecordKind.EVENT, event.to_json(), event.at_s)
            if isinstance(event, Paused):
                self._why_paused = event.why
            own = self.parts.yoke is None
            if own and isinstance(event, Triggered | TimedOut) and contradicts(self.parts.engine):
                self._stop(StopReason.DECODER_CONTRADICTS, event.at_s)
            if isinstance(event, PhaseBegan) and event.phase is Phase.ACTIVE:
                self._side_counts[event.side] = self._side_counts.get(event.side, 0) + 1
                if self.parts.evidence is not None:
                    self.parts.evidence.reset()

    def _keep(self, block: Block) -> None:
        try:
            self.parts.recorder.append_block(block)
        except RecorderFailed as error:
            self._recorder_failed(error)

    def _record(self, kind: RecordKind, body: Mapping[str, Any], at_s: float) -> None:
        try:
            self.parts.recorder.append(kind, body, at_s=at_s)
        except RecorderFailed as error:
            self._recorder_failed(error)

    def _recorder_failed(self, error: RecorderFailed) -> None:
        """Keep the first failure's time; from now on the interlock stops on it."""
        if self._recorder_fault is None:
            self._recorder_fault = Fault(
                reason=StopReason.RECORDER_FAILED, cause_s=self._clock(), detail=error.reason
            )

    def _tell(self, now_s: float) -> None:
        parts = self.parts
        host, recorder = parts.actuator.status(), parts.recorder.status()
        self._number += 1
        self._on_message(
            message(
                number=self._number,
                now_s=now_s,
                signal=self._drawn.take(),
                health=self._health,
                info=parts.info,
                evidence=parts.evidence.value() if parts.evidence else {},
                engine=parts.engine,
                interlock=parts.interlock,
                level=host.level,
                host_reason=host.why_off,
                recorder=asdict(recorder),
                why_paused=self._why_paused,
                has_decoder=parts.decoder is not None,
                answers=list(self._answers),
                latency={
                    "decision": self.to_decision.summary(now_s),
                    "screen": self.to_screen.summary(now_s),
                },
            )
        )
        told_s = self._clock()
        for host_s in self._unshown_s:
            self.to_screen.add(told_s - host_s)
        self._unshown_s.clear()


# These stand against moving, not against the signal: the check of the electrodes goes on.
_BESIDE_SIGNAL = frozenset(
    {
        StopReason.PAGE_CLOSED,
        StopReason.DECODER_FAILED,
        StopReason.DECODER_LATE,
        StopReason.DRIVER_FAILED,
        StopReason.PERMIT_LATE,
    }
)
_BESIDE_CALIBRATION = frozenset(
    {StopReason.DECODER_FAILED, StopReason.DECODER_LATE, StopReason.DRIVER_FAILED}
)


def _disturbed(engine: Engine, standing: list[Fault]) -> bool:
    """Whether the trials must wait. A calibration run needs neither decoder nor actuator."""
    if engine.segment.kind is SegmentKind.FEEDBACK:
        return True
    in_run = engine.segment.kind is SegmentKind.CALIBRATION
    return in_run and any(fault.reason not in _BESIDE_CALIBRATION for fault in standing)


def _lacks_decoder(parts: Parts) -> bool:
    """Whether feedback is due and nothing is there to give it."""
    return parts.engine.segment.kind is SegmentKind.FEEDBACK and parts.decoder is None


def _health_record(health: Health) -> dict[str, Any]:
    return {
        "age_s": finite(health.age_s),
        "lost_share": finite(health.lost_share),
        "bad_channels": list(health.bad_channel_names),
        "rate_hz": health.rate_hz,
        "verdicts": [
            {"code": finding.code.value, "channel": finding.channel, "value": finite(finding.value)}
            for finding in health.verdicts
        ],
    }


# Each also takes what is only recorded: who gave the order (``by``), and its number (``id``).
_COMMANDS: dict[str, Callable[..., None]] = {
    "arm": LiveSession._arm,
    "replace": LiveSession._replace,
    "stop": lambda live, now_s, by="", **_: live._stop(StopReason.THERAPIST_STOP, now_s, by),
    "emergency": lambda live, now_s, by="", **_: live._stop(StopReason.EMERGENCY_KEY, now_s, by),
    "begin": lambda live, now_s, **_: live._log(live.parts.engine.begin(now_s)),
    "pause": lambda live, now_s, text="", **_: live._log(live.parts.engine.pause(now_s, text)),
    "resume": lambda live, now_s, **_: live._log(live.parts.engine.resume(now_s)),
    "skip": lambda live, now_s, **_: live._log(live.parts.engine.skip(now_s)),
    "abort": lambda live, now_s, text="", **_: live._log(live.parts.engine.abort(now_s, text)),
    "recover": lambda live, now_s, **_: live._log(live.parts.engine.recover(now_s)),
    "note": lambda live, now_s, **_: None,
}
