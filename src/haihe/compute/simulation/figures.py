"""The figures of a replay: how long jobs waited, how busy the pools were, what it took and cost.

``jobs``, ``too_large``
    Jobs that ran, and jobs that no pool of the network can hold, which are left out of all else.
``mean_wait_s``, ``p95_wait_s``, ``p99_wait_s``, ``max_wait_s``
    From submission to start, over the jobs that ran.
``bounded_slowdown``, ``p95_bounded_slowdown``
    Over jobs, of ``max(1, (wait + run) / max(run, 10 s))``: D. Feitelson and L. Rudolph, "Metrics
    and benchmarking for parallel job scheduling", 1998. The bound keeps jobs of a second from
    deciding the mean.
``utilisation``
    Work done over what could have been done from the first submission to the last end, so that
    filling up and running empty count as idle: of GPUs, or of CPUs where there are no GPUs.
``light_wait_s``
    The mean wait in organisations that used less than an equal part: what fair share is for. None
    where there are fewer than two organisations.
``late``
    Jobs that ended after their deadline; None where no job has one.
``fragmentation``
    The part of all GPUs that is idle and of no use for a typical request, as a mean over time
    (:mod:`.packing`). None where it cannot be told: without GPUs, or with too many nodes.
``scattered``
    Jobs that the pools had room for, but no node. None likewise.
``energy_kwh``, ``carbon_kg``, ``cost_micro``
    Over the same time, idle power included; the cost is what the jobs occupied times the price.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from haihe.compute.simulation.engine import Replay
from haihe.compute.simulation.network import ModelledCentre, ModelledPool, Network
from haihe.compute.simulation.packing import pack
from haihe.compute.simulation.rates import cost_micro_per_h, draw_w, pool_share
from haihe.compute.simulation.workload import Floats, Workload
from haihe.kernel.money import MICRO

SLOWDOWN_BOUND_S = 10.0
HOUR_S = 3_600.0
W_PER_KW = 1_000.0
G_PER_KG = 1_000.0


def bounded_slowdown(wait_s: Floats, run_s: Floats) -> Floats:
    """Each job's bounded slowdown (see above)."""
    return np.asarray(np.maximum(1.0, (wait_s + run_s) / np.maximum(run_s, SLOWDOWN_BOUND_S)))


def span_s(replay: Replay) -> tuple[float, float]:
    """The first submission and the last end of what ran: the time that figures are measured over.

    At least a second apart, so that jobs without run time have figures too.
    """
    ran, jobs = replay.ran, replay.workload
    begin_s = float(jobs.submit_s[ran].min())
    return begin_s, max(float((replay.start_s + jobs.run_s)[ran].max()), begin_s + 1.0)


def figures_of(replay: Replay) -> dict[str, Any]:
    """All figures of a replay, with those of each pool under ``pools``."""
    jobs = replay.workload.only(replay.ran)
    wait_s = replay.start_s[replay.ran] - jobs.submit_s
    slowdown = bounded_slowdown(wait_s, jobs.run_s)
    begin_s, end_s = span_s(replay)
    pools = _pools(replay, end_s - begin_s)
    late = (replay.start_s[replay.ran] + jobs.run_s > jobs.deadline_s).sum()
    cost_micro = sum(pool["cost_micro"] for pool in pools)
    return {
        "policy": replay.policy,
        "jobs": len(jobs),
        "too_large": len(replay.workload) - len(jobs),
        "utilisation": _utilisation(replay, end_s - begin_s),
        "mean_wait_s": round(float(wait_s.mean()), 1),
        "p95_wait_s": round(float(np.quantile(wait_s, 0.95)), 1),
        "p99_wait_s": round(float(np.quantile(wait_s, 0.99)), 1),
        "max_wait_s": round(float(wait_s.max()), 1),
        "bounded_slowdown": round(float(slowdown.mean()), 3),
        "p95_bounded_slowdown": round(float(np.quantile(slowdown, 0.95)), 3),
        "light_wait_s": _light_wait_s(jobs, wait_s),
        **_packed(replay.network, pools),
        "late": int(late) if np.isfinite(jobs.deadline_s).any() else None,
        "makespan_s": end_s - begin_s,
        "energy_kwh": round(sum(pool["energy_kwh"] for pool in pools), 1),
        "carbon_kg": round(sum(pool["carbon_kg"] for pool in pools), 1),
        "cost_micro": cost_micro,
        "cost_cny": round(cost_micro / MICRO, 2),
        "pools": pools,
    }


