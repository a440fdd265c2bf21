"""Why a job is where it is: told for its organisation alone, and computed again from its facts."""

from __future__ import annotations

import re

import pytest
from django.utils.translation import override

from haihe.compute.domain.choice import Check, reason_of
from haihe.compute.models import Agent, Attempt, Decision, Job, Pool, Quote
from haihe.compute.services import centres, jobs
from haihe.compute.services.dispatch import plan_round
from haihe.compute.services.explain import (
    IN_LINE,
    NEXT,
    NO_POOL,
    NOT_TAKEN,
    SCHEDULER_HAS,
    SCHEDULER_SAYS,
    STANDS,
    Waits,
    explain_job,
)  # fmt: skip
from haihe.kernel.clock import now
from haihe.kernel.money import MICRO
from haihe.kernel.phrases import translated
from haihe.policy.errors import NotAllowed
from tests.callers import Caller, haihe, said
from tests.compute.conftest import POOL
from tests.compute.factories import GIB, give_cash, make_job, make_quote, run_job
from tests.sides import Side

pytestmark = pytest.mark.django_db


def test_a_job_that_ran_says_why_there(firm: Side) -> None:
    job = run_job(firm.member, "true")
    found = explain_job(firm.member, job.pk)
    assert (found.waits_for, found.present) == (Waits.NOTHING, None)
    assert found.quoted
    assert found.quoted.is_replayed
    [placed] = found.placements
    assert placed.is_replayed
    [verdict] = placed.choice.verdicts
    assert (verdict.pool, placed.choice.chosen) == (POOL, POOL)
    assert {term.name for term in verdict.terms} >= {"price", "start", "reliability"}
    assert verdict.score == pytest.approx(
        sum(term.score * term.weight for term in verdict.terms), abs=1e-6
    )


def test_facts_that_were_tampered_with_do_not_lead_there(firm: Side) -> None:
    job = run_job(firm.member, "true")
    row = Decision.objects.get()
    row.facts["pools"][0]["reliability"] = 0.5
    row.save()
    [placed] = explain_job(firm.member, job.pk).placements
    assert not placed.is_replayed


def test_a_waiting_job_says_for_what(operator: Side, firm: Side) -> None:
    first = make_job(firm.member, "sleep", "60", cpu_milli=2_000)
    plan_round()
    assert explain_job(firm.member, first.pk).waits_for is Waits.AGENT
    Attempt.objects.update(claimed_at=now(), pending_reason="Resources")
    told = explain_job(firm.member, first.pk)
    assert told.waits_for is Waits.SCHEDULER
    assert "Resources" in told.sentence
    second, third = make_job(firm.member, cpu_milli=2_000), make_job(firm.member)
    plan_round()
    told = explain_job(firm.member, second.pk)
    assert (told.waits_for, told.ahead) == (Waits.ROOM, 0)
    assert told.present
    assert [check.name for check in told.present.verdicts[0].failed] == ["room"]
    assert explain_job(firm.member, third.pk).ahead == 1
    centres.set_pool_open(operator.manager, POOL, is_open=False)
    told = explain_job(firm.member, second.pk)
    assert told.waits_for is Waits.POOL
    assert "takes no jobs" in told.sentence
    centres.set_pool_open(operator.manager, POOL, is_open=True)
    Agent.objects.update(public_key="its own", seen_at=None)
    assert "not heard of" in explain_job(firm.member, second.pk).sentence


def test_the_provider_is_not_told_what_the_firm_may_pay(operator: Side, firm: Side) -> None:
    job = make_job(firm.member)
    with pytest.raises(NotAllowed):
        explain_job(operator.manager, job.pk)


def test_the_same_over_http_and_on_the_command_line(firm: Side) -> None:
    job = run_job(firm.member, "true")
    told = Caller(firm.member).get(f"/jobs/{job.pk}/explanation").json()
    on_console = said(haihe("job", "explain", job.pk, "--json", caller=firm.member))
    assert told["placements"][0]["choice"] == on_console["placements"][0]["choice"]
    assert told["placements"][0]["is_replayed"]
    shown = haihe("job", "explain", job.pk, caller=firm.member).output
    assert f"{POOL}*" in shown
    assert "price" in shown


