"""Rules of plans, indicators and vouchers, over plain values."""

from __future__ import annotations

import copy
import tomllib
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haihe.evidence.labels import KINDS
from haihe.kernel.errors import Invalid
from haihe.kernel.money import MICRO
from haihe.programme.domain.changes import plan_difference
from haihe.programme.domain.indicators import Fact, history, observe, sampled
from haihe.programme.domain.plans import IndicatorRule, check_keys, check_kinds, plan_from
from haihe.programme.domain.scenarios import judge_evaluation
from haihe.programme.domain.vouchers import (
    ApplicationFacts,
    ceiling_micro,
    judge,
    last_day,
    rules_from,
)
from haihe.programme.errors import BadPlan, BadRules
from tests.programme.factories import DECLARED, PLAN_FILE, RULES

PLAN: dict[str, Any] = tomllib.loads(PLAN_FILE.read_text("utf-8"))
RULE_SET: dict[str, Any] = tomllib.loads(RULES.read_text("utf-8"))
RULE = IndicatorRule("scenario.accepted", "scenario.revoked")
ALL_KEYS = {"plan", "notes", "groups", "units", "measures", "targets", "systems"}.union(
    *(table for table in (PLAN["plan"], *PLAN["measures"], *PLAN["targets"], *PLAN["systems"])),
    ("zh", "en", "counts", "less", "upper", "indicator"),
)
DAY_ONE = datetime(2026, 1, 1, tzinfo=UTC)


# --- plans ---------------------------------------------------------------------------------------


def test_the_plan_that_comes_with_haihe_is_read_whole() -> None:
    plan = plan_from(PLAN)
    assert len(plan.targets) == 8
    assert len(plan.measures) == 20
    third = plan.target("T3")
    assert third is not None
    assert third.indicator == RULE
    assert third.value == 30
    assert plan.target_counting("scenario.accepted", measure="6") is third
    assert plan.target_counting("scenario.accepted", measure="12") is None
    units = [unit["en"] for unit in plan.responsible_units(third)]
    assert units[0] == "Science & Technology Bureau"
    assert len(units) == len(set(units))


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value inside a document."""
    inside: list[Any] = []
    if isinstance(value, dict):
        inside = list(value.items())
    elif isinstance(value, list):
        inside = list(enumerate(value))
    here = [path] if path else []
    return here + [found for key, item in inside for found in paths(item, (*path, key))]


ODD = st.sampled_from(
    [None, True, -1, 0, 1.5, 10**12, "", " ", "x", "T1", "6", [], [1], {}, {"zh": "只有中文"}]
)


@given(st.sampled_from(paths(PLAN)), ODD | st.just("remove"))
def test_a_plan_with_one_odd_value_is_read_or_refused_by_name(path: Any, value: Any) -> None:
    data = copy.deepcopy(PLAN)
    place: Any = data
    for key in path[:-1]:
        place = place[key]
    if value == "remove":
        del place[path[-1]]
    else:
        place[path[-1]] = value
    try:
        plan_from(data)
    except Invalid as error:
        assert str(error)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d["targets"].append(d["targets"][0]), "targets has T1 twice"),
        (lambda d: d["targets"][0].update(measures=["99"]), "names measure 99"),
        (lambda d: d["measures"][0].update(units=["nobody"]), "lacks 'nobody'"),
        (lambda d: d["measures"][0].update(group="V"), "lacks 'V'"),
        (lambda d: d["targets"][0].update(comparison="about"), "compares 'about'"),
        (
            lambda d: d["targets"][0].update(title={"zh": "只有中文"}),
            "needs a text in zh and in en",
        ),
        (lambda d: d["targets"][6].update(upper=1), "upper value below its lower one"),
        (lambda d: d["plan"].update(ends="2024-01-01"), "is before its beginning"),
        (lambda d: d["plan"].update(begins="soon"), "is no date"),
        (lambda d: d["systems"][0].update(role="own"), "role 'own'"),
    ],
)
def test_a_plan_that_contradicts_itself_is_refused_with_the_place(change: Any, says: str) -> None:
    data = copy.deepcopy(PLAN)
    change(data)
    with pytest.raises(BadPlan, match=says):
        plan_from(data)


def test_a_difference_names_each_part_and_field() -> None:
    new = copy.deepcopy(PLAN)
    new["targets"][0]["value"] = 100
    new["targets"][2]["indicator"]["less"] = "scenario.declined"
    del new["systems"][0]
    new["measures"].append({**new["measures"][0], "id": "18"})
    changes = {
        (c.part, c.key, c.kind, c.field): (c.before, c.after)
        for c in plan_difference(plan_from(PLAN), plan_from(new))
    }
    assert changes.pop(("target", "T1", "changed", "value")) == (50, 100)
    assert changes.pop(("target", "T3", "changed", "indicator")) == (
        "scenario.accepted - scenario.revoked",
        "scenario.accepted - scenario.declined",
    )
    assert changes.pop(("measure", "18", "added", "")) == (None, None)
    assert changes.pop(("system", PLAN["systems"][0]["id"], "removed", "")) == (None, None)
    assert not changes


def test_a_new_version_shows_what_it_changes_of_the_plan_itself() -> None:
    """As Tianjin's was: adopted, under a changed title."""
    new = copy.deepcopy(PLAN)
    new["plan"].update(version=2, status="adopted", title={"zh": "新", "en": "New"})
    new["plan"].update(ends="2030-12-31", source={"zh": "印发稿", "en": "As issued"})
    del new["notes"]
    changes = {
        c.field: (c.before, c.after)
        for c in plan_difference(plan_from(PLAN), plan_from(new))
        if c.part == "plan"
    }
    assert set(changes) == {"title", "status", "ends", "source", "notes"}
    assert changes["status"] == ("draft-for-comment", "adopted")
    assert changes["ends"] == ("2027-12-31", "2030-12-31")
    assert changes["notes"][1] == ()


