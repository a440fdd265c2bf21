"""Read what slurmrestd answers. Pure: JSON in, records out; versions 0.0.36 to 0.0.42.

Until 0.0.38 a number is a number and a state a word. From 0.0.39 on most numbers that may be absent
are ``{"set": true, "infinite": false, "number": 5}``, states are lists, and an exit code is an
object. Each reader takes every shape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from haihe.compute.backends.slurm import parse
from haihe.compute.backends.slurm.records import JobRecord, NodeRecord

MIB = 2**20


def parse_queue(answer: Mapping[str, Any]) -> list[JobRecord]:
    """Read ``/slurm/VERSION/jobs``; an array's waiting elements come one by one."""
    return [record for job in answer.get("jobs", []) for record in _queued(job)]


def parse_accounting(answer: Mapping[str, Any]) -> list[JobRecord]:
    """Read ``/slurmdb/VERSION/jobs``."""
    return [_accounted(job) for job in answer.get("jobs", [])]


def parse_nodes(answer: Mapping[str, Any]) -> list[NodeRecord]:
    """Read ``/slurm/VERSION/nodes``."""
    nodes = []
    for node in answer.get("nodes", []):
        flags = [str(flag).upper() for flag in node.get("state_flags", [])]
        nodes.append(
            NodeRecord(
                name=node["name"],
                states=(*words(node.get("state")), *flags),
                cpus=number(node.get("effective_cpus")) or number(node.get("cpus")),
                memory_mib=number(node.get("real_memory")),
                used_cpus=number(node.get("alloc_cpus")),
                used_memory_mib=number(node.get("alloc_memory")),
                gres=parse.gres(node.get("gres") or ""),
                used_gres=parse.used_gres(node.get("gres_used") or "", node.get("tres_used") or ""),
                partitions=tuple(node.get("partitions") or ()),
                reason=node.get("reason") or "",
            )
        )
    return nodes


def parse_version(answer: Mapping[str, Any]) -> str:
    """Slurm's release, which every answer carries."""
    meta = answer.get("meta", {})
    slurm = meta.get("Slurm") or meta.get("slurm") or {}
    return str(slurm.get("release", ""))


def depth(records: Sequence[JobRecord]) -> tuple[int, int]:
    """How many jobs wait and how many run."""
    waiting = sum(record.is_pending for record in records)
    return waiting, sum("RUNNING" in record.states for record in records)


def number(value: Any) -> int:
    """A number in any of its shapes; 0 where none is set."""
    if isinstance(value, Mapping):
        return int(value.get("number") or 0) if value.get("set") else 0
    return int(value or 0)


def words(value: Any) -> tuple[str, ...]:
    """A state in any of its shapes, in capitals."""
    found = [value] if isinstance(value, str) else value or []
    return tuple(str(word).upper() for word in found) or ("UNKNOWN",)


def exit_code(value: Any) -> int | None:
    """An exit code in any of its shapes: a wait status, or code and signal apart."""
    if isinstance(value, int):
        return parse.exit_code_of(value >> 8, value & 0x7F)
    if not isinstance(value, Mapping):
        return None
    signal = value.get("signal") or {}
    killed_by = number(signal.get("signal_id")) or number(signal.get("id"))
    return parse.exit_code_of(number(value.get("return_code")), killed_by)


def _queued(job: Mapping[str, Any]) -> list[JobRecord]:
    states = words(job.get("job_state"))
    is_pending = "PENDING" in states
    started_at = None if is_pending else _moment(job.get("start_time"))
    ended_at = _moment(job.get("end_time"))
    return [
        JobRecord(
            key=key,
            name=job.get("name") or "",
            states=states,
            nodes=parse.hosts(job.get("nodes") or ""),
            reason=job.get("state_reason") or "",
            user=job.get("user_name") or "",
            started_at=started_at,
            ended_at=ended_at,
            exit_code=exit_code(job.get("exit_code")),
        )
        for key in _keys(job)
    ]


def _keys(job: Mapping[str, Any]) -> list[str]:
    array = number(job.get("array_job_id"))
    element = job.get("array_task_id")
    if not array:
        return [str(job["job_id"])]
    if _is_set(element):
        return [f"{array}_{number(element)}"]
    waiting = parse.elements(job.get("array_task_string") or "")
    return [f"{array}_*"] if waiting is None else [f"{array}_{index}" for index in waiting]


def _accounted(job: Mapping[str, Any]) -> JobRecord:
    array, element = job.get("array") or {}, (job.get("array") or {}).get("task_id")
    is_element = number(array.get("job_id")) and _is_set(element)
    time, state = job.get("time") or {}, job.get("state") or {}
    steps = job.get("steps") or []
    states = words(state.get("current"))
    code = exit_code(job.get("exit_code"))
    step_cpu_ms = sum(_milliseconds((step.get("time") or {}).get("total")) for step in steps)
    return JobRecord(
        key=f"{number(array['job_id'])}_{number(element)}" if is_element else str(job["job_id"]),
        name=job.get("name") or "",
        states=states,
        nodes=parse.hosts(job.get("nodes") or ""),
        reason=state.get("reason") or "",
        user=job.get("user") or "",
        started_at=_moment(time.get("start")),
        ended_at=_moment(time.get("end")),
        elapsed_s=number(time.get("elapsed")),
        # Slurm 22.05 tells 0 for every exit code but a signal's.
        exit_code=None if code == 0 and states[0] == "FAILED" else code,
        cpu_ms=max(_milliseconds(time.get("total")), step_cpu_ms),
        peak_memory_bytes=max((_peak_memory(step) for step in steps), default=0),
        allocated=_allocated(job),
        cancelled_by=str(job.get("kill_request_user") or ""),
        is_step_out_of_memory=any("OUT_OF_MEMORY" in words(step.get("state")) for step in steps),
    )


def _allocated(job: Mapping[str, Any]) -> dict[str, int]:
    found = {}
    for item in (job.get("tres") or {}).get("allocated") or []:
        name = f"{item['type']}/{item['name']}" if item.get("name") else str(item["type"])
        found[name] = number(item.get("count")) * (MIB if name == "mem" else 1)
    return found


def _peak_memory(step: Mapping[str, Any]) -> int:
    requested = (step.get("tres") or {}).get("requested") or {}
    return max(
        (number(item.get("count")) for item in requested.get("max") or [] if item["type"] == "mem"),
        default=0,
    )


def _milliseconds(value: Mapping[str, Any] | None) -> int:
    value = value or {}
    return number(value.get("seconds")) * 1_000 + number(value.get("microseconds")) // 1_000


def _moment(value: Any) -> datetime | None:
    seconds = number(value)
    return datetime.fromtimestamp(seconds, UTC) if seconds else None


def _is_set(value: Any) -> bool:
    return bool(value.get("set")) if isinstance(value, Mapping) else value is not None
