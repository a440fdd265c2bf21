"""Attempts under Haihe's own supervisor, whoever starts it: what its folder is told, and tells.

The local back-end and Ray both let the supervisor enforce limits and measure use. The folder is
the only thing that they, the supervisor and the next process to look need to share.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from haihe.compute.backends import RunState, RunStatus, WorkOrder, environment_of, make_folders
from haihe.compute.domain import EndReason, Usage

MODULE = "haihe.compute.backends.supervisor"
ROOM_BYTES = 4_096


def write_order(
    order: WorkOrder,
    *,
    readable: Sequence[str] | None,
    python: str = sys.executable,
    passed_on: Sequence[str] = (),
    environments: Path | None = None,
) -> None:
    """Make the attempt's folders, and put down what the supervisor is to run.

    The job may read what is below ``readable``, or everything if it is None; it finds ``python``
    first on its path. ``passed_on`` names what it is given of the supervisor's own environment,
    where that has it. ``environments`` is where it finds the libraries of packs.
    """
    folder = order.folder
    make_folders(folder)
    environment = {
        "PATH": f"{Path(python).parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(folder / "work"),
        "TMPDIR": str(folder / "work" / "tmp"),
        **({"HAIHE_ENVIRONMENTS": str(environments)} if environments else {}),
        **environment_of(order),
    }
    replace_json(
        folder / "order.json",
        {
            "command": list(order.command),
            "environment": environment,
            "passed_on": list(passed_on),
            "cpu_limit_s": order.cpu_limit_s,
            "memory_bytes": order.memory_bytes,
            "wall_s": order.wall_s,
            "output_bytes": order.output_bytes,
            "gpu_milli": order.gpu_milli,
            "readable": readable,
        },
    )


def was_ordered(folder: Path) -> bool:
    """Whether an order was put down here."""
    return (folder / "order.json").exists()


def has_begun(folder: Path) -> bool:
    """Whether a supervisor has started the command here, or the end is written already."""
    return (folder / "supervisor.json").exists() or (folder / "result.json").exists()


def result_of(folder: Path) -> RunStatus | None:
    """How the attempt ended, if its end is written."""
    try:
        data = json.loads((folder / "result.json").read_text("utf-8"))
    except FileNotFoundError:
        return None
    reason = EndReason(data["reason"])
    return RunStatus(
        state=RunState.LOST if reason is EndReason.LOST else RunState.ENDED,
        reason=reason,
        exit_code=data.get("exit_code"),
        usage=_usage(data) if "wall_ms" in data else None,
        message=data.get("message", ""),
        nodes=_nodes(folder),
        started_at=_modified_at(folder / "supervisor.json"),
        finished_at=_modified_at(folder / "result.json"),
    )


def running(folder: Path) -> RunStatus | None:
    """What is known of the attempt while its supervisor lives; None if none does."""
    with lock_of(folder) as free:
        if free:
            return None
    return RunStatus(
        state=RunState.RUNNING,
        nodes=_nodes(folder),
        started_at=_modified_at(folder / "supervisor.json"),
    )


def seal(folder: Path, reason: EndReason, message: str = "") -> bool:
    """Write an end without a start: no supervisor that comes later will begin.

    False, and nothing is written, if one has begun.
    """
    draft = folder / "seal.tmp"
    with lock_of(folder) as free:
        if not free or has_begun(folder):
            return False
        draft.write_text(json.dumps({"reason": reason, "message": message}), "utf-8")
        try:
            # Unlike a look, a link cannot miss a result that another machine has just written.
            (folder / "result.json").hardlink_to(draft)
        except FileExistsError:
            return False
        finally:
            draft.unlink()
    return True


def lost(folder: Path, message: str) -> RunStatus:
    """The supervisor died: end what it left on this machine."""
    work = (folder / "work").resolve()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError, ValueError):
            if Path(process.cwd()).is_relative_to(work):
                process.send_signal(signal.SIGKILL)
    return RunStatus(state=RunState.LOST, reason=EndReason.LOST, message=message)


@contextmanager
def lock_of(folder: Path) -> Iterator[bool]:
    """Whether no supervisor lives; none can begin inside the block if so.

    A living supervisor holds the lock; the kernel frees it at its death, however that came.
    """
    try:
        handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        yield True
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        free = True
    except BlockingIOError:
        free = False
    try:
        yield free
    finally:
        os.close(handle)


def replace_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write so that a reader sees the whole file or the one before, also after a power cut.

    Room that was taken before is written over, and given back only then.
    """
    draft = _draft(path)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
        file.write(json.dumps(data).encode())
        file.truncate()
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def take_room(path: Path) -> None:
    """Make sure that :func:`replace_json` can write ``path`` though the disk be full by then.

    Raises
    ------
    OSError
        If there is no room now.
    """
    handle = os.open(_draft(path), os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.posix_fallocate(handle, 0, ROOM_BYTES)
    finally:
        os.close(handle)


def _draft(path: Path) -> Path:
    return path.with_name(f"{path.name}.tmp")


def _usage(data: dict[str, Any]) -> Usage:
    return Usage(
        cpu_ms=data["cpu_ms"],
        gpu_milli_ms=data.get("gpu_milli_ms", 0),
        wall_ms=data["wall_ms"],
        peak_memory_bytes=data["peak_memory_bytes"],
        output_bytes=data["output_bytes"],
    )


def _nodes(folder: Path) -> tuple[str, ...]:
    try:
        node = json.loads((folder / "supervisor.json").read_text("utf-8")).get("node", "")
    except FileNotFoundError:
        return ()
    return (node,) if node else ()


def _modified_at(path: Path) -> datetime | None:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except FileNotFoundError:
        return None
