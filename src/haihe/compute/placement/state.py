"""What is free on each node, as arrays: the one thing that placing and releasing change."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from haihe.compute.placement.model import GPU_MILLI, Node, Shape
from haihe.kernel.errors import InvalidField

NODE_LIMIT = 100_000

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


class State:
    """Free amounts of N nodes, in the order of their names, with up to G GPUs each.

    Attributes
    ----------
    cpu_free, memory_free : (N,) free milli-CPUs and MiB.
    gpu_free : (N, G) free milli-GPUs of each GPU; 0 where a node has no such GPU.
    gpu_most : (N,) the most that is free on one GPU of the node.
    gpu_whole : (N,) how many GPUs of the node nobody uses.
    model : (N,) index into ``models``, the GPU models that occur.
    kind : (N,) index into ``kinds``, the kinds of node that occur.
    is_open : (N,) whether a node is given work.
    held : (N, G + 1) how many requests run there, by kind: column 0 counts those on a share of a
        GPU, column k those on k whole GPUs. Requests without a GPU are not counted.
    *_total : the same amounts when nothing runs.
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        if not 1 <= len(nodes) <= NODE_LIMIT:
            rule = f"give 1 to {NODE_LIMIT:,} nodes"
            raise InvalidField(field="nodes", value=len(nodes), rule=rule)
        nodes = sorted(nodes, key=lambda node: node.name)
        self.names = tuple(node.name for node in nodes)
        self.index = {name: number for number, name in enumerate(self.names)}
        if len(self.index) != len(nodes):
            twice = next(a for a, b in zip(self.names, self.names[1:], strict=False) if a == b)
            raise InvalidField(field="nodes", value=twice, rule="give each node once")
        self.models = tuple(sorted({node.gpu_model for node in nodes}))
        model_index = {model: number for number, model in enumerate(self.models)}
        self.model = np.array([model_index[node.gpu_model] for node in nodes])
        self.kinds = tuple(sorted({node.kind for node in nodes}))
        kind_index = {kind: number for number, kind in enumerate(self.kinds)}
        self.kind = np.array([kind_index[node.kind] for node in nodes])
        self.is_open = np.array([node.is_open for node in nodes])
        self._some_closed = not self.is_open.all()
        self.cpu_total = np.array([node.cpu_milli for node in nodes], dtype=np.int64)
        self.memory_total = np.array([node.memory_mib for node in nodes], dtype=np.int64)
        gpus = np.array([node.gpus for node in nodes], dtype=np.int64)
        present = np.arange(max(int(gpus.max()), 1)) < gpus[:, None]
        self.gpu_total: Ints = np.where(present, GPU_MILLI, 0)
        self.cpu_free = self.cpu_total.copy()
        self.memory_free = self.memory_total.copy()
        self.gpu_free = self.gpu_total.copy()
        self.gpu_most: Ints = self.gpu_free.max(axis=1)
        self.gpu_whole: Ints = gpus.copy()
        self.held: Ints = np.zeros((len(nodes), present.shape[1] + 1), dtype=np.int64)

    def fits(self, shape: Shape, nodes: Ints | slice) -> Flags:
        """Which of ``nodes`` are open and have room for ``shape``, whatever their GPU model."""
        room: Flags = self.cpu_free[nodes] >= shape.cpu_milli
        room &= self.memory_free[nodes] >= shape.memory_mib
        if shape.is_shared:
            room &= self.gpu_most[nodes] >= shape.gpu_milli
        elif shape.gpus:
            room &= self.gpu_whole[nodes] >= shape.gpus
        if self._some_closed:
            room &= self.is_open[nodes]
        return room

    def whole_gpus(self, node: int, count: int) -> tuple[int, ...]:
        """The first ``count`` GPUs of ``node`` that nobody uses."""
        free = self.gpu_free[node].tolist()
        return tuple([gpu for gpu, room in enumerate(free) if room == GPU_MILLI][:count])

    def take(self, node: int, shape: Shape, gpus: Sequence[int]) -> None:
        """Occupy ``shape`` on ``node``, on these of its GPUs."""
        self._move(node, shape, gpus, -1)

    def give_back(self, node: int, shape: Shape, gpus: Sequence[int]) -> None:
        """Undo :meth:`take`."""
        self._move(node, shape, gpus, +1)

    def _move(self, node: int, shape: Shape, gpus: Sequence[int], sign: int) -> None:
        cpu_free = self.cpu_free[node] + sign * shape.cpu_milli
        memory_free = self.memory_free[node] + sign * shape.memory_mib
        assert 0 <= cpu_free <= self.cpu_total[node]
        assert 0 <= memory_free <= self.memory_total[node]
        self.cpu_free[node], self.memory_free[node] = cpu_free, memory_free
        if not shape.gpus:
            return
        assert len(set(gpus)) == shape.gpus
        # Lists: on so few numbers numpy takes longer to begin than to do it.
        free, total = self.gpu_free[node].tolist(), self.gpu_total[node].tolist()
        for gpu in gpus:
            free[gpu] += sign * shape.gpu_milli
            assert 0 <= free[gpu] <= total[gpu]
        self.gpu_free[node] = free
        self.gpu_most[node] = max(free)
        self.gpu_whole[node] = free.count(GPU_MILLI)
        kind = 0 if shape.is_shared else shape.gpus
        self.held[node, kind] -= sign
        assert self.held[node, kind] >= 0
