"""What a centre says is weighed: refusals, limits, ends of its own making, times and use."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from haihe.compute.agent.journal import Stage
from haihe.compute.domain import EndReason, JobState, Usage, price_usage, round_lines, total_micro
from haihe.compute.models import Agent, Attempt, Job, Pool, Settlement, UsageRecord
from haihe.compute.services import accounts, agents
from haihe.compute.services.dispatch import plan_round
from haihe.compute.services.network import PoolState, look_at_network, pool_history
from haihe.evidence import services as evidence
from haihe.parties.models import Person
from haihe.policy.domain import ANONYMOUS, system_principal
from tests.compute.factories import GIB
from tests.compute.network.conftest import Play
from tests.compute.network.world import Site

pytestmark = pytest.mark.django_db
HOUR_MS = 3_600_000


def again(job: Job) -> Job:
    return Job.objects.get(pk=job.pk)


def kinds_of_evidence(job: Job) -> list[str]:
    page = evidence.find(system_principal("test"), subject=f"job:{job.pk}")
    return [entry.kind for entry in page.items]


def price_of(job: Job, usage: Usage) -> int:
    return total_micro(round_lines(price_usage(usage, again(job).offer.price)))


# --- what is not the job's fault -----------------------------------------------------------------


def test_what_one_centre_cannot_start_another_may(play: Play) -> None:
    job = play.submit()
    first = job.pool.centre.slug
    play.sites[first].scheduler.refusal = "this centre has no user 'ann'"
    play.go(20)
    assert again(job).state == JobState.SUCCEEDED
    assert again(job).pool.centre.slug != first
    assert [a.end_reason for a in job.attempts.order_by("number")] == ["not-started", "exited"]


def test_what_no_centre_can_start_ends_after_the_second(play: Play) -> None:
    for site in play.sites.values():
        site.scheduler.refusal = "no such program"
    job = play.submit()
    play.go(10)
    assert (again(job).state, again(job).end_reason) == (JobState.FAILED, "not-started")
    assert job.attempts.count() == 2
    assert Settlement.objects.get(job=job).amount_micro == 0


def test_a_job_that_its_centre_ended_is_not_billed_for_that_and_runs_again(play: Play) -> None:
    job, _ = play.running()
    play.go(2)
    [key] = play.at(job).scheduler.runs
    play.at(job).scheduler.end(key, EndReason.ENDED_BY_CENTRE)
    play.go(30)
    assert (again(job).state, job.attempts.count()) == (JobState.SUCCEEDED, 2)
    last = job.attempts.latest("number")
    told = Usage(last.usage.cpu_ms, 0, last.usage.wall_ms, GIB // 4, 0)
    assert Settlement.objects.get(job=job).amount_micro == price_of(job, told)


def test_a_pool_that_its_agent_does_not_serve_gets_no_jobs(play: Play) -> None:
    east = Pool.objects.get(centre__slug="east")
    Pool.objects.filter(pk=east.pk).update(reported_at=None)
    play.sites["east"].agent.backends = {}  # type: ignore[union-attr]
    [seen] = look_at_network(ANONYMOUS, centre="east").centres[0].pools
    assert seen.state is PoolState.SILENT
    jobs = [play.submit() for _ in range(2)]
    play.go(20)
    assert {again(job).pool.centre.slug for job in jobs} == {"west"}
    assert {again(job).state for job in jobs} == {JobState.SUCCEEDED}


def test_one_persons_limit_at_a_centre_stops_nobody_else(play: Play) -> None:
    first, second = play.submit(), play.submit()
    plan_round()
    slug = again(first).pool.centre.slug
    Pool.objects.exclude(centre__slug=slug).update(is_open=False)
    held = str(Attempt.objects.get(job=first).pk)
    site = play.sites[slug]
    site.scheduler.full_for.add(held)
    play.go(20)
    assert Attempt.objects.get(pk=held).pending_reason == "MaxSubmit"
    assert again(second).state == JobState.SUCCEEDED
    assert Pool.objects.get(centre__slug=slug).fault == "", "one person's limit is no fault"
    site.scheduler.full_for.clear()
    play.go(10)
    assert again(first).state == JobState.SUCCEEDED


def test_who_lost_their_account_gets_nothing_started_there(play: Play) -> None:
    Pool.objects.update(needs_account=True)
    boss, person = play.seller.manager, Person.objects.get(pk=play.firm.member.person_id)
    for slug in play.sites:
        accounts.set_account(boss, slug, email=person.email, user="ann")
    job = play.submit()
    first = job.pool.centre.slug
    accounts.drop_account(boss, first, email=person.email)
    play.go(20)
    assert play.sites[first].scheduler.runs == {}
    assert again(job).state == JobState.SUCCEEDED
    assert "account" in job.attempts.get(number=1).message


def test_a_ray_pool_is_not_offered_to_whom_it_would_refuse(play: Play) -> None:
    Pool.objects.filter(centre__slug="east").update(backend=Pool.Backend.RAY)
    person = Person.objects.get(pk=play.firm.member.person_id)
    accounts.set_account(play.seller.manager, "east", email=person.email, user="ann")
    assert [play.submit().pool.centre.slug for _ in range(2)] == ["west", "west"]
    accounts.drop_account(play.seller.manager, "east", email=person.email)
    assert play.submit().pool.centre.slug == "east"


def test_a_centre_is_told_the_pools_partition(play: Play) -> None:
    Pool.objects.update(partition="long")
    job, _ = play.running()
    [kept] = play.at(job).agent.journal.kept(Stage.STARTED)  # type: ignore[union-attr]
    assert kept.order.partition == "long"


# --- times ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_is_an_hour_off_moves_neither_times_nor_the_bill(
    play: Play, hours: int
) -> None:
    for site in play.sites.values():
        site.link.clock_error = timedelta(hours=hours)
    job, run = play.running(begins_s=30, lasts_s=300)
    play.go(10)
    attempt = job.attempts.get()
    assert again(job).state == JobState.SUCCEEDED
    assert abs(attempt.started_at - run.starts_at) < timedelta(seconds=1)
    assert abs(attempt.finished_at - run.ends_at) < timedelta(seconds=1)
    assert attempt.usage.doubts == []
    assert Settlement.objects.get(job=job).amount_micro == price_of(
        job, Usage(300_000, 0, 300_000, GIB // 4, 0)
    )


def test_a_day_without_the_link_loses_and_doubles_nothing(play: Play) -> None:
    Pool.objects.filter(centre__slug="west").update(is_open=False)
    site = play.sites["east"]
    ends_soon, runs_on, waits = (
        play.running(begins_s=begins, lasts_s=lasts)
        for begins, lasts in ((0, 600), (0, 20 * 3_600), (10 * 3_600, 60))
    )
    play.go(1, 1)
    site.link.down_until = play.clock.at + timedelta(days=1)
    play.go(47, 1_800)
    assert {again(job).state for job, _ in (ends_soon, runs_on)} == {JobState.RUNNING}
    assert again(waits[0]).state == JobState.STARTING
    play.go(6, 1_800)
    for job, run in (ends_soon, runs_on, waits):
        assert again(job).state == JobState.SUCCEEDED
        wall_ms = round((run.ends_at - run.starts_at).total_seconds() * 1e3)
        assert job.attempts.get().usage.wall_ms == wall_ms
        assert Settlement.objects.filter(job=job).count() == 1
    assert len(site.scheduler.runs) == 3


def test_a_day_without_the_link_leaves_no_gap_in_what_was_measured(play: Play) -> None:
    site, begins = play.sites["east"], play.clock.at
    for hours in range(1, 25):
        site.link.down_until = play.clock.at + timedelta(minutes=1)
        play.go(1, 1)
        play.go(1, 3_599, away="east") if hours < 24 else play.go(4, 60)
    shown = pool_history(ANONYMOUS, "east/pool", last=timedelta(days=2))["nodes_up"]
    hours = {round((point.at - begins).total_seconds() / 3_600) for point in shown}
    assert hours >= set(range(23))
    assert {point.mean for point in shown} == {1.0}
    assert site.agent.journal.earlier(500, play.clock.at) == []  # type: ignore[union-attr]


def test_use_that_is_told_after_the_end_is_evidence_and_changes_no_bill(play: Play) -> None:
    job, _ = play.running(lasts_s=60)
    slug = play.at(job).slug
    site = play.sites.pop(slug)
    agents.revoke_agent(play.seller.manager, slug)
    agents.give_up_attempts(play.seller.manager, slug)
    play.go(20)
    assert again(job).state == JobState.SUCCEEDED, "it ran elsewhere"
    bill = Settlement.objects.get(job=job).amount_micro
    records = UsageRecord.objects.filter(attempt__job=job).count()
    row = Agent.objects.create(centre=Pool.objects.get(centre__slug=slug).centre, public_key="new")
    site.stop()
    back = Site(slug, row.pk, "pool", site.folder, site.luck)
    back.scheduler = site.scheduler
    play.sites[slug] = back
    play.go(4)
    assert kinds_of_evidence(job).count("job.usage_late") == 1
    assert Settlement.objects.get(job=job).amount_micro == bill
    assert UsageRecord.objects.filter(attempt__job=job).count() == records


# --- use -----------------------------------------------------------------------------------------

TRUE = Usage(300_000, 0, 300_000, GIB, 0)


@pytest.mark.parametrize(
    ("told", "doubts", "billed"),
    [
        (TRUE, [], TRUE),
        # Three hours in a run of five minutes, by the centre's own times.
        (
            replace(TRUE, wall_ms=3 * HOUR_MS),
            ["wall-too-long"],
            TRUE,
        ),
        # More than the pool's two processors in all that time, with what clocks may be off.
        (
            replace(TRUE, cpu_ms=2 * HOUR_MS),
            ["cpu-beyond-pool"],
            replace(TRUE, cpu_ms=(300_000 + 120_000) * 2 * 102 // 100),
        ),
        (replace(TRUE, gpu_milli_ms=10**9), ["gpu-beyond-share"], TRUE),
        (replace(TRUE, peak_memory_bytes=2**60), ["memory-beyond-pool"], TRUE),
    ],
    ids=["true", "wall", "cpu", "gpu", "memory"],
)
def test_use_that_cannot_be_is_kept_doubted_and_not_billed(
    play: Play, told: Usage, doubts: list[str], billed: Usage
) -> None:
    job, run = play.running(lasts_s=300)
    run.told = told
    play.go(10)
    record = UsageRecord.objects.get(attempt__job=job)
    assert (record.cpu_ms, record.wall_ms) == (told.cpu_ms, told.wall_ms), "kept as it was told"
    assert record.doubts == doubts
    assert ("job.usage_doubted" in kinds_of_evidence(job)) == bool(doubts)
    assert Settlement.objects.get(job=job).amount_micro == price_of(job, billed)
