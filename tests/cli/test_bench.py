"""Every benchmark runs, with tiny sizes, and says what the documentation promises of it.

The placement benchmark is run in ``tests/compute/placement/test_replay.py``.
"""

from __future__ import annotations

import pytest

from haihe.cli import postgres
from haihe.cli.bench_dispatch import QUICK, measure
from tests.callers import haihe, said


def test_the_core_benchmark_gives_every_figure_side_by_side() -> None:
    figures = said(haihe("bench", "core", "--quick", "--json"))
    ledger, jobs = figures["ledger"], figures["jobs_list"]
    for name in ("per_s", "bare_per_s", "ratio", "batched_per_s"):
        assert ledger[name] > 0, name
    assert ledger["synchronous"] == "2"  # FULL
    assert (ledger["postgres_per_s"] or 0) > 0 or postgres.binaries() is None
    assert figures["evidence"]["append_per_s"] > 0
    assert figures["authorize"]["per_s"] > 0 < figures["authorize"]["ratio"]
    assert list(jobs["p95_ms"]) == ["2", "5", "10"]
    assert min(*jobs["p95_ms"].values(), jobs["page_p95_ms"], figures["home"]["p95_ms"]) > 0
    assert figures["home"]["jobs"] == 10


@pytest.mark.django_db
def test_the_dispatch_benchmark_plans_the_queue_at_once_and_one_by_one() -> None:
    figures = measure(2, 10, QUICK)
    assert figures["centres"] == 2
    assert figures["queued"] == figures["placed"] == 10
    assert figures["seconds"] > 0 < figures["one_by_one_seconds"]
    assert list(figures["per_job_ms"]) == ["5", "10"]
