"""Events: written with their cause, delivered at least once, to handlers that are idempotent.

:func:`emit` inserts the event and one delivery per subscribed handler in the caller's transaction,
so that a rolled-back cause announces nothing and a committed one is never forgotten.
:func:`deliver_due` claims deliveries one by one, runs each handler in a unit of work of its own
together with the mark that it ran (one that must compute first does so before that, see
:func:`subscribe_prepared`), retries with exponential back-off, and after
:data:`MAX_ATTEMPTS` puts a delivery on the dead-letter list, where a person finds the error and
can send it again.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from django.db.models import Q

from haihe.kernel.clock import now
from haihe.kernel.crash import crash_point
from haihe.kernel.errors import MissingRecord
from haihe.kernel.logs import current_request_id, log_context
from haihe.kernel.models import OutboxDelivery, OutboxEvent
from haihe.kernel.work import in_unit_of_work, unit_of_work

MAX_ATTEMPTS = 10
BACK_OFF = timedelta(seconds=2)
BACK_OFF_LIMIT = timedelta(hours=1)
LEASE = timedelta(seconds=60)
ERROR_LENGTH = 4_000

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Event:
    """What a handler is given."""

    id: UUID
    topic: str
    at: datetime
    payload: Mapping[str, Any]


Write = Callable[[], None]


@dataclass(frozen=True)
class Prepared:
    """A handler in two parts: what takes time, and then what is written."""

    prepare: Callable[[Event], Write]


Handler = Callable[[Event], None] | Prepared
_handlers: dict[str, dict[str, Handler]] = {}


def subscribe(topic: str, name: str, handler: Handler) -> None:
    """Have ``handler``, known as ``name`` for ever, called for each event of ``topic``."""
    _handlers.setdefault(topic, {})[name] = handler


def subscribe_prepared(topic: str, name: str, prepare: Callable[[Event], Write]) -> None:
    """As :func:`subscribe`, for a handler that reads and computes for long and writes little.

    ``prepare`` runs outside of any transaction, so that nobody waits for it, and answers with what
    is run in the transaction that marks the event as delivered. It may run more than once.
    """
    _handlers.setdefault(topic, {})[name] = Prepared(prepare)


def emit(topic: str, payload: Mapping[str, Any]) -> None:
    """Write an event in the open unit of work. ``payload`` must be JSON."""
    assert in_unit_of_work(), "an event is written in the transaction that causes it"
    event = OutboxEvent.objects.create(
        topic=topic, payload=dict(payload), request_id=current_request_id()
    )
    OutboxDelivery.objects.bulk_create(
        [OutboxDelivery(event=event, handler=name) for name in _handlers.get(topic, {})]
    )


def deliver_due(*, limit: int = 100) -> int:
    """Try up to ``limit`` deliveries that are due; how many were delivered."""
    at = now()
    # A pause longer than any is from before the clock was set back; a first try has none at all.
    due = Q(due_at__lte=at) | Q(due_at__gt=at + BACK_OFF_LIMIT) | Q(attempts=0)
    waiting = (
        OutboxDelivery.objects.filter(due, state=OutboxDelivery.State.WAITING)
        .unleased(at, ttl=LEASE)
        .order_by("due_at", "id")
        .values_list("pk", flat=True)[:limit]
    )
    return sum(_deliver(pk) for pk in list(waiting))


def dead_letters(*, limit: int = 100) -> list[OutboxDelivery]:
    """Deliveries that were given up, the newest first, with their events."""
    return list(
        OutboxDelivery.objects.filter(state=OutboxDelivery.State.DEAD)
        .select_related("event")
        .order_by("-finished_at")[:limit]
    )


def retry_dead_letter(delivery_id: UUID) -> None:
    """Put a dead letter back in line, with its attempts counted from zero."""
    with unit_of_work():
        revived = OutboxDelivery.objects.filter(
            pk=delivery_id, state=OutboxDelivery.State.DEAD
        ).update(state=OutboxDelivery.State.WAITING, attempts=0, due_at=now(), finished_at=None)
    if not revived:
        raise MissingRecord(kind="dead letter", id=str(delivery_id))


def backlog() -> dict[str, int]:
    """How many deliveries wait and how many are dead."""
    waiting = Q(state=OutboxDelivery.State.WAITING)
    dead = Q(state=OutboxDelivery.State.DEAD)
    return {
        "waiting": OutboxDelivery.objects.filter(waiting).count(),
        "dead": OutboxDelivery.objects.filter(dead).count(),
    }


def _deliver(pk: UUID) -> bool:
    token = OutboxDelivery.objects.filter(state=OutboxDelivery.State.WAITING).claim(
        pk, at=now(), ttl=LEASE
    )
    if token is None:
        return False
    delivery = OutboxDelivery.objects.select_related("event").get(pk=pk)
    event = delivery.event
    context = {"request_id": event.request_id} if event.request_id else {}
    with log_context(**context, event_id=str(event.id), handler=delivery.handler):
        return _handle(delivery, token)


def _handle(delivery: OutboxDelivery, token: UUID) -> bool:
    """Run the handler of a claimed delivery; whether it is delivered now."""
    pk, row = delivery.pk, delivery.event
    event = Event(row.id, row.topic, row.created_at, row.payload)
    try:
        write = _write_of(_handlers[event.topic][delivery.handler], event)
        with unit_of_work():
            finished = OutboxDelivery.objects.held(pk, token).update(
                state=OutboxDelivery.State.DELIVERED,
                attempts=delivery.attempts + 1,
                finished_at=now(),
                lock_token=None,
                lock_expires_at=None,
            )
            if not finished:
                return False
            write()
            crash_point("outbox.handled")
    except Exception as error:  # noqa: BLE001 (any failure of a handler is recorded and retried)
        _record_failure(delivery, token, error)
        return False
    log.info("outbox.delivered", topic=event.topic)
    return True


def _write_of(handler: Handler, event: Event) -> Write:
    """What is run in the transaction; a handler that computes first has done so then."""
    return handler.prepare(event) if isinstance(handler, Prepared) else partial(handler, event)


def _record_failure(delivery: OutboxDelivery, token: UUID, error: Exception) -> None:
    attempts = delivery.attempts + 1
    dead = attempts >= MAX_ATTEMPTS
    wait = min(BACK_OFF * 2 ** min(attempts - 1, 20), BACK_OFF_LIMIT)
    log.warning(
        "outbox.failed",
        attempts=attempts,
        dead=dead,
        error=str(error),
    )
    with unit_of_work():
        OutboxDelivery.objects.held(delivery.pk, token).update(
            state=OutboxDelivery.State.DEAD if dead else OutboxDelivery.State.WAITING,
            attempts=attempts,
            due_at=now() + wait,
            finished_at=now() if dead else None,
            last_error="".join(traceback.format_exception(error))[-ERROR_LENGTH:],
            lock_token=None,
            lock_expires_at=None,
        )
