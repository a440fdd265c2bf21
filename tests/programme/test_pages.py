"""Pages of the programme, as visitors, firms, providers and officers see them."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from haihe.kernel.days import local_day
from haihe.kernel.money import MICRO
from haihe.policy.domain import Principal
from haihe.programme.models import Plan, Scenario, Scheme, Voucher
from haihe.programme.services import plans, scenarios, vouchers
from haihe.programme.services.books import scheme_balance
from tests.callers import haihe, person_of
from tests.pages import CHINESE, ENGLISH, asks_to_sign_in, browser, sound
from tests.programme.factories import (
    DECLARED,
    PLAN,
    PLAN_FILE,
    RULES,
    World,
    apply,
    grant,
    make_contract,
    make_evaluation,
    make_job,
    settle,
)

pytestmark = pytest.mark.django_db


def seen_by(principal: Principal, language: str = ENGLISH) -> Client:
    return browser(person_of(principal), language)


@pytest.fixture
def voucher(world: World, scheme: Scheme) -> Voucher:
    """A granted voucher that paid a part of a job."""
    contract = make_contract(world, eligible_micro=1_000 * MICRO)
    granted = grant(world, contract)
    settle(make_job(world, contract, hours=10), hours=10)
    return granted


@pytest.fixture
def scenario(world: World, plan: Plan, voucher: Voucher) -> Scenario:
    """An accepted scenario that the voucher's contract paid for."""
    proposed = scenarios.propose_scenario(
        world.member,
        evaluation=make_evaluation(world, voucher.contract).pk,
        plan=PLAN,
        measure="6",
        title="乳腺分诊",
        title_en="Breast triage",
    )
    return scenarios.accept_scenario(world.officer, proposed.pk, note="好")


def addresses(voucher: Voucher, scenario: Scenario) -> list[str]:
    target = f"/plans/{PLAN}/targets"
    return [
        "/plans", f"/plans/{PLAN}", f"/plans/{PLAN}?version=1", f"/plans/{PLAN}/changes",
        f"{target}/T1", f"{target}/T3", f"{target}/T3?as_of=2025-06-30", f"{target}/T7",
        "/indicators", "/indicators?as_of=2025-06-30", "/schemes", "/schemes/spring",
        "/vouchers", "/vouchers?state=closed", f"/vouchers/{voucher.number}",
        "/scenarios", "/scenarios?state=declined", f"/scenarios/{scenario.pk}",
    ]  # fmt: skip


@pytest.mark.parametrize("language", [ENGLISH, CHINESE])
def test_all_pages_render_in_both_languages_for_everybody(
    language: str, world: World, voucher: Voucher, scenario: Scenario
) -> None:
    for principal in (world.manager, world.seller, world.officer, world.auditor):
        client = seen_by(principal, language)
        for address in addresses(voucher, scenario):
            sound(client.get(address))
    officer, firm = seen_by(world.officer, language), seen_by(world.manager, language)
    for address in (
        "/plans/-/import", "/schemes/-/open", "/schemes/spring/fund", "/schemes/spring/payments",
    ):  # fmt: skip
        sound(officer.get(address))
    evaluation = make_evaluation(world)
    sound(firm.get(f"/scenarios/-/propose?evaluation={evaluation.pk}"))
    sound(firm.get("/schemes/spring/apply"))


def test_visitors_read_what_is_public_and_sign_in_for_the_rest(
    voucher: Voucher, scenario: Scenario
) -> None:
    client = browser()
    closed = ["/vouchers", "/vouchers?state=closed", f"/vouchers/{voucher.number}"]
    for address in addresses(voucher, scenario):
        if address in closed:
            assert asks_to_sign_in(client.get(address)), address
        else:
            sound(client.get(address))
    for address in (
        "/plans/-/import", "/schemes/-/open", "/schemes/spring/fund", "/schemes/spring/payments",
        "/schemes/spring/apply", f"/scenarios/-/propose?evaluation={scenario.evaluation_id}",
    ):  # fmt: skip
        assert asks_to_sign_in(client.get(address)), address


