"""The end of attempts and jobs: metering, settlement, and going back to the queue.

What an attempt used is told by its centre, and checked here against what the pool could have given
and how long the attempt can have run. What cannot be is kept, marked as doubted, and not billed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from haihe.compute.domain import (
    MAX_ATTEMPTS,
    NOT_THE_JOBS_FAULT,
    AttemptState,
    Capacity,
    EndReason,
    JobSpec,
    JobState,
    Share,
    Subsidy,
    Usage,
    price_usage,
    round_lines,
    split_bill,
    total_micro,
    within_limits,
)
from haihe.compute.domain.metering import Doubt, believable, doubts_of
from haihe.compute.models import Attempt, Job, Reservation, Settlement, UsageRecord
from haihe.compute.services.kinds import kind_without
from haihe.evidence.services import record
from haihe.kernel.clock import now
from haihe.kernel.crash import crash_point
from haihe.kernel.money import CNY
from haihe.kernel.outbox import emit
from haihe.ledger.domain import Kind, TransferOrder
from haihe.ledger.services import transfer
from haihe.policy.domain import system_principal

DISPATCHER = system_principal("dispatcher")


@dataclass(frozen=True, kw_only=True)
class AttemptEnd:
    """How an attempt ended, as its centre reported it, times already by our clock."""

    state: AttemptState
    reason: EndReason
    exit_code: int | None = None
    message: str = ""
    usage: Usage | None = None
    measured_by: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None


def state_of_end(reason: EndReason, exit_code: int | None) -> AttemptState:
    """The state in which an attempt ends for a reason."""
    if reason is EndReason.LOST:
        return AttemptState.LOST
    if reason is EndReason.CANCELLED:
        return AttemptState.CANCELLED
    good = reason is EndReason.EXITED and exit_code == 0
    return AttemptState.SUCCEEDED if good else AttemptState.FAILED


def end_attempt(attempt_id: UUID, end: AttemptEnd) -> Job | None:
    """In the open unit of work: write an attempt's end and what follows for its job, once.

    The job is settled and over; or, if the attempt ended through no fault of the job, or was
    withdrawn before it ran, it is back in the queue. None, if the attempt had ended before.
    """
    job = lock_job(Attempt.objects.values_list("job_id", flat=True).get(pk=attempt_id))
    attempt = Attempt.objects.unfinished().filter(pk=attempt_id).first()
    if attempt is None:
        return None
    withdrawn = (
        attempt.withdraw_requested_at is not None
        and job.cancel_requested_at is None
        and end.reason in (EndReason.CANCELLED, EndReason.WITHDRAWN)
    )
    state = AttemptState.WITHDRAWN if withdrawn else end.state
    attempt.state, attempt.end_reason, attempt.exit_code = state, end.reason, end.exit_code
    attempt.message, attempt.finished_at = end.message[:2_000], end.finished_at or now()
    attempt.started_at = end.started_at or attempt.started_at
    attempt.save(
        update_fields=[
            "state", "end_reason", "exit_code", "message", "started_at", "finished_at",
        ]
    )  # fmt: skip
    crash_point("dispatch.finishing")
    is_the_centres = end.reason in NOT_THE_JOBS_FAULT
    if state is AttemptState.WITHDRAWN or _runs_again(job, attempt, end.reason):
        requeue_job(job, end.reason)
        return job
    # What was used until a node failed is recorded, and is at the centre's cost.
    usage = _record_usage(job, attempt, end) if end.usage else None
    usage = None if is_the_centres else usage
    job_state = JobState.FAILED if state is AttemptState.LOST else JobState(state.value)
    close_job(job, job_state, end.reason, usage=usage, exit_code=end.exit_code, message=end.message)
    return job


def _runs_again(job: Job, attempt: Attempt, reason: EndReason) -> bool:
    """Whether a job that failed by its centre is tried again, and if so then elsewhere if it may.

    What a centre could not start another may; where there is no other, nothing would be different.
    """
    if reason not in (*NOT_THE_JOBS_FAULT, EndReason.NOT_STARTED):
        return False
    if job.cancel_requested_at is not None or tries_of(job) >= MAX_ATTEMPTS:
        return False
    before = job.kind
    if before is not None:
        job.kind = kind_without(before, attempt.pool_id)
        job.save(update_fields=["kind"])
    if reason is EndReason.NOT_STARTED:
        refusals = job.attempts.filter(end_reason=EndReason.NOT_STARTED).count()
        return job.kind != before and refusals == 1
    return True


def lock_job(pk: UUID) -> Job:
    """A job that nobody else changes until the unit of work ends, with what settling it needs."""
    Job.objects.select_for_update().get(pk=pk)
    return Job.objects.select_related(
        "quote__contract", "offer", "kind", "reservation", "pool__centre", "organisation"
    ).get(pk=pk)


def tries_of(job: Job) -> int:
    """How many attempts count: those that were not withdrawn."""
    return job.attempts.exclude(state=AttemptState.WITHDRAWN).count()


def requeue_job(job: Job, reason: EndReason) -> None:
    """Give back the capacity and put the job in line again; its funds stay held."""
    Reservation.objects.filter(job=job).update(placed_at=None)
    job.state = JobState.QUEUED
    job.save(update_fields=["state"])
    record(
        "job.requeued",
        subject=f"job:{job.pk}",
        actor=DISPATCHER,
        data={"attempts": job.attempts.count(), "reason": str(reason)},
        parties=[job.organisation_id, job.provider_id],
    )


def _record_usage(job: Job, attempt: Attempt, end: AttemptEnd) -> Usage:
    """Keep what was reported, and return what of it may be billed."""
    assert end.usage is not None
    spec = job.quote.spec
    told = end.usage
    if not told.gpu_milli_ms and spec.gpu_milli:
        # A back-end that does not count cards: the share that was held, for as long as it was.
        held = spec.gpu_milli * spec.nodes * told.wall_ms
        told = Usage(**{**asdict(told), "gpu_milli_ms": held})
    elapsed_ms = _longest_ms(attempt, end, spec)
    doubts = doubts_of(told, capacity=_reach(job), elapsed_ms=elapsed_ms)
    UsageRecord.objects.create(
        attempt=attempt,
        measured_by=end.measured_by or job.pool.backend,
        doubts=[str(doubt) for doubt in doubts],
        **asdict(told),
    )
    record(
        "job.metered",
        subject=f"job:{job.pk}",
        actor=DISPATCHER,
        data={
            "attempt": attempt.number,
            "measured_by": end.measured_by or job.pool.backend,
            **asdict(told),
        },
        parties=[job.organisation_id, job.provider_id],
    )
    if doubts:
        _record_doubts(job, attempt, doubts)
    return believable(told, capacity=_reach(job), elapsed_ms=elapsed_ms)


def _longest_ms(attempt: Attempt, end: AttemptEnd, spec: JobSpec) -> int:
    """How long an attempt can have run: as its centre says when, and not since before its claim."""
    last, first = now(), attempt.claimed_at or attempt.created_at
    if end.started_at is not None and end.finished_at is not None:
        last, first = end.finished_at, end.started_at
    elapsed_ms = round((last - first).total_seconds() * 1e3)
    # Our own clock may have been set back: then its word proves nothing.
    return spec.wall_s * 1_000 if elapsed_ms < 0 else elapsed_ms


def _reach(job: Job) -> Capacity:
    """What the job could have used at most: the whole pool, and of the cards what it held."""
    spec = job.quote.spec
    pool = job.pool.capacity
    return Capacity(pool.cpu_milli, pool.memory_bytes, spec.gpu_milli * spec.nodes)


def _record_doubts(job: Job, attempt: Attempt, doubts: list[Doubt]) -> None:
    record(
        "job.usage_doubted",
        subject=f"job:{job.pk}",
        actor=DISPATCHER,
        data={"attempt": attempt.number, "doubts": [str(doubt) for doubt in doubts]},
        parties=[job.organisation_id, job.provider_id],
    )


def close_job(
    job: Job,
    state: JobState,
    reason: EndReason,
    *,
    usage: Usage | None = None,
    exit_code: int | None = None,
    message: str = "",
) -> None:
    """End a job for good: settle what was used, free the rest of the funds, and the capacity."""
    job.state, job.end_reason, job.finished_at = state, reason, now()
    job.exit_code, job.message = exit_code, message[:2_000]
    job.save(update_fields=["state", "end_reason", "finished_at", "exit_code", "message"])
    _settle(job, usage)
    Reservation.objects.filter(job=job).update(released_at=now())
    emit("job.finished", {"job": str(job.pk), "state": str(state)})


def _settle(job: Job, usage: Usage | None) -> None:
    """Post from each hold what its payer owes, and void what is left.

    The bill is rounded to fen here and nowhere else. Who pays which part follows the ratios of the
    quote, so that a voucher never pays more than its scheme allows of what was really used.
    """
    lines = []
    if usage is not None:
        billed = within_limits(usage, job.quote.spec)
        lines = round_lines(price_usage(billed, job.offer.price))
    amount = total_micro(lines)
    holds = job.reservation.holds
    shares = _actual_shares(amount, holds)
    paid = {share.account_id: share.amount_micro for share in shares}
    assert sum(paid.values()) == amount
    transfer([_resolve(job, hold, paid.get(hold["account_id"], 0)) for hold in holds])
    evidence_id = record(
        "job.settled",
        subject=f"job:{job.pk}",
        actor=DISPATCHER,
        data={
            "state": str(job.state),
            "reason": str(job.end_reason),
            "amount_micro": amount,
            "lines": [asdict(line) for line in lines],
            "shares": [asdict(share) for share in shares],
            "contract": job.quote.contract.number if job.quote.contract else "",
        },
        parties=[job.organisation_id, job.provider_id],
    )
    Settlement.objects.create(
        job=job,
        amount_micro=amount,
        lines=[asdict(line) for line in lines],
        shares=[asdict(share) for share in shares],
        evidence_id=evidence_id,
    )
    crash_point("dispatch.settled")


def _actual_shares(amount_micro: int, holds: list[dict[str, Any]]) -> list[Share]:
    subsidy = None
    firm = Share("", "", CNY, 0)
    for hold in holds:
        if hold["ratio_percent"]:
            subsidy = Subsidy(
                hold["payer"],
                hold["account_id"],
                hold["asset"],
                hold["ratio_percent"],
                hold["amount_micro"],
            )
        else:
            firm = Share(hold["payer"], hold["account_id"], hold["asset"], 0)
    return split_bill(amount_micro, subsidy, firm)


def _resolve(job: Job, hold: dict[str, Any], amount_micro: int) -> TransferOrder:
    hold_id = UUID(hold["hold_id"])
    return TransferOrder(
        transfer_id=uuid5(hold_id, "settle"),
        kind=Kind.POST if amount_micro else Kind.VOID,
        pending_id=hold_id,
        amount_micro=amount_micro or None,
        reason="job-settlement",
        reference=f"job:{job.pk}",
        group_id=uuid5(job.pk, "settle"),
    )
