"""The chain's counts are exact at a cost that does not grow; next steps fit who asks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from time import sleep
from typing import Any

import pytest
from django.core.cache import cache

from haihe.compute.models import Job, Quote, UsageRecord
from haihe.compute.services.contracts import sign_contract
from haihe.kernel.clock import now, use_clock
from haihe.parties.services import principal_of
from haihe.policy.domain import ANONYMOUS
from haihe.policy.errors import ScopeMissing
from haihe.programme.models import Plan, Scheme
from haihe.programme.services import overview, plans, scenarios, vouchers
from haihe.programme.services.overview import next_steps, read_overview
from tests.factories import make_member, make_organisation, make_person
from tests.programme.factories import (
    PLAN,
    PLAN_FILE,
    World,
    apply,
    grant,
    make_contract,
    make_evaluation,
    make_job,
    make_scheme,
)

pytestmark = pytest.mark.django_db


def codes(principal: Any) -> dict[str, int]:
    return {step.code: step.count for step in next_steps(principal)}


def test_everybody_sees_how_much_of_each_step_there_is(
    world: World, plan: Plan, scheme: Scheme
) -> None:
    contract = make_contract(world)
    grant(world, contract)
    apply(world, make_contract(world))
    evaluation = make_evaluation(world, contract)
    make_job(world, contract)
    scenario = scenarios.propose_scenario(
        world.member, evaluation=evaluation.pk, plan=PLAN, measure="6", title="分诊"
    )
    scenarios.accept_scenario(world.officer, scenario.pk)
    found = read_overview(ANONYMOUS)
    assert found.counts == {
        "targets": 8,
        "schemes": 1,
        "applications": 2,
        "vouchers": 1,
        "datasets": 0,
        "agreements": 0,
        "quotes": 2,
        "jobs": 2,
        "usage": 0,
        "settlements": 1,
        "evaluations": 1,
        "scenarios": 1,
    }


def test_what_is_past_is_counted_once_and_what_is_new_each_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview, "REMEMBER_FROM", 3)
    for _ in range(4):
        make_job(world)
    assert overview._count("jobs", Job, now()) == 4
    assert cache.get("overview:jobs") is None  # too young: an older id may still be committed
    monkeypatch.setattr(overview, "SETTLED_AGE", timedelta(milliseconds=-2))
    assert overview._count("jobs", Job, now()) == 4
    since, remembered = cache.get("overview:jobs")
    assert remembered == 4
    assert Job.objects.filter(pk__lt=since).count() == 4
    sleep(0.003)
    for number in (5, 6, 7, 8, 9):
        make_job(world)
        assert overview._count("jobs", Job, now()) == number
    assert cache.get("overview:jobs")[1] > remembered
    cache.delete("overview:jobs")
    assert overview._count("jobs", Job, now()) == 9


def test_the_least_id_of_an_instant_parts_earlier_from_later_rows(world: World) -> None:
    before = make_job(world)
    parting = overview._first_id_at(datetime.now(UTC) + timedelta(milliseconds=1))
    assert before.pk < parting
    while make_job(world).pk < parting:
        pass
    assert Job.objects.filter(pk__gte=parting).count() == 1


def test_the_counts_take_a_fixed_number_of_queries(
    world: World, plan: Plan, django_assert_max_num_queries: Any
) -> None:
    for _ in range(3):
        make_job(world)
        with django_assert_max_num_queries(20):
            read_overview(ANONYMOUS)
    assert (Quote.objects.count(), UsageRecord.objects.count()) == (3, 0)


def test_a_token_without_the_scope_counts_nothing(world: World) -> None:
    narrow = world.member.__class__(id=world.member.id, scopes=frozenset({"ledger"}))
    with pytest.raises(ScopeMissing):
        read_overview(narrow)


# --- what to do next -----------------------------------------------------------------------------


def test_a_visitor_is_asked_to_sign_in() -> None:
    assert codes(ANONYMOUS) == {"sign-in": 0}


def test_the_officer_is_led_from_a_plan_to_a_scheme_to_decisions(world: World) -> None:
    assert codes(world.officer) == {"import-plan": 0}
    plans.import_plan(world.officer, PLAN_FILE)
    assert codes(world.officer) == {"open-scheme": 0}
    make_scheme(world)
    assert codes(world.officer) == {"look-at-plan": 0}
    apply(world, make_contract(world))
    scenarios.propose_scenario(
        world.member,
        evaluation=make_evaluation(world).pk,
        plan=PLAN,
        measure="6",
        title="分诊",
    )
    assert codes(world.officer) == {"review-vouchers": 1, "decide-scenarios": 1}


def test_a_firm_is_led_from_a_contract_to_a_voucher_to_a_scenario(
    world: World, scheme: Scheme
) -> None:
    assert codes(world.manager) == {"draw-up-contract": 0, "run-pack": 0}
    contract = make_contract(world, signed=False)
    assert codes(world.seller) == {"sign-contracts": 1}
    sign_contract(world.seller, contract.number)
    assert codes(world.manager) == {"apply-for-voucher": 1, "run-pack": 0}
    assert "apply-for-voucher" not in codes(world.member)
    voucher = apply(world, contract)
    assert codes(world.manager) == {"run-pack": 0}
    vouchers.withdraw_application(world.manager, voucher.number)
    assert codes(world.manager)["apply-for-voucher"] == 1
    with use_clock(lambda: datetime.now(UTC) + timedelta(days=400)):
        assert "apply-for-voucher" not in codes(world.manager)
    make_evaluation(world)
    assert codes(world.member) == {"propose-scenario": 1}


@pytest.mark.parametrize(
    ("kind", "code"),
    [("centre-operator", "connect-centre"), ("hospital", "register-dataset")],
)
def test_others_begin_with_what_they_bring(kind: str, code: str, db: None) -> None:
    assert codes(make_member(make_organisation(kind=kind))) == {code: 0}


def test_whoever_belongs_nowhere_founds_or_joins(db: None) -> None:
    assert codes(principal_of(make_person())) == {"register-organisation": 0}
    assert codes(principal_of(make_person(roles=("auditor",)))) == {"look-at-plan": 0}
