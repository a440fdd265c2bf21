"""The protocol under which the published figures were taken.

Weng et al., USENIX ATC 2023, section 6.1, and the artifact: the requests of a list are shuffled;
requests drawn from the list with replacement are appended until the load is :data:`MOST_LOAD` of
the pool's GPUs, or requests are left out at random until it is no more; nodes are renamed in random
order, which decides ties. Requests arrive one after the other and never end; one that fits nowhere
is dropped. The figure is the part of all GPUs that is allocated, over the load that has arrived.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from haihe.compute.placement.cluster import Cluster
from haihe.compute.placement.model import GPU_MILLI, Node, Request
from haihe.compute.placement.state import Ints
from haihe.kernel.errors import InvalidField

MOST_LOAD = 1.3
ARRIVALS_LIMIT = 5_000_000


@dataclass(frozen=True, kw_only=True)
class Curve:
    """What had arrived and what was allocated after each of n arrivals, in milli-GPUs; (n,)."""

    arrived: Ints
    allocated: Ints
    total: int

    def allocation_at(self, load: int) -> float:
        """Allocated part of the GPUs where the arrived load rounds to ``load``; both in percent."""
        return float(self.allocated[self._near(load)].mean()) / self.total * 100

    def _near(self, load: int) -> Ints:
        return _near(self.arrived, self.total, load)


def gpu_capacity(nodes: Sequence[Node]) -> int:
    """All GPUs of the nodes, in milli-GPUs."""
    return sum(node.gpus for node in nodes) * GPU_MILLI


def renamed(nodes: Sequence[Node], random: np.random.Generator) -> list[Node]:
    """The nodes under names in random order."""
    numbers = random.permutation(len(nodes))
    return [
        replace(node, name=f"{number:06d}-{node.name}")
        for number, node in zip(numbers, nodes, strict=True)
    ]


def arrivals(
    requests: Sequence[Request], capacity: int, random: np.random.Generator
) -> list[Request]:
    """The requests of a list as they arrive, up to :data:`MOST_LOAD` of ``capacity`` milli-GPUs.

    Raises
    ------
    InvalidField
        If the list asks for so little GPU that the load is not reached in
        :data:`ARRIVALS_LIMIT` arrivals.
    """
    amounts = _amounts(requests)
    mean = amounts.mean() if len(amounts) else 0.0
    if mean * ARRIVALS_LIMIT < MOST_LOAD * capacity:
        raise InvalidField(field="requests", value=len(requests), rule="ask for more GPU")
    order = random.permutation(len(requests)).tolist()
    load, most = int(amounts.sum()), MOST_LOAD * capacity
    while load < most:
        order.append(int(random.integers(len(requests))))
        load += int(amounts[order[-1]])
    while load > most:
        place = int(random.integers(len(order)))
        order[place], order[-1] = order[-1], order[place]
        load -= int(amounts[order.pop()])
    return [requests[index] for index in order]


def replay(cluster: Cluster, stream: Sequence[Request]) -> Curve:
    """Place the requests one after the other; drop those that fit nowhere."""
    asked = _amounts(stream)
    placed = np.fromiter(
        (cluster.place(request) is not None for request in stream), dtype=bool, count=len(stream)
    )
    return Curve(
        arrived=np.cumsum(asked),
        allocated=np.cumsum(np.where(placed, asked, 0)),
        total=int(cluster.state.gpu_total.sum()),
    )


def arrivals_up_to(load: int, stream: Sequence[Request], capacity: int) -> int:
    """How many arrivals there are up to the last at which the load rounds to ``load`` percent."""
    return int(_near(np.cumsum(_amounts(stream)), capacity, load)[-1]) + 1


def _amounts(requests: Sequence[Request]) -> Ints:
    """The GPU that each asks for, in milli-GPUs."""
    return np.array([request.shape.total_gpu_milli for request in requests], dtype=np.int64)


def _near(arrived: Ints, total: int, load: int) -> Ints:
    """The arrivals after which the load rounds to ``load`` percent."""
    near = np.flatnonzero(np.rint(arrived / total * 100) == load)
    if not len(near):
        rule = "the arrived load is never within half a percent of it"
        raise InvalidField(field="load", value=load, rule=rule)
    return near
