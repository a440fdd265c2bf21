"""A station for tests of the live pages: the real engine and messages, over a made-up signal.

Run as ``python -m tests.browser.rehabilitation HOME``, it listens where the portal looks for the
station of the rehabilitation pack. Phases are short; whatever is decided follows from a seed.
``prepare`` puts a clinic with a patient into an installation's database.
"""

from __future__ import annotations

import asyncio
import math
import random
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from bci_rehab.errors import NotArmable, StepNotAllowed
from bci_rehab.session.engine import Engine
from bci_rehab.session.interlock import Interlock, Limits, Observed, StopReason
from bci_rehab.session.page import message
from bci_rehab.session.plan import Phase, SegmentKind, SessionPlan, Side, Timings
from bci_rehab.signal.blocks import Channel as Electrode
from bci_rehab.signal.blocks import StreamInfo
from bci_rehab.signal.layout import montage, position_2d
from bci_rehab.signal.verdicts import Code, Finding, Health

from haihe.packs import ServiceContext
from haihe.packs.serving import Channel, ChannelClosed, serve

QUICK = Timings(
    check_s=1.0, rest_s=2.5, fixation_s=0.6, cue_s=0.8, active_s=1.2, feedback_s=1.0,
    pause_least_s=0.3, pause_most_s=0.5, break_s=2.5,
)  # fmt: skip
RATE_HZ, STEP, PERIOD_S = 250.0, 1, 0.05
SOURCES = [
    {"kind": "synthetic", "name": "Synthetic patient", "channels": count, "rate_hz": RATE_HZ,
     "given": {"channels": count}}
    for count in (16, 64)
]  # fmt: skip
ACTUATORS = [{"kind": "simulated", "name": "simulated hand", "given": {"name": "simulated hand"}}]
ACCURACY = {
    "value": 0.86, "standard_error": 0.05, "trials": 40, "chance": 0.5, "chance_bound": 0.63,
    "confidence": 0.999,
}  # fmt: skip


