"""Plans brought in, superseded and compared; indicators as of a time."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from haihe.evidence.models import EvidenceEntry
from haihe.kernel.clock import now, use_clock
from haihe.kernel.errors import InvalidField, MissingRecord
from haihe.policy.domain import ANONYMOUS, Principal
from haihe.policy.errors import NotAllowed, NotSignedIn, ScopeMissing
from haihe.programme.errors import BadPlan, PlanExists
from haihe.programme.models import Plan
from haihe.programme.services import plans, scenarios
from tests.programme.factories import PLAN, PLAN_FILE, World, make_evaluation

pytestmark = pytest.mark.django_db
TEXT = PLAN_FILE.read_text("utf-8")


def version(number: int, *changes: tuple[str, str]) -> bytes:
    """The plan's file with a higher version and some texts replaced."""
    text = TEXT.replace("version = 1\n", f"version = {number}\n", 1)
    for before, after in changes:
        assert before in text
        text = text.replace(before, after, 1)
    return text.encode()


def test_only_the_officer_imports_a_plan(world: World) -> None:
    with pytest.raises(NotSignedIn):
        plans.import_plan(ANONYMOUS, PLAN_FILE)
    with pytest.raises(NotAllowed):
        plans.import_plan(world.manager, PLAN_FILE)
    assert not Plan.objects.exists()
    plan, changes = plans.import_plan(world.officer, PLAN_FILE)
    assert (plan.slug, plan.version, changes) == (PLAN, 1, [])
    entry = EvidenceEntry.objects.get(kind="plan.imported")
    assert entry.data["sha256"] == plan.sha256


def test_a_version_that_is_in_already_changes_nothing(world: World, plan: Plan) -> None:
    again, changes = plans.import_plan(world.officer, TEXT.encode())
    assert (again, changes) == (plan, [])
    assert EvidenceEntry.objects.filter(kind="plan.imported").count() == 1


def test_the_same_version_with_another_content_is_refused(world: World, plan: Plan) -> None:
    with pytest.raises(PlanExists):
        plans.import_plan(world.officer, TEXT.replace("value = 50", "value = 60").encode())
    assert Plan.objects.count() == 1


def test_a_lower_version_is_refused(world: World, plan: Plan) -> None:
    plans.import_plan(world.officer, version(3))
    with pytest.raises(PlanExists, match="Version 3"):
        plans.import_plan(world.officer, version(2))


def test_a_higher_version_supersedes_and_says_what_it_changes(world: World, plan: Plan) -> None:
    changed = version(2, ("value = 50\n", "value = 100\n"))
    _, preview = plans.preview_plan(ANONYMOUS, changed)
    new, changes = plans.import_plan(world.officer, changed)
    assert changes == preview
    [change] = changes
    assert (change.part, change.key, change.field) == ("target", "T1", "value")
    assert (change.before, change.after) == (50, 100)
    assert plans.find_plan(ANONYMOUS, PLAN) == new
    assert plans.find_plan(ANONYMOUS, PLAN, 1).superseded_at is not None
    assert [row.version for row in plans.versions_of(ANONYMOUS, PLAN)] == [2, 1]
    assert list(plans.list_plans(ANONYMOUS)) == [new]
    assert plans.compare_versions(ANONYMOUS, PLAN, old=1, new=2) == changes


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "lacks 'plan'"),
        (b"not toml at all", "is no TOML"),
        ('[plan]\nslug = "计划"'.encode("gb18030"), "is no TOML"),
        (b"x = 1 # " + b"." * plans.FILE_LIMIT_BYTES, "more than 5000000 bytes"),
        (version(1, ("begins = 2025-01-01", 'begins = "spring"')), "is no date"),
        (version(1, ('slug = "tianjin-2025-2027"', "slug = 1")), "slug is no text"),
        (version(1, ("value = 50\n", "value = inf\n")), "is not finite"),
        (version(1, ("value = 50\n", "value = 07:30:00\n")), "has no place in a plan"),
        (version(1, ("攻克关键核心技术", "\\u0000")), "NUL"),
        (b"a = " + b"[" * 2_000, "is no TOML"),
    ],
)
def test_a_bad_file_is_refused_by_name_and_changes_nothing(
    content: bytes, says: str, world: World
) -> None:
    with pytest.raises(BadPlan, match=says):
        plans.import_plan(world.officer, content)
    assert not Plan.objects.exists()


def test_a_slug_that_is_none_is_refused(world: World) -> None:
    with pytest.raises(InvalidField, match=r"\[plan\] slug"):
        plans.import_plan(world.officer, version(1, (f'"{PLAN}"', '"../etc"')))


