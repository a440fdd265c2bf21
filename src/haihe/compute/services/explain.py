"""Why a job went where it went, and why one waits: every pool with every term.

What is told of a placement was kept when it was made, and is computed again from its facts; what is
told of a waiting job is what a dispatch round would find now.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.db.models import Q

from haihe.compute.domain import AttemptState, JobState
from haihe.compute.domain.choice import Choice, choice_from, reason_of, replay
from haihe.compute.domain.planning import Waiting, in_order
from haihe.compute.models import Attempt, Decision, Job
from haihe.compute.services.jobs import find_job
from haihe.compute.services.kinds import read_kind
from haihe.compute.services.view import QUEUE_LIMIT, View, shares
from haihe.kernel.clock import now
from haihe.kernel.errors import gettext_noop
from haihe.policy.domain import Principal
from haihe.policy.services import authorize

# What is said of a job, for the catalogue: values are numbered fields.
NEXT = gettext_noop("it is the next; the best pool for it is {0}")
IN_LINE = gettext_noop("before it in line: {0}; the best pool for it is {1}")
NO_POOL = gettext_noop("no pool may have it now")
NOT_TAKEN = gettext_noop("{0}: its agent has not taken the job yet")
SCHEDULER_SAYS = gettext_noop("{0}: its scheduler says {1}")
SCHEDULER_HAS = gettext_noop("{0}: its scheduler has the job")
STANDS: Mapping[str, str] = {
    JobState.QUEUED: gettext_noop("it is in the queue"),
    JobState.STARTING: gettext_noop("it is starting"),
    JobState.RUNNING: gettext_noop("it is running"),
    JobState.SUCCEEDED: gettext_noop("it has succeeded"),
    JobState.FAILED: gettext_noop("it has failed"),
    JobState.CANCELLED: gettext_noop("it was cancelled"),
}


class Waits(StrEnum):
    """For what a job waits; the first that holds."""

    POOL = "pool"  # no pool may have it now
    ROOM = "room"  # pools may have it, and none has room, or others come first
    AGENT = "agent"  # it was offered, and the centre's agent has not taken it yet
    SCHEDULER = "scheduler"  # the centre's own scheduler keeps it waiting
    NOTHING = "nothing"  # it runs, or is over


@dataclass(frozen=True)
class Placed:
    """One placement: why that pool. ``is_replayed`` says that the kept facts lead there again."""

    at: datetime
    occasion: str
    choice: Choice
    is_replayed: bool


@dataclass(frozen=True)
class Explanation:
    """All that can be said of where a job is.

    ``present`` is what a round would find for it now, for a job that waits in the queue, with
    ``ahead`` as how many jobs that are to go to the same pools a round would look at before it.
    """

    job: Job
    waits_for: Waits
    sentence: str
    ahead: int
    quoted: Placed | None
    placements: Sequence[Placed]
    present: Choice | None

    def as_dict(self) -> dict[str, Any]:
        """The explanation as JSON."""
        return {
            "job": str(self.job.pk),
            "state": self.job.state,
            "pool": str(self.job.pool),
            "waits_for": self.waits_for,
            "sentence": self.sentence,
            "ahead": self.ahead,
            "quoted": _placed_as_dict(self.quoted) if self.quoted else None,
            "placements": [_placed_as_dict(one) for one in self.placements],
            "present": self.present.as_dict() if self.present else None,
        }


def explain_job(principal: Principal, job_id: str | UUID) -> Explanation:
    """Why a job is where it is, for its organisation: what it may pay is in the answer."""
    job = find_job(principal, job_id)
    authorize(principal, "quote.read", job.quote.resource())
    decisions = Decision.objects.filter(job=job).order_by("pk")
    kept = job.quote.comparison  # empty, if the quote is older than comparisons are
    quoted = _placed(job.quote.created_at, "quoted", kept) if kept else None
    placements = [_placed(row.created_at, row.occasion, vars(row)) for row in decisions]
    present, ahead = None, 0
    if job.state == JobState.QUEUED and job.kind is not None:
        view = View.of(now())
        present = view.choice_now(read_kind(job.kind), job.pk)
        ahead = _ahead_of(job, present, view)
    waits_for, sentence = _why(job, present, ahead)
    return Explanation(job, waits_for, sentence, ahead, quoted, placements, present)


def _why(job: Job, present: Choice | None, ahead: int) -> tuple[Waits, str]:
    """For what a job waits, and the sentence that says so."""
    if present is not None:
        able = [verdict for verdict in present.verdicts if verdict.fits]
        if able:
            best = max(able, key=lambda verdict: verdict.score or 0.0)
            others = [check for check in best.failed if check.name in ("pieces", "reserved")]
            if others:
                return Waits.ROOM, reason_of(best.pool, others[0])
            if not ahead:
                return Waits.ROOM, NEXT.format(best.pool)
            return Waits.ROOM, IN_LINE.format(ahead, best.pool)
        nearest = min(present.verdicts, key=lambda verdict: len(verdict.failed), default=None)
        if nearest is None:
            return Waits.POOL, NO_POOL
        return Waits.POOL, reason_of(nearest.pool, nearest.failed[0])
    attempt = job.attempts.filter(state=AttemptState.STARTING).first()
    if job.state == JobState.STARTING and attempt is not None:
        return _why_starting(attempt)
    return Waits.NOTHING, STANDS[job.state]


def _why_starting(attempt: Attempt) -> tuple[Waits, str]:
    if attempt.claimed_at is None:
        return Waits.AGENT, NOT_TAKEN.format(attempt.pool)
    if attempt.pending_reason:
        return Waits.SCHEDULER, SCHEDULER_SAYS.format(attempt.pool, attempt.pending_reason)
    return Waits.SCHEDULER, SCHEDULER_HAS.format(attempt.pool)


def _ahead_of(job: Job, present: Choice, view: View) -> int:
    """Waiting jobs that are to go where this one may, and that a round would look at first."""
    names = {verdict.pool for verdict in present.verdicts if verdict.fits}
    pools = [one.pool.pk for one in view.seen if str(one.pool) in names]
    rows = Job.objects.filter(
        Q(pool__in=pools) | Q(pk=job.pk), state=JobState.QUEUED, cancel_requested_at=None
    ).order_by("pk")
    queue = [
        Waiting(pk, organisation, 0, priority, view.is_urgent(wall_s, due), age_rank=rank)
        for rank, (pk, organisation, priority, due, wall_s) in enumerate(
            rows.values_list(
                "pk", "organisation_id", "priority", "deadline_at", "reservation__wall_s"
            )[:QUEUE_LIMIT]
        )
    ]
    order = in_order(queue, shares=shares(), whole=view.whole())
    return order.index(job.pk) if job.pk in order else len(order)


def _placed(at: datetime, occasion: str, kept: dict[str, Any]) -> Placed:
    choice = choice_from(kept["result"])
    return Placed(at, occasion, choice, replay(kept["facts"]).as_dict() == choice.as_dict())


def _placed_as_dict(one: Placed) -> dict[str, Any]:
    return {**asdict(one), "at": one.at.isoformat()}
