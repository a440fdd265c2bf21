"""Fragmentation: how the jobs of a replay lie on the nodes of a pool, and what that leaves.

The replay counts a pool as one amount. Here each job that ran in it is put on nodes at its start
and taken off at its end, by the packing engine under FGD, and the GPUs that are idle and that a
typical request could not use are measured: the fragmentation of Q. Weng et al., "Beware of
Fragmentation", 2023. A job that is larger than a node takes several. One that finds no room at its
start, though the pool as a whole had it, is counted as ``scattered``: on real nodes it would have
had to wait.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from haihe.compute.placement.cluster import Cluster
from haihe.compute.placement.fragmentation import Fragmentation
from haihe.compute.placement.mix import typical
from haihe.compute.placement.model import (
    CPU_MILLI_LIMIT,
    GPU_MILLI,
    GPUS_PER_NODE_LIMIT,
    MEMORY_MIB_LIMIT,
    Node,
    Placement,
    Request,
)
from haihe.compute.placement.state import NODE_LIMIT, State
from haihe.compute.simulation.network import ModelledPool
from haihe.compute.simulation.workload import Floats, Workload

MIB = 1 << 20
SAMPLES = 400  # instants at which the pool is measured, evenly spread
END, START, MEASURE = 0, 1, 2  # the order of what happens at one instant

Event = tuple[float, int, int]  # when, what, which job


@dataclass(frozen=True, kw_only=True)
class Packed:
    """The mean over time of the fragmented part of all GPUs, and how many jobs were scattered."""

    fragmentation: float
    scattered: int


def pack(jobs: Workload, start_s: Floats, pool: ModelledPool) -> Packed | None:
    """How jobs that start at ``start_s`` lie on the nodes of their pool.

    None for a pool without whole GPUs, with nodes beyond what the packing engine takes, or in which
    nothing ran.
    """
    limits = (
        (pool.nodes, NODE_LIMIT),
        (pool.gpus, GPUS_PER_NODE_LIMIT),
        (pool.node.cpu_milli, CPU_MILLI_LIMIT),
    )
    if not all(1 <= there <= most for there, most in limits) or pool.gpus % 1 or not len(jobs):
        return None
    amounts = (need.tolist() for need in jobs.needs())
    parts = [_parts(job, pool) for job in zip(*amounts, strict=True)]
    counts = Counter(part for of_job in parts for part in of_job)
    state = State(_nodes(pool))
    measure = Fragmentation(state, typical(counts, state.models, with_memory=False))
    cluster = Cluster(state, measure)
    placed: dict[int, list[Placement]] = {}
    lost_milli, scattered = 0.0, 0
    for _, what, job in _events(jobs, start_s):
        if what == MEASURE:
            lost_milli += float(measure.fragmented_milli().sum())
        elif what == END:
            for placement in placed.pop(job, ()):
                cluster.release(placement)
        else:
            placed[job] = _place(cluster, parts[job])
            scattered += not placed[job]
    part = lost_milli / SAMPLES / pool.capacity.gpu_milli
    return Packed(fragmentation=round(part, 4), scattered=scattered)


def _events(jobs: Workload, start_s: Floats) -> list[Event]:
    """All in the order of time; jobs of no length occupy nothing and are left out."""
    end_s = start_s + jobs.run_s
    lasting = np.flatnonzero(end_s > start_s)
    measured_s = np.linspace(float(start_s.min()), float(end_s.max()), SAMPLES, endpoint=False)
    events: list[Event] = [(at, MEASURE, -1) for at in measured_s.tolist()]
    for what, at_s in ((START, start_s), (END, end_s)):
        events += [(float(at_s[job]), what, int(job)) for job in lasting]
    return sorted(events)


def _nodes(pool: ModelledPool) -> list[Node]:
    one = pool.node
    return [
        Node(
            name=f"{number:06d}",
            cpu_milli=one.cpu_milli,
            memory_mib=min(one.memory_bytes // MIB, MEMORY_MIB_LIMIT),
            gpus=int(pool.gpus),
        )
        for number in range(pool.nodes)
    ]


def _parts(job: Sequence[int], pool: ModelledPool) -> list[Request]:
    """What a job asks of each of its nodes: as few as can hold it, and even on all of them."""
    cpu_milli, memory_bytes, gpu_milli = job
    one = pool.node
    gpus = -(-gpu_milli // GPU_MILLI)
    amounts = ((cpu_milli, one.cpu_milli), (memory_bytes, one.memory_bytes), (gpus, int(pool.gpus)))
    count = max(1, *(-(-asked // there) for asked, there in amounts if there))
    return [
        Request(
            cpu_milli=cpu_milli // count,
            memory_mib=memory_bytes // MIB // count,
            gpus=(own := gpus // count + (number < gpus % count)),
            gpu_milli=min(gpu_milli, GPU_MILLI) if own else 0,
        )
        for number in range(count)
    ]


def _place(cluster: Cluster, parts: Sequence[Request]) -> list[Placement]:
    """All parts of a job, or none."""
    placed: list[Placement] = []
    for part in parts:
        placement = cluster.place(part)
        if placement is None:
            for done in placed:
                cluster.release(done)
            return []
        placed.append(placement)
    return placed
