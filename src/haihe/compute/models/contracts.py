"""Tables of what is agreed before work begins: contracts and quotes."""

from __future__ import annotations

from datetime import date
from typing import ClassVar, Self
from uuid import UUID

from django.db import models
from django.db.models import F, Q, Sum
from django.utils.translation import gettext_lazy as _

from haihe.compute.domain import JobSpec, spec_from
from haihe.compute.models.centres import Offer, Pool
from haihe.kernel.models import Entity
from haihe.parties.models import Organisation, Person
from haihe.policy.domain import Resource


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
        settled = self.quotes.filter(jobs__settlement__isnull=False).aggregate(
            total=Sum("jobs__settlement__amount_micro")
        )["total"]
        open_jobs = self.quotes.filter(jobs__isnull=False, jobs__finished_at=None).aggregate(
            total=Sum("jobs__amount_micro")
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
    comparison = models.JSONField(default=dict)
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
