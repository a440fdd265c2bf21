"""An agent's process that is killed in mid-job, and one that is started twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from pytest_django.live_server_helper import LiveServer

from haihe.compute.agent.config import FILE
from haihe.compute.domain import FINAL, JobState
from haihe.compute.models import Attempt, Job, Pool, Settlement, UsageRecord
from haihe.compute.services import agents, centres, jobs
from haihe.compute.services.dispatch import plan_round
from haihe.kernel.errors import Conflict
from haihe.kernel.terminal import EXIT_CODES
from haihe.ledger.services import audit
from haihe.policy.domain import system_principal
from tests.compute.factories import GIB, give_cash, make_job
from tests.sides import Side, make_side

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("committed")]
PATIENCE_S = 90.0
HAIHE = str(Path(sys.executable).with_name("haihe"))


@dataclass
class Site:
    """The machine of an agent: its folder, and how its processes are started there."""

    folder: Path
    stack: ExitStack

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HAIHE_HOME": str(self.folder / "home"),
            "HAIHE_CONFIG": os.devnull,
            "HAIHE_LANGUAGE": "en",
        }

    def enrol(self, url: str, token: str) -> None:
        command = [HAIHE, "agent", "enrol", "--url", url, "--token", token]
        done = subprocess.run(
            [*command, "--folder", str(self.folder / "agent")],
            env=self.environment, check=False, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        with (self.folder / "agent" / FILE).open("a") as file:
            file.write('[pools.cpu]\nbackend = "local"\n')

    def start(self) -> subprocess.Popen[bytes]:
        log = self.stack.enter_context((self.folder / "agent.log").open("ab"))
        process = subprocess.Popen(
            [HAIHE, "agent", "run", "--folder", str(self.folder / "agent")],
            env=self.environment, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.stack.callback(end, process)
        return process


def end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)


@pytest.fixture
def operator(committed: Path) -> Side:
    operator = make_side("operator", "centre-operator")
    centres.create_centre(operator.manager, operator="operator", slug="north", name="北方")
    centres.create_pool(
        operator.manager, "north", slug="cpu", cpu_milli=1_000, memory_bytes=2 * GIB
    )
    centres.set_offer(operator.manager, "north/cpu", cpu_hour_micro=3_600_000, minimum_micro=10_000)
    return operator


@pytest.fixture
def firm(operator: Side) -> Side:
    firm = make_side("firm")
    give_cash(firm.organisation, 10)
    return firm


@pytest.fixture
def site(operator: Side, live_server: LiveServer, tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        site = Site(tmp_path, stack)
        site.enrol(live_server.url, agents.invite_agent(operator.manager, "north").token)
        yield site


def until(condition: Callable[[], object], site: Site) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, (site.folder / "agent.log").read_text()
        plan_round()
        time.sleep(0.1)


def heard() -> bool:
    return Pool.objects.filter(reported_at__isnull=False).exists()


def running() -> bool:
    return Attempt.objects.filter(started_at__isnull=False).exists()


def over() -> bool:
    return not Job.objects.exclude(state__in=FINAL).exists()


def test_a_job_outlives_the_agent_that_started_it(site: Site, firm: Side) -> None:
    first = site.start()
    until(heard, site)
    work = "echo begin; sleep 4; echo end; echo x >$HAIHE_OUTPUTS/x"
    job = make_job(firm.member, "sh", "-c", work)
    until(running, site)
    first.kill()
    first.wait(timeout=10)
    time.sleep(5)  # the job ends while nobody looks
    assert not over()
    site.start()
    until(over, site)
    job.refresh_from_db()
    assert (job.state, job.attempts.count()) == (JobState.SUCCEEDED, 1)
    assert jobs.read_log(firm.member, job.pk).text == "begin\nend\n"
    assert [file.path for file in jobs.list_outputs(firm.member, job.pk)] == ["x"]
    usage = UsageRecord.objects.get()
    assert 4_000 <= usage.wall_ms < 6_000, "as long as it ran, not until it was heard of"
    assert Settlement.objects.count() == 1
    assert audit(system_principal("test")).balanced


def test_of_two_agents_on_one_folder_the_second_is_refused(site: Site, firm: Side) -> None:
    first = site.start()
    until(heard, site)
    second = site.start()
    assert second.wait(timeout=30) == EXIT_CODES[Conflict]
    assert first.poll() is None
    make_job(firm.member, "true")
    until(over, site)
    assert Job.objects.get().state == JobState.SUCCEEDED


def test_of_two_agents_with_one_key_the_later_one_is_heard(site: Site, firm: Side) -> None:
    """A folder that was copied to a second machine."""
    first = site.start()
    until(heard, site)
    copied = Site(site.folder / "copy", site.stack)
    copied.folder.mkdir()
    subprocess.run(
        ["cp", "-r", str(site.folder / "agent"), str(copied.folder / "agent")], check=True
    )
    copied.start()
    assert first.wait(timeout=60) != 0, "it ends by itself, and says that another speaks now"
    assert "Another agent of centre north has started" in (site.folder / "agent.log").read_text()
    make_job(firm.member, "true")
    until(over, copied)
    assert Job.objects.get().state == JobState.SUCCEEDED
    assert Attempt.objects.count() == 1
