"""Headroom: how much GPU a node keeps for what is to come, each typical request taken by itself.

    headroom(node) = sum over typical requests m of  w_m * (GPU of the node that m could use)

FGD minimises such a sum of what m could *not* use, and is changed here in two places:

1. *All GPUs of the node must be fed, not one.* What m could use is the room on GPUs that m fits,
   times min(1, how often m fits by CPU / how often by GPU). FGD asks only if one more
   fits, so it fills the CPU of a node with eight GPUs before it sees that four are stranded.
2. *What little can run is weighted up.* w_m is m's share of arrivals over the room that the empty
   pool has for it. Maximising sum p_m log(room_m) in place of FGD's sum p_m room_m gives these
   weights: proportional fairness (Kelly, 1997). A request that must have a scarce model keeps that
   model from filling up with those that need not.
"""

from __future__ import annotations

import numpy as np

from haihe.compute.placement.mix import Mix
from haihe.compute.placement.model import GPU_MILLI
from haihe.compute.placement.outlook import Move
from haihe.compute.placement.state import Floats, Ints, State

LEVELS = 256
SHARES_LIMIT = 100


class Headroom:
    """The headroom of each node of a state, and what a move would leave of it.

    The A different GPU asks (how many, how much of each) of the mix are tabulated: which part of
    their weight a node can feed, by model, by slots (GPUs with room for it), and by CPU left in
    :data:`LEVELS` steps. A value is then a look-up per ask and node.
    """

    def __init__(self, state: State, mix: Mix) -> None:
        self._state = state
        asks, ask_of = _asks(mix)
        weight = _weights(state, mix)
        # The width of a level is such that the largest node is within the last.
        self._step = int(state.cpu_total.max()) // (LEVELS - 1) + 1
        fed = _fed(state, mix, ask_of, weight, self._step)
        self._fed = fed.ravel()
        per_model, per_ask, per_slot = np.array(fed.strides[:3]) // fed.itemsize
        room = np.arange(GPU_MILLI + 1)[:, None]
        has_room = room >= asks[:, 1]
        self._slot: Ints = has_room * per_slot
        self._gpus: Floats = np.where(has_room, room / GPU_MILLI, 0.0)
        self._base: Ints = state.model[:, None] * per_model + np.arange(len(asks)) * per_ask
        self._at: Ints = self._base + self._slot[state.gpu_free].sum(axis=1)
        self._room: Floats = self._gpus[state.gpu_free].sum(axis=1)
        self._change: dict[int, tuple[Ints, Floats]] = {}

    def now(self, nodes: Ints) -> Floats:
        """The headroom of each of ``nodes``, in GPUs."""
        state = self._state
        return self._value(self._at[nodes], self._room[nodes], state.cpu_free[nodes])

    def after(self, move: Move) -> Floats:
        """The headroom that a move would leave of each of its nodes, in GPUs."""
        at, room = self._at[move.nodes], self._room[move.nodes]
        shape = move.shape
        if shape.is_shared:
            slots, gpus = self._change_by(shape.gpu_milli)
            at += slots[move.taken]
            room += gpus[move.taken]
        elif shape.gpus:
            at -= shape.gpus * self._slot[GPU_MILLI]
            room -= shape.gpus * self._gpus[GPU_MILLI]
        return self._value(at, room, self._state.cpu_free[move.nodes] - shape.cpu_milli)

    def changed(self, node: int) -> None:
        """Hear that something was placed on or released from ``node``."""
        free = self._state.gpu_free[node]
        self._at[node] = self._base[node] + self._slot[free].sum(axis=0)
        self._room[node] = self._gpus[free].sum(axis=0)

    def _change_by(self, gpu_milli: int) -> tuple[Ints, Floats]:
        """What a share changes in ``_at`` and ``_room``, by the room it finds; (1001, A) each."""
        change = self._change.get(gpu_milli)
        if change is None:
            if len(self._change) >= SHARES_LIMIT:
                self._change.clear()
            left = np.maximum(np.arange(GPU_MILLI + 1) - gpu_milli, 0)
            change = self._slot[left] - self._slot, self._gpus[left] - self._gpus
            self._change[gpu_milli] = change
        return change

    def _value(self, at: Ints, room: Floats, cpu_milli: Ints) -> Floats:
        """Headroom of n nodes.

        Parameters
        ----------
        at : (n, A) where in the table the node's model and slots are, for each ask.
        room : (n, A) GPUs' worth of room on those slots.
        cpu_milli : (n,) what is left.
        """
        fed = self._fed.take(at + (cpu_milli // self._step)[:, None])
        value: Floats = np.einsum("na,na->n", fed, room)
        return value


def _asks(mix: Mix) -> tuple[Ints, Ints]:
    """The different (GPUs, milli-GPUs each) of the mix, (A, 2); which of them each m is, (M,)."""
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


def _fed(state: State, mix: Mix, ask_of: Ints, weight: Floats, step: int) -> Floats:
    """Which part of the weight of each ask a node can feed with so much CPU.

    Returns
    -------
    (models, A, G + 1, LEVELS) by GPU model, ask, slots and level.
    """
    slots = np.arange(state.gpu_free.shape[1] + 1)[:, None]
    table = np.zeros((len(state.models), ask_of.max(initial=0) + 1, len(slots), LEVELS))
    for m in np.flatnonzero(weight):
        fits = _count(np.arange(LEVELS) * step, mix.cpu_milli[m])
        fed = np.minimum(fits * mix.gpus[m] / np.maximum(slots, 1), 1.0)
        fed[:, fits < 1] = 0.0
        fed[slots[:, 0] < mix.gpus[m]] = 0.0
        table[mix.open_to[m], ask_of[m]] += weight[m] * fed
    return table


def _count(there: Ints, need: int) -> Floats:
    """How often ``need`` goes into what is there, fractions counted."""
    return there / need if need else np.full(len(there), np.inf)
