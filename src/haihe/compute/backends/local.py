"""The embedded default: each attempt is a process group on this machine, under a supervisor."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from haihe.compute.backends import (
    Handle,
    LogChunk,
    NodeCondition,
    NodeReport,
    PoolReport,
    RunState,
    RunStatus,
    WorkOrder,
    environment_of,
    landlock,
    make_folders,
    read_log,
)
from haihe.compute.domain import EndReason, Usage
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
    nothing starts on a machine that cannot.
    """

    home: Path
    isolate: bool

    def submit(self, orders: Sequence[WorkOrder]) -> dict[str, str]:
        """Start each attempt's supervisor, which starts the command."""
        refused = {}
        for order in orders:
            try:
                self._start(order)
            except (NoIsolation, OSError) as error:
                refused[order.attempt_id] = str(error)
        return refused

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
        cpus = psutil.cpu_count() or 1
        node = NodeReport(
            name=platform.node() or "localhost",
            condition=NodeCondition.UP,
            cpu_milli=cpus * 1_000,
            memory_bytes=memory.total,
            used_cpu_milli=round(psutil.cpu_percent() * 10 * cpus),
            used_memory_bytes=memory.total - memory.available,
        )
        return PoolReport(version=platform.release(), nodes=[node], pending=0, running=0)

    def _start(self, order: WorkOrder) -> None:
        readable = self._readable() if self.isolate else None
        make_folders(order.folder)
        draft = order.folder / "order.tmp"
        draft.write_text(json.dumps(self._as_json(order, readable)), "utf-8")
        draft.replace(order.folder / "order.json")
        done = subprocess.run(  # noqa: S603 (our own module)
            [sys.executable, "-P", "-m", "haihe.compute.backends.supervisor", str(order.folder)],
            capture_output=True,
            text=True,
            timeout=START_TIMEOUT_S,
            check=False,
            cwd=order.folder,
        )
        if done.returncode != 0:
            raise OSError(done.stderr.strip()[-2_000:] or "the supervisor did not start")

    def _status(self, folder: Path) -> RunStatus:
        ended = self._result(folder)
        if ended:
            return ended
        if self._supervisor_lives(folder):
            return RunStatus(state=RunState.RUNNING, started_at=_started_at(folder))
        ended = self._result(folder)
        if ended:
            return ended
        if not (folder / "order.json").exists():
            return RunStatus(state=RunState.UNKNOWN)
        self._end_remains(folder)
        return RunStatus(
            state=RunState.LOST, reason=EndReason.LOST, message="the supervisor is gone"
        )

    def _as_json(self, order: WorkOrder, readable: list[str] | None) -> dict[str, object]:
        folder = order.folder
        environment = {
            "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(folder / "work"),
            "TMPDIR": str(folder / "work" / "tmp"),
            **environment_of(order),
        }
        return {
            "command": list(order.command),
            "environment": environment,
            "cpu_limit_s": order.cpu_limit_s,
            "memory_bytes": order.memory_bytes,
            "wall_s": order.wall_s,
            "output_bytes": order.output_bytes,
            "readable": readable,
        }

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
        return [*needed, *packages]

    def _result(self, folder: Path) -> RunStatus | None:
        try:
            data = json.loads((folder / "result.json").read_text("utf-8"))
        except FileNotFoundError:
            return None
        return RunStatus(
            state=RunState.ENDED,
            reason=EndReason(data["reason"]),
            exit_code=data["exit_code"],
            usage=Usage(
                cpu_ms=data["cpu_ms"],
                gpu_milli_ms=0,
                wall_ms=data["wall_ms"],
                peak_memory_bytes=data["peak_memory_bytes"],
                output_bytes=data["output_bytes"],
            ),
            started_at=_started_at(folder),
            finished_at=_modified_at(folder / "result.json"),
        )

    def _supervisor_lives(self, folder: Path) -> bool:
        """A living supervisor holds the lock; the kernel frees it at death, however that came."""
        try:
            handle = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(handle)
        return False

    def _end_remains(self, folder: Path) -> None:
        """Kill what a dead supervisor's job left: whoever works in the folder."""
        work = (folder / "work").resolve()
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError, ValueError):
                if Path(process.cwd()).is_relative_to(work):
                    process.send_signal(signal.SIGKILL)


def _started_at(folder: Path) -> datetime | None:
    return _modified_at(folder / "supervisor.json")


def _modified_at(path: Path) -> datetime | None:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except FileNotFoundError:
        return None
