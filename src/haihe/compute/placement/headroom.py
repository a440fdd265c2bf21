"""Haihe's own policy: waste no piece of a GPU, then keep the most headroom for what is to come.

A request goes to the node where these are best, the first before the second:

1. **Least waste on the GPU.** A share costs ``worth(r) - worth(r - s)``, by the prices of
   :mod:`haihe.compute.placement.slots`. FGD counts a GPU with room 530 as usable by a request of
   320 and as good as any other; the prices know that two of 470 belong together, and 650 with 320.

2. **Most headroom left**, V = sum over typical requests m of  w_m * usable_m(node), where FGD is
   changed in three places:

   a. *All GPUs of the node must be fed, not one.* ``usable_m`` is the room on GPUs that m fits,
      times min(1, how often m fits by CPU (by memory) / how often by GPU). FGD asks only if one
      more fits, so it fills the CPU of a node with eight GPUs before it sees that four of them
      are stranded.
   b. *What little can run is weighted up.* ``w_m`` is m's share of arrivals over the room that
      the empty pool has for it. Maximising sum p_m log(room_m) in place of FGD's
      sum p_m room_m gives these weights: proportional fairness (Kelly, 1997). A request that
      must have a scarce model keeps that model from filling up with those that need not.
   c. *Memory counts* like CPU.

Differences of V below a twentieth of a GPU are beyond what such an estimate can tell; nodes
within one step of it count as equal, and the first by name is taken, which leaves the later ones
whole.

Nothing here is fitted: the mix is the one that FGD is given, and no figure depends on how many
requests are still to come.
"""

from __future__ import annotations

import numpy as np

from haihe.compute.placement.mix import Mix
from haihe.compute.placement.model import GPU_MILLI, Shape
from haihe.compute.placement.scoring import Scorer
from haihe.compute.placement.slots import worth_of_pieces
from haihe.compute.placement.state import Floats, Ints, State

STEPS_PER_GPU = 20
LEVELS = 512
_WASTE = 1 << 24
_NO_ROOM = 1 << 40


