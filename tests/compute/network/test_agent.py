"""An agent on another machine: joins over HTTP, runs a job there, and sends everything back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections

from haihe.compute.agent.backends import backend_from
from haihe.compute.agent.http_link import HttpLink, enrol
from haihe.compute.agent.journal import Journal
from haihe.compute.agent.messages import Exchange
from haihe.compute.agent.runner import Agent
from haihe.compute.agent.signing import headers_for, make_key
from haihe.compute.domain import FINAL, JobState
from haihe.compute.errors import (
    AgentRunsAlready,
    AgentStopped,
    CentreBusy,
    PlatformRefused,
)
from haihe.compute.models import Agent as AgentRow
from haihe.compute.models import Job
from haihe.compute.services import agents, jobs
from haihe.compute.services.dispatch import plan_round
from haihe.kernel.clock import now
from haihe.policy.domain import ANONYMOUS
from haihe.policy.errors import NotAllowed, NotSignedIn
from tests.compute.factories import make_job
from tests.sides import Side

pytestmark = pytest.mark.django_db
URL = "http://localhost"


@pytest.fixture
def transport() -> Iterator[httpx.WSGITransport]:
    """The platform over HTTP in this process, on the connection that the test has open."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield httpx.WSGITransport(app=get_wsgi_application())
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def site(operator: Side, transport: httpx.WSGITransport, tmp_path: Path) -> Iterator[Agent]:
    """The agent of centre north, enrolled, on a disk of its own."""
    folder = tmp_path / "agent"
    token = agents.invite_agent(operator.manager, "north").token
    key = make_key(folder)
    joined = enrol(URL, token, key, transport=transport)
    assert joined["centre"] == "north"
    agent = Agent(
        journal=Journal(folder),
        link=HttpLink(URL, agent_id=joined["agent_id"], key=key, transport=transport),
        backends={"cpu": backend_from("cpu", {"backend": "local"}, folder)},
        folder=lambda job, number: folder.resolve() / "jobs" / str(job) / str(number),
    )
    agent.step()
    agent.step()
    yield agent
    agent.journal.close()


def run_to_end(site: Agent) -> None:
    for _ in range(150):
        plan_round()
        site.step()
        if not Job.objects.exclude(state__in=FINAL).exists():
            return
    raise AssertionError("the jobs did not end")


def test_a_job_runs_elsewhere_and_its_log_and_files_come_back(site: Agent, firm: Side) -> None:
    job = make_job(
        firm.member,
        "sh",
        "-c",
        "echo 你好; mkdir $HAIHE_OUTPUTS/d; echo x > $HAIHE_OUTPUTS/d/'a b.txt'; exit 0",
    )
    run_to_end(site)
    found = jobs.find_job(firm.member, job.pk)
    assert found.state == JobState.SUCCEEDED
    assert jobs.read_log(firm.member, job.pk).text == "你好\n"
    assert [(f.path, f.bytes) for f in jobs.list_outputs(firm.member, job.pk)] == [("d/a b.txt", 2)]
    [attempt] = found.tries()
    assert attempt.usage.measured_by == "local"
    assert attempt.claimed_at <= attempt.started_at <= attempt.finished_at
    site.step()
    assert not site.folder(job.pk, 1).exists(), "what the platform has, the agent need not keep"


def test_a_refusal_comes_in_the_agents_language(
    transport: httpx.WSGITransport, tmp_path: Path
) -> None:
    for language, words in (("en", "Make a new token"), ("zh-hans", "请重新生成令牌")):
        with pytest.raises(PlatformRefused, match=words):
            enrol(URL, "none", make_key(tmp_path), language=language, transport=transport)


def test_a_token_lets_one_agent_in_once(
    operator: Side, transport: httpx.WSGITransport, tmp_path: Path
) -> None:
    token = agents.invite_agent(operator.manager, "north").token
    enrol(URL, token, make_key(tmp_path / "a"), transport=transport)
    with pytest.raises(PlatformRefused, match="enrolment_refused"):
        enrol(URL, token, make_key(tmp_path / "b"), transport=transport)


def test_the_operators_managers_invite_and_revoke(
    operator: Side, firm: Side, stranger: Side
) -> None:
    for caller, error in (
        (ANONYMOUS, NotSignedIn),
        (stranger.manager, NotAllowed),
        (operator.member, NotAllowed),
    ):
        for act in (agents.invite_agent, agents.revoke_agent, agents.find_agent):
            with pytest.raises(error):
                act(caller, "north")


