"""How long a job will run, from how the jobs of its person and organisation ran before.

People ask for several times what they use, and back-filling by what they ask leaves holes unfilled
(D. Tsafrir, Y. Etsion and D. Feitelson, "Backfilling using system-generated predictions rather than
user runtime estimates", 2007). What is learned is the *share* of the requested time that a job
uses, for that carries over between short and long jobs.

The share is a mean at four levels, each shrunk to the one above: all jobs, the organisation, the
person, and the person's jobs of the same request and size (most likely the same program). With
``n`` jobs seen at a level its mean has the weight ``n / (n + PRIOR_JOBS)``; old jobs fade, so that
a changed habit is followed. A newcomer is thus judged like the organisation, and a regular by what
the very same job did last time.
"""

from __future__ import annotations

from collections.abc import Hashable

PRIOR_JOBS = 1.0
MEMORY = 0.8  # of the weight that a job has when the next one is seen: it looks back five jobs
FIRST_SHARE = 1.0  # before anything was seen, people are believed
SHORTEST_S = 30.0
CORRECTION = 2.0


class RunTimePredictor:
    """Learns from each job that ends; the same jobs in the same order give the same answers.

    ``size`` is anything that tells jobs of different size apart.
    """

    def __init__(self) -> None:
        self._seen: dict[Hashable, tuple[float, float]] = {}  # by level: weight, sum of shares

    def predict_s(self, user: int, organisation: int, requested_s: float, size: Hashable) -> float:
        """The expected run time, at most the requested time."""
        share = FIRST_SHARE
        for level in _levels(user, organisation, requested_s, size):
            seen = self._seen.get(level)
            if seen is not None:
                weight, total = seen
                share = (total + PRIOR_JOBS * share) / (weight + PRIOR_JOBS)
        return max(min(SHORTEST_S, requested_s), share * requested_s)

    def learn(
        self, user: int, organisation: int, requested_s: float, size: Hashable, *, run_s: float
    ) -> None:
        """A job ended after ``run_s``."""
        share = min(run_s / requested_s, 1.0) if requested_s > 0 else FIRST_SHARE
        for level in _levels(user, organisation, requested_s, size):
            weight, total = self._seen.get(level, (0.0, 0.0))
            self._seen[level] = (MEMORY * weight + 1.0, MEMORY * total + share)


def corrected_end_s(*, start_s: float, planned_end_s: float, requested_s: float) -> float:
    """The next planned end of a job that runs on beyond its planned end.

    Twice the planned time, at most the requested one: doubling needs few corrections, and what
    overran once is likely to overrun by far.
    """
    planned_s = max(planned_end_s - start_s, SHORTEST_S)
    return start_s + min(CORRECTION * planned_s, requested_s)


def _levels(
    user: int, organisation: int, requested_s: float, size: Hashable
) -> tuple[Hashable, Hashable, Hashable, Hashable]:
    return None, organisation, (organisation, user), (organisation, user, requested_s, size)
