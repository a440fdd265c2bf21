"""Abstract rows that every domain builds on, and the kernel's own tables."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, ClassVar, Self, TypeVar
from uuid import UUID

from django.db import models

from haihe.kernel.clock import now
from haihe.kernel.ids import new_id

M = TypeVar("M", bound=models.Model)


class Entity(models.Model):
    """A row with a UUIDv7 and the instant it was made."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        abstract = True


class LeasedQuerySet(models.QuerySet[M]):
    """Rows that one worker at a time may hold.

    A worker claims a row, works outside any transaction, and writes its result guarded by the
    token it was given: if the lease ran out meanwhile and another worker has the row, the guarded
    write finds nothing, and the late worker's result is dropped.
    """

    def unleased(self, at: datetime, *, ttl: timedelta) -> Self:
        """Rows that nobody holds at ``at``, where a lease lasts ``ttl``.

        A lease that ends in more than twice that time is from before the clock was set back, and
        not waited for: its holder renews it, or finds the row taken and lets go. Less than that
        may be the difference between the clocks of two machines.
        """
        return self.filter(
            models.Q(lock_expires_at__isnull=True)
            | models.Q(lock_expires_at__lte=at)
            | models.Q(lock_expires_at__gt=at + 2 * ttl)
        )

    def claim(self, pk: UUID, *, at: datetime, ttl: timedelta) -> UUID | None:
        """Take the row if it is free; the token to guard writes with, or None if it is held."""
        token = new_id()
        taken = (
            self.unleased(at, ttl=ttl)
            .filter(pk=pk)
            .update(lock_token=token, lock_expires_at=at + ttl)
        )
        return token if taken else None

    def held(self, pk: UUID, token: UUID) -> Self:
        """The row, if ``token`` still holds it: for guarded writes."""
        return self.filter(pk=pk, lock_token=token)

    def renew(self, pk: UUID, token: UUID, *, at: datetime, ttl: timedelta) -> bool:
        """Extend the lease; False if it was lost."""
        return bool(self.held(pk, token).update(lock_expires_at=at + ttl))

    def release(self, pk: UUID, token: UUID) -> bool:
        """Give the row back; False if the lease was lost before."""
        return bool(self.held(pk, token).update(lock_token=None, lock_expires_at=None))


class LeasedRow(models.Model):
    """Columns of a row that can be leased."""

    lock_token = models.UUIDField(null=True, blank=True, editable=False)
    lock_expires_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        abstract = True


class OutboxEvent(Entity):
    """Something that happened, written in the transaction that made it happen."""

    topic = models.CharField(max_length=80)
    payload = models.JSONField()
    request_id = models.CharField(max_length=64, blank=True)

    class Meta:
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["topic", "created_at"]),
            models.Index(fields=["created_at"], name="outbox_events_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.topic} {self.id}"


class OutboxDelivery(LeasedRow, Entity):
    """One event on its way to one handler."""

    class State(models.TextChoices):
        WAITING = "waiting"
        DELIVERED = "delivered"
        DEAD = "dead"

    event = models.ForeignKey(OutboxEvent, on_delete=models.CASCADE, related_name="deliveries")
    handler = models.CharField(max_length=120)
    state = models.CharField(max_length=12, choices=State.choices, default=State.WAITING)
    attempts = models.PositiveIntegerField(default=0)
    due_at = models.DateTimeField(default=now)
    last_error = models.TextField(blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[LeasedQuerySet[Any]] = LeasedQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["event", "handler"], name="outbox_once_per_handler")
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(
                fields=["due_at"], condition=models.Q(state="waiting"), name="outbox_waiting"
            )
        ]

    def __str__(self) -> str:
        return f"{self.handler} {self.state}"


class IdempotencyRecord(models.Model):
    """The answer already given to a request that carried this key."""

    key = models.CharField(max_length=200)
    principal = models.CharField(max_length=80)
    request_hash = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField()
    body = models.TextField()
    created_at = models.DateTimeField(default=now)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["principal", "key"], name="idempotency_once")
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["created_at"], name="idempotency_by_age")
        ]

    def __str__(self) -> str:
        return self.key


class BeatQuerySet(models.QuerySet["Beat"]):
    """Reads and claims of beats."""

    def claim(self, name: str, *, at: datetime, every: timedelta) -> bool:
        """Whether ``name`` is due and nobody else has begun it; it has then begun.

        A beginning that lies after ``at`` is from before the clock was set back, and counts for
        nothing.
        """
        due = models.Q(began_at__lte=at - every) | models.Q(began_at__gt=at)
        return bool(self.filter(due, name=name).update(began_at=at))

    def report(self, name: str, *, at: datetime, is_good: bool, text: str) -> None:
        """How it came out."""
        self.filter(name=name).update(ended_at=at, is_good=is_good, text=text)

    def alive(self, name: str, *, at: datetime) -> None:
        """A worker says that it is at work."""
        self.update_or_create(
            name=name, defaults={"began_at": at, "ended_at": at, "is_good": True, "text": ""}
        )


class Beat(models.Model):
    """When a piece of periodic work last began, and how it last came out."""

    name = models.CharField(max_length=80, primary_key=True)
    began_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    is_good = models.BooleanField(null=True)
    text = models.TextField(blank=True)

    objects: ClassVar[BeatQuerySet] = BeatQuerySet.as_manager()  # type: ignore[assignment]

    def __str__(self) -> str:
        return self.name