def test_the_wrong_member_is_kept_out(world: World, voucher: Voucher) -> None:
    stranger = seen_by(world.stranger)
    assert stranger.get(f"/vouchers/{voucher.number}").status_code == 403
    for address in (
        "/plans/-/import", "/schemes/-/open", "/schemes/spring/fund", "/schemes/spring/payments",
    ):  # fmt: skip
        assert seen_by(world.manager).get(address).status_code == 403
    for address in ("/plans/none", f"/plans/{PLAN}/targets/T3", "/schemes/none", "/vouchers/none"):
        assert stranger.get(address).status_code == 404


# --- plans and indicators ------------------------------------------------------------------------


def test_a_target_shows_its_value_definition_units_and_chain(
    world: World, scenario: Scenario, voucher: Voucher
) -> None:
    page = sound(seen_by(world.manager).get(f"/plans/{PLAN}/targets/T3"))
    job = scenario.evaluation.job
    for text in (
        "Benchmark AI application scenarios", "at least 30", "Count of accepted scenario projects",
        "Health Commission", "Breast triage", "1.00 CNY", voucher.number, "scenario.accepted",
    ):  # fmt: skip
        assert text in page.text, text
    assert f"/jobs/{job.pk}" in page.attributes["href"]
    assert f"/evidence/entries/{job.settlement.evidence_id}" in page.attributes["href"]
    public = sound(browser().get(f"/plans/{PLAN}/targets/T3"))
    assert "not open to you" in public.text
    assert voucher.number not in public.text
    assert f"/jobs/{job.pk}" not in public.attributes["href"]


def test_a_target_without_a_rule_says_so_plainly(plan: Plan) -> None:
    page = sound(browser().get(f"/plans/{PLAN}/targets/T1"))
    assert "Not measured: the plan gives no rule" in page.text
    assert "The facts that make it up" not in page.text
    listed = sound(browser().get("/indicators"))
    assert listed.text.count("Not measured") == 7
    assert "1 of 8 targets are measured" in listed.text


def test_a_target_is_shown_as_of_a_day(scenario: Scenario) -> None:
    past = sound(browser().get(f"/plans/{PLAN}/targets/T3?as_of=2025-06-30"))
    assert "As of 2025-06-30 23:59" in past.text
    assert "No fact is counted yet" in past.text
    today = local_day().isoformat()
    assert "Breast triage" in sound(browser().get(f"/plans/{PLAN}/targets/T3?as_of={today}")).text


def test_the_plan_shows_lead_and_supporting_units(plan: Plan) -> None:
    page = sound(browser().get(f"/plans/{PLAN}"))
    assert "AI + medical Health Commission Science & Technology Bureau" in page.text
    chinese = sound(browser(language=CHINESE).get(f"/plans/{PLAN}"))
    assert "市卫健委" in chinese.text
    assert "认定通过的应用场景项目计数" in chinese.text


def test_what_evidence_names_by_id_leads_to_its_page(plan: Plan, scheme: Scheme) -> None:
    client = browser()
    assert client.get(f"/plans/by-id/{plan.pk}")["Location"] == f"/plans/{PLAN}?version=1"
    assert client.get(f"/schemes/by-id/{scheme.pk}")["Location"] == "/schemes/spring"
    for unknown in (f"/plans/by-id/{scheme.pk}", f"/schemes/by-id/{plan.pk}"):
        sound(client.get(unknown), 404)


def test_the_officer_imports_a_plan_on_a_page(world: World) -> None:
    officer = seen_by(world.officer)
    bad = SimpleUploadedFile("plan.toml", b"x")
    refused = sound(officer.post("/plans/-/import", {"file": bad}), 422)
    assert "is no TOML" in refused.text
    good = SimpleUploadedFile("plan.toml", PLAN_FILE.read_bytes())
    done = officer.post("/plans/-/import", {"file": good})
    assert (done.status_code, done["Location"]) == (302, f"/plans/{PLAN}")
    assert "is imported" in sound(officer.get(done["Location"])).text
    sound(officer.post("/plans/-/import", {"csrfmiddlewaretoken": "x"}), 422)


