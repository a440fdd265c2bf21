"""Back-testing the queue model: at each submission predict the wait, later compare.

The model is compared with what a person at the queue might say: the last wait that was observed,
the mean of the last hundred, and the planned backlog (the projection without any correction). All
learn of a wait when the job starts, not before. Long waits are therefore learned late, by all
alike.

``mean_absolute_error_s``, ``median_absolute_error_s``
    Of the predicted median.
``pinball_50_s``, ``pinball_90_s``
    The mean of ``q x (wait - predicted)`` where the wait was longer, ``(1 - q) x (predicted -
    wait)`` where it was shorter: the score that the true quantile minimises (R. Koenker and
    G. Bassett, "Regression quantiles", 1978). The naive predictors have one number for both.
``coverage_90``
    The share of jobs that started within the 90 % interval, from submission to the predicted 90th
    percentile; right is 0.9. More is not better: an endless interval covers all.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from haihe.compute.domain import Objective
from haihe.compute.simulation.engine import Replay, Tell, replay
from haihe.compute.simulation.network import Network
from haihe.compute.simulation.scheduler import PoolScheduler
from haihe.compute.simulation.waiting import (
    HIGH,
    MEDIAN,
    ExpectedStart,
    Outlook,
    QueueModel,
)
from haihe.compute.simulation.workload import Floats, Workload

MEAN_OF = 100


class _Predictor(Protocol):
    def predict(self, outlook: Outlook) -> ExpectedStart:
        """Before the job starts."""

    def learn(self, outlook: Outlook, waited_s: float) -> None:
        """When it has started."""


class _Model:
    def __init__(self) -> None:
        self._model = QueueModel()
        self.predict = self._model.corrected
        self.learn = self._model.learn


class _LastWait:
    def __init__(self) -> None:
        self._wait_s = 0.0

    def predict(self, outlook: Outlook) -> ExpectedStart:
        return ExpectedStart(median_s=self._wait_s, p90_s=self._wait_s)

    def learn(self, outlook: Outlook, waited_s: float) -> None:
        self._wait_s = waited_s


class _MeanWait:
    def __init__(self) -> None:
        self._waits_s: deque[float] = deque(maxlen=MEAN_OF)

    def predict(self, outlook: Outlook) -> ExpectedStart:
        mean_s = sum(self._waits_s) / max(len(self._waits_s), 1)
        return ExpectedStart(median_s=mean_s, p90_s=mean_s)

    def learn(self, outlook: Outlook, waited_s: float) -> None:
        self._waits_s.append(waited_s)


class _PlannedBacklog:
    def predict(self, outlook: Outlook) -> ExpectedStart:
        return ExpectedStart(median_s=outlook.projected_s, p90_s=outlook.projected_s)

    def learn(self, outlook: Outlook, waited_s: float) -> None:
        """A plan learns nothing."""


PREDICTORS: dict[str, Callable[[], _Predictor]] = {
    "queue model": _Model,
    "last wait": _LastWait,
    "mean wait": _MeanWait,
    "planned backlog": _PlannedBacklog,
}


class _Outlooks:
    """Watches a replay and notes each job's outlook at its submission."""

    def __init__(self) -> None:
        self.of: dict[int, Outlook] = {}

    def submitted(self, job: int, pool: PoolScheduler, now_s: float) -> None:
        self.of[job] = pool.outlook(job, now_s)


def back_test(
    workload: Workload,
    network: Network,
    policy: str,
    *,
    objective: Objective = Objective.SOONEST,
    tell: Tell | None = None,
) -> list[dict[str, Any]]:
    """One row per predictor, over all jobs that ran; each pool has predictors of its own."""
    noted = _Outlooks()
    done = replay(workload, network, policy, objective=objective, tell=tell, watcher=noted)
    return [
        {"predictor": name, "policy": policy, **_score(done, noted.of, make)}
        for name, make in PREDICTORS.items()
    ]


def _score(
    done: Replay, outlooks: Mapping[int, Outlook], make: Callable[[], _Predictor]
) -> dict[str, float]:
    predictors = [make() for _ in done.network.pools]
    submit_s, start_s = done.workload.submit_s.tolist(), done.start_s.tolist()
    pool_of = done.pool.tolist()
    waiting: list[tuple[float, int]] = []
    answers = []
    for job, outlook in outlooks.items():
        while waiting and waiting[0][0] < submit_s[job]:
            started = heapq.heappop(waiting)[1]
            waited_s = start_s[started] - submit_s[started]
            predictors[pool_of[started]].learn(outlooks[started], waited_s)
        answers.append(predictors[pool_of[job]].predict(outlook))
        heapq.heappush(waiting, (start_s[job], job))
    jobs = list(outlooks)
    return _errors(
        done.start_s[jobs] - done.workload.submit_s[jobs],
        np.array([answer.median_s for answer in answers]),
        np.array([answer.p90_s for answer in answers]),
    )


def _errors(wait_s: Floats, median_s: Floats, p90_s: Floats) -> dict[str, float]:
    error_s = np.abs(wait_s - median_s)
    return {
        "mean_absolute_error_s": round(float(error_s.mean()), 1),
        "median_absolute_error_s": round(float(np.median(error_s)), 1),
        "pinball_50_s": round(pinball_s(wait_s, median_s, MEDIAN), 1),
        "pinball_90_s": round(pinball_s(wait_s, p90_s, HIGH), 1),
        "coverage_90": round(float((wait_s <= p90_s).mean()), 3),
    }


def pinball_s(wait_s: Floats, predicted_s: Floats, part: float) -> float:
    """The mean pinball loss of a predicted quantile."""
    short_s = wait_s - predicted_s
    return float(np.maximum(part * short_s, (part - 1) * short_s).mean())
