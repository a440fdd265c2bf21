"""An upper bound on what any policy could allocate of given requests.

The linear programme of the pool (:mod:`haihe.compute.placement.programme`), with as much of each
request as has arrived, maximising the GPU placed. It forgets that a node's GPUs, CPUs and memory
must be had together, that requests without a GPU want room too, that the order of arrival is not
known, and that what fits is not turned away; each makes the true best lower.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from haihe.compute.placement.model import GPU_MILLI, Node, Request
from haihe.compute.placement.programme import PoolProgramme

HOW = (
    "linear programme over all requests arrived by then: fractions of requests, CPUs and memory "
    "pooled per kind of node, GPUs cut by patterns of the shares that fit on one (HiGHS)"
)
PATTERNS_LIMIT = 4_000


def most_gpus(nodes: Sequence[Node], arrived: Mapping[Request, int]) -> float:
    """The most GPUs that could be allocated of ``arrived`` requests on ``nodes``.

    Raises
    ------
    RuntimeError
        If the solver fails; it has not been seen to.
    """
    wanted = {request: count for request, count in arrived.items() if request.gpus and count}
    if not wanted:
        return 0.0
    programme = PoolProgramme(
        Counter(node.kind for node in nodes), list(wanted), patterns_limit=PATTERNS_LIMIT
    )
    for request, count in wanted.items():
        available = programme.row(count)
        gain = request.shape.total_gpu_milli / GPU_MILLI
        programme.place(request, gain=gain, uses={available: 1.0})
    return programme.solve().optimum
