"""One job on a real Ray from quote to bill: what is billed is what Haihe's supervisor measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pytest_django.live_server_helper import LiveServer

from haihe.compute.domain import Usage
from haihe.compute.models import Pool, UsageRecord
from haihe.compute.services.jobs import attempt_folder
from tests.integration import toml_of
from tests.integration.chain import (
    GPU_MODEL,
    check_metered,
    check_settled,
    embedded_agent,
    make_market,
    run_job,
    separate_agent,
)
from tests.integration.ray import cluster as clusters

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("committed")]
FIELDS = ("cpu_ms", "gpu_milli_ms", "wall_ms", "peak_memory_bytes", "output_bytes")


def pool_of(head: clusters.Cluster) -> str:
    """The cluster as an agent's file describes it."""
    fields = {"backend": "ray", "url": head.url, "token_file": head.token_file}
    return f'{toml_of(fields)}accelerators = {{ {GPU_MODEL} = "{clusters.GPU_MODEL}" }}\n'


def test_a_job_is_run_and_billed_by_an_agent_of_its_own(
    head: clusters.Cluster, live_server: LiveServer, tmp_path: Path
) -> None:
    market = make_market(Pool.Backend.RAY)
    with separate_agent(market, live_server.url, tmp_path, pool_of(head)) as step:
        attempt = run_job(market, step)
    record = UsageRecord.objects.get(attempt=attempt)
    used = Usage(**{name: getattr(record, name) for name in FIELDS})
    assert (record.measured_by, record.doubts) == ("supervisor on ray", [])
    assert 2_000 <= used.wall_ms < 30_000
    assert used.gpu_milli_ms == 1_000 * used.wall_ms
    check_settled(market, attempt, used)


def test_a_pool_that_the_platform_itself_serves_is_billed_by_what_the_supervisor_wrote(
    head: clusters.Cluster,
) -> None:
    market = make_market(Pool.Backend.RAY)
    with embedded_agent(pool_of(head)) as step:
        attempt = run_job(market, step)
    result = attempt_folder(attempt.job_id, attempt.number) / "result.json"
    written = json.loads(result.read_text())
    used = Usage(**{name: written[name] for name in FIELDS})
    check_metered(attempt, used, "supervisor on ray")
    check_settled(market, attempt, used)
