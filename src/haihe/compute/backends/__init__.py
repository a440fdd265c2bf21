"""Back-ends: what runs a job's attempts. One protocol; local processes are the embedded default.

Nothing here knows Django: a back-end is given orders and answers what became of them. Its own
records (a folder, a scheduler's accounting) are the truth about a run; Haihe's database is the
truth about everything else.

Every call may be repeated without harm, and may find the scheduler away: then it raises
``BackendUnavailable``, nothing is concluded, and the caller asks again later.
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from haihe.compute.domain import EndReason, Usage

# What the makers' libraries read to know which cards a process may use.
VISIBLE_CARDS = ("CUDA_VISIBLE_DEVICES", "ASCEND_RT_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")


class RunState(StrEnum):
    """Where the back-end sees an attempt."""

    PENDING = "pending"  # in the scheduler's own queue
    RUNNING = "running"
    ENDED = "ended"
    LOST = "lost"  # it was started, has no result, and nothing of it runs any more
    UNKNOWN = "unknown"  # it was never submitted here


class NodeCondition(StrEnum):
    """Whether a node takes work."""

    UP = "up"
    DRAINING = "draining"
    DOWN = "down"


@dataclass(frozen=True, kw_only=True)
class Account:
    """A person's own identity at a centre."""

    user: str
    account: str = ""
    qos: str = ""


@dataclass(frozen=True, kw_only=True)
class ArrayElement:
    """Which element of which array an attempt is."""

    array_id: str
    index: int


@dataclass(frozen=True, kw_only=True)
class Seat:
    """Where on a node that Haihe packs itself an attempt sits: GPUs by number, with their share."""

    node: str
    gpus: Sequence[int] = ()
    gpu_milli_each: int = 0


@dataclass(frozen=True, kw_only=True)
class WorkOrder:
    """One attempt, ready to run: its folder holds ``inputs`` and receives ``outputs``.

    ``cpu_milli``, ``memory_bytes`` and ``gpu_milli`` are needed on each of ``nodes`` nodes, which
    all start together. ``seats`` are given by Haihe where it packs the pool itself; a scheduler
    finds its own. ``partition`` is the part of a scheduler that the pool is, where it has such.
    """

    attempt_id: str
    job_id: str
    name: str
    folder: Path
    command: Sequence[str]
    environment: Mapping[str, str]
    cpu_milli: int
    cpu_limit_s: int
    memory_bytes: int
    wall_s: int
    output_bytes: int
    gpu_milli: int = 0
    gpu_model: str = ""
    nodes: int = 1
    seats: Sequence[Seat] = ()
    partition: str = ""
    account: Account | None = None
    element: ArrayElement | None = None


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """What became of orders that were submitted, by attempt; those that are in neither are taken.

    ``refused`` says why an attempt could not be started and never will be here; ``put_off`` why
    one must be submitted again later, while the others go on.
    """

    refused: Mapping[str, str] = field(default_factory=dict)
    put_off: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Handle:
    """Which run is meant: the attempt, and the folder of its files."""

    attempt_id: str
    folder: Path


@dataclass(frozen=True, kw_only=True)
class RunStatus:
    """What the back-end knows of an attempt.

    An ``ended`` one has ``reason``, and ``exit_code`` and ``usage`` if it ever ran. Times are by
    the back-end's clock. ``external_id`` is the scheduler's name for it; ``message`` is the
    scheduler's word on why it waits or how it ended.
    """

    state: RunState
    reason: EndReason | None = None
    exit_code: int | None = None
    usage: Usage | None = None
    message: str = ""
    external_id: str = ""
    nodes: Sequence[str] = ()
    started_at: datetime | None = None
    finished_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class NodeReport:
    """One node: what it has, what is taken, and whether it takes work."""

    name: str
    condition: NodeCondition
    cpu_milli: int
    memory_bytes: int
    gpus: int = 0
    gpu_model: str = ""
    used_cpu_milli: int = 0
    used_memory_bytes: int = 0
    used_gpu_milli: int = 0
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class PoolReport:
    """What a back-end's scheduler says of itself."""

    version: str
    nodes: Sequence[NodeReport]
    pending: int
    running: int
    partitions: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class LogChunk:
    """A piece of a log and the byte offset at which the next one begins."""

    text: str
    next_offset: int


class Backend(Protocol):
    """What every kind of pool can do."""

    @property
    def measured_by(self) -> str:
        """What measures the use of attempts."""

    def submit(self, orders: Sequence[WorkOrder]) -> Submitted:
        """Start attempts, except those started before; elements of one array may go together."""

    def status(self, handles: Sequence[Handle]) -> dict[str, RunStatus]:
        """What became of each attempt, in as few questions to the scheduler as it allows."""

    def cancel(self, handles: Sequence[Handle]) -> None:
        """Ask for the attempts' end; it comes as status ``ended`` with reason ``cancelled``."""

    def log(self, handle: Handle, *, offset: int, limit: int) -> LogChunk:
        """What the attempt printed, from byte ``offset`` on; from the end, if it is negative."""

    def report(self) -> PoolReport:
        """The nodes and the queue, as the scheduler sees them now."""


def read_log(path: Path, *, offset: int, limit: int) -> LogChunk:
    """A piece of a log file; bytes that are no UTF-8 are shown as replacement characters.

    A character of which only the first bytes are there yet is left for the next call. A file that
    is not there yet is an empty log.
    """
    try:
        with path.open("rb") as file:
            if offset < 0:
                offset = max(0, file.seek(0, os.SEEK_END) + offset)
            file.seek(offset)
            data = file.read(limit)
    except FileNotFoundError:
        return LogChunk("", max(0, offset))
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = decoder.decode(data)
    unfinished, _flags = decoder.getstate()
    return LogChunk(text, offset + len(data) - len(unfinished))


def environment_of(order: WorkOrder) -> dict[str, str]:
    """What every attempt finds in its environment, whatever runs it."""
    return {
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        # Numeric libraries start a thread per core of the machine unless told what they have.
        "OMP_NUM_THREADS": str(max(1, order.cpu_milli // 1_000)),
        **order.environment,
        "HAIHE_JOB_ID": order.job_id,
        "HAIHE_ATTEMPT_ID": order.attempt_id,
        "HAIHE_INPUTS": str(order.folder / "inputs"),
        "HAIHE_OUTPUTS": str(order.folder / "outputs"),
        **({"HAIHE_ARRAY_INDEX": str(order.element.index)} if order.element else {}),
        **_visible_cards(order.seats),
    }


def _visible_cards(seats: Sequence[Seat]) -> dict[str, str]:
    """Where Haihe gives out the cards, a job sees those that are its own and no other."""
    if not seats:
        return {}
    return dict.fromkeys(VISIBLE_CARDS, ",".join(map(str, seats[0].gpus)))


def make_folders(folder: Path) -> None:
    """The folders of an attempt: its inputs, its outputs, and where it works."""
    for name in ("work", "work/tmp", "inputs", "outputs"):
        (folder / name).mkdir(parents=True, exist_ok=True)


def bytes_in(folder: Path) -> int:
    """The bytes of all files below ``folder``; one that vanishes meanwhile counts nothing."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(root, name)).st_size  # noqa: PTH118 (hot loop)
            except FileNotFoundError:
                continue
    return total
