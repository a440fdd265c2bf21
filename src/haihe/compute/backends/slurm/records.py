"""What the Slurm back-end says to a cluster and hears from it, whichever way they talk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

PENDING = frozenset(
    {"CONFIGURING", "PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD",
     "SPECIAL_EXIT"}
)  # fmt: skip
ENDED = frozenset(
    {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "LAUNCH_FAILED", "NODE_FAIL",
     "OUT_OF_MEMORY", "PREEMPTED", "RECONFIG_FAIL", "REVOKED", "TIMEOUT"}
)  # fmt: skip


class Refusal(Exception):
    """Slurm, or this back-end for it, says that a submission will never run."""


class NotNow(Exception):
    """Slurm takes no more jobs of this person at present."""


class NotSent(Exception):
    """A submission cannot have reached Slurm; it may be made again at once."""


@dataclass(frozen=True, kw_only=True)
class Submission:
    """What is handed to Slurm: one job, or one array of ``array`` elements numbered from 0.

    Amounts are for each of ``nodes`` nodes. ``output`` receives what Slurm itself writes about
    the job; ``%a`` in it stands for the element's number. An empty ``user`` is the caller.
    """

    name: str
    script: str
    folder: Path
    output: str
    cpus: int
    memory_mib: int
    minutes: int
    nodes: int = 1
    gres: str = ""
    array: int = 0
    partition: str = ""
    account: str = ""
    qos: str = ""
    user: str = ""


@dataclass(frozen=True, kw_only=True)
class JobRecord:
    """One job or array element, as the queue or the accounting has it.

    ``key`` is ``12``, or ``12_3`` for element 3 of array 12, or ``12_*`` for elements of array 12
    that wait and are not named one by one. ``states`` begins with the base state; flags follow.
    ``allocated`` gives counts by name (``gres/gpu``). ``cancelled_by`` is a user's name or number.
    """

    key: str
    name: str
    states: Sequence[str]
    nodes: Sequence[str] = ()
    reason: str = ""
    user: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    elapsed_s: int = 0
    exit_code: int | None = None
    cpu_ms: int = 0
    peak_memory_bytes: int = 0
    allocated: Mapping[str, int] = field(default_factory=dict)
    cancelled_by: str = ""
    is_step_out_of_memory: bool = False

    @property
    def has_ended(self) -> bool:
        """Whether nothing of it runs, or will run, any more."""
        return self.states[0] in ENDED and "COMPLETING" not in self.states

    @property
    def is_pending(self) -> bool:
        """Whether it waits."""
        return not PENDING.isdisjoint(self.states)


@dataclass(frozen=True)
class Gres:
    """A generic resource: ``gpu``, ``shard`` or ``mps``, of a type, and how many."""

    name: str
    type: str
    count: int


@dataclass(frozen=True, kw_only=True)
class NodeRecord:
    """One node, as Slurm has it."""

    name: str
    states: Sequence[str]
    cpus: int
    memory_mib: int
    used_cpus: int = 0
    used_memory_mib: int = 0
    gres: Sequence[Gres] = ()
    used_gres: Sequence[Gres] = ()
    partitions: Sequence[str] = ()
    reason: str = ""


class Transport(Protocol):
    """A way to talk with a cluster. Each may raise ``BackendUnavailable``: nothing is known then.

    Lists of jobs may be long; a transport asks in as few questions as its cluster allows, and
    leaves out jobs that the cluster does not know.
    """

    def submit(self, submission: Submission) -> str:
        """Hand it over; the job's number. Raises ``Refusal``, ``NotNow`` or ``NotSent``."""

    def find(self, names: Sequence[str], *, since: datetime) -> list[JobRecord]:
        """Jobs of these names in the queue, and in the accounting since then."""

    def queue(self, job_ids: Sequence[str]) -> list[JobRecord]:
        """The jobs with these numbers, and all their elements, that slurmctld remembers."""

    def accounting(self, job_ids: Sequence[str]) -> list[JobRecord]:
        """The jobs with these numbers, and all their elements, in the accounting."""

    def cancel(self, keys: Sequence[str]) -> None:
        """End jobs and elements; those that have ended are passed over."""

    def nodes(self) -> list[NodeRecord]:
        """All nodes."""

    def depth(self, partition: str) -> tuple[int, int]:
        """How many jobs wait and how many run, in one partition or in all."""

    def version(self) -> str:
        """Slurm's version."""


def newest(records: Sequence[JobRecord]) -> dict[str, str]:
    """The number of the latest job of each name."""
    jobs: dict[str, str] = {}
    for record in records:
        job = record.key.partition("_")[0]
        jobs[record.name] = max(jobs.get(record.name, "0"), job, key=int)
    return jobs


def ours(records: Sequence[JobRecord], names: Set[str]) -> dict[str, JobRecord]:
    """The records by key; a number that Slurm has given to somebody else's job is not ours."""
    return {record.key: record for record in records if record.name in names}
