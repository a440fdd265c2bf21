"""A running Slurm, a back-end for each way of talking to it, and orders to give it."""

from __future__ import annotations

import getpass
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

import pytest

from haihe.compute.backends import Handle, RunState, RunStatus, Submitted, WorkOrder
from haihe.compute.backends.slurm import CliTransport, RestTransport, SlurmBackend
from haihe.compute.backends.slurm.outcome import UNNAMED
from haihe.compute.backends.slurm.records import Transport
from tests.integration.shared import shared
from tests.integration.slurm import cluster as clusters
from tests.integration.slurm.processes import wait_until

MIB = 2**20
PATIENCE_S = 90.0
OWN_USER = getpass.getuser()


@dataclass
class Site:
    """A cluster, and one back-end over it."""

    cluster: clusters.Cluster
    backend: SlurmBackend
    folder: Path

    def order(self, *command: str, **changes: object) -> WorkOrder:
        """An order of small needs, with some of them changed."""
        attempt_id = str(uuid4())
        plain = WorkOrder(
            attempt_id=attempt_id,
            job_id=str(uuid4()),
            name="test",
            folder=self.folder / attempt_id,
            command=command,
            environment={},
            cpu_milli=1_000,
            cpu_limit_s=60,
            memory_bytes=100 * MIB,
            wall_s=600,
            output_bytes=8 * MIB,
        )
        return replace(plain, **changes)  # type: ignore[arg-type]

    def start(self, order: WorkOrder) -> Handle:
        """Submit an order that Slurm takes."""
        assert self.backend.submit([order]) == Submitted()
        return handle_of(order)

    def status(self, handle: Handle) -> RunStatus:
        """What the back-end knows of one attempt."""
        return self.backend.status([handle])[handle.attempt_id]

    def run(self, order: WorkOrder) -> RunStatus:
        """Submit an order and wait for its end."""
        return self.end(self.start(order))

    def end(self, handle: Handle) -> RunStatus:
        """Wait for an attempt's end."""
        return self.until(handle, lambda status: status.state in (RunState.ENDED, RunState.LOST))

    def running(self, handle: Handle) -> RunStatus:
        """Wait until an attempt's command runs."""
        self.until(handle, lambda status: status.state is RunState.RUNNING)
        return self.until(handle, lambda _: (handle.folder / "run" / "claim" / "job").exists())

    def until(self, handle: Handle, holds: Callable[[RunStatus], bool]) -> RunStatus:
        """Wait until something holds of an attempt's status."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            status = self.status(handle)
            if holds(status):
                return status
            time.sleep(0.1)
        raise AssertionError(f"it did not come to hold; last: {status}")

    def log(self, order: WorkOrder) -> str:
        """What an attempt printed."""
        return self.backend.log(handle_of(order), offset=0, limit=MIB).text

    def sacct(self, job: str, fields: str) -> str:
        """What the accounting says of an ended job, once slurmctld has told it everything."""
        said: list[str] = []

        def is_told() -> bool:
            line = self.cluster.run("sacct", "-nPXj", job, "-o", f"{fields},JobName").strip()
            said[:] = line.rpartition("|")[::2]
            return said[1] != UNNAMED

        wait_until(is_told, "slurmctld has told the accounting the job's name")
        return said[0]

    def jobs_of(self, order: WorkOrder, job: str) -> list[str]:
        """All jobs of an order's name in the accounting, once it knows ``job`` by that name."""
        self.sacct(job, "JobID")
        name = f"--name=haihe-{order.attempt_id}"
        said = self.cluster.run("sacct", "-n", "-P", "-X", "-S", "now-1hour", name, "-o", "JobID")
        return said.split()


def handle_of(order: WorkOrder) -> Handle:
    """The handle of an order."""
    return Handle(attempt_id=order.attempt_id, folder=order.folder)


@pytest.fixture
def cluster(request: pytest.FixtureRequest) -> clusters.Cluster:
    """The session's cluster, with all nodes in order and nothing left in the queue."""
    running = shared(request.config, clusters.cluster)
    running.wait_for_nodes()
    for user in ("root", *clusters.USERS):
        running.run("scancel", f"--user={user}")
    return running


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder through which every user may pass."""
    place = Path(tempfile.mkdtemp(prefix="haihe-attempts-"))
    place.chmod(0o755)
    yield place
    shutil.rmtree(place)


def site_by(way: str, cluster: clusters.Cluster, folder: Path) -> Site:
    """A back-end over the cluster by one way to talk: ``cli``, ``rest``, or that and a version."""
    transport: Transport = CliTransport(conf=cluster.conf)
    if way != "cli":
        token = folder / "token"
        token.write_text(cluster.token())
        number = int(way.removeprefix("rest") or 0)
        transport = RestTransport(
            url=cluster.rest_url, user="root", token_file=token, version_number=number
        )
    return Site(
        cluster, SlurmBackend(transport=transport, default_user=OWN_USER, count_every_s=0.2), folder
    )


@pytest.fixture(params=["cli", "rest"])
def site(request: pytest.FixtureRequest, cluster: clusters.Cluster, folder: Path) -> Site:
    """A back-end over the cluster, by each way to talk to it."""
    return site_by(request.param, cluster, folder)


@pytest.fixture
def cli(cluster: clusters.Cluster, folder: Path) -> Site:
    """The same through Slurm's commands, for what does not depend on the way."""
    return site_by("cli", cluster, folder)


@pytest.fixture
def older(cluster: clusters.Cluster, folder: Path) -> Site:
    """The same through the oldest version of slurmrestd's interface that it has."""
    return site_by(f"rest{min(clusters.REST_VERSIONS)}", cluster, folder)
