"""The platform's own jobs and pools, as a workload and a network, and who may see which."""

from __future__ import annotations

from datetime import timedelta

import pytest

from haihe.compute.domain import AttemptState, JobState
from haihe.compute.models import Attempt, Centre, Job, Node, Pool
from haihe.compute.services import centres
from haihe.compute.simulation.engine import replay
from haihe.compute.simulation.errors import NoHistory
from haihe.compute.simulation.records import read_history, read_platform
from haihe.kernel.clock import now
from haihe.kernel.errors import InvalidField
from haihe.policy.domain import ANONYMOUS, PlatformRole, Principal, system_principal
from haihe.policy.errors import NotAllowed, NotSignedIn
from tests.compute.conftest import CPU_HOUR_MICRO
from tests.compute.factories import GIB, make_job
from tests.factories import make_person
from tests.sides import Side

pytestmark = pytest.mark.django_db
CONSOLE = system_principal("console")


def has_run(job: Job, *, waited_s: float, run_s: float, number: int = 1) -> None:
    """Write down that a job ran and ended."""
    began_at = job.created_at + timedelta(seconds=waited_s)
    Attempt.objects.create(
        job=job,
        number=number,
        pool=job.pool,
        state=AttemptState.SUCCEEDED,
        started_at=began_at,
        finished_at=began_at + timedelta(seconds=run_s),
    )
    Job.objects.filter(pk=job.pk).update(state=JobState.SUCCEEDED)


@pytest.mark.parametrize("role", [PlatformRole.OPERATOR, PlatformRole.AUDITOR])
def test_who_runs_or_audits_the_platform_reads_its_history(
    firm: Side, stranger: Side, role: PlatformRole
) -> None:
    has_run(make_job(firm.member), waited_s=0, run_s=5)
    principal = Principal(id=make_person().pk, platform_roles=frozenset({role}))
    assert len(read_history(principal)) == 1
    officer = Principal(id=make_person().pk, platform_roles=frozenset({PlatformRole.OFFICER}))
    for other in (firm.manager, stranger.manager, officer):
        with pytest.raises(NotAllowed):
            read_history(other)
    with pytest.raises(NotSignedIn):
        read_history(ANONYMOUS)


def test_a_finished_job_becomes_a_job_of_the_workload(firm: Side) -> None:
    job = make_job(firm.member, cpu_milli=500, wall_s=90)
    has_run(job, waited_s=7, run_s=20)
    jobs = read_history(CONSOLE)
    assert jobs.run_s.tolist() == [20]
    assert jobs.requested_s.tolist() == [90]
    assert jobs.observed_wait_s.tolist() == [7]
    assert (jobs.cpu_milli.tolist(), jobs.memory_bytes.tolist()) == ([500], [GIB // 2])
    assert jobs.label.tolist() == [str(job.pk)]
    assert jobs.notes == {}


def test_a_job_that_was_tried_twice_counts_from_first_to_last(firm: Side) -> None:
    job = make_job(firm.member)
    has_run(job, waited_s=5, run_s=10)
    has_run(job, waited_s=100, run_s=10, number=2)
    jobs = read_history(CONSOLE)
    assert (jobs.observed_wait_s.tolist(), jobs.run_s.tolist()) == ([5], [105])


def test_what_did_not_run_is_counted_and_what_waits_is_not(firm: Side) -> None:
    has_run(make_job(firm.member), waited_s=0, run_s=5)
    cancelled = make_job(firm.member)
    Job.objects.filter(pk=cancelled.pk).update(state=JobState.CANCELLED)
    make_job(firm.member)
    jobs = read_history(CONSOLE)
    assert len(jobs) == 1
    assert jobs.notes == {"never_ran": 1}


def test_without_history_there_is_nothing_to_replay(firm: Side) -> None:
    with pytest.raises(NoHistory, match="of 0 that ended, none ran"):
        read_history(CONSOLE)
    has_run(make_job(firm.member), waited_s=0, run_s=5)
    with pytest.raises(NoHistory):
        read_history(CONSOLE, since=now() + timedelta(days=1))


def test_history_replays_on_the_platform_in_as_many_queries_for_many_as_for_one(
    firm: Side, django_assert_max_num_queries: object
) -> None:
    for _ in range(5):
        has_run(make_job(firm.member), waited_s=0, run_s=5)
    with django_assert_max_num_queries(6):  # type: ignore[operator]
        jobs, network = read_history(CONSOLE), read_platform(CONSOLE)
    done = replay(jobs, network, "haihe")
    assert done.ran.all()


def test_the_platforms_pools_are_a_network_that_everybody_may_ask_for(operator: Side) -> None:
    Centre.objects.update(carbon_g_per_kwh=500)
    Pool.objects.update(watts_idle=100, watts_busy=300)
    [(name, centre, pool)] = read_platform(ANONYMOUS).pools
    assert (name, centre.carbon_g_per_kwh) == ("north/cpu", 500)
    assert (pool.capacity.cpu_milli, pool.capacity.memory_bytes) == (2_000, 4 * GIB)
    assert pool.cpu_hour_micro == CPU_HOUR_MICRO
    assert (pool.nodes, pool.idle_w, pool.busy_w) == (1, 100, 300)


def test_nodes_that_are_alike_are_modelled_as_they_are(operator: Side) -> None:
    pool = Pool.objects.get()
    alike = {"pool": pool, "condition": Node.Condition.UP, "reported_at": now(), "gpus": 4}
    for name in ("a", "b", "c"):
        Node.objects.create(name=name, cpu_milli=16_000, memory_bytes=64 * GIB, **alike)
    modelled = read_platform(CONSOLE).pools[0][2]
    assert (modelled.nodes, modelled.cpu, modelled.memory_gib, modelled.gpus) == (3, 16, 64, 4)


def test_other_pools_are_modelled_as_a_node_for_each_card(operator: Side) -> None:
    centres.create_pool(
        operator.manager, "north", slug="gpu", cpu_milli=100_000, memory_bytes=GIB, gpu_milli=3_000
    )
    modelled = read_platform(CONSOLE).pools[1][2]
    assert (modelled.nodes, modelled.gpus) == (3, 1)
    assert 100_000 <= modelled.capacity.cpu_milli < 100_003


def test_closed_pools_are_not_there(operator: Side) -> None:
    Pool.objects.update(is_open=False)
    with pytest.raises(InvalidField, match="open a pool first"):
        read_platform(CONSOLE)
