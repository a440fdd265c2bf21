"""Tables of work: jobs, what is held for them, their attempts, use and cost."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Self
from uuid import UUID

from django.db import models
from django.db.models import Q, Sum

from haihe.compute.domain import AttemptState, Capacity, EndReason, JobState
from haihe.compute.domain.states import Withdrawal
from haihe.compute.models.centres import Offer, Pool
from haihe.compute.models.contracts import Quote
from haihe.kernel.models import Entity
from haihe.parties.models import Organisation, Person
from haihe.policy.domain import Resource


class JobKind(models.Model):
    """What jobs that may go to the same pools at the same price have in common.

    Thousands of waiting jobs are of few kinds, and a kind is looked at once in a round.
    """

    key = models.CharField(primary_key=True, max_length=64)
    wish = models.JSONField()
    bids = models.JSONField(help_text="Each pool that may run it: its facts and the offer.")

    def __str__(self) -> str:
        return self.key


class JobQuerySet(models.QuerySet["Job"]):
    """Reads of jobs."""

    def newest_of(
        self, organisations: Iterable[UUID], *, before: UUID | None, limit: int
    ) -> list[Job]:
        """The newest jobs that one of ``organisations`` submitted or ran.

        Each organisation and side is one walk along an index that stops after ``limit`` ids, so
        that the time does not grow with the number of jobs; one query over all with OR would sort
        every job of the organisation. Only the rows that are wanted in the end are read whole.
        """
        keys = self.values_list("pk", flat=True).order_by("-pk")
        if before:
            keys = keys.filter(pk__lt=before)
        found: set[UUID] = set()
        for organisation in organisations:
            for side in ("organisation", "provider"):
                found.update(keys.filter(**{side: organisation})[:limit])
        newest = sorted(found, reverse=True)[:limit]
        return list(self.filter(pk__in=newest).order_by("-pk"))

    def count_unfinished(self) -> dict[str, int]:
        """How many jobs are in which state, of those that have not ended."""
        unfinished = self.filter(finished_at=None).values_list("state")
        return dict(unfinished.annotate(models.Count("pk")).order_by("state"))

    def waiting(self) -> Self:
        """Jobs to start, the first in line first."""
        return self.filter(state=JobState.QUEUED).order_by("-priority", "pk")


class Job(Entity):
    """Work that an organisation pays for."""

    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="jobs")
    provider = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="served_jobs")
    quote = models.ForeignKey(Quote, on_delete=models.PROTECT, related_name="jobs")
    array_index = models.PositiveIntegerField(default=0)
    pool = models.ForeignKey(Pool, on_delete=models.PROTECT, related_name="jobs")
    offer = models.ForeignKey(Offer, on_delete=models.PROTECT, related_name="jobs")
    kind = models.ForeignKey(JobKind, on_delete=models.PROTECT, related_name="jobs", null=True)
    name = models.CharField(max_length=64)
    state = models.CharField(
        max_length=10, choices=[(s.value, s.value) for s in JobState], default=JobState.QUEUED
    )
    priority = models.SmallIntegerField(default=0)
    amount_micro = models.PositiveBigIntegerField(help_text="What it may cost at most.")
    deadline_at = models.DateTimeField(null=True, blank=True)
    outlook = models.JSONField(null=True, help_text="What was projected when it was submitted.")
    created_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    end_reason = models.CharField(
        max_length=16, blank=True, choices=[(r.value, r.value) for r in EndReason]
    )
    exit_code = models.IntegerField(null=True, blank=True)
    message = models.TextField(blank=True)

    objects: ClassVar[JobQuerySet] = JobQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["quote", "array_index"], name="one_job_per_element")
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["organisation", "-id"]),
            models.Index(fields=["provider", "-id"]),
            models.Index(
                fields=["-priority", "id"], condition=Q(state="queued"), name="jobs_waiting"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.pk}"

    def tries(self) -> models.QuerySet[Attempt]:
        """The job's attempts with their usage records, the first one first."""
        return self.attempts.select_related("usage", "pool__centre").order_by("number")

    def resource(self) -> Resource:
        """The job as a policy sees it: who submitted it owns it, who ran it is a party."""
        return Resource(
            "Job",
            str(self.pk),
            organisation=self.organisation_id,
            parties=frozenset({self.provider_id}),
            creator=self.created_by_id,
        )


class JobFile(Entity):
    """A file that an organisation brought to its jobs, known by its content."""

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="+")
    sha256 = models.CharField(max_length=64)
    bytes = models.PositiveBigIntegerField()
    used_at = models.DateTimeField(help_text="When it was last uploaded or submitted with a job.")

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["organisation", "sha256"], name="file_once")
        ]

    def __str__(self) -> str:
        return self.sha256


