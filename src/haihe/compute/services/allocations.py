"""Allocations: how much of a pool an organisation may use in a period."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Sum

from haihe.compute.domain import JobSpec, most_usage
from haihe.compute.models import Allocation, Job, Pool, UsageRecord
from haihe.parties.models import Organisation


def allocation_reason(spec: JobSpec, organisation: Organisation, pool: Pool, at: datetime) -> str:
    """Why an organisation's allocation does not allow a job in a pool; empty, if it does."""
    if not pool.needs_allocation:
        return ""
    today = at.date()
    allocation = Allocation.objects.filter(
        pool=pool, organisation=organisation, begins_on__lte=today, ends_on__gte=today
    ).first()
    if allocation is None:
        return "no allocation today"
    used = UsageRecord.objects.filter(
        attempt__pool=pool,
        attempt__job__organisation=organisation,
        created_at__date__gte=allocation.begins_on,
        created_at__date__lte=allocation.ends_on,
    ).aggregate(cpu=Sum("cpu_ms"), gpu=Sum("gpu_milli_ms"))
    open_jobs = Job.objects.filter(pool=pool, organisation=organisation, finished_at=None)
    pending = [most_usage(job.quote.spec) for job in open_jobs.select_related("quote")]
    asked = most_usage(spec)
    cpu = (used["cpu"] or 0) + sum(u.cpu_ms for u in pending) + asked.cpu_ms * spec.array
    gpu = (used["gpu"] or 0) + sum(u.gpu_milli_ms for u in pending)
    gpu += asked.gpu_milli_ms * spec.array
    if cpu > allocation.cpu_ms or gpu > allocation.gpu_milli_ms:
        return "the allocation would be exceeded"
    return ""
