"""``haihe simulate``: replay a trace on a modelled network, and ask what if.

The command reads files, shows progress and prints; what it prints is computed by
:mod:`haihe.compute.simulation`. Only ``--history`` and ``--platform`` need an installation.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from django.utils.translation import gettext as _
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from haihe.compute.domain import MILLI, Objective
from haihe.compute.simulation import openb
from haihe.compute.simulation.back_test import back_test
from haihe.compute.simulation.engine import Replay, Tell, eligible, replay
from haihe.compute.simulation.figures import figures_of
from haihe.compute.simulation.network import Network, machine, read_network
from haihe.compute.simulation.plots import Words, draw_timeline, draw_waits
from haihe.compute.simulation.policies import POLICIES
from haihe.compute.simulation.records import read_history, read_platform
from haihe.compute.simulation.swf import read_swf
from haihe.compute.simulation.synthetic import make_synthetic
from haihe.compute.simulation.workload import Workload
from haihe.kernel.errors import InvalidField, StorageUnavailable
from haihe.kernel.terminal import AsJson, err, out, print_json, show_record, show_rows
from haihe.policy.cli import caller

LONG_TRACE_JOBS = 20_000
MAX_MORE = 1_000_000
DEFAULT_PROCS = 1_024
NAMED = 10  # jobs that are too large are named up to so many
AS_IS, WHAT_IF = "as-is", "what-if"
FIGURES = (
    "policy", "utilisation", "mean_wait_s", "p99_wait_s", "max_wait_s", "bounded_slowdown",
    "seconds",
)  # fmt: skip
MORE_FIGURES = (
    "light_wait_s", "late", "fragmentation", "scattered", "energy_kwh", "carbon_kg", "cost_cny",
)  # fmt: skip
ERRORS = (
    "policy", "predictor", "mean_absolute_error_s", "median_absolute_error_s", "pinball_50_s",
    "pinball_90_s", "coverage_90",
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
    history: Annotated[
        bool, typer.Option("--history", help="Replay the platform's own finished jobs.")
    ] = False,
    since: Annotated[
        datetime | None, typer.Option(help="Of the history, the jobs submitted from here on.")
    ] = None,
    synthetic: Annotated[int, typer.Option(min=0, help="Make a log of so many jobs.")] = 0,
    load: Annotated[
        float, typer.Option(help="The synthetic log's work, of what could be done.")
    ] = 0.8,
    seed: Annotated[int, typer.Option(min=0, help="The synthetic log's seed.")] = 1,
    policy: Annotated[PolicyName, typer.Option(help="The policy, or all.")] = PolicyName.ALL,
    network: Annotated[Path | None, typer.Option(help="A modelled network, as FILE.toml.")] = None,
    platform: Annotated[
        bool, typer.Option("--platform", help="The platform's own open pools as the network.")
    ] = False,
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
    plots: Annotated[Path | None, typer.Option(help="Write plots as SVG into this folder.")] = None,
    as_json: AsJson = False,
) -> None:
    """Replay a trace on a modelled network: waiting, slowdown, utilisation, energy and cost.

    What would be different with more nodes or GPUs, or without a centre, is shown beside what is.
    """
    source = _Source(trace, history, since, synthetic, load, seed)
    jobs, modelled, about = _given(source, network, platform=platform, procs=procs)
    if load_factor != 1.0:
        jobs = jobs.at_load(load_factor)
    policies = list(POLICIES) if policy == PolicyName.ALL else [policy.value]
    networks = {AS_IS: modelled}
    if without or add_nodes or add_gpus:
        networks[WHAT_IF] = _changed(modelled, without or (), add_nodes, add_gpus, at)
    elif at:
        raise InvalidField(field="--at", value=at, rule="give it with --add-nodes or --add-gpus")
    if with_back_test and plots is not None:
        raise InvalidField(field="--plots", value=str(plots), rule="give this or --back-test")
    answer = {"trace": jobs.name, "jobs": len(jobs), "notes": dict(jobs.notes), **about}
    answer["networks"] = [_shape(name, jobs, one) for name, one in networks.items()]
    answer["rows"] = rows = []
    for name, one in networks.items():
        task = _Task(jobs, one, objective, policies, {"network": name})
        if with_back_test:
            rows += task.back_tests()
            continue
        replays, figures = task.replays()
        rows += figures
        if plots is not None:
            answer.setdefault("plots", []).extend(_write_plots(plots, name, replays))
    columns = ERRORS if with_back_test else (*FIGURES, *_with_values(MORE_FIGURES, rows))
    _show(answer, columns if len(networks) == 1 else ("network", *columns), as_json=as_json)


# --- what is replayed, and on what ---------------------------------------------------------------


@dataclass(frozen=True)
class _Source:
    """Where the jobs come from, as the options say it."""

    trace: Path | None
    history: bool
    since: datetime | None
    synthetic: int
    load: float
    seed: int

    def check(self) -> None:
        """Refuse two sources, or none."""
        if (self.trace is not None) + self.history + (self.synthetic > 0) != 1:
            rule = "give exactly one of --trace, --history and --synthetic"
            raise InvalidField(field="--trace", value=str(self.trace or ""), rule=rule)
        if self.since is not None and not self.history:
            raise InvalidField(field="--since", value=self.since, rule="give it with --history")


def _given(
    source: _Source, network: Path | None, *, platform: bool, procs: int
) -> tuple[Workload, Network, dict[str, Any]]:
    """The jobs, the network, and what is to be known of the two."""
    source.check()
    if (network is not None) + platform + (procs > 0) > 1:
        rule = "give at most one of --network, --platform and --procs"
        raise InvalidField(field="--network", value=str(network or ""), rule=rule)
    own = read_network(network) if network else read_platform(caller()) if platform else None
    trace = source.trace
    if source.synthetic:
        size = procs or DEFAULT_PROCS
        jobs = make_synthetic(jobs=source.synthetic, procs=size, load=source.load, seed=source.seed)
        size_from = "--procs" if procs else "default"
        return jobs, own or machine(size), {} if own else _size(size, size_from)
    if trace is None:
        jobs = read_history(caller(), since=source.since and source.since.astimezone())
        own = own or (machine(procs) if procs else read_platform(caller()))
        return jobs, own, _size(procs, "--procs") if procs else {}
    if trace.suffix == ".csv":
        jobs = openb.read_pods(trace)
        own = own or (machine(procs) if procs else openb.nodes_beside(trace))
        return jobs, own, _size(procs, "--procs") if procs else {}
    log = read_swf(trace)
    if own is not None:
        return log.workload, own, {}
    if procs:
        return log.workload, machine(procs), _size(procs, "--procs")
    modelled = machine(log.procs, nodes=log.header.get("MaxNodes", 0))
    return log.workload, modelled, _size(log.procs, log.procs_from)


def _size(procs: int, source: str) -> dict[str, Any]:
    """The processors of the machine of a log, and how they are known."""
    return {"procs": procs, "procs_from": source}


def _changed(
    network: Network, without: Sequence[str], add_nodes: int, add_gpus: int, at: str
) -> Network:
    """The network after what is asked about has happened."""
    for centre in without:
        network = network.without(centre)
    if add_nodes:
        network = network.with_nodes(add_nodes, at=at)
    return network.with_gpus(add_gpus, at=at) if add_gpus else network


def _shape(name: str, jobs: Workload, network: Network) -> dict[str, Any]:
    """How large a network is, and which jobs no pool of it can hold."""
    whole = [pool.capacity for _, _, pool in network.pools]
    too_large = jobs.label[~eligible(jobs, network).any(axis=1)]
    return {
        "network": name,
        "pools": len(whole),
        "cpus": sum(one.cpu_milli for one in whole) / MILLI,
        "gpus": sum(one.gpu_milli for one in whole) / MILLI,
        "too_large": len(too_large),
        "too_large_jobs": too_large[:NAMED].tolist(),
    }


# --- replaying -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Task:
    workload: Workload
    network: Network
    objective: Objective
    policies: list[str]
    about: dict[str, Any]

    def replays(self) -> tuple[list[Replay], list[dict[str, Any]]]:
        """Each policy's replay, and its figures with the time that the replay took."""
        done, rows = [], []
        for policy in self.policies:
            with _progress(policy, len(self.workload)) as tell:
                began = time.perf_counter()
                result = replay(
                    self.workload, self.network, policy, objective=self.objective, tell=tell
                )
                seconds = round(time.perf_counter() - began, 2)
            done.append(result)
            rows.append({**self.about, **figures_of(result), "seconds": seconds})
        return done, rows

    def back_tests(self) -> list[dict[str, Any]]:
        """Each policy's predictors, side by side."""
        rows = []
        for policy in self.policies:
            with _progress(policy, len(self.workload)) as tell:
                scores = back_test(
                    self.workload, self.network, policy, objective=self.objective, tell=tell
                )
            rows += [{**self.about, **score} for score in scores]
        return rows


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