def test_changes_between_versions_are_told(world: World, plan: Plan) -> None:
    text = PLAN_FILE.read_text("utf-8").replace("version = 1\n", "version = 2\n", 1)
    plans.import_plan(world.officer, text.replace("value = 50\n", "value = 100\n").encode())
    page = sound(browser().get(f"/plans/{PLAN}/changes"))
    assert "From version 1 to version 2" in page.text
    assert "Target T1 changed Value 50 100" in page.text
    old = sound(browser().get(f"/plans/{PLAN}?version=1"))
    assert "This version is superseded" in old.text
    assert browser().get(f"/plans/{PLAN}/changes?old=7&new=8").status_code == 404


# --- schemes and vouchers ------------------------------------------------------------------------


def test_the_officer_opens_and_funds_a_scheme_on_pages(world: World) -> None:
    officer = seen_by(world.officer)
    fields: dict[str, Any] = {
        "slug": "autumn", "title": "秋季", "title_en": "Autumn", "office": "office",
        "opens_on": "2026-01-01", "closes_on": "2025-01-01",
    }  # fmt: skip

    def send() -> Any:
        rules = SimpleUploadedFile("rules.toml", RULES.read_bytes())
        return officer.post("/schemes/-/open", {**fields, "rules": rules})

    assert "give a later day" in sound(send(), 422).text
    fields["closes_on"] = "2036-01-01"
    done = send()
    assert done["Location"] == "/schemes/autumn/fund"
    form = officer.get(done["Location"]).context["form"]
    money = {
        "amount_micro": "1000.5",
        "reference": "2026-1",
        "transfer_id": form["transfer_id"].value(),
    }
    for _ in range(2):  # a second press of the button changes nothing
        assert officer.post("/schemes/autumn/fund", money)["Location"] == "/schemes/autumn"
    assert scheme_balance(Scheme.objects.get(slug="autumn")).pool_micro == 1_000_500_000
    page = sound(officer.get("/schemes/autumn"))
    assert "1,000.50 CNY" in page.text
    assert "Read in a secondary page" in page.text
    assert "This platform’s own" in page.text
    sound(officer.post("/schemes/autumn/fund", {**money, "amount_micro": "-3"}), 422)
    nothing = sound(officer.post("/schemes/autumn/fund", {**money, "amount_micro": "0"}), 422)
    assert "Give an amount above zero." in nothing.text
    assert "after it the scheme goes by them by its own decision" in page.text
    assert "the settlement is the proof" in page.text


def test_an_application_is_checked_first_and_then_sent(world: World, scheme: Scheme) -> None:
    contract = make_contract(world, eligible_micro=1_000 * MICRO)
    firm = seen_by(world.manager)
    offered = sound(firm.get(f"/schemes/spring/apply?contract={contract.number}"))
    assert "200.00" in offered.attributes["value"]
    fields = {"contract": contract.number, "amount_micro": "201", "declared": list(DECLARED)}
    checked = sound(firm.post("/schemes/spring/apply", {**fields, "check": "1"}))
    assert "A condition is not met" in checked.text
    assert "at most 20 % of 1,000.00 CNY = 200.00 CNY" in checked.text
    assert not Voucher.objects.exists()
    refused = sound(firm.post("/schemes/spring/apply", {**fields, "apply": "1"}), 422)
    assert "Condition 'ratio' is not met" in refused.text
    assert "A condition is not met" in refused.text
    assert "201" in refused.attributes["value"]
    done = firm.post("/schemes/spring/apply", {**fields, "amount_micro": "200", "apply": "1"})
    assert done["Location"] == "/vouchers/spring-00001"
    assert "The application is in" in sound(firm.get(done["Location"])).text


def test_without_a_signed_contract_the_next_step_is_named(world: World, scheme: Scheme) -> None:
    make_contract(world, signed=False)
    page = sound(seen_by(world.manager).get("/schemes/spring/apply"))
    assert "No signed contract to apply on" in page.text
    assert "/contracts" in page.attributes["href"]


