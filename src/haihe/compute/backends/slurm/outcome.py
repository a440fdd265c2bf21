"""What Slurm's records mean for an attempt. Pure: records and marks in, a status out."""

from __future__ import annotations

import signal
from dataclasses import dataclass, replace

from haihe.compute.backends import RunState, RunStatus
from haihe.compute.backends.slurm.records import JobRecord
from haihe.compute.domain import EndReason, Usage

_BY_STATE = {
    "BOOT_FAIL": EndReason.NODE_FAILED,
    "DEADLINE": EndReason.ENDED_BY_CENTRE,
    "LAUNCH_FAILED": EndReason.NODE_FAILED,
    "NODE_FAIL": EndReason.NODE_FAILED,
    "OUT_OF_MEMORY": EndReason.MEMORY_LIMIT,
    "PREEMPTED": EndReason.NODE_FAILED,
    "RECONFIG_FAIL": EndReason.NODE_FAILED,
    "REVOKED": EndReason.ENDED_BY_CENTRE,
    "TIMEOUT": EndReason.WALL_LIMIT,
}
_WORDS = {
    EndReason.NODE_FAILED: "the node failed, or the job had to make way on it",
    EndReason.MEMORY_LIMIT: "it used more memory than it asked for",
    EndReason.WALL_LIMIT: "it reached its time limit",
}
_REPEATED = "its node failed or it had to make way; what has begun is not run twice"
_WORDS_OF_OVER = {EndReason.NODE_FAILED: _REPEATED}
UNNAMED = "allocation"
ROOT = "root"  # an administrator, also where jobs run as root
_KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)
# Slurm's reasons for waiting that most people meet; any other is shown as it is.
_WAITING = {
    "AssocGrpCpuLimit": "the account's share of CPUs is in use",
    "AssocGrpGRES": "the account's share of GPUs is in use",
    "BadConstraints": "no node has what it asks for",
    "BeginTime": "its start is set for later",
    "Dependency": "it waits for another job",
    "JobArrayTaskLimit": "enough elements of its array run already",
    "JobHeldAdmin": "an administrator holds it back",
    "JobHeldUser": "its owner holds it back",
    "NodeDown": "a node that it needs is down",
    "None": "it has just been queued",
    "PartitionConfig": "the partition's limits do not allow it",
    "PartitionDown": "the partition is closed",
    "PartitionNodeLimit": "the partition has too few nodes for it, or allows fewer",
    "PartitionTimeLimit": "the partition allows less time",
    "Priority": "other jobs come first",
    "QOSMaxCpuPerUserLimit": "its owner uses all CPUs that the quality of service allows",
    "QOSMaxJobsPerUserLimit": "its owner runs as many jobs as the quality of service allows",
    "ReqNodeNotAvail": "the nodes it may use are reserved or down",
    "Reservation": "its reservation has not begun",
    "Resources": "it is next in line, as soon as enough is free",
}
_MEMORY_WORDS = ("oom-kill", "oom_kill", "out-of-memory handler", "exceeded memory limit",
                 "exceeded job memory limit", "exceeded step memory limit")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Marks:
    """What Haihe knows of an attempt besides Slurm's record.

    ``over`` is the limit that Haihe ended it for; ``memory_bytes`` what it asked for on a node;
    ``gpu_milli`` the GPUs it asked for, over all nodes; ``parts_per_gpu`` into how many shards the
    cluster cuts one, if the attempt has such.
    """

    is_cancelled: bool = False
    over: EndReason | None = None
    scheduler_log: str = ""
    output_bytes: int = 0
    memory_bytes: int = 0
    gpu_milli: int = 0
    parts_per_gpu: int = 0


def completed_record(record: JobRecord, seen: JobRecord | None) -> JobRecord:
    """The accounting's record of a short job, with what slurmctld tells it some seconds later.

    What was used is in it as soon as both parts of Slurm tell the same times; its name and all but
    one of its nodes are not.
    """
    if seen is None or record.name != UNNAMED or not record.allocated:
        return record
    if (record.started_at, record.ended_at) != (seen.started_at, seen.ended_at):
        return record
    return replace(record, name=seen.name, nodes=seen.nodes or record.nodes)


def live_status(record: JobRecord) -> RunStatus:
    """An attempt that waits or runs."""
    if record.is_pending:
        reason = record.reason or "None"
        words = _WAITING.get(reason)
        message = f"{words} (Slurm: {reason})" if words else f"Slurm: {reason}"
        return RunStatus(state=RunState.PENDING, message=message, external_id=record.key)
    return RunStatus(
        state=RunState.RUNNING,
        message="it is suspended by Slurm" if "SUSPENDED" in record.states else "",
        external_id=record.key,
        nodes=record.nodes,
        started_at=record.started_at,
    )


