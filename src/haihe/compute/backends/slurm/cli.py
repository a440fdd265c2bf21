"""Talk to Slurm through its commands: sbatch, squeue, sacct, scancel, scontrol."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from haihe.compute.backends.slurm import parse
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

TIMEOUT_S = 60
AT_ONCE = 500
# Words of Slurm's commands by which a failure is no answer from the cluster.
_AWAY = (
    "authentication", "communication", "configuration source", "connect", "could not establish",
    "fetch", "not responding", "standby mode", "timed out", "unable to contact", "zero bytes",
)  # fmt: skip
_NOT_REACHED = ("connection refused", "connect failure", "no route to host")
_NOT_NOW = ("maxsubmit", "temporarily unable", "try again")
_NO_SUCH_JOB = "invalid job id"


@dataclass(frozen=True)
class CliTransport:
    """Slurm's commands, as found on ``path``, for the cluster that ``conf`` or the system names."""

    path: str = "/usr/local/bin:/usr/bin:/bin"
    conf: Path | None = None

    def submit(self, submission: Submission) -> str:
        """Hand a job to sbatch, without anything of this process's environment."""
        command = ["sbatch", *_options(submission)]
        environment = {**submission_environment(self.path), **self._conf()}
        try:
            done = _run(command, environment, self.path, submission.script)
        except OSError as error:
            raise NotSent(str(error)) from error
        said = done.stderr.lower()
        if done.returncode == 0:
            return done.stdout.strip().partition(";")[0]
        if any(words in said for words in _NOT_REACHED):
            raise NotSent(_reason(done))
        if any(words in said for words in _NOT_NOW):
            raise NotNow(_reason(done))
        if any(words in said for words in _AWAY):
            raise BackendUnavailable(backend="slurm", reason=_reason(done))
        raise Refusal(_reason(done))

    def find(self, names: Sequence[str], *, since: datetime) -> list[JobRecord]:
        """Ask squeue and sacct for jobs by name."""
        start = since.strftime("%Y-%m-%dT%H:%M:%S")
        found = []
        for some in _chunks(names):
            listed = f"--name={','.join(some)}"
            found += parse.parse_queue(self._squeue(listed))
            found += parse.parse_accounting(self._sacct(listed, f"--starttime={start}"))
        return found

    def queue(self, job_ids: Sequence[str]) -> list[JobRecord]:
        """Ask squeue for jobs by number."""
        return [
            record
            for some in _chunks(job_ids)
            for record in parse.parse_queue(self._squeue(f"--jobs={','.join(some)}"))
        ]

    def accounting(self, job_ids: Sequence[str]) -> list[JobRecord]:
        """Ask sacct for jobs by number."""
        return [
            record
            for some in _chunks(job_ids)
            for record in parse.parse_accounting(self._sacct(f"--jobs={','.join(some)}"))
        ]

    def cancel(self, keys: Sequence[str]) -> None:
        """Ask scancel for their end."""
        for some in _chunks(keys):
            # It fails for jobs that have ended, and ends the others all the same.
            self._ask("scancel", *some, may_fail=True)

    def nodes(self) -> list[NodeRecord]:
        """Ask scontrol for all nodes, with what is allocated of them."""
        return parse.parse_nodes(
            self._ask("scontrol", "--details", "--oneliner", "--all", "show", "node")
        )

    def depth(self, partition: str) -> tuple[int, int]:
        """Count the lines of squeue."""
        states = "--states=PENDING,RUNNING"
        text = self._ask("squeue", "--noheader", "--array", "--all", states, "--format=%T|%P")
        return parse.parse_depth(text, partition)

    def version(self) -> str:
        """What slurmctld says it is."""
        return parse.parse_version(self._ask("scontrol", "show", "config"))

    def _squeue(self, which: str) -> str:
        return self._ask(
            "squeue", "--noheader", "--array", "--all", "--states=all", which,
            f"--format={parse.QUEUE_FORMAT}", none_if=_NO_SUCH_JOB,
        )  # fmt: skip

    def _sacct(self, *which: str) -> str:
        fields = ",".join(parse.ACCOUNTING_FIELDS)
        return self._ask("sacct", "--noheader", "--parsable2", *which, f"--format={fields}")

    def _ask(self, *command: str, none_if: str = "", may_fail: bool = False) -> str:
        """What a command prints; nothing if it fails with the words ``none_if``."""
        environment = {
            "PATH": self.path,
            "LC_ALL": "C.UTF-8",
            # Slurm prints local times without a zone.
            "TZ": "UTC",
            **self._conf(),
        }
        try:
            done = _run(command, environment, self.path)
        except OSError as error:
            raise BackendUnavailable(backend="slurm", reason=str(error)) from error
        said = done.stderr.lower()
        if done.returncode == 0 or (none_if and none_if in said):
            return done.stdout
        if may_fail and not any(words in said for words in _AWAY):
            return done.stdout
        raise BackendUnavailable(backend="slurm", reason=_reason(done))

    def _conf(self) -> dict[str, str]:
        conf = str(self.conf) if self.conf else os.environ.get("SLURM_CONF", "")
        return {"SLURM_CONF": conf} if conf else {}


def _options(submission: Submission) -> list[str]:
    """sbatch's options for a submission."""
    options = [
        "--parsable", "--export=ALL", "--no-requeue", "--open-mode=append",
        f"--job-name={submission.name}", f"--chdir={submission.folder}",
        f"--output={submission.output}", f"--nodes={submission.nodes}-{submission.nodes}",
        f"--ntasks={submission.nodes}", "--ntasks-per-node=1",
        f"--cpus-per-task={submission.cpus}", f"--mem={submission.memory_mib}M",
        f"--time={submission.minutes}",
    ]  # fmt: skip
    optional = {
        "array": f"0-{submission.array - 1}" if submission.array else "",
        "gres": submission.gres,
        "partition": submission.partition,
        "account": submission.account,
        "qos": submission.qos,
    }
    options += [f"--{name}={value}" for name, value in optional.items() if value]
    return options + _as_user(submission.user)


def _as_user(user: str) -> list[str]:
    """Options to submit as somebody else, which Slurm allows root alone."""
    if not user or user == pwd.getpwuid(os.geteuid()).pw_name:
        return []
    if os.geteuid() != 0:
        raise Refusal(f"only root can submit as {user}: run the agent as root, or use slurmrestd")
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise Refusal(f"this centre has no user {user!r}") from None
    return [f"--uid={entry.pw_uid}", f"--gid={entry.pw_gid}"]


def _run(
    command: Sequence[str], environment: Mapping[str, str], path: str, script: str = ""
) -> subprocess.CompletedProcess[str]:
    program = next(
        (
            candidate
            for folder in path.split(":")
            if os.access(candidate := Path(folder, command[0]), os.X_OK)
        ),
        None,
    )
    if program is None:
        raise FileNotFoundError(2, f"not found on {path}", command[0])
    try:
        return subprocess.run(  # noqa: S603 (Slurm's own commands)
            [str(program), *command[1:]],
            input=script,
            env=environment,
            cwd="/",
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        reason = f"{command[0]} did not end within {TIMEOUT_S} s"
        raise BackendUnavailable(backend="slurm", reason=reason) from None


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    """What a command complained of."""
    lines = [line.removeprefix("sbatch: error: ").strip() for line in done.stderr.splitlines()]
    return "; ".join(line for line in lines if line)[-500:] or f"exit {done.returncode}"


def _chunks(words: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(words), AT_ONCE):
        yield words[start : start + AT_ONCE]
