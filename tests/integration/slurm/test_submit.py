"""Whom a Slurm pool runs jobs as, and what of a submission can be put off; without a Slurm."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from haihe.compute.backends import Account, Submitted, WorkOrder
from haihe.compute.backends.slurm import CliTransport, SlurmBackend
from haihe.compute.backends.slurm.fallback import FallbackTransport
from haihe.compute.backends.slurm.records import JobRecord, NotNow, NotSent, Submission
from haihe.compute.errors import BackendUnavailable

OWN = getpass.getuser()


@dataclass
class Full:
    """A cluster that takes no more jobs of some accounts."""

    full: Sequence[str] = ()
    taken: list[Submission] = field(default_factory=list)

    def submit(self, submission: Submission) -> str:
        if submission.account in self.full:
            raise NotNow("AssocMaxSubmitJobLimit")
        self.taken.append(submission)
        return str(len(self.taken))

    def find(self, names: Sequence[str], *, since: datetime) -> list[JobRecord]:
        return []


def order(folder: Path, name: str, account: Account | None = None) -> WorkOrder:
    return WorkOrder(
        attempt_id=name, job_id=name, name=name, folder=folder / name, command=["true"],
        environment={}, cpu_milli=1_000, cpu_limit_s=60, memory_bytes=2**20, wall_s=60,
        output_bytes=2**20, account=account,
    )  # fmt: skip


def pool(transport: Full | FallbackTransport, **fields: str) -> SlurmBackend:
    return SlurmBackend(transport=transport, **fields)  # type: ignore[arg-type]


def test_a_job_of_somebody_without_an_account_does_not_run_as_the_agent(tmp_path: Path) -> None:
    transport = Full()
    done = pool(transport).submit([order(tmp_path, "a")])
    assert "who have an account" in done.refused["a"]
    assert transport.taken == []


def test_the_operator_may_name_whom_such_jobs_run_as(tmp_path: Path) -> None:
    transport = Full()
    assert pool(transport, default_user=OWN).submit([order(tmp_path, "a")]) == Submitted()
    assert [one.user for one in transport.taken] == [OWN]


@pytest.mark.parametrize("user", ["root"])
def test_no_account_that_the_platform_names_is_root(tmp_path: Path, user: str) -> None:
    transport = Full()
    done = pool(transport, default_user="nobody").submit([order(tmp_path, "a", Account(user=user))])
    assert done.refused == {"a": "no job runs as root here"}
    assert transport.taken == []


def test_one_persons_limit_puts_off_their_jobs_and_nobody_elses(tmp_path: Path) -> None:
    transport = Full(full=["lab"])
    orders = [order(tmp_path, name, Account(user=OWN, account=name)) for name in ("lab", "firm")]
    backend = pool(transport, default_user=OWN)
    done = backend.submit(orders)
    assert done == Submitted(put_off={"lab": "AssocMaxSubmitJobLimit"})
    assert [one.account for one in transport.taken] == ["firm"]
    transport.full = ()
    assert backend.submit(orders) == Submitted()
    assert [one.account for one in transport.taken] == ["firm", "lab"], "each was taken once"


@pytest.mark.parametrize(("own", "used"), [("", "long"), ("gpu", "gpu")])
def test_the_operators_partition_comes_before_the_platforms(
    tmp_path: Path, own: str, used: str
) -> None:
    transport = Full()
    wanted = replace(order(tmp_path, "a"), partition="long")
    pool(transport, default_user=OWN, partition=own).submit([wanted])
    assert [one.partition for one in transport.taken] == [used]


@dataclass
class Away(Full):
    """A way to the cluster that does not answer; its submissions may or may not have been taken."""

    is_sent: bool = False

    def submit(self, submission: Submission) -> str:
        if self.is_sent:
            raise BackendUnavailable(backend="slurm", reason="the answer was lost")
        raise NotSent("connection refused")

    def find(self, names: Sequence[str], *, since: datetime) -> list[JobRecord]:
        raise BackendUnavailable(backend="slurm", reason="slurmrestd is away")


def test_while_slurmrestd_is_away_the_commands_are_used(tmp_path: Path) -> None:
    commands = Full()
    both = FallbackTransport(Away(), commands)  # type: ignore[arg-type]
    assert pool(both, default_user=OWN).submit([order(tmp_path, "a")]) == Submitted()
    assert len(commands.taken) == 1


def test_a_submission_that_slurmrestd_may_have_taken_is_not_made_again(tmp_path: Path) -> None:
    commands = Full()
    both = FallbackTransport(Away(is_sent=True), commands)  # type: ignore[arg-type]
    with pytest.raises(BackendUnavailable, match="the answer was lost"):
        pool(both, default_user=OWN).submit([order(tmp_path, "a")])
    assert commands.taken == []


def test_where_neither_answers_the_first_ones_reason_is_told() -> None:
    both = FallbackTransport(Away(), CliTransport(path="/nowhere"))  # type: ignore[arg-type]
    with pytest.raises(BackendUnavailable, match="slurmrestd is away"):
        both.find(["a"], since=datetime.now(UTC))
