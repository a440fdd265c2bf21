"""The dispatcher: starts queued jobs, looks after running ones, meters and settles ended ones.

Each attempt is leased to one dispatcher. It works outside transactions and writes results guarded
by its lease; a dispatcher that dies or hangs loses its attempts to another one, which finds in the
back-end's own records whether the job still runs, has ended, or is lost. Nothing here needs to be
undone after a crash: every step can be repeated.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid5

import structlog

from haihe.compute.backends import RunStatus, WorkOrder
from haihe.compute.domain import (
    MAX_ATTEMPTS,
    AttemptState,
    EndReason,
    JobState,
    Share,
    Subsidy,
    Usage,
    need_of,
    price_usage,
    round_lines,
    split_bill,
    total_micro,
    within_limits,
)
from haihe.compute.models import Attempt, Job, Pool, Reservation, Settlement, UsageRecord
from haihe.compute.protocols import INPUTS
from haihe.compute.services.jobs import attempt_folder, backend_of
from haihe.evidence.services import record
from haihe.kernel.clock import now
from haihe.kernel.crash import crash_point
from haihe.kernel.errors import HaiheError, StorageUnavailable
from haihe.kernel.ids import new_id
from haihe.kernel.logs import log_context
from haihe.kernel.money import CNY
from haihe.kernel.outbox import emit
from haihe.kernel.settings import load_settings
from haihe.kernel.storage import takes_files
from haihe.kernel.work import unit_of_work
from haihe.ledger.domain import Kind, TransferOrder
from haihe.ledger.services import transfer
from haihe.policy.domain import system_principal

WAITING_LOOKED_AT = 200
DISPATCHER = system_principal("dispatcher")

log = structlog.get_logger(__name__)


@dataclass
class Dispatcher:
    """One worker's view: the attempts it holds, by id, with the token of each lease."""

    slots: int = field(default_factory=lambda: load_settings().job_slots)
    lease: timedelta = field(default_factory=lambda: timedelta(seconds=load_settings().job_lease_s))
    held: dict[UUID, UUID] = field(default_factory=dict)
    has_room: bool = True

    def tick(self) -> int:
        """Do all that can be done now; how many attempts were started or ended."""
        return self._adopt() + self._follow() + self._cancel_queued() + self._start_queued()

    # --- take over what another dispatcher lost ---

    def _adopt(self) -> int:
        at = now()
        orphans = (
            Attempt.objects.unfinished().unleased(at, ttl=self.lease).values_list("pk", flat=True)
        )
        for pk in list(orphans[: self.slots]):
            token = Attempt.objects.unfinished().claim(pk, at=at, ttl=self.lease)
            if token is not None:
                self.held[pk] = token
                log.info("dispatch.adopted", attempt_id=str(pk))
        return 0

    # --- look after running attempts ---

    def _follow(self) -> int:
        ended = 0
        for pk, token in list(self.held.items()):
            if not Attempt.objects.renew(pk, token, at=now(), ttl=self.lease):
                del self.held[pk]
                continue
            attempt = _attempt(pk)
            with log_context(job_id=str(attempt.job_id)):
                if attempt.state == AttemptState.RUNNING:
                    ended += self._check(attempt)
                elif self._finds_room():
                    # It was placed, and then something stood in the way of starting it.
                    self._launch(attempt)
        return ended

    def _check(self, attempt: Attempt) -> int:
        backend = backend_of(attempt.job.pool)
        folder = attempt_folder(attempt.job_id, attempt.number)
        if attempt.job.cancel_requested_at is not None:
            backend.cancel(folder)
        status = backend.status(folder)
        if status.state == "running":
            return 0
        self._finish(attempt, status)
        return 1

    # --- start queued jobs ---

    def _start_queued(self) -> int:
        started = 0
        if not self._finds_room():
            return 0
        for pk in list(Job.objects.waiting().values_list("pk", flat=True)[:WAITING_LOOKED_AT]):
            if len(self.held) >= self.slots:
                break
            attempt = self._place(pk)
            if attempt is not None:
                started += 1
                with log_context(job_id=str(pk)):
                    self._launch(attempt)
        return started

    def _finds_room(self) -> bool:
        """Whether the home takes a job's files; a change is logged."""
        before, self.has_room = self.has_room, takes_files()
        if before != self.has_room:
            log.warning("dispatch.room", has_room=self.has_room)
        return self.has_room

    def _place(self, job_id: UUID) -> Attempt | None:
        """Hold capacity and open an attempt; None if the pool is full or the job is gone."""
        token = new_id()
        with unit_of_work():
            job = Job.objects.select_for_update().get(pk=job_id)
            pool = Pool.objects.select_for_update().get(pk=job.pool_id)
            need = need_of(job.quote.spec)
            full = pool.capacity.minus(pool.held()).shortfall(need)
            if job.state != JobState.QUEUED or job.cancel_requested_at is not None or full:
                return None
            Reservation.objects.filter(job=job).update(placed_at=now())
            job.state = JobState.STARTING
            job.save(update_fields=["state"])
            attempt = Attempt.objects.create(
                job=job,
                number=job.attempts.count() + 1,
                lock_token=token,
                lock_expires_at=now() + self.lease,
            )
        self.held[attempt.pk] = token
        crash_point("dispatch.placed")
        return _attempt(attempt.pk)

    def _launch(self, attempt: Attempt) -> None:
        """Deliver the inputs and start the attempt; may be repeated after a crash."""
        job, spec = attempt.job, attempt.job.quote.spec
        folder = attempt_folder(job.pk, attempt.number)
        try:
            (folder / "inputs").mkdir(parents=True, exist_ok=True)
            for ref in spec.inputs:
                INPUTS.get().deliver(job.pk, ref, folder / "inputs")
            crash_point("dispatch.delivered")
            backend_of(job.pool).submit(
                WorkOrder(
                    attempt_id=str(attempt.pk),
                    job_id=str(job.pk),
                    folder=folder,
                    command=spec.command,
                    environment=spec.environment,
                    cpu_milli=spec.cpu_milli,
                    cpu_limit_s=spec.cpu_limit_s,
                    memory_bytes=spec.memory_bytes,
                    wall_s=spec.wall_s,
                    output_bytes=spec.output_bytes,
                )
            )
        except StorageUnavailable:
            raise  # the next tick tries again
        except (HaiheError, OSError) as error:
            log.warning("dispatch.not_started", error=str(error))
            status = RunStatus(state="ended", reason=EndReason.NOT_STARTED, message=str(error))
            self._finish(attempt, status)
            return
        crash_point("dispatch.submitted")
        with unit_of_work():
            running = Attempt.objects.held(attempt.pk, self.held[attempt.pk]).update(
                state=AttemptState.RUNNING, started_at=now()
            )
            if running:
                Job.objects.filter(pk=job.pk).update(state=JobState.RUNNING)

    # --- end ---

    def _cancel_queued(self) -> int:
        """End jobs that were cancelled before they started: nothing ran, nothing is paid."""
        cancelled = 0
        waiting = Job.objects.waiting().filter(cancel_requested_at__isnull=False)
        for pk in list(waiting.values_list("pk", flat=True)[:WAITING_LOOKED_AT]):
            with unit_of_work():
                job = _lock_job(pk)
                if job.state == JobState.QUEUED:
                    _close(job, JobState.CANCELLED, EndReason.CANCELLED)
                    cancelled += 1
        return cancelled

    def _finish(self, attempt: Attempt, status: RunStatus) -> None:
        """Write an attempt's end, its usage and its settlement in one transaction, once."""
        token = self.held.pop(attempt.pk)
        try:
            ended = self._end(attempt, token, status)
        except StorageUnavailable:
            self.held[attempt.pk] = token
            raise
        if ended:
            _clean(attempt)

    def _end(self, attempt: Attempt, token: UUID, status: RunStatus) -> bool:
        state = _attempt_state(status)
        assert status.reason is not None
        with unit_of_work():
            mine = Attempt.objects.held(attempt.pk, token).update(
                state=state,
                finished_at=now(),
                end_reason=status.reason,
                exit_code=status.exit_code,
                message=status.message[:2_000],
                lock_token=None,
                lock_expires_at=None,
            )
            if not mine:
                return False
            crash_point("dispatch.finishing")
            job = _lock_job(attempt.job_id)
            if state == AttemptState.LOST and attempt.number < MAX_ATTEMPTS:
                _requeue(job)
                return False
            usage = _record_usage(job, attempt, status.usage) if status.usage else None
            _close(job, _job_state(state), status.reason, usage=usage, status=status)
        log.info("dispatch.finished", state=str(state), reason=str(status.reason))
        return True


