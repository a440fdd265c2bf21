"""The programme on the command line."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest
from django.utils import translation

from haihe.kernel.money import MICRO
from haihe.kernel.terminal import NO_CONSENT, exit_code_of
from haihe.policy.errors import NotAllowed, PersonNeeded
from haihe.programme.errors import BadPlan, VoucherRefused
from haihe.programme.models import Plan, Scheme
from tests.callers import haihe, said
from tests.programme.factories import (
    DECLARED,
    PLAN,
    PLAN_FILE,
    World,
    apply,
    grant,
    make_contract,
    make_evaluation,
    make_job,
    settle,
)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal in which no table wraps."""
    monkeypatch.setenv("COLUMNS", "300")


def test_a_plan_from_import_to_its_indicators(world: World, tmp_path: Path) -> None:
    assert isinstance(
        haihe("plan", "import", PLAN_FILE, "--yes", caller=world.manager).exception, NotAllowed
    )
    asked = haihe("plan", "import", PLAN_FILE, caller=world.officer, input="n\n")
    assert asked.exit_code == NO_CONSENT
    assert "8 targets, 20 measures" in asked.stderr
    said(haihe("plan", "import", PLAN_FILE, "--yes", "--json", caller=world.officer))
    newer = tmp_path / "plan.toml"
    text = PLAN_FILE.read_text("utf-8").replace("version = 1\n", "version = 2\n", 1)
    newer.write_text(text.replace("value = 50\n", "value = 100\n"), "utf-8")
    [change] = said(haihe("plan", "diff", "--file", newer, "--json"))["items"]
    assert (change["key"], change["before"], change["after"]) == ("T1", 50, 100)
    asked = haihe("plan", "import", newer, "--yes", caller=world.officer)
    assert "target T1, value: 50 -> 100" in asked.stderr
    assert said(haihe("plan", "diff", PLAN, "--json"))["items"] == [change]
    assert "target T1, value" in haihe("plan", "diff", PLAN, "--old", 1, "--new", 2).output
    assert haihe("plan", "diff").exception is not None
    [listed] = said(haihe("plan", "list", "--json"))["items"]
    assert (listed["slug"], listed["version"]) == (PLAN, 2)
    assert said(haihe("plan", "show", PLAN, "--version", 1, "--json"))["targets"][0]["value"] == 50
    assert "Benchmark AI application scenarios" in haihe("plan", "show", PLAN).output
    rows = said(haihe("indicator", "list", "--json"))["items"]
    assert {row["target"]: row["value"] for row in rows}["T3"] == 0
    assert said(haihe("plan", "chain", "--json"))["targets"] == 8


def test_a_bad_plan_file_is_named(world: World, tmp_path: Path) -> None:
    broken = tmp_path / "plan.toml"
    broken.write_text("x")
    error = haihe("plan", "import", broken, "--yes", caller=world.officer).exception
    assert isinstance(error, BadPlan)
    assert exit_code_of(error) == 2


def test_a_figure_opens_on_the_command_line(world: World, plan: Plan) -> None:
    evaluation = make_evaluation(world)
    propose = ["scenario", "propose", evaluation.pk, "--plan", PLAN, "--measure", 6]
    propose += ["--title", "分诊", "--title-en", "Triage"]
    assert haihe(*propose, caller=world.member, input="n\n").exit_code == NO_CONSENT
    proposed = said(haihe(*propose, "--yes", "--json", caller=world.member))
    accept = ["scenario", "accept", proposed["id"]]
    assert isinstance(haihe(*accept, "--yes", caller=world.manager).exception, NotAllowed)
    assert isinstance(haihe(*accept, "--yes").exception, PersonNeeded)
    asked = haihe(*accept, caller=world.officer, input="n\n")
    assert "Accept Triage of Firm." in asked.stderr
    said(haihe(*accept, "--yes", "--json", caller=world.officer))
    seen = said(haihe("indicator", "show", PLAN, "T3", "--json", caller=world.member))
    assert seen["value"] == 1
    assert seen["facts"][0]["job"] == str(evaluation.job_id)
    past = said(haihe("indicator", "show", PLAN, "T3", "--as-of", "2025-06-30", "--json"))
    assert (past["value"], past["as_of"][:10]) == (0, "2025-06-30")
    assert haihe("indicator", "show", PLAN, "T3", "--as-of", "soon").exception is not None
    assert (
        "Triage" in haihe("scenario", "list").output or "分诊" in haihe("scenario", "list").output
    )
    assert said(haihe("scenario", "show", proposed["id"], "--json"))["state"] == "accepted"
    revoke = ["scenario", "revoke", proposed["id"], "--note", "数据有误", "--yes", "--json"]
    assert said(haihe(*revoke, caller=world.officer))["state"] == "revoked"
    other = make_evaluation(world)
    propose[2] = other.pk
    second = said(haihe(*propose, "--yes", "--json", caller=world.member))
    decline = ["scenario", "decline", second["id"], "--note", "不属于", "--yes", "--json"]
    assert said(haihe(*decline, caller=world.officer))["state"] == "declined"


