"""Everything else that a simulation reads: workloads, networks, the openb trace, made logs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from haihe.compute.simulation import openb
from haihe.compute.simulation.engine import replay
from haihe.compute.simulation.errors import BadNetwork, BadTrace, BadWorkload, NoTrace
from haihe.compute.simulation.figures import figures_of
from haihe.compute.simulation.network import Network, machine, read_network
from haihe.compute.simulation.synthetic import make_synthetic
from haihe.compute.simulation.workload import make_workload
from haihe.kernel.errors import InvalidField, MissingRecord

GOOD = """
[[centre]]
slug = "north"
carbon_g_per_kwh = 560
[[centre.pool]]
slug = "a100"
nodes = 3
cpu = 96
memory_gib = 768
gpus = 8
model = "A100"
cpu_hour_cny = "0.20"
gpu_hour_cny = "8.50"
[[centre.pool]]
slug = "cpu"
cpu = 64
[[centre]]
slug = "south"
[[centre.pool]]
slug = "cpu"
cpu = 64
"""


def network_of(folder: Path, text: str) -> Network:
    """A network from its text."""
    path = folder / "network.toml"
    path.write_text(text, "utf-8")
    return read_network(path)


# --- workloads -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"submit_s": [-1.0]}, "submit_s"),
        ({"run_s": [-1.0]}, "run_s"),
        ({"run_s": [np.inf]}, "run_s"),
        ({"run_s": [1.0, 2.0]}, "run_s"),
        ({"cpu_milli": [-1]}, "cpu_milli"),
        ({"cpu_milli": [0]}, "cpu_milli"),
        ({"deadline_s": [np.nan]}, "deadline_s"),
        ({"models": [2], "model_names": ("A100",)}, "models"),
    ],
)
def test_a_wrong_column_is_named(fields: dict[str, Any], field: str) -> None:
    usual: dict[str, Any] = {"submit_s": [0.0], "run_s": [1.0], "cpu_milli": [1]}
    with pytest.raises(BadWorkload, match=f"The workload's {field} "):
        make_workload(name="wrong", **(usual | fields))


def test_raising_the_load_moves_submissions_together_and_nothing_else() -> None:
    jobs = make_workload(name="x", submit_s=[10, 20, 40], run_s=5, cpu_milli=1, deadline_s=60)
    faster = jobs.at_load(2)
    assert faster.submit_s.tolist() == [10, 15, 25]
    assert faster.run_s.tolist() == jobs.run_s.tolist()
    assert (faster.deadline_s - faster.submit_s).tolist() == [50, 40, 20]
    with pytest.raises(BadWorkload, match="load factor"):
        jobs.at_load(0)


@pytest.mark.parametrize("load", [0.5, 0.9])
def test_a_made_log_has_the_load_that_was_asked_for(load: float) -> None:
    jobs = make_synthetic(jobs=5_000, procs=256, load=load, seed=3)
    span_s = jobs.submit_s.max() - jobs.submit_s.min()
    work = float(jobs.cpu_milli @ jobs.run_s) / 1_000 / 256
    assert work / span_s == pytest.approx(load, rel=0.3)
    again = make_synthetic(jobs=5_000, procs=256, load=load, seed=3)
    for name, column in jobs.columns.items():
        assert np.array_equal(column, again.columns[name], equal_nan=True), name


@pytest.mark.parametrize("wrong", [{"jobs": 0}, {"procs": 0}, {"load": 0.0}])
def test_a_log_that_cannot_be_made_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadWorkload):
        make_synthetic(**({"jobs": 10, "procs": 8, "load": 0.5, "seed": 1} | wrong))


# --- networks ------------------------------------------------------------------------------------


def test_a_network_is_read(tmp_path: Path) -> None:
    network = network_of(tmp_path, GOOD)
    assert [name for name, _, _ in network.pools] == ["north/a100", "north/cpu", "south/cpu"]
    pool = network.pools[0][2]
    assert (pool.capacity.cpu_milli, pool.capacity.gpu_milli) == (288_000, 24_000)
    assert (pool.cpu_hour_micro, pool.gpu_hour_micro) == (200_000, 8_500_000)


def test_what_if_there_was_more_or_less(tmp_path: Path) -> None:
    network = network_of(tmp_path, GOOD)
    assert network.with_gpus(9).pools[0][2].nodes == 5  # in whole nodes
    assert network.with_nodes(2, at="south/cpu").pools[2][2].nodes == 3
    assert [name for name, _, _ in network.without("north").pools] == ["south/cpu"]
    assert network.pools[0][2].nodes == 3


def test_what_if_refuses_what_is_not_there(tmp_path: Path) -> None:
    network = network_of(tmp_path, GOOD)
    with pytest.raises(BadNetwork, match="must be one of north/a100, north/cpu, south/cpu"):
        network.with_nodes(1)
    with pytest.raises(BadNetwork, match="pool must be one of north/a100"):
        network.with_gpus(1, at="south/cpu")
    with pytest.raises(BadNetwork, match="has no pool with GPUs"):
        network.without("north").with_gpus(1)
    with pytest.raises(MissingRecord, match="east"):
        network.without("east")
    with pytest.raises(BadNetwork, match="nothing would be left"):
        network.without("north").without("south")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("[[centre", "is no TOML"),
        ("", "centre is wrong"),
        (GOOD.replace("nodes = 3", "nodes = -3"), "centre.0.pool.0.nodes is wrong"),
        (GOOD.replace("nodes = 3", "nodez = 3"), "nodez is wrong"),
        (GOOD.replace("cpu = 96", "cpu = nan"), "centre.0.pool.0.cpu is wrong"),
        (
            GOOD.replace('slug = "cpu"\ncpu = 64\n[[', 'slug = "a100"\ncpu = 64\n[['),
            "is there twice",
        ),
    ],
)
def test_a_wrong_network_is_named(tmp_path: Path, text: str, names: str) -> None:
    with pytest.raises(BadNetwork, match=names):
        network_of(tmp_path, text)


def test_the_machine_of_a_log_has_its_nodes_where_they_divide() -> None:
    assert machine(64, nodes=16).pools[0][2].cpu == 4
    assert machine(64, nodes=15).pools[0][2].nodes == 64


# --- openb ---------------------------------------------------------------------------------------

NODES = "sn,cpu_milli,memory_mib,gpu,model\n" + "".join(
    f"node-{number},32000,131072,2,{model}\n" for number, model in enumerate(("T4", "T4", "G2"))
)
PODS = (
    "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,"
    "creation_time,deletion_time,scheduled_time\n"
)


def pods(folder: Path, *rows: str, header: str = PODS) -> Path:
    """A pod list with a node list beside it."""
    (folder / "openb_node_list_gpu_node.csv").write_text(NODES)
    path = folder / "openb_pod_list_small.csv"
    path.write_text(header + "".join(row + "\n" for row in rows))
    return path


def test_a_pod_list_is_read_with_its_nodes(tmp_path: Path) -> None:
    path = pods(
        tmp_path,
        "a,4000,8192,1,500,,LS,0,100,10",
        "b,4000,8192,2,1000,T4|G2,BE,5,50,5",
        "c,4000,8192,0,0,,,7,20,7",
        "d,4000,8192,1,1000,,LS,9,,",
    )
    jobs, network = openb.read_pods(path), openb.nodes_beside(path)
    assert jobs.gpu_milli.tolist() == [500, 2_000, 0]
    assert jobs.run_s.tolist() == [90, 45, 13]
    assert jobs.observed_wait_s.tolist() == [10, 0, 0]
    assert jobs.models.tolist() == [0, 3, 0]
    assert jobs.notes == {"never_ran": 1, "no_request": 3}
    assert [(pool.model, pool.nodes) for _, _, pool in network.pools] == [("G2", 1), ("T4", 2)]
    assert figures_of(replay(jobs, network, "easy"))["jobs"] == 3


def test_wrong_pod_lists_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadTrace, match="line 3: has 'soon' in column deletion_time"):
        openb.read_pods(pods(tmp_path, "a,1,1,0,0,,,0,9,0", "b,1,1,0,0,,,0,soon,0"))
    with pytest.raises(BadTrace, match="run backwards"):
        openb.read_pods(pods(tmp_path, "a,1,1,0,0,,,9,5,9"))
    with pytest.raises(BadTrace, match="no pod that was scheduled"):
        openb.read_pods(pods(tmp_path, "a,1,1,0,0,,,9,,"))
    with pytest.raises(BadTrace, match="has no column creation_time"):
        openb.read_pods(pods(tmp_path, header="name,cpu_milli,memory_mib,num_gpu,gpu_milli\n"))
    with pytest.raises(InvalidField, match="cpu_milli"):
        openb.read_pods(pods(tmp_path, "a,many,1,0,0,,,0,9,0"))
    with pytest.raises(NoTrace):
        openb.read_pods(tmp_path / "openb_pod_list_none.csv")
    (tmp_path / "other.csv").write_text(PODS)
    with pytest.raises(InvalidField, match="is called openb_pod_list_NAME.csv"):
        openb.read_pods(tmp_path / "other.csv")
    alone = tmp_path / "alone"
    alone.mkdir()
    with pytest.raises(InvalidField, match="put the trace's node list there"):
        openb.nodes_beside(alone / "openb_pod_list_small.csv")


def test_the_published_trace_replays(shared_data: Path) -> None:
    path = shared_data / "compute" / "openb" / "openb_pod_list_default.csv"
    jobs = openb.read_pods(path)
    assert len(jobs) == 7_255
    figures = figures_of(replay(jobs, openb.nodes_beside(path), "haihe"))
    assert (figures["jobs"], figures["too_large"]) == (7_255, 0)
    assert 0 <= figures["fragmentation"] < 0.2
