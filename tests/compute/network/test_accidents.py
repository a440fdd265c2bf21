"""Single accidents of the network, played step by step on the virtual clock of the simulation."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from haihe.compute.agent.signing import make_key, public_text
from haihe.compute.domain import EndReason, JobState
from haihe.compute.errors import CentreBusy
from haihe.compute.models import Agent, Attempt, Job, Pool, Settlement, UsageRecord
from haihe.compute.services import agents
from haihe.compute.services.dispatch import plan_round
from haihe.compute.tasks import Dispatcher
from haihe.kernel.clock import now
from haihe.policy.errors import NotAllowed
from tests.compute.factories import make_job
from tests.compute.network.conftest import Play
from tests.sides import Side

pytestmark = pytest.mark.django_db


def test_what_started_while_the_link_was_away_is_not_taken_back(play: Play) -> None:
    job = play.submit(wall_s=3_600)
    plan_round()
    play.go(3, 0.01)
    attempt, site = Attempt.objects.get(job=job), play.at(job)
    run = site.scheduler.runs[str(attempt.pk)]
    run.starts_at = play.clock.at + timedelta(seconds=400)
    run.ends_at = run.starts_at + timedelta(hours=3)
    play.go(1, 1)
    play.go(60, away=attempt.pool.centre.slug)
    play.go(6, 5)
    job.refresh_from_db()
    assert (job.state, job.attempts.count()) == (JobState.RUNNING, 1)


def test_an_agent_whose_disk_was_lost_still_reports(play: Play) -> None:
    earlier = [play.submit() for _ in range(3)]
    play.go(20)
    assert {Job.objects.get(pk=job.pk).state for job in earlier} == {JobState.SUCCEEDED}
    job = play.submit()
    play.go(3, 0.1)
    site = play.at(job)
    slug = Attempt.objects.get(job=job).pool.centre.slug
    site.stop()
    shutil.rmtree(site.folder)
    play.go(60)
    job.refresh_from_db()
    assert job.state == JobState.SUCCEEDED, slug
    assert Settlement.objects.filter(job=job).count() == 1


def test_a_node_that_fails_in_mid_job_costs_nothing_and_the_job_runs_again(play: Play) -> None:
    job = play.submit()
    play.go(3, 0.1)
    site = play.at(job)
    [key] = site.scheduler.runs
    run = site.scheduler.runs[key]
    run.starts_at, run.ends_at = play.clock.at, play.clock.at + timedelta(seconds=300)
    play.go(2)
    site.scheduler.end(key, EndReason.NODE_FAILED)
    play.go(30)
    job.refresh_from_db()
    assert (job.state, job.attempts.count()) == (JobState.SUCCEEDED, 2)
    assert UsageRecord.objects.get(attempt__job=job).attempt.number == 2


def test_a_centre_that_is_gone_for_good_is_given_up(play: Play) -> None:
    job = play.submit()
    play.go(3, 0.1)
    boss = play.seller.manager
    slug = Attempt.objects.get(job=job).pool.centre.slug
    with pytest.raises(NotAllowed):
        agents.give_up_attempts(play.firm.manager, slug)
    with pytest.raises(CentreBusy):
        agents.give_up_attempts(boss, slug)
    agents.revoke_agent(boss, slug)
    play.sites.pop(slug).stop()
    assert agents.give_up_attempts(boss, slug) == 1
    assert agents.give_up_attempts(boss, slug) == 0
    play.go(30)
    job.refresh_from_db()
    assert (job.state, job.pool.centre.slug != slug) == (JobState.SUCCEEDED, True)
    assert Settlement.objects.filter(job=job).count() == 1


def test_the_platforms_own_agent_lets_go_when_another_joins(
    operator: Side, firm: Side, tmp_path: Path
) -> None:
    with Dispatcher() as dispatcher:
        dispatcher.tick()
        token = agents.invite_agent(operator.manager, "north").token
        joined = agents.enrol_agent(token, public_text(make_key(tmp_path / "a")))
        Agent.objects.filter(pk=joined.pk).update(seen_at=now())
        Pool.objects.update(reported_at=now())
        job = make_job(firm.member)
        for _ in range(4):
            dispatcher.tick()
        assert Attempt.objects.get(job=job).claimed_at is None, "only the new agent may take it"