def tables(value: Any) -> list[dict[str, Any]]:
    """Every table of a plan file whose keys are fixed, the outermost first."""
    found = [value, value["plan"], *value["notes"], *value["measures"], *value["targets"]]
    return [
        *found,
        *value["systems"],
        *(t["indicator"] for t in value["targets"] if "indicator" in t),
    ]


@given(data=st.data(), word=st.text(min_size=1).filter(lambda w: w not in ALL_KEYS))
def test_a_key_that_nothing_reads_is_refused(data: st.DataObject, word: str) -> None:
    check_keys(PLAN)
    plan = copy.deepcopy(PLAN)
    data.draw(st.sampled_from(tables(plan)))[word] = "x"
    with pytest.raises(BadPlan, match="which is not read"):
        check_keys(plan)


def test_an_indicator_counts_only_what_is_ever_recorded() -> None:
    check_kinds(plan_from(PLAN), KINDS)
    wrong = copy.deepcopy(PLAN)
    wrong["targets"][2]["indicator"] = {"counts": "scenario.acepted"}
    with pytest.raises(BadPlan, match=r"target T3 indicator .*scenario\.acepted"):
        check_kinds(plan_from(wrong), KINDS)


# --- indicators ----------------------------------------------------------------------------------

moves = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from(["scenario.accepted", "scenario.revoked", "scenario.proposed"]),
        st.sampled_from(["s1", "s2", "s3"]),
    ),
    max_size=30,
)


def logged(steps: list[tuple[int, str, str]]) -> list[Fact]:
    """Facts in the order of a log whose time never goes back."""
    facts, at = [], DAY_ONE
    for number, (days, kind, subject) in enumerate(steps):
        at += timedelta(days=days)
        facts.append(Fact(f"e{number}", at, kind, subject))
    return facts


def by_definition(facts: list[Fact], at: datetime) -> set[str]:
    """The subjects that stand at an instant, told fact by fact."""
    standing: set[str] = set()
    for fact in facts:
        if fact.at <= at and fact.kind == RULE.counts:
            standing.add(fact.subject)
        if fact.at <= at and fact.kind == RULE.less:
            standing.discard(fact.subject)
    return standing


@given(moves, st.integers(-1, 100))
def test_an_observation_counts_what_stands_at_its_instant(
    steps: list[tuple[int, str, str]], days: int
) -> None:
    facts, at = logged(steps), DAY_ONE + timedelta(days=days)
    seen = observe(RULE, facts, as_of=at)
    assert {fact.subject for fact in seen.facts} == by_definition(facts, at)
    assert seen.value == len(seen.facts)
    assert all(fact.kind == RULE.counts and fact.at <= at for fact in seen.facts)


@given(moves)
def test_the_history_says_at_every_instant_what_an_observation_says(
    steps: list[tuple[int, str, str]],
) -> None:
    facts = logged(steps)
    points = history(RULE, facts)
    assert [point.at for point in points] == sorted({point.at for point in points})
    for point in points:
        assert observe(RULE, facts, as_of=point.at).value == point.value
        before = observe(RULE, facts, as_of=point.at - timedelta(seconds=1)).value
        earlier = [other.value for other in points if other.at < point.at]
        assert before == (earlier[-1] if earlier else 0)


