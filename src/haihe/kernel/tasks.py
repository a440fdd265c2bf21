"""Housekeeping of the kernel's own tables: what has served its purpose is removed."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import models

from haihe.kernel.models import IdempotencyRecord, OutboxDelivery, OutboxEvent
from haihe.kernel.settings import load_settings
from haihe.kernel.work import unit_of_work

BATCH = 500
BATCHES = 200


def forget_old_rows(at: datetime) -> str:
    """Remove answers kept for repeated requests, and events that everybody has heard of.

    An event that waits, or that was given up, stays until it is delivered.
    """
    settings = load_settings()
    answers = IdempotencyRecord.objects.filter(
        created_at__lt=at - timedelta(days=settings.idempotency_days)
    )
    undelivered = OutboxDelivery.objects.exclude(state=OutboxDelivery.State.DELIVERED)
    events = OutboxEvent.objects.filter(
        ~models.Exists(undelivered.filter(event=models.OuterRef("pk"))),
        created_at__lt=at - timedelta(days=settings.retention_days),
    )
    return f"{remove(answers)} kept answers, {remove(events)} events removed"


def remove(rows: models.QuerySet[Any]) -> int:
    """Delete rows in transactions that are short enough for other writers to pass between them.

    What is over :data:`BATCH` x :data:`BATCHES` is left for the next time.
    """
    removed = 0
    for _ in range(BATCHES):
        with unit_of_work():
            batch = list(rows.order_by("pk").values_list("pk", flat=True)[:BATCH])
            rows.model._default_manager.filter(pk__in=batch).delete()
        removed += len(batch)
        if len(batch) < BATCH:
            break
    return removed
