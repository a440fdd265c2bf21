"""A network in one process: a platform, centres with agents and schedulers, and bad luck.

Time is virtual, and every choice comes from one seeded source, so that a seed that fails fails
again. Schedulers and disks survive crashes; processes do not: a crash ends one agent or one
request in the middle of what it did, at any of the named points, before or after a commit.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from haihe.compute.agent.journal import Journal
from haihe.compute.agent.messages import Answer, Exchange, Order
from haihe.compute.agent.runner import Agent
from haihe.compute.backends import (
    Handle,
    LogChunk,
    NodeCondition,
    NodeReport,
    PoolReport,
    RunState,
    RunStatus,
    Submitted,
    WorkOrder,
)
from haihe.compute.domain import EndReason, Usage
from haihe.compute.errors import BackendUnavailable, LinkDown
from haihe.compute.services.exchange import hear
from haihe.kernel.clock import now
from haihe.kernel.errors import HaiheError
from tests.compute.factories import GIB

EPOCH = datetime(2030, 1, 1, tzinfo=UTC)


class Crash(BaseException):  # noqa: N818 (nothing that catches exceptions may catch it)
    """The process ends here."""


@dataclass
class Luck:
    """Where everything that goes wrong comes from, and how often it did."""

    rng: random.Random
    badness: float
    is_good: bool = False
    target: str = ""  # a crash point at which this seed strikes for certain, once
    faults: Counter[str] = field(default_factory=Counter)

    def strikes(self, what: str, chance: float) -> bool:
        """Whether ``what`` goes wrong now."""
        if self.is_good or self.rng.random() >= chance * self.badness:
            return False
        self.faults[what] += 1
        return True

    def at_point(self, name: str) -> None:
        """The hook of crash points."""
        if name == self.target and not self.is_good:
            self.target = ""
            self.faults[f"crash at {name}"] += 1
            raise Crash(name)
        if self.strikes(f"crash at {name}", 0.02):
            raise Crash(name)


@dataclass
class Clock:
    """The virtual time."""

    at: datetime = EPOCH

    def __call__(self) -> datetime:
        self.at += timedelta(microseconds=1)
        return self.at

    def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        self.at += timedelta(seconds=seconds)


@dataclass
class Run:
    """One attempt in a scheduler."""

    job_id: str
    starts_at: datetime
    ends_at: datetime
    reason: EndReason = EndReason.EXITED
    exit_code: int = 0
    is_lost: bool = False
    told: Usage | None = None  # what it says that it used, whatever it did


@dataclass
class Scheduler:
    """A back-end with virtual time, which remembers everything whoever crashes around it."""

    luck: Luck
    measured_by: str = "simulated"
    runs: dict[str, Run] = field(default_factory=dict)
    refusal: str = ""  # why it starts nothing, if it does not
    full_for: set[str] = field(default_factory=set)  # attempts that it takes later

    def submit(self, orders: Sequence[WorkOrder]) -> Submitted:
        """Start each attempt that is not known; it waits a while and then runs."""
        self._answer_or_not()
        if self.refusal:
            return Submitted(refused={order.attempt_id: self.refusal for order in orders})
        put_off = {o.attempt_id: "MaxSubmit" for o in orders if o.attempt_id in self.full_for}
        for order in orders:
            if order.attempt_id in put_off:
                continue
            if order.attempt_id not in self.runs:
                wait, length = self.luck.rng.uniform(0, 60), self.luck.rng.uniform(1, 300)
                begins = now() + timedelta(seconds=wait)
                self.runs[order.attempt_id] = Run(
                    order.job_id, begins, begins + timedelta(seconds=length)
                )
        return Submitted(put_off=put_off)

    def status(self, handles: Sequence[Handle]) -> dict[str, RunStatus]:
        """What became of each."""
        self._answer_or_not()
        return {handle.attempt_id: self._status(handle.attempt_id) for handle in handles}

    def cancel(self, handles: Sequence[Handle]) -> None:
        """End what has not ended."""
        self._answer_or_not()
        for handle in handles:
            self.end(handle.attempt_id, EndReason.CANCELLED)

    def log(self, handle: Handle, *, offset: int, limit: int) -> LogChunk:
        """Nothing is printed here."""
        return LogChunk("", 0)

    def report(self) -> PoolReport:
        """One node."""
        self._answer_or_not()
        node = NodeReport(
            name="node", condition=NodeCondition.UP, cpu_milli=4_000, memory_bytes=8 * GIB
        )
        return PoolReport(version="1", nodes=[node], pending=0, running=len(self.runs))

    def end(self, attempt_id: str, reason: EndReason) -> None:
        """End one run now, if it has not ended."""
        run = self.runs.get(attempt_id)
        if run is not None and run.ends_at > now():
            run.ends_at = max(now(), run.starts_at) if run.starts_at < now() else now()
            run.starts_at = min(run.starts_at, run.ends_at)
            run.reason, run.exit_code = reason, 1
            run.is_lost = reason is EndReason.LOST

    def _status(self, attempt_id: str) -> RunStatus:
        run = self.runs.get(attempt_id)
        if run is None:
            return RunStatus(state=RunState.UNKNOWN)
        if run.is_lost:
            return RunStatus(state=RunState.LOST, reason=EndReason.LOST)
        if now() < run.starts_at:
            return RunStatus(state=RunState.PENDING, message="Resources")
        if now() < run.ends_at:
            return RunStatus(state=RunState.RUNNING, started_at=run.starts_at, nodes=["node"])
        wall_ms = round((run.ends_at - run.starts_at).total_seconds() * 1e3)
        usage = run.told or (Usage(wall_ms, 0, wall_ms, GIB // 4, 0) if wall_ms else None)
        return RunStatus(
            state=RunState.ENDED,
            reason=run.reason,
            exit_code=run.exit_code,
            usage=usage,
            started_at=run.starts_at,
            finished_at=run.ends_at,
        )

    def _answer_or_not(self) -> None:
        if self.luck.strikes("scheduler away", 0.05):
            raise BackendUnavailable(backend="simulated", reason="restarting")


@dataclass
class BadLink:
    """A link that loses, doubles and delays messages, and is down for a while now and then."""

    agent_id: UUID
    luck: Luck
    shares_files: bool = True
    down_until: datetime = EPOCH
    late: list[Exchange] = field(default_factory=list)
    clock_error: timedelta = timedelta(0)

    def exchange(self, said: Exchange) -> Answer:
        """Say and hear, if all goes well."""
        said = by_clock(said, self.clock_error)
        if self.luck.strikes("link down", 0.02):
            self.down_until = now() + timedelta(seconds=self.luck.rng.choice([60, 3_600, 86_400]))
        if now() < self.down_until:
            raise LinkDown(reason="the link is down")
        if self.luck.strikes("request lost", 0.08):
            if self.luck.rng.random() < 0.5:
                self.late.append(said)
            raise LinkDown(reason="lost on its way")
        answer = self._deliver(said)
        if self.luck.strikes("request doubled", 0.05):
            self._deliver_late(said)
        if self.late and self.luck.strikes("request late", 0.5):
            self._deliver_late(self.late.pop(0))
        if self.luck.strikes("answer lost", 0.08):
            raise LinkDown(reason="its answer was lost")
        return answer

    def fetch_inputs(self, order: Order, folder: Path) -> None:
        """There are none; sometimes even that fails."""
        if self.luck.strikes("inputs away", 0.05):
            raise LinkDown(reason="in the middle of a file")

    def send_outputs(self, attempt_id: UUID, folder: Path) -> None:
        """Nothing to send."""

    def _deliver(self, said: Exchange) -> Answer:
        """A crash of the platform is a lost connection to the agent."""
        try:
            return hear(self.agent_id, said)
        except Crash:
            raise LinkDown(reason="the platform crashed") from None

    def _deliver_late(self, said: Exchange) -> None:
        try:
            self._deliver(said)
        except HaiheError:
            return  # what is late or doubled is refused or harmless; nobody hears the answer


def by_clock(said: Exchange, error: timedelta) -> Exchange:
    """What an agent says whose clock, and its scheduler's, is off."""
    if not error:
        return said
    times = ("started_at", "finished_at")
    reports = [
        one.model_copy(update={t: at + error for t in times if (at := getattr(one, t))})
        for one in said.reports
    ]
    return said.model_copy(update={"sent_at": said.sent_at + error, "reports": reports})


@dataclass
class Site:
    """A centre: its disk, its scheduler, and the agent process of the moment."""

    slug: str
    agent_id: UUID
    pool: str
    folder: Path
    luck: Luck
    scheduler: Scheduler = field(init=False)
    link: BadLink = field(init=False)
    agent: Agent | None = None

    def __post_init__(self) -> None:
        self.scheduler = Scheduler(self.luck)
        self.link = BadLink(self.agent_id, self.luck)

    def step(self) -> None:
        """One step of the agent; a crash ends its process, and the next step starts another."""
        if self.agent is None:
            self.agent = Agent(
                journal=Journal(self.folder, is_durable=False),
                link=self.link,
                backends={self.pool: self.scheduler},
                folder=lambda job, number: self.folder / f"{job}-{number}",
            )
        try:
            self.agent.step()
        except Crash:
            self.stop()

    def stop(self) -> None:
        """End the agent's process."""
        if self.agent is not None:
            self.agent.journal.close()
            self.agent = None


__all__ = ["Clock", "Crash", "Luck", "Scheduler", "Site", "replace"]
