"""Quotes: the cheapest pool that can run the job, at its limits, with a word on each pool."""

from __future__ import annotations

import re

import pytest

from haihe.compute.errors import JobTooLarge, NoOffer, NoPool
from haihe.compute.labels import QUOTE_REASONS
from haihe.compute.models import Pool
from haihe.compute.services import centres, quotes
from haihe.data.domain import UsagePolicy
from haihe.data.errors import NoAgreement
from haihe.kernel.clock import now
from haihe.kernel.errors import MissingRecord
from haihe.kernel.money import MICRO
from haihe.policy.domain import ANONYMOUS
from haihe.policy.errors import NotAllowed, NotSignedIn
from tests.compute.conftest import CPU_HOUR_MICRO, POOL
from tests.compute.factories import GIB, cash_of, make_quote
from tests.data.factories import make_agreement, make_dataset
from tests.sides import Side, make_side

pytestmark = pytest.mark.django_db


def is_in_the_catalogue(reason: str) -> bool:
    patterns = (re.sub(r"\\{\d\\}", ".+", re.escape(pattern)) for pattern in QUOTE_REASONS)
    return any(re.fullmatch(pattern, reason) for pattern in patterns)


def test_a_quote_prices_every_limit(firm: Side) -> None:
    quote = make_quote(firm.member, cpu_milli=2_000, wall_s=1_800)
    assert quote.amount_micro == CPU_HOUR_MICRO
    assert [line["amount_micro"] for line in quote.lines] == [CPU_HOUR_MICRO]
    [share] = quote.shares
    assert (share["amount_micro"], share["asset"]) == (CPU_HOUR_MICRO, "CNY")
    assert str(cash_of(firm.organisation).pk) == share["account_id"]
    assert cash_of(firm.organisation).held_micro == 0


def test_the_minimum_charge_is_a_line(firm: Side, operator: Side) -> None:
    centres.set_offer(operator.manager, POOL, cpu_hour_micro=MICRO, minimum_micro=2 * MICRO)
    quote = make_quote(firm.member, wall_s=60)
    assert [line["item"] for line in quote.lines] == ["cpu", "minimum"]
    assert sum(line["amount_micro"] for line in quote.lines) == quote.amount_micro == 2 * MICRO


def test_the_cheapest_pool_is_chosen_and_each_pool_has_its_reason(
    firm: Side, operator: Side
) -> None:
    for slug, memory, price in (("dear", 8, 9), ("cheap", 8, 1), ("small", 1, 1), ("free", 8, 0)):
        centres.create_pool(
            operator.manager, "north", slug=slug, cpu_milli=4_000, memory_bytes=memory * GIB
        )
        if price:
            centres.set_offer(operator.manager, f"north/{slug}", cpu_hour_micro=price * MICRO)
    quote = make_quote(firm.member, memory_bytes=2 * GIB, wall_s=3_600)
    assert str(quote.pool) == "north/cheap"
    assert quote.reasons == [
        "north/cheap: fits, at most 1.00 CNY, score 0.943",
        "north/cpu: fits, at most 3.60 CNY, score 0.690",
        "north/dear: fits, at most 9.00 CNY, score 0.631",
        "north/free: no offer now",
        f"north/small: needs {2 * GIB} memory_bytes, has {GIB}",
        "chosen north/cheap: the best score, balanced",
        "no contract, no voucher",
    ]
    assert all(map(is_in_the_catalogue, quote.reasons))


def test_a_job_that_fits_nowhere_is_told_the_nearest_miss(firm: Side, operator: Side) -> None:
    centres.create_pool(
        operator.manager, "north", slug="mid", cpu_milli=3_000, memory_bytes=4 * GIB
    )
    centres.set_offer(operator.manager, "north/mid", cpu_hour_micro=MICRO)
    with pytest.raises(JobTooLarge, match="needs 4000 cpu_milli; pool north/mid has 3000"):
        make_quote(firm.member, cpu_milli=4_000)