def busy_unit(network: Network) -> tuple[str, int]:
    """What utilisation counts, and how much of it there is."""
    whole = [pool.capacity for _, _, pool in network.pools]
    unit = "gpu_milli" if any(capacity.gpu_milli for capacity in whole) else "cpu_milli"
    return unit, sum(int(getattr(capacity, unit)) for capacity in whole)


def _utilisation(replay: Replay, length_s: float) -> float:
    unit, there = busy_unit(replay.network)
    jobs = replay.workload.only(replay.ran)
    done = float(getattr(jobs, unit) @ jobs.run_s)
    return round(done / (there * length_s), 4)


def _light_wait_s(jobs: Workload, wait_s: Floats) -> float | None:
    """By the dominant amount, counted in parts of what all asked for."""
    codes, organisation = np.unique(jobs.organisation, return_inverse=True)
    if codes.size < 2:
        return None
    shares = [need / max(float(need.sum()), 1.0) for need in jobs.needs()]
    used = np.bincount(organisation, np.max(shares, axis=0) * jobs.run_s)
    light = (used < used.mean())[organisation]
    return round(float(wait_s[light].mean()), 1) if light.any() else None


def _pools(replay: Replay, length_s: float) -> list[dict[str, Any]]:
    rows = []
    for number, (name, centre, pool) in enumerate(replay.network.pools):
        here = replay.pool == number
        jobs = replay.workload.only(here)
        wait_s = replay.start_s[here] - jobs.submit_s
        packed = pack(jobs, replay.start_s[here], pool)
        rows.append(
            {
                "pool": name,
                "jobs": len(jobs),
                "utilisation": round(float(pool_share(jobs, pool) @ jobs.run_s) / length_s, 4),
                "mean_wait_s": round(float(wait_s.mean()), 1) if len(jobs) else None,
                "fragmentation": packed.fragmentation if packed else None,
                "scattered": packed.scattered if packed else None,
                **_costs(jobs, centre, pool, length_s),
            }
        )
    return rows


def _packed(network: Network, rows: list[dict[str, Any]]) -> dict[str, float | int | None]:
    """Of all pools whose packing is known, weighted by their GPUs."""
    known = [
        (row, pool.capacity.gpu_milli)
        for row, (_, _, pool) in zip(rows, network.pools, strict=True)
        if row["fragmentation"] is not None
    ]
    if not known:
        return {"fragmentation": None, "scattered": None}
    lost = sum(row["fragmentation"] * gpus for row, gpus in known)
    return {
        "fragmentation": round(lost / sum(gpus for _, gpus in known), 4),
        "scattered": sum(row["scattered"] for row, _ in known),
    }


def _costs(
    jobs: Workload, centre: ModelledCentre, pool: ModelledPool, length_s: float
) -> dict[str, Any]:
    idle_ws = pool.nodes * pool.idle_w * length_s
    energy_kwh = (idle_ws + float(draw_w(jobs, pool) @ jobs.run_s)) / HOUR_S / W_PER_KW
    return {
        "energy_kwh": round(energy_kwh, 1),
        "carbon_kg": round(energy_kwh * centre.carbon_g_per_kwh / G_PER_KG, 1),
        "cost_micro": round(float(cost_micro_per_h(jobs, pool) @ jobs.run_s) / HOUR_S),
    }
