"""The SDK against the real application, and against a connection that breaks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections

from haihe.client import ApiError, ConnectionFailed, Haihe, JobTimeout
from haihe.client.http import Conversation
from haihe.compute.tasks import Dispatcher
from haihe.kernel.clock import now
from haihe.kernel.ids import new_id
from haihe.kernel.money import CNY, MICRO
from haihe.ledger.services import deposit, open_account
from haihe.policy.cli import CONSOLE
from tests.factories import make_organisation, make_person, make_token

pytestmark = pytest.mark.django_db
URL = "http://127.0.0.1"


@pytest.fixture
def connect(home: Path) -> Iterator[Callable[[str], Haihe]]:
    """A client for a token, talking to the application in this process and transaction."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    transport = httpx.WSGITransport(app=get_wsgi_application())
    yield lambda token: Haihe(URL, token=token, transport=transport)
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def firm(connect: Callable[[str], Haihe]) -> Haihe:
    """A firm's owner, with money and somebody to buy from."""
    ann, bob = make_person("ann@example.test"), make_person("bob@example.test")
    organisation = make_organisation("firm", owner=ann)
    make_organisation("seller", kind="centre-operator", owner=bob)
    account = open_account(organisation.pk, "cash", CNY, name="firm")
    deposit(CONSOLE, account.pk, transfer_id=new_id(), amount_micro=100 * MICRO, reference="bank")
    seller = connect(make_token(bob))
    seller.http.post("/centres", {"operator": "seller", "slug": "centre", "name": "Centre"})
    seller.http.post(
        "/centres/centre/pools", {"slug": "pool", "cpu_milli": 2_000, "memory_bytes": 8 << 30}
    )
    seller.http.post(
        "/centres/centre/pools/pool/offers",
        {"cpu_hour_micro": MICRO, "minimum_micro": 2 * MICRO},
    )
    return connect(make_token(ann))


def test_a_job_from_data_to_bill(firm: Haihe, tmp_path: Path) -> None:
    firm.datasets.create(
        organisation="firm",
        slug="table",
        title="Table",
        policy={"purposes": ["research"], "days": 30},
    )
    file = tmp_path / "table.csv"
    file.write_text("a,b\n1,2\n")
    version = firm.datasets.add_version("table", file, source="test")
    assert version["rows"] == 1

    quote = firm.quotes.request(
        organisation="firm",
        spec={
            "name": "copy",
            "command": ["sh", "-c", "echo begin; cat $HAIHE_INPUTS/t.csv > $HAIHE_OUTPUTS/o.csv"],
            "wall_s": 60,
            "inputs": [{"name": "t", "dataset": "table", "version": 1}],
        },
    )
    assert quote["amount_micro"] >= 2 * MICRO
    job = firm.jobs.submit(quote["id"], key="once")
    assert firm.jobs.submit(quote["id"], key="once")["id"] == job["id"]

    printed: list[str] = []
    deadline = now() + timedelta(seconds=60)
    with Dispatcher() as dispatcher:
        while firm.jobs.get(job["id"])["state"] not in ("succeeded", "failed"):
            dispatcher.tick()
            assert now() < deadline
    done = firm.jobs.wait(job["id"], on_log=printed.append, pause_s=0)
    assert done["state"] == "succeeded"
    assert "".join(printed) == "begin\n"
    assert [f["path"] for f in firm.jobs.files(job["id"])] == ["o.csv"]
    fetched = firm.jobs.download(job["id"], "o.csv", tmp_path / "o.csv")
    assert fetched.read_text() == "a,b\n1,2\n"
    assert [j["id"] for j in firm.jobs.list()] == [job["id"]]
    kinds = {entry["kind"] for entry in firm.evidence.list(subject=f"job:{job['id']}")}
    assert {"job.submitted", "job.metered", "job.settled"} <= kinds


def test_files_go_with_a_job_and_come_back_with_progress(firm: Haihe, tmp_path: Path) -> None:
    script = tmp_path / "work.sh"
    script.write_bytes(b"# " + b"x" * 300_000 + b"\nhead -c 700000 /dev/zero > $HAIHE_OUTPUTS/o\n")
    told: list[tuple[str, int, int]] = []

    def progress(path: str, done: int, whole: int) -> None:
        told.append((path, done, whole))

    quote = firm.quotes.request(
        organisation="firm",
        spec={"name": "work", "command": ["sh", "bin/run.sh"], "wall_s": 60},
        files={"bin/run.sh": script},
        on_progress=progress,
    )
    size = script.stat().st_size
    assert told[-1] == ("bin/run.sh", size, size)
    assert len(told) > 1
    assert quote["comparison"]["chosen"] == quote["pool"]
    job = firm.jobs.submit(quote["id"])
    with Dispatcher() as dispatcher:
        deadline = now() + timedelta(seconds=60)
        while firm.jobs.get(job["id"])["state"] not in ("succeeded", "failed"):
            dispatcher.tick()
            assert now() < deadline
    told.clear()
    firm.jobs.download(job["id"], "o", tmp_path / "o", on_progress=progress)
    assert told[-1] == ("o", 700_000, 700_000)
    assert len(told) > 1
    explained = firm.jobs.explain(job["id"])
    assert explained["waits_for"] == "nothing"
    assert explained["placements"][0]["is_replayed"]
    [centre] = firm.centres.network()["centres"]
    [pool] = centre["pools"]
    assert pool["pool"] == "centre/pool"
    assert "cpu" in firm.centres.history("centre/pool", hours=1)


