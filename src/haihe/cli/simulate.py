"""``haihe simulate``: replay a trace on a modelled network, and ask what if.

The command reads files, shows progress and prints; what it prints is computed by
:mod:`haihe.compute.simulation`, and needs neither a database nor an installation.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from django.utils.translation import gettext as _
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from haihe.compute.domain import Objective
from haihe.compute.simulation import openb
from haihe.compute.simulation.back_test import back_test
from haihe.compute.simulation.engine import Replay, Tell, replay
from haihe.compute.simulation.figures import figures_of
from haihe.compute.simulation.network import Network, machine, read_network
from haihe.compute.simulation.plot import draw
from haihe.compute.simulation.policies import POLICIES
from haihe.compute.simulation.swf import read_swf
from haihe.compute.simulation.synthetic import make_synthetic
from haihe.compute.simulation.timeline import timeline_of
from haihe.compute.simulation.workload import Workload
from haihe.kernel.errors import InvalidField, StorageUnavailable
from haihe.kernel.terminal import AsJson, err, out, print_json, show_record, show_rows

LONG_TRACE_JOBS = 20_000
PLOT_POINTS = 480
MAX_MORE = 1_000_000
DEFAULT_PROCS = 1_024
FIGURES = (
    "policy", "utilisation", "mean_wait_s", "p95_wait_s", "max_wait_s", "bounded_slowdown",
    "light_wait_s", "seconds",
)  # fmt: skip
COSTS = ("energy_kwh", "carbon_kg", "cost_cny")
ERRORS = (
    "predictor", "median_absolute_error_s", "pinball_50_s", "pinball_90_s", "within_90",
)  # fmt: skip


class PolicyName(StrEnum):
    """What ``--policy`` takes."""

    FCFS = "fcfs"
    EASY = "easy"
    HAIHE = "haihe"
    ALL = "all"


def simulate(
    trace: Annotated[
        Path | None,
        typer.Option(
            help="A log in Standard Workload Format, plain or gzip, or an openb pod list."
        ),
    ] = None,
    synthetic: Annotated[
        int, typer.Option(min=0, help="Make a synthetic log of so many jobs instead.")
    ] = 0,
    load: Annotated[
        float, typer.Option(help="The synthetic log's work, of what could be done.")
    ] = 0.8,
    seed: Annotated[int, typer.Option(min=0, help="The synthetic log's seed.")] = 1,
    policy: Annotated[PolicyName, typer.Option(help="The policy, or all.")] = PolicyName.ALL,
    network: Annotated[
        Path | None, typer.Option(help="A modelled network (TOML), or an openb node list.")
    ] = None,
    procs: Annotated[
        int, typer.Option(min=0, help="Processors of the machine, if not those of the log.")
    ] = 0,
    objective: Annotated[
        Objective, typer.Option(help="What decides between pools.")
    ] = Objective.SOONEST,
    load_factor: Annotated[
        float, typer.Option(help="Submit the same jobs so many times as fast.")
    ] = 1.0,
    add_nodes: Annotated[
        int, typer.Option(min=0, max=MAX_MORE, help="What if a pool had so many nodes more.")
    ] = 0,
    add_gpus: Annotated[
        int, typer.Option(min=0, max=MAX_MORE, help="What if a pool had so many GPUs more.")
    ] = 0,
    at: Annotated[str, typer.Option(help="The pool that grows, as centre/pool.")] = "",
    without: Annotated[
        list[str] | None, typer.Option(help="What if this centre was lost. May be given again.")
    ] = None,
    with_back_test: Annotated[
        bool, typer.Option("--back-test", help="Test the queue model: predict each wait.")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option(help="Write utilisation and queue over time as SVG.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Replay a trace on a modelled network: waiting, slowdown, utilisation, energy and cost."""
    jobs, modelled, size = _given(trace, synthetic, load, seed, network, procs)
    for centre in without or ():
        modelled = modelled.without(centre)
    if add_nodes:
        modelled = modelled.with_nodes(add_nodes, at=at)
    if add_gpus:
        modelled = modelled.with_gpus(add_gpus, at=at)
    if load_factor != 1.0:
        jobs = jobs.at_load(load_factor)
    task = _Task(
        jobs, modelled, objective, [*POLICIES] if policy == PolicyName.ALL else [policy.value]
    )
    answer = _about(task, size)
    if with_back_test:
        answer["rows"] = task.back_tests()
        _show(answer, ("policy", *ERRORS), as_json=as_json)
        return
    replays, answer["rows"] = task.replays()
    if plot is not None:
        _write_plot(plot, replays)
        answer["plot"] = str(plot)
    costs = COSTS if any(row[name] for row in answer["rows"] for name in COSTS) else ()
    _show(answer, (*FIGURES, *costs), as_json=as_json)


