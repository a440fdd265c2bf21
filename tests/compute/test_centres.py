"""Centres, pools and offers: who connects them, what they may be, and what they cost when."""

from __future__ import annotations

from typing import Any

import pytest

from haihe.compute.domain import Capacity
from haihe.compute.errors import NotVerified, Taken
from haihe.compute.models import Pool
from haihe.compute.services import centres
from haihe.compute.services.network import look_at_network
from haihe.compute.services.own import organisations_for
from haihe.compute.tasks import Dispatcher
from haihe.kernel.errors import InvalidField, MissingRecord
from haihe.policy.domain import ANONYMOUS, MANAGING, Principal
from haihe.policy.errors import NotAllowed, NotSignedIn
from tests.compute.conftest import CPU_HOUR_MICRO, POOL
from tests.compute.factories import GIB, make_job, run_jobs
from tests.factories import make_member, make_organisation
from tests.sides import Side

pytestmark = pytest.mark.django_db


def test_an_operator_connects_its_own_centre_once(operator: Side, stranger: Side) -> None:
    def connect(principal: Principal, slug: str = "south") -> None:
        centres.create_centre(principal, operator="operator", slug=slug, name="南方中心")

    with pytest.raises(NotSignedIn):
        connect(ANONYMOUS)
    for principal in (stranger.manager, operator.member):
        with pytest.raises(NotAllowed):
            connect(principal)
    connect(operator.manager)
    with pytest.raises(Taken):
        connect(operator.manager)
    with pytest.raises(InvalidField, match="slug"):
        connect(operator.manager, "South!")


def test_an_operator_must_be_verified(db: None) -> None:
    young = make_organisation("young", verified=False)
    with pytest.raises(NotVerified):
        centres.create_centre(make_member(young), operator="young", slug="x", name="x")


@pytest.mark.parametrize("name", ["", "  ", "x" * 201])
def test_a_centre_needs_a_name(name: str, operator: Side) -> None:
    with pytest.raises(InvalidField, match="name"):
        centres.create_centre(operator.manager, operator="operator", slug="x", name=name)


@pytest.mark.parametrize(
    "change",
    [
        {"cpu_milli": 0},
        {"cpu_milli": 10**16},
        {"memory_bytes": 0},
        {"gpu_milli": -1},
        {"gpu_milli": 10**30},
        {"gpu_model": "x" * 81},
        {"slug": "CPU"},
    ],
)
def test_a_pool_has_limits(change: dict[str, Any], operator: Side) -> None:
    pool = {"slug": "gpu", "cpu_milli": 1_000, "memory_bytes": GIB, **change}
    with pytest.raises(InvalidField, match=next(iter(change))):
        centres.create_pool(operator.manager, "north", **pool)


def test_only_the_operator_changes_its_pools(operator: Side, stranger: Side) -> None:
    for principal, error in ((ANONYMOUS, NotSignedIn), (stranger.manager, NotAllowed)):
        with pytest.raises(error):
            centres.create_pool(principal, "north", slug="x", cpu_milli=1, memory_bytes=1)
        with pytest.raises(error):
            centres.set_pool_open(principal, POOL, is_open=False)
        with pytest.raises(error):
            centres.set_offer(principal, POOL, cpu_hour_micro=1)
    with pytest.raises(Taken):
        centres.create_pool(operator.manager, "north", slug="cpu", cpu_milli=1, memory_bytes=1)


def test_a_new_price_ends_the_old_one(operator: Side) -> None:
    centres.set_offer(operator.manager, POOL, cpu_hour_micro=7, minimum_micro=5)
    newest, oldest = centres.offers_of(ANONYMOUS, POOL)
    assert (newest.cpu_hour_micro, newest.ends_at) == (7, None)
    assert (oldest.cpu_hour_micro, oldest.ends_at) == (CPU_HOUR_MICRO, newest.begins_at)
    [card] = centres.pool_cards(ANONYMOUS, [centres.find_pool(ANONYMOUS, POOL)])
    assert card.offer == newest


@pytest.mark.parametrize("price", [0, -1, True, 10**19, 1.5])
def test_a_price_is_a_positive_amount(price: Any, operator: Side) -> None:
    with pytest.raises(InvalidField, match="cpu_hour_micro"):
        centres.set_offer(operator.manager, POOL, cpu_hour_micro=price)


def test_anybody_reads_centres(operator: Side) -> None:
    [found] = centres.list_centres(ANONYMOUS)
    assert found == centres.find_centre(ANONYMOUS, "north")
    with pytest.raises(MissingRecord):
        centres.find_centre(ANONYMOUS, "none")
    with pytest.raises(MissingRecord):
        centres.find_pool(ANONYMOUS, "north/none")


def test_a_card_says_what_started_jobs_hold(operator: Side, firm: Side) -> None:
    def held() -> Capacity:
        [card] = centres.pool_cards(ANONYMOUS, [centres.find_pool(ANONYMOUS, POOL)])
        return card.held

    make_job(firm.member, "sleep", "1")
    assert held() == Capacity(0, 0, 0)
    dispatcher = Dispatcher()
    dispatcher.tick()
    assert held() == Capacity(1_000, 512 * 1024**2, 0)
    run_jobs(dispatcher)
    assert held() == Capacity(0, 0, 0)


def test_cards_take_as_many_queries_for_many_pools_as_for_one(
    operator: Side, django_assert_num_queries: Any
) -> None:
    for count in (1, 6):
        [centre] = centres.list_centres(ANONYMOUS)
        pools = list(centre.pools.all())
        assert len(pools) == count
        with django_assert_num_queries(2):
            assert len(centres.pool_cards(ANONYMOUS, pools)) == count
        for number in range(5):
            centres.create_pool(
                operator.manager, "north", slug=f"p{number}-{count}", cpu_milli=1, memory_bytes=1
            )


def test_who_manages_nothing_is_told_before_filling_in_a_form(operator: Side) -> None:
    def operators(principal: Principal) -> list[Any]:
        return organisations_for(principal, "centre.create", "Centre", *MANAGING)

    assert operators(operator.manager) == [operator.organisation]
    with pytest.raises(NotAllowed):
        operators(operator.member)
    with pytest.raises(NotSignedIn):
        operators(ANONYMOUS)


def test_a_card_that_the_table_lacks_counts_as_its_operator_says(operator: Side) -> None:
    def create(slug: str, model: str, **card: int) -> Pool:
        return centres.create_pool(
            operator.manager, "north", slug=slug, cpu_milli=1_000, memory_bytes=GIB,
            gpu_milli=2_000, gpu_model=model, **card,
        )  # fmt: skip

    for card in ({}, {"card_tflops": 0}, {"card_tflops": 10**6}):
        with pytest.raises(InvalidField):
            create("new", "BW1000", **card)
    pool = create("new", "BW1000", card_tflops=624, card_watts=500)
    [north] = look_at_network(ANONYMOUS).centres
    assert {str(one.pool): one.cards for one in north.pools}[str(pool)] == 4.0
    assert create("old", "NVIDIA A100-SXM4-80GB").card.tflops == 312
