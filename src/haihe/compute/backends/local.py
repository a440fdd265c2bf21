"""The embedded default: each attempt is a process group on this machine, under a supervisor."""

from __future__ import annotations

import platform
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from pydantic import BaseModel, Field

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
    landlock,
    nvml,
    read_log,
    supervised,
)
from haihe.compute.errors import NoIsolation

START_TIMEOUT_S = 60
# What every program needs; of /etc only what holds no secrets.
_SYSTEM_READABLE = (
    "/usr", "/bin", "/sbin", "/lib", "/lib64", "/opt/rocm", "/proc", "/sys/devices/system",
    "/sys/fs/cgroup", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d",
    "/etc/alternatives",
    "/etc/localtime", "/etc/ssl/certs", "/etc/passwd", "/etc/group", "/etc/nsswitch.conf",
    "/etc/fonts", "/etc/mime.types",
)  # fmt: skip


@dataclass(frozen=True)
class LocalBackend:
    """Runs attempts on this machine.

    ``home`` holds what no job may see. With ``isolate``, jobs are confined by Landlock, and
    nothing starts on a machine that cannot. ``environments`` holds libraries of packs, which jobs
    may read.
    """

    home: Path
    isolate: bool
    environments: Path | None = None
    measured_by: str = "local"

    def submit(self, orders: Sequence[WorkOrder]) -> Submitted:
        """Start each attempt's supervisor, which starts the command."""
        refused = {}
        for order in orders:
            try:
                self._start(order)
            except (NoIsolation, OSError) as error:
                refused[order.attempt_id] = str(error)
        return Submitted(refused=refused)

    def status(self, handles: Sequence[Handle]) -> dict[str, RunStatus]:
        """Read each attempt's folder; if its supervisor died, end what it left: it is lost."""
        return {handle.attempt_id: self._status(handle.folder) for handle in handles}

    def cancel(self, handles: Sequence[Handle]) -> None:
        """Leave the mark that the supervisor looks for."""
        for handle in handles:
            (handle.folder / "cancel").touch()

    def log(self, handle: Handle, *, offset: int, limit: int) -> LogChunk:
        """Read from the log file."""
        return read_log(handle.folder / "log.txt", offset=offset, limit=limit)

    def report(self) -> PoolReport:
        """This machine as one node."""
        memory = psutil.virtual_memory()
        cpus, cards = psutil.cpu_count() or 1, nvml.cards()
        node = NodeReport(
            name=platform.node() or "localhost",
            condition=NodeCondition.UP,
            cpu_milli=cpus * 1_000,
            memory_bytes=memory.total,
            used_cpu_milli=round(psutil.cpu_percent() * 10 * cpus),
            used_memory_bytes=memory.total - memory.available,
            gpus=len(cards),
            gpu_model=cards[0].model if cards else "",
            used_gpu_milli=round(sum(card.busy or 0.0 for card in cards) * 1_000),
        )
        return PoolReport(version=platform.release(), nodes=[node], pending=0, running=0)

    def _start(self, order: WorkOrder) -> None:
        supervised.write_order(
            order,
            readable=self._readable() if self.isolate else None,
            environments=self.environments,
        )
        done = subprocess.run(  # noqa: S603 (our own module)
            [sys.executable, "-P", "-m", supervised.MODULE, str(order.folder)],
            capture_output=True,
            text=True,
            timeout=START_TIMEOUT_S,
            check=False,
            cwd=order.folder,
        )
        if done.returncode != 0:
            raise OSError(done.stderr.strip()[-2_000:] or "the supervisor did not start")

    def _status(self, folder: Path) -> RunStatus:
        if not supervised.was_ordered(folder):
            return RunStatus(state=RunState.UNKNOWN)
        # The end may be written between a first look for it and finding that nothing runs.
        return (
            supervised.result_of(folder)
            or supervised.running(folder)
            or supervised.result_of(folder)
            or supervised.lost(folder, "the supervisor is gone")
        )

    def _readable(self) -> list[str]:
        """What every job may read: the system's programs, and this Python with its packages."""
        if landlock.version() < 1:
            raise NoIsolation(reason="its kernel has no Landlock")
        home = self.home.resolve()
        python = {sys.prefix, sys.base_prefix, *sysconfig.get_paths().values()}
        needed = [*_SYSTEM_READABLE, *sorted(python)]
        for path in needed:
            if home.is_relative_to(Path(path).resolve()):
                raise NoIsolation(reason=f"{home} lies in {path}, which every job may read")
        # A folder on the import path that contains the home (a checkout) stays closed.
        packages = [
            path for path in sys.path if path and not home.is_relative_to(Path(path).resolve())
        ]
        environments = [str(self.environments)] if self.environments else []
        return [*needed, *packages, *environments]


class LocalSettings(BaseModel, extra="forbid", frozen=True):
    """The fields of ``[pools.NAME]`` with ``backend = "local"`` in an agent's file."""

    isolate: bool = Field(True, description="Keep jobs to their own files, with Landlock.")


def local_from(data: Mapping[str, Any], folder: Path) -> LocalBackend:
    """The back-end that an agent's file in ``folder`` describes; no job sees that folder."""
    settings = LocalSettings.model_validate(dict(data))
    return LocalBackend(home=folder.resolve(), isolate=settings.isolate)
