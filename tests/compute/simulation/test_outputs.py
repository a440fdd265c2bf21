"""What a simulation answers: figures, fragmentation, plots."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from haihe.compute.simulation.engine import Replay, replay
from haihe.compute.simulation.figures import bounded_slowdown, figures_of
from haihe.compute.simulation.network import ModelledCentre, ModelledPool, Network, machine
from haihe.compute.simulation.packing import pack
from haihe.compute.simulation.plots import Words, draw_timeline, draw_waits
from haihe.compute.simulation.policies import POLICIES
from haihe.compute.simulation.synthetic import make_synthetic
from haihe.compute.simulation.timeline import started_within, timeline_of
from haihe.compute.simulation.workload import make_workload

HOUR_S = 3_600
GIB = 1 << 30
WORDS = Words(utilisation="Busy <1", waiting="Waiting", days="Days", started="Share", wait="Wait")


def one_pool(pool: ModelledPool) -> Network:
    """A network of one pool."""
    return Network(centre=(ModelledCentre(slug="one", carbon_g_per_kwh=500, pool=(pool,)),))


def by_hand() -> Replay:
    """Three jobs on 4 processors: 0 to 100, then 100 to 300 with two at once; and one too large."""
    workload = make_workload(
        name="by hand",
        submit_s=[0, 0, 50, 60],
        run_s=[100, 200, 200, 10],
        cpu_milli=[4_000, 2_000, 2_000, 5_000],
        organisation=[0, 1, 1, 1],
    )
    return replay(workload, machine(4), "fcfs")


def test_figures_by_hand() -> None:
    figures = figures_of(by_hand())
    assert (figures["jobs"], figures["too_large"]) == (3, 1)
    assert figures["utilisation"] == 1.0
    assert figures["makespan_s"] == 300
    assert figures["mean_wait_s"] == 50  # 0, 100, 50
    assert figures["max_wait_s"] == 100
    assert figures["p99_wait_s"] == pytest.approx(99)
    assert figures["bounded_slowdown"] == pytest.approx((1 + 1.5 + 1.25) / 3, abs=1e-3)
    assert figures["light_wait_s"] == 0  # each organisation counts by its dominant amount
    assert figures["late"] is None
    assert figures["fragmentation"] is None


def test_the_slowdown_of_a_job_of_a_second_is_bounded() -> None:
    assert bounded_slowdown(np.array([99.0, 0.0]), np.array([1.0, 1.0])).tolist() == [10.0, 1.0]


def test_energy_carbon_and_cost_by_hand() -> None:
    """Half of a pool of 2 x 4 CPUs busy for an hour, and idle for none."""
    pool = ModelledPool(
        slug="p",
        nodes=2,
        cpu=4,
        cpu_hour_cny="0.5",
        idle_w=100,
        busy_w=300,
    )
    workload = make_workload(name="x", submit_s=0, run_s=[HOUR_S], cpu_milli=4_000)
    figures = figures_of(replay(workload, one_pool(pool), "fcfs"))
    assert figures["energy_kwh"] == 0.4  # 2 x 100 W idle, and half of 2 x 200 W more
    assert figures["carbon_kg"] == 0.2
    assert figures["cost_micro"] == 2_000_000
    assert figures["cost_cny"] == 2.0


def test_a_job_that_ends_after_its_deadline_is_late() -> None:
    workload = make_workload(
        name="x", submit_s=[0, 0], run_s=[50, 50], cpu_milli=4_000, deadline_s=[60, 60]
    )
    assert figures_of(replay(workload, machine(4), "fcfs"))["late"] == 1


# --- fragmentation -------------------------------------------------------------------------------


def test_what_no_typical_job_can_use_is_fragmented() -> None:
    """Jobs of 0.6 GPU on two GPUs: while both run, what is left of each is of use to nobody."""
    pool = ModelledPool(slug="p", cpu=8, memory_gib=8, gpus=2)
    jobs = make_workload(
        name="x", submit_s=[0, 0], run_s=HOUR_S, cpu_milli=1_000, gpu_milli=600, memory_bytes=GIB
    )
    found = pack(jobs, np.zeros(2), pool)
    assert found is not None
    assert found.scattered == 0
    assert found.fragmentation == pytest.approx(0.4, abs=0.01)


def test_a_job_that_fits_the_pool_and_no_node_is_scattered() -> None:
    pool = ModelledPool(slug="p", nodes=2, cpu=8, gpus=1)
    jobs = make_workload(
        name="x", submit_s=np.zeros(3), run_s=10, cpu_milli=1_000, gpu_milli=[600, 600, 600]
    )
    found = pack(jobs.only(np.arange(2)), np.zeros(2), pool)
    assert found is not None
    assert found.scattered == 0
    found = pack(jobs, np.zeros(3), pool)
    assert found is not None
    assert found.scattered == 1


def test_a_job_larger_than_a_node_takes_several() -> None:
    pool = ModelledPool(slug="p", nodes=3, cpu=8, gpus=4)
    jobs = make_workload(name="x", submit_s=0, run_s=10, cpu_milli=20_000, gpu_milli=[10_000])
    found = pack(jobs, np.zeros(1), pool)
    assert found is not None
    assert found.scattered == 0


@pytest.mark.parametrize("pool", [{"gpus": 0}, {"gpus": 0.5}, {"gpus": 1_000}, {"nodes": 0}])
def test_where_packing_cannot_be_told_it_is_none(pool: dict[str, float]) -> None:
    usual = {"slug": "p", "cpu": 8, "gpus": 1, "nodes": 1} | pool
    jobs = make_workload(name="x", submit_s=0, run_s=[10], cpu_milli=1)
    assert pack(jobs, np.zeros(1), ModelledPool(**usual)) is None


# --- over time -----------------------------------------------------------------------------------


def test_a_timeline_has_exact_means() -> None:
    line = timeline_of(by_hand(), points=3)
    assert line.edge_s.tolist() == [0, 100, 200, 300]
    assert line.utilisation.tolist() == pytest.approx([1, 1, 1])
    assert line.waiting.tolist() == pytest.approx([1.5, 0, 0])


def test_the_share_that_had_started_after_a_wait() -> None:
    shares = started_within(by_hand(), np.array([0.0, 49.0, 50.0, 100.0]))
    assert shares.tolist() == pytest.approx([1 / 3, 1 / 3, 2 / 3, 1])


def test_plots_are_drawn_with_a_line_per_policy() -> None:
    workload = make_synthetic(jobs=300, procs=32, load=0.9, seed=1)
    replays = [replay(workload, machine(32), policy) for policy in POLICIES]
    for text, panels in (
        (draw_timeline(replays, WORDS, title="a < b"), 2),
        (draw_waits(replays, WORDS, title="a < b"), 1),
    ):
        root = ET.fromstring(text)  # noqa: S314 (our own)
        lines = root.findall("{http://www.w3.org/2000/svg}polyline")
        assert len(lines) == panels * len(POLICIES)
        assert len({line.get("stroke-dasharray") for line in lines}) == len(POLICIES)
        assert "nan" not in text
        assert "a &lt; b" in text


def test_jobs_that_neither_wait_nor_run_can_be_drawn() -> None:
    workload = make_workload(name="none", submit_s=0, run_s=[0.0], cpu_milli=1)
    done = [replay(workload, machine(1), "easy")]
    assert "nan" not in draw_timeline(done, WORDS, title="x") + draw_waits(done, WORDS, title="x")
