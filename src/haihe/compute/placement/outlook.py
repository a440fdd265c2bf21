"""Haihe's own policy: waste no piece of a GPU, then keep the most for what is to come.

A request goes to the node where these are best, the first before the second:

1. **Least waste on the GPU.** A share costs ``worth(r) - worth(r - s)``, by the prices of
   :mod:`haihe.compute.placement.slots`. FGD counts a GPU with room 530 as usable by a request of
   320 and as good as any other; the prices know that two of 470 belong together, and 650 with 320.
2. **Least lost to what is to come**, in GPUs, by the sum of two estimates of what a node is good
   for: :mod:`haihe.compute.placement.headroom`, which takes each typical request by itself, and
   :mod:`haihe.compute.placement.opportunity`, which takes the best of them all together.

Differences below a twentieth of a GPU are beyond what such estimates can tell; nodes within one
step count as equal, and the first by name is taken, which leaves the later ones whole.

Nothing here is fitted: the mix is the one that FGD is given, and no figure depends on how many
requests are still to come.
"""

from __future__ import annotations

from math import isnan, nan
from typing import NamedTuple, Protocol

import numpy as np

from haihe.compute.placement.model import GPU_MILLI, Shape
from haihe.compute.placement.scoring import Scorer
from haihe.compute.placement.state import Floats, Ints, State

STEPS_PER_GPU = 20
CELLS_LIMIT = 20_000_000
_WASTE = 1 << 24
_NO_ROOM = 1 << 40


class Move(NamedTuple):
    """What n placements would do, each to one node.

    Attributes
    ----------
    shape : what would be placed.
    nodes : (n,) where.
    taken, left : (n,) the room of the GPU that a share would go to, before and after; 0 for a
        shape that is no share.
    """

    shape: Shape
    nodes: Ints
    taken: Ints
    left: Ints


class Estimate(Protocol):
    """An estimate of what nodes are good for, in GPUs."""

    def now(self, nodes: Ints) -> Floats:
        """Of each of ``nodes`` as it is."""

    def after(self, move: Move) -> Floats:
        """Of each node of a move, once it were made."""

    def changed(self, node: int) -> None:
        """Hear that something was placed on or released from ``node``."""


class Outlook(Scorer):
    """Haihe's policy bound to a state.

    Parameters
    ----------
    worth : (1001,) what a GPU with so much room is worth, in whole steps.
    estimates : what the nodes are good for; their losses add up.
    """

    def __init__(self, state: State, worth: Ints, estimates: tuple[Estimate, ...]) -> None:
        super().__init__(state)
        self._worth = worth
        self._estimates = estimates
        self._order: dict[int, Ints] = {}
        self._after: dict[Shape, Floats] = {}
        self._now: Floats = self._value_now(np.arange(len(state.names)))

    def score(self, shape: Shape, nodes: Ints) -> tuple[Ints, Ints]:
        gpu = taken = left = waste = np.zeros(len(nodes), dtype=np.int64)
        if shape.is_shared:
            free = self.state.gpu_free[nodes]
            order = self._order_of(shape.gpu_milli)[free]
            gpu = order.argmin(axis=1)
            each = np.arange(len(nodes))
            waste, taken = order[each, gpu] // (GPU_MILLI + 1), free[each, gpu]
            left = taken - shape.gpu_milli
        value = self._value_after(Move(shape, nodes, taken, left))
        lost = np.rint((self._now[nodes] - value) * STEPS_PER_GPU).astype(np.int64)
        lost += waste * _WASTE
        return -lost, gpu

    def changed(self, node: int, placed: Shape | None) -> None:
        for estimate in self._estimates:
            estimate.changed(node)
        after = self._after.get(placed) if placed else None
        if after is not None and not isnan(after[node]):
            self._now[node] = after[node]
            return
        one = np.array([node])
        self._now[one] = self._value_now(one)

    def _value_after(self, move: Move) -> Floats:
        """What the nodes of a move are good for after it; kept, for when it is made."""
        first, *others = self._estimates
        value = first.after(move)
        for estimate in others:
            value += estimate.after(move)
        after = self._after.get(move.shape)
        if after is None:
            if len(self._after) * len(self._now) >= CELLS_LIMIT:
                self._after.clear()
            after = self._after[move.shape] = np.full(len(self._now), nan)
        after[move.nodes] = value
        return value

    def _value_now(self, nodes: Ints) -> Floats:
        value = np.zeros(len(nodes))
        for estimate in self._estimates:
            value += estimate.now(nodes)
        return value

    def _order_of(self, gpu_milli: int) -> Ints:
        """Waste of a share on a GPU with so much room, then the fuller GPU first; (1001,)."""
        order = self._order.get(gpu_milli)
        if order is None:
            room = np.arange(GPU_MILLI + 1)
            waste = self._worth - self._worth[np.maximum(room - gpu_milli, 0)]
            order = np.where(room >= gpu_milli, waste * (GPU_MILLI + 1) + room, _NO_ROOM)
            self._order[gpu_milli] = order
        return order
