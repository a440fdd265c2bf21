"""The programme over HTTP: nobody first, then the wrong one, then the right one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from haihe.kernel.clock import now
from haihe.kernel.days import local_day
from haihe.kernel.money import MICRO
from haihe.programme.models import Plan, Scheme, Voucher
from tests.callers import Caller
from tests.programme.factories import (
    DECLARED,
    PLAN,
    PLAN_FILE,
    RULES,
    World,
    apply,
    make_contract,
    make_evaluation,
    make_job,
    settle,
)

pytestmark = pytest.mark.django_db
TEXT = PLAN_FILE.read_text("utf-8")


def denied(answer: Any, status: int) -> bool:
    return bool(
        answer.status_code == status and answer["Content-Type"].startswith("application/problem")
    )


# --- plans ---------------------------------------------------------------------------------------


def test_a_plan_is_imported_by_the_officer_and_read_by_everybody(world: World) -> None:
    body = {"toml": TEXT}
    assert denied(Caller().post("/plans", body), 401)
    assert denied(Caller(world.manager).post("/plans", body), 403)
    officer = Caller(world.officer)
    made = officer.post("/plans", body)
    assert made.status_code == 201
    assert made.json()["plan"]["version"] == 1
    assert officer.post("/plans", {"toml": "x"}).json()["code"] == "programme.bad_plan"
    newer = TEXT.replace("version = 1\n", "version = 2\n", 1).replace("value = 50", "value = 100")
    [change] = officer.post("/plans", {"toml": newer}).json()["changes"]
    assert (change["key"], change["before"], change["after"]) == ("T1", 50, 100)
    nobody = Caller()
    [listed] = nobody.get("/plans").json()["items"]
    assert (listed["slug"], listed["version"], listed["targets"]) == (PLAN, 2, 8)
    whole = nobody.get(f"/plans/{PLAN}").json()
    assert whole["all_targets"][0]["value"] == 100
    assert whole["all_targets"][0]["responsible_units"][0]["zh"] == "市科技局"
    assert whole["all_measures"][0]["units"][0]["en"] == "Science & Technology Bureau"
    old = nobody.get(f"/plans/{PLAN}?version=1").json()
    assert old["all_targets"][0]["value"] == 50
    assert old["superseded_at"]
    assert [row["version"] for row in nobody.get(f"/plans/{PLAN}/versions").json()] == [2, 1]
    assert nobody.get(f"/plans/{PLAN}/changes?old=1&new=2").json() == [change]
    assert nobody.get(f"/plans/{PLAN}/targets/T3").json()["counts"] == "scenario.accepted"
    assert denied(nobody.get("/plans/none"), 404)
    assert denied(nobody.get(f"/plans/{PLAN}/targets/T99"), 404)


def test_indicators_are_everybodys_and_open_their_facts(world: World, plan: Plan) -> None:
    nobody = Caller()
    begin = now()
    proposed = Caller(world.member).post(
        "/scenarios",
        {
            "evaluation": str(make_evaluation(world).pk),
            "plan": PLAN,
            "measure": "6",
            "title": "分诊",
        },
    )
    Caller(world.officer).post(f"/scenarios/{proposed.json()['id']}/accept", {})
    listed = nobody.get("/indicators").json()
    values = {item["target"]["code"]: item["value"] for item in listed["items"]}
    assert values == {f"T{n}": 1 if n == 3 else None for n in range(1, 9)}
    one = nobody.get(f"/plans/{PLAN}/indicators/T3").json()
    assert (one["value"], len(one["facts"]), one["history"][0]["value"]) == (1, 1, 1)
    [fact] = one["facts"]
    assert fact["evidence_id"]
    assert (fact["job_id"], fact["amount_micro"], fact["voucher"]) == (None, None, None)
    [inside] = Caller(world.member).get(f"/plans/{PLAN}/indicators/T3").json()["facts"]
    assert inside["job_id"]
    assert inside["amount_micro"] == MICRO
    before = begin.isoformat().replace("+00:00", "Z")
    assert nobody.get(f"/plans/{PLAN}/indicators/T3?as_of={before}").json()["value"] == 0
    future = (now() + timedelta(days=1)).isoformat().replace("+00:00", "Z")
    assert denied(nobody.get(f"/plans/{PLAN}/indicators/T3?as_of={future}"), 422)
    assert denied(nobody.get("/indicators?as_of=2026-01-01T00:00:00"), 422)
    assert nobody.get("/overview").json()["counts"]["scenarios"] == 1


# --- schemes and vouchers ------------------------------------------------------------------------


def scheme_body(world: World) -> dict[str, Any]:
    today = local_day()
    return {
        "slug": "autumn",
        "title": "秋季",
        "office": world.office.slug,
        "rules_toml": RULES.read_text("utf-8"),
        "opens_on": today.isoformat(),
        "closes_on": (today + timedelta(days=9)).isoformat(),
    }


def test_a_scheme_is_opened_and_funded_by_the_officer(world: World) -> None:
    body, fund = scheme_body(world), {"amount_micro": 5 * MICRO, "reference": "2026-1"}
    officer = Caller(world.officer)
    for caller, status in ((Caller(), 401), (Caller(world.manager), 403)):
        assert denied(caller.post("/schemes", body), status)
    assert officer.post("/schemes", {**body, "rules_toml": "x = 1"}).status_code == 422
    assert officer.post("/schemes", body).status_code == 201
    for caller, status in ((Caller(), 401), (Caller(world.manager), 403)):
        assert denied(caller.post("/schemes/autumn/fund", fund), status)
    assert officer.post("/schemes/autumn/fund", fund, key="k").json()["pool_micro"] == 5 * MICRO
    assert officer.post("/schemes/autumn/fund", fund, key="k").json()["pool_micro"] == 5 * MICRO
    [listed] = Caller().get("/schemes").json()["items"]
    assert (listed["slug"], listed["pool_micro"]) == ("autumn", 5 * MICRO)
    found = Caller().get("/schemes/autumn").json()
    assert found["rule_set"]["ratio_percent"] == 20
    assert found["rule_set"]["conditions"][0]["status"] == "V2"
    assert found["pool_account"]
    assert denied(Caller().get("/schemes/none"), 404)


def test_no_file_of_the_machine_is_read_for_a_scheme(world: World) -> None:
    body = {**scheme_body(world), "rules_toml": str(RULES)}
    answer = Caller(world.officer).post("/schemes", body)
    assert answer.json()["code"] == "programme.bad_plan"
    assert not Scheme.objects.exists()


def test_a_voucher_from_the_check_to_the_payment(world: World, scheme: Scheme) -> None:
    contract = make_contract(world, eligible_micro=1_000 * MICRO)
    body = {"contract": contract.number, "amount_micro": 200 * MICRO, "declared": list(DECLARED)}
    firm, officer = Caller(world.manager), Caller(world.officer)
    for caller, status in ((Caller(), 401), (Caller(world.stranger), 403)):
        assert denied(caller.post("/schemes/spring/check", body), status)
        assert denied(caller.post("/vouchers", {"scheme": "spring", **body}), status)
    check = firm.post("/schemes/spring/check", body).json()
    assert (check["passes"], check["most_micro"]) == (True, 200 * MICRO)
    over = firm.post("/vouchers", {"scheme": "spring", **body, "amount_micro": 201 * MICRO})
    assert denied(over, 422)
    assert over.json()["params"]["condition"] == "ratio"
    made = firm.post("/vouchers", {"scheme": "spring", **body})
    assert made.status_code == 201
    number = made.json()["number"]
    for caller, status in ((Caller(), 401), (firm, 403), (Caller(world.stranger), 403)):
        assert denied(caller.post(f"/vouchers/{number}/approve", {}), status)
        assert denied(caller.post(f"/vouchers/{number}/refuse", {"note": "n"}), status)
    granted = officer.post(f"/vouchers/{number}/approve", {"note": "ok"}).json()
    assert (granted["state"], granted["left_micro"]) == ("reserved", 200 * MICRO)
    assert denied(officer.post(f"/vouchers/{number}/approve", {}), 409)
    settle(make_job(world, contract, hours=10), hours=10)
    seen = firm.get(f"/vouchers/{number}").json()
    assert (seen["redeemed_micro"], seen["left_micro"]) == (2 * MICRO, 198 * MICRO)
    for caller, status in ((Caller(), 401), (Caller(world.seller), 403)):
        assert denied(caller.get("/schemes/spring/claims"), status)
        assert denied(caller.post("/schemes/spring/payments", {"provider": "seller"}), status)
    assert officer.get("/schemes/spring/claims").json()[0]["amount_micro"] == 2 * MICRO
    paid = officer.post("/schemes/spring/payments", {"provider": "seller"})
    assert (paid.status_code, paid.json()["amount_micro"]) == (201, 2 * MICRO)
    again = officer.post("/schemes/spring/payments", {"provider": "seller"})
    assert again.json()["code"] == "programme.nothing_to_pay"
    assert officer.get("/schemes/spring").json()["paid_micro"] == 2 * MICRO


def test_vouchers_are_refused_withdrawn_and_closed(world: World, scheme: Scheme) -> None:
    firm, officer = Caller(world.manager), Caller(world.officer)
    first = apply(world, make_contract(world)).number
    assert denied(officer.post(f"/vouchers/{first}/refuse", {"note": ""}), 422)
    assert officer.post(f"/vouchers/{first}/refuse", {"note": "缺"}).json()["state"] == "refused"
    second = apply(world, make_contract(world)).number
    assert denied(Caller(world.member).post(f"/vouchers/{second}/withdraw"), 403)
    assert firm.post(f"/vouchers/{second}/withdraw").json()["state"] == "withdrawn"
    third = apply(world, make_contract(world)).number
    officer.post(f"/vouchers/{third}/approve", {})
    assert denied(firm.post(f"/vouchers/{third}/close"), 403)
    assert officer.post(f"/vouchers/{third}/close").json()["code"] == "input.wrong_state"


def test_vouchers_are_listed_for_who_may_see_them(
    world: World, scheme: Scheme, django_assert_max_num_queries: Any
) -> None:
    assert denied(Caller().get("/vouchers"), 401)
    for _ in range(3):
        apply(world, make_contract(world))
    assert Caller(world.stranger).get("/vouchers").json()["items"] == []
    firm = Caller(world.manager)
    first = firm.get("/vouchers?limit=2").json()
    rest = firm.get(f"/vouchers?limit=2&cursor={first['next_cursor']}").json()
    numbers = [item["number"] for item in first["items"] + rest["items"]]
    assert numbers == ["spring-00003", "spring-00002", "spring-00001"]
    assert rest["next_cursor"] is None
    assert firm.get("/vouchers?state=closed").json()["items"] == []
    assert denied(firm.get("/vouchers?state=lost"), 422)
    assert denied(Caller(world.stranger).get(f"/vouchers/{numbers[0]}"), 403)
    assert denied(Caller(world.manager, "ledger").get("/vouchers"), 403)
    with django_assert_max_num_queries(12):
        firm.get("/vouchers")
    assert Voucher.objects.count() == 3


# --- scenarios -----------------------------------------------------------------------------------


def test_scenarios_are_proposed_decided_and_taken_back(world: World, plan: Plan) -> None:
    evaluation = make_evaluation(world)
    body = {"evaluation": str(evaluation.pk), "plan": PLAN, "measure": "6", "title": "分诊"}
    for caller, status in ((Caller(), 401), (Caller(world.stranger), 403)):
        assert denied(caller.post("/scenarios", body), status)
    made = Caller(world.member).post("/scenarios", body)
    assert made.status_code == 201
    path = f"/scenarios/{made.json()['id']}"
    assert denied(Caller().get(path), 401)
    assert Caller().get("/scenarios").json()["items"] == []
    officer = Caller(world.officer)
    for action, note in (("accept", {}), ("decline", {"note": "n"}), ("revoke", {"note": "n"})):
        assert denied(Caller().post(f"{path}/{action}", note), 401)
        assert denied(Caller(world.manager).post(f"{path}/{action}", note), 403)
    assert officer.post(f"{path}/accept", {"note": "好"}).json()["state"] == "accepted"
    assert Caller().get(path).json()["score"] == evaluation.score
    assert denied(officer.post(f"{path}/decline", {"note": "late"}), 409)
    assert denied(officer.post(f"{path}/revoke", {"note": ""}), 422)
    assert officer.post(f"{path}/revoke", {"note": "数据有误"}).json()["state"] == "revoked"
    other = Caller(world.member).post(
        "/scenarios", {**body, "evaluation": str(make_evaluation(world).pk)}
    )
    declined = officer.post(f"/scenarios/{other.json()['id']}/decline", {"note": "不属于"})
    assert declined.json()["state"] == "declined"
    weak = {**body, "evaluation": str(make_evaluation(world, score=0.4).pk)}
    assert Caller(world.member).post("/scenarios", weak).json()["code"] == (
        "programme.scenario_refused"
    )
    assert [row["state"] for row in officer.get("/scenarios").json()["items"]] == [
        "declined",
        "revoked",
    ]
