"""Dispatch: which waiting job goes to which centre next.

A round is short and may run in several processes at once: each placement is a transaction of its
own, under locks on the job and on the pool, and looks again at both before it writes.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from haihe.compute.domain import AttemptState, EndReason, JobState, need_of
from haihe.compute.models import Agent, Attempt, Job, Pool, Reservation
from haihe.compute.services.settlement import (
    AttemptEnd,
    close_job,
    end_attempt,
    lock_job,
)
from haihe.kernel.clock import now
from haihe.kernel.crash import crash_point
from haihe.kernel.work import unit_of_work

WAITING_LOOKED_AT = 200
SILENT_AFTER = timedelta(minutes=2)


def plan_round() -> int:
    """End what is unwanted, take back what no agent fetched, place what fits; how much was done."""
    return end_cancelled() + withdraw_from_silent() + place_waiting()


def end_cancelled() -> int:
    """End jobs whose cancellation came before any agent claimed them: nothing ran or is paid."""
    ended = 0
    waiting = Job.objects.waiting().filter(cancel_requested_at__isnull=False)
    for pk in list(waiting.values_list("pk", flat=True)[:WAITING_LOOKED_AT]):
        with unit_of_work():
            job = lock_job(pk)
            if job.state == JobState.QUEUED:
                close_job(job, JobState.CANCELLED, EndReason.CANCELLED)
                ended += 1
    offered = Attempt.objects.unfinished().filter(
        claimed_at=None, job__cancel_requested_at__isnull=False
    )
    for pk in list(offered.values_list("pk", flat=True)[:WAITING_LOOKED_AT]):
        ended += _end_unclaimed(pk, AttemptState.CANCELLED, EndReason.CANCELLED)
    return ended


def withdraw_from_silent() -> int:
    """Take back what was offered to an agent that has not been heard of: it goes elsewhere."""
    silent = Agent.objects.in_force().exclude(seen_at__gt=now() - SILENT_AFTER)
    offered = Attempt.objects.unfinished().filter(
        claimed_at=None,
        created_at__lte=now() - SILENT_AFTER,
        pool__centre__agents__in=silent,
    )
    return sum(
        _end_unclaimed(pk, AttemptState.WITHDRAWN, EndReason.WITHDRAWN)
        for pk in list(offered.values_list("pk", flat=True)[:WAITING_LOOKED_AT])
    )


def place_waiting() -> int:
    """Offer waiting jobs to their pools, the first in line first."""
    placed = 0
    for pk in list(Job.objects.waiting().values_list("pk", flat=True)[:WAITING_LOOKED_AT]):
        placed += _place(pk)
    return placed


def _place(job_id: UUID) -> int:
    """Hold capacity and open an attempt; nothing if the pool is full or the job is gone."""
    with unit_of_work():
        job = Job.objects.select_for_update().get(pk=job_id)
        pool = Pool.objects.select_for_update().get(pk=job.pool_id)
        if job.state != JobState.QUEUED or job.cancel_requested_at is not None:
            return 0
        if Reservation.objects.free_of(pool).shortfall(need_of(job.quote.spec)):
            return 0
        Reservation.objects.filter(job=job).update(placed_at=now(), pool=pool)
        job.state = JobState.STARTING
        job.save(update_fields=["state"])
        Attempt.objects.create(job=job, pool=pool, number=job.attempts.count() + 1)
    crash_point("dispatch.placed")
    return 1


def _end_unclaimed(attempt_id: UUID, state: AttemptState, reason: EndReason) -> int:
    """End an attempt that its agent has not claimed; nothing if it has meanwhile."""
    with unit_of_work():
        lock_job(Attempt.objects.values_list("job_id", flat=True).get(pk=attempt_id))
        if not Attempt.objects.unfinished().filter(pk=attempt_id, claimed_at=None).exists():
            return 0
        if state is AttemptState.WITHDRAWN:
            Attempt.objects.filter(pk=attempt_id).update(withdraw_requested_at=now())
        end_attempt(attempt_id, AttemptEnd(state=state, reason=reason))
    return 1