class Live:
    """One made-up session."""

    def __init__(self, order: Mapping[str, Any]) -> None:
        said = SessionPlan.from_json(order["plan"])
        self.plan = replace(said, timings=QUICK, trials_per_side=3, feedback_runs=1)
        self.session, self.actuator = str(order["session"]), order["actuator"]
        count = order["source"]["given"]["channels"]
        self.names = montage(count)
        self.info = StreamInfo(
            name="synthetic", source_id="synthetic", rate_hz=RATE_HZ,
            channels=tuple(Electrode(name=name) for name in self.names),
        )  # fmt: skip
        self.engine, self.interlock = Engine(self.plan), Interlock(Limits())
        self.noise = np.random.default_rng(1)
        self.chance = random.Random(1)  # noqa: S311 - a made-up patient
        self.number = self.first = 0
        self.drawn_s = -math.inf
        self.frames: list[float] = []
        self.orders: list[dict[str, Any]] = []
        self.has_decoder = order["decoder"] is not None
        self.fit: dict[str, Any] | None = None

    def opened(self) -> dict[str, Any]:
        """The first message of a channel."""
        places = [(name, *position_2d(name)) for name in self.names]
        return {
            "type": "opened", "session": self.session, "rate_hz": RATE_HZ,
            "channels": [{"name": n, "unit": "uV", "x": x, "y": y} for n, x, y in places],
            "plan": self.plan.to_json(), "actuator": {"kind": self.actuator["kind"]},
        }  # fmt: skip

    def obey(self, said: Mapping[str, Any]) -> None:
        """An order of the therapist's page."""
        now_s, order, refused = time.monotonic(), said["order"], ""
        standing: list[str] = []
        try:
            if order == "arm":
                self.interlock.arm(now_s, self._observed(now_s))
            elif order == "stop":
                self.stop(StopReason.THERAPIST_STOP)
            elif order != "note":
                getattr(self.engine, order)(now_s)
        except (NotArmable, StepNotAllowed) as error:
            refused = str(error)
            if isinstance(error, NotArmable):
                faults = self.interlock.standing(now_s, self._observed(now_s))
                standing = [fault.reason.value for fault in faults]
        answer = {"id": said["id"], "order": order, "refused": refused, "standing": standing}
        self.orders = [*self.orders, answer][-5:]

    def stop(self, reason: StopReason) -> None:
        """A person's stop."""
        now_s = time.monotonic()
        self.interlock.stop(reason, now_s)
        if self.engine.running:
            self.engine.pause(now_s, reason.value)

    def step(self) -> dict[str, Any]:
        """What happened in the last period, as the therapist's message."""
        now_s = time.monotonic()
        self.engine.tick(now_s, signal_good=True)
        observed = self._observed(now_s)
        level = self.interlock.step(now_s, observed, float(self.engine.wants_movement)).level
        share = self._intend(now_s)
        self.number += 1
        made = message(
            number=self.number, now_s=now_s, signal=self._signal(now_s), health=self._health(),
            info=self.info, evidence={self.plan.hand.value: share, "rest": 1 - share},
            engine=self.engine, interlock=self.interlock, level=level, host_reason=None,
            recorder={"behind_s": 0.01, "unsynced_s": 0.1, "bytes_written": 1, "failure": ""},
            latency={name: {"now_ms": 11.2, "p50_ms": 12.0, "p99_ms": 24.5}
                     for name in ("decision", "screen")},
        )  # fmt: skip
        waiting = not self.engine.state.begun
        return {
            **made, "type": "live", "fit": self.fit, "orders": self.orders,
            "has_decoder": self.has_decoder, "frames": self._frames(),
            "patient_page": now_s - self.drawn_s < 1,
            "impedance": {n: 3.0 + 2.3 * i for i, n in enumerate(self.names)} if waiting else None,
        }  # fmt: skip

    def summary(self) -> dict[str, Any]:
        """What it came to."""
        came = self.engine.summary()
        return {
            "lasted_s": 60.0, "ended": self.engine.state.ended or "interrupted",
            "trials": came.trials, "hits": came.hits, "misses": came.misses, "wrong": came.wrong,
            "quiet": came.quiet, "false_triggers": came.false_triggers, "skipped": came.skipped,
            "calibration_trials": came.calibration_trials,
            "accuracy": round((came.hits + came.quiet) / came.trials, 4) if came.trials else None,
            "standard_error": 0.1, "runs": [], "frames": self._frames(),
            "stops": [{"reason": one.reason.value, "detail": one.detail, "at_s": 1.0,
                       "was_on": one.was_on, "latency_ms": one.latency_ms}
                      for one in self.interlock.stops],
            "signal": {"source": "synthetic", "seconds": 60.0, "lost_s": 0.0, "bad_share": {}},
        }  # fmt: skip

    def _intend(self, now_s: float) -> float:
        """The patient means it in most trials, and the evidence grows."""
        state, cue = self.engine.state, self.engine.cue
        if state.phase is not Phase.ACTIVE or self.engine.segment.kind is not SegmentKind.FEEDBACK:
            return 0.1
        share = min(1.0, (now_s - cue.begins_s) / 0.8)
        if cue.side is Side.REST:
            return 0.2
        if share >= 1.0 and state.outcome is None:
            self.engine.trigger(self.plan.hand, now_s)
        return share

    def _observed(self, now_s: float) -> Observed:
        return Observed(
            data_age_s=0.01, lost_share=0.0, bad_channels=1, decoder_age_s=0.0,
            page_age_s=now_s - self.drawn_s, recorder_behind_s=0.0,
        )  # fmt: skip

    def _signal(self, now_s: float) -> dict[str, Any]:
        rows = round(RATE_HZ * PERIOD_S)
        times = now_s + np.arange(rows)[:, None] / RATE_HZ
        phases = np.arange(len(self.names))[None, :]
        made = 18 * np.sin(2 * np.pi * 10 * times + phases)
        made = made + self.noise.normal(0, 8, made.shape) + 4_000
        first, self.first = self.first, self.first + rows
        return {"first": first, "step": STEP, "microvolts": made.round(1).tolist()}

    def _health(self) -> Health:
        found = (
            Finding(code=Code.DETACHED, channel=self.names[2], value=80.0, limit=50.0),
            Finding(code=Code.MAINS, channel=self.names[5], value=0.4, limit=0.3),
        )
        return Health(verdicts=found, age_s=0.012, lost_share=0.002, bad_channels=1)

    def _frames(self) -> dict[str, Any]:
        if not self.frames:
            return {"p50_ms": None, "p99_ms": None, "count": 0}
        p50, p99 = np.percentile(self.frames, [50, 99])
        return {"p50_ms": round(p50, 1), "p99_ms": round(p99, 1), "count": len(self.frames)}


