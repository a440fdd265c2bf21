"""Packing jobs into the nodes of one pool: which node, and which of its GPUs.

A pure engine over arrays, with no Django, no I/O and no clock, for production, for simulation and
for the benchmark alike. A dispatcher packs a round's jobs around those that run::

    seats = pack(nodes, [Ask(key="job-1", request=request, nodes=2)], running=placements)
    for placement in seats.get("job-1", ()):
        placement.node, placement.gpus

Whoever keeps the state itself places and releases one by one::

    cluster = empty_cluster(nodes, "haihe", history=counts, random=np.random.default_rng(1))
    placement = cluster.place(Request(cpu_milli=8_000, memory_mib=30_517, gpus=1, gpu_milli=470))
    cluster.release(placement)

``model`` says what is packed, ``state`` what is free, ``cluster`` places and releases, ``packing``
is the one call. ``scoring``, ``fragmentation`` (FGD) and ``outlook`` (Haihe's own, with ``slots``,
``headroom``, ``opportunity`` and ``prices``) are the policies, ``policies`` their names, ``mix``
what they know of the requests to come. ``programme`` is the linear programme of a pool; ``replay``
and ``bound`` measure a policy, and ``traces`` reads what it is measured on (the one file with I/O).
"""

from haihe.compute.placement.cluster import Cluster
from haihe.compute.placement.model import GPU_MILLI, Node, Placement, Request
from haihe.compute.placement.packing import Ask, pack
from haihe.compute.placement.policies import OWN, POLICIES, empty_cluster

__all__ = [
    "GPU_MILLI",
    "OWN",
    "POLICIES",
    "Ask",
    "Cluster",
    "Node",
    "Placement",
    "Request",
    "empty_cluster",
    "pack",
]
