"""Fragmentation Gradient Descent, as published.

Weng et al., "Beware of Fragmentation", USENIX ATC 2023: the fragmentation of a node is the GPU
that the next request, drawn from the typical mix, could not use there,

    F(node) = sum over typical requests m of  p_m * (idle GPU that m cannot use),

all of it if m asks for no GPU, does not fit or must not run there, else the GPUs with less room
than m needs. A request goes where F grows least; a share tries each GPU.

F is additive over GPUs once CPU and model are fixed, except for requests of several GPUs, which
look at the number of whole ones. Both parts are tabulated when the policy is bound, so that a
score is a handful of look-ups.
"""

from __future__ import annotations

import numpy as np

from haihe.compute.placement.mix import Mix
from haihe.compute.placement.model import GPU_MILLI, Shape
from haihe.compute.placement.scoring import TOP, Scorer
from haihe.compute.placement.state import Floats, Ints, State


class Fragmentation(Scorer):
    """FGD bound to a state and a typical mix."""

    def __init__(self, state: State, mix: Mix) -> None:
        super().__init__(state)
        asks = mix.gpus > 0
        self._levels: Ints = np.unique(mix.cpu_milli[asks])
        self._piece, self._group = _tables(mix, self._levels, state)
        self._usable: Floats = np.zeros(len(state.names))
        everywhere = np.arange(len(state.names))
        self._usable[:] = self._usable_now(everywhere)

    def score(self, shape: Shape, nodes: Ints) -> tuple[Ints, Ints]:
        state = self.state
        row = self._rows(nodes, state.cpu_free[nodes] - shape.cpu_milli)
        free, whole = state.gpu_free[nodes], state.gpu_whole[nodes]
        pieces = row[:, None] * (GPU_MILLI + 1) + free
        before = self._piece.take(pieces)
        if not shape.is_shared:
            lost = shape.gpus * self._piece.take(row * (GPU_MILLI + 1) + GPU_MILLI)
            groups = self._group[row, whole - shape.gpus]
            return _sigmoid(
                shape.total_gpu_milli - self._usable[nodes] + before.sum(axis=1) - lost + groups
            ), np.zeros(len(nodes), dtype=np.int64)
        room = free >= shape.gpu_milli
        after = self._piece.take(np.where(room, pieces - shape.gpu_milli, 0))
        groups = self._group[row[:, None], whole[:, None] - (free == GPU_MILLI)]
        usable = before.sum(axis=1)[:, None] - before + after + groups
        grown = shape.gpu_milli - self._usable[nodes][:, None] + usable
        keys = np.where(room, _sigmoid(grown), -1)
        gpu = keys.argmax(axis=1)
        return keys[np.arange(len(nodes)), gpu], gpu

    def changed(self, node: int, placed: Shape | None) -> None:
        self._usable[node] = self._usable_now(np.array([node]))[0]

    def fragmented_milli(self) -> Floats:
        """F of each node; (N,), in milli-GPUs."""
        fragmented: Floats = self.state.gpu_free.sum(axis=1) - self._usable
        return fragmented

    def _usable_now(self, nodes: Ints) -> Floats:
        row = self._rows(nodes, self.state.cpu_free[nodes])
        pieces = row[:, None] * (GPU_MILLI + 1) + self.state.gpu_free[nodes]
        usable: Floats = self._piece.take(pieces).sum(axis=1)
        return usable + self._group[row, self.state.gpu_whole[nodes]]

    def _rows(self, nodes: Ints, cpu_milli: Ints) -> Ints:
        """The row of the tables for each node with so much CPU free."""
        rank = self._levels.searchsorted(cpu_milli, side="right")
        row: Ints = self.state.model[nodes] * (len(self._levels) + 1) + rank
        return row


def _tables(mix: Mix, levels: Ints, state: State) -> tuple[Floats, Floats]:
    """What typical requests can use, by GPU model and CPU left.

    Returns
    -------
    piece : (rows, 1001) expected use of a GPU with so much room, by requests of up to one GPU.
    group : (rows, G + 1) expected use of so many whole GPUs, by requests of several.
    """
    per_node = state.gpu_free.shape[1]
    room = np.arange(GPU_MILLI + 1)
    rows = (len(state.models), len(levels) + 1)
    piece, group = np.zeros((*rows, GPU_MILLI + 1)), np.zeros((*rows, per_node + 1))
    for m in np.flatnonzero(mix.gpus > 0):
        can_run = np.zeros(rows)
        can_run[mix.open_to[m], levels.searchsorted(mix.cpu_milli[m]) + 1 :] = mix.share[m]
        if mix.gpus[m] == 1:
            piece += can_run[..., None] * np.where(room >= mix.gpu_milli[m], room, 0)
        else:
            whole = np.arange(per_node + 1)
            group += can_run[..., None] * np.where(whole >= mix.gpus[m], whole * GPU_MILLI, 0)
    return piece.reshape(-1, GPU_MILLI + 1), group.reshape(-1, per_node + 1)


def _sigmoid(shrunk_milli: Floats) -> Ints:
    """The artifact's score of a node whose fragmentation shrinks by so much.

    Rounding before the cut matters: most moves are exact ties at 50, and noise in the last digit
    would split them.
    """
    shrunk = np.round(shrunk_milli / GPU_MILLI, 9)
    return (TOP / (1 + np.exp(-shrunk))).astype(np.int64)
