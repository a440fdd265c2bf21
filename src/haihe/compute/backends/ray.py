"""Ray: each attempt is a job of a Ray cluster, under Haihe's own supervisor.

Ray's Jobs API places the supervisor where the asked CPUs, GPUs, fractions of a GPU and memory are
free. Ray itself keeps no accounting of CPU time and enforces none of these amounts; the supervisor
does both, and ``measured_by`` says so. The agent needs no Ray: it speaks plain HTTP.

The attempt's folder must be on storage that the agent and all nodes share, with locks that work
across them (NFS 4, Lustre with flock). Once an attempt has begun the folder alone says what became
of it; Ray is asked only about those that have not. What Ray forgets is then never run twice: the
folder of an attempt that is given up is sealed, and a supervisor that comes late finds the seal.
"""

from __future__ import annotations

import re
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
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
    read_log,
    supervised,
)
from haihe.compute.domain import EndReason
from haihe.compute.errors import BackendUnavailable

TIMEOUT_S = 30.0
# Up to so many jobs are asked about one by one: Ray's list of all grows slow with its history.
ONE_BY_ONE = 16
# Ray keeps an ended job's entry for so long after Haihe has read its end.
KEEP_ENDED_S = 3_600
FORGET_AT_ONCE = 200
NODES_LIMIT = 10_000
# What Ray and the makers of accelerators tell a process through its environment.
PASSED_ON = (
    "ASCEND_RT_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES", "RAY_ADDRESS", "RAY_JOB_CONFIG_JSON_ENV_VAR",
)  # fmt: skip
MARK = "haihe_attempt"
SUBMITTED = "submitted"
_UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "PiB": 2**50}
_AMOUNT = re.compile(r"([\d.]+)([A-Za-z]*)/([\d.]+)([A-Za-z]*) (\S+)")
_ACCELERATOR = "accelerator_type:"