def end_status(record: JobRecord, marks: Marks) -> RunStatus:
    """An attempt that has ended, as the accounting has it."""
    has_run = bool(record.nodes) and record.started_at is not None
    reason, message = _reason(record, marks, has_run=has_run)
    if reason is EndReason.MEMORY_LIMIT:
        # Slurm looks at memory now and then, and may miss what it ended the job for.
        peak_memory_bytes = max(record.peak_memory_bytes, marks.memory_bytes)
        record = replace(record, peak_memory_bytes=peak_memory_bytes)
    return RunStatus(
        state=RunState.ENDED,
        reason=reason,
        exit_code=record.exit_code if has_run else None,
        usage=_usage(record, marks) if has_run else None,
        message=message,
        external_id=record.key,
        nodes=record.nodes,
        started_at=record.started_at if has_run else None,
        finished_at=record.ended_at,
    )


def repeated_status(record: JobRecord, marks: Marks) -> RunStatus:
    """Slurm started the job again after its node failed; its script ended without running."""
    return RunStatus(
        state=RunState.ENDED,
        reason=EndReason.NODE_FAILED,
        usage=_usage(record, marks),
        message=_REPEATED,
        external_id=record.key,
        nodes=record.nodes,
        finished_at=record.ended_at,
    )


def _reason(record: JobRecord, marks: Marks, *, has_run: bool) -> tuple[EndReason, str]:
    state = record.states[0]
    if state == "CANCELLED":
        return _reason_of_cancelling(record, marks)
    if state in _BY_STATE:
        reason = _BY_STATE[state]
        return reason, f"{_WORDS.get(reason, 'Slurm ended it')} (Slurm: {state})"
    if not has_run:
        return EndReason.NOT_STARTED, f"Slurm did not start it (Slurm: {state})"
    if record.is_step_out_of_memory or _tells_of_memory(record, marks):
        return EndReason.MEMORY_LIMIT, _WORDS[EndReason.MEMORY_LIMIT]
    message = "its exit code is not told" if record.exit_code is None else ""
    return reason_of_signal(record.exit_code), message


def _reason_of_cancelling(record: JobRecord, marks: Marks) -> tuple[EndReason, str]:
    if marks.over is not None:
        return marks.over, _WORDS_OF_OVER.get(marks.over, "Haihe ended it at its limit")
    if marks.is_cancelled:
        return EndReason.CANCELLED, ""
    if _tells_of_memory(record, marks):
        return EndReason.MEMORY_LIMIT, _WORDS[EndReason.MEMORY_LIMIT]
    by = f" by {record.cancelled_by}" if record.cancelled_by else ""
    is_its_owners = record.cancelled_by == record.user not in ("", ROOT)
    reason = EndReason.CANCELLED if is_its_owners else EndReason.ENDED_BY_CENTRE
    return reason, f"cancelled{by}, not through Haihe"


def _tells_of_memory(record: JobRecord, marks: Marks) -> bool:
    """Some set-ups end a job for its memory without a state for it: its own output says so."""
    if record.states[0] != "CANCELLED" and record.exit_code not in _KILLED:
        return False
    log = marks.scheduler_log.lower()
    was_above = 0 < marks.memory_bytes < record.peak_memory_bytes
    return was_above or any(words in log for words in _MEMORY_WORDS)


def reason_of_signal(exit_code: int | None) -> EndReason:
    """The kernel enforces some limits itself; its signal, or a shell's word for it, says which."""
    if exit_code in (-signal.SIGXCPU, 128 + signal.SIGXCPU):
        return EndReason.CPU_LIMIT
    if exit_code in (-signal.SIGXFSZ, 128 + signal.SIGXFSZ):
        return EndReason.OUTPUT_LIMIT
    return EndReason.EXITED


def _usage(record: JobRecord, marks: Marks) -> Usage:
    wall_ms = record.elapsed_s * 1_000
    return Usage(
        cpu_ms=record.cpu_ms,
        gpu_milli_ms=_gpu_milli(record, marks) * wall_ms,
        wall_ms=wall_ms,
        peak_memory_bytes=record.peak_memory_bytes,
        output_bytes=marks.output_bytes,
    )


def _gpu_milli(record: JobRecord, marks: Marks) -> int:
    """The GPUs allocated; what was asked for where the accounting does not count them."""
    whole = record.allocated.get("gres/gpu", 0) * 1_000
    parts = record.allocated.get("gres/shard", 0) + record.allocated.get("gres/mps", 0)
    part = parts * 1_000 // marks.parts_per_gpu if marks.parts_per_gpu else 0
    return whole or part or marks.gpu_milli
