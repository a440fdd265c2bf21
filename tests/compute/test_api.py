"""Compute over HTTP: anonymous first, then the wrong member, then the right one."""

from __future__ import annotations

from typing import Any

import pytest

from haihe.compute.models import Job
from haihe.compute.services import contracts
from haihe.kernel.days import local_day
from haihe.kernel.money import MICRO
from tests.callers import Caller
from tests.compute.conftest import CPU_HOUR_MICRO
from tests.compute.factories import (
    GIB,
    copy_job,
    make_job,
    make_quote,
    run_job,
    run_jobs,
    spec_data,
)
from tests.sides import Side

pytestmark = pytest.mark.django_db
POOL = "/centres/north/pools/cpu"


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json().get("code", "")


# --- centres -------------------------------------------------------------------------------------


def test_anybody_reads_centres_pools_and_offers(operator: Side) -> None:
    caller = Caller()
    [centre] = caller.get("/centres").json()["items"]
    assert centre == caller.get("/centres/north").json()
    assert (centre["operator"], centre["name_en"]) == ("operator", "North centre")
    [pool] = centre["pools"]
    assert pool == caller.get(POOL).json()
    assert [pool] == caller.get("/centres/north/pools").json()
    assert pool["path"] == "north/cpu"
    assert pool["capacity"]["cpu_milli"] == 2_000
    assert pool["offer"]["cpu_hour_micro"] == CPU_HOUR_MICRO
    assert caller.get(f"{POOL}/offers").json()["items"] == [pool["offer"]]
    for missing in ("/centres/none", "/centres/north/pools/none"):
        assert code(caller.get(missing)) == (404, "input.not_found")


def test_connecting_a_centre_and_adding_a_pool(operator: Side, stranger: Side) -> None:
    body = {"operator": "operator", "slug": "south", "name": "南方"}
    pool = {"slug": "gpu", "cpu_milli": 8_000, "memory_bytes": GIB, "gpu_milli": 2_000}
    assert code(Caller().post("/centres", body))[0] == 401
    assert code(Caller(stranger.manager).post("/centres", body))[0] == 403
    assert code(Caller(operator.member).post("/centres", body))[0] == 403
    manager = Caller(operator.manager)
    assert manager.post("/centres", body).status_code == 201
    assert code(manager.post("/centres", body)) == (409, "compute.taken")
    assert code(Caller().post("/centres/south/pools", pool))[0] == 401
    assert code(Caller(stranger.manager).post("/centres/south/pools", pool))[0] == 403
    created = manager.post("/centres/south/pools", pool)
    assert (created.status_code, created.json()["path"]) == (201, "south/gpu")
    assert created.json()["offer"] is None


def test_prices_and_draining_are_the_operators(operator: Side, firm: Side) -> None:
    price = {"cpu_hour_micro": 5, "gpu_hour_micro": 6, "minimum_micro": 7}
    for path, body in ((f"{POOL}/offers", price), (f"{POOL}/drain", {}), (f"{POOL}/open", {})):
        assert code(Caller().post(path, body))[0] == 401
        assert code(Caller(firm.manager).post(path, body))[0] == 403
    manager = Caller(operator.manager)
    assert manager.post(f"{POOL}/offers", price).json() | price == manager.get(POOL).json()["offer"]
    assert len(Caller().get(f"{POOL}/offers").json()["items"]) == 2
    assert manager.post(f"{POOL}/drain").json()["is_open"] is False
    assert manager.post(f"{POOL}/open").json()["is_open"] is True


# --- contracts -----------------------------------------------------------------------------------


def test_contracts(firm: Side, operator: Side, stranger: Side) -> None:
    body = {
        "number": "津算〔2026〕12/3号",
        "buyer": "firm",
        "provider": "operator",
        "amount_micro": 10 * MICRO,
        "eligible_micro": 8 * MICRO,
        "begins_on": "2026-01-01",
        "ends_on": local_day().replace(month=12, day=31).isoformat(),
    }
    assert code(Caller().post("/contracts", body))[0] == 401
    assert code(Caller(operator.manager).post("/contracts", body))[0] == 403
    created = Caller(firm.manager).post("/contracts", body)
    assert created.status_code == 201
    assert created.json() | body == created.json()
    path = f"/contracts/{created.json()['id']}"
    assert code(Caller().get(path))[0] == 401
    assert code(Caller(stranger.manager).get(path))[0] == 403
    assert Caller(operator.member).get(path).json() == {**created.json(), "committed_micro": 0}
    assert code(Caller().post(f"{path}/sign"))[0] == 401
    assert code(Caller(firm.manager).post(f"{path}/sign"))[0] == 403
    assert Caller(operator.manager).post(f"{path}/sign").json()["state"] == "signed"
    assert code(Caller(operator.manager).post(f"{path}/sign")) == (409, "input.wrong_state")
    assert code(Caller().get("/contracts"))[0] == 401
    assert Caller(stranger.member).get("/contracts").json()["items"] == []
    found = Caller(firm.auditor).get(f"/contracts?number={body['number']}").json()["items"]
    assert [item["id"] for item in found] == [created.json()["id"]]


# --- quotes and jobs -----------------------------------------------------------------------------


