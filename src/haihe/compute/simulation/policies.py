"""The order in which a pool's jobs start, and what may overtake: first come, EASY, and Haihe's own.

A policy gives each job, once, when it arrives, a **turn** and an **estimate**. The line is kept by
turn; the job whose turn is first is the head. Where a policy back-fills, the head that does not fit
gets a reservation, and a job behind it may start if it ends in time by its estimate, or fits beside
the head.

``fcfs``
    The turn is the submission; nothing overtakes.
``easy``
    The turn is the submission; one reservation; the estimate is the requested time. D. Lifka, "The
    ANL/IBM SP scheduling system", 1995. The reference, because most machines run it.
``haihe``
    The turn is the submission and two handicaps::

        turn = submission + min(STRETCH x run, WORK) + min(lead, FAIR)

    *run* is the predicted run time (:mod:`.prediction`). The bounded slowdown of a short job grows
    fastest while it waits, so a job gives way to those that are shorter, for as long as its own
    slowdown stays bearable (after D. Carastan-Santos et al., "One can only gain by replacing EASY
    backfilling", 2019), but at most ``WORK``.

    *lead* is how far the job's organisation is ahead of its equal part: each of its jobs moves its
    clock on by ``run x dominant share x organisations active``, and a clock that is behind now
    starts at now. That is dominant resource fairness (A. Ghodsi et al., 2011) in the form of fair
    queueing (their sequel of 2012): a burst waits behind others' single jobs, and nobody saves up
    rights.

    A deadline brings the turn forward to the last moment at which the job can still end in time.

    **Nobody starves.** A turn is at most ``WORK + FAIR`` = 4.5 days after submission, it never
    changes, and what is submitted after it has a later one. Before the head's turn its reservation
    is planned by predicted run times, which may be wrong; from its turn on it is planned by the
    requested times, which hold, and no back-filled job delays it any more. Hence a job that sees
    ``k`` jobs ahead of it at its turn starts at most ``(k + 1) x longest requested time`` later.

    One reservation, not several: each further one takes holes away from back-filling (A. Mu'alem
    and D. Feitelson 2001), and what several would guard against, the turn already bounds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Protocol

from haihe.compute.simulation.prediction import RunTimePredictor
from haihe.compute.simulation.workload import Workload

DAY_S = 86_400.0
WORK_S = 4 * DAY_S
FAIR_S = DAY_S / 2
STRETCH = 100.0
TURN_DIGITS = 3  # so that noise in the last bits of a sum never decides who is first


class Policy(Protocol):
    """What a pool's scheduler asks of a policy. One object serves one replay."""

    @property
    def backfills(self) -> bool:
        """Whether a job may start before one whose turn is earlier."""

    @property
    def predicts(self) -> bool:
        """Whether estimates may be exceeded; else they are the requested times."""

    def arrive(self, job: int, *, pool: int, now_s: float, share: float) -> tuple[float, float]:
        """The job's turn and estimated run time; ``share`` is its dominant share of the pool."""

    def end(self, job: int, *, pool: int) -> None:
        """The job ended; its run time may be learned from."""


class FirstCome:
    """``fcfs``, and with back-filling ``easy``."""

    predicts = False

    def __init__(self, workload: Workload, *, backfills: bool) -> None:
        self.backfills = backfills
        self._requested_s = workload.requested_s.tolist()

    def arrive(self, job: int, *, pool: int, now_s: float, share: float) -> tuple[float, float]:
        """In the order of submission, by the requested time."""
        return now_s, self._requested_s[job]

    def end(self, job: int, *, pool: int) -> None:
        """Nothing is learned."""


class Haihe:
    """``haihe``: see above."""

    backfills = True
    predicts = True

    def __init__(self, workload: Workload) -> None:
        self._run_s = workload.run_s.tolist()
        self._requested_s = workload.requested_s.tolist()
        self._deadline_s = workload.deadline_s.tolist()
        self._organisation = workload.organisation.tolist()
        self._known = list(
            zip(
                workload.user.tolist(),
                self._organisation,
                self._requested_s,
                zip(*(column.tolist() for column in workload.needs()), strict=True),
                strict=True,
            )
        )
        self._predictor = RunTimePredictor()
        self._clock_s: dict[tuple[int, int], float] = {}
        self._active: dict[int, Counter[int]] = {}

    def arrive(self, job: int, *, pool: int, now_s: float, share: float) -> tuple[float, float]:
        """By the predicted run time and the organisation's lead."""
        run_s = self._predictor.predict_s(*self._known[job])
        handicap_s = min(STRETCH * run_s, WORK_S)
        lead_s = self._lead_s(self._organisation[job], pool, now_s, run_s * share)
        turn_s = now_s + handicap_s + min(lead_s, FAIR_S)
        latest_s = self._deadline_s[job] - self._requested_s[job]
        return max(now_s, min(round(turn_s, TURN_DIGITS), latest_s)), run_s

    def end(self, job: int, *, pool: int) -> None:
        """Learn the run time; an organisation with no job left in the pool is not active."""
        active, organisation = self._active[pool], self._organisation[job]
        active[organisation] -= 1
        if not active[organisation]:
            del active[organisation]
        self._predictor.learn(*self._known[job], run_s=self._run_s[job])

    def _lead_s(self, organisation: int, pool: int, now_s: float, share_s: float) -> float:
        active = self._active.setdefault(pool, Counter())
        active[organisation] += 1
        owner = (pool, organisation)
        clock_s = max(self._clock_s.get(owner, now_s), now_s) + share_s * len(active)
        self._clock_s[owner] = clock_s
        return clock_s - now_s


POLICIES: Mapping[str, Callable[[Workload], Policy]] = {
    "fcfs": lambda workload: FirstCome(workload, backfills=False),
    "easy": lambda workload: FirstCome(workload, backfills=True),
    "haihe": Haihe,
}
