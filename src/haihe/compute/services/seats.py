"""Seats: on which nodes, and which of their GPUs, an attempt runs in a pool that Haihe packs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import numpy as np
from django.db.models import QuerySet

from haihe.compute.domain.choice import Wish
from haihe.compute.models import Attempt, Node, Pool
from haihe.compute.placement import GPU_MILLI, Ask, Placement, Request, pack
from haihe.compute.placement import Node as Place
from haihe.compute.placement.errors import NoRoom

MIB = 1 << 20
KEY = "next"
Seats = list[dict[str, Any]]


def find_seats(pool: Pool, wish: Wish) -> Seats | None:
    """With the pool locked: seats for one attempt; None if its nodes have no room for it.

    No seats at all where a scheduler chooses the nodes, or where no node has been reported yet.
    """
    if not pool.is_packed_here:
        return []
    nodes = list(pool.nodes.order_by("name"))
    if not nodes:
        return []
    try:
        found = pack(
            [_place(node) for node in nodes],
            [_ask(wish)],
            running=_running(pool, {node.name for node in nodes}),
        )
    except NoRoom:
        return None  # more runs there than its nodes have now: one shrank
    placements = found.get(KEY)
    if placements is None:
        return None
    return [
        {"node": one.node, "gpus": list(one.gpus), "gpu_milli_each": one.request.gpu_milli}
        for one in placements
    ]


class FreePieces:
    """What is free on each node of a pool, and on each card: whether a job has room there now.

    The pool as a whole may have enough: what is free is in pieces. It is counted once for a pool,
    and asked of for each kind of jobs.
    """

    def __init__(self, nodes: Sequence[Node], running: Sequence[Placement]) -> None:
        # One machine is free as its pool is.
        self.is_whole = len(nodes) <= 1 and all(node.gpus <= 1 for node in nodes)
        rows = {node.name: number for number, node in enumerate(nodes)}
        cards = max((node.gpus for node in nodes), default=0)
        self.cpu = np.array([node.cpu_milli for node in nodes], dtype=np.int64)
        self.memory = np.array([node.memory_bytes // MIB for node in nodes], dtype=np.int64)
        self.cards = np.array(
            [[GPU_MILLI if card < node.gpus else 0 for card in range(cards)] for node in nodes],
            dtype=np.int64,
        ).reshape(len(nodes), cards)
        if not self.is_whole:
            for one in running:
                row = rows[one.node]
                self.cpu[row] -= one.request.cpu_milli
                self.memory[row] -= one.request.memory_mib
                for card in one.gpus:
                    self.cards[row, card] -= one.request.gpu_milli
        self.is_open = np.array(
            [node.condition == Node.Condition.UP for node in nodes], dtype=np.bool_
        )
        # More runs there than its nodes have now: one shrank, and nothing is seated until it ends.
        amounts = (self.cpu, self.memory, self.cards)
        self.is_overfull = any(bool((amount < 0).any()) for amount in amounts)

    def have_room(self, wish: Wish) -> bool:
        """Whether enough nodes have room for a part of the job each."""
        if self.is_whole:
            return True
        asked = request_of(wish.cpu_milli, wish.memory_bytes, wish.gpu_milli)
        fits = self.is_open & (self.cpu >= asked.cpu_milli) & (self.memory >= asked.memory_mib)
        if asked.gpus:
            free = (self.cards >= asked.gpu_milli).sum(axis=1)
            fits &= free >= asked.gpus
        return not self.is_overfull and int(fits.sum()) >= wish.nodes


def free_pieces(pools: Iterable[Pool]) -> dict[UUID, FreePieces]:
    """What is free on the nodes of each pool, by its id, in as many queries as for one pool."""
    shown = list(pools)
    packed = [pool for pool in shown if pool.is_packed_here]
    nodes: dict[UUID, list[Node]] = defaultdict(list)
    for node in Node.objects.filter(pool__in=packed).order_by("name"):
        nodes[node.pool_id].append(node)
    attempts: dict[UUID, list[Attempt]] = defaultdict(list)
    for attempt in _unfinished().filter(pool__in=packed):
        attempts[attempt.pool_id].append(attempt)
    return {
        pool.pk: FreePieces(
            nodes[pool.pk], _seated(attempts[pool.pk], {node.name for node in nodes[pool.pk]})
        )
        for pool in shown
    }


def request_of(cpu_milli: int, memory_bytes: int, gpu_milli: int) -> Request:
    """What an attempt asks of each node: a share of one GPU, or whole ones."""
    gpus = -(-gpu_milli // GPU_MILLI)
    return Request(
        cpu_milli=cpu_milli,
        memory_mib=-(-memory_bytes // MIB),
        gpus=gpus,
        gpu_milli=gpu_milli // gpus if gpus else 0,
    )


def _ask(wish: Wish) -> Ask:
    request = request_of(wish.cpu_milli, wish.memory_bytes, wish.gpu_milli)
    return Ask(key=KEY, request=request, nodes=wish.nodes)


def _place(node: Node) -> Place:
    return Place(
        name=node.name,
        cpu_milli=node.cpu_milli,
        memory_mib=node.memory_bytes // MIB,
        gpus=node.gpus,
        gpu_model=node.gpu_model,
        is_open=node.condition == Node.Condition.UP,
    )


def _running(pool: Pool, names: set[str]) -> list[Placement]:
    """What occupies the nodes of a pool now."""
    return _seated(_unfinished().filter(pool=pool), names)


def _unfinished() -> QuerySet[Attempt]:
    return Attempt.objects.unfinished().select_related("job__quote")


def _seated(attempts: Iterable[Attempt], names: set[str]) -> list[Placement]:
    """What attempts occupy; a seat on a node that is gone occupies nothing."""
    found = []
    for attempt in attempts:
        spec = attempt.job.quote.spec
        request = request_of(spec.cpu_milli, spec.memory_bytes, spec.gpu_milli)
        found += [
            Placement(node=seat["node"], gpus=tuple(seat["gpus"]), request=request)
            for seat in attempt.seats
            if seat["node"] in names
        ]
    return found