@given(moves, st.integers(2, 20), st.integers(1, 60))
def test_a_chart_shows_the_value_of_each_of_its_instants(
    steps: list[tuple[int, str, str]], samples: int, days: int
) -> None:
    facts, ends = logged(steps), DAY_ONE + timedelta(days=days)
    shown = sampled(history(RULE, facts), begins=DAY_ONE, ends=ends, steps=samples)
    assert (shown[0].at, shown[-1].at, len(shown)) == (DAY_ONE, ends, samples)
    assert all(observe(RULE, facts, as_of=point.at).value == point.value for point in shown)


def test_a_chart_of_no_time_is_empty() -> None:
    assert sampled([], begins=DAY_ONE, ends=DAY_ONE, steps=5) == []


# --- vouchers ------------------------------------------------------------------------------------

GOOD = ApplicationFacts(
    applied_on=date(2026, 3, 1),
    opens_on=date(2026, 1, 1),
    closes_on=date(2026, 12, 31),
    amount_micro=200 * MICRO,
    applicant_kind="enterprise",
    contract_micro=1_500 * MICRO,
    eligible_micro=1_000 * MICRO,
    contract_signed_on=date(2026, 2, 1),
    contract_begins_on=date(2026, 2, 1),
    contract_ends_on=date(2027, 1, 31),
    other_vouchers=(),
    granted_this_year_micro=0,
    pool_micro=10_000 * MICRO,
    relation=None,
    declared=frozenset(DECLARED),
)


def test_a_good_application_meets_every_condition() -> None:
    verdicts = judge(rules_from(RULE_SET), GOOD)
    assert all(verdict.met for verdict in verdicts)
    assert {clause["code"] for clause in RULE_SET["conditions"]} == {v.condition for v in verdicts}


def test_rules_hold_after_their_time_only_where_schemes_adopted_them() -> None:
    adopted, passed = rules_from(RULE_SET), replace(rules_from(RULE_SET), is_adopted=False)
    [late] = [v for v in judge(passed, GOOD) if not v.met]
    assert late.condition == "rules-in-force"
    assert (late.value, late.threshold) == (
        "applied on 2026-03-01",
        "from 2023-09-01 to 2025-12-31",
    )
    [stated] = [v for v in judge(adopted, GOOD) if v.condition == "rules-in-force"]
    assert stated.threshold.endswith("by the scheme's own decision")
    early = replace(GOOD, applied_on=date(2023, 8, 31), opens_on=date(2023, 1, 1))
    assert [v.condition for v in judge(adopted, early) if not v.met] == ["rules-in-force"]
    silent = copy.deepcopy(RULE_SET)
    del silent["rules"]["adopted_by_schemes"]
    assert not rules_from(silent).is_adopted


@pytest.mark.parametrize(
    ("begins", "last"),
    [
        (date(2026, 1, 1), date(2026, 12, 31)),
        (date(2027, 3, 1), date(2028, 2, 29)),  # 366 days, and a year
        (date(2028, 2, 29), date(2029, 2, 28)),
        (date(2026, 12, 15), date(2027, 12, 14)),
    ],
)
def test_a_year_ends_on_the_day_before_its_anniversary(begins: date, last: date) -> None:
    assert last_day(begins, 12) == last


def test_rules_of_before_terms_were_counted_in_months_are_still_read() -> None:
    old = copy.deepcopy(RULE_SET)
    del old["rules"]["contract_months_at_most"], old["remarks"]
    old["rules"]["contract_days_at_most"] = 366
    assert rules_from(old).contract_months_at_most == 12


@pytest.mark.parametrize(
    ("change", "condition", "value", "threshold"),
    [
        ({"applied_on": date(2025, 12, 31)}, "scheme-window", "2025-12-31", "2026-01-01"),
        ({"applied_on": date(2027, 1, 1)}, "scheme-window", "2027-01-01", "2026-12-31"),
        ({"applicant_kind": "hospital"}, "applicant-kind", "hospital", "enterprise"),
        ({"contract_signed_on": None}, "contract-window", "not signed", "2023-09-01"),
        ({"contract_signed_on": date(2023, 8, 31)}, "contract-window", "2023-08-31", "2023-09-01"),
        ({"contract_ends_on": date(2027, 2, 1)}, "contract-term", "2027-02-01", "2027-01-31"),
        ({"contract_micro": 999 * MICRO}, "eligible-cost", "1,000.00", "of 999.00 CNY"),
        ({"other_vouchers": ("v-1",)}, "one-voucher-per-contract", "v-1", "no other voucher"),
        ({"relation": ("A", "B")}, "unrelated-provider", "A - B", "25 %"),
        ({"amount_micro": 200 * MICRO + 1}, "ratio", "200.000001", "at most 20 % of 1,000.00"),
        (
            {"granted_this_year_micro": 2_000_000 * MICRO - 200 * MICRO + 1},
            "cap", "2,000,000.000001", "at most 2,000,000.00",
        ),
        ({"pool_micro": 200 * MICRO - 1}, "pool", "200.00 CNY", "at most 199.999999 CNY"),
        (
            {"declared": frozenset({"registered-in-region", "sector"})},
            "declarations", "missing no-other-subsidy", "sector",
        ),
    ],
)  # fmt: skip
def test_one_condition_that_is_not_met_is_named_with_value_and_threshold(
    change: dict[str, Any], condition: str, value: str, threshold: str
) -> None:
    unmet = [v for v in judge(rules_from(RULE_SET), replace(GOOD, **change)) if not v.met]
    assert [v.condition for v in unmet] == [condition]
    assert value in unmet[0].value
    assert threshold in unmet[0].threshold


