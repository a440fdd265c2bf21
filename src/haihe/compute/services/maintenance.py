"""Maintenance: times in which a pool takes no job that would still run in them."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db.models import QuerySet

from haihe.compute.domain.terms import REASON_LENGTH, check_period
from haihe.compute.models import MaintenanceWindow
from haihe.compute.services.centres import find_pool
from haihe.evidence.services import record
from haihe.kernel.clock import now
from haihe.kernel.errors import InvalidField, MissingRecord
from haihe.kernel.ids import parse_id
from haihe.kernel.work import unit_of_work
from haihe.policy.domain import Principal
from haihe.policy.services import authorize


def plan_maintenance(
    principal: Principal, pool_path: str, *, begins_at: datetime, ends_at: datetime, reason: str
) -> MaintenanceWindow:
    """Keep a pool free of jobs in a time to come. Jobs that already run there are not touched."""
    pool = find_pool(principal, pool_path)
    authorize(principal, "centre.update", pool.centre.resource())
    check_period(begins_at, ends_at, field="ends_at")
    if ends_at <= now():
        raise InvalidField(field="ends_at", value=ends_at.isoformat(), rule="it is over already")
    if not reason.strip() or len(reason) > REASON_LENGTH:
        rule = f"give 1 to {REASON_LENGTH} characters"
        raise InvalidField(field="reason", value=reason[:40], rule=rule)
    with unit_of_work():
        window = MaintenanceWindow.objects.create(
            pool=pool, begins_at=begins_at, ends_at=ends_at, reason=reason
        )
        _record("maintenance.planned", principal, window)
    return window


def withdraw_maintenance(principal: Principal, window_id: str | UUID) -> MaintenanceWindow:
    """Call a maintenance off; calling it off twice changes nothing."""
    pk = parse_id(window_id, kind="maintenance")
    window = (
        MaintenanceWindow.objects.select_related("pool__centre__operator").filter(pk=pk).first()
    )
    if window is None:
        raise MissingRecord(kind="maintenance", id=str(pk))
    authorize(principal, "centre.update", window.pool.centre.resource())
    if window.withdrawn_at is None:
        with unit_of_work():
            window.withdrawn_at = now()
            window.save(update_fields=["withdrawn_at"])
            _record("maintenance.withdrawn", principal, window)
    return window


def maintenance_of(principal: Principal, pool_path: str) -> QuerySet[MaintenanceWindow]:
    """A pool's present and coming maintenance, the next one first; for everybody."""
    pool = find_pool(principal, pool_path)
    return pool.maintenance.filter(withdrawn_at=None, ends_at__gt=now()).order_by("begins_at")


def _record(kind: str, principal: Principal, window: MaintenanceWindow) -> None:
    centre = window.pool.centre
    record(
        kind,
        subject=f"centre:{centre.pk}",
        actor=principal,
        data={
            "maintenance": str(window.pk),
            "pool": window.pool.slug,
            "begins_at": window.begins_at.isoformat(),
            "ends_at": window.ends_at.isoformat(),
            "reason": window.reason,
        },
        parties=[centre.operator_id],
    )
