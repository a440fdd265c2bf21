"""Policies that need no knowledge of what is to come, and what every policy must answer.

The six that were published are those of Weng et al., "Beware of Fragmentation: Scheduling
GPU-Sharing Workloads with Fragmentation Gradient Descent", USENIX ATC 2023, section 6.1, with the
constants of the authors' artifact; their scores are whole numbers from 0 to 100, and so are ours.
FGD itself is in :mod:`haihe.compute.placement.fragmentation`.
"""

from __future__ import annotations

import numpy as np

from haihe.compute.placement.model import GPU_MILLI, Shape
from haihe.compute.placement.state import Floats, Ints, State

# The largest node of the trace: what scores of the published policies are measured against.
LARGEST_CPU_MILLI = 128_000
LARGEST_GPU_MILLI = 8_000
TOP = 100
PARTS_OF_SHARED = 10
NO_ROOM = 1 << 30


class Scorer:
    """A policy bound to a state; this base prefers no node, and on a node the fullest GPU."""

    def __init__(self, state: State) -> None:
        self.state = state

    def score(self, shape: Shape, nodes: Ints) -> tuple[Ints, Ints]:
        """The key of each of ``nodes`` for ``shape``, and which GPU a share would go to.

        Parameters
        ----------
        nodes : (n,) nodes on which the shape fits; a node may occur more than once.

        Returns
        -------
        (n,) keys, the larger the better; (n,) GPUs, of use for a share only.
        """
        return np.zeros(len(nodes), dtype=np.int64), self.fullest_gpu(shape, nodes)

    def changed(self, node: int, placed: Shape | None) -> None:
        """Hear that ``placed`` was put on ``node`` where its score said; else ``None``."""

    def pick(self, keys: Ints) -> int:
        """The node for a request, given its keys on all nodes."""
        return int(keys.argmax())

    def fullest_gpu(self, shape: Shape, nodes: Ints) -> Ints:
        """On each node the first of the GPUs with the least room that is enough for a share."""
        if not shape.is_shared:
            return np.zeros(len(nodes), dtype=np.int64)
        free = self.state.gpu_free[nodes]
        fullest: Ints = np.where(free >= shape.gpu_milli, free, NO_ROOM).argmin(axis=1)
        return fullest


class RandomChoice(Scorer):
    """Any node with room, any GPU with room: the floor that a policy must stand above."""

    def __init__(self, state: State, random: np.random.Generator) -> None:
        super().__init__(state)
        self._random = random

    def score(self, shape: Shape, nodes: Ints) -> tuple[Ints, Ints]:
        keys = np.zeros(len(nodes), dtype=np.int64)
        if not shape.is_shared:
            return keys, keys
        room = self.state.gpu_free[nodes] >= shape.gpu_milli
        return keys, np.where(room, self._random.random(room.shape), -1.0).argmax(axis=1)

    def pick(self, keys: Ints) -> int:
        good = np.flatnonzero(keys == 0)
        return int(good[self._random.integers(len(good))]) if len(good) else 0


class DotProduct(Scorer):
    """Least alignment of what is asked with what is free (Grandl et al., SIGCOMM 2014)."""

    def score(self, shape: Shape, nodes: Ints) -> tuple[Ints, Ints]:
        cpu = self.state.cpu_free[nodes] / LARGEST_CPU_MILLI * shape.cpu_milli / LARGEST_CPU_MILLI
        gpu = self.state.gpu_free[nodes].sum(axis=1) / LARGEST_GPU_MILLI
        aligned = cpu + gpu * shape.total_gpu_milli / LARGEST_GPU_MILLI
        return _whole(TOP * (1 - aligned / 2)), self.fullest_gpu(shape, nodes)


class BestFit(Scorer):
    """Least that is left free, CPU and GPU counted alike (Protean, OSDI 2020)."""

    def score(self, shape: Shape, nodes: Ints) -> tuple[Ints, Ints]:
        cpu = (self.state.cpu_free[nodes] - shape.cpu_milli) / LARGEST_CPU_MILLI
        gpu = self.state.gpu_free[nodes].sum(axis=1) - shape.total_gpu_milli
        left = (cpu + gpu / LARGEST_GPU_MILLI) / 2
        return _whole(TOP * (1 - left)), self.fullest_gpu(shape, nodes)


class Packing(Scorer):
    """Shared GPUs first, then idle GPUs of used nodes, then unused nodes (MLaaS, NSDI 2022)."""

    def score(self, shape: Shape, nodes: Ints) -> tuple[Ints, Ints]:
        gpu = self.fullest_gpu(shape, nodes)
        if not shape.gpus:
            return np.zeros(len(nodes), dtype=np.int64), gpu
        whole = self.state.gpu_whole[nodes]
        unused = whole == np.count_nonzero(self.state.gpu_total[nodes], axis=1)
        room = (
            self.state.gpu_free[nodes, gpu] if shape.is_shared else np.full(len(nodes), GPU_MILLI)
        )
        on_shared = TOP - room * TOP // GPU_MILLI // PARTS_OF_SHARED
        on_idle = np.maximum(TOP // 2 - shape.gpus, TOP // 3)
        on_unused = np.maximum(TOP // 3 - whole, whole)
        keys = np.where(unused, on_unused, np.where(room < GPU_MILLI, on_shared, on_idle))
        return keys, gpu


class Clustering(Scorer):
    """Requests of one kind together, and among such nodes the fullest (Gandiva, OSDI 2018)."""

    def score(self, shape: Shape, nodes: Ints) -> tuple[Ints, Ints]:
        gpu = self.fullest_gpu(shape, nodes)
        if not shape.gpus:
            return np.zeros(len(nodes), dtype=np.int64), gpu
        held = self.state.held[nodes] > 0
        kinds = held.sum(axis=1)
        same = held[:, 0 if shape.is_shared else shape.gpus]
        quarter = TOP // 4
        free = self.state.gpu_free[nodes].sum(axis=1)
        fullness = quarter * (LARGEST_GPU_MILLI - free) // LARGEST_GPU_MILLI
        liking = np.where(same, np.where(kinds == 1, 3, 2), np.where(kinds == 0, 1, 0))
        return fullness + quarter * liking, gpu


def _whole(score: Floats) -> Ints:
    """Cut a score to a whole number; the rounding keeps noise of the last digits out of it."""
    return np.floor(np.round(score, 9)).astype(np.int64)
