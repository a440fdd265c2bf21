"""The benchmark's protocol and command, and Haihe's own policy on lists it was not made by."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
from typer.testing import CliRunner

from haihe.cli.bench import app
from haihe.cli.bench_placement import Stream, measure, parse_seeds
from haihe.compute.placement import POLICIES, Node, Request
from haihe.compute.placement.replay import arrivals, arrivals_up_to, gpu_capacity, renamed, replay
from haihe.compute.placement.traces import read_nodes, read_published, read_requests
from haihe.kernel.errors import InvalidField
from tests.compute.placement.making import cluster_of, cpu_only, node, share, whole

HELD_OUT = ("cpu235", "gpushare40", "gpuspec10", "multigpu30")


def test_arrivals_end_just_below_the_most_load() -> None:
    listed = [share(500), whole(2), cpu_only(1)]
    stream = arrivals(listed, 100_000, np.random.default_rng(1))
    asked = sum(request.shape.total_gpu_milli for request in stream)
    assert 130_000 - 2_000 <= asked <= 130_000
    assert set(stream) == set(listed)
    longer = arrivals(listed * 1_000, 100_000, np.random.default_rng(1))
    assert sum(request.shape.total_gpu_milli for request in longer) <= 130_000
    with pytest.raises(InvalidField, match="ask for more GPU"):
        arrivals([cpu_only(1)], 1_000, np.random.default_rng(1))


def test_a_curve_says_what_was_allocated_at_a_load() -> None:
    nodes = [node(f"{number}", cpu=64) for number in range(10)]
    curve = replay(cluster_of(nodes, "best-fit"), [share(600)] * 20)
    # Each GPU holds one share: six tenths of what has arrived, up to all ten.
    assert curve.allocation_at(60) == pytest.approx(60)
    assert curve.allocation_at(120) == pytest.approx(60)
    assert arrivals_up_to(60, [share(600)] * 20, 10_000) == 10
    with pytest.raises(InvalidField, match="within half a percent"):
        curve.allocation_at(99)


def test_nodes_keep_all_but_their_names() -> None:
    nodes = [node("a", gpus=1), node("b", gpus=2)]
    names = {one.name for one in renamed(nodes, np.random.default_rng(1))}
    assert {name.split("-", 1)[1] for name in names} == {"a", "b"}
    assert names != {"a", "b"}


@pytest.mark.parametrize(("text", "seeds"), [("7", [7]), ("1,5,42-44", [1, 5, 42, 43, 44])])
def test_seeds_are_numbers_and_ranges(text: str, seeds: list[int]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "5-", "-5", "9-1", "1-101", "1,,2", "4294967296"])
def test_what_is_no_list_of_seeds_is_refused(text: str) -> None:
    with pytest.raises(InvalidField):
        parse_seeds(text)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A trace of 300 GPUs, each less than half a percent, and what was published on it."""
    nodes = [[f"n{number}", 32_000, 131_072, 2, "T4"] for number in range(150)]
    pods = [
        ["p", 4_000, 8_192, 1, 470, ""],
        ["p", 8_000, 8_192, 1, 1_000, "T4|P100"],
        ["p", 2_000, 4_096, 0, 0, ""],
        ["p", 2_000, 4_096, 1, 320, ""],
    ]
    write(tmp_path / "openb_node_list_gpu_node.csv", "sn,cpu_milli,memory_mib,gpu,model", nodes)
    header = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec"
    write(tmp_path / "openb_pod_list_small.csv", header, pods * 5)
    expected = [["openb_pod_list_small", "06-FGD", seed, 90 + seed, 95] for seed in (1, 2)]
    header = "workload,sc_policy,seed,100,130"
    write(tmp_path / "analysis_allo_discrete.csv", header, expected)
    return tmp_path


def write(path: Path, header: str, rows: list[list[object]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header.split(","), *rows])