def test_a_scheme_is_opened_funded_and_shown(world: World) -> None:
    make = ["scheme", "open", "autumn", "--title", "秋季", "--office", "office"]
    make += ["--rules", "beijing-2023", "--opens", "2026-01-01", "--closes", "2036-12-31"]
    assert isinstance(haihe(*make, "--yes", caller=world.manager).exception, NotAllowed)
    assert haihe(*make, caller=world.officer, input="n\n").exit_code == NO_CONSENT
    assert not Scheme.objects.exists()
    said(haihe(*make, "--yes", "--json", caller=world.officer))
    fund = ["scheme", "fund", "autumn", "--amount", "1000.50", "--reference", "2026-1"]
    asked = haihe(*fund, caller=world.officer, input="n\n")
    assert "1,000.50 CNY" in asked.stderr
    once = ("--id", str(uuid4()), "--yes", "--json")
    for _ in range(2):  # the same id funds once
        funded = said(haihe(*fund, *once, caller=world.officer))
        assert funded["pool_micro"] == 1_000_500_000
    assert "1,000.50 CNY" in haihe("scheme", "list").output
    shown = haihe("scheme", "show", "autumn").output
    assert "one-voucher-per-contract" in shown
    assert said(haihe("scheme", "show", "autumn", "--json"))["rule_set"]["ratio_percent"] == 20


def test_a_voucher_from_check_to_payment(world: World, scheme: Scheme) -> None:
    contract = make_contract(world, eligible_micro=1_000 * MICRO)
    wanted = ["spring", "--contract", contract.number, "--amount", "200"]
    for code in DECLARED:
        wanted += ["--declare", code]
    check = said(haihe("voucher", "check", *wanted, "--json", caller=world.manager))
    assert (check["passes"], check["most_micro"]) == (True, 200 * MICRO)
    over = haihe("voucher", "check", *wanted[:4], "250", caller=world.manager)
    assert over.exit_code == exit_code_of(VoucherRefused(condition="", value="", threshold=""))
    assert "ratio" in over.output
    asked = haihe("voucher", "apply", *wanted, caller=world.manager, input="n\n")
    assert (asked.exit_code, "200.00 CNY" in asked.stderr) == (NO_CONSENT, True)
    made = said(haihe("voucher", "apply", *wanted, "--yes", "--json", caller=world.manager))
    number = made["number"]
    approve = ["voucher", "approve", number]
    assert isinstance(haihe(*approve, "--yes", caller=world.manager).exception, NotAllowed)
    asked = haihe(*approve, caller=world.officer, input="n\n")
    assert f"Grant 200.00 CNY to Firm ({number})." in asked.stderr
    said(haihe(*approve, "--yes", "--json", caller=world.officer))
    settle(make_job(world, contract, hours=10), hours=10)
    shown = said(haihe("voucher", "show", number, "--json"))
    assert (shown["redeemed_micro"], shown["state"]) == (2 * MICRO, "reserved")
    assert "2.00 CNY" in haihe("voucher", "show", number).output
    with translation.override("zh-hans"):
        spoken = haihe("voucher", "show", number).output
    assert "无其他" in spoken or "元" in spoken
    assert "at most" not in spoken
    [claim] = said(haihe("voucher", "claims", "spring", "--json"))["items"]
    assert (claim["provider"], claim["amount_micro"]) == ("seller", 2 * MICRO)
    pay = ["voucher", "pay", "spring", "--provider", "seller"]
    assert haihe(*pay, caller=world.officer, input="n\n").exit_code == NO_CONSENT
    paid = said(haihe(*pay, "--yes", "--json", caller=world.officer))
    assert paid["amount_micro"] == 2 * MICRO
    assert haihe(*pay, "--yes", caller=world.officer).exception is not None


def test_vouchers_are_refused_withdrawn_closed_and_listed(world: World, scheme: Scheme) -> None:
    first, second = (apply(world, make_contract(world)).number for _ in range(2))
    refuse = ["voucher", "refuse", first, "--note", "附件不全", "--yes", "--json"]
    assert said(haihe(*refuse, caller=world.officer))["note"] == "附件不全"
    withdraw = ["voucher", "withdraw", second, "--yes", "--json"]
    assert said(haihe(*withdraw, caller=world.manager))["state"] == "withdrawn"
    granted = grant(world, make_contract(world))
    close = haihe("voucher", "close", granted.number, "--yes", caller=world.officer)
    assert exit_code_of(close.exception) == 5  # type: ignore[arg-type]
    page = said(haihe("voucher", "list", "--limit", 2, "--json"))
    assert len(page["items"]) == 2
    rest = said(haihe("voucher", "list", "--cursor", page["next_cursor"], "--json"))
    assert [row["number"] for row in rest["items"]] == [first]
    assert first in haihe("voucher", "list", "--state", "refused", caller=world.member).output
    assert said(haihe("voucher", "list", "--json", caller=world.stranger))["items"] == []