@pytest.mark.parametrize(
    "change",
    [
        {"amount_micro": 200 * MICRO},
        {"contract_ends_on": date(2027, 1, 31)},
        {"contract_micro": 1_000 * MICRO},
        {"contract_signed_on": date(2023, 9, 1)},
        {"granted_this_year_micro": 2_000_000 * MICRO - 200 * MICRO},
        {"pool_micro": 200 * MICRO},
        {"applied_on": date(2026, 12, 31)},
    ],
)
def test_a_value_at_its_threshold_is_met(change: dict[str, Any]) -> None:
    assert all(v.met for v in judge(rules_from(RULE_SET), replace(GOOD, **change)))


@given(
    eligible=st.integers(1, 10**13),
    granted=st.integers(0, 3 * 10**12),
    pool=st.integers(0, 10**13),
)
def test_the_ceiling_is_the_most_that_meets_ratio_cap_and_pool(
    eligible: int, granted: int, pool: int
) -> None:
    rules = rules_from(RULE_SET)
    facts = replace(
        GOOD,
        contract_micro=eligible,
        eligible_micro=eligible,
        granted_this_year_micro=granted,
        pool_micro=pool,
    )
    most = ceiling_micro(rules, facts)

    def is_met(amount_micro: int) -> bool:
        verdicts = judge(rules, replace(facts, amount_micro=amount_micro))
        return all(v.met for v in verdicts if v.condition in ("ratio", "cap", "pool"))

    assert not is_met(most + 1)
    assert most == 0 or is_met(most)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d.pop("rules"), "lacks 'rules'"),
        (lambda d: d["rules"].pop("ratio_percent"), "lacks 'ratio_percent'"),
        (lambda d: d["rules"].update(ratio_percent=0), "from 1 to 100"),
        (lambda d: d["rules"].update(ratio_percent=101), "from 1 to 100"),
        (lambda d: d["rules"].update(ratio_percent=True), "from 1 to 100"),
        (lambda d: d["rules"].update(cap_per_firm_and_year="-1"), "positive amount"),
        (lambda d: d["rules"].update(cap_per_firm_and_year=5), "is no text"),
        (lambda d: d["rules"].update(title={"zh": "只有"}), "lacks 'en'"),
        (lambda d: d["rules"].update(contract_from="1 May"), "Invalid isoformat"),
        (lambda d: d["rules"].update(applicants="enterprise"), "is no list"),
        (lambda d: d["rules"].update(adopted_by_schemes="yes"), "neither true nor false"),
        (lambda d: d["rules"].update(contract_months_at_most=0), "from 1 to 1200"),
        (lambda d: d.update(conditions={}), "is no list"),
        (lambda d: d["conditions"][0].pop("status"), "lacks 'status'"),
        (lambda d: d["declarations"].append("x"), "cannot be read"),
    ],
)
def test_a_bad_rule_set_is_refused_with_the_place(change: Any, says: str) -> None:
    data = copy.deepcopy(RULE_SET)
    change(data)
    with pytest.raises(BadRules, match=says):
        rules_from(data)


# --- scenarios -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("score", "permuted", "unmet"),
    [
        (0.9, 0.5, []),
        (0.5, 0.5, ["score"]),
        (0.9, 0.61, ["permuted-label control"]),
        (0.9, 0.39, ["permuted-label control"]),
        (0.4, 0.9, ["score", "permuted-label control"]),
    ],
)
def test_an_evaluation_convinces_above_its_baseline_and_at_chance_when_shuffled(
    score: float, permuted: float, unmet: list[str]
) -> None:
    verdicts = judge_evaluation(score=score, baseline=0.5, permuted=permuted)
    assert [verdict.condition for verdict in verdicts if not verdict.met] == unmet