# --- what is shown -------------------------------------------------------------------------------


def _with_values(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """The columns in which some row has a value other than nothing."""
    return tuple(name for name in columns if any(row[name] not in (None, 0) for row in rows))


def _show(answer: dict[str, Any], columns: tuple[str, ...], *, as_json: bool) -> None:
    for network in answer["networks"]:
        if network["too_large"]:
            _say_too_large(network)
    if as_json:
        print_json(answer)
        return
    apart = ("rows", "networks")
    show_record({name: value for name, value in answer.items() if name not in apart}, as_json=False)
    out.print()
    shape = ("network", "pools", "cpus", "gpus", "too_large")
    show_rows(answer["networks"], columns=shape, as_json=False)
    out.print()
    show_rows(answer["rows"], columns=columns, as_json=False)


def _say_too_large(network: dict[str, Any]) -> None:
    text = _("{network}: {count} jobs fit into no pool and are left out: {jobs}{more}")
    more = ", ..." if network["too_large"] > len(network["too_large_jobs"]) else ""
    jobs = ", ".join(map(str, network["too_large_jobs"]))
    err.print(
        Text(
            text.format(
                network=network["network"], count=network["too_large"], jobs=jobs, more=more
            )
        )
    )


def _write_plots(folder: Path, network: str, replays: list[Replay]) -> list[str]:
    """Two files for a network; their paths."""
    words = Words(
        utilisation=_("Utilisation"),
        waiting=_("Jobs waiting"),
        days=_("Days"),
        started=_("Share of jobs that had started"),
        wait=_("Wait"),
    )
    title = f"{replays[0].workload.name} ({network})"
    documents = {
        folder / f"timeline-{network}.svg": draw_timeline(replays, words, title=title),
        folder / f"waits-{network}.svg": draw_waits(replays, words, title=title),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in documents.items():
            path.write_text(text, "utf-8")
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageUnavailable(place=str(folder), reason=reason) from None
    return [str(path) for path in documents]
