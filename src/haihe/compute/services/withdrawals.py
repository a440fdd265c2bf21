"""What a dispatch round takes back: what nobody wants any more, and what is better elsewhere."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import (
    DateTimeField,
    DurationField,
    ExpressionWrapper,
    F,
    IntegerField,
    Q,
    QuerySet,
    Value,
)
from django.db.models.functions import Cast

from haihe.compute.domain import AttemptState, EndReason, JobState
from haihe.compute.domain.choice import should_move
from haihe.compute.domain.states import Withdrawal
from haihe.compute.models import Agent, Attempt, Job
from haihe.compute.services.facts import SILENT_AFTER
from haihe.compute.services.kinds import kind_without, read_kind
from haihe.compute.services.settlement import AttemptEnd, close_job, end_attempt, lock_job
from haihe.compute.services.view import View
from haihe.kernel.clock import now
from haihe.kernel.work import unit_of_work

LOOKED_AT = 200
MOVE_AFTER = timedelta(minutes=5)
MOVES_LIMIT = 3


def end_cancelled() -> int:
    """End jobs whose cancellation came before any agent claimed them: nothing ran or is paid."""
    ended = 0
    waiting = Job.objects.waiting().filter(cancel_requested_at__isnull=False)
    for pk in list(waiting.values_list("pk", flat=True)[:LOOKED_AT]):
        with unit_of_work():
            job = lock_job(pk)
            if job.state == JobState.QUEUED:
                close_job(job, JobState.CANCELLED, EndReason.CANCELLED)
                ended += 1
    offered = Attempt.objects.unfinished().filter(
        claimed_at=None, job__cancel_requested_at__isnull=False
    )
    for pk in list(offered.values_list("pk", flat=True)[:LOOKED_AT]):
        ended += _end_unclaimed(pk, None)
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
        _end_unclaimed(pk, Withdrawal.SILENT)
        for pk in list(offered.values_list("pk", flat=True)[:LOOKED_AT])
    )


def end_overdue() -> int:
    """End waiting jobs that can no longer be done by their deadline: nothing ran or is paid."""
    ended = 0
    late = Job.objects.waiting().filter(
        _too_late(now(), deadline="deadline_at", limit="reservation")
    )
    for pk in list(late.values_list("pk", flat=True)[:LOOKED_AT]):
        with unit_of_work():
            job = lock_job(pk)
            if job.state == JobState.QUEUED:
                close_job(job, JobState.FAILED, EndReason.DEADLINE)
                ended += 1
    return ended


def withdraw_from_closed() -> int:
    """Take back what has not started in a pool that takes no jobs any more, wherever it then goes.

    Nor does what waits in a scheduler start after it could have ended by its deadline.
    """
    closed = _pending().filter(Q(pool__is_open=False) | Q(pool__centre__is_open=False))
    late = _pending().filter(
        _too_late(now(), deadline="job__deadline_at", limit="job__reservation")
    )
    taken = 0
    for rows, why in ((closed, Withdrawal.CLOSED), (late, Withdrawal.LATE)):
        for pk, claimed_at in list(rows.values_list("pk", "claimed_at")[:LOOKED_AT]):
            taken += _end_unclaimed(pk, why) if claimed_at is None else _ask_back(pk, why)
    return taken


def withdraw_to_move() -> int:
    """Ask for the return of attempts that wait in a scheduler and are better off elsewhere.

    Only of agents that are heard: what waits at another may have started since, and nobody knows.
    """
    waiting = list(
        _pending()
        .filter(claimed_at__lte=now() - MOVE_AFTER)
        .select_related("job__kind", "job__reservation", "pool__centre")[:LOOKED_AT]
    )
    if not waiting:
        return 0
    view = View.of(now())
    moved = 0
    for attempt in waiting:
        if attempt.job.kind is None or _moves_of(attempt.job) >= MOVES_LIMIT:
            continue
        if not view.is_heard(attempt.pool):
            continue
        choice = view.choice_beside(read_kind(attempt.job.kind), attempt)
        if should_move(choice, str(attempt.pool)):
            moved += _ask_back(attempt.pk, Withdrawal.MOVE)
            _look_elsewhere(attempt)
    return moved


def _pending() -> QuerySet[Attempt]:
    """Attempts that are on offer, or wait in a scheduler, and that nobody has asked back yet."""
    return Attempt.objects.filter(
        Q(claimed_at=None) | ~Q(pending_reason=""),
        state=AttemptState.STARTING,
        withdraw_requested_at=None,
        started_at=None,
        job__cancel_requested_at=None,
    )


def _too_late(at: datetime, *, deadline: str, limit: str) -> Q:
    """What could not end by its deadline any more if it took all its time."""
    seconds = Cast(F(f"{limit}__wall_s"), IntegerField())
    length = ExpressionWrapper(seconds * timedelta(seconds=1), DurationField())
    return Q(**{f"{deadline}__lte": ExpressionWrapper(Value(at) + length, DateTimeField())})


def _moves_of(job: Job) -> int:
    """How often a job was taken back to run elsewhere because that was better for it."""
    return job.attempts.filter(state=AttemptState.WITHDRAWN, withdrawn_for=Withdrawal.MOVE).count()


def _ask_back(attempt_id: UUID, why: Withdrawal) -> int:
    """Ask the agent to give an attempt back, if it has not started by then."""
    with unit_of_work():
        return Attempt.objects.filter(
            pk=attempt_id, state=AttemptState.STARTING, withdraw_requested_at=None
        ).update(withdraw_requested_at=now(), withdrawn_for=why)


def _look_elsewhere(attempt: Attempt) -> None:
    """A job that moves does not come back: its pool looks free then, and is as slow as before."""
    with unit_of_work():
        job = lock_job(attempt.job_id)
        if job.kind is not None:
            job.kind = kind_without(job.kind, attempt.pool_id, is_centre=False)
            job.save(update_fields=["kind"])


def _end_unclaimed(attempt_id: UUID, why: Withdrawal | None) -> int:
    """End an attempt that its agent has not claimed; nothing if it has meanwhile.

    It is withdrawn for a reason, or, for none, cancelled.
    """
    end = AttemptEnd(state=AttemptState.CANCELLED, reason=EndReason.CANCELLED)
    with unit_of_work():
        lock_job(Attempt.objects.values_list("job_id", flat=True).get(pk=attempt_id))
        unclaimed = Attempt.objects.unfinished().filter(pk=attempt_id, claimed_at=None)
        if not unclaimed.exists():
            return 0
        if why is not None:
            unclaimed.update(withdraw_requested_at=now(), withdrawn_for=why)
            end = AttemptEnd(state=AttemptState.WITHDRAWN, reason=EndReason.WITHDRAWN)
        end_attempt(attempt_id, end)
    return 1
