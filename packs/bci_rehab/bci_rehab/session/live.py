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
from bci_rehab.session.observing import observe
from bci_rehab.session.page import Drawn, finite, message
from bci_rehab.session.pictures import Pictures
from bci_rehab.session.plan import Phase, SegmentKind, Side
from bci_rehab.session.ports import (
    Actuator,
    BlockReader,
    Decoder,
    Evidence,
    Parts,
    Tape,
    Watch,
)
from bci_rehab.session.record_format import RecordKind
from bci_rehab.session.recorder import clock_reading, resumption
from bci_rehab.session.stopping import StopLog
from bci_rehab.signal.blocks import Block
from bci_rehab.signal.verdicts import Health
from haihe.packs import HaiheError, gettext_noop

READ_S = 0.002
PERMIT_PERIOD_S = 0.02
MESSAGE_PERIOD_S = 0.05
HEALTH_PERIOD_S = 1.0
CLOCK_PERIOD_S = 10.0
COMMANDS_LIMIT = 100
ANSWERS_KEPT = 5
SEE_OFF_S = 0.5
UNRECORDED_LIMIT = 10_000
SOURCE_ANEW = gettext_noop("the source was started anew")
OWN_PROCESS = gettext_noop("the actuator's own process")
DETAILS = (SOURCE_ANEW, OWN_PROCESS)
DECODER_NEEDED = "decoder_needed"
NOBODY_THERE = Fault(reason=StopReason.STAFF_AWAY, cause_s=0.0)
BLOCKS_PER_STEP = 64


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
        self._pictures = Pictures(self.to_screen)
        self._staff_fault: Fault | None = NOBODY_THERE
        self._unrecorded: deque[tuple[RecordKind, Mapping[str, Any], float]] = deque(
            maxlen=UNRECORDED_LIMIT
        )
        self._source_fault: Fault | None = None
        self._recorder_fault: Fault | None = None
        self._health = parts.watchdog.health(clock())
        self._observed = self._observe(clock())
        self._unshown_s: list[float] = []
        self._stops = StopLog(parts, self._record)
        self._number = 0
        self._side_counts: dict[Side, int] = {}
        self._why_paused = ""
        self._answers: deque[dict[str, Any]] = deque(maxlen=ANSWERS_KEPT)
        self._permit_due, self._message_due = _Due(PERMIT_PERIOD_S), _Due(MESSAGE_PERIOD_S)
        self._health_due, self._clock_due = _Due(HEALTH_PERIOD_S), _Due(CLOCK_PERIOD_S)

    @property
    def source_failed(self) -> bool:
        """Whether the source said that it failed, or its process is gone."""
        return self._source_fault is not None

    def heartbeat(self, number: int) -> None:
        """The patient's page has drawn this message just now. Due at least every 100 ms."""
        self._pictures.draw(number, self._clock())

    def ask(self, command: str, **arguments: Any) -> None:
        """Queue an order: begin, arm, stop, emergency, pause, resume, skip, abort, recover, note.

        ``halt`` ends it for good, begun or not. ``page`` says that the patient's page closed or
        changed, ``staff`` whether a therapist's page is ``present``; until then none is.

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
        source: BlockReader | None = None,
        watchdog: Watch | None = None,
        sha256: str = "",
    ) -> None:
        """Put a fresh part in the place of another. The interlock must be armed again.

        ``sha256`` is that of the decoder's file, for the recording; a fresh source is one of the
        same channels. A recorder that goes on after it failed is put in as a fresh one.
        """
        self.ask(
            "replace", decoder=decoder, evidence=evidence, actuator=actuator, recorder=recorder,
            source=source, watchdog=watchdog, sha256=sha256,
        )  # fmt: skip

    def run(self, *, until: Callable[[], bool]) -> None:
        """Pass after pass, until the session has ended or ``until`` says so; then off."""
        try:
            while not until() and not self.parts.engine.state.ended:
                self.step()
        finally:
            now_s = self._clock()
            self._renew(self.parts.interlock.stop(StopReason.SESSION_ENDED, now_s))
            self._stops.note()
            self._tell(now_s)
        self._see_off()
        self._tell(self._clock())

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
        self._stops.note()
        self._follow_driver(now_s, permit.level)

    def _follow_driver(self, now_s: float, wanted: float) -> None:
        """What the actuator's process stopped by itself holds until a person arms again."""
        for reason in self._stops.follow(now_s, wanted):
            if self.parts.interlock.armed:
                self._stop(reason, now_s, OWN_PROCESS)

    def _see_off(self) -> None:
        """Go on until the driver has said that it is off: the last stop has its latency too."""
        until_s = self._clock() + SEE_OFF_S
        while self._stops.waits and self._clock() < until_s:
            self._read()
            self._follow_driver(self._clock(), 0.0)

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
        failure = self.parts.recorder.status().failure
        if failure and self._recorder_fault is None:
            self._recorder_fault = Fault(
                reason=StopReason.RECORDER_FAILED, cause_s=now_s, detail=failure
            )
        return observe(
            self.parts, self._health, now_s,
            page_age_s=self._pictures.age_s(now_s),
            known=(self._source_fault, self._recorder_fault, self._staff_fault),
        )  # fmt: skip

    def _obey(self, now_s: float) -> None:
        """Carry out what pages have asked for; what is not allowed is told, not raised."""
        for _ in range(len(self._commands)):
            command, arguments = self._commands.popleft()
            refused, standing = "", []
            try:
                _COMMANDS[command](self, now_s, **arguments)
            except NotArmable as error:
                refused = str(error)
                faults = self.parts.interlock.standing(now_s, self._observed)
                standing = list(dict.fromkeys(fault.reason.value for fault in faults))
            except StepNotAllowed as error:
                refused = str(error)
            said = {k: v for k, v in arguments.items() if isinstance(v, str | int | float)}
            body = {"what": command, **said, "refused": refused, "standing": standing}
            self._record(RecordKind.NOTE, body, now_s)
            self._answers.append(body)

    def _stop(self, reason: StopReason, now_s: float, detail: str = "") -> None:
        self._renew(self.parts.interlock.stop(reason, now_s, detail=detail))
        self._stops.note()
        if self.parts.engine.running:
            self._log(self.parts.engine.pause(now_s, reason.value))

    def _arm(self, now_s: float, **_: Any) -> None:
        self._observed = self._observe(now_s)
        self.parts.interlock.arm(now_s, self._observed)

    def _page(self, now_s: float, text: str = "", **_: Any) -> None:
        """The patient's page closed, or another one took its place: that is a stop at once."""
        self._pictures.forget()
        if self.parts.interlock.armed:
            self._stop(StopReason.PAGE_CLOSED, now_s, text)

    def _staff(self, now_s: float, present: bool = False, **_: Any) -> None:
        """Whether a page is open from which a therapist can stop it."""
        gone = Fault(reason=StopReason.STAFF_AWAY, cause_s=now_s)
        self._staff_fault = None if present else gone

    def _replace(
        self,
        now_s: float,
        decoder: Decoder | None = None,
        evidence: Evidence | None = None,
        actuator: Actuator | None = None,
        recorder: Tape | None = None,
        source: BlockReader | None = None,
        watchdog: Watch | None = None,
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
            for kind, body, at_s in list(self._unrecorded):
                self._record(kind, body, at_s)
            self._unrecorded.clear()
        if source is not None and watchdog is not None:
            parts.source, parts.watchdog, self._source_fault = source, watchdog, None
            body = resumption(now_s, last_s=now_s, reason=SOURCE_ANEW)
            self._record(RecordKind.RESUMPTION, body, now_s)

    def _renew(self, permit: Permit) -> None:
        self.parts.actuator.renew(permit)
        self._record(RecordKind.PERMIT, asdict(permit), permit.stamp_s)

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
            if kind in _NEVER_LOST:
                self._unrecorded.append((kind, body, at_s))

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
        self._pictures.tell(self._number, now_s, self._unshown_s)
        self._unshown_s.clear()
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


# What a session is replayed from is kept until the recording can be written again.
_NEVER_LOST = frozenset({RecordKind.EVENT, RecordKind.STOP, RecordKind.NOTE})
# These stand against moving, not against the signal: the check of the electrodes goes on.
_BESIDE_SIGNAL = frozenset(
    {
        StopReason.PAGE_CLOSED,
        StopReason.STAFF_AWAY,
        StopReason.DECODER_FAILED,
        StopReason.DECODER_LATE,
        StopReason.DRIVER_FAILED,
        StopReason.PERMIT_LATE,
    }
)
_BESIDE_CALIBRATION = frozenset(
    {
        StopReason.STAFF_AWAY,
        StopReason.DECODER_FAILED,
        StopReason.DECODER_LATE,
        StopReason.DRIVER_FAILED,
    }
)


def _disturbed(engine: Engine, standing: list[Fault]) -> bool:
    """Whether the trials must wait. A calibration run moves nothing and needs no decoder."""
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
    "halt": lambda live, now_s, text="", **_: live._log(live.parts.engine.halt(now_s, text)),
    "recover": lambda live, now_s, **_: live._log(live.parts.engine.recover(now_s)),
    "note": lambda live, now_s, **_: None,
    "page": LiveSession._page,
    "staff": LiveSession._staff,
}
