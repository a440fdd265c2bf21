"""Pools and requests for tests: strategies, and short ways to write one down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from haihe.compute.placement import GPU_MILLI, Cluster, Node, Request, empty_cluster

MODELS = ("", "A", "B")


def node(name: str, *, gpus: int = 1, cpu: int = 16, memory: int = 64, model: str = "A") -> Node:
    """A node; CPUs in cores, memory in GiB."""
    return Node(
        name=name,
        cpu_milli=cpu * 1_000,
        memory_mib=memory * 1_024,
        gpus=gpus,
        gpu_model=model if gpus else "",
    )


def share(gpu_milli: int, *, cpu: int = 1, memory: int = 1, models: str = "") -> Request:
    """A request for a share of one GPU; a model for each letter of ``models``."""
    return Request(
        cpu_milli=cpu * 1_000,
        memory_mib=memory * 1_024,
        gpus=1,
        gpu_milli=gpu_milli,
        models=frozenset(models),
    )


def whole(gpus: int, *, cpu: int = 1, memory: int = 1, models: str = "") -> Request:
    """A request for whole GPUs."""
    return Request(
        cpu_milli=cpu * 1_000,
        memory_mib=memory * 1_024,
        gpus=gpus,
        gpu_milli=GPU_MILLI,
        models=frozenset(models),
    )


def cpu_only(cpu: int) -> Request:
    """A request without a GPU."""
    return Request(cpu_milli=cpu * 1_000, memory_mib=0)


def cluster_of(nodes: Sequence[Node], policy: str, history: Sequence[Request] = ()) -> Cluster:
    """An empty cluster; without a history, one share of half a GPU is what is typical."""
    counts = Counter(history or [share(500)])
    return empty_cluster(nodes, policy, history=counts, random=np.random.default_rng(1))


@st.composite
def pools(draw: st.DrawFn) -> list[Node]:
    """One to six nodes."""
    return [
        Node(
            name=f"node-{number}",
            cpu_milli=draw(st.integers(1_000, 16_000)),
            memory_mib=draw(st.integers(0, 64_000)),
            gpus=(gpus := draw(st.integers(0, 4))),
            gpu_model=draw(st.sampled_from(MODELS)) if gpus else "",
        )
        for number in range(draw(st.integers(1, 6)))
    ]


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """Any request that the pools may or may not hold."""
    gpus = draw(st.integers(0, 4))
    least = 1 if gpus == 1 else GPU_MILLI
    sizes = st.sampled_from([size for size in (1, 230, 470, 500, 810, GPU_MILLI) if size >= least])
    models = st.frozensets(st.sampled_from(MODELS[1:]), max_size=2)
    return Request(
        cpu_milli=draw(st.integers(0, 8_000)),
        memory_mib=draw(st.integers(0, 32_000)),
        gpus=gpus,
        gpu_milli=draw(sizes) if gpus else 0,
        models=draw(models) if gpus else frozenset(),
    )
