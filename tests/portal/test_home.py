"""The overview and the wall: the chain with its figures, for everybody, fast."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from haihe.policy.domain import Principal
from haihe.programme.models import Plan, Scheme
from haihe.programme.services import plans, scenarios
from tests.callers import person_of
from tests.pages import CHINESE, ENGLISH, browser, sound
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
    make_world,
)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def files(home: Path) -> Path:
    """The home that keys are kept in."""
    return home


@pytest.fixture
def world(db: None) -> World:
    return make_world()


@pytest.fixture
def plan(world: World) -> Plan:
    return plans.import_plan(world.officer, PLAN_FILE)[0]


@pytest.fixture
def scheme(world: World) -> Scheme:
    return make_scheme(world)


def seen_by(principal: Principal, language: str = ENGLISH) -> Client:
    return browser(person_of(principal), language)


@pytest.mark.parametrize("language", [ENGLISH, CHINESE])
@pytest.mark.parametrize("address", ["/", "/wall"])
def test_both_pages_render_on_an_empty_installation(address: str, language: str, db: None) -> None:
    page = sound(browser(language=language).get(address))
    assert "0" in page.text


def test_the_chain_leads_from_the_plan_to_its_indicators(
    world: World, plan: Plan, scheme: Scheme
) -> None:
    contract = make_contract(world)
    grant(world, contract)
    proposed = scenarios.propose_scenario(
        world.member,
        evaluation=make_evaluation(world, contract).pk,
        plan=PLAN,
        measure="6",
        title="分诊",
    )
    scenarios.accept_scenario(world.officer, proposed.pk)
    page = sound(browser().get("/"))
    steps = [
        "Plan targets 8", "Applications 1", "Vouchers 1", "Datasets 0", "Agreements 0", "Quotes 1",
        "Jobs 1", "Usage records 0", "Settlements 1", "Evaluations 1", "Scenarios 1",
        "Indicators 1",
    ]  # fmt: skip
    places = [page.text.index(step) for step in steps]
    assert places == sorted(places)
    for address in (
        "/plans", "/vouchers", "/vouchers?state=reserved", "/datasets", "/agreements", "/jobs",
        "/evidence?kind=job.metered", "/evidence?kind=job.settled", "/evaluations",
        "/scenarios?state=accepted", "/indicators", f"/plans/{PLAN}/targets/T3",
    ):  # fmt: skip
        assert address in page.attributes["href"], address
    assert "7 further targets have no rule" in page.text
    assert "Signed root" in page.text


def test_what_to_do_next_depends_on_who_asks(world: World, plan: Plan, scheme: Scheme) -> None:
    assert "Sign in to apply for vouchers" in sound(browser().get("/")).text
    apply(world, make_contract(world))
    officer = sound(seen_by(world.officer).get("/"))
    assert "1 application waits for your review" in officer.text
    apply(world, make_contract(world))
    assert "2 applications wait for your review" in sound(seen_by(world.officer).get("/")).text
    assert "/vouchers?state=applied" in officer.attributes["href"]
    make_contract(world, signed=False)
    assert "1 contract waits for your signature" in sound(seen_by(world.seller).get("/")).text
    assert "Run a pack" in sound(seen_by(world.member).get("/")).text


def test_the_wall_shows_the_targets_and_renews_itself(world: World, plan: Plan) -> None:
    page = sound(browser(language=CHINESE).get("/wall"))
    assert "every 60s" in page.attributes["hx-trigger"]
    assert "/wall" in page.attributes["hx-get"]
    for text in ("培育标杆人工智能应用场景", "攻克关键核心技术", "市科技局"):
        assert text in page.text, text


def test_the_front_page_takes_a_bounded_number_of_queries(
    world: World, plan: Plan, scheme: Scheme, django_assert_max_num_queries: Any
) -> None:
    client = seen_by(world.manager)
    for _ in range(3):
        apply(world, make_contract(world))
        make_job(world)
        with django_assert_max_num_queries(45):
            client.get("/")
        with django_assert_max_num_queries(30):
            browser().get("/wall")
