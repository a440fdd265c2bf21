"""``haihe simulate`` as its user has it: fields, what-if, plots, back-test, errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from haihe.cli import simulate
from haihe.compute.simulation.errors import BadNetwork, BadTrace, NothingToRun, NoTrace
from haihe.kernel.errors import InvalidField, MissingRecord, StorageUnavailable
from haihe.kernel.terminal import exit_code_of
from tests.callers import haihe, said

POLICIES = ["fcfs", "easy", "haihe"]
NETWORK = """
[[centre]]
slug = "north"
[[centre.pool]]
slug = "gpu"
nodes = 2
cpu = 8
gpus = 4
gpu_hour_cny = "8"
idle_w = 100
busy_w = 500
[[centre]]
slug = "south"
[[centre.pool]]
slug = "cpu"
cpu = 16
"""


def swf(folder: Path, *sizes: int, seconds: int = 600) -> Path:
    """A log of jobs of these sizes, a minute apart, on a machine of 16 processors."""
    path = folder / "small.swf"
    lines = [
        f"{number} {60 * number} 0 {seconds} {size} -1 -1 {size} {2 * seconds} -1 1 {number % 3} "
        "1 -1 -1 -1 -1 -1"
        for number, size in enumerate(sizes, 1)
    ]
    path.write_text("; MaxProcs: 16\n" + "\n".join(lines) + "\n")
    return path


def network(folder: Path) -> Path:
    """Two centres."""
    path = folder / "network.toml"
    path.write_text(NETWORK)
    return path


def failed(*arguments: object) -> Any:
    """The error that a command ends with."""
    return haihe("simulate", *arguments).exception


def test_all_policies_replay_a_log(tmp_path: Path) -> None:
    answer = said(
        haihe("simulate", "--trace", swf(tmp_path, 8, 16, 4, 1), "--policy", "all", "--json")
    )
    assert (answer["trace"], answer["jobs"]) == ("small.swf", 4)
    assert (answer["procs"], answer["procs_from"]) == (16, "header MaxProcs")
    assert [row["policy"] for row in answer["rows"]] == POLICIES
    for row in answer["rows"]:
        assert 0 < row["utilisation"] <= 1
        assert row["mean_wait_s"] >= 0
        assert row["bounded_slowdown"] >= 1
        assert row["mean_wait_s"] <= row["p99_wait_s"] <= row["max_wait_s"]
    # First come: 8 until 660, then 16 until 1,260, and only then what was submitted at 180.
    assert answer["rows"][0]["max_wait_s"] == 1_260 - 180


def test_one_policy_prints_as_a_table(tmp_path: Path) -> None:
    result = haihe("simulate", "--trace", swf(tmp_path, 4), "--policy", "easy")
    assert result.exception is None
    assert "bounded_slowdown" in result.stdout
    assert "easy" in result.stdout
    assert "fcfs" not in result.stdout
    assert "energy_kwh" not in result.stdout  # nothing is known of it


def test_jobs_that_are_too_large_are_counted_and_named(tmp_path: Path) -> None:
    result = haihe("simulate", "--trace", swf(tmp_path, 4, 16, 2), "--procs", 8, "--json")
    answer = said(result)
    assert answer["networks"][0]["too_large"] == 1
    assert answer["networks"][0]["too_large_jobs"] == [2]
    assert all((row["jobs"], row["too_large"]) == (2, 1) for row in answer["rows"])
    assert "1 jobs fit into no pool and are left out: 2" in result.stderr


def test_what_if_stands_beside_what_is(tmp_path: Path) -> None:
    log, modelled = swf(tmp_path, *[8] * 12), network(tmp_path)
    options = ["--trace", log, "--network", modelled, "--policy", "easy", "--json"]
    grown = said(haihe("simulate", *options, "--add-gpus", 8))
    assert [one["gpus"] for one in grown["networks"]] == [8, 16]
    before, after = grown["rows"]
    assert (before["network"], after["network"]) == ("as-is", "what-if")
    assert after["mean_wait_s"] < before["mean_wait_s"]
    assert after["energy_kwh"] > 0
    lost = said(haihe("simulate", *options, "--without", "north"))
    assert [one["pools"] for one in lost["networks"]] == [2, 1]
    assert lost["rows"][1]["mean_wait_s"] > lost["rows"][0]["mean_wait_s"]
    more = said(haihe("simulate", *options, "--add-nodes", 1, "--at", "south/cpu"))
    assert [one["cpus"] for one in more["networks"]] == [32, 48]


def test_plots_are_files_in_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "plots"
    options = ["--trace", swf(tmp_path, 8, 8, 8), "--plots", folder, "--add-nodes", 1, "--json"]
    answer = said(haihe("simulate", *options))
    names = [f"{kind}-{one}.svg" for one in ("as-is", "what-if") for kind in ("timeline", "waits")]
    assert answer["plots"] == [str(folder / name) for name in names]
    assert all((folder / name).read_text("utf-8").startswith("<svg") for name in names)


def test_the_queue_model_is_tested_beside_naive_predictors() -> None:
    options = ["--synthetic", 1_500, "--procs", 64, "--policy", "easy", "--back-test", "--json"]
    rows = said(haihe("simulate", *options))["rows"]
    predictors = [row["predictor"] for row in rows]
    assert predictors == ["queue model", "last wait", "mean wait", "planned backlog"]
    for row in rows:
        assert 0 <= row["coverage_90"] <= 1
        assert row["mean_absolute_error_s"] >= 0


def test_a_pod_list_replays_on_its_own_nodes(shared_data: Path) -> None:
    trace = shared_data / "compute" / "openb" / "openb_pod_list_gpushare100.csv"
    answer = said(haihe("simulate", "--trace", trace, "--policy", "easy", "--json"))
    assert answer["networks"][0]["gpus"] == 6_212
    assert 0 <= answer["rows"][0]["fragmentation"] <= 1


def test_a_long_replay_says_what_it_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulate, "LONG_TRACE_JOBS", 2)
    result = haihe("simulate", "--trace", swf(tmp_path, 1, 1), "--policy", "fcfs", "--json")
    assert json.loads(result.stdout)["jobs"] == 2
    assert "fcfs: replaying 2 jobs" in result.stderr


def test_bad_input_is_named(tmp_path: Path) -> None:
    log = swf(tmp_path, 4)
    broken, empty = tmp_path / "broken.swf", tmp_path / "empty.swf"
    broken.write_text(log.read_text() + "2 60 zero\n")
    empty.touch()
    for options, kind, code in (
        (["--trace", broken], BadTrace, 2),
        (["--trace", empty], BadTrace, 2),
        (["--trace", tmp_path / "none.swf"], NoTrace, 4),
        (["--trace", log, "--network", tmp_path / "none.toml"], NoTrace, 4),
        (["--trace", log, "--network", log], BadNetwork, 2),
        (["--trace", log, "--procs", 2], NothingToRun, 6),
        (["--trace", log, "--without", "nowhere"], MissingRecord, 4),
        (["--trace", log, "--plots", log], StorageUnavailable, 8),
    ):
        error = failed(*options)
        assert isinstance(error, kind), options
        assert exit_code_of(error) == code


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--synthetic", 5, "--history"],
        ["--synthetic", 5, "--network", "x.toml", "--procs", 5],
        ["--synthetic", 5, "--platform", "--procs", 5],
        ["--synthetic", 5, "--since", "2026-01-01"],
        ["--synthetic", 5, "--at", "log/machine"],
        ["--synthetic", 5, "--back-test", "--plots", "x"],
    ],
)
def test_options_that_do_not_go_together_are_refused(options: list[object]) -> None:
    assert isinstance(failed(*options), InvalidField)
