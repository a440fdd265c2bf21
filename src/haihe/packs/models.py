"""The tables of evaluations and of conformance checks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Self
from uuid import UUID

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from haihe.compute.models import Job
from haihe.kernel.models import Entity
from haihe.parties.models import Organisation
from haihe.policy.domain import Resource


class EvaluationQuerySet(models.QuerySet["Evaluation"]):
    """Reads of evaluations."""

    def visible_to(self, organisations: frozenset[UUID]) -> Self:
        """Those of one's own organisations, and those that belong to accepted scenarios."""
        return self.filter(Q(organisation__in=organisations) | Q(is_public=True))


class Evaluation(Entity):
    """What the platform computed from the raw predictions of one job of a pack."""

    class State(models.TextChoices):
        SCORED = "scored", _("Scored")
        REFUSED = "refused", _("Refused")

    organisation = models.ForeignKey(
        Organisation, on_delete=models.PROTECT, related_name="evaluations"
    )
    job = models.OneToOneField(Job, on_delete=models.PROTECT, related_name="evaluation")
    pack = models.CharField(max_length=80)
    pack_version = models.CharField(max_length=40)
    inputs = models.JSONField()
    state = models.CharField(max_length=8, choices=State.choices)
    metric = models.CharField(max_length=40)
    score = models.FloatField(null=True, blank=True)
    low = models.FloatField(null=True, blank=True)
    high = models.FloatField(null=True, blank=True)
    baseline = models.FloatField(null=True, blank=True)
    permuted = models.FloatField(null=True, blank=True)
    details = models.JSONField()
    message = models.TextField(blank=True)
    is_public = models.BooleanField(default=False)

    objects: ClassVar[EvaluationQuerySet] = EvaluationQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["organisation", "-id"])]

    def __str__(self) -> str:
        return f"{self.pack} {self.metric} {self.score}"

    def resource(self) -> Resource:
        """The evaluation as a policy sees it: public once its scenario is accepted."""
        return Resource(
            "Evaluation", str(self.pk), organisation=self.organisation_id, public=self.is_public
        )


class PackCheckQuerySet(models.QuerySet["PackCheck"]):
    """Reads of conformance checks."""

    def newest_of(self, packs: Iterable[str]) -> dict[str, PackCheck]:
        """The newest checks of each of these packs, by the pack's name."""
        rows = self.filter(pack__in=list(packs)).order_by("pk")
        return {row.pack: row for row in rows}


class PackCheck(Entity):
    """How an installed pack came out of the conformance checks, and the tier that it reached.

    ``sha256`` is the hash of the pack's manifest and code: of other code this says nothing.
    """

    pack = models.CharField(max_length=80)
    pack_version = models.CharField(max_length=40)
    sha256 = models.CharField(max_length=64)
    tier = models.CharField(max_length=10, blank=True)
    results = models.JSONField()

    objects: ClassVar[PackCheckQuerySet] = PackCheckQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["pack", "-id"])]

    def __str__(self) -> str:
        return f"{self.pack} {self.tier or 'no tier'}"
