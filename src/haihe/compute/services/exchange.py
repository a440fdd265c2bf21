"""The platform's side of the exchange with agents: hear reports, give leave, make offers.

One exchange is one transaction, and may come late, twice, or not at all. What makes that harmless:
a claim is made once, under a lock on the attempt; a report is applied once, by its number; an
attempt ends once. Until an agent has claimed an attempt the platform may withdraw it; from then on
it believes the agent alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.db.models import BooleanField, Exists, ExpressionWrapper, OuterRef, Q

from haihe.compute.agent.messages import (
    AccountItem,
    Answer,
    ElementItem,
    Exchange,
    FileItem,
    Order,
    Report,
    SeatItem,
)
from haihe.compute.domain import AttemptState, EndReason, JobState
from haihe.compute.errors import AgentSuperseded, AgentUnknown, ExchangeRepeated
from haihe.compute.models import Agent, Attempt, Job, PersonAccount
from haihe.compute.services.parcels import keep_log_pieces
from haihe.compute.services.queues import learn_start
from haihe.compute.services.settlement import DISPATCHER, AttemptEnd, end_attempt, state_of_end
from haihe.compute.services.telemetry import keep_pool_reports
from haihe.evidence.services import record
from haihe.kernel.clock import now
from haihe.kernel.crash import crash_point
from haihe.kernel.work import unit_of_work

OFFERS_AT_ONCE = 200
SEEN_EVERY = timedelta(seconds=15)  # an exchange that says nothing is written down so often
IS_CLAIMED = ExpressionWrapper(Q(claimed_at__isnull=False), output_field=BooleanField())
# What has started is not taken back: the platform asked while it waited, and came too late.
UNWANTED = Q(withdraw_requested_at__isnull=False, started_at=None) | Q(
    job__cancel_requested_at__isnull=False
)
MESSAGE_LENGTH = 400
NO_ACCOUNT = "the person has no account at the centre any more"
IS_UNWANTED = ExpressionWrapper(UNWANTED, output_field=BooleanField())

log = structlog.get_logger(__name__)


def hear(agent_id: UUID, said: Exchange) -> Answer:
    """Take in what an agent says, and answer.

    Raises
    ------
    AgentUnknown
        If it was revoked, as when another took its place.
    AgentSuperseded
        If another process with this key has started since.
    ExchangeRepeated
        If this or a later message was heard already.
    """
    with unit_of_work():
        agent = (
            Agent.objects.in_force()
            .select_for_update(of=("self",))
            .select_related("centre")
            .filter(pk=agent_id)
            .first()
        )
        if agent is None:
            raise AgentUnknown
        started = said.epoch == 0
        _keep_order(agent, said)
        behind = now() - said.sent_at
        keep_log_pieces(agent, said.logs)
        for report in said.reports:
            if report.number > agent.reported:
                _apply(agent, report, behind)
                agent.reported = report.number
        keep_pool_reports(agent.centre, said.pools, said.faults, said.earlier)
        go, revoked = _claim(agent, said.accepted)
        mine = list(
            Attempt.objects.unfinished()
            .filter(pool__centre=agent.centre)
            .annotate(is_claimed=IS_CLAIMED, is_unwanted=IS_UNWANTED)
            .order_by("pk")
            .values_list("pk", "is_claimed", "is_unwanted")
        )
        known = set(said.held or ())
        free = [pk for pk, claimed, unwanted in mine if not claimed and not unwanted]
        offers = _refuse_nameless(free[:OFFERS_AT_ONCE])
        forgotten = [pk for pk, claimed, _ in mine if started and claimed and pk not in known]
        answer = Answer(
            epoch=agent.epoch,
            answered_at=now(),
            heard=agent.reported,
            offers=_orders(offers),
            go=go,
            revoked=revoked,
            cancel=[pk for pk, claimed, unwanted in mine if claimed and unwanted],
            forgotten=_orders(forgotten),
            pools=sorted(agent.centre.pools.values_list("slug", flat=True)) if started else [],
        )
        _note_seen(agent, said, behind)
    crash_point("exchange.heard")
    return answer


def _note_seen(agent: Agent, said: Exchange, behind: timedelta) -> None:
    """Write down that the agent was heard: with its news, and else now and then."""
    is_news = said.epoch == 0 or said.accepted or said.reports or said.pools or said.faults
    if is_news or agent.seen_at is None or now() - agent.seen_at > SEEN_EVERY:
        agent.version, agent.seen_at = said.version, now()
        agent.clock_ahead_ms = round(-behind.total_seconds() * 1e3)
        agent.save()


def _keep_order(agent: Agent, said: Exchange) -> None:
    """Refuse what is not newer than all that was heard of this agent."""
    centre = agent.centre.slug
    if said.epoch == 0:
        if said.number <= agent.started:
            raise ExchangeRepeated(centre=centre, number=said.number, present=agent.started)
        agent.epoch, agent.started, agent.exchanged = agent.epoch + 1, said.number, 0
        return
    if said.epoch != agent.epoch:
        raise AgentSuperseded(centre=centre, epoch=said.epoch, present=agent.epoch)
    if said.number <= agent.exchanged:
        raise ExchangeRepeated(centre=centre, number=said.number, present=agent.exchanged)
    agent.exchanged = said.number


# --- reports -------------------------------------------------------------------------------------


def _apply(agent: Agent, report: Report, behind: timedelta) -> None:
    """Write what became of an attempt; word of one that is not its own is dropped."""
    attempt = (
        Attempt.objects.filter(pk=report.attempt_id, pool__centre=agent.centre)
        .select_related("job")
        .first()
    )
    if attempt is None or attempt.claimed_at is None:
        log.warning("exchange.foreign_report", attempt_id=str(report.attempt_id))
        return
    if attempt.state not in (AttemptState.STARTING, AttemptState.RUNNING):
        _record_late(attempt, report)
        return
    if report.state == "pending":
        attempt.pending_reason = report.message[:MESSAGE_LENGTH]
        attempt.external_id = report.external_id
        attempt.save(update_fields=["pending_reason", "external_id"])
    elif report.state == "running":
        _mark_running(attempt, report, behind)
    else:
        _mark_ended(attempt, report, behind)


def _mark_running(attempt: Attempt, report: Report, behind: timedelta) -> None:
    attempt.state, attempt.pending_reason = AttemptState.RUNNING, ""
    attempt.external_id, attempt.nodes = report.external_id, report.nodes
    attempt.started_at = _our_time(attempt, report.started_at, behind) or now()
    attempt.save(update_fields=["state", "pending_reason", "external_id", "nodes", "started_at"])
    if Job.objects.filter(pk=attempt.job_id, state=JobState.STARTING).update(
        state=JobState.RUNNING
    ):
        learn_start(attempt.job, attempt.pool_id, attempt.started_at)


def _mark_ended(attempt: Attempt, report: Report, behind: timedelta) -> None:
    reason = report.reason or EndReason.LOST
    if report.external_id or report.nodes:
        attempt.external_id, attempt.nodes = report.external_id, report.nodes
        attempt.save(update_fields=["external_id", "nodes"])
    started_at = _our_time(attempt, report.started_at, behind)
    if attempt.state == AttemptState.STARTING and started_at is not None:
        learn_start(attempt.job, attempt.pool_id, started_at)
    end_attempt(
        attempt.pk,
        AttemptEnd(
            state=state_of_end(reason, report.exit_code),
            reason=reason,
            exit_code=report.exit_code,
            message=report.message,
            usage=report.usage.as_usage() if report.usage else None,
            measured_by=report.measured_by,
            started_at=started_at,
            finished_at=_our_time(attempt, report.finished_at, behind),
        ),
    )


def _our_time(attempt: Attempt, told: datetime | None, behind: timedelta) -> datetime | None:
    """A centre's time by our clock, so that a clock that is off there moves nothing here."""
    if told is None:
        return None
    earliest = attempt.claimed_at or attempt.created_at
    return min(max(told + behind, earliest), now())