def test_a_quote_from_before_comparisons_explains_as_much_as_is_known(firm: Side) -> None:
    job = run_job(firm.member, "true")
    Quote.objects.update(comparison={})
    assert explain_job(firm.member, job.pk).quoted is None
    caller = Caller(firm.member)
    assert caller.get(f"/jobs/{job.pk}/explanation").json()["quoted"] is None
    assert caller.get(f"/quotes/{job.quote_id}").json()["comparison"] is None
    assert haihe("job", "explain", job.pk, caller=firm.member).exit_code == 0
    assert haihe("quote", "show", job.quote_id, caller=firm.member).exit_code == 0


@pytest.mark.parametrize(
    "sentence",
    [
        NEXT.format(POOL), IN_LINE.format(3, POOL), NO_POOL, NOT_TAKEN.format(POOL),
        SCHEDULER_SAYS.format(POOL, "Resources"), SCHEDULER_HAS.format(POOL), *STANDS.values(),
        *(
            reason_of(POOL, Check(name, False, "4 cpu_milli", "2 cpu_milli"))
            for name in (
                "wished", "open", "heard", "resources", "nodes", "accelerator", "software",
                "inputs", "account", "contract", "price", "held", "maintenance", "deadline",
                "room", "pieces", "reserved",
            )
        ),
    ],
)  # fmt: skip
def test_every_sentence_is_chinese_on_a_chinese_page(sentence: str) -> None:
    with override("zh-hans"):
        assert re.search(r"[一-鿿]", translated(sentence))


def failed_checks(firm: Side, job: Job) -> dict[str, list[str]]:
    present = explain_job(firm.member, job.pk).present
    assert present
    return {one.pool: [check.name for check in one.failed] for one in present.verdicts}


def test_a_waiting_job_is_told_of_every_pool_and_what_a_full_one_would_be_worth(
    operator: Side, firm: Side
) -> None:
    for slug, price in (("dear", 10 * MICRO), ("free", 0)):
        centres.create_pool(
            operator.manager, "north", slug=slug, cpu_milli=2_000, memory_bytes=4 * GIB
        )
        if price:
            centres.set_offer(operator.manager, f"north/{slug}", cpu_hour_micro=price)
    make_job(firm.member, cpu_milli=2_000, objective="cheapest")
    waiting = make_job(firm.member, cpu_milli=2_000, objective="cheapest")
    plan_round()
    found = failed_checks(firm, waiting)
    assert found == {POOL: ["room"], "north/dear": ["held"], "north/free": ["price"]}
    present = explain_job(firm.member, waiting.pk).present
    assert present
    full = present.verdict_on(POOL)
    assert full
    assert full.score == pytest.approx(sum(term.score * term.weight for term in full.terms))


def test_room_that_is_kept_for_another_job_names_that_job(firm: Side) -> None:
    make_job(firm.member, cpu_milli=1_000, wall_s=60)
    plan_round()
    large = make_job(firm.member, cpu_milli=2_000, wall_s=60)
    long = make_job(firm.member, cpu_milli=1_000, wall_s=3_600)
    plan_round()
    assert failed_checks(firm, large) == {POOL: ["room"]}
    assert failed_checks(firm, long) == {POOL: ["reserved"]}
    assert f"kept for job {large.pk}" in explain_job(firm.member, long.pk).sentence


def test_room_in_pieces_is_called_that(operator: Side, firm: Side) -> None:
    pool = Pool.objects.get()
    Pool.objects.update(cpu_milli=4_000)
    for name in ("a", "b"):
        pool.nodes.create(
            name=name, condition="up", cpu_milli=2_000, memory_bytes=2 * GIB, gpus=0,
            reported_at=now(),
        )  # fmt: skip
    for _ in range(2):
        make_job(firm.member, cpu_milli=1_500)
    plan_round()
    waiting = make_job(firm.member, cpu_milli=1_000)
    plan_round()
    assert failed_checks(firm, waiting) == {POOL: ["pieces"]}
    assert "in pieces" in explain_job(firm.member, waiting.pk).sentence


def test_who_comes_first_is_told_by_fair_share_and_not_by_priority(
    firm: Side, stranger: Side
) -> None:
    give_cash(stranger.organisation, 100)
    make_job(firm.member, cpu_milli=2_000)
    plan_round()
    quote = make_quote(firm.member, cpu_milli=2_000)
    first = jobs.submit_job(firm.member, quote.pk, priority=100)
    other = make_job(stranger.member, cpu_milli=2_000, organisation="stranger")
    plan_round()
    assert explain_job(stranger.member, other.pk).ahead == 0
    assert explain_job(firm.member, first.pk).ahead == 1
