"""The table of evaluations."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from haihe.compute.models import Job
from haihe.kernel.models import Entity
from haihe.parties.models import Organisation
from haihe.policy.domain import Resource


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

    class Meta:
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["organisation", "-id"])]

    def __str__(self) -> str:
        return f"{self.pack} {self.metric} {self.score}"

    def resource(self) -> Resource:
        """The evaluation as a policy sees it: public once its scenario is accepted."""
        return Resource(
            "Evaluation", str(self.pk), organisation=self.organisation_id, public=self.is_public
        )