def _record_late(attempt: Attempt, report: Report) -> None:
    """Word of use after an attempt was closed is evidence, and changes no bill."""
    if report.usage is None:
        return
    record(
        "job.usage_late",
        subject=f"job:{attempt.job_id}",
        actor=DISPATCHER,
        data={"attempt": attempt.number, **asdict(report.usage.as_usage())},
        parties=[attempt.job.organisation_id, attempt.job.provider_id],
    )


# --- offers --------------------------------------------------------------------------------------


def _claim(agent: Agent, accepted: Iterable[UUID]) -> tuple[list[UUID], list[UUID]]:
    """Give what the agent has accepted to it for good, unless it was withdrawn meanwhile."""
    wanted = list(accepted)
    if not wanted:
        return [], []
    mine = Attempt.objects.unfinished().filter(pk__in=wanted, pool__centre=agent.centre)
    # The jobs are locked as whoever withdraws or cancels locks them: one of the two comes first.
    jobs = mine.order_by("job_id").values("job_id")
    list(Job.objects.select_for_update().filter(pk__in=jobs).order_by("pk").values_list("pk"))
    free = list(mine.filter(claimed_at=None).exclude(UNWANTED).values_list("pk", flat=True))
    Attempt.objects.filter(pk__in=free).update(claimed_at=now())
    claimed = set(mine.filter(claimed_at__isnull=False).values_list("pk", flat=True))
    return [pk for pk in wanted if pk in claimed], [pk for pk in wanted if pk not in claimed]