def test_only_who_may_decide_sees_the_buttons_and_the_service_decides_anyway(
    world: World, scheme: Scheme
) -> None:
    voucher = apply(world, make_contract(world))
    address = f"/vouchers/{voucher.number}"
    firm, officer = seen_by(world.manager), seen_by(world.officer)
    assert "withdraw" in sound(firm.get(address)).attributes["value"]
    assert "approve" not in sound(firm.get(address)).attributes["value"]
    assert "approve" in sound(officer.get(address)).attributes["value"]
    denied = firm.post(address, {"decision": "approve", "note": ""})
    assert "You may not" in sound(denied, 403).text
    sound(officer.post(address, {"decision": "shred", "note": ""}), 422)
    needs = sound(officer.post(address, {"decision": "refuse", "note": " "}), 422)
    assert "say why" in needs.text
    assert Voucher.objects.get().state == "applied"
    assert asks_to_sign_in(browser().post(address, {"decision": "approve", "note": ""}))
    done = officer.post(address, {"decision": "approve", "note": "好"})
    assert done["Location"] == address
    assert "The voucher is granted" in sound(officer.get(address)).text
    late = sound(firm.post(address, {"decision": "withdraw", "note": ""}), 409)
    assert "is reserved" in late.text


def test_a_voucher_shows_verdicts_history_and_what_it_paid_for(
    world: World, voucher: Voucher
) -> None:
    page = sound(seen_by(world.member).get(f"/vouchers/{voucher.number}"))
    for text in (
        "198.00 CNY", "2.00 CNY", "At most 20 % of the contract's cost for computing",
        "Voucher applied for", "Voucher reserved", "We are a software", "10.00 CNY",
    ):  # fmt: skip
        assert text in page.text, text
    assert f"/ledger/accounts/{voucher.account_id}" in page.attributes["href"]
    chinese = sound(seen_by(world.member, CHINESE).get(f"/vouchers/{voucher.number}"))
    assert "补贴比例不超过合同中算力费用的20%" in chinese.text


def test_providers_are_paid_once_on_a_page(world: World, voucher: Voucher) -> None:
    officer = seen_by(world.officer)
    assert "2.00 CNY" in sound(officer.get("/schemes/spring/payments")).text
    assert asks_to_sign_in(browser().post("/schemes/spring/payments", {"provider": "seller"}))
    denied = seen_by(world.manager).post("/schemes/spring/payments", {"provider": "seller"})
    assert denied.status_code == 403
    done = officer.post("/schemes/spring/payments", {"provider": "seller"})
    assert done["Location"] == "/schemes/spring/payments"
    again = sound(officer.post("/schemes/spring/payments", {"provider": "seller"}), 422)
    assert "there is nothing to pay" in again.text
    assert "Nobody waits for payment" in again.text
    assert scheme_balance(voucher.scheme).paid_micro == 2 * MICRO


def test_a_voucher_is_closed_after_its_term_only(
    world: World, voucher: Voucher, monkeypatch: pytest.MonkeyPatch
) -> None:
    officer = seen_by(world.officer)
    address = f"/vouchers/{voucher.number}"
    assert "close" not in sound(officer.get(address)).attributes["value"]
    sound(officer.post(address, {"decision": "close", "note": ""}), 409)
    assert vouchers.find_voucher(world.officer, voucher.number).state == "reserved"


# --- scenarios -----------------------------------------------------------------------------------


def test_a_scenario_is_proposed_and_decided_on_pages(world: World, plan: Plan) -> None:
    evaluation = make_evaluation(world)
    firm, officer = seen_by(world.member), seen_by(world.officer)
    address = f"/scenarios/-/propose?evaluation={evaluation.pk}"
    assert seen_by(world.stranger).get(address).status_code == 403
    form = firm.get(address).context["form"]
    assert form.initial["measure"] == f"{PLAN}/6"
    fields = {"measure": f"{PLAN}/6", "title": "分诊", "title_en": "Triage"}
    done = firm.post(address, fields)
    scenario = Scenario.objects.get()
    assert done["Location"] == f"/scenarios/{scenario.pk}"
    twice = sound(firm.post(address, fields), 409)
    assert "was proposed as scenario" in twice.text
    page = done["Location"]
    assert "accept" not in sound(firm.get(page)).attributes["value"]
    assert "You may not" in sound(firm.post(page, {"decision": "accept"}), 403).text
    assert "say why" in sound(officer.post(page, {"decision": "decline"}), 422).text
    assert officer.post(page, {"decision": "accept", "note": "好"})["Location"] == page
    assert "revoke" in sound(officer.get(page)).attributes["value"]
    officer.post(page, {"decision": "revoke", "note": "数据有误"})
    scenario.refresh_from_db()
    assert (scenario.state, scenario.note) == ("revoked", "数据有误")