class Headroom(Scorer):
    """Haihe's policy bound to a state and a typical mix.

    The A different GPU asks (how many, how much of each) of the mix are tabulated: which part of
    their weight a node can feed, by model, by slots (GPUs with room for it), and by CPU or
    memory left in :data:`LEVELS` steps. A score is then a look-up per ask and node.
    """

    def __init__(self, state: State, mix: Mix) -> None:
        super().__init__(state)
        asks, ask_of = _asks(mix)
        weight = _weights(state, mix)
        self._cpu_step, self._memory_step = _step(state.cpu_total), _step(state.memory_total)
        fed_by_cpu = _fed(state, mix, ask_of, weight, mix.cpu_milli, self._cpu_step)
        fed_by_memory = _fed(state, mix, ask_of, weight, mix.memory_mib, self._memory_step)
        self._fed_by_cpu, self._fed_by_memory = fed_by_cpu.ravel(), fed_by_memory.ravel()
        per_model, per_ask, per_slot = np.array(fed_by_cpu.strides[:3]) // fed_by_cpu.itemsize
        room = np.arange(GPU_MILLI + 1)[:, None]
        has_room = room >= asks[:, 1]
        self._slot: Ints = has_room * per_slot
        self._gpus: Floats = np.where(has_room, room / GPU_MILLI, 0.0)
        self._base: Ints = state.model[:, None] * per_model + np.arange(len(asks)) * per_ask
        self._at: Ints = self._base + self._slot[state.gpu_free].sum(axis=1)
        self._room: Floats = self._gpus[state.gpu_free].sum(axis=1)
        self._value = self._headroom(self._at, self._room, state.cpu_free, state.memory_free)
        self._worth = worth_of_pieces(mix)
        self._order: dict[int, Ints] = {}

    def score(self, shape: Shape, nodes: Ints) -> tuple[Ints, Ints]:
        at, room = self._at[nodes], self._room[nodes]
        gpu = waste = np.zeros(len(nodes), dtype=np.int64)
        if shape.is_shared:
            free = self.state.gpu_free[nodes]
            order = self._order_of(shape.gpu_milli)[free]
            gpu = order.argmin(axis=1)
            each = np.arange(len(nodes))
            waste, taken = order[each, gpu] // (GPU_MILLI + 1), free[each, gpu]
            left = taken - shape.gpu_milli
            at += self._slot[left] - self._slot[taken]
            room += self._gpus[left] - self._gpus[taken]
        elif shape.gpus:
            at -= shape.gpus * self._slot[GPU_MILLI]
            room -= shape.gpus * self._gpus[GPU_MILLI]
        value = self._headroom(
            at,
            room,
            self.state.cpu_free[nodes] - shape.cpu_milli,
            self.state.memory_free[nodes] - shape.memory_mib,
        )
        kept = np.rint((value - self._value[nodes]) * STEPS_PER_GPU).astype(np.int64)
        return kept - waste * _WASTE, gpu

    def changed(self, node: int) -> None:
        free = self.state.gpu_free[node]
        one = slice(node, node + 1)
        self._at[node] = self._base[node] + self._slot[free].sum(axis=0)
        self._room[node] = self._gpus[free].sum(axis=0)
        self._value[one] = self._headroom(
            self._at[one], self._room[one], self.state.cpu_free[one], self.state.memory_free[one]
        )

    def _headroom(self, at: Ints, room: Floats, cpu_milli: Ints, memory_mib: Ints) -> Floats:
        """V of n nodes, in GPUs.

        Parameters
        ----------
        at : (n, A) where in the tables the node's model and slots are, for each ask.
        room : (n, A) GPUs' worth of room on those slots.
        cpu_milli, memory_mib : (n,) what is left.
        """
        by_cpu = self._fed_by_cpu.take(at + (cpu_milli // self._cpu_step)[:, None])
        by_memory = self._fed_by_memory.take(at + (memory_mib // self._memory_step)[:, None])
        value: Floats = np.einsum("na,na->n", np.minimum(by_cpu, by_memory, out=by_cpu), room)
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


def _asks(mix: Mix) -> tuple[Ints, Ints]:
    """The different (GPUs, milli-GPUs each) of the mix, (A, 2); and which of them each m is, (M,)."""
    asks, of = np.unique(
        np.column_stack([mix.gpus, mix.gpu_milli])[mix.gpus > 0], axis=0, return_inverse=True
    )
    ask_of = np.full(len(mix.gpus), -1)
    ask_of[mix.gpus > 0] = of.ravel()
    return asks, ask_of


def _weights(state: State, mix: Mix) -> Floats:
    """w_m: the share of arrivals over the empty pool's room for them; (M,), summing to one."""
    weight = np.zeros(len(mix.share))
    gpus = np.count_nonzero(state.gpu_total, axis=1)
    for m in np.flatnonzero(mix.gpus > 0):
        fits = _count(state.cpu_total, mix.cpu_milli[m])
        fits = np.minimum(fits, _count(state.memory_total, mix.memory_mib[m]))
        can_run = mix.open_to[m, state.model] & (fits >= 1) & (gpus >= mix.gpus[m])
        fed = np.minimum(gpus, fits * mix.gpus[m])[can_run].sum()
        weight[m] = mix.share[m] / fed if fed else 0.0
    total = weight.sum()
    return weight / total if total else weight


def _fed(state: State, mix: Mix, ask_of: Ints, weight: Floats, needs: Ints, step: int) -> Floats:
    """Which part of the weight of each ask a node can feed with so much of one resource.

    Parameters
    ----------
    needs : (M,) what each typical request needs of the resource.
    step : how much of it one level is.

    Returns
    -------
    (models, A, G + 1, LEVELS) by GPU model, ask, slots and level.
    """
    slots = np.arange(state.gpu_free.shape[1] + 1)[:, None]
    table = np.zeros((len(state.models), ask_of.max(initial=0) + 1, len(slots), LEVELS))
    for m in np.flatnonzero(weight):
        fits = _count(np.arange(LEVELS) * step, needs[m])
        fed = np.minimum(fits * mix.gpus[m] / np.maximum(slots, 1), 1.0)
        fed[:, fits < 1] = 0.0
        fed[slots[:, 0] < mix.gpus[m]] = 0.0
        table[mix.open_to[m], ask_of[m]] += weight[m] * fed
    return table


def _count(there: Ints, need: int) -> Floats:
    """How often ``need`` goes into what is there, fractions counted."""
    return there / need if need else np.full(len(there), np.inf)


def _step(total: Ints) -> int:
    """The width of a level, so that the largest node is within the last."""
    return int(total.max()) // (LEVELS - 1) + 1
