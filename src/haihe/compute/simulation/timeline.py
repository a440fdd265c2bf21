"""What the plots of a replay show: how busy the network was and how many jobs waited over time, and
which share of the jobs had started after which wait.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from haihe.compute.simulation.engine import Replay
from haihe.compute.simulation.figures import busy_unit, span_s
from haihe.compute.simulation.workload import Floats

MAX_POINTS = 2_000


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """Means over spans of equal length; ``edge_s`` has one value more than the others."""

    policy: str
    edge_s: Floats
    utilisation: Floats
    waiting: Floats


def timeline_of(replay: Replay, *, points: int) -> Timeline:
    """The replay in ``points`` spans of equal length, exact means and no samples."""
    assert 1 <= points <= MAX_POINTS
    unit, there = busy_unit(replay.network)
    jobs = replay.workload.only(replay.ran)
    start_s = replay.start_s[replay.ran]
    edge_s = np.linspace(*span_s(replay), points + 1)
    busy = getattr(jobs, unit) / there
    return Timeline(
        policy=replay.policy,
        edge_s=edge_s,
        utilisation=_means(edge_s, start_s, start_s + jobs.run_s, busy),
        waiting=_means(edge_s, jobs.submit_s, start_s, np.ones(len(jobs))),
    )


def started_within(replay: Replay, wait_s: Floats) -> Floats:
    """The share of the jobs that ran which had started after each of these waits."""
    waited_s = np.sort((replay.start_s - replay.workload.submit_s)[replay.ran])
    return np.searchsorted(waited_s, wait_s, "right") / len(waited_s)


def _means(edge_s: Floats, begin_s: Floats, end_s: Floats, weight: Floats) -> Floats:
    """The mean of the summed weights of what lasts from ``begin_s`` to ``end_s``, per span."""
    total = _integral(edge_s, begin_s, weight) - _integral(edge_s, end_s, weight)
    return np.diff(total) / np.diff(edge_s)


def _integral(until_s: Floats, since_s: Floats, weight: Floats) -> Floats:
    """The sum of ``weight x (until - since)`` over all that began before ``until``."""
    order = np.argsort(since_s)
    weights = np.concatenate([[0.0], np.cumsum(weight[order])])
    moments = np.concatenate([[0.0], np.cumsum(weight[order] * since_s[order])])
    place = np.searchsorted(since_s[order], until_s)
    return np.asarray(weights[place] * until_s - moments[place])
