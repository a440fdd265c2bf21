"""Runs one attempt of a job: starts it confined and limited, meters it, and writes its result.

``python -P -m haihe.compute.backends.supervisor FOLDER`` reads ``order.json``, starts the command
as a process group of its own and detaches itself, so that the job outlives whoever submitted it.
With ``--wait`` before the folder it stays, for a scheduler that takes its end for the job's. All it
knows is in the folder:

    lock             held by the living supervisor; whoever can take it knows that none lives
    supervisor.json  its process id and node, written when the command is about to start
    cancel           if it appears, the job is ended
    log.txt          what the job printed
    result.json.tmp  room for the result, taken at the start: a job may fill the disk
    result.json      reason, exit code and metered usage; written last, atomically

The supervisor is made the reaper of all descendants of the job, so that CPU time of processes that
the job left behind is counted too. If the supervisor is killed, the kernel kills the command.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import platform
import resource
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from haihe.compute.backends import bytes_in, landlock, supervised
from haihe.compute.domain import EndReason

SAMPLE_S = 0.05
SLOW_SAMPLE_S = 0.25
KILL_ROUNDS = 200
LOCK_ROUNDS = 100
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_SYSTEM_WRITABLE = (
    "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom",
    "/dev/shm",  # noqa: S108 (shared memory, which numpy's workers need)
)  # fmt: skip


def main(folder: Path, *, wait: bool) -> int:
    """Run the order in ``folder``, unless it has begun; 0 once it runs, has run, or is sealed."""
    lock = _lock(folder)
    if lock is None or supervised.has_begun(folder):
        return 0
    order = json.loads((folder / "order.json").read_text("utf-8"))
    return _run_here(folder, order) if wait else _run_detached(folder, order)


def _lock(folder: Path) -> int | None:
    """Take the folder's lock; None if a supervisor has it. Who only looks has it for a moment."""
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    for _ in range(LOCK_ROUNDS):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return handle
        if supervised.has_begun(folder):
            return None
        time.sleep(0.02)
    return None


def _run_here(folder: Path, order: dict[str, Any]) -> int:
    try:
        run = _Run.start(folder, order)
    except OSError as error:
        not_started = {"reason": EndReason.NOT_STARTED, "message": str(error)}
        supervised.replace_json(folder / "result.json", not_started)
        return 1
    run.watch()
    run.finish()
    return 0


def _run_detached(folder: Path, order: dict[str, Any]) -> int:
    told, tell = os.pipe()
    if os.fork() > 0:
        os.close(tell)
        error = os.read(told, 4_096).decode()
        if error:
            sys.stderr.write(error)
        return 1 if error else 0
    os.close(told)
    os.setsid()
    try:
        run = _Run.start(folder, order)
    except OSError as error:
        os.write(tell, str(error).encode())
        os._exit(1)
    _detach(folder, tell)
    run.watch()
    run.finish()
    os._exit(0)