def test_the_command_prints_a_row_for_each_list_and_policy(tiny: Path) -> None:
    arguments = ["placement", "--trace", str(tiny), "--pods", "small", "--seeds", "1-2", "--json"]
    printed = CliRunner().invoke(app, [*arguments, "--expected", str(tiny)])
    assert printed.exit_code == 0, printed.output
    result = json.loads(printed.stdout)
    assert result["seeds"] == [1, 2]
    assert "linear programme" in result["bound"]
    assert [row["policy"] for row in result["rows"]] == list(POLICIES)
    for row in result["rows"]:
        assert row["pods"] == "small"
        assert 0 < row["mean_100"] <= row["bound_100"] <= 100
        assert row["mean_100"] <= row["mean_130"] + 5
        assert row["std_100"] >= 0
        assert row["decisions_per_s"] > 0
    published = {
        row["policy"]: (row["published_100"], row["published_130"]) for row in result["rows"]
    }
    assert published["fgd"] == (91.5, 95)
    assert published["haihe"] == (None, None)


def test_without_expected_figures_there_are_none(tiny: Path) -> None:
    arguments = ["placement", "--trace", str(tiny), "--pods", "small", "--seeds", "1"]
    rows = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)["rows"]
    assert {row["published_100"] for row in rows} == {None}
    table = CliRunner().invoke(app, arguments).stdout
    assert "decisions_per_s" in table
    assert "best-fit" in table


def test_what_is_no_trace_is_refused(tiny: Path) -> None:
    with pytest.raises(InvalidField, match="give a folder with this file"):
        read_nodes(tiny / "none")
    with pytest.raises(InvalidField, match="header lacks"):
        write(tiny / "openb_node_list_gpu_node.csv", "sn", [["a"]])
        read_nodes(tiny)
    write(tiny / "openb_pod_list_small.csv", "cpu_milli,memory_mib,num_gpu,gpu_milli", [["x"] * 4])
    with pytest.raises(InvalidField, match="num_gpu"):
        read_requests(tiny, "small")
    write(tiny / "analysis_allo_discrete.csv", "workload,sc_policy,100,130", [["x"] * 4])
    with pytest.raises(InvalidField, match="give a number"):
        read_published(tiny)


def mean_at_full_load(
    nodes: list[Node], listed: list[Request], policy: str, seeds: tuple[int, ...]
) -> float:
    streams = [Stream.of(nodes, listed, seed) for seed in seeds]
    return float(measure(streams, policy, Counter(listed))["mean_100"])


@pytest.mark.parametrize("name", HELD_OUT)
def test_haihe_is_above_fgd_on_lists_it_was_not_made_by(shared_data: Path, name: str) -> None:
    nodes = read_nodes(shared_data / "compute" / "openb")
    listed = read_requests(shared_data / "compute" / "openb", name)
    own, fgd = (mean_at_full_load(nodes, listed, policy, (7,)) for policy in ("haihe", "fgd"))
    assert own >= fgd


def test_haihe_is_above_fgd_on_made_mixes_by_half_a_point() -> None:
    gains = []
    for seed in range(6):
        nodes, listed = made_mix(np.random.default_rng(seed))
        assert gpu_capacity(nodes) > 0
        own, fgd = (mean_at_full_load(nodes, listed, name, (1, 2)) for name in ("haihe", "fgd"))
        gains.append(own - fgd)
    assert fmean(gains) >= 0.5, gains


def made_mix(random: np.random.Generator) -> tuple[list[Node], list[Request]]:
    """A pool of three kinds of node, and a mix of shares and whole GPUs that is nobody's trace."""
    nodes = [
        node(f"{model}{number}", gpus=gpus, cpu=gpus * int(per_gpu), memory=gpus * 64, model=model)
        for model, gpus, per_gpu in zip("ABC", (2, 4, 8), random.integers(8, 33, 3), strict=True)
        for number in range(40)
    ]
    classes: list[Request] = []
    for _ in range(12):
        cpu, memory = int(random.integers(1, 13)), int(random.integers(4, 49))
        models = str(random.choice(["", "", "", "A", "B", "AB"]))
        if random.random() < 0.6:
            milli = int(random.integers(2, 10)) * 100 + int(random.choice([0, 50]))
            classes.append(share(min(milli, 950), cpu=cpu, memory=memory, models=models))
        else:
            gpus = int(random.choice([1, 1, 2]))
            classes.append(whole(gpus, cpu=cpu * gpus, memory=memory * gpus, models=models))
    classes.append(cpu_only(int(random.integers(2, 17))))
    weights = random.dirichlet(np.ones(len(classes)))
    return nodes, [classes[index] for index in random.choice(len(classes), 600, p=weights)]