def test_an_error_is_raised_with_its_code(firm: Haihe) -> None:
    with pytest.raises(ApiError) as caught:
        firm.organisations.get("nobody")
    assert (caught.value.code, caught.value.status) == ("input.not_found", 404)
    with pytest.raises(ApiError) as caught:
        firm.quotes.request(organisation="firm", spec={"name": "x", "command": []})
    assert caught.value.code == "compute.bad_job_spec"


def test_a_path_is_one_part_however_it_is_written(firm: Haihe) -> None:
    with pytest.raises(ApiError) as caught:
        firm.organisations.get("../me")
    assert caught.value.status == 404


def test_waiting_ends(firm: Haihe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firm.jobs, "get", lambda job: {"state": "running"})
    with pytest.raises(JobTimeout):
        firm.jobs.wait("x", pause_s=0, timeout_s=0)


def conversation(handler: Callable[[httpx.Request], httpx.Response]) -> Conversation:
    return Conversation(URL, "t", timeout_s=1, transport=httpx.MockTransport(handler), pause_s=0)


def test_a_broken_connection_is_tried_again_with_the_same_key() -> None:
    keys: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers["Idempotency-Key"])
        if len(keys) < 3:
            raise httpx.ConnectError("down")
        return httpx.Response(201, json={"id": "1"})

    assert conversation(handler).post("/jobs", {}) == {"id": "1"}
    assert len(keys) == 3
    assert len(set(keys)) == 1


def test_a_busy_platform_is_asked_again_and_then_reported() -> None:
    calls: list[Any] = []

    def handler(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        return httpx.Response(503, json={"code": "kernel.storage_unavailable", "status": 503})

    with pytest.raises(ApiError, match="kernel.storage_unavailable"):
        conversation(handler).get("/me")
    assert len(calls) == 4

    def dead(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("down")

    with pytest.raises(ConnectionFailed, match="down"):
        conversation(dead).get("/me")


def test_an_answer_that_is_no_problem_is_an_error_too(tmp_path: Path) -> None:
    gateway = conversation(lambda request: httpx.Response(502, text="bad gateway"))
    with pytest.raises(ApiError, match="bad gateway"):
        gateway.get("/me")
    with pytest.raises(ApiError, match="bad gateway"):
        gateway.download("/x", tmp_path / "x")
    assert not list(tmp_path.iterdir()), "nothing is left of a failed download"


def test_an_upload_that_breaks_is_sent_again_whole_with_its_key(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_bytes(b"a,b\n1,2\n")
    keys: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        assert b"a,b\n1,2\n" in request.read()
        keys.append(request.headers["Idempotency-Key"])
        if len(keys) < 3:
            raise httpx.ReadError("broken")
        return httpx.Response(201, json={"number": 1})

    assert conversation(handler).upload("/x", file, key="mine", source="test") == {"number": 1}
    assert keys == ["mine"] * 3


def test_a_download_that_breaks_begins_again(tmp_path: Path) -> None:
    class Broken(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield b"ha"
            raise httpx.ReadError("broken")

    calls: list[Any] = []

    def handler(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        if len(calls) == 1:
            return httpx.Response(200, stream=Broken())
        return httpx.Response(200, content=b"whole")

    assert conversation(handler).download("/x", tmp_path / "x").read_bytes() == b"whole"
    assert [file.name for file in tmp_path.iterdir()] == ["x"]

    def dead(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=Broken())

    with pytest.raises(ConnectionFailed, match="broken"):
        conversation(dead).download("/y", tmp_path / "y")
    assert [file.name for file in tmp_path.iterdir()] == ["x"]


def test_an_edit_of_what_was_changed_meanwhile_is_refused(firm: Haihe) -> None:
    read = firm.organisations.get("firm")
    assert read.etag
    firm.organisations.update("firm", name="First", etag=read.etag)
    with pytest.raises(ApiError, match="input.stale_edit"):
        firm.organisations.update("firm", name="Second", etag=read.etag)
    again = firm.organisations.get("firm")
    assert again["name"] == "First"
    assert firm.organisations.update("firm", name="Second", etag=again.etag)["name"] == "Second"


def test_a_statement_is_read_to_its_end(firm: Haihe, monkeypatch: pytest.MonkeyPatch) -> None:
    [account] = [row for row in firm.accounts.list() if row["name"] == "firm"]
    for number in range(4):
        deposit(
            CONSOLE,
            UUID(account["id"]),
            transfer_id=new_id(),
            amount_micro=1,
            reference=str(number),
        )
    monkeypatch.setattr("haihe.client.http.PAGE", 2)
    rows = list(firm.accounts.transfers(account["id"]))
    assert [row["amount_micro"] for row in rows] == [1, 1, 1, 1, 100 * MICRO]
    assert firm.accounts.statement(account["id"])["closing_micro"] == rows[0]["balance_micro"]
