"""Seats: on which nodes, and which of their GPUs, an attempt runs in a pool that Haihe packs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from haihe.compute.domain.choice import Wish
from haihe.compute.models import Attempt, Node, Pool
from haihe.compute.placement import GPU_MILLI, Ask, Placement, Request, pack
from haihe.compute.placement import Node as Place
from haihe.compute.placement.errors import NoRoom

MIB = 1 << 20
KEY = "next"
FIRST_FIT = "best-fit"  # whether there is room at all is the same under every policy
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


def unseatable(pool: Pool, wishes: Mapping[str, Wish]) -> set[str]:
    """Of kinds of jobs, by key, those that no nodes of a packed pool have room for now.

    The pool as a whole may have it: what is free is in pieces.
    """
    nodes = list(pool.nodes.order_by("name")) if pool.is_packed_here else []
    if len(nodes) <= 1 and all(node.gpus <= 1 for node in nodes):
        return set()  # one machine is free as its pool is
    places = [_place(node) for node in nodes]
    running = _running(pool, {node.name for node in nodes})
    try:
        return {
            key
            for key, wish in wishes.items()
            if not pack(places, [_ask(wish)], FIRST_FIT, running=running)
        }
    except NoRoom:
        return set(wishes)


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
    """What occupies the nodes now; a seat on a node that is gone occupies nothing."""
    unfinished = Attempt.objects.unfinished().filter(pool=pool).select_related("job__quote")
    found = []
    for attempt in unfinished:
        spec = attempt.job.quote.spec
        request = request_of(spec.cpu_milli, spec.memory_bytes, spec.gpu_milli)
        found += [
            Placement(node=seat["node"], gpus=tuple(seat["gpus"]), request=request)
            for seat in attempt.seats
            if seat["node"] in names
        ]
    return found
