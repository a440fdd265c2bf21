"""A pool that others use too: their use and their queue, as reported, count where a job goes."""

from __future__ import annotations

from datetime import timedelta

import pytest

from haihe.compute.domain.terms import PoolTerms
from haihe.compute.models import Pool
from haihe.compute.services import centres
from haihe.compute.services.dispatch import plan_round
from haihe.compute.services.facts import look_at_pools
from haihe.kernel.clock import now
from tests.compute.conftest import CPU_HOUR_MICRO, POOL
from tests.compute.factories import GIB, make_job, make_quote
from tests.sides import Side

pytestmark = pytest.mark.django_db
OTHER = "north/other"


@pytest.fixture
def cluster(operator: Side) -> Pool:
    """The first pool as a Slurm cluster of two nodes; another one like it stands beside."""
    boss = operator.manager
    centres.update_pool(boss, POOL, PoolTerms(backend="slurm"))
    centres.create_pool(boss, "north", slug="other", cpu_milli=2_000, memory_bytes=4 * GIB)
    centres.set_offer(boss, OTHER, cpu_hour_micro=CPU_HOUR_MICRO)
    pool = Pool.objects.get(slug="cpu")
    for name in ("a", "b"):
        pool.nodes.create(
            name=name, condition="up", cpu_milli=1_000, memory_bytes=2 * GIB, reported_at=now()
        )
    return pool


def report(
    pool: Pool, *, used: int = 0, pending: int = 0, running: int = 0, age_s: int = 0
) -> None:
    pool.nodes.update(used_cpu_milli=used)
    Pool.objects.filter(pk=pool.pk).update(
        reported_at=now() - timedelta(seconds=age_s), pending=pending, running=running
    )


def free_cpus(pool: Pool) -> int:
    [seen] = look_at_pools([Pool.objects.select_related("centre").get(pk=pool.pk)], now())
    return seen.free.cpu_milli


def starts_in(firm: Side) -> dict[str, float]:
    quote = make_quote(firm.member, wall_s=600, objective="soonest")
    return {one["pool"]: one["start_s"] for one in quote.comparison["facts"]["pools"]}


def test_what_others_use_is_not_free(cluster: Pool) -> None:
    report(cluster, used=750)
    assert free_cpus(cluster) == 500
    report(cluster, used=750, age_s=600)
    assert free_cpus(cluster) == 2_000, "an old figure is no figure"
    report(cluster)
    cluster.nodes.filter(name="a").update(condition="down")
    assert free_cpus(cluster) == 1_000
    cluster.nodes.update(condition="down")
    assert free_cpus(cluster) == 0


def test_what_our_own_jobs_use_is_counted_once(cluster: Pool, firm: Side) -> None:
    centres_closed(OTHER)
    report(cluster)
    job = make_job(firm.member)
    plan_round()
    assert free_cpus(cluster) == 1_000, "it holds its room before it runs"
    job.attempts.update(claimed_at=now(), started_at=now(), state="running")
    report(cluster, used=500)
    assert free_cpus(cluster) == 1_000, "and the same room while it does"


def test_a_job_goes_where_others_do_not_stand_in_its_way(cluster: Pool, firm: Side) -> None:
    report(cluster, used=1_000, pending=4, running=2)
    starts = starts_in(firm)
    assert starts[OTHER] == 0
    assert starts[POOL] == 600 * 5 / 2
    job = make_job(firm.member, wall_s=600, objective="soonest")
    plan_round()
    job.refresh_from_db()
    assert str(job.pool) == OTHER


def test_a_longer_queue_of_others_means_a_later_start(cluster: Pool, firm: Side) -> None:
    report(cluster, used=1_000, pending=0, running=2)
    short = starts_in(firm)[POOL]
    report(cluster, used=1_000, pending=5_000, running=2)
    assert starts_in(firm)[POOL] > 1_000 * short > 0


def centres_closed(path: str) -> None:
    Pool.objects.filter(slug=path.partition("/")[2]).update(is_open=False)
