"""Every back-end as its own machine has it, and what a test may do to that machine."""

from __future__ import annotations

import getpass
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Set
from pathlib import Path
from typing import ClassVar, Protocol

import psutil
import pytest

from haihe.compute.backends import Backend, Handle, landlock
from haihe.compute.backends.local import LocalBackend
from haihe.compute.backends.ray import RayBackend
from haihe.compute.backends.slurm import CliTransport, RestTransport, SlurmBackend
from haihe.compute.backends.slurm.records import Transport
from haihe.compute.domain import EndReason
from tests.integration.ray.cluster import cluster as ray_cluster
from tests.integration.shared import shared
from tests.integration.slurm.cluster import cluster as slurm_cluster
from tests.integration.slurm.processes import can_use_cgroups

PATIENCE_S = 60.0


class Site(Protocol):
    """A back-end under test, and what a test may do to its machine.

    Sites differ in what they can; a test that asks for more than a site has is not run there:

    confines                the kernel keeps a job to its own files and closes the network to it
    refuses-missing-program a program that is not there is noticed before the job starts
    ends-what-is-left       what a command leaves behind is ended with it
    counts-what-is-left     ... and its CPU time is part of the job's

    ``loss`` is what an attempt ends with whose supervision is lost. Wall times are in steps of
    ``wall_step_ms``; memory is seen of what runs for longer than ``memory_step_s``.
    """

    can: ClassVar[Set[str]]
    loss: ClassVar[EndReason]
    wall_step_ms: ClassVar[int]
    memory_step_s: ClassVar[float]
    backend: Backend
    home: Path

    def lose(self, handle: Handle) -> None:
        """Take away whatever looks after a running attempt, without a word."""


class LocalSite:
    """Processes of this machine; a supervisor looks after each attempt."""

    can = frozenset(
        {"confines", "refuses-missing-program", "ends-what-is-left", "counts-what-is-left"}
    )
    loss = EndReason.LOST
    wall_step_ms = 1
    memory_step_s = 0.0

    def __init__(self, home: Path, _config: pytest.Config) -> None:
        if landlock.version() < 1:
            pytest.skip("this kernel has no Landlock: use Linux 5.13 or newer")
        self.home = home
        self.backend: Backend = LocalBackend(home=home, isolate=True)

    def lose(self, handle: Handle) -> None:
        kill_supervisor(handle.folder)


class RaySite:
    """A Ray cluster of one node; the same supervisor looks after each attempt."""

    can = frozenset({"ends-what-is-left", "counts-what-is-left"})
    loss = EndReason.LOST
    wall_step_ms = 1
    memory_step_s = 0.0

    def __init__(self, home: Path, config: pytest.Config) -> None:
        self.home = home
        head = shared(config, ray_cluster)
        self.backend: Backend = RayBackend(url=head.url, token_file=head.token_file)

    def lose(self, handle: Handle) -> None:
        kill_supervisor(handle.folder)


class SlurmSite:
    """A Slurm cluster of several nodes on one machine."""

    # Without control groups Slurm does not find a process that left its family.
    can = frozenset({"ends-what-is-left"} if can_use_cgroups() else ())
    loss = EndReason.NODE_FAILED
    wall_step_ms = 1_000
    memory_step_s = 1.0

    def __init__(self, home: Path, config: pytest.Config) -> None:
        self.home = home
        self.cluster = shared(config, slurm_cluster)
        self.cluster.wait_for_nodes()
        self.backend: Backend = SlurmBackend(
            transport=self.transport(),
            default_user=getpass.getuser(),
            search_path=f"{Path(sys.executable).parent}:/usr/bin:/bin",
            count_every_s=0.2,
        )

    def transport(self) -> Transport:
        return CliTransport(conf=self.cluster.conf)

    def lose(self, handle: Handle) -> None:
        self.cluster.fail_node(self.backend.status([handle])[handle.attempt_id].nodes[0])


class SlurmRestSite(SlurmSite):
    """The same cluster, through slurmrestd."""

    def transport(self) -> Transport:
        token = self.home / "token"
        token.write_text(self.cluster.token())
        return RestTransport(url=self.cluster.rest_url, user="root", token_file=token)


SITES: Mapping[str, type[Site]] = {
    "local": LocalSite,
    "ray": RaySite,
    "slurm-cli": SlurmSite,
    "slurm-rest": SlurmRestSite,
}


def kill_supervisor(folder: Path) -> None:
    supervisor = json.loads((folder / "supervisor.json").read_text())["pid"]
    os.kill(supervisor, signal.SIGKILL)
    # It was detached, so that nobody waits for it here; gone or a zombie is dead alike.
    wait_until(lambda: not lives(supervisor))


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.05)


def lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
