"""Scenarios: proposed on evidence, decided by somebody else, counted, and taken back."""

from __future__ import annotations

from typing import Any

import pytest

from haihe.evidence.models import EvidenceEntry
from haihe.kernel.errors import InvalidField, MissingRecord, WrongState
from haihe.packs.models import Evaluation
from haihe.policy.domain import ANONYMOUS, Principal, system_principal
from haihe.policy.errors import NotAllowed, NotSignedIn, ScopeMissing
from haihe.programme.errors import AlreadyProposed, ScenarioRefused
from haihe.programme.models import Plan, Scenario, Scheme
from haihe.programme.services import plans, scenarios
from haihe.programme.services.chain import link_of, links_of, trail_of
from tests.programme.factories import PLAN, World, grant, make_contract, make_evaluation

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("plan")]
CONSOLE = system_principal("console")


def propose(world: World, evaluation: Evaluation, **fields: Any) -> Scenario:
    wanted = {"plan": PLAN, "measure": "6", "title": "分诊", "title_en": "Triage", **fields}
    return scenarios.propose_scenario(world.member, evaluation=evaluation.pk, **wanted)


def value() -> int:
    seen = plans.observe_indicator(ANONYMOUS, PLAN, "T3")
    assert seen is not None
    return seen.value


def test_only_who_works_for_the_organisation_proposes(world: World) -> None:
    evaluation = make_evaluation(world)
    fields = {"evaluation": evaluation.pk, "plan": PLAN, "measure": "6", "title": "分诊"}
    for caller, error in (
        (ANONYMOUS, NotSignedIn), (world.stranger, NotAllowed), (world.officer, NotAllowed),
    ):  # fmt: skip
        with pytest.raises(error):
            scenarios.propose_scenario(caller, **fields)
    proposed = scenarios.propose_scenario(world.member, **fields)
    assert proposed.state == "proposed"
    assert value() == 0


@pytest.mark.parametrize(
    ("change", "condition"),
    [
        ({"score": 0.5}, "score"),
        ({"permuted": 0.7}, "permuted-label control"),
        ({"permuted": None}, "state"),
        ({"baseline": None}, "state"),
    ],
)
def test_what_shows_nothing_is_refused(
    change: dict[str, Any], condition: str, world: World
) -> None:
    with pytest.raises(ScenarioRefused) as caught:
        propose(world, make_evaluation(world, **change))
    assert caught.value.condition == condition
    assert not Scenario.objects.exists()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"measure": "99"}, MissingRecord),
        ({"plan": "other"}, MissingRecord),
        ({"title": " "}, InvalidField),
        ({"title": "x" * 201}, InvalidField),
        ({"title_en": "x" * 201}, InvalidField),
    ],
)
def test_a_bad_proposal_is_refused_by_name(
    change: dict[str, str], error: type[Exception], world: World
) -> None:
    with pytest.raises(error):
        propose(world, make_evaluation(world), **change)


def test_an_evaluation_is_proposed_once(world: World) -> None:
    evaluation = make_evaluation(world)
    first = propose(world, evaluation)
    with pytest.raises(AlreadyProposed, match=str(first.pk)):
        propose(world, evaluation)


def test_only_an_officer_outside_the_organisation_decides(world: World) -> None:
    scenario = propose(world, make_evaluation(world))
    for caller, error in (
        (ANONYMOUS, NotSignedIn),
        (world.manager, NotAllowed),
        (world.stranger, NotAllowed),
        (world.auditor, NotAllowed),
    ):
        with pytest.raises(error):
            scenarios.accept_scenario(caller, scenario.pk)
        with pytest.raises(error):
            scenarios.decline_scenario(caller, scenario.pk, note="no")
    assert value() == 0


def test_acceptance_counts_and_publishes_and_revoking_takes_both_back(world: World) -> None:
    evaluation = make_evaluation(world)
    scenario = propose(world, evaluation)
    assert not scenarios.list_scenarios(ANONYMOUS).exists()
    scenarios.accept_scenario(world.officer, scenario.pk, note="好")
    evaluation.refresh_from_db()
    assert (value(), evaluation.is_public) == (1, True)
    assert list(scenarios.list_scenarios(ANONYMOUS)) == [scenario]
    with pytest.raises(WrongState):
        scenarios.accept_scenario(world.colleague, scenario.pk)
    with pytest.raises(InvalidField):
        scenarios.revoke_scenario(world.officer, scenario.pk, note="")
    scenarios.revoke_scenario(world.colleague, scenario.pk, note="数据有误")
    evaluation.refresh_from_db()
    assert (value(), evaluation.is_public) == (0, False)
    assert not scenarios.list_scenarios(ANONYMOUS).exists()


def test_a_declined_proposal_counts_nothing_and_needs_its_reason(world: World) -> None:
    scenario = propose(world, make_evaluation(world))
    with pytest.raises(InvalidField):
        scenarios.decline_scenario(world.officer, scenario.pk, note=" ")
    declined = scenarios.decline_scenario(world.officer, scenario.pk, note="不属于该任务")
    assert (declined.state, value()) == ("declined", 0)
    with pytest.raises(WrongState):
        scenarios.revoke_scenario(world.officer, scenario.pk, note="x")