@dataclass
class _Run:
    """One running command and what is measured of it."""

    folder: Path
    order: dict[str, Any]
    process: subprocess.Popen[bytes]
    began: float
    reaped_cpu_s: float = 0.0
    sampled_cpu_s: float = 0.0
    peak_memory_bytes: int = 0
    exit_code: int | None = None
    reason: EndReason = EndReason.EXITED
    _stop: bool = field(default=False)
    _memory: int = 0

    @classmethod
    def start(cls, folder: Path, order: dict[str, Any]) -> _Run:
        """Start the command, confined and limited, once there is room for its result.

        That it begins is written first: whoever dies in between has perhaps begun it.
        """
        supervised.take_room(folder / "result.json")
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        begun = folder / "supervisor.json"
        supervised.replace_json(begun, {"pid": os.getpid(), "node": platform.node()})
        try:
            process = cls._popen(folder, order)
        except OSError:
            begun.unlink()
            raise
        return cls(folder, order, process, time.monotonic())

    @staticmethod
    def _popen(folder: Path, order: dict[str, Any]) -> subprocess.Popen[bytes]:
        with (folder / "log.txt").open("ab") as log:
            return subprocess.Popen(  # noqa: S603 (running what people submit is the purpose)
                order["command"],
                cwd=folder / "work",
                env=_environment(order),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=lambda: _confine(folder, order),
            )

    def watch(self) -> None:
        """Meter the command until it ends or a limit is reached."""
        signal.signal(signal.SIGTERM, lambda *_: setattr(self, "_stop", True))
        while not self._reap():
            self._sample()
            broken = self._broken_limit()
            if broken is not None:
                self.reason = broken
                break
            young = time.monotonic() - self.began < 5
            time.sleep(SAMPLE_S if young else SLOW_SAMPLE_S)
        self._end_all()

    def finish(self) -> None:
        """Write the result; the last thing, and all or nothing."""
        wall_ms = round((time.monotonic() - self.began) * 1e3)
        supervised.replace_json(
            self.folder / "result.json",
            {
                "reason": self.reason,
                "exit_code": self.exit_code,
                "cpu_ms": round(max(self.reaped_cpu_s, self.sampled_cpu_s) * 1e3),
                "wall_ms": wall_ms,
                "gpu_milli_ms": self.order["gpu_milli"] * wall_ms,
                "peak_memory_bytes": self.peak_memory_bytes,
                "output_bytes": bytes_in(self.folder / "outputs"),
            },
        )

    def _reap(self) -> bool:
        """Collect ended descendants and their CPU time; whether the command itself has ended."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status, used = os.wait4(-1, os.WNOHANG)
                if pid == 0:
                    break
                self.reaped_cpu_s += used.ru_utime + used.ru_stime
                self.peak_memory_bytes = max(self.peak_memory_bytes, used.ru_maxrss * 1024)
                if pid == self.process.pid:
                    self.exit_code = os.waitstatus_to_exitcode(status)
                    self.process.returncode = self.exit_code
        return self.exit_code is not None

    def _sample(self) -> None:
        """Sum CPU time and resident memory over all living descendants."""
        cpu_s, memory = self.reaped_cpu_s, 0
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess), child.oneshot():
                times = child.cpu_times()
                cpu_s += times.user + times.system + times.children_user + times.children_system
                memory += child.memory_info().rss
        self.sampled_cpu_s = max(self.sampled_cpu_s, cpu_s)
        self.peak_memory_bytes = max(self.peak_memory_bytes, memory)
        self._memory = memory

    def _broken_limit(self) -> EndReason | None:
        order = self.order
        written = bytes_in(self.folder / "outputs") + bytes_in(self.folder / "work")
        log_bytes = (self.folder / "log.txt").stat().st_size
        checks = (
            ((self.folder / "cancel").exists(), EndReason.CANCELLED),
            (self._stop, EndReason.ENDED_BY_CENTRE),
            (self._memory > order["memory_bytes"], EndReason.MEMORY_LIMIT),
            (self.sampled_cpu_s > order["cpu_limit_s"], EndReason.CPU_LIMIT),
            (time.monotonic() - self.began > order["wall_s"], EndReason.WALL_LIMIT),
            (written + log_bytes > order["output_bytes"], EndReason.OUTPUT_LIMIT),
        )
        return next((reason for broken, reason in checks if broken), None)

    def _end_all(self) -> None:
        """Kill the process group and every descendant that left it, then count them all."""
        for _ in range(KILL_ROUNDS):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            living = psutil.Process().children(recursive=True)
            for child in living:
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
            self._reap()
            if not living:
                break
            time.sleep(0.02)
        if self.reason is EndReason.EXITED:
            # Whoever ends the supervisor may have ended the command in the same breath.
            ended_too = self._stop and self.exit_code == -signal.SIGTERM
            self.reason = (
                EndReason.ENDED_BY_CENTRE if ended_too else _reason_of_signal(self.exit_code)
            )


def _environment(order: dict[str, Any]) -> dict[str, str]:
    """What the command finds: what was ordered, and of this process's own only what may pass."""
    here = {name: os.environ[name] for name in order["passed_on"] if name in os.environ}
    return {**here, **order["environment"]}


def _reason_of_signal(exit_code: int | None) -> EndReason:
    """The kernel enforces some limits itself; its signal, or a shell's word for it, says which."""
    if exit_code in (-signal.SIGXCPU, 128 + signal.SIGXCPU):
        return EndReason.CPU_LIMIT
    if exit_code in (-signal.SIGXFSZ, 128 + signal.SIGXFSZ):
        return EndReason.OUTPUT_LIMIT
    return EndReason.EXITED


def _confine(folder: Path, order: dict[str, Any]) -> None:
    """In the new process, before the command: die with the supervisor, be limited, be confined."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: order["cpu_limit_s"] + 1,
        resource.RLIMIT_FSIZE: max(order["output_bytes"], 1),
    }
    for name, value in limits.items():
        resource.setrlimit(name, (value, value))
    if order["readable"] is not None:
        landlock.restrict(
            readable=[*map(Path, order["readable"]), folder / "inputs"],
            writable=[*map(Path, _SYSTEM_WRITABLE), folder / "work", folder / "outputs"],
        )


def _detach(folder: Path, tell: int) -> None:
    """Let go of the starter's streams, so that it can go on and even die."""
    null = os.open(os.devnull, os.O_RDWR)
    errors = os.open(folder / "supervisor.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(null, 0)
    os.dup2(errors, 1)
    os.dup2(errors, 2)
    os.close(tell)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[-1]), wait=sys.argv[1] == "--wait"))
