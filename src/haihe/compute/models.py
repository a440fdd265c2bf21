"""Tables of centres, what they offer, and the work they do."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import ClassVar, Self
from uuid import UUID

from django.db import models
from django.db.models import F, Q, Sum
from django.utils.translation import gettext_lazy as _

from haihe.compute.domain import (
    AttemptState,
    Capacity,
    EndReason,
    JobSpec,
    JobState,
    Price,
    spec_from,
)
from haihe.kernel.ids import SLUG_LENGTH
from haihe.kernel.models import Entity, LeasedQuerySet, LeasedRow
from haihe.parties.models import Organisation, Person
from haihe.policy.domain import Resource


class Centre(Entity):
    """An operator's site."""

    operator = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="centres")
    slug = models.SlugField(max_length=SLUG_LENGTH, unique=True)
    name = models.CharField(max_length=200)
    name_en = models.CharField(max_length=200, blank=True)
    is_open = models.BooleanField(default=True)

    def __str__(self) -> str:
        return self.name

    def resource(self) -> Resource:
        """The centre as a policy sees it."""
        return Resource("Centre", self.slug, organisation=self.operator_id)


class PoolQuerySet(models.QuerySet["Pool"]):
    """Reads of pools."""

    def open(self) -> Self:
        """Pools that take new jobs."""
        return self.filter(is_open=True, centre__is_open=True)


class Pool(Entity):
    """Homogeneous schedulable capacity in a centre."""

    class Backend(models.TextChoices):
        LOCAL = "local", _("Local processes")

    centre = models.ForeignKey(Centre, on_delete=models.PROTECT, related_name="pools")
    slug = models.SlugField(max_length=SLUG_LENGTH)
    backend = models.CharField(max_length=12, choices=Backend.choices)
    cpu_milli = models.PositiveBigIntegerField()
    memory_bytes = models.PositiveBigIntegerField()
    gpu_milli = models.PositiveBigIntegerField(default=0)
    gpu_model = models.CharField(max_length=80, blank=True)
    is_open = models.BooleanField(default=True)

    objects: ClassVar[PoolQuerySet] = PoolQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["centre", "slug"], name="pool_slug_in_centre")
        ]

    def __str__(self) -> str:
        return f"{self.centre.slug}/{self.slug}"

    @property
    def capacity(self) -> Capacity:
        """All that the pool has."""
        return Capacity(self.cpu_milli, self.memory_bytes, self.gpu_milli)

    def held(self) -> Capacity:
        """What started jobs hold of it."""
        return Reservation.objects.held_by_pool([self]).get(self.pk, Capacity(0, 0, 0))


class OfferQuerySet(models.QuerySet["Offer"]):
    """Reads of offers."""

    def valid_at(self, at: datetime) -> Self:
        """Offers whose price holds at ``at``."""
        return self.filter(Q(ends_at=None) | Q(ends_at__gt=at), begins_at__lte=at)


class Offer(Entity):
    """A pool's capacity at a price. A new price is a new offer; the old one ends."""

    pool = models.ForeignKey(Pool, on_delete=models.PROTECT, related_name="offers")
    cpu_hour_micro = models.PositiveBigIntegerField()
    gpu_hour_micro = models.PositiveBigIntegerField(default=0)
    minimum_micro = models.PositiveBigIntegerField(default=0)
    begins_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[OfferQuerySet] = OfferQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["pool"], condition=Q(ends_at=None), name="one_open_offer_per_pool"
            )
        ]

    def __str__(self) -> str:
        return f"{self.pool} {self.cpu_hour_micro}"

    @property
    def price(self) -> Price:
        """The offer's prices."""
        return Price(self.cpu_hour_micro, self.gpu_hour_micro, self.minimum_micro)


class ContractQuerySet(models.QuerySet["Contract"]):
    """Reads of contracts."""

    def visible_to(self, organisations: frozenset[UUID]) -> Self:
        """Contracts on one side of which is one of ``organisations``."""
        return self.filter(Q(buyer__in=organisations) | Q(provider__in=organisations))