class Station:
    """The service: at most one made-up session."""

    def __init__(self, context: ServiceContext) -> None:
        self.context = context
        self.live: Live | None = None
        self.newest: dict[str, Any] = {}
        self.told = asyncio.Condition()

    async def start(self) -> None:
        """Begin to step."""
        self.steps = asyncio.create_task(self._step())

    async def stop(self) -> None:
        """Step no more."""
        self.steps.cancel()

    async def _step(self) -> None:
        """One message for all pages, 20 times a second."""
        while True:
            async with self.told:
                self.newest = self.live.step() if self.live else {}
                self.told.notify_all()
            await asyncio.sleep(PERIOD_S)

    async def answer(self, said: Mapping[str, Any]) -> Mapping[str, Any]:
        """One question of the portal."""
        live, what = self.live, said["what"]
        if what == "sources":
            return {"sources": SOURCES, "actuators": ACTUATORS}
        if what == "open":
            self.live = live = Live(said)
        if what == "close" and live is not None:
            self.live = None
            return {"summary": live.summary()}
        if what == "fit" and live is not None:
            sha256 = f"{live.chance.getrandbits(256):064x}"
            file = f"sessions/{live.session}/decoder-1.zip"
            live.fit = {
                "state": "done", "detail": "", "file": file, "sha256": sha256,
                "accuracy": ACCURACY, "method": "tangent space", "threshold": 1.8,
                "hits": 0.7, "false_per_min": 0.45,
            }  # fmt: skip
            return {"started": True}
        if what == "use" and live is not None:
            live.has_decoder = True
        fit = live.fit if live else None
        session = live.session if live else ""
        return {"state": "live" if live else "idle", "session": session, "detail": "", "fit": fit}

    async def handle(self, channel: Channel) -> None:
        """A page."""
        sending = asyncio.create_task(self._send(channel))
        try:
            async for said in channel:
                self._hear(channel.claims["role"], said)
        finally:
            sending.cancel()

    def _hear(self, role: str, said: Mapping[str, Any]) -> None:
        if self.live is None:
            return
        if said["what"] == "emergency":
            self.live.stop(StopReason.EMERGENCY_KEY)
        elif said["what"] == "drawn" and role == "patient":
            self.live.drawn_s = time.monotonic()
            self.live.frames += said["frame_ms"]
        elif said["what"] == "order" and role == "therapist":
            self.live.obey(said)

    async def _send(self, channel: Channel) -> None:
        live = self.live
        try:
            if live is None or live.session != channel.claims["session"]:
                await channel.send({"type": "state", "state": "idle", "detail": ""})
                return
            await channel.send(live.opened())
            while self.live is live:
                async with self.told:
                    await self.told.wait()
                    made = self.newest
                if channel.claims["role"] == "patient":
                    made = {k: v for k, v in made.items() if k not in ("signal", "health")}
                if made:
                    await channel.send(made)
            await channel.send({"type": "ended", "summary": live.summary()})
        except ChannelClosed:
            pass


def prepare(email: str) -> str:
    """A patient whom ``email`` treats, with three sessions that were had; the patient's id."""
    from bci_rehab.clinic import services
    from bci_rehab.clinic.domain import QUESTIONS, Modality
    from bci_rehab.clinic.domain import Side as Trained
    from bci_rehab.clinic.identity import Identity

    from haihe.kernel.days import local_day
    from haihe.parties.models import Person
    from haihe.parties.services import entrust, principal_of

    person = Person.objects.get(email=email)
    slug = "demo-hospital"
    duties = [f"bci_rehab.{duty}" for duty in ("therapist", "researcher")]
    entrust(principal_of(person), slug, person.pk, duties)
    therapist = principal_of(Person.objects.get(pk=person.pk))
    identity = Identity(name="-", document="", telephone="")
    patient = services.enrol(
        therapist, organisation=slug, identity=identity, affected_side=Trained.RIGHT
    )
    for purpose in ("training", "research"):
        services.give_consent(
            therapist, patient.pk, purpose=purpose, text_version="1", given_on=local_day()
        )
    services.fill_intake(therapist, patient.pk, {q.code: False for q in QUESTIONS})
    services.prescribe(
        therapist, patient.pk, modality=Modality.MOTOR_IMAGERY, side=Trained.RIGHT, sessions=40,
        minutes=40, false_triggers_per_min=0.5,
    )  # fmt: skip
    _past(patient, therapist.person_id)
    return str(patient.pk)


def _past(patient: Any, person: Any) -> None:
    """Sessions of the last weeks, as they were written down then."""
    from datetime import timedelta

    from bci_rehab.clinic.models import TrainingSession
    from packs.bci_rehab.tests.clinic.fake_station import SUMMARY

    from haihe.kernel.clock import now

    prescription = patient.prescriptions.get()
    for number, accuracy in enumerate((0.62, 0.7, 0.78), start=1):
        began = now() - timedelta(days=28 - 7 * number)
        TrainingSession.objects.create(
            prescription=prescription, number=number, seed=number, state="ended",
            plan=SessionPlan(session=number, sessions=40).to_json(), folder=f"past/{number}",
            source=SOURCES[0], actuator={"kind": "simulated", "given": {}, "output": True},
            planned_by_id=person, opened_by_id=person, started_at=began,
            ended_at=began + timedelta(minutes=30), summary={**SUMMARY, "accuracy": accuracy},
        )  # fmt: skip


def main(home: Path) -> None:
    """Serve until told to end."""
    context = ServiceContext(pack="bci_rehab", name="station", home=home)
    asyncio.run(serve(Station, context))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
