"""The clinic's tables. A patient has a pseudonym here; who that is lies apart, sealed."""

from __future__ import annotations

from typing import ClassVar, Self
from uuid import UUID

from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from bci_rehab.clinic.domain import SCALES, Modality, Scale, Side
from haihe.packs.pages import Entity, Organisation, Person, Resource

MODALITIES = [
    (Modality.MOTOR_IMAGERY.value, _("Motor imagery")),
    (Modality.ATTEMPTED_MOVEMENT.value, _("Attempted movement")),
    (Modality.SSVEP.value, _("Flickering targets (SSVEP)")),
    (Modality.P300.value, _("Flashing letters (P300)")),
]
SIDES = [
    (Side.LEFT.value, pgettext_lazy("side", "Left")),
    (Side.RIGHT.value, pgettext_lazy("side", "Right")),
    (Side.BOTH.value, pgettext_lazy("side", "Both")),
]


class PatientQuerySet(models.QuerySet["Patient"]):
    """Reads of patients."""

    def of(self, organisations: frozenset[UUID]) -> Self:
        """Those of some organisations."""
        return self.filter(organisation__in=organisations)


class Patient(Entity):
    """A person in training, by pseudonym."""

    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="+")
    pseudonym = models.CharField(max_length=20)
    birth_year = models.PositiveSmallIntegerField(null=True, blank=True)
    affected_side = models.CharField(max_length=5, choices=SIDES)
    onset_on = models.DateField(null=True, blank=True)
    diagnosis = models.CharField(max_length=300, blank=True)
    created_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    closed_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[PatientQuerySet] = PatientQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["organisation", "pseudonym"], name="bci_rehab_one_pseudonym_each"
            )
        ]

    def __str__(self) -> str:
        return self.pseudonym

    def resource(self) -> Resource:
        """The patient as the policies see it."""
        return Resource("Patient", str(self.pk), organisation=self.organisation_id)


class Identity(Entity):
    """Who a patient is, sealed: the text opens with the key in the home's ``keys`` only."""

    patient = models.OneToOneField(Patient, on_delete=models.CASCADE, related_name="identity")
    sealed = models.BinaryField()


class Consent(Entity):
    """What a patient agreed to, in which version of the text, and when it was taken back."""

    class Purpose(models.TextChoices):
        TRAINING = "training", _("Training and its record")
        RESEARCH = "research", _("Research on the record")

    patient = models.ForeignKey(Patient, on_delete=models.CASCADE, related_name="consents")
    purpose = models.CharField(max_length=10, choices=Purpose.choices)
    text_version = models.CharField(max_length=40)
    given_on = models.DateField()
    recorded_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    withdrawal_recorded_by = models.ForeignKey(
        Person, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["patient", "purpose"],
                condition=models.Q(withdrawn_at=None),
                name="bci_rehab_one_consent_in_force",
            )
        ]


class Intake(Entity):
    """The checklist of contraindications, as it was answered once."""

    patient = models.ForeignKey(Patient, on_delete=models.CASCADE, related_name="intakes")
    answers = models.JSONField()
    recorded_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")


class Prescription(Entity):
    """What is to be trained: task, hand, sessions, and when the actuator may move."""

    class State(models.TextChoices):
        ACTIVE = "active", _("Active")
        ENDED = "ended", _("Ended")

    patient = models.ForeignKey(Patient, on_delete=models.CASCADE, related_name="prescriptions")
    modality = models.CharField(max_length=20, choices=MODALITIES)
    side = models.CharField(max_length=5, choices=SIDES)
    sessions = models.PositiveSmallIntegerField()
    minutes = models.PositiveSmallIntegerField()
    false_triggers_per_min = models.FloatField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.ACTIVE)
    ended_at = models.DateTimeField(null=True, blank=True)
    prescribed_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["patient"],
                condition=models.Q(state="active"),
                name="bci_rehab_one_active_prescription",
            )
        ]


class Outcome(Entity):
    """A score of a scale on a day. A wrong one is struck out, with the reason; none is changed."""

    patient = models.ForeignKey(Patient, on_delete=models.CASCADE, related_name="outcomes")
    scale = models.CharField(max_length=20)
    value = models.FloatField()
    measured_on = models.DateField()
    rater = models.CharField(max_length=80, blank=True)
    recorded_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    struck_at = models.DateTimeField(null=True, blank=True)
    struck_reason = models.CharField(max_length=300, blank=True)

    @property
    def measure(self) -> Scale:
        """The scale that it is a score of."""
        return SCALES[self.scale]


class Note(Entity):
    """What somebody wrote down about a patient; never changed."""

    patient = models.ForeignKey(Patient, on_delete=models.CASCADE, related_name="notes")
    text = models.TextField()
    author = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