def test_a_file_that_is_not_there_is_refused_by_name(world: World, tmp_path: Path) -> None:
    with pytest.raises(BadPlan, match="No such file"):
        plans.import_plan(world.officer, tmp_path / "none.toml")


def test_what_is_not_there_reads_as_missing(plan: Plan) -> None:
    with pytest.raises(MissingRecord, match="'other'"):
        plans.find_plan(ANONYMOUS, "other")
    with pytest.raises(MissingRecord, match="v9"):
        plans.find_plan(ANONYMOUS, PLAN, 9)
    with pytest.raises(MissingRecord, match="T99"):
        plans.find_indicator(ANONYMOUS, PLAN, "T99")


# --- indicators ----------------------------------------------------------------------------------


def accept(world: World) -> str:
    """A scenario of measure 6 that was proposed and accepted."""
    proposed = scenarios.propose_scenario(
        world.member, evaluation=make_evaluation(world).pk, plan=PLAN, measure="6", title="分诊"
    )
    return str(scenarios.accept_scenario(world.officer, proposed.pk).pk)


def test_an_indicator_counts_what_stood_at_its_instant(world: World, plan: Plan) -> None:
    begin = now()
    first = accept(world)
    after_one = now()
    accept(world)
    scenarios.revoke_scenario(world.officer, first, note="数据有误")
    values = {
        at: plans.find_indicator(ANONYMOUS, PLAN, "T3", as_of=at).observation
        for at in (begin, after_one, now())
    }
    assert [seen.value for seen in values.values() if seen] == [0, 1, 1]
    [fact] = values[after_one].facts  # type: ignore[union-attr]
    assert fact.subject == f"scenario:{first}"
    entry = EvidenceEntry.objects.get(id=fact.entry_id)
    assert entry.kind == "scenario.accepted"
    points = plans.indicator_history(ANONYMOUS, PLAN, "T3")
    assert [point.value for point in points] == [1, 2, 1]
    assert [p.value for p in plans.indicator_history(ANONYMOUS, PLAN, "T3", as_of=after_one)] == [1]


def test_a_target_without_a_rule_has_no_number(plan: Plan) -> None:
    found = {item.target.code: item for item in plans.list_indicators(ANONYMOUS)}
    assert found["T1"].observation is None
    assert not found["T1"].is_reached
    assert plans.indicator_history(ANONYMOUS, PLAN, "T1") == []
    assert found["T3"].observation is not None


def test_facts_of_another_plan_or_target_are_not_counted(world: World, plan: Plan) -> None:
    accept(world)
    other = version(1, (f'"{PLAN}"', '"other-city"'))
    plans.import_plan(world.officer, other)
    seen = plans.find_indicator(ANONYMOUS, "other-city", "T3").observation
    assert seen is not None
    assert seen.value == 0


def test_nobody_knows_the_figures_of_a_time_to_come(plan: Plan) -> None:
    with pytest.raises(InvalidField, match="give a time in the past"):
        plans.find_indicator(ANONYMOUS, PLAN, "T3", as_of=now() + timedelta(minutes=1))
    with pytest.raises(InvalidField, match="with its zone"):
        plans.find_indicator(ANONYMOUS, PLAN, "T3", as_of=datetime(2026, 1, 1))  # noqa: DTZ001


def test_a_figure_is_of_the_installed_clock(plan: Plan) -> None:
    at = now() + timedelta(days=1)
    with use_clock(lambda: at):
        seen = plans.find_indicator(ANONYMOUS, PLAN, "T3").observation
    assert seen is not None
    assert seen.as_of == at


def test_a_figure_of_the_past_stays_when_the_clock_is_set_back(world: World, plan: Plan) -> None:
    def value(as_of: datetime | None = None) -> int | None:
        seen = plans.find_indicator(ANONYMOUS, PLAN, "T3", as_of=as_of).observation
        return seen and seen.value

    begin = now()
    third = scenarios.propose_scenario(
        world.member, evaluation=make_evaluation(world).pk, plan=PLAN, measure="6", title="分诊"
    )
    accept(world)
    after_one = now()
    accept(world)
    with use_clock(lambda: begin - timedelta(hours=3)):
        scenarios.accept_scenario(world.officer, third.pk)
        assert value() == 3, "what happened since is seen at once"
        assert value(after_one) == 1, "and did not happen before"


def test_a_token_without_the_scope_reads_no_figure(world: World, plan: Plan) -> None:
    narrow = Principal(id=world.member.id, scopes=frozenset({"ledger"}))
    with pytest.raises(ScopeMissing):
        plans.list_indicators(narrow)
