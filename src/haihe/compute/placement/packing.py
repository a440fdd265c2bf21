"""Pack the next jobs of a pool around those that run: what a dispatcher calls.

One call sees the pool as it is, so that nothing is kept between rounds and any process may make
it. It decides where on the pool; which jobs, and in which order, is the dispatcher's to say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from haihe.compute.placement.mix import History
from haihe.compute.placement.model import Node, Placement, Request
from haihe.compute.placement.policies import OWN, empty_cluster
from haihe.kernel.errors import InvalidField

ASKS_LIMIT = 100_000


@dataclass(frozen=True, kw_only=True)
class Ask:
    """A job that waits: what it needs on each of so many different nodes, all at once."""

    key: str
    request: Request
    nodes: int = 1


def pack(
    nodes: Sequence[Node],
    asks: Sequence[Ask],
    policy: str = OWN,
    *,
    running: Iterable[Placement] = (),
    history: History | None = None,
    seed: int = 0,
) -> Mapping[str, tuple[Placement, ...]]:
    """Seats for as many of ``asks`` as fit, each in its turn; the rest is left out of the answer.

    Parameters
    ----------
    nodes : the pool's nodes, with all they have; those that take no work are not ``is_open``.
    asks : the jobs in the order in which they are to be seated; keys are unique.
    policy : a name in :data:`haihe.compute.placement.policies.POLICIES`.
    running : what occupies the nodes now.
    history : how often each request is made. Without it, what runs and waits now stands for it.
    seed : of the source of chance; the same call gives the same seats.

    Returns
    -------
    By key, one placement for each of the job's nodes, or nothing at all of it.

    Raises
    ------
    InvalidField
        If there is no node, no such policy, or a key occurs twice.
    MissingRecord
        If something runs on a node that is not given.
    NoRoom
        If more runs on a node than it has.
    """
    if len(asks) > ASKS_LIMIT:
        raise InvalidField(field="asks", value=len(asks), rule=f"give at most {ASKS_LIMIT:,}")
    twice = [key for key, count in Counter(ask.key for ask in asks).items() if count > 1]
    if twice:
        raise InvalidField(field="asks", value=twice[0], rule="give each key once")
    running = tuple(running)
    if not asks:
        return {}
    cluster = empty_cluster(
        nodes,
        policy,
        history=history or _seen(asks, running),
        random=np.random.default_rng(seed),
    )
    for placement in running:
        cluster.occupy(placement)
    seats = {ask.key: cluster.place_gang(ask.request, ask.nodes) for ask in asks}
    return {key: placements for key, placements in seats.items() if placements}


def _seen(asks: Sequence[Ask], running: Sequence[Placement]) -> History:
    """How often each request occurs among what runs and what waits."""
    seen = Counter(placement.request for placement in running)
    for ask in asks:
        seen[ask.request] += ask.nodes
    return seen
