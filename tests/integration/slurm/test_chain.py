"""One job on a real Slurm from quote to bill: what is billed is what Slurm's accounting says."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_django.live_server_helper import LiveServer

from haihe.compute.backends.slurm import parse
from haihe.compute.domain import Usage
from haihe.compute.models import Attempt, Centre, PersonAccount, Pool
from tests.integration import toml_of
from tests.integration.chain import (
    check_metered,
    check_settled,
    embedded_agent,
    log_of,
    make_market,
    run_job,
    separate_agent,
)
from tests.integration.slurm import cluster as clusters
from tests.integration.slurm.processes import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("committed")]
FIELDS = "JobID,ElapsedRaw,TotalCPU,MaxRSS,AllocTRES,User,Account,QOS"


def sacct(cluster: clusters.Cluster, attempt: Attempt) -> tuple[Usage, list[str]]:
    """What Slurm's accounting says that an attempt used, and as whom it ran."""
    name = ("-S", "now-1hour", f"--name=haihe-{attempt.pk}")

    def said() -> str:
        return cluster.run("sacct", "-n", "-P", *name, "-o", FIELDS)

    # A short job has its name there some seconds after its end.
    wait_until(said, "the accounting knows the job by its name")
    job, *steps = (line.split("|") for line in said().splitlines())
    number, elapsed, cpu, _, tres, *identity = job
    assert number == attempt.external_id
    wall_ms = int(elapsed) * 1_000
    assert wall_ms >= 2_000
    assert "gres/gpu=1," in tres
    used = Usage(
        cpu_ms=parse.duration_ms(cpu),
        gpu_milli_ms=1_000 * wall_ms,
        wall_ms=wall_ms,
        peak_memory_bytes=max(parse.size(step[3]) for step in steps),
        output_bytes=2,
    )
    return used, identity


def test_a_job_runs_as_the_person_it_belongs_to_and_is_billed_by_sacct(
    cluster: clusters.Cluster, live_server: LiveServer, folder: Path
) -> None:
    """An agent of its own, over HTTP, that speaks to slurmrestd."""
    market = make_market(Pool.Backend.SLURM)
    person = PersonAccount.objects.create(
        centre=Centre.objects.get(),
        person_id=market.firm.member.person_id,
        user="games",
        account=clusters.ACCOUNT,
        qos=clusters.QOS,
    )
    (folder / "token").write_text(cluster.token())
    pool = toml_of(
        {"backend": "slurm", "rest_url": cluster.rest_url, "token_file": folder / "token"}
    )
    with separate_agent(market, live_server.url, folder, pool) as step:
        attempt = run_job(market, step)
    used, identity = sacct(cluster, attempt)
    assert identity == [person.user, person.account, person.qos]
    assert log_of(market, attempt) == "你好\ngames\n"
    check_metered(attempt, used, "slurm accounting")
    check_settled(market, attempt, used)


def test_a_pool_that_the_platform_itself_serves_is_billed_by_sacct(
    cluster: clusters.Cluster,
) -> None:
    """The embedded agent, through Slurm's commands."""
    market = make_market(Pool.Backend.SLURM)
    pool = toml_of({"backend": "slurm", "conf": cluster.conf, "default_user": "root"})
    with embedded_agent(pool) as step:
        attempt = run_job(market, step)
    used, identity = sacct(cluster, attempt)
    assert identity[0] == "root"
    check_metered(attempt, used, "slurm accounting")
    check_settled(market, attempt, used)
