"""Tables of plans, voucher schemes, vouchers and scenarios."""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar, Self
from uuid import UUID

from django.db import models
from django.db.models import Q, Sum
from django.utils.translation import gettext_lazy as _

from haihe.compute.models import Contract
from haihe.kernel.ids import SLUG_LENGTH
from haihe.kernel.models import Entity
from haihe.packs.models import Evaluation
from haihe.parties.models import Organisation, Person
from haihe.policy.domain import Resource
from haihe.programme.domain.plans import PlanDocument, plan_from
from haihe.programme.domain.vouchers import VoucherRules, rules_from


class PlanQuerySet(models.QuerySet["Plan"]):
    """Reads of plans."""

    def current(self) -> Self:
        """The newest version of each plan."""
        return self.filter(superseded_at=None).order_by("slug")


class Plan(Entity):
    """One version of a plan, as its file said it."""

    slug = models.SlugField(max_length=SLUG_LENGTH)
    version = models.PositiveIntegerField()
    sha256 = models.CharField(max_length=64)
    data = models.JSONField()
    superseded_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[PlanQuerySet] = PlanQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["slug", "version"], name="plan_version_once"),
            models.UniqueConstraint(
                fields=["slug"], condition=Q(superseded_at=None), name="one_current_plan_version"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.slug} v{self.version}"

    @cached_property
    def document(self) -> PlanDocument:
        """The plan's content."""
        return plan_from(self.data)


class SchemeQuerySet(models.QuerySet["Scheme"]):
    """Reads of schemes."""

    def under_rules(self, slug: str) -> Self:
        """Schemes under the rule set of this slug, whoever opened them."""
        return self.filter(rules_data__rules__slug=slug)


class Scheme(Entity):
    """A voucher scheme that an office opened under a rule set, with dates and a pool of its own."""

    objects: ClassVar[SchemeQuerySet] = SchemeQuerySet.as_manager()  # type: ignore[assignment]

    slug = models.SlugField(max_length=40, unique=True)
    title = models.CharField(max_length=200)
    title_en = models.CharField(max_length=200, blank=True)
    office = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="schemes")
    rules_data = models.JSONField()
    rules_sha256 = models.CharField(max_length=64)
    opens_on = models.DateField()
    closes_on = models.DateField()

    def __str__(self) -> str:
        return self.title

    @cached_property
    def rules(self) -> VoucherRules:
        """The conditions under which vouchers are granted."""
        return rules_from(self.rules_data)

    @property
    def asset(self) -> str:
        """The ledger's asset of this scheme's vouchers; one unit is one CNY."""
        return f"voucher:{self.slug}"

    def resource(self) -> Resource:
        """The scheme as a policy sees it."""
        return Resource("Scheme", self.slug, organisation=self.office_id)


class VoucherQuerySet(models.QuerySet["Voucher"]):
    """Reads of vouchers."""

    def visible_to(self, organisations: frozenset[UUID]) -> Self:
        """Vouchers of one's own organisations, and those that pay them."""
        return self.filter(
            Q(organisation__in=organisations) | Q(contract__provider__in=organisations)
        )

    def under_rules(self, slug: str) -> Self:
        """Vouchers of all schemes under the rule set of this slug."""
        return self.filter(scheme__rules_data__rules__slug=slug)

    def standing(self) -> Self:
        """Vouchers that stand in the way of another one on the same contract."""
        return self.exclude(state__in=[Voucher.State.REFUSED, Voucher.State.WITHDRAWN])

    def granted_in(self, organisation: Organisation, year: int) -> int:
        """What the organisation was granted in a calendar year of the portal's time zone, in
        micro-units."""
        granted = self.filter(
            organisation=organisation,
            decided_at__year=year,
            state__in=[Voucher.State.RESERVED, Voucher.State.CLOSED],
        )
        return granted.aggregate(total=Sum("amount_micro"))["total"] or 0


class Voucher(Entity):
    """A subsidy for one contract: applied for, reserved on approval, redeemed on metered use."""

    class State(models.TextChoices):
        APPLIED = "applied", _("Applied")
        RESERVED = "reserved", _("Reserved")
        REFUSED = "refused", _("Refused")
        WITHDRAWN = "withdrawn", _("Withdrawn")
        CLOSED = "closed", _("Closed")

    scheme = models.ForeignKey(Scheme, on_delete=models.PROTECT, related_name="vouchers")
    number = models.CharField(max_length=60, unique=True)
    organisation = models.ForeignKey(
        Organisation, on_delete=models.PROTECT, related_name="vouchers"
    )
    contract = models.ForeignKey(Contract, on_delete=models.PROTECT, related_name="vouchers")
    amount_micro = models.PositiveBigIntegerField()
    declared = models.JSONField()
    verdicts = models.JSONField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.APPLIED)
    account_id = models.UUIDField(null=True, blank=True)
    returned_micro = models.PositiveBigIntegerField(default=0)
    applied_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    decided_by = models.ForeignKey(
        Person, on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    note = models.TextField(blank=True)

    objects: ClassVar[VoucherQuerySet] = VoucherQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["contract"],
                condition=Q(state__in=["applied", "reserved", "closed"]),
                name="one_voucher_per_contract",
            )
        ]

    def __str__(self) -> str:
        return self.number

    def resource(self) -> Resource:
        """The voucher as a policy sees it: the firm's, with the provider it pays as party."""
        return Resource(
            "Voucher",
            self.number,
            organisation=self.organisation_id,
            parties=frozenset({self.contract.provider_id}),
            creator=self.applied_by_id,
        )


class ScenarioQuerySet(models.QuerySet["Scenario"]):
    """Reads of scenarios."""

    def visible_to(self, organisations: frozenset[UUID], *, all_of_them: bool) -> Self:
        """Accepted scenarios are public; proposals are their organisation's and the office's."""
        if all_of_them:
            return self
        return self.filter(Q(state=Scenario.State.ACCEPTED) | Q(organisation__in=organisations))


class Scenario(Entity):
    """A real application that the programme recognises, on the evidence of an evaluation."""

    class State(models.TextChoices):
        PROPOSED = "proposed", _("Proposed")
        ACCEPTED = "accepted", _("Accepted")
        DECLINED = "declined", _("Declined")
        REVOKED = "revoked", _("Revoked")

    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="scenarios")
    measure_id = models.CharField(max_length=10)
    organisation = models.ForeignKey(
        Organisation, on_delete=models.PROTECT, related_name="scenarios"
    )
    evaluation = models.OneToOneField(Evaluation, on_delete=models.PROTECT, related_name="scenario")
    title = models.CharField(max_length=200)
    title_en = models.CharField(max_length=200, blank=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.PROPOSED)
    proposed_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    decided_by = models.ForeignKey(
        Person, on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    note = models.TextField(blank=True)

    objects: ClassVar[ScenarioQuerySet] = ScenarioQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["state", "plan"])]

    def __str__(self) -> str:
        return self.title

    @property
    def subject(self) -> str:
        """How evidence names the scenario."""
        return f"scenario:{self.pk}"

    def resource(self) -> Resource:
        """The scenario as a policy sees it: public once accepted."""
        return Resource(
            "Scenario",
            str(self.pk),
            organisation=self.organisation_id,
            public=self.state == Scenario.State.ACCEPTED,
            creator=self.proposed_by_id,
        )
