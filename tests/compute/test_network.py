"""The network as it is told: states, ages, use, power, and what becomes of telemetry with time."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haihe.compute.agent.messages import NodeItem, PoolFault, PoolItem
from haihe.compute.domain.telemetry import KEPT, Point, condense, span_of
from haihe.compute.domain.terms import CentreTerms, PoolTerms
from haihe.compute.models import Agent, Centre, Pool, Sample
from haihe.compute.services import centres, maintenance
from haihe.compute.services.network import (
    PoolCondition,
    PoolState,
    Watts,
    look_at_network,
    network_as_dict,
    pool_gauges,
    pool_history,
)
from haihe.compute.services.telemetry import keep_pool_reports, thin_out
from haihe.kernel.clock import now, use_clock
from haihe.kernel.errors import InvalidField, MissingRecord
from haihe.kernel.work import unit_of_work
from haihe.policy.domain import ANONYMOUS
from haihe.policy.errors import NotAllowed
from tests.callers import Caller, haihe, said
from tests.compute.conftest import POOL
from tests.compute.factories import GIB, make_job
from tests.sides import Side

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


def report(used_milli: int = 1_000, **metrics: float) -> None:
    """What the agent of centre north says of its pool."""
    node = NodeItem(
        name="n1",
        condition="up",
        cpu_milli=2_000,
        memory_bytes=4 * GIB,
        gpus=0,
        gpu_model="",
        used_cpu_milli=used_milli,
        used_memory_bytes=GIB,
        used_gpu_milli=0,
        reason="",
    )
    item = PoolItem(
        pool="cpu", age_s=0, version="1", nodes=[node], pending=3, running=1, metrics=metrics
    )
    with unit_of_work():
        keep_pool_reports(Centre.objects.get(slug="north"), [item], [])


def the_pool() -> PoolCondition:
    [centre] = look_at_network(ANONYMOUS).centres
    return centre.pools[0]


def test_a_pool_that_never_reported_shows_what_its_jobs_hold(firm: Side) -> None:
    one = the_pool()
    assert (one.state, one.age_s, one.is_stale) == (PoolState.OPEN, None, True)
    assert one.used == {"cpu": 0.0, "memory": 0.0}
    assert (one.watts, one.watts_source) == (None, None)
    make_job(firm.member)
    assert the_pool().waiting == 1
    assert look_at_network(ANONYMOUS).jobs == {"queued": 1}


def test_figures_are_the_agents_and_grow_stale(operator: Side) -> None:
    at = now()
    with use_clock(lambda: at):
        report()
        one = the_pool()
        assert one.used == {"cpu": 0.5, "memory": 0.25}
        assert (one.pool.pending, one.pool.running, one.nodes) == (3, 1, {"up": 1})
        assert (one.age_s, one.is_stale) == (0.0, False)
        assert pool_gauges("cpu") == {POOL: 0.5}
    with use_clock(lambda: at + HOUR):
        assert (the_pool().age_s, the_pool().is_stale) == (3_600.0, True)
        assert pool_gauges("cpu") == {}, "what is stale is not scraped as if it were new"


def test_power_is_measured_or_else_modelled(operator: Side) -> None:
    report()
    terms = PoolTerms(watts_idle=100, watts_busy=300)
    centres.update_pool(operator.manager, POOL, terms)
    assert (the_pool().watts, the_pool().watts_source) == (200.0, Watts.MODELLED)
    report(watts=250.0)
    assert (the_pool().watts, the_pool().watts_source) == (250.0, Watts.MEASURED)


def test_the_first_reason_not_to_take_jobs_is_the_state(operator: Side) -> None:
    at = now()
    maintenance.plan_maintenance(
        operator.manager, POOL, begins_at=at - HOUR, ends_at=at + HOUR, reason="new switch"
    )
    assert the_pool().state == PoolState.MAINTENANCE
    with unit_of_work():
        fault = PoolFault(pool="cpu", fault="connection refused")
        keep_pool_reports(Centre.objects.get(), [], [fault])
    assert the_pool().state == PoolState.FAULT
    Agent.objects.update(public_key="a key", seen_at=at - HOUR)
    assert the_pool().state == PoolState.SILENT
    centres.set_pool_open(operator.manager, POOL, is_open=False)
    assert the_pool().state == PoolState.CLOSED


def test_the_export_is_json_that_the_api_gives_too(operator: Side, tmp_path: Path) -> None:
    report()
    exported = network_as_dict(look_at_network(ANONYMOUS))
    assert json.loads(json.dumps(exported)) == exported
    told = Caller().get("/network").json()
    assert told["centres"][0]["pools"][0]["used"] == {"cpu": 0.5, "memory": 0.25}
    assert told.keys() == exported.keys()
    file = tmp_path / "network.json"
    assert said(haihe("network", "export", file, "--json"))["format"] == "haihe.network/1"
    assert json.loads(file.read_text())["centres"][0]["slug"] == "north"
    assert isinstance(haihe("network", "export", file).exception, InvalidField)
    assert "north/cpu" in haihe("network", "show").output


def test_telemetry_is_kept_once_and_thins_out(operator: Side) -> None:
    start = span_of(now(), 3_600)
    for minute in range(0, 120, 10):
        with use_clock(lambda minute=minute: start + timedelta(minutes=minute)):
            report(used_milli=1_000 + minute)
    before = Sample.objects.filter(metric="cpu")
    assert {sample.span_s for sample in before} == {60}
    for later, span_s in ((KEPT[0][1] + 3 * HOUR, 600), (KEPT[1][1] + 3 * HOUR, 3_600)):
        with use_clock(lambda later=later: start + later):
            thin_out(now())
            thin_out(now())
            samples = Sample.objects.filter(metric="cpu")
            assert {sample.span_s for sample in samples} == {span_s}
            assert sum(sample.count for sample in samples) == 12
    with use_clock(lambda: start + timedelta(days=6)):
        points = pool_history(ANONYMOUS, POOL)["cpu"]
    assert [point.count for point in points] == [6, 6]
    assert points[0].low == 0.5
    assert points[1].high == (1_000 + 110) / 2_000
    with use_clock(lambda: start + timedelta(days=500)):
        thin_out(now())
    assert not Sample.objects.exists()


@given(st.lists(st.tuples(st.integers(0, 10**5), st.floats(-1e6, 1e6), st.integers(1, 50))))
def test_condensing_keeps_counts_bounds_and_the_mean(rows: list[tuple[int, float, int]]) -> None:
    begin = span_of(now(), 3_600)
    points = [
        Point(begin + timedelta(seconds=second), value, value, value, count)
        for second, value, count in rows
    ]
    short, long = condense(points, 600), condense(condense(points, 600), 3_600)
    assert sum(p.count for p in short) == sum(p.count for p in long) == sum(row[2] for row in rows)
    for one, two in zip(long, condense(points, 3_600), strict=True):
        assert (one.at, one.low, one.high) == (two.at, two.low, two.high)
        assert one.mean == pytest.approx(two.mean, rel=1e-9, abs=1e-6)
        assert one.low - 1e-6 <= one.mean <= one.high + 1e-6


def test_terms_are_said_by_the_operators_managers_alone(operator: Side, firm: Side) -> None:
    terms = CentreTerms(region="Tianjin", carbon_g_per_kwh=520, link_bytes_per_s=10**9)
    assert centres.update_centre(operator.manager, "north", terms).region == "Tianjin"
    pool = centres.update_pool(
        operator.manager, POOL, PoolTerms(software=["torch", "cuda-12", "torch"])
    )
    assert pool.software == ["cuda-12", "torch"]
    with pytest.raises(NotAllowed):
        centres.update_centre(firm.manager, "north", terms)
    with pytest.raises(NotAllowed):
        centres.update_pool(operator.member, POOL, PoolTerms())
    said_again = said(
        haihe("pool", "set", POOL, "--watts-busy", 500, "--yes", "--json", caller=operator.manager)
    )
    assert (said_again["watts_busy"], said_again["software"]) == (500, ["cuda-12", "torch"])


@pytest.mark.parametrize(
    ("field", "terms"),
    [
        ("backend", PoolTerms(backend="pbs")),
        ("watts_busy", PoolTerms(watts_idle=10, watts_busy=5)),
        ("pending_limit", PoolTerms(pending_limit=-1)),
        ("software", PoolTerms(software=["a\nb"])),
        ("partition", PoolTerms(partition=" gpu")),
    ],
)
def test_bad_terms_are_refused_by_name(operator: Side, field: str, terms: PoolTerms) -> None:
    with pytest.raises(InvalidField) as caught:
        centres.update_pool(operator.manager, POOL, terms)
    assert caught.value.field == field
    assert Pool.objects.get().backend == "local"


def test_history_of_no_pool(operator: Side) -> None:
    with pytest.raises(MissingRecord):
        pool_history(ANONYMOUS, "north/none")
    assert pool_history(ANONYMOUS, POOL) == {}
