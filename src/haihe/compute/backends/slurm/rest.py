"""Talk to Slurm through slurmrestd, with a JSON web token.

The token is read from its file at each question, so that whatever renews it only has to replace the
file. One for root or SlurmUser can submit as any person; one for another user only as that user.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from haihe.compute.backends.slurm import parse_rest
from haihe.compute.backends.slurm.records import (
    JobRecord,
    NodeRecord,
    NotNow,
    NotSent,
    Refusal,
    Submission,
)
from haihe.compute.backends.slurm.script import submission_environment
from haihe.compute.errors import BackendUnavailable

TIMEOUT_S = 60.0
AT_ONCE = 500
# Versions of the interface whose answers are understood, by their last number.
OLDEST, NEWEST = 36, 42
# From this one on, what may be absent is an object, and a state a list.
_OBJECTS_FROM = 39
# From this one on, the script is one of the job's fields.
_SCRIPT_IN_JOB_FROM = 40
# Slurm's numbers for errors between its parts, as opposed to those about a job.
_AWAY = (*range(1, 2_000), *range(5_000, 5_100), *range(6_000, 6_100), *range(7_000, 9_000))
_NOT_NOW = ("maxsubmit", "temporarily unable", "try again")
# Of the accounting an empty list; of the queue it is also said while slurmctld is away.
_NOTHING_FOUND = 9_003


@dataclass
class RestTransport:
    """A slurmrestd at ``url``, spoken to as ``user`` with the token in ``token_file``.

    ``search_path`` is where the batch script finds Slurm's own commands on a node. ``version`` is
    asked of the server unless it is given: the last number of ``v0.0.38``.
    """

    url: str
    user: str
    token_file: Path
    search_path: str = "/usr/local/bin:/usr/bin:/bin"
    version_number: int = 0
    _agreed: int = field(default=0, init=False)

    def submit(self, submission: Submission) -> str:
        """Post a job."""
        try:
            version = self._version()
        except BackendUnavailable as error:
            raise NotSent(error.reason) from error
        request = request_of(submission, version=version, search_path=self.search_path)
        with self._client(submission.user or self.user) as client:
            try:
                response = client.post(f"/slurm/v0.0.{version}/job/submit", json=request)
            except httpx.ConnectError as error:
                raise NotSent(str(error)) from error
        answer, errors = _read(response)
        job_id = parse_rest.number(answer.get("job_id"))
        if job_id:
            return str(job_id)
        reason = _reason(errors) or f"HTTP {response.status_code}"
        if any(words in reason.lower() for words in _NOT_NOW):
            raise NotNow(reason)
        if not errors or any(_is_away(error) for error in errors):
            raise BackendUnavailable(backend="slurm", reason=reason)
        raise Refusal(reason)

    def find(self, names: Sequence[str], *, since: datetime) -> list[JobRecord]:
        """Look through the queue, and ask the accounting, for jobs by name."""
        wanted = set(names)
        found = [record for record in self._queue() if record.name in wanted]
        start = since.strftime("%Y-%m-%dT%H:%M:%S")
        for some in _chunks(names):
            found += self._accounting({"job_name": ",".join(some), "start_time": start})
        return found

    def queue(self, job_ids: Sequence[str]) -> list[JobRecord]:
        """Look through the queue, which slurmrestd gives whole, for jobs by number."""
        wanted = set(job_ids)
        return [record for record in self._queue() if record.key.partition("_")[0] in wanted]

    def accounting(self, job_ids: Sequence[str]) -> list[JobRecord]:
        """Ask the accounting for jobs by number."""
        found = []
        for some in _chunks(job_ids):
            found += self._accounting({"step": ",".join(some)})
        return found

    def cancel(self, keys: Sequence[str]) -> None:
        """Delete them one by one, as the interface wants it."""
        version = self._version()
        with self._client(self.user) as client:
            for key in keys:
                _, errors = _read(client.delete(f"/slurm/v0.0.{version}/job/{key}"))
                away = [error for error in errors if _is_away(error)]
                if away:
                    raise BackendUnavailable(backend="slurm", reason=_reason(away))

    def nodes(self) -> list[NodeRecord]:
        """All nodes, with what is allocated of them."""
        return parse_rest.parse_nodes(self._get("slurm", "nodes"))

    def depth(self, partition: str) -> tuple[int, int]:
        """Count the queue."""
        answer = self._get("slurm", "jobs")
        jobs = answer.get("jobs", [])
        if partition:
            jobs = [job for job in jobs if partition in (job.get("partition") or "").split(",")]
        return parse_rest.depth(parse_rest.parse_queue({"jobs": jobs}))

    def version(self) -> str:
        """What slurmrestd says of itself."""
        return parse_rest.parse_version(self._get("slurm", "ping"))

    def _queue(self) -> list[JobRecord]:
        return parse_rest.parse_queue(self._get("slurm", "jobs"))

    def _accounting(self, query: Mapping[str, str]) -> list[JobRecord]:
        return parse_rest.parse_accounting(self._get("slurmdb", "jobs", query))

    def _get(self, part: str, what: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        path = f"/{part}/v0.0.{self._version()}/{what}"
        with self._client(self.user) as client:
            answer, errors = _read(client.get(path, params=query))
        if part == "slurmdb":
            errors = [error for error in errors if _number_of(error) != _NOTHING_FOUND]
        if errors:
            raise BackendUnavailable(backend="slurm", reason=_reason(errors))
        return answer

    def _version(self) -> int:
        """The newest version of the interface that the server and this module know."""
        if self.version_number:
            return self.version_number
        if not self._agreed:
            with self._client(self.user) as client:
                openapi, errors = _read(client.get("/openapi/v3"))
            if errors:
                raise BackendUnavailable(backend="slurm", reason=_reason(errors))
            offered = versions_in(openapi)
            if not offered:
                reason = f"it offers no version from v0.0.{OLDEST} to v0.0.{NEWEST}"
                raise BackendUnavailable(backend="slurm", reason=reason)
            self._agreed = max(offered)
        return self._agreed

    @contextmanager
    def _client(self, user: str) -> Iterator[httpx.Client]:
        """A client for one person, whose failures to reach slurmrestd are said in Haihe's words."""
        try:
            headers = {
                "Accept": "application/json",
                "X-SLURM-USER-NAME": user,
                "X-SLURM-USER-TOKEN": self.token_file.read_text("utf-8").strip(),
            }
            with httpx.Client(
                base_url=self.url, headers=headers, timeout=TIMEOUT_S, trust_env=False
            ) as client:
                yield client
        except (httpx.HTTPError, OSError) as error:
            reason = str(error) or type(error).__name__
            raise BackendUnavailable(backend="slurm", reason=reason) from error


