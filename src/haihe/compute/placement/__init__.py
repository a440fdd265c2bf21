"""Packing jobs into the nodes of one pool: which node, and which of its GPUs.

A pure engine over arrays, with no Django, no I/O and no clock, for production, for simulation and
for the benchmark alike::

    cluster = empty_cluster(nodes, "haihe", history=counts, random=np.random.default_rng(1))
    placement = cluster.place(Request(cpu_milli=8_000, memory_mib=30_517, gpus=1, gpu_milli=470))
    cluster.release(placement)

``model`` says what is packed, ``state`` what is free, ``cluster`` places and releases; ``scoring``,
``fragmentation`` (FGD) and ``headroom`` (Haihe's own) are the policies and ``policies`` their
names; ``mix`` and ``slots`` are what the last two know of the requests to come. ``replay`` and
``bound`` measure a policy, and ``traces`` reads what it is measured on (the one file with I/O).
"""
