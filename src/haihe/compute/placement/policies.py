"""The policies by name, and a cluster under one of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from haihe.compute.placement.cluster import Cluster
from haihe.compute.placement.fragmentation import Fragmentation
from haihe.compute.placement.headroom import Headroom
from haihe.compute.placement.mix import History, typical
from haihe.compute.placement.model import Node
from haihe.compute.placement.opportunity import Opportunity
from haihe.compute.placement.outlook import Outlook
from haihe.compute.placement.scoring import (
    BestFit,
    Clustering,
    DotProduct,
    Packing,
    RandomChoice,
    Scorer,
)
from haihe.compute.placement.slots import worth_of_pieces
from haihe.compute.placement.state import State
from haihe.kernel.errors import InvalidField

Bind = Callable[[State, History, np.random.Generator], Scorer]

OWN = "haihe"


def _fgd(state: State, history: History, random: np.random.Generator) -> Scorer:
    return Fragmentation(state, typical(history, state.models, with_memory=False))


def _haihe(state: State, history: History, random: np.random.Generator) -> Scorer:
    mix = typical(history, state.models)
    estimates = (Headroom(state, mix), Opportunity(state, mix))
    return Outlook(state, worth_of_pieces(mix), estimates)


POLICIES: Mapping[str, Bind] = {
    "random": lambda state, history, random: RandomChoice(state, random),
    "dot-product": lambda state, history, random: DotProduct(state),
    "clustering": lambda state, history, random: Clustering(state),
    "packing": lambda state, history, random: Packing(state),
    "best-fit": lambda state, history, random: BestFit(state),
    "fgd": _fgd,
    OWN: _haihe,
}


def empty_cluster(
    nodes: Sequence[Node], policy: str, *, history: History, random: np.random.Generator
) -> Cluster:
    """A cluster on which nothing runs yet.

    Parameters
    ----------
    policy : a name in :data:`POLICIES`.
    history : how often each request was made in the past: what ``fgd`` and ``haihe`` know of the
        future. The others do not look at it.
    random : the source of chance, for ``random``.

    Raises
    ------
    InvalidField
        If there is no such policy, no node, or no history for a policy that needs one.
    """
    bind = POLICIES.get(policy)
    if bind is None:
        raise InvalidField(field="policy", value=policy, rule=f"give one of {', '.join(POLICIES)}")
    state = State(nodes)
    return Cluster(state, bind(state, history, random))
