"""A session under a clock that is the test's own, with every part faked at its edge."""

import numpy as np
from bci_rehab.errors import RecorderFailed
from bci_rehab.session.deadman import DeadMan
from bci_rehab.session.decoding import Decision
from bci_rehab.session.engine import Engine
from bci_rehab.session.host_status import HostState, HostStatus, Transition
from bci_rehab.session.interlock import Interlock, Limits
from bci_rehab.session.live import LiveSession
from bci_rehab.session.plan import Phase, SegmentKind, SessionPlan, Timings
from bci_rehab.session.ports import Parts
from bci_rehab.session.record_format import json_payload
from bci_rehab.session.recorder import RecorderStatus
from bci_rehab.signal.blocks import Block, Channel, StreamInfo
from bci_rehab.signal.verdicts import Health

INFO = StreamInfo(
    name="fake", source_id="fake", rate_hz=1000.0, channels=(Channel(name="C3"), Channel(name="C4"))
)
FAST = Timings(
    check_s=0.5, rest_s=0.2, fixation_s=0.2, cue_s=0.2, active_s=1.0, feedback_s=0.5,
    pause_least_s=0.1, pause_most_s=0.2, break_s=0.3,
)  # fmt: skip
PLAN = SessionPlan(calibration_runs=1, feedback_runs=1, trials_per_side=2, timings=FAST, seed=5)


class World:
    """All parts of a session, faked at the edges, under one clock; `now_s` is that clock."""

    def __init__(self, plan=PLAN, *, yoke=None, side=None, recorder=None, engine=None, limits=None):
        limits = limits or Limits()
        self.now_s = 100.0
        self.first = 0
        self.broken = None  # what `read` raises
        self.silent = False
        self.findings = ()
        self.decoder_fault = None
        self.decoder_stuck_s = None
        self.pending = []
        self.page = True
        self.records = []
        self.blocks = []
        self.full = False
        self.sent = []
        self.man = DeadMan(limits)
        self.level, self.why_off = 0.0, None
        self.transitions = []
        self.messages = []
        self.resets = 0
        self.side = side or (lambda asked: asked)
        self.recorder = recorder
        self.engine = engine or Engine(plan)
        self.interlock = Interlock(limits)
        self.live = LiveSession(
            Parts(
                info=INFO, source=self, watchdog=Watch(self), engine=self.engine,
                interlock=self.interlock, actuator=FakeActuator(self),
                recorder=recorder or FakeTape(self), decoder=FakeDecoder(self),
                evidence=FakeEvidence(self), yoke=yoke,
            ),
            self.told,
            clock=lambda: self.now_s,
        )  # fmt: skip
        self.live.ask("staff", present=True)

    def told(self, message):
        self.messages.append(message)
        if self.page:
            self.live.heartbeat(message["number"])

    def read(self, timeout_s):
        if self.broken is not None:
            self.now_s += 0.004
            raise self.broken
        self.now_s += max(timeout_s, 0.0005)
        count = int((self.now_s - 100.0) * 1000) - self.first
        if count < 20 or self.silent:
            return None
        block = Block(
            first=self.first, samples=np.full((count, 2), 7.0), device_s=np.arange(count) / 1e3,
            host_s=self.now_s,
        )  # fmt: skip
        self.first += count
        return block

    def until(self, met, seconds=60.0):
        end_s = self.now_s + seconds
        while not met():
            assert self.now_s < end_s, "it never came to that"
            self.live.step()
            self.follow()

    def follow(self):
        """The hand does what the dead man makes of the newest permit."""
        if not self.sent:
            return
        output = self.man.step(self.now_s, self.sent[-1])
        if (output.level > 0) != (self.level > 0):
            number = len(self.transitions) + 1
            self.transitions.append(
                Transition(number=number, at_s=self.now_s, level=output.level, reason=output.reason)
            )
        self.level, self.why_off = output.level, output.reason

    def passes(self, seconds):
        end_s = self.now_s + seconds
        self.until(lambda: self.now_s >= end_s)

    def feedback(self):
        """Run up to the feedback run and arm."""
        self.live.ask("begin")
        self.until(lambda: self.engine.segment.kind is SegmentKind.FEEDBACK)
        self.live.ask("arm", by="therapist 1")
        self.until(lambda: self.interlock.armed)

    def moving(self):
        self.feedback()
        self.until(lambda: self.level > 0.0)

    def of(self, kind):
        return [body for k, body, _ in self.records if k is kind]


class Watch:
    def __init__(self, world):
        self.world, self.last_s = world, world.now_s

    def feed(self, block):
        self.last_s = block.host_s

    def health(self, now_s):
        return Health(
            verdicts=self.world.findings, age_s=now_s - self.last_s, lost_share=0.0, bad_channels=0
        )


class FakeDecoder:
    def __init__(self, world):
        self.world = world

    def submit(self, block):
        if self.world.decoder_stuck_s is None:
            self.world.pending.append(block)

    def poll(self):
        made = [
            Decision(end=b.end, log_odds={"right": 1.0}, clean=True, host_s=b.host_s, took_s=0.001)
            for b in self.world.pending
        ]
        self.world.pending.clear()
        return made

    def age_s(self, now_s):
        stuck_s = self.world.decoder_stuck_s
        return 0.0 if stuck_s is None else now_s - stuck_s

    def fault(self):
        return self.world.decoder_fault


class FakeEvidence:
    """Sure after a third of a second of each trial."""

    def __init__(self, world):
        self.world = world

    def update(self, decision):
        state = self.world.engine.state
        if state.phase is Phase.ACTIVE and self.world.now_s - state.begins_s > 0.3:
            return self.world.side(self.world.engine.cue.side)
        return None

    def reset(self):
        self.world.resets += 1

    def value(self):
        return {"right": float("inf"), "left": 0.25}


class FakeActuator:
    def __init__(self, world):
        self.world, self.seen = world, 0

    def renew(self, permit):
        self.world.sent.append(permit)

    def status(self):
        return HostStatus(
            state=HostState.READY,
            stamp_s=self.world.now_s,
            level=self.world.level,
            why_off=self.world.why_off,
        )

    def fault(self, now_s):
        return None

    def news(self):
        self.world.follow()
        fresh = self.world.transitions[self.seen :]
        self.seen = len(self.world.transitions)
        return fresh


class FakeTape:
    def __init__(self, world):
        self.world = world

    def append(self, kind, body, *, at_s=None):
        if self.world.full:
            raise RecorderFailed(path="/disk/r", reason="No space left on device")
        json_payload(body)
        self.world.records.append((kind, body, at_s))

    def append_block(self, block):
        if self.world.full:
            raise RecorderFailed(path="/disk/r", reason="No space left on device")
        self.world.blocks.append(block)

    def status(self):
        return RecorderStatus(behind_s=0.0, unsynced_s=0.0, bytes_written=0, failure="")