def run_until_idle(dispatcher: Dispatcher, *, pause: Any, rounds: int) -> None:
    """Tick until no job waits or runs; ``pause()`` is called between two ticks."""
    for _ in range(rounds):
        dispatcher.tick()
        busy = Job.objects.filter(
            state__in=[JobState.QUEUED, JobState.STARTING, JobState.RUNNING]
        ).exists()
        if not busy:
            return
        pause()


def _attempt(pk: UUID) -> Attempt:
    return Attempt.objects.select_related("job__quote", "job__pool__centre").get(pk=pk)


def _lock_job(pk: UUID) -> Job:
    Job.objects.select_for_update().get(pk=pk)
    return Job.objects.select_related("quote__offer", "reservation", "pool__centre").get(pk=pk)


def _attempt_state(status: RunStatus) -> AttemptState:
    if status.state == "lost":
        return AttemptState.LOST
    if status.reason == EndReason.CANCELLED:
        return AttemptState.CANCELLED
    good = status.reason == EndReason.EXITED and status.exit_code == 0
    return AttemptState.SUCCEEDED if good else AttemptState.FAILED


def _job_state(state: AttemptState) -> JobState:
    """A job whose attempts are all lost has failed."""
    return JobState.FAILED if state == AttemptState.LOST else JobState(state.value)


