"""Periodic work: dispatch, and the agents of centres that are this very machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self
from uuid import UUID

from haihe.compute.agent.backends import backend_from
from haihe.compute.agent.config import Pools, read_pools
from haihe.compute.agent.exporters import measure_machine
from haihe.compute.agent.journal import Journal
from haihe.compute.agent.messages import Answer, Exchange, Order
from haihe.compute.agent.runner import Agent, Metrics
from haihe.compute.backends import Backend
from haihe.compute.backends.local import LocalBackend
from haihe.compute.domain import FINAL
from haihe.compute.errors import AgentRunsAlready, BackendUnavailable, BadAgentConfig
from haihe.compute.models import Job, Pool
from haihe.compute.protocols import INPUTS
from haihe.compute.services.dispatch import plan_round
from haihe.compute.services.embedded import embedded_agents
from haihe.compute.services.exchange import hear
from haihe.compute.services.files import deliver_files
from haihe.compute.services.jobs import attempt_folder
from haihe.kernel.settings import load_settings

STEPS_AT_ONCE = 6


@dataclass
class DirectLink:
    """The way from an agent in this process to the platform: a call."""

    agent_id: UUID
    shares_files: bool = True

    def exchange(self, said: Exchange) -> Answer:
        """Say and hear what is new."""
        return hear(self.agent_id, said)

    def fetch_inputs(self, order: Order, folder: Path) -> None:
        """Copy the inputs to where the attempt reads them, under the job's grants."""
        (folder / "inputs").mkdir(parents=True, exist_ok=True)
        job = Job.objects.select_related("quote").get(pk=order.job_id)
        for ref in job.quote.spec.inputs:
            INPUTS.get().deliver(job.pk, ref, folder / "inputs")
        deliver_files(job.quote.spec.files, folder / "work")

    def send_outputs(self, attempt_id: UUID, folder: Path) -> list[str]:
        """Nothing: they are where the platform looks for them."""
        return []


@dataclass
class Dispatcher:
    """One worker: dispatch rounds, and the steps of the embedded agents that it could take.

    Several may run at once. An embedded agent is one process's alone; the others dispatch only.
    """

    agents: dict[UUID, Agent] = field(default_factory=dict)
    _made: dict[UUID, tuple[Any, Backend]] = field(default_factory=dict)

    def tick(self) -> int:
        """Do all that can be done now; how much it was."""
        done = plan_round()
        self._take_agents()
        return done + sum(_steps(agent) for agent in self.agents.values())

    def close(self) -> None:
        """Let others take the embedded agents; what runs goes on."""
        for agent in self.agents.values():
            agent.journal.close()
        self.agents.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _take_agents(self) -> None:
        rows = embedded_agents()
        for gone in self.agents.keys() - {row.pk for row in rows}:
            self.agents.pop(gone).journal.close()  # another agent speaks for its centre now
        for row in rows:
            folder = load_settings().home / "agents" / row.centre.slug
            if row.pk not in self.agents:
                with suppress(AgentRunsAlready):
                    self.agents[row.pk] = Agent(
                        journal=Journal(folder),
                        link=DirectLink(row.pk),
                        backends={},
                        folder=attempt_folder,
                        metrics=self._metrics(row.pk),
                    )
            if row.pk in self.agents:
                self.agents[row.pk].backends = self._backends(row.centre_id, folder)

    def _metrics(self, agent_id: UUID) -> Metrics:
        """What is measured of a centre's pools besides: the cards here, if its jobs run here."""

        def measure(pool: str) -> Mapping[str, float]:
            backend = self.agents[agent_id].backends.get(pool)
            return measure_machine() if isinstance(backend, LocalBackend) else {}

        return measure

    def _backends(self, centre_id: UUID, folder: Path) -> dict[str, Backend]:
        """What runs each pool of a centre: made anew only where what is said of it has changed."""
        found = {}
        told, wrong = _told(folder)
        for pool in Pool.objects.filter(centre=centre_id):
            fields = told.get(pool.slug, {"backend": str(pool.backend)})
            if self._made.get(pool.pk, (None,))[0] != (fields, wrong):
                self._made[pool.pk] = ((fields, wrong), _backend(pool, fields, folder, wrong))
            found[pool.slug] = self._made[pool.pk][1]
        return found


@dataclass(frozen=True)
class NotToldHow:
    """In place of a back-end that cannot be made: every question is answered with the reason."""

    pool: str
    reason: str
    measured_by: str = ""

    def _refuse(self, *arguments: object, **named: object) -> NoReturn:
        raise BackendUnavailable(backend=self.pool, reason=self.reason)

    submit = status = cancel = log = report = _refuse


def _told(folder: Path) -> tuple[Pools, str]:
    """What the operator says of a centre's pools in its folder, and what is wrong with that."""
    try:
        return read_pools(folder), ""
    except BadAgentConfig as error:
        return {}, error.reason


def _backend(pool: Pool, fields: Mapping[str, Any], folder: Path, wrong: str) -> Backend:
    if fields == {"backend": Pool.Backend.LOCAL}:
        return local_backend()
    if wrong:
        return NotToldHow(str(pool), wrong)
    try:
        return backend_from(pool.slug, fields, folder)
    except BadAgentConfig as error:
        return NotToldHow(str(pool), error.reason)


def _steps(agent: Agent) -> int:
    """Steps until nothing happens: an offer is accepted, claimed, started and reported at once."""
    done = 0
    for _ in range(STEPS_AT_ONCE):
        happened = agent.step()
        done += happened
        if not happened:
            break
    return done


def local_backend() -> LocalBackend:
    """Processes of this machine, as the settings confine them."""
    settings = load_settings()
    environments = settings.environments_folder.resolve()
    return LocalBackend(
        home=settings.home.resolve(),
        isolate=settings.job_isolation == "landlock",
        environments=environments if environments.is_dir() else None,
    )


def run_until_idle(dispatcher: Dispatcher, *, pause: Callable[[], object], rounds: int) -> None:
    """Tick until no job waits or runs; ``pause()`` is called between two ticks."""
    for _ in range(rounds):
        dispatcher.tick()
        if not Job.objects.exclude(state__in=FINAL).exists():
            return
        pause()