def _refuse_nameless(offers: Sequence[UUID]) -> list[UUID]:
    """End offers of people whose account at the centre is gone; the others, which it may have."""
    needy = Attempt.objects.filter(pk__in=offers, pool__needs_account=True)
    people = PersonAccount.objects.filter(
        centre=OuterRef("pool__centre"), person=OuterRef("job__created_by_id")
    )
    nameless = list(needy.exclude(Exists(people)).values_list("pk", flat=True))
    for pk in nameless:
        end_attempt(
            pk,
            AttemptEnd(state=AttemptState.FAILED, reason=EndReason.NOT_STARTED, message=NO_ACCOUNT),
        )
    return [pk for pk in offers if pk not in nameless]


def _orders(attempts: Sequence[UUID]) -> list[Order]:
    if not attempts:
        return []
    wanted = Attempt.objects.filter(pk__in=attempts).select_related("job__quote", "pool")
    accounts = {
        (account.centre_id, account.person_id): account
        for account in PersonAccount.objects.filter(
            centre__in={attempt.pool.centre_id for attempt in wanted},
            person__in={attempt.job.created_by_id for attempt in wanted},
        )
    }
    return [
        _order(attempt, accounts.get((attempt.pool.centre_id, attempt.job.created_by_id)))
        for attempt in wanted.order_by("pk")
    ]


def _order(attempt: Attempt, account: PersonAccount | None) -> Order:
    job, spec = attempt.job, attempt.job.quote.spec
    element = None
    if spec.array > 1:
        element = ElementItem(array_id=str(job.quote_id), index=job.array_index)
    return Order(
        attempt_id=attempt.pk,
        job_id=job.pk,
        number=attempt.number,
        pool=attempt.pool.slug,
        partition=attempt.pool.partition,
        name=spec.name,
        command=list(spec.command),
        environment=dict(spec.environment),
        cpu_milli=spec.cpu_milli,
        cpu_limit_s=spec.cpu_limit_s,
        memory_bytes=spec.memory_bytes,
        wall_s=spec.wall_s,
        output_bytes=spec.output_bytes,
        gpu_milli=spec.gpu_milli,
        gpu_model=attempt.pool.gpu_model if spec.gpu_milli else "",
        nodes=spec.nodes,
        seats=[SeatItem(**seat) for seat in attempt.seats],
        account=AccountItem(user=account.user, account=account.account, qos=account.qos)
        if account
        else None,
        element=element,
        inputs=[ref.name for ref in spec.inputs],
        files=[FileItem(path=ref.path, sha256=ref.sha256) for ref in spec.files],
    )