class ReservationQuerySet(models.QuerySet["Reservation"]):
    """Reads of reservations."""

    def held_by_pool(self, pools: Iterable[Pool]) -> dict[UUID, Capacity]:
        """What started jobs hold of each pool; a pool of which nothing is held is left out."""
        started = self.filter(pool__in=list(pools), placed_at__isnull=False, released_at=None)
        sums = started.values_list("pool").annotate(
            Sum("cpu_milli"), Sum("memory_bytes"), Sum("gpu_milli")
        )
        return {pool: Capacity(cpu, memory, gpu) for pool, cpu, memory, gpu in sums}

    def held_by_organisation(self) -> dict[UUID, Capacity]:
        """What each organisation's started jobs hold, over all pools."""
        started = self.filter(placed_at__isnull=False, released_at=None)
        sums = started.values_list("job__organisation").annotate(
            Sum("cpu_milli"), Sum("memory_bytes"), Sum("gpu_milli")
        )
        return {one: Capacity(cpu, memory, gpu) for one, cpu, memory, gpu in sums}

    def free_of(self, pool: Pool) -> Capacity:
        """What is left of a pool beside what started jobs hold."""
        held = self.held_by_pool([pool]).get(pool.pk, Capacity(0, 0, 0))
        return pool.capacity.minus(held)


class Reservation(Entity):
    """Funds held for a job from its submission on, and capacity from its placement on."""

    job = models.OneToOneField(Job, on_delete=models.PROTECT, related_name="reservation")
    pool = models.ForeignKey(Pool, on_delete=models.PROTECT, related_name="reservations")
    cpu_milli = models.PositiveBigIntegerField()
    memory_bytes = models.PositiveBigIntegerField()
    gpu_milli = models.PositiveBigIntegerField()
    wall_s = models.PositiveIntegerField(default=0)
    holds = models.JSONField(help_text="Pending transfers, one per payer.")
    placed_at = models.DateTimeField(null=True, blank=True)
    released_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[ReservationQuerySet] = ReservationQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        indexes: ClassVar[list[models.Index]] = [
            models.Index(
                fields=["pool"],
                condition=Q(placed_at__isnull=False, released_at=None),
                name="reservations_open",
            )
        ]

    def __str__(self) -> str:
        return f"{self.job_id} on {self.pool_id}"


class AttemptQuerySet(models.QuerySet["Attempt"]):
    """Reads of attempts."""

    def unfinished(self) -> Self:
        """Attempts that are at a centre, or on offer to one."""
        return self.filter(state__in=[AttemptState.STARTING, AttemptState.RUNNING])


class Attempt(Entity):
    """One try at a job, in one pool, looked after by the centre's agent.

    It is offered first. Until the agent has claimed it the platform may withdraw it; from then on
    only the agent's word ends it.
    """

    job = models.ForeignKey(Job, on_delete=models.PROTECT, related_name="attempts")
    number = models.PositiveSmallIntegerField()
    pool = models.ForeignKey(Pool, on_delete=models.PROTECT, related_name="attempts")
    seats = models.JSONField(default=list)
    claimed_at = models.DateTimeField(null=True, blank=True)
    withdraw_requested_at = models.DateTimeField(null=True, blank=True)
    withdrawn_for = models.CharField(
        max_length=8, blank=True, choices=[(w.value, w.value) for w in Withdrawal]
    )
    pending_reason = models.CharField(max_length=400, blank=True)
    external_id = models.CharField(max_length=200, blank=True)
    nodes = models.JSONField(default=list)
    state = models.CharField(
        max_length=10,
        choices=[(s.value, s.value) for s in AttemptState],
        default=AttemptState.STARTING,
    )
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    end_reason = models.CharField(
        max_length=16, blank=True, choices=[(r.value, r.value) for r in EndReason]
    )
    exit_code = models.IntegerField(null=True, blank=True)
    message = models.TextField(blank=True)

    objects: ClassVar[AttemptQuerySet] = AttemptQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["job", "number"], name="attempt_number_in_job"),
            models.UniqueConstraint(
                fields=["job"],
                condition=Q(state__in=["starting", "running"]),
                name="one_unfinished_attempt_per_job",
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(
                fields=["pool"],
                condition=Q(state__in=["starting", "running"]),
                name="attempts_unfinished",
            )
        ]

    def __str__(self) -> str:
        return f"{self.job_id} #{self.number}"


class UsageRecord(Entity):
    """Metered use of one attempt (after OGF GFD.204). Never changed."""

    attempt = models.OneToOneField(Attempt, on_delete=models.PROTECT, related_name="usage")
    cpu_ms = models.PositiveBigIntegerField()
    gpu_milli_ms = models.PositiveBigIntegerField()
    wall_ms = models.PositiveBigIntegerField()
    peak_memory_bytes = models.PositiveBigIntegerField()
    output_bytes = models.PositiveBigIntegerField()
    measured_by = models.CharField(max_length=80)
    doubts = models.JSONField(default=list, help_text="What in it cannot be; not billed.")

    def __str__(self) -> str:
        return f"{self.attempt_id} {self.cpu_ms} ms"


class Settlement(Entity):
    """What a job cost and who paid which part. Never changed."""

    job = models.OneToOneField(Job, on_delete=models.PROTECT, related_name="settlement")
    amount_micro = models.PositiveBigIntegerField()
    lines = models.JSONField()
    shares = models.JSONField()
    evidence_id = models.UUIDField()

    def __str__(self) -> str:
        return f"{self.job_id} {self.amount_micro}"