class Contract(Entity):
    """A compute contract: what a buyer may spend with a provider, over which term.

    ``eligible_micro`` is the part for computing alone, without storage, network or security: what
    voucher schemes subsidise.
    """

    class State(models.TextChoices):
        DRAFT = "draft", _("Draft")
        SIGNED = "signed", _("Signed")

    number = models.CharField(max_length=80, unique=True)
    buyer = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="purchases")
    provider = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="sales")
    amount_micro = models.PositiveBigIntegerField()
    eligible_micro = models.PositiveBigIntegerField()
    begins_on = models.DateField()
    ends_on = models.DateField()
    state = models.CharField(max_length=8, choices=State.choices, default=State.DRAFT)
    signed_on = models.DateField(null=True, blank=True)
    created_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")

    objects: ClassVar[ContractQuerySet] = ContractQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                condition=Q(eligible_micro__lte=F("amount_micro")), name="eligible_within_amount"
            ),
            models.CheckConstraint(
                condition=Q(ends_on__gte=F("begins_on")), name="contract_ends_after_it_begins"
            ),
        ]

    def __str__(self) -> str:
        return self.number

    def resource(self) -> Resource:
        """The contract as a policy sees it: the buyer's, with the provider as party."""
        return Resource(
            "Contract",
            self.number,
            organisation=self.buyer_id,
            parties=frozenset({self.provider_id}),
            creator=self.created_by_id,
        )

    def resource_for_provider(self) -> Resource:
        """The contract as what its provider alone may sign: its buyer drew it up."""
        return Resource("Contract", self.number, parties=frozenset({self.provider_id}))

    def covers(self, day: date) -> bool:
        """Whether the term includes ``day``."""
        return self.begins_on <= day <= self.ends_on

    def committed_micro(self) -> int:
        """What settled jobs cost, and what unfinished ones may cost at most."""
        settled = self.quotes.filter(job__settlement__isnull=False).aggregate(
            total=Sum("job__settlement__amount_micro")
        )["total"]
        open_jobs = self.quotes.filter(job__isnull=False, job__finished_at__isnull=True).aggregate(
            total=Sum("amount_micro")
        )["total"]
        return (settled or 0) + (open_jobs or 0)


class Quote(Entity):
    """A priced, explained answer for one job. Its price holds until it expires."""

    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="quotes")
    pool = models.ForeignKey(Pool, on_delete=models.PROTECT, related_name="quotes")
    offer = models.ForeignKey(Offer, on_delete=models.PROTECT, related_name="quotes")
    contract = models.ForeignKey(
        Contract, on_delete=models.PROTECT, related_name="quotes", null=True, blank=True
    )
    spec_data = models.JSONField()
    lines = models.JSONField()
    shares = models.JSONField()
    reasons = models.JSONField()
    amount_micro = models.PositiveBigIntegerField()
    expires_at = models.DateTimeField()
    created_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")

    def __str__(self) -> str:
        return f"{self.spec.name} {self.amount_micro}"

    @property
    def spec(self) -> JobSpec:
        """What the quote is for."""
        return spec_from(self.spec_data)

    def resource(self) -> Resource:
        """The quote as a policy sees it."""
        return Resource(
            "Quote", str(self.pk), organisation=self.organisation_id, creator=self.created_by_id
        )


class JobQuerySet(LeasedQuerySet["Job"]):
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

    def waiting(self) -> Self:
        """Jobs to start, the first in line first."""
        return self.filter(state=JobState.QUEUED).order_by("-priority", "pk")


class Job(Entity):
    """Work that an organisation pays for."""

    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="jobs")
    provider = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="served_jobs")
    quote = models.OneToOneField(Quote, on_delete=models.PROTECT, related_name="job")
    pool = models.ForeignKey(Pool, on_delete=models.PROTECT, related_name="jobs")
    name = models.CharField(max_length=64)
    state = models.CharField(
        max_length=10, choices=[(s.value, s.value) for s in JobState], default=JobState.QUEUED
    )
    priority = models.SmallIntegerField(default=0)
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
        return self.attempts.select_related("usage").order_by("number")

    def resource(self) -> Resource:
        """The job as a policy sees it: who submitted it owns it, who ran it is a party."""
        return Resource(
            "Job",
            str(self.pk),
            organisation=self.organisation_id,
            parties=frozenset({self.provider_id}),
            creator=self.created_by_id,
        )


class ReservationQuerySet(models.QuerySet["Reservation"]):
    """Reads of reservations."""

    def held_by_pool(self, pools: Iterable[Pool]) -> dict[UUID, Capacity]:
        """What started jobs hold of each pool; a pool of which nothing is held is left out."""
        started = self.filter(pool__in=list(pools), placed_at__isnull=False, released_at=None)
        sums = started.values_list("pool").annotate(
            Sum("cpu_milli"), Sum("memory_bytes"), Sum("gpu_milli")
        )
        return {pool: Capacity(cpu, memory, gpu) for pool, cpu, memory, gpu in sums}


class Reservation(Entity):
    """Funds held for a job from its submission on, and capacity from its placement on."""

    job = models.OneToOneField(Job, on_delete=models.PROTECT, related_name="reservation")
    pool = models.ForeignKey(Pool, on_delete=models.PROTECT, related_name="reservations")
    cpu_milli = models.PositiveBigIntegerField()
    memory_bytes = models.PositiveBigIntegerField()
    gpu_milli = models.PositiveBigIntegerField()
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


class AttemptQuerySet(LeasedQuerySet["Attempt"]):
    """Reads of attempts."""

    def unfinished(self) -> Self:
        """Attempts that somebody must look after."""
        return self.filter(state__in=[AttemptState.STARTING, AttemptState.RUNNING])


class Attempt(LeasedRow, Entity):
    """One try at a job, looked after by the dispatcher that holds its lease."""

    job = models.ForeignKey(Job, on_delete=models.PROTECT, related_name="attempts")
    number = models.PositiveSmallIntegerField()
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
                fields=["lock_expires_at"],
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
    measured_by = models.CharField(max_length=40)

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