@dataclass(frozen=True)
class _Task:
    workload: Workload
    network: Network
    objective: Objective
    policies: list[str]

    def replays(self) -> tuple[list[Replay], list[dict[str, Any]]]:
        """Each policy's replay, and its figures with the time that it took."""
        done, rows = [], []
        for policy in self.policies:
            with _progress(policy, len(self.workload)) as tell:
                began = time.perf_counter()
                result = replay(
                    self.workload, self.network, policy, objective=self.objective, tell=tell
                )
                seconds = round(time.perf_counter() - began, 2)
            done.append(result)
            rows.append({**figures_of(result), "seconds": seconds})
        return done, rows

    def back_tests(self) -> list[dict[str, Any]]:
        """Each policy's predictors, side by side."""
        rows = []
        for policy in self.policies:
            with _progress(policy, len(self.workload)) as tell:
                rows += back_test(
                    self.workload, self.network, policy, objective=self.objective, tell=tell
                )
        return rows


@dataclass(frozen=True)
class _Size:
    """Of the machine of a log: its processors, and how they are known."""

    procs: int
    source: str


def _given(
    trace: Path | None, synthetic: int, load: float, seed: int, network: Path | None, procs: int
) -> tuple[Workload, Network, _Size | None]:
    """The jobs and the network that the options name."""
    if (trace is None) == (synthetic == 0):
        raise InvalidField(field="--trace", value=str(trace), rule="give this or --synthetic")
    if network is not None and procs:
        raise InvalidField(field="--procs", value=procs, rule="give this or --network")
    own = None if network is None else _network(network)
    if synthetic:
        size = _Size(procs or DEFAULT_PROCS, "--procs" if procs else "default")
        jobs = make_synthetic(jobs=synthetic, procs=size.procs, load=load, seed=seed)
        return jobs, own or machine(size.procs), None if own else size
    assert trace is not None
    if trace.suffix == ".csv":
        if procs:
            raise InvalidField(
                field="--procs", value=procs, rule="give --network for an openb list"
            )
        return openb.read_pods(trace), own or openb.read_nodes(openb.nodes_beside(trace)), None
    log = read_swf(trace)
    size = _Size(procs, "--procs") if procs else _Size(log.procs, log.procs_from)
    nodes = 0 if procs else log.header.get("MaxNodes", 0)
    return log.workload, own or machine(size.procs, nodes=nodes), None if own else size


def _network(path: Path) -> Network:
    return openb.read_nodes(path) if path.suffix == ".csv" else read_network(path)


def _about(task: _Task, size: _Size | None) -> dict[str, Any]:
    """What was replayed on what, for the reader of the figures."""
    capacity = [pool.capacity for _, _, pool in task.network.pools]
    return {
        "trace": task.workload.name,
        "jobs": len(task.workload),
        "notes": dict(task.workload.notes),
        "pools": len(capacity),
        "cpus": sum(one.cpu_milli for one in capacity) / 1_000,
        "gpus": sum(one.gpu_milli for one in capacity) / 1_000,
        **({"procs": size.procs, "procs_from": size.source} if size else {}),
    }


def _show(answer: dict[str, Any], columns: tuple[str, ...], *, as_json: bool) -> None:
    if as_json:
        print_json(answer)
        return
    show_record({name: value for name, value in answer.items() if name != "rows"}, as_json=False)
    out.print()
    show_rows(answer["rows"], columns=columns, as_json=False)


def _write_plot(path: Path, replays: list[Replay]) -> None:
    text = draw(
        [timeline_of(done, points=PLOT_POINTS) for done in replays],
        title=replays[0].workload.name,
        words=(_("Utilisation"), _("Jobs waiting"), _("days")),
    )
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageUnavailable(place=str(path), reason=reason) from None


@contextmanager
def _progress(policy: str, jobs: int) -> Iterator[Tell | None]:
    """A bar on stderr while a long trace is replayed; one line where stderr is no terminal."""
    if jobs < LONG_TRACE_JOBS:
        yield None
        return
    if not err.is_terminal:
        err.print(Text(_("{policy}: replaying {jobs} jobs").format(policy=policy, jobs=jobs)))
        yield None
        return
    bar = Progress(
        TextColumn(policy), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        console=err, transient=True,
    )  # fmt: skip
    with bar:
        task = bar.add_task(policy, total=jobs)
        yield lambda done, total: bar.update(task, completed=done, total=total)
