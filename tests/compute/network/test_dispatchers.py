"""Several dispatchers at once: no job is placed twice, and no pool is filled over its capacity."""

from __future__ import annotations

import threading
import time

import pytest
from django.db import connection

from haihe.compute.domain import FINAL, JobState
from haihe.compute.models import Attempt, Job, Reservation, Settlement
from haihe.compute.services import centres
from haihe.compute.services.dispatch import plan_round
from haihe.compute.tasks import Dispatcher
from haihe.ledger.services import audit
from haihe.policy.domain import system_principal
from tests.compute.conftest import CPU_HOUR_MICRO
from tests.compute.factories import GIB, make_job
from tests.ledger.test_concurrency import at_once
from tests.sides import Side

pytestmark = pytest.mark.usefixtures("committed")
DISPATCHERS = 3
PATIENCE_S = 90.0


def test_rounds_at_the_same_moment_place_each_job_once(operator: Side, firm: Side) -> None:
    centres.create_pool(
        operator.manager, "north", slug="more", cpu_milli=3_000, memory_bytes=8 * GIB
    )
    centres.set_offer(operator.manager, "north/more", cpu_hour_micro=CPU_HOUR_MICRO)
    jobs = [make_job(firm.member, cpu_milli=1_000) for _ in range(8)]
    outcomes = at_once(lambda _: plan_round(), DISPATCHERS)
    assert sum(outcomes) == 5, "two in one pool, three in the other"
    assert Attempt.objects.count() == 5
    for pool in centres.list_centres(operator.manager).get().pools.all():
        held = Reservation.objects.held_by_pool([pool])[pool.pk]
        assert held.cpu_milli == pool.cpu_milli
    placed = Job.objects.filter(state=JobState.STARTING).count()
    assert (placed, len(jobs)) == (5, 8)


def test_dispatchers_together_run_and_bill_each_job_once(operator: Side, firm: Side) -> None:
    for _ in range(6):
        make_job(firm.member, "true", cpu_milli=500)
    deadline = time.monotonic() + PATIENCE_S
    over = threading.Event()

    def dispatch(_: int) -> int:
        rounds = 0
        with Dispatcher() as dispatcher:
            while not over.is_set() and time.monotonic() < deadline:
                dispatcher.tick()
                rounds += 1
                if not Job.objects.exclude(state__in=FINAL).exists():
                    over.set()
        return rounds

    rounds = at_once(dispatch, DISPATCHERS)
    assert all(isinstance(count, int) for count in rounds), rounds
    assert {job.state for job in Job.objects.all()} == {JobState.SUCCEEDED}
    assert Attempt.objects.count() == Settlement.objects.count() == 6
    assert audit(system_principal("test")).balanced
    connection.close()