def versions_in(openapi: Mapping[str, Any]) -> list[int]:
    """The versions that a server's description has both of jobs and of their accounting."""
    paths = " ".join(openapi.get("paths", {}))
    jobs = set(re.findall(r"/slurm/v0\.0\.(\d+)/jobs", paths))
    accounting = set(re.findall(r"/slurmdb/v0\.0\.(\d+)/jobs", paths))
    return sorted(int(n) for n in jobs & accounting if OLDEST <= int(n) <= NEWEST)


def request_of(submission: Submission, *, version: int, search_path: str) -> dict[str, Any]:
    """The body that submits a job, in the shape of a version."""
    job: dict[str, Any] = {
        "name": submission.name,
        "current_working_directory": str(submission.folder),
        "standard_output": submission.output,
        "cpus_per_task": submission.cpus,
        "tasks": submission.nodes,
        "tasks_per_node": 1,
        "requeue": False,
    }
    optional = {
        "array": f"0-{submission.array - 1}" if submission.array else "",
        "partition": submission.partition,
        "account": submission.account,
        "qos": submission.qos,
    }
    job.update({name: value for name, value in optional.items() if value})
    environment = submission_environment(search_path)
    if version < _OBJECTS_FROM:
        job["environment"] = dict(environment)
        job["nodes"] = [submission.nodes, submission.nodes]
        job["memory_per_node"] = submission.memory_mib
        job["time_limit"] = submission.minutes
        if submission.gres:
            job["gres"] = submission.gres
    else:
        job["environment"] = [f"{name}={value}" for name, value in environment.items()]
        job["minimum_nodes"] = job["maximum_nodes"] = submission.nodes
        job["memory_per_node"] = {"set": True, "number": submission.memory_mib}
        job["time_limit"] = {"set": True, "number": submission.minutes}
        if submission.gres:
            job["tres_per_node"] = f"gres/{submission.gres}"
    if version < _SCRIPT_IN_JOB_FROM:
        return {"script": submission.script, "job": job}
    return {"job": {**job, "script": submission.script}}


def _read(response: httpx.Response) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """An answer and the errors in it; an error that is no JSON counts as one between the parts."""
    try:
        answer = response.json()
    except ValueError:
        text = response.text.strip()[:300] or "an empty answer"
        return {}, [{"error_number": 1, "error": f"HTTP {response.status_code}: {text}"}]
    return answer, answer.get("errors") or []


def _number_of(error: Mapping[str, Any]) -> int:
    return parse_rest.number(error.get("error_number", error.get("errno")))


def _is_away(error: Mapping[str, Any]) -> bool:
    return _number_of(error) in _AWAY


def _reason(errors: Sequence[Mapping[str, Any]]) -> str:
    words = [str(error.get("error") or error.get("description") or "") for error in errors]
    return "; ".join(word for word in words if word)[:500]


def _chunks(words: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(words), AT_ONCE):
        yield words[start : start + AT_ONCE]
