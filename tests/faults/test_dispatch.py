"""A dispatcher whose storage fails for a moment goes on, and does nothing twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from haihe.compute.agent.runner import NO_ROOM
from haihe.compute.domain import JobState
from haihe.compute.models import Job, Pool, Settlement
from haihe.compute.services.jobs import attempt_folder
from haihe.compute.tasks import Dispatcher
from haihe.kernel.crash import use_crash_hook
from haihe.kernel.errors import StorageUnavailable
from haihe.kernel.settings import load_settings
from haihe.ledger.services import audit
from haihe.policy.cli import CONSOLE
from tests.compute.factories import run_jobs
from tests.programme.factories import World, make_job, make_world

pytestmark = pytest.mark.django_db


@pytest.fixture
def world(home: Path) -> World:
    return make_world()


@pytest.mark.parametrize(
    "point",
    [
        "dispatch.placed",
        "exchange.heard",
        "agent.heard",
        "agent.submitted",
        "agent.reported",
        "dispatch.finishing",
        "dispatch.settled",
    ],
)
def test_a_failure_at_any_step_is_made_up_for_at_the_next_turn(world: World, point: str) -> None:
    failures = iter([StorageUnavailable(place="the database", reason="disk is full")])

    def fail_once(name: str) -> None:
        error = next(failures, None) if name == point else None
        if error is not None:
            raise error

    job = make_job(world)
    dispatcher = Dispatcher()
    with use_crash_hook(fail_once), pytest.raises(StorageUnavailable):
        run_jobs(dispatcher)
    run_jobs(dispatcher)
    job.refresh_from_db()
    assert job.state == JobState.SUCCEEDED
    assert Settlement.objects.count() == job.attempts.count() == 1
    assert audit(CONSOLE).balanced


def test_no_job_starts_while_the_disk_has_too_little_room(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(world)
    dispatcher = Dispatcher()
    monkeypatch.setenv("HAIHE_DISK_MINIMUM_BYTES", str(10**18))
    load_settings.cache_clear()
    for _ in range(3):
        dispatcher.tick()
    assert Job.objects.get().state in (JobState.QUEUED, JobState.STARTING)
    assert not attempt_folder(job.pk, 1).exists()
    assert Pool.objects.get().fault == NO_ROOM
    monkeypatch.delenv("HAIHE_DISK_MINIMUM_BYTES")
    load_settings.cache_clear()
    run_jobs(dispatcher)
    job.refresh_from_db()
    assert job.state == JobState.SUCCEEDED