def test_a_centre_with_running_work_takes_no_other_agent(
    site: Agent, operator: Side, firm: Side, transport: httpx.WSGITransport, tmp_path: Path
) -> None:
    job = make_job(firm.member, "sleep", "60")
    for _ in range(4):
        plan_round()
        site.step()
    token = agents.invite_agent(operator.manager, "north").token
    with pytest.raises(PlatformRefused, match="centre_busy"):
        enrol(URL, token, make_key(tmp_path / "b"), transport=transport)
    with pytest.raises(CentreBusy):
        agents.enrol_agent(token, "A" * 43 + "=")
    jobs.cancel_job(firm.member, job.pk)
    run_to_end(site)


def test_an_agent_that_was_revoked_or_started_again_elsewhere_stops(
    site: Agent, operator: Side, transport: httpx.WSGITransport, tmp_path: Path
) -> None:
    site.step()
    with pytest.raises(AgentRunsAlready):
        Journal(tmp_path / "agent")
    elsewhere = Agent(
        journal=Journal(tmp_path / "copy"), link=site.link, backends={}, folder=site.folder
    )
    elsewhere.journal.remember("starts", 10**12)
    elsewhere.step()
    with pytest.raises(AgentStopped, match="another agent|Another agent"):
        site.step()
    elsewhere.step()
    agents.revoke_agent(operator.manager, "north")
    with pytest.raises(AgentStopped):
        elsewhere.step()
    elsewhere.journal.close()


def test_only_what_the_agent_signed_is_heard(
    site: Agent, transport: httpx.WSGITransport, operator: Side
) -> None:
    row = AgentRow.objects.in_force().get()
    said = Exchange(version="1", epoch=0, number=10**12, sent_at=now()).model_dump_json()
    client = httpx.Client(base_url=URL, transport=transport)
    path = "/agent/v1/exchange"
    digest = hashlib.sha256(said.encode()).hexdigest()
    stranger = Ed25519PrivateKey.generate()
    assert client.post(path, content=said).status_code == 401
    forged = headers_for(stranger, str(row.pk), "POST", path, digest)
    assert client.post(path, content=said, headers=forged).status_code == 401
    mine = headers_for(site.link.key, str(row.pk), "POST", path, digest)  # type: ignore[attr-defined]
    changed = said.replace("1000000000000", "2000000000000")
    assert client.post(path, content=changed, headers=mine).status_code == 422
    assert client.post(path, content=said, headers=mine).status_code == 200
    again = client.post(path, content=said, headers=mine)
    assert (again.status_code, again.json()["code"]) == (409, "compute.exchange_repeated")


def test_an_agent_reads_and_writes_only_what_it_claimed(
    site: Agent, firm: Side, transport: httpx.WSGITransport
) -> None:
    def ask(method: str, path: str, content: bytes = b"") -> Any:
        digest = hashlib.sha256(content).hexdigest()
        key, agent_id = site.link.key, site.link.agent_id  # type: ignore[attr-defined]
        client = httpx.Client(base_url=URL, transport=transport)
        raw = client.build_request(method, path).url.path
        headers = headers_for(key, agent_id, method, raw, digest)
        return client.request(method, path, content=content, headers=headers)

    job = make_job(firm.member, "sleep", "60")
    plan_round()
    attempt = job.attempts.get()
    base = f"/agent/v1/attempts/{attempt.pk}"
    assert ask("PUT", f"{base}/log", b"x").status_code == 404, "not claimed yet"
    assert ask("PUT", f"/agent/v1/attempts/{uuid4()}/log", b"x").status_code == 404
    for _ in range(4):
        site.step()
    assert ask("PUT", f"{base}/log", b"x").status_code == 200
    for path in ("../log.txt", "a/../../x", "a//b", "..", "a/."):
        assert ask("PUT", f"{base}/outputs/{path.replace('/', '%2F')}", b"x").status_code in (
            404,
            422,
        )
    assert ask("PUT", f"{base}/outputs/big", b"x" * (9 * 1024**2)).status_code == 422
    assert ask("GET", f"{base}/inputs/none").status_code == 404
    jobs.cancel_job(firm.member, job.pk)
    run_to_end(site)
    assert ask("PUT", f"{base}/log", b"late").status_code == 404


@pytest.mark.parametrize(
    "script",
    [
        r"import os; open(os.environ['HAIHE_OUTPUTS'].encode() + b'/a\xff', 'w').write('x')",
        "import os; d = os.environ['HAIHE_OUTPUTS'] + '/a' * 70; os.makedirs(d); "
        "open(d + '/f', 'w')",
    ],
)
def test_an_output_that_the_platform_cannot_keep_is_named_and_the_job_ends(
    site: Agent, firm: Side, script: str
) -> None:
    more = "; open(os.environ['HAIHE_OUTPUTS'] + '/good', 'w').write('1')"
    job = make_job(firm.member, "python3", "-c", script + more)
    run_to_end(site)
    job.refresh_from_db()
    assert job.state == JobState.SUCCEEDED
    assert [file.path for file in jobs.list_outputs(firm.member, job.pk)] == ["good"]
    assert "not kept by the platform" in job.message
