"""What a job costs and draws per hour in a pool, as columns over a workload."""

from __future__ import annotations

import numpy as np

from haihe.compute.domain import MILLI
from haihe.compute.simulation.network import ModelledCentre, ModelledPool
from haihe.compute.simulation.workload import Floats, Workload


def cost_micro_per_h(workload: Workload, pool: ModelledPool) -> Floats:
    """The price of each job by what it occupies, in micro-units of CNY."""
    cpu = workload.cpu_milli * (pool.cpu_hour_micro / MILLI)
    return np.asarray(cpu + workload.gpu_milli * (pool.gpu_hour_micro / MILLI))


def pool_share(workload: Workload, pool: ModelledPool) -> Floats:
    """The part of the pool that each job keeps busy: of its GPUs, or where it has none its CPUs.

    This is also what utilisation counts: a pool of cards is bought for its cards.
    """
    whole = pool.capacity
    if whole.gpu_milli:
        return np.asarray(workload.gpu_milli / whole.gpu_milli)
    return np.asarray(workload.cpu_milli / max(whole.cpu_milli, 1))


def draw_w(workload: Workload, pool: ModelledPool) -> Floats:
    """What each job adds to the power that the idle pool draws, linear in the share it keeps busy.

    After L. Barroso and U. Hölzle, "The case for energy-proportional computing", 2007.
    """
    return pool_share(workload, pool) * (pool.nodes * (pool.busy_w - pool.idle_w))


def carbon_g_per_h(workload: Workload, centre: ModelledCentre, pool: ModelledPool) -> Floats:
    """The carbon dioxide that each job adds."""
    return draw_w(workload, pool) * (centre.carbon_g_per_kwh / 1_000)
