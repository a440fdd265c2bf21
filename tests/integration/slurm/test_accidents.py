"""A Slurm whose parts fail or answer late, and submissions whose answers are lost."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

import pytest

from haihe.compute.backends import ArrayElement, RunState, Submitted
from haihe.compute.backends.slurm.records import JobRecord, Submission, Transport
from haihe.compute.domain import EndReason
from haihe.compute.errors import BackendUnavailable
from tests.integration.slurm.cluster import Cluster
from tests.integration.slurm.conftest import Site, handle_of, site_by

pytestmark = pytest.mark.integration


@contextmanager
def without(cluster: Cluster, daemon: str) -> Iterator[None]:
    """One of the cluster's daemons is away, and comes back whatever happens."""
    cluster.end(daemon)
    try:
        yield
    finally:
        {"slurmctld": cluster.start_controller, "slurmdbd": cluster.start_accounting}[daemon]()


def test_a_job_goes_on_while_slurmctld_is_restarted(cli: Site) -> None:
    wanted = cli.order("sh", "-c", "until [ -e go-on ]; do sleep 0.1; done; echo done")
    handle = cli.start(wanted)
    cli.running(handle)
    rest = site_by("rest", cli.cluster, cli.folder).backend
    with without(cli.cluster, "slurmctld"):
        for backend in (cli.backend, rest):
            with pytest.raises(BackendUnavailable):
                backend.status([handle])
            with pytest.raises(BackendUnavailable):
                backend.report()
    cli.running(handle)
    (handle.folder / "work" / "go-on").touch()
    end = cli.end(handle)
    assert (end.reason, end.exit_code) == (EndReason.EXITED, 0)
    assert cli.log(wanted) == "done\n"


def test_a_submission_that_found_slurmctld_away_is_made_again_at_once(cli: Site) -> None:
    wanted = cli.order("true")
    with without(cli.cluster, "slurmctld"), pytest.raises(BackendUnavailable):
        cli.backend.submit([wanted])
    end = cli.run(wanted)
    assert end.exit_code == 0
    assert cli.jobs_of(wanted, end.external_id) == [end.external_id]


def test_an_end_is_not_told_before_the_accounting_has_it(site: Site) -> None:
    handle = site.start(site.order("sh", "-c", "sleep 1"))
    site.running(handle)
    with without(site.cluster, "slurmdbd"):
        waiting = site.until(handle, lambda status: "COMPLETED" in status.message)
        assert waiting.state is RunState.RUNNING
        assert "the accounting does not answer" in waiting.message
        assert site.status(handle).state is RunState.RUNNING
    end = site.end(handle)
    assert (end.reason, end.exit_code) == (EndReason.EXITED, 0)
    assert end.usage is not None


def test_a_job_that_nobody_knows_is_lost_after_a_while(site: Site) -> None:
    handle = site.start(site.order("true"))
    ticket = handle.folder / "slurm.json"
    ticket.write_text(json.dumps({**json.loads(ticket.read_text()), "job": "1999999"}))
    site.backend.lost_after_s = 1.0
    first = site.status(handle)
    assert first.state is RunState.RUNNING
    assert first.message == "slurmctld no longer has it; its accounting is due"
    end = site.end(handle)
    assert (end.state, end.reason, end.usage) == (RunState.LOST, EndReason.LOST, None)


def test_an_end_that_was_told_is_told_again_without_asking(cli: Site) -> None:
    handle = cli.start(cli.order("true"))
    end = cli.end(handle)
    with without(cli.cluster, "slurmctld"):
        assert cli.status(handle) == end
        cli.backend.cancel([handle])


@dataclass
class Deaf:
    """A transport over which answers to submissions are lost, and maybe the queue is not seen."""

    real: Transport
    sees: bool

    def submit(self, submission: Submission) -> str:
        self.real.submit(submission)
        raise BackendUnavailable(backend="slurm", reason="the answer was lost")

    def find(self, names: Sequence[str], *, since: datetime) -> list[JobRecord]:
        return self.real.find(names, since=since) if self.sees else []

    def __getattr__(self, name: str) -> object:
        return getattr(self.real, name)


def test_a_submission_whose_answer_was_lost_is_found_and_not_made_again(site: Site) -> None:
    orders = [
        site.order("true", element=ArrayElement(array_id="lost", index=index)) for index in (0, 1)
    ]
    alone = site.order("true")
    deaf = replace(site.backend, transport=Deaf(site.backend.transport, sees=True))  # type: ignore[arg-type]
    for group in (orders, [alone]):
        with pytest.raises(BackendUnavailable):
            deaf.submit(group)
    assert site.backend.submit([*orders, alone]) == Submitted()
    ends = [site.end(handle_of(order)) for order in (*orders, alone)]
    assert [end.exit_code for end in ends] == [0, 0, 0]
    jobs = [end.external_id for end in ends]
    assert site.jobs_of(orders[0], jobs[0]) == jobs[:2], "one array of two elements"
    assert site.jobs_of(alone, jobs[2]) == jobs[2:]


def test_a_submission_that_comes_to_light_late_does_not_run_a_second_time(cli: Site) -> None:
    wanted = cli.order("sh", "-c", "echo ran; sleep 3")
    deaf = replace(cli.backend, transport=Deaf(cli.backend.transport, sees=False))  # type: ignore[arg-type]
    with pytest.raises(BackendUnavailable):
        deaf.submit([wanted])
    assert "has not answered" in deaf.submit([wanted]).put_off[wanted.attempt_id]
    assert deaf.status([handle_of(wanted)])[wanted.attempt_id].state is RunState.PENDING
    deaf.settle_s = 0
    blind = replace(cli.backend, transport=_Blind(cli.backend.transport), settle_s=0)  # type: ignore[arg-type]
    assert blind.submit([wanted]) == Submitted()
    end = cli.end(handle_of(wanted))
    assert (end.reason, end.exit_code) == (EndReason.EXITED, 0)
    assert cli.log(wanted) == "ran\n"
    assert len(cli.jobs_of(wanted, end.external_id)) == 2, "Slurm had it twice"
    assert end.usage is not None
    assert end.usage.wall_ms >= 2_000, "the one that ran is the one that is metered"


class _Blind(Deaf):
    """A transport that does not see the queue, but hears answers."""

    def __init__(self, real: Transport) -> None:
        super().__init__(real, sees=False)

    def submit(self, submission: Submission) -> str:
        return self.real.submit(submission)
