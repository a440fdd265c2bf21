"""The placement benchmark: every packing policy on a trace, beside what was published on it.

The protocol is that of :mod:`haihe.compute.placement.replay`: of each pod list and seed one stream
of arrivals, the same for every policy. No policy is told more of it than FGD was: how often each
request occurs in the list.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from django.utils.translation import gettext as _
from rich.progress import Progress

from haihe.compute.placement import bound, policies, replay, traces
from haihe.compute.placement.mix import History
from haihe.compute.placement.model import GPU_MILLI, Node, Request
from haihe.kernel.errors import InvalidField
from haihe.kernel.terminal import AsJson, err, print_json, show_rows

FULL, MOST = 100, 130
SEEDS_LIMIT = 100
SEED_LIMIT = 2**32
COLUMNS = (
    "pods",
    "policy",
    "mean_100",
    "mean_130",
    "std_100",
    "published_100",
    "published_130",
    "decisions_per_s",
    "bound_100",
)


def placement(
    trace: Annotated[Path, typer.Option(help="Folder with the openb node and pod lists.")],
    expected: Annotated[
        Path | None, typer.Option(help="Folder with the figures published on it.")
    ] = None,
    pods: Annotated[str, typer.Option(help="Pod lists by name, with commas.")] = "default",
    seeds: Annotated[str, typer.Option(help="Seeds, with commas and ranges: 42-46.")] = "42-46",
    as_json: AsJson = False,
) -> None:
    """Every packing policy on a GPU trace, with an upper bound and what was published."""
    published = traces.read_published(expected) if expected else {}
    nodes = traces.read_nodes(trace)
    numbers = parse_seeds(seeds)
    lists = {name: traces.read_requests(trace, name) for name in pods.split(",")}
    rows: list[dict[str, Any]] = []
    with Progress(console=err, transient=True) as progress:
        task = progress.add_task(_("Replaying"), total=len(lists) * (len(policies.POLICIES) + 1))
        for name, requests in lists.items():
            streams = [Stream.of(nodes, requests, seed) for seed in numbers]
            most = statistics.fmean(stream.bound() for stream in streams)
            progress.advance(task)
            for policy in policies.POLICIES:
                figures = measure(streams, policy, Counter(requests))
                rows.append(
                    {
                        "pods": name,
                        "policy": policy,
                        **figures,
                        "published_100": _published(published, name, policy, FULL),
                        "published_130": _published(published, name, policy, MOST),
                        "bound_100": round(most, 2),
                    }
                )
                progress.advance(task)
    if as_json:
        print_json({"seeds": numbers, "bound": bound.HOW, "rows": rows})
    else:
        show_rows(rows, columns=COLUMNS, as_json=False)


@dataclass(frozen=True)
class Stream:
    """One run's arrivals, and the nodes under the names that decide its ties."""

    seed: int
    nodes: Sequence[Node]
    arrivals: Sequence[Request]

    @classmethod
    def of(cls, nodes: Sequence[Node], requests: Sequence[Request], seed: int) -> Stream:
        """The stream of a pod list under a seed."""
        random = np.random.default_rng(seed)
        arrivals = replay.arrivals(requests, replay.gpu_capacity(nodes), random)
        return cls(seed, replay.renamed(nodes, random), arrivals)

    def bound(self) -> float:
        """The most that could be allocated of what arrives at full load, in percent."""
        capacity = replay.gpu_capacity(self.nodes)
        count = replay.arrivals_up_to(FULL, self.arrivals, capacity)
        most = bound.most_gpus(self.nodes, Counter(self.arrivals[:count]))
        return most * GPU_MILLI / capacity * 100


def measure(streams: Sequence[Stream], policy: str, history: History) -> dict[str, Any]:
    """Allocation in percent at full and at most load over the streams, and decisions per second.

    The speed is that of the fastest stream: whatever else the machine does only slows a run down.
    """
    full, most, per_s = [], [], 0.0
    for stream in streams:
        cluster = policies.empty_cluster(
            stream.nodes, policy, history=history, random=np.random.default_rng(stream.seed)
        )
        began = time.perf_counter()
        curve = replay.replay(cluster, stream.arrivals)
        per_s = max(per_s, len(stream.arrivals) / (time.perf_counter() - began))
        full.append(curve.allocation_at(FULL))
        most.append(curve.allocation_at(MOST))
    return {
        "mean_100": round(statistics.fmean(full), 2),
        "mean_130": round(statistics.fmean(most), 2),
        "std_100": round(statistics.stdev(full), 3) if len(full) > 1 else 0.0,
        "decisions_per_s": round(per_s),
    }


def parse_seeds(text: str) -> list[int]:
    """Seeds from a list such as ``1,5,42-46``.

    Raises
    ------
    InvalidField
        If it is no such list, or longer than :data:`SEEDS_LIMIT`.
    """
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        ends = [first, last if dash else first]
        if not all(end.isascii() and end.isdecimal() and int(end) < SEED_LIMIT for end in ends):
            raise InvalidField(field="seeds", value=text, rule=_("give numbers such as 1,5,42-46"))
        begin, end = int(ends[0]), int(ends[1])
        if begin > end or len(seeds) + end - begin >= SEEDS_LIMIT:
            rule = _("give 1 to {limit} seeds, ranges upwards").format(limit=SEEDS_LIMIT)
            raise InvalidField(field="seeds", value=text, rule=rule)
        seeds += range(begin, end + 1)
    return seeds


def _published(figures: traces.Published, name: str, policy: str, load: int) -> float | None:
    mean = figures.get((name, policy), {}).get(load)
    return None if mean is None else round(mean, 2)
