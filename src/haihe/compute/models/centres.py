"""Tables of centres: their pools, nodes and prices, and who may use how much of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import ClassVar, Self

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from haihe.compute.domain import Capacity, Price
from haihe.compute.domain.accelerators import Accelerator, accelerator_of
from haihe.kernel.ids import SLUG_LENGTH
from haihe.kernel.models import Entity
from haihe.parties.models import Organisation, Person
from haihe.policy.domain import Resource


class Centre(Entity):
    """An operator's site."""

    operator = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="centres")
    slug = models.SlugField(max_length=SLUG_LENGTH, unique=True)
    name = models.CharField(max_length=200)
    name_en = models.CharField(max_length=200, blank=True)
    region = models.CharField(max_length=80, blank=True)
    is_open = models.BooleanField(default=True)
    carbon_g_per_kwh = models.PositiveIntegerField(null=True, blank=True)
    link_bytes_per_s = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="To the platform's data; empty where they share a disk."
    )

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
        SLURM = "slurm", "Slurm"
        RAY = "ray", "Ray"

    centre = models.ForeignKey(Centre, on_delete=models.PROTECT, related_name="pools")
    slug = models.SlugField(max_length=SLUG_LENGTH)
    backend = models.CharField(max_length=12, choices=Backend.choices)
    partition = models.CharField(max_length=80, blank=True)
    cpu_milli = models.PositiveBigIntegerField()
    memory_bytes = models.PositiveBigIntegerField()
    gpu_milli = models.PositiveBigIntegerField(default=0)
    gpu_model = models.CharField(max_length=80, blank=True)
    card_tflops = models.PositiveIntegerField(
        null=True, blank=True, help_text="Of one card, where the table does not have its model."
    )
    card_watts = models.PositiveIntegerField(null=True, blank=True)
    software = models.JSONField(default=list)
    watts_idle = models.PositiveIntegerField(null=True, blank=True)
    watts_busy = models.PositiveIntegerField(null=True, blank=True)
    needs_allocation = models.BooleanField(default=False)
    needs_account = models.BooleanField(default=False)
    pending_limit = models.PositiveIntegerField(
        default=0, help_text="Jobs that may wait in the scheduler's own queue."
    )
    is_open = models.BooleanField(default=True)
    version = models.CharField(max_length=400, blank=True)
    fault = models.TextField(blank=True, help_text="Why its scheduler does not answer.")
    reported_at = models.DateTimeField(null=True, blank=True)
    pending = models.PositiveBigIntegerField(default=0)
    running = models.PositiveBigIntegerField(default=0)

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

    @property
    def card(self) -> Accelerator:
        """The pool's accelerator: from the table, or as its operator says."""
        card = accelerator_of(self.gpu_model)
        if self.card_tflops is None:
            return card
        return replace(card, tflops=self.card_tflops, watts=self.card_watts or 0)

    @property
    def is_packed_here(self) -> bool:
        """Whether Haihe itself decides which node an attempt runs on, and not a scheduler."""
        return self.backend == Pool.Backend.LOCAL

    def backend_reason(self, nodes: int, *, has_account: bool) -> str:
        """What the kind of back-end cannot start, whatever its size; empty, if it can.

        ``has_account`` says that the person is known at the centre by a name of their own.
        """
        if self.backend != Pool.Backend.RAY:
            return ""
        if has_account:
            return "runs all jobs as one user, and the person has an account of their own there"
        return "starts a job on one node only" if nodes > 1 else ""


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


class Node(Entity):
    """One machine of a pool, as its agent last reported it."""

    class Condition(models.TextChoices):
        UP = "up", _("Up")
        DRAINING = "draining", _("Draining")
        DOWN = "down", _("Down")

    pool = models.ForeignKey(Pool, on_delete=models.CASCADE, related_name="nodes")
    name = models.CharField(max_length=200)
    condition = models.CharField(max_length=8, choices=Condition.choices)
    reason = models.CharField(max_length=400, blank=True)
    cpu_milli = models.PositiveBigIntegerField()
    memory_bytes = models.PositiveBigIntegerField()
    gpus = models.PositiveIntegerField(default=0)
    gpu_model = models.CharField(max_length=80, blank=True)
    used_cpu_milli = models.PositiveBigIntegerField(default=0)
    used_memory_bytes = models.PositiveBigIntegerField(default=0)
    used_gpu_milli = models.PositiveBigIntegerField(default=0)
    reported_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["pool", "name"], name="node_name_in_pool")
        ]

    def __str__(self) -> str:
        return f"{self.pool_id}/{self.name}"


class MaintenanceWindow(Entity):
    """A time in which a pool takes no job that would still run in it."""

    pool = models.ForeignKey(Pool, on_delete=models.PROTECT, related_name="maintenance")
    begins_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    reason = models.CharField(max_length=400)
    withdrawn_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                condition=Q(ends_at__gt=F("begins_at")), name="maintenance_ends_after_it_begins"
            )
        ]

    def __str__(self) -> str:
        return f"{self.pool_id} {self.begins_at:%Y-%m-%d %H:%M}"


class Allocation(Entity):
    """How much of a pool an organisation may use in a period."""

    pool = models.ForeignKey(Pool, on_delete=models.PROTECT, related_name="allocations")
    organisation = models.ForeignKey(
        Organisation, on_delete=models.PROTECT, related_name="allocations"
    )
    begins_on = models.DateField()
    ends_on = models.DateField()
    cpu_ms = models.PositiveBigIntegerField()
    gpu_milli_ms = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["pool", "organisation", "begins_on"], name="one_allocation_per_period"
            ),
            models.CheckConstraint(
                condition=Q(ends_on__gte=F("begins_on")), name="allocation_ends_after_it_begins"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.organisation_id} of {self.pool_id}"


class PersonAccount(Entity):
    """Who a person is at a centre: their own identity in its scheduler."""

    centre = models.ForeignKey(Centre, on_delete=models.PROTECT, related_name="accounts")
    person = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="centre_accounts")
    user = models.CharField(max_length=80)
    account = models.CharField(max_length=80, blank=True)
    qos = models.CharField(max_length=80, blank=True)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["centre", "person"], name="one_account_per_centre")
        ]

    def __str__(self) -> str:
        return f"{self.user} at {self.centre_id}"
