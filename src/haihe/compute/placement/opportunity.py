"""Opportunity: the most that a node could still earn, at the prices of the typical requests.

What a node earns is the sum of the prices (:mod:`haihe.compute.placement.prices`) of what it runs.
The most that can be added to it is a knapsack problem; an upper estimate of that is its Lagrangian
relaxation (Fisher, 1981): let the node buy CPU at a and memory at b instead of being held to what
it has. GPUs then fall apart, each a small knapsack solved beforehand for every room,

    earn_ab(room) = max  sum_m n_m * (price_m - a * cpu_m - b * memory_m)
                    subject to  sum_m n_m * size_m <= room,

and so do the requests of several whole GPUs. For every a and b,

    opportunity(node) <= a * CPU left + b * memory left + sum over GPUs of earn_ab(room),

and the least of these over a few a and b is the estimate. It is a concave function of the CPU and
memory left, so it knows that CPU is dear where many GPUs wait for it and cheap where few do.
"""

from __future__ import annotations

import numpy as np

from haihe.compute.placement.mix import Mix
from haihe.compute.placement.model import GPU_MILLI, Shape
from haihe.compute.placement.outlook import Move
from haihe.compute.placement.prices import prices_of
from haihe.compute.placement.state import Floats, Ints, State

# Prices of CPU and memory that are tried, as multiples of what a typical request yields per unit.
MULTIPLES = (0.0, 1.0, 4.0)
SHAPES_LIMIT = 10_000


class Opportunity:
    """The opportunity of each node of a state, and what a move would leave of it.

    Tables are by kind of node and by the K pairs (a, b).
    """

    def __init__(self, state: State, mix: Mix) -> None:
        self._state = state
        prices = prices_of(state, mix)
        self._cpu_price, self._memory_price = _resource_prices(mix, prices)
        piece, group = _tables(state, mix, prices, self._cpu_price, self._memory_price)
        self._piece = piece.reshape(-1, piece.shape[-1])
        self._group = group.reshape(-1, group.shape[-1])
        self._bought: dict[Shape, Floats] = {}
        self._piece_row: Ints = state.kind * piece.shape[1]
        self._group_row: Ints = state.kind * group.shape[1]
        pieces = self._piece_row[:, None] + state.gpu_free
        self._rest: Floats = (
            self._piece[pieces].sum(axis=1)
            + state.cpu_free[:, None] * self._cpu_price
            + state.memory_free[:, None] * self._memory_price
        )

    def now(self, nodes: Ints) -> Floats:
        """The opportunity of each of ``nodes``, in GPUs."""
        groups = self._group[self._group_row[nodes] + self._state.gpu_whole[nodes]]
        least: Floats = (self._rest[nodes] + groups).min(axis=1)
        return least

    def after(self, move: Move) -> Floats:
        """The opportunity that a move would leave of each of its nodes, in GPUs."""
        shape, nodes = move.shape, move.nodes
        rest = self._rest[nodes] - self._bought_by(shape)
        whole = self._state.gpu_whole[nodes] - shape.gpus
        if shape.is_shared:
            row = self._piece_row[nodes]
            rest += self._piece[row + move.left]
            rest -= self._piece[row + move.taken]
            whole += move.taken < GPU_MILLI
        rest += self._group[self._group_row[nodes] + whole]
        least: Floats = rest.min(axis=1)
        return least

    def _bought_by(self, shape: Shape) -> Floats:
        """What the CPU and memory of a request cost; (K,)."""
        bought = self._bought.get(shape)
        if bought is None:
            if len(self._bought) >= SHAPES_LIMIT:
                self._bought.clear()
            bought = shape.cpu_milli * self._cpu_price + shape.memory_mib * self._memory_price
            self._bought[shape] = bought
        return bought

    def changed(self, node: int) -> None:
        """Hear that something was placed on or released from ``node``."""
        state = self._state
        self._rest[node] = (
            self._piece[self._piece_row[node] + state.gpu_free[node]].sum(axis=0)
            + state.cpu_free[node] * self._cpu_price
            + state.memory_free[node] * self._memory_price
        )


def _resource_prices(mix: Mix, prices: Floats) -> tuple[Floats, Floats]:
    """The K pairs (a, b): the price of a milli-CPU and of a MiB, in GPUs; (K,) each.

    CPU is never cheaper than what requests without a GPU pay for it.
    """
    asks = mix.gpus > 0
    earned = float((mix.share * prices)[asks].sum())
    cpu, memory = ((mix.share * needs)[asks].sum() for needs in (mix.cpu_milli, mix.memory_mib))
    others = ~asks & (mix.cpu_milli > 0)
    floor = float((prices[others] / mix.cpu_milli[others]).max(initial=0.0))
    cpu_prices = floor + np.array(MULTIPLES) * (earned / cpu if cpu else 0.0)
    memory_prices = np.array(MULTIPLES) * (earned / memory if memory else 0.0)
    return np.repeat(cpu_prices, len(MULTIPLES)), np.tile(memory_prices, len(MULTIPLES))


def _tables(
    state: State, mix: Mix, prices: Floats, cpu_price: Floats, memory_price: Floats
) -> tuple[Floats, Floats]:
    """What a node can earn with its GPUs, after paying for CPU and memory.

    Returns
    -------
    piece : (kinds, 1001, K) with a GPU that has so much room but is not whole.
    group : (kinds, G + 1, K) with so many whole GPUs.
    """
    kinds, per_node = len(state.kinds), state.gpu_free.shape[1]
    shares: dict[int, Floats] = {}
    wholes: dict[int, Floats] = {}
    for m, request in enumerate(mix.requests):
        if not request.gpus:
            continue
        net = prices[m] - request.cpu_milli * cpu_price - request.memory_mib * memory_price
        can_hold = np.array([kind.can_hold(request) for kind in state.kinds])
        earned = np.maximum(can_hold[:, None] * net, 0.0)
        table, size = (
            (shares, request.gpu_milli) if request.shape.is_shared else (wholes, request.gpus)
        )
        table[size] = np.maximum(table.get(size, 0.0), earned)
    piece = _knapsack(shares, GPU_MILLI, np.zeros((kinds, len(cpu_price))))
    alone = piece[GPU_MILLI].copy()
    piece[GPU_MILLI] = 0.0
    group = _knapsack(wholes, per_node, alone)
    return piece.transpose(1, 0, 2), group.transpose(1, 0, 2)


def _knapsack(earned: dict[int, Floats], room: int, by_one: Floats) -> Floats:
    """The most that any amount from 0 to ``room`` can earn; (room + 1, kinds, K).

    Parameters
    ----------
    earned : (kinds, K) by size.
    by_one : (kinds, K) what each unit of the room earns when nothing else does.
    """
    best = np.zeros((room + 1, *by_one.shape))
    for amount in range(1, room + 1):
        most = best[amount - 1] + by_one
        for size, gain in earned.items():
            if size <= amount:
                np.maximum(most, best[amount - size] + gain, out=most)
        best[amount] = most
    return best
