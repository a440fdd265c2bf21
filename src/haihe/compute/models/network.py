"""Tables of the network: agents, what they report over time, and how placement decided."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import ClassVar, Self
from uuid import UUID

from django.db import models
from django.db.models import F, Q, Sum
from django.db.models.functions import Cast, Substr

from haihe.compute.domain.telemetry import Point
from haihe.compute.models.centres import Centre, Pool
from haihe.compute.models.jobs import Job
from haihe.kernel.models import Entity
from haihe.parties.models import Person


class Enrolment(Entity):
    """A one-time token with which an agent joins a centre. Only its hash is kept."""

    centre = models.ForeignKey(Centre, on_delete=models.PROTECT, related_name="enrolments")
    token_hash = models.CharField(max_length=64, unique=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)
    created_by = models.ForeignKey(Person, on_delete=models.PROTECT, null=True, related_name="+")

    def __str__(self) -> str:
        return f"{self.centre_id} until {self.expires_at:%Y-%m-%d %H:%M}"


class AgentQuerySet(models.QuerySet["Agent"]):
    """Reads of agents."""

    def in_force(self) -> Self:
        """Agents that may speak for their centre."""
        return self.filter(revoked_at=None)


class Agent(Entity):
    """What speaks for a centre: its key, and how far the exchange with it has come.

    ``epoch`` grows each time the agent starts, so that of two processes with one key only the
    later one is heard; ``started`` and ``exchanged`` are the numbers of its latest start and of
    the latest exchange since. ``reported`` is the number of the last report that was applied.
    """

    centre = models.ForeignKey(Centre, on_delete=models.PROTECT, related_name="agents")
    public_key = models.CharField(max_length=64, unique=True)
    version = models.CharField(max_length=40, blank=True)
    epoch = models.PositiveIntegerField(default=0)
    started = models.PositiveBigIntegerField(default=0)
    exchanged = models.PositiveBigIntegerField(default=0)
    reported = models.PositiveBigIntegerField(default=0)
    seen_at = models.DateTimeField(null=True, blank=True)
    clock_ahead_ms = models.BigIntegerField(default=0)
    revoked_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[AgentQuerySet] = AgentQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["centre"], condition=Q(revoked_at=None), name="one_agent_per_centre"
            )
        ]

    def __str__(self) -> str:
        return f"agent of {self.centre_id}"


class SampleQuerySet(models.QuerySet["Sample"]):
    """Reads of telemetry."""

    def since(self, pools: Iterable[Pool], at: datetime) -> Self:
        """The samples of pools from an instant on, the oldest first."""
        return self.filter(pool__in=list(pools), at__gte=at).order_by("at")

    def hourly(self) -> Iterator[tuple[UUID, str, datetime, float]]:
        """The mean of each pool's metrics in each hour, worked out in the database.

        The hour is the beginning of the instant's text, which both databases write in UTC.
        """
        hour = Substr(Cast("at", models.CharField()), 1, len("2026-11-22 13"))
        rows = (
            self.order_by()
            .annotate(hour=hour)
            .values_list("pool_id", "metric", "hour")
            .annotate(average=Sum(F("mean") * F("count")) / Sum("count"))
        )
        for pool_id, metric, text, average in rows:
            yield pool_id, metric, datetime.fromisoformat(f"{text}:00+00:00"), average


class Sample(models.Model):
    """One metric of a pool over one span of time: down-sampled as it grows old."""

    pool = models.ForeignKey(Pool, on_delete=models.CASCADE, related_name="samples")
    metric = models.CharField(max_length=40)
    span_s = models.PositiveIntegerField()
    at = models.DateTimeField()
    mean = models.FloatField()
    low = models.FloatField()
    high = models.FloatField()
    count = models.PositiveIntegerField(default=1)

    objects: ClassVar[SampleQuerySet] = SampleQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["pool", "metric", "span_s", "at"], name="sample_once")
        ]

    def __str__(self) -> str:
        return f"{self.metric} {self.mean}"

    @property
    def point(self) -> Point:
        """What it says, apart from whose it is."""
        return Point(self.at, self.mean, self.low, self.high, self.count)


class StartRecord(Entity):
    """How long a job waited in a pool, beside what was projected for it."""

    pool = models.ForeignKey(Pool, on_delete=models.CASCADE, related_name="starts")
    projected_s = models.FloatField()
    kinds = models.JSONField()
    waited_s = models.FloatField()

    class Meta:
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["pool", "-id"])]

    def __str__(self) -> str:
        return f"{self.waited_s:.0f} s at {self.pool_id}"


class Decision(Entity):
    """Why a job was placed where it was: the facts of each pool then, and what followed from them.

    The result can be computed again from the facts; :mod:`haihe.compute.domain.choice` does both.
    """

    class Occasion(models.TextChoices):
        PLACED = "placed"
        MOVED = "moved"
        AGAIN = "again"

    job = models.ForeignKey(Job, on_delete=models.PROTECT, related_name="decisions")
    occasion = models.CharField(max_length=8, choices=Occasion.choices)
    facts = models.JSONField()
    result = models.JSONField()

    def __str__(self) -> str:
        return f"{self.occasion} {self.job_id}"
