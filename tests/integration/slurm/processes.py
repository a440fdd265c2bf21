"""Find and end the processes of a cluster, and remove its control groups."""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

PATIENCE_S = 120.0
CGROUPS = Path("/sys/fs/cgroup")
CONTROLLERS = ("cpuacct", "freezer", "memory")


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Wait until ``condition`` holds; while it raises a ``RuntimeError`` it does not."""
    deadline = time.monotonic() + PATIENCE_S
    failure = ""
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except RuntimeError as error:
            failure = str(error)
        time.sleep(0.1)
    raise TimeoutError(f"waited {PATIENCE_S:.0f} s until {what}. {failure}")


def listens(port: int) -> bool:
    """Whether a server answers on a loopback port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def processes_of(folder: Path) -> set[int]:
    """The living processes that were started for the cluster in ``folder``.

    A process id alone may meanwhile be somebody else's; these have the folder in their command
    line or in their environment.
    """
    mark = os.fsencode(folder) + b"/"
    found = set()
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in (place / "environ").read_bytes() + (place / "cmdline").read_bytes():
                found.add(int(place.name))
    return found - {os.getpid(), os.getppid()}


def can_use_cgroups() -> bool:
    """Whether this process may make control groups of version 1 for Slurm."""
    for controller in CONTROLLERS:
        try:
            Path(tempfile.mkdtemp(prefix="haihe-", dir=CGROUPS / controller)).rmdir()
        except OSError:
            return False
    return True


def remove_cgroups(nodes: Sequence[str]) -> None:
    """Remove what slurmd leaves of a node's control groups."""
    for controller in CONTROLLERS:
        for node in nodes:
            top = CGROUPS / controller / f"slurm_{node}"
            for root, _, _ in os.walk(top, topdown=False):
                with contextlib.suppress(OSError):
                    Path(root).rmdir()