def _requeue(job: Job) -> None:
    """Give back the capacity and put the job in line again; its funds stay held."""
    Reservation.objects.filter(job=job).update(placed_at=None)
    job.state = JobState.QUEUED
    job.save(update_fields=["state"])
    record(
        "job.requeued",
        subject=f"job:{job.pk}",
        actor=DISPATCHER,
        data={"attempts": job.attempts.count()},
        parties=[job.organisation_id, job.provider_id],
    )


def _record_usage(job: Job, attempt: Attempt, measured: Usage) -> Usage:
    usage = Usage(
        cpu_ms=measured.cpu_ms,
        gpu_milli_ms=job.quote.spec.gpu_milli * measured.wall_ms,
        wall_ms=measured.wall_ms,
        peak_memory_bytes=measured.peak_memory_bytes,
        output_bytes=measured.output_bytes,
    )
    UsageRecord.objects.create(attempt=attempt, measured_by=job.pool.backend, **asdict(usage))
    record(
        "job.metered",
        subject=f"job:{job.pk}",
        actor=DISPATCHER,
        data={"attempt": attempt.number, "measured_by": job.pool.backend, **asdict(usage)},
        parties=[job.organisation_id, job.provider_id],
    )
    return usage


def _close(
    job: Job,
    state: JobState,
    reason: EndReason,
    *,
    usage: Usage | None = None,
    status: RunStatus | None = None,
) -> None:
    """End a job for good: settle what was used, free the rest of the funds, and the capacity."""
    job.state, job.end_reason, job.finished_at = state, reason, now()
    if status is not None:
        job.exit_code, job.message = status.exit_code, status.message[:2_000]
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
        lines = round_lines(price_usage(billed, job.quote.offer.price))
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


def _clean(attempt: Attempt) -> None:
    """Remove the copies of the inputs: what a job may read ends with the job."""
    shutil.rmtree(attempt_folder(attempt.job_id, attempt.number) / "inputs", ignore_errors=True)
