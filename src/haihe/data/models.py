"""Tables of datasets, their versions, and the agreements under which others use them."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Self
from uuid import UUID

from django.db import models
from django.db.models import Exists, OuterRef, Q, Subquery
from django.utils.translation import gettext_lazy as _

from haihe.data.domain import UsagePolicy, policy_from
from haihe.kernel.ids import SLUG_LENGTH
from haihe.kernel.models import Entity
from haihe.parties.models import Organisation, Person
from haihe.policy.domain import Resource


class DatasetQuerySet(models.QuerySet["Dataset"]):
    """Reads of the catalogue."""

    def visible_to(self, organisations: frozenset[UUID]) -> Self:
        """Published datasets, one's own, and those one has an agreement on."""
        agreed = Agreement.objects.filter(dataset=OuterRef("pk"), consumer__in=organisations)
        return self.filter(
            Q(is_published=True) | Q(organisation__in=organisations) | Q(Exists(agreed))
        )

    def matching(self, text: str) -> Self:
        """Datasets whose card, or whose holder's name, contains ``text``."""
        return self.filter(
            Q(title__icontains=text)
            | Q(title_en__icontains=text)
            | Q(slug__icontains=text)
            | Q(description__icontains=text)
            | Q(organisation__name__icontains=text)
            | Q(organisation__name_en__icontains=text)
        )

    def with_newest_version(self) -> Self:
        """With number, rows and instant of the newest version, as ``newest_*``; None if none."""
        newest = DatasetVersion.objects.filter(dataset=OuterRef("pk")).order_by("-number")
        return self.annotate(
            newest_number=Subquery(newest.values("number")[:1]),
            newest_rows=Subquery(newest.values("rows")[:1]),
            newest_at=Subquery(newest.values("created_at")[:1]),
        )


class Dataset(Entity):
    """Data of one subject that a holder keeps, described, under a usage policy."""

    organisation = models.ForeignKey(
        Organisation, on_delete=models.PROTECT, related_name="datasets"
    )
    slug = models.SlugField(max_length=SLUG_LENGTH, unique=True)
    title = models.CharField(max_length=200)
    title_en = models.CharField(max_length=200, blank=True)
    description = models.TextField(blank=True)
    licence = models.CharField(max_length=200, blank=True)
    policy_data = models.JSONField()
    is_published = models.BooleanField(default=False)
    created_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")

    objects: ClassVar[DatasetQuerySet] = DatasetQuerySet.as_manager()  # type: ignore[assignment]

    # Filled in by DatasetQuerySet.with_newest_version.
    newest_number: int | None = None
    newest_rows: int | None = None
    newest_at: datetime | None = None

    def __str__(self) -> str:
        return self.title

    @property
    def policy(self) -> UsagePolicy:
        """The terms that hold for new agreements."""
        return policy_from(self.policy_data)

    def resource(self, *, parties: frozenset[UUID] = frozenset()) -> Resource:
        """The dataset as a policy sees it; ``parties`` are the consumers with an agreement."""
        return Resource(
            "Dataset",
            self.slug,
            organisation=self.organisation_id,
            parties=parties,
            public=self.is_published,
            creator=self.created_by_id,
        )


class DatasetVersion(Entity):
    """Immutable, content-hashed content of a dataset."""

    class Format(models.TextChoices):
        CSV = "csv", "CSV"
        PARQUET = "parquet", "Parquet"

    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    sha256 = models.CharField(max_length=64)
    bytes = models.PositiveBigIntegerField()
    format = models.CharField(max_length=8, choices=Format.choices)
    rows = models.PositiveBigIntegerField()
    columns = models.JSONField()
    source = models.TextField(blank=True)
    created_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["dataset", "number"], name="version_number_in_dataset")
        ]

    def __str__(self) -> str:
        return f"{self.dataset.slug}@{self.number}"

    @property
    def file_name(self) -> str:
        """What its content is called when somebody downloads it."""
        return f"{self.dataset.slug}-v{self.number}.{self.format}"

    @property
    def subject(self) -> str:
        """How evidence names the version."""
        return f"dataset-version:{self.pk}"


class AgreementQuerySet(models.QuerySet["Agreement"]):
    """Reads of agreements."""

    def in_force(self, at: datetime) -> Self:
        """Accepted agreements that have neither ended nor run out at ``at``."""
        return self.filter(state=Agreement.State.ACCEPTED, expires_at__gt=at)

    def visible_to(self, organisations: frozenset[UUID]) -> Self:
        """Agreements to which one of ``organisations`` is a party."""
        return self.filter(Q(provider__in=organisations) | Q(consumer__in=organisations))


class Agreement(Entity):
    """A contract between a dataset's holder and a consumer, with the terms as they were then."""

    class State(models.TextChoices):
        PROPOSED = "proposed", _("Proposed")
        ACCEPTED = "accepted", _("Accepted")
        ENDED = "ended", _("Ended")

    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="agreements")
    provider = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="+")
    consumer = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="+")
    purpose = models.CharField(max_length=20)
    days = models.PositiveIntegerField()
    policy_data = models.JSONField()
    state = models.CharField(max_length=8, choices=State.choices, default=State.PROPOSED)
    proposed_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    accepted_by = models.ForeignKey(
        Person, on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    accepted_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[AgreementQuerySet] = AgreementQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["consumer", "dataset", "state"])
        ]

    def __str__(self) -> str:
        return f"{self.dataset} {self.consumer}"

    @property
    def policy(self) -> UsagePolicy:
        """The terms as they were when the agreement was proposed."""
        return policy_from(self.policy_data)

    def resource_for_consumer(self) -> Resource:
        """The agreement as what its consumer alone may accept: its holder offered it."""
        return Resource("Agreement", str(self.pk), parties=frozenset({self.consumer_id}))

    def resource(self) -> Resource:
        """The agreement as a policy sees it: the holder's, and both are parties to end it."""
        return Resource(
            "Agreement",
            str(self.pk),
            organisation=self.provider_id,
            parties=frozenset({self.provider_id, self.consumer_id}),
            creator=self.proposed_by_id,
        )


class Grant(Entity):
    """One job's permission to read one version, until it expires."""

    job_id = models.UUIDField()
    version = models.ForeignKey(DatasetVersion, on_delete=models.PROTECT, related_name="grants")
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="+")
    agreement = models.ForeignKey(
        Agreement, on_delete=models.PROTECT, related_name="grants", null=True, blank=True
    )
    expires_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["job_id", "version"], name="one_grant_per_job_and_input"
            )
        ]

    def __str__(self) -> str:
        return f"{self.job_id} {self.version}"