def test_evidence_names_the_target_that_counts_the_measure(world: World) -> None:
    """Nothing of one city's plan is in the code: the target comes from the plan."""
    counted, uncounted = make_evaluation(world), make_evaluation(world)
    for evaluation, measure in ((counted, "6"), (uncounted, "12")):
        scenario = propose(world, evaluation, measure=measure)
        scenarios.accept_scenario(world.officer, scenario.pk)
    entries = EvidenceEntry.objects.filter(kind="scenario.accepted").order_by("index")
    assert [entry.data["target"] for entry in entries] == ["T3", ""]
    assert value() == 1


def test_proposals_are_seen_by_their_organisation_the_office_and_the_auditor(
    world: World,
) -> None:
    scenario = propose(world, make_evaluation(world))
    for caller in (world.member, world.officer, world.auditor, CONSOLE):
        assert list(scenarios.list_scenarios(caller)) == [scenario]
        assert scenarios.find_scenario(caller, scenario.pk) == scenario
    for stranger, error in ((world.stranger, NotAllowed), (ANONYMOUS, NotSignedIn)):
        assert not scenarios.list_scenarios(stranger).exists()
        with pytest.raises(error):
            scenarios.find_scenario(stranger, scenario.pk)
    assert not scenarios.list_scenarios(world.member, state="accepted").exists()
    assert list(scenarios.list_scenarios(world.member, measure="6")) == [scenario]
    with pytest.raises(InvalidField):
        scenarios.list_scenarios(world.member, state="lost")
    narrow = Principal(id=world.member.id, scopes=frozenset({"programme"}))
    with pytest.raises(ScopeMissing):
        scenarios.list_scenarios(narrow)


# --- the chain below a figure --------------------------------------------------------------------


@pytest.fixture
def accepted(world: World, scheme: Scheme) -> Scenario:
    """A scenario that rests on a job that a voucher paid a part of."""
    contract = make_contract(world)
    grant(world, contract)
    scenario = propose(world, make_evaluation(world, contract))
    return scenarios.accept_scenario(world.officer, scenario.pk)


def test_a_figure_opens_down_to_the_voucher_for_who_may_read_it(
    world: World, accepted: Scenario
) -> None:
    seen = plans.observe_indicator(ANONYMOUS, PLAN, "T3")
    assert seen is not None
    [link] = links_of(world.manager, seen.facts)
    job = accepted.evaluation.job
    assert link.scenario == accepted
    assert link.job == job
    assert link.settlement == job.settlement
    assert link.voucher is not None
    assert link.voucher.number == "spring-00001"
    [public] = links_of(ANONYMOUS, seen.facts)
    assert public.scenario == accepted
    assert (public.job, public.settlement, public.voucher) == (None, None, None)
    [office] = links_of(world.officer, seen.facts)
    assert (office.job, office.voucher) == (None, link.voucher)


def test_a_fact_about_something_else_stands_alone(world: World, accepted: Scenario) -> None:
    seen = plans.observe_indicator(ANONYMOUS, PLAN, "T3")
    assert seen is not None
    other = seen.facts[0].__class__("e", seen.as_of, "pilot.opened", "pilot:1")
    [link] = links_of(world.manager, [other])
    assert (link.fact, link.scenario, link.job) == (other, None, None)


def test_the_trail_shows_every_step_in_the_order_of_the_log(
    world: World, accepted: Scenario
) -> None:
    kinds = [entry.kind for entry in trail_of(world.manager, link_of(world.manager, accepted))]
    assert kinds == [
        "contract.drawn_up",
        "contract.signed",
        "voucher.applied",
        "voucher.reserved",
        "job.submitted",
        "job.settled",
        "scenario.proposed",
        "scenario.accepted",
    ]
    assert trail_of(ANONYMOUS, link_of(ANONYMOUS, accepted)) == []


def test_the_chain_is_read_with_as_many_queries_for_one_fact_as_for_many(
    world: World, accepted: Scenario, django_assert_num_queries: Any
) -> None:
    for _ in range(3):
        scenario = propose(world, make_evaluation(world))
        scenarios.accept_scenario(world.officer, scenario.pk)
    seen = plans.observe_indicator(ANONYMOUS, PLAN, "T3")
    assert seen is not None
    for facts in (seen.facts[:1], seen.facts):
        with django_assert_num_queries(2):
            assert len(links_of(world.manager, facts)) == len(facts)


def test_the_plan_of_a_scenario_is_the_version_it_was_proposed_under(
    world: World, plan: Plan, accepted: Scenario
) -> None:
    text = plans.file_in("plans", f"{PLAN}.toml").read_text("utf-8")
    plans.import_plan(world.officer, text.replace("version = 1\n", "version = 2\n", 1).encode())
    accepted.refresh_from_db()
    assert accepted.plan == plan
    assert value() == 1