def test_quotes(firm: Side, stranger: Side) -> None:
    body = {"organisation": "firm", "spec": spec_data("echo", "hello", wall_s=3_600)}
    assert code(Caller().post("/quotes", body))[0] == 401
    assert code(Caller(stranger.manager).post("/quotes", body))[0] == 403
    created = Caller(firm.member).post("/quotes", body)
    assert created.status_code == 201
    quote = created.json()
    assert quote["amount_micro"] == CPU_HOUR_MICRO
    assert quote["spec"] | body["spec"] == quote["spec"]
    assert [line["item"] for line in quote["lines"]] == ["cpu"]
    assert [share["payer"] for share in quote["shares"]] == ["Firm"]
    assert quote["reasons"][0].startswith("north/cpu: fits")
    path = f"/quotes/{quote['id']}"
    assert code(Caller().get(path))[0] == 401
    assert code(Caller(stranger.manager).get(path))[0] == 403
    assert Caller(firm.auditor).get(path).json() == quote
    wrong = {**body, "spec": {**body["spec"], "cpu_milli": 64_000}}
    assert code(Caller(firm.member).post("/quotes", wrong)) == (422, "compute.job_too_large")
    wrong["spec"]["command"] = []
    assert code(Caller(firm.member).post("/quotes", wrong)) == (422, "compute.bad_job_spec")


def test_a_job_from_quote_to_bill(firm: Side, operator: Side, stranger: Side) -> None:
    command = ["sh", "-c", "echo 你好; mkdir $HAIHE_OUTPUTS/d; echo x > '$HAIHE_OUTPUTS'/d/r.txt"]
    quote = make_quote(firm.member, *[word.replace("'", "") for word in command])
    body = {"quote_id": str(quote.pk), "priority": 5}
    assert code(Caller().post("/jobs", body))[0] == 401
    assert code(Caller(stranger.manager).post("/jobs", body))[0] == 403
    assert code(Caller(firm.member, "read").post("/jobs", body)) == (403, "policy.scope_missing")
    submitted = Caller(firm.member).post("/jobs", body, key="k1")
    assert (submitted.status_code, submitted.json()["state"]) == (201, "queued")
    assert Caller(firm.member).post("/jobs", body, key="k1").json() == submitted.json()
    assert code(Caller(firm.member).post("/jobs", body)) == (409, "compute.quote_used")
    run_jobs()
    path = f"/jobs/{submitted.json()['id']}"
    assert code(Caller().get(path))[0] == 401
    assert code(Caller(stranger.manager).get(path))[0] == 403
    job = Caller(operator.member).get(path).json()
    assert (job["state"], job["priority"], job["exit_code"]) == ("succeeded", 5, 0)
    [attempt] = job["attempts"]
    assert attempt["usage"]["wall_ms"] > 0
    assert attempt["usage"]["measured_by"] == "local"
    assert job["settlement"]["amount_micro"] == job["amount_micro"]
    for inside in ("/log", "/files", "/files/d/r.txt"):
        assert code(Caller().get(path + inside))[0] == 401
        assert code(Caller(operator.manager).get(path + inside))[0] == 403
    member = Caller(firm.member)
    assert member.get(f"{path}/log").json() == {"text": "你好\n", "next_offset": 7}
    assert member.get(f"{path}/log?offset=-1").json()["text"] == "\n"
    assert member.get(f"{path}/files").json() == [{"path": "d/r.txt", "bytes": 2}]
    answer = member.get(f"{path}/files/d/r.txt")
    assert b"".join(answer.streaming_content) == b"x\n"
    assert answer["Content-Disposition"] == 'attachment; filename="r.txt"'
    assert code(member.get(f"{path}/files/d")) == (404, "compute.no_such_file")


def test_cancelling(firm: Side, operator: Side) -> None:
    job = make_job(firm.member, "sleep", "60")
    path = f"/jobs/{job.pk}/cancel"
    assert code(Caller().post(path))[0] == 401
    assert code(Caller(operator.manager).post(path))[0] == 403
    assert Caller(firm.member).post(path).status_code == 200
    run_jobs()
    assert code(Caller(firm.member).post(path)) == (409, "input.wrong_state")


def test_the_job_list_takes_as_many_queries_for_many_as_for_one(
    firm: Side, django_assert_max_num_queries: Any
) -> None:
    assert code(Caller().get("/jobs"))[0] == 401
    job = run_job(firm.member)
    caller = Caller(firm.auditor)
    counts = []
    for _ in range(2):
        with django_assert_max_num_queries(20) as queries:
            page = caller.get("/jobs").json()
        counts.append(len(queries))
        while Job.objects.count() < 60:
            copy_job(job)
    assert len(page["items"]) == 50
    assert page["next_cursor"]
    assert counts[1] <= counts[0]


def test_a_contract_that_is_used_up_refuses(firm: Side, operator: Side) -> None:
    today = local_day()
    contracts.create_contract(
        firm.manager,
        number="C1",
        buyer="firm",
        provider="operator",
        amount_micro=MICRO,
        eligible_micro=MICRO,
        begins_on=today,
        ends_on=today,
    )
    contracts.sign_contract(operator.manager, "C1")
    body = {"organisation": "firm", "contract": "C1", "spec": spec_data(wall_s=3_600)}
    assert code(Caller(firm.member).post("/quotes", body)) == (422, "compute.contract_limit")
