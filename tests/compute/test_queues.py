"""The expected start: from what runs and waits, corrected by how long others waited."""

from __future__ import annotations

from datetime import timedelta

import pytest

from haihe.compute.models import Attempt, Job, Quote, StartRecord
from haihe.compute.services.dispatch import plan_round
from haihe.compute.services.queues import learn_start
from haihe.compute.simulation.waiting import ENOUGH
from tests.compute.factories import make_job, make_quote, run_job
from tests.sides import Side

pytestmark = pytest.mark.django_db


def start_of(quote: Quote) -> tuple[float, float]:
    [facts] = quote.comparison["facts"]["pools"]
    return facts["start_s"], facts["start_p90_s"]


def test_a_free_pool_starts_a_job_at_once(firm: Side) -> None:
    assert start_of(make_quote(firm.member))[0] == 0


def test_what_runs_and_what_waits_push_the_start_back(firm: Side) -> None:
    make_job(firm.member, cpu_milli=2_000, wall_s=600)
    assert start_of(make_quote(firm.member, cpu_milli=2_000))[0] == pytest.approx(600, abs=1)
    plan_round()
    assert start_of(make_quote(firm.member, cpu_milli=2_000))[0] == pytest.approx(600, abs=5)
    make_job(firm.member, cpu_milli=2_000, wall_s=1_200)
    assert start_of(make_quote(firm.member, cpu_milli=2_000))[0] == pytest.approx(1_800, abs=5)


def test_a_start_is_remembered_once_and_corrects_the_next(firm: Side) -> None:
    job = run_job(firm.member, "true")
    record = StartRecord.objects.get()
    assert record.waited_s == pytest.approx(
        (Attempt.objects.get().started_at - job.created_at).total_seconds(), abs=0.5
    )
    told = Job.objects.get(pk=job.pk)
    for _ in range(2 * ENOUGH):
        learn_start(told, told.pool_id, told.created_at + timedelta(seconds=300))
    median, high = start_of(make_quote(firm.member))
    assert median == pytest.approx(300, abs=1)
    assert high == pytest.approx(300, abs=1)


def test_a_job_that_went_elsewhere_teaches_nothing(firm: Side, stranger: Side) -> None:
    job = run_job(firm.member, "true")
    StartRecord.objects.all().delete()
    learn_start(job, stranger.organisation.pk, job.created_at)
    assert not StartRecord.objects.exists()