@dataclass(frozen=True)
class RayBackend:
    """A Ray cluster, by the address of its dashboard.

    ``python`` is the full path, on every node, of a Python that has Haihe. ``accelerators`` gives
    Ray's name of an accelerator for Haihe's where they differ. ``token_file`` holds the token of
    a cluster that asks for one.
    """

    url: str
    python: str = sys.executable
    accelerators: Mapping[str, str] = field(default_factory=dict)
    token_file: Path | None = None
    measured_by: str = "supervisor on ray"

    def submit(self, orders: Sequence[WorkOrder]) -> Submitted:
        """Give each attempt to Ray under its own id, which Ray takes once."""
        refused = {}
        with self._client() as client:
            for order in orders:
                why = _unsuited(order) or self._submit(client, order)
                if why:
                    refused[order.attempt_id] = why
        return Submitted(refused=refused)

    def status(self, handles: Sequence[Handle]) -> dict[str, RunStatus]:
        """Read each attempt's folder, and ask Ray about those that have not begun."""
        seen = {}
        waiting = []
        for handle in handles:
            known = _in_folder(handle.folder)
            if known is None:
                waiting.append(handle)
            else:
                seen[handle.attempt_id] = known
        told = self._jobs([handle.attempt_id for handle in waiting])
        for handle in waiting:
            seen[handle.attempt_id] = _not_begun(handle, told.get(handle.attempt_id))
        return seen

    def cancel(self, handles: Sequence[Handle]) -> None:
        """Leave the mark that the supervisor looks for; take what has not begun out of line."""
        for handle in handles:
            if not supervised.was_ordered(handle.folder):
                continue
            (handle.folder / "cancel").touch()
            if supervised.seal(handle.folder, EndReason.CANCELLED):
                with self._client() as client:
                    client.post(f"/api/jobs/{handle.attempt_id}/stop")

    def log(self, handle: Handle, *, offset: int, limit: int) -> LogChunk:
        """Read from the log file."""
        return read_log(handle.folder / "log.txt", offset=offset, limit=limit)

    def report(self) -> PoolReport:
        """The nodes as Ray lists them, with what Ray has reserved of each."""
        with self._client() as client:
            version = _answer(client.get("/api/version"))["ray_version"]
            query = {"limit": NODES_LIMIT, "detail": 1}
            nodes = _answer(client.get("/api/v0/nodes", params=query))["data"]["result"]["result"]
            summary = _answer(client.get("/nodes", params={"view": "summary"}))["data"]
            jobs = _answer(client.get("/api/jobs/"))
            _forget(client, jobs)
        states = {
            item["raylet"]["nodeId"]: item["raylet"].get("stateSnapshot", {}).get("state", "")
            for item in summary["summary"]
            if "nodeId" in item.get("raylet", {})
        }
        used = summary["nodeLogicalResources"]
        alive = {node["node_ip"] for node in nodes if node["state"] == "ALIVE"}
        here = [n for n in nodes if n["state"] == "ALIVE" or n["node_ip"] not in alive]
        status = [job["status"] for job in jobs if job["type"] == "SUBMISSION"]
        return PoolReport(
            version=f"ray {version}",
            nodes=[
                self._node(node, used.get(node["node_id"], ""), states.get(node["node_id"], ""))
                for node in here
            ],
            pending=status.count("PENDING"),
            running=status.count("RUNNING"),
        )

    def _submit(self, client: httpx.Client, order: WorkOrder) -> str:
        """Why Ray will never run the order; empty if it has it."""
        if supervised.has_begun(order.folder):
            return ""
        supervised.write_order(order, readable=None, python=self.python, passed_on=PASSED_ON)
        words = (self.python, "-P", "-m", supervised.MODULE, "--wait", str(order.folder))
        response = client.post("/api/jobs/", json=self._request(order, shlex.join(words)))
        if response.is_success or "already exists" in response.text:
            (order.folder / SUBMITTED).touch()
            return ""
        if response.status_code == 400 or "status code 400" in response.text:
            return _last_line(response.text)
        raise BackendUnavailable(backend="ray", reason=_last_line(response.text))

    def _request(self, order: WorkOrder, entrypoint: str) -> dict[str, Any]:
        request: dict[str, Any] = {
            "entrypoint": f"exec {entrypoint}",
            "submission_id": order.attempt_id,
            "entrypoint_num_cpus": order.cpu_milli / 1_000,
            "entrypoint_memory": order.memory_bytes,
            "metadata": {MARK: order.attempt_id, "haihe_job": order.job_id},
        }
        if order.gpu_milli:
            request["entrypoint_num_gpus"] = order.gpu_milli / 1_000
        if order.gpu_milli and order.gpu_model:
            name = self.accelerators.get(order.gpu_model, order.gpu_model)
            # Ray's own way to ask for a kind of accelerator: the least share of its name.
            request["entrypoint_resources"] = {f"{_ACCELERATOR}{name}": 0.001}
        return request

    def _jobs(self, attempt_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Ray's entries of the attempts it knows."""
        if not attempt_ids:
            return {}
        with self._client() as client:
            if len(attempt_ids) > ONE_BY_ONE:
                jobs = _answer(client.get("/api/jobs/"))
                return {job["submission_id"]: job for job in jobs if job["submission_id"]}
            found = {}
            for attempt_id in attempt_ids:
                response = client.get(f"/api/jobs/{attempt_id}")
                if response.status_code != 404:
                    found[attempt_id] = _answer(response)
            return found

    def _node(self, node: Mapping[str, Any], used_text: str, state: str) -> NodeReport:
        total = node["resources_total"]
        used = _amounts(used_text)
        model = next((name for name in total if name.startswith(_ACCELERATOR)), _ACCELERATOR)
        theirs = {name: ours for ours, name in self.accelerators.items()}
        model = model.removeprefix(_ACCELERATOR)
        condition = NodeCondition.DRAINING if state == "DRAINING" else NodeCondition.UP
        if node["state"] != "ALIVE":
            condition = NodeCondition.DOWN
        return NodeReport(
            name=node["node_name"] or node["node_id"],
            condition=condition,
            cpu_milli=round(total.get("CPU", 0) * 1_000),
            memory_bytes=round(total.get("memory", 0)),
            gpus=round(total.get("GPU", 0)),
            gpu_model=theirs.get(model, model),
            used_cpu_milli=round(used.get("CPU", 0) * 1_000),
            used_memory_bytes=round(used.get("memory", 0)),
            used_gpu_milli=round(used.get("GPU", 0) * 1_000),
            reason=node["state_message"] or "",
        )

    @contextmanager
    def _client(self) -> Iterator[httpx.Client]:
        """A client whose failures to reach Ray are said in Haihe's words."""
        headers = {}
        try:
            if self.token_file is not None:
                token = self.token_file.read_text("utf-8").strip()
                headers["Authorization"] = f"Bearer {token}"
            with httpx.Client(
                base_url=self.url, headers=headers, timeout=TIMEOUT_S, trust_env=False
            ) as client:
                yield client
        except (httpx.HTTPError, OSError) as error:
            reason = str(error) or type(error).__name__
            raise BackendUnavailable(backend="ray", reason=reason) from error


class RaySettings(BaseModel, extra="forbid", frozen=True):
    """The fields of ``[pools.NAME]`` with ``backend = "ray"`` in an agent's file."""

    url: str = Field(description="The address of the cluster's dashboard.")
    python: str = Field(sys.executable, description="A Python that has Haihe, on every node.")
    accelerators: dict[str, str] = Field({}, description="Ray's name by Haihe's model.")
    token_file: Path | None = Field(None, description="The file with the cluster's token.")


def ray_from(data: Mapping[str, Any], folder: Path) -> RayBackend:
    """The back-end that an agent's file in ``folder`` describes."""
    settings = RaySettings.model_validate(dict(data))
    return RayBackend(
        url=settings.url,
        python=settings.python,
        accelerators=settings.accelerators,
        token_file=folder / settings.token_file if settings.token_file else None,
    )


def _unsuited(order: WorkOrder) -> str:
    """What Ray cannot do for this order, in words; empty if it can."""
    if order.nodes > 1:
        return f"Ray's Jobs API starts a job on one node; this one needs {order.nodes} together"
    if order.gpu_milli > 1_000 and order.gpu_milli % 1_000:
        return f"Ray gives whole GPUs, or a part of one; not {order.gpu_milli / 1_000:g}"
    if order.account is not None:
        return f"a Ray cluster runs all jobs as one user; it cannot run one as {order.account.user}"
    return ""


def _in_folder(folder: Path) -> RunStatus | None:
    """What the folder alone can say; None if the attempt was ordered and has not begun."""
    if not supervised.was_ordered(folder):
        return RunStatus(state=RunState.UNKNOWN)
    # The end may be written between a first look for it and finding that nothing runs.
    known = (
        supervised.result_of(folder) or supervised.running(folder) or supervised.result_of(folder)
    )
    if known is None and supervised.has_begun(folder):
        return supervised.lost(folder, "the supervisor is gone; Ray or a node of it was restarted")
    return known


def _not_begun(handle: Handle, job: Mapping[str, Any] | None) -> RunStatus:
    """What to make of Ray's word on an attempt that had not begun when its folder was read."""
    starting = RunStatus(
        state=RunState.PENDING, message="it is being started", external_id=handle.attempt_id
    )
    if job is not None and job["status"] == "PENDING":
        return replace(starting, message=job["message"])
    if job is not None and job["status"] == "RUNNING":
        return starting
    if job is None and not (handle.folder / SUBMITTED).exists():
        return RunStatus(state=RunState.UNKNOWN)
    if job is None:
        reason, message = EndReason.LOST, "Ray does not know it; its head may have been restarted"
    elif job["status"] == "STOPPED":
        reason, message = EndReason.ENDED_BY_CENTRE, "stopped in Ray before it began"
    else:
        reason, message = EndReason.NOT_STARTED, _last_line(job["message"] or "")
    supervised.seal(handle.folder, reason, message)
    # Sealed now, or begun in the meantime: either way the folder says what became of it, if not at
    # once on storage that several machines share.
    return _in_folder(handle.folder) or starting


def _forget(client: httpx.Client, jobs: Sequence[Mapping[str, Any]]) -> None:
    """Take Haihe's long-ended jobs off Ray's list, which is slow with some hundreds of them."""
    before_ms = (time.time() - KEEP_ENDED_S) * 1_000
    old = [
        job["submission_id"]
        for job in jobs
        if MARK in (job["metadata"] or {}) and job["end_time"] and job["end_time"] < before_ms
    ]
    for submission_id in old[:FORGET_AT_ONCE]:
        client.delete(f"/api/jobs/{submission_id}")


def _amounts(text: str) -> dict[str, float]:
    """Read ``used/total NAME`` lines: ``1.5/4.0 CPU``, ``0B/3.73GiB memory``; the used amounts."""
    return {match[5]: float(match[1]) * _UNITS.get(match[2], 1) for match in _AMOUNT.finditer(text)}


def _answer(response: httpx.Response) -> Any:
    if not response.is_success:
        raise BackendUnavailable(backend="ray", reason=_last_line(response.text))
    try:
        return response.json()
    except ValueError:
        raise BackendUnavailable(backend="ray", reason="its answer is no JSON") from None


def _last_line(text: str) -> str:
    """Of a traceback or log, the line that says what happened."""
    lines = [line.strip() for line in text.splitlines() if len(line.strip()) > 1]
    return lines[-1][:500] if lines else "no reason given"
