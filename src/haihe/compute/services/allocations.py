"""Allocations: how much of a pool an organisation may use in a period."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from django.db.models import OuterRef, Q, QuerySet, Subquery, Sum

from haihe.compute.domain import HOUR_MS, MILLI, JobSpec, most_usage
from haihe.compute.domain.terms import check_period
from haihe.compute.models import Allocation, Job, Pool, UsageRecord
from haihe.compute.services.centres import find_pool
from haihe.evidence.services import record
from haihe.kernel.days import local_day
from haihe.kernel.errors import InvalidField
from haihe.kernel.work import unit_of_work
from haihe.parties.services import find_organisation
from haihe.policy.domain import Principal
from haihe.policy.services import authorize, is_allowed

HOURS_LIMIT = 1_000_000_000


@dataclass(frozen=True)
class Use:
    """CPU and card time, in milliseconds and in thousandths of a card times milliseconds."""

    cpu_ms: int = 0
    gpu_milli_ms: int = 0


@dataclass(frozen=True)
class AllocationCard:
    """An allocation, what has been used of it, and what unfinished jobs may still use."""

    allocation: Allocation
    used: Use
    pending: Use


def set_allocation(
    principal: Principal,
    pool_path: str,
    *,
    organisation: str,
    begins_on: date,
    ends_on: date,
    cpu_hours: int,
    gpu_hours: int = 0,
) -> Allocation:
    """Let an organisation use so much of a pool from one day to another, both included.

    Said again for the same first day, it replaces what was said.
    """
    pool = find_pool(principal, pool_path)
    authorize(principal, "centre.update", pool.centre.resource())
    check_period(begins_on, ends_on, field="ends_on")
    for field, value in (("cpu_hours", cpu_hours), ("gpu_hours", gpu_hours)):
        if not 0 <= value <= HOURS_LIMIT:
            rule = f"give a whole number 0 to {HOURS_LIMIT}"
            raise InvalidField(field=field, value=value, rule=rule)
    receiver = find_organisation(principal, organisation)
    with unit_of_work():
        Pool.objects.select_for_update().get(pk=pool.pk)
        period = Q(begins_on__lte=ends_on, ends_on__gte=begins_on)
        others = pool.allocations.filter(period, organisation=receiver)
        if others.exclude(begins_on=begins_on).exists():
            rule = "it overlaps with another allocation of the organisation in this pool"
            raise InvalidField(field="begins_on", value=begins_on.isoformat(), rule=rule)
        row, _ = Allocation.objects.update_or_create(
            pool=pool,
            organisation=receiver,
            begins_on=begins_on,
            defaults={
                "ends_on": ends_on,
                "cpu_ms": cpu_hours * HOUR_MS,
                "gpu_milli_ms": gpu_hours * HOUR_MS * MILLI,
            },
        )
        record(
            "allocation.set",
            subject=f"centre:{pool.centre_id}",
            actor=principal,
            data={
                "pool": pool.slug,
                "organisation": str(receiver.pk),
                "begins_on": begins_on.isoformat(),
                "ends_on": ends_on.isoformat(),
                "cpu_hours": cpu_hours,
                "gpu_hours": gpu_hours,
            },
            parties=[pool.centre.operator_id, receiver.pk],
        )
    return row


def allocations_of(principal: Principal, pool_path: str) -> list[AllocationCard]:
    """A pool's allocations: all for its operator's managers, for others those of their own."""
    pool = find_pool(principal, pool_path)
    rows: QuerySet[Allocation] = pool.allocations.select_related("organisation", "pool__centre")
    if not is_allowed(principal, "centre.update", pool.centre.resource()):
        rows = rows.filter(organisation__in=principal.organisations())
    shown = list(_with_use(rows).order_by("-begins_on", "organisation__slug"))
    pending = _pending(pool, {row.organisation_id for row in shown})
    return [
        AllocationCard(row, _used(row), pending.get(row.organisation_id, Use())) for row in shown
    ]


def allocation_reason(
    spec: JobSpec, organisation_id: UUID, pool: Pool, at: datetime, *, jobs: int
) -> str:
    """Why an organisation's allocation does not allow so many jobs in a pool; empty, if it does."""
    if not pool.needs_allocation:
        return ""
    allocation = _with_use(_in_force(organisation_id, pool, at)).first()
    if allocation is None:
        return "no allocation today"
    used, asked = _used(allocation), most_usage(spec)
    pending = _pending(pool, [organisation_id]).get(organisation_id, Use())
    cpu = used.cpu_ms + pending.cpu_ms + asked.cpu_ms * jobs
    gpu = used.gpu_milli_ms + pending.gpu_milli_ms + asked.gpu_milli_ms * jobs
    if cpu > allocation.cpu_ms or gpu > allocation.gpu_milli_ms:
        return "the allocation would be exceeded"
    return ""


def locked_allocation_reason(
    spec: JobSpec, organisation_id: UUID, pool: Pool, at: datetime, *, jobs: int
) -> str:
    """In the open unit of work: the same, with nobody else using the allocation until its end."""
    if not pool.needs_allocation:
        return ""
    list(_in_force(organisation_id, pool, at).select_for_update())
    return allocation_reason(spec, organisation_id, pool, at, jobs=jobs)


def _in_force(organisation_id: UUID, pool: Pool, at: datetime) -> QuerySet[Allocation]:
    today = local_day(at)
    return Allocation.objects.filter(
        pool=pool, organisation=organisation_id, begins_on__lte=today, ends_on__gte=today
    )


def _with_use(rows: QuerySet[Allocation]) -> QuerySet[Allocation]:
    """Allocations with what was metered in their period, in one query for all of them."""
    usage = (
        UsageRecord.objects.filter(
            attempt__pool=OuterRef("pool"),
            attempt__job__organisation=OuterRef("organisation"),
            created_at__date__gte=OuterRef("begins_on"),
            created_at__date__lte=OuterRef("ends_on"),
        )
        .order_by()
        .values("attempt__pool")
    )
    return rows.annotate(
        metered_cpu_ms=Subquery(usage.annotate(sum=Sum("cpu_ms")).values("sum")),
        metered_gpu_milli_ms=Subquery(usage.annotate(sum=Sum("gpu_milli_ms")).values("sum")),
    )


def _used(allocation: Any) -> Use:
    """What was metered in the period of one of :func:`_with_use`."""
    return Use(allocation.metered_cpu_ms or 0, allocation.metered_gpu_milli_ms or 0)


def _pending(pool: Pool, organisations: Iterable[UUID]) -> Mapping[UUID, Use]:
    """What unfinished jobs of organisations may use at most in a pool."""
    found: dict[UUID, Use] = {}
    unfinished = Job.objects.filter(
        pool=pool, organisation__in=list(organisations), finished_at=None
    ).select_related("quote")
    for job in unfinished:
        most, before = most_usage(job.quote.spec), found.get(job.organisation_id, Use())
        found[job.organisation_id] = Use(
            before.cpu_ms + most.cpu_ms, before.gpu_milli_ms + most.gpu_milli_ms
        )
    return found