def test_who_decides_sees_what_was_accepted_of_the_same_before(
    world: World, scenario: Scenario
) -> None:
    for inputs, same in ({"cases": "wdbc@1"}, True), ({"cases": "wdbc@2"}, False):
        again = scenarios.propose_scenario(
            world.member,
            evaluation=make_evaluation(world, inputs=inputs).pk,
            plan=PLAN,
            measure=scenario.measure_id,
            title="再来一次",
        )
        page = sound(seen_by(world.officer).get(f"/scenarios/{again.pk}"))
        assert "Accepted already of the same pack, organisation and measure" in page.text
        assert ("on the very same data" in page.text) == same
        asked = haihe("scenario", "accept", again.pk, caller=world.officer, input="n\n")
        assert asked.exit_code == 10
        assert str(scenario.pk) in asked.stderr
        assert ("on the very same data" in asked.stderr.replace("\n", " ")) == same
    own = sound(seen_by(world.officer).get(f"/scenarios/{scenario.pk}"))
    assert "Accepted already" not in own.text


def test_a_scenario_shows_the_chain_step_by_step(world: World, scenario: Scenario) -> None:
    page = sound(seen_by(world.manager).get(f"/scenarios/{scenario.pk}"))
    steps = [
        "Contract drawn up", "Contract signed", "Voucher applied for", "Voucher reserved",
        "Job submitted", "Job settled", "Scenario proposed", "Scenario accepted",
    ]  # fmt: skip
    places = [page.text.index(step) for step in steps]
    assert places == sorted(places)
    assert "you are none of them" in sound(browser().get(f"/scenarios/{scenario.pk}")).text


# --- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_every_table_is_a_file_too(
    kind: str, world: World, voucher: Voucher, scenario: Scenario
) -> None:
    officer = seen_by(world.officer)
    begins = {"csv": b"\xef\xbb\xbf", "xlsx": b"PK"}[kind]
    for address in (
        "/plans", f"/plans/{PLAN}", f"/plans/{PLAN}/changes", f"/plans/{PLAN}/targets/T3",
        "/indicators", "/schemes", "/schemes/spring/payments", "/vouchers", "/scenarios",
    ):  # fmt: skip
        answer = officer.get(f"{address}?format={kind}")
        assert answer.status_code == 200
        assert answer.content.startswith(begins), address
        assert answer["Content-Disposition"].endswith(f'.{kind}"')
    if kind == "csv":
        rows = officer.get("/vouchers?format=csv").content.decode("utf-8-sig").splitlines()
        assert rows[1].startswith("spring-00001,spring,firm,seller,")
        assert ",200000000,197800000,0,2200000,0," in rows[1]
        facts = browser().get(f"/plans/{PLAN}/targets/T3?format=csv").content.decode("utf-8-sig")
        assert "scenario.accepted" in facts
        assert voucher.number not in facts


def test_lists_take_as_many_queries_for_one_row_as_for_many(
    world: World, plan: Plan, scheme: Scheme, django_assert_max_num_queries: Any
) -> None:
    firm = seen_by(world.manager)
    for _ in range(3):
        apply(world, make_contract(world))
        scenarios.propose_scenario(
            world.member,
            evaluation=make_evaluation(world).pk,
            plan=PLAN,
            measure="6",
            title="分诊",
        )
        with django_assert_max_num_queries(12):
            firm.get("/vouchers")
        with django_assert_max_num_queries(12):
            firm.get("/scenarios")