def test_a_gang_is_not_sent_where_a_job_starts_on_one_node_only(firm: Side, operator: Side) -> None:
    pool = centres.create_pool(
        operator.manager, "north", slug="other", cpu_milli=9_000, memory_bytes=9 * GIB,
        gpu_milli=4_000, gpu_model="A100-80GB",
    )  # fmt: skip
    for name in ("a", "b"):
        pool.nodes.create(
            name=name, condition="up", cpu_milli=4_000, memory_bytes=4 * GIB, gpus=2,
            reported_at=now(),
        )  # fmt: skip
    centres.set_offer(operator.manager, "north/other", cpu_hour_micro=MICRO)
    for backend in (Pool.Backend.LOCAL, Pool.Backend.SLURM):
        Pool.objects.filter(pk=pool.pk).update(backend=backend)
        assert str(make_quote(firm.member, nodes=2, gpu_milli=1_000).pool) == "north/other"
    Pool.objects.filter(pk=pool.pk).update(backend=Pool.Backend.RAY)
    with pytest.raises(NoPool, match="north/other: starts a job on one node only"):
        make_quote(firm.member, nodes=2, gpu_milli=1_000)


def test_a_drained_pool_and_one_without_a_price_take_no_jobs(firm: Side, operator: Side) -> None:
    centres.set_pool_open(operator.manager, POOL, is_open=False)
    with pytest.raises(NoOffer):
        make_quote(firm.member)
    centres.set_pool_open(operator.manager, POOL, is_open=True)
    assert make_quote(firm.member).reasons


def test_quotes_are_for_who_works_for_the_payer(firm: Side, stranger: Side) -> None:
    with pytest.raises(NotSignedIn):
        make_quote(ANONYMOUS)
    for principal in (stranger.manager, firm.auditor):
        with pytest.raises(NotAllowed):
            make_quote(principal)
    quote = make_quote(firm.member)
    assert quotes.find_quote(firm.auditor, quote.pk) == quote
    with pytest.raises(NotAllowed):
        quotes.find_quote(stranger.manager, quote.pk)
    with pytest.raises(MissingRecord):
        quotes.find_quote(firm.member, "none")


def test_an_input_needs_an_agreement(firm: Side, operator: Side) -> None:
    dataset = make_dataset(operator.organisation, operator.manager)
    wanted = [{"name": "cases", "dataset": dataset.slug, "version": 1}]
    with pytest.raises(NoAgreement):
        make_quote(firm.member, inputs=wanted)
    with pytest.raises(MissingRecord):
        make_quote(firm.member, inputs=[{**wanted[0], "version": 2}])


def test_each_input_says_under_what_it_is_read(firm: Side, operator: Side) -> None:
    own = make_dataset(firm.organisation, firm.manager)
    foreign = make_dataset(operator.organisation, operator.manager)
    make_agreement(foreign, operator.manager, firm.organisation, firm.manager)
    wanted = [
        {"name": name, "dataset": dataset.slug, "version": 1}
        for name, dataset in (("mine", own), ("theirs", foreign))
    ]
    mine, theirs = make_quote(firm.member, inputs=wanted).reasons[-2:]
    assert mine == f"mine: {own.slug}@1, own data"
    assert theirs.startswith(f"theirs: {foreign.slug}@1, agreement ")
    assert is_in_the_catalogue(mine)
    assert is_in_the_catalogue(theirs)


def test_data_goes_only_where_its_agreement_lets_it(firm: Side, operator: Side) -> None:
    centres.create_centre(operator.manager, operator="operator", slug="south", name="南方")
    centres.create_pool(
        operator.manager, "south", slug="cpu", cpu_milli=2_000, memory_bytes=4 * GIB
    )
    centres.set_offer(operator.manager, "south/cpu", cpu_hour_micro=1)
    holder = make_side("holder", "hospital")
    policy = UsagePolicy(purposes=("research",), days=30, centres=("north",))
    cases = make_dataset(holder.organisation, holder.manager, slug="cases", policy=policy)
    make_agreement(cases, holder.manager, firm.organisation, firm.manager)
    wanted = [{"name": "cases", "dataset": "cases", "version": 1}]
    assert str(make_quote(firm.member).pool) == "south/cpu", "it is far cheaper"
    quote = make_quote(firm.member, inputs=wanted)
    assert str(quote.pool) == POOL
    assert "south/cpu: cases may not go there" in quote.reasons
    centres.set_pool_open(operator.manager, POOL, is_open=False)
    with pytest.raises(NoPool, match="cases may not go there"):
        make_quote(firm.member, inputs=wanted)


def test_the_holders_own_jobs_take_its_data_anywhere(firm: Side) -> None:
    policy = UsagePolicy(purposes=("research",), days=30, centres=("elsewhere",))
    make_dataset(firm.organisation, firm.manager, slug="own", policy=policy)
    wanted = [{"name": "own", "dataset": "own", "version": 1}]
    assert str(make_quote(firm.member, inputs=wanted).pool) == POOL
