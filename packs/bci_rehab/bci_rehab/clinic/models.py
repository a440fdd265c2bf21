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


class DecoderVersion(Entity):
    """A decoder that was learned from a patient's calibration; it drives nothing until accepted.

    Who rejects it, before or after it was accepted, ends its use for good. ``accuracy`` has the
    keys value, standard_error, trials, chance, chance_bound and confidence; ``file`` is a path
    within the pack's home. ``hits`` is the share of held-out movements that would have triggered,
    ``false_per_min`` the upper bound of false triggers. ``calibration_sessions`` are all sessions
    that it learned from, earlier ones included.
    """

    patient = models.ForeignKey(Patient, on_delete=models.CASCADE, related_name="decoders")
    version = models.PositiveSmallIntegerField()
    file = models.CharField(max_length=300)
    sha256 = models.CharField(max_length=64)
    method = models.CharField(max_length=80)
    calibration_sessions: models.ManyToManyField[TrainingSession, models.Model] = (
        models.ManyToManyField("TrainingSession", related_name="calibrated")
    )
    accuracy = models.JSONField()
    threshold = models.FloatField(null=True, blank=True)
    hits = models.FloatField(null=True, blank=True)
    false_per_min = models.FloatField(null=True, blank=True)
    accepted_by = models.ForeignKey(
        Person, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    accepted_at = models.DateTimeField(null=True, blank=True)
    rejected_by = models.ForeignKey(
        Person, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    rejected_at = models.DateTimeField(null=True, blank=True)
    rejected_reason = models.CharField(max_length=300, blank=True)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["patient", "version"], name="bci_rehab_one_decoder_each_version"
            ),
            models.UniqueConstraint(
                fields=["patient", "sha256"], name="bci_rehab_one_decoder_each_file"
            ),
            models.CheckConstraint(
                condition=models.Q(accepted_by=None, accepted_at=None)
                | models.Q(accepted_by__isnull=False, accepted_at__isnull=False),
                name="bci_rehab_decoder_accepted_by_somebody",
            ),
            models.CheckConstraint(
                condition=models.Q(rejected_by=None, rejected_at=None, rejected_reason="")
                | models.Q(rejected_by__isnull=False, rejected_at__isnull=False)
                & ~models.Q(rejected_reason=""),
                name="bci_rehab_decoder_rejected_by_somebody_for_a_reason",
            ),
            models.CheckConstraint(
                condition=models.Q(threshold=None) | models.Q(threshold__gt=0),
                name="bci_rehab_decoder_threshold_above_zero",
            ),
        ]

    def __str__(self) -> str:
        return f"D-{self.version}"

    @property
    def may_drive(self) -> bool:
        """Whether a therapist accepted it, and nobody has rejected it since."""
        return self.accepted_at is not None and self.rejected_at is None

    @property
    def is_above_chance(self) -> bool:
        """Whether guessing is no explanation of its accuracy."""
        return bool(self.accuracy["value"] > self.accuracy["chance_bound"])

    def resource(self) -> Resource:
        """The decoder as the policies see it: a part of its patient's record."""
        return self.patient.resource()


class TrainingSession(Entity):
    """One session of a prescription: its plan, what it was opened with, and what it came to.

    ``number`` counts those that were not aborted, so that an aborted one is had again under its
    number. ``actuator`` holds the kind and whether an operator turned its output on for this
    session; ``summary`` is what the station said at the end.
    """

    class State(models.TextChoices):
        PLANNED = "planned", pgettext_lazy("session", "Planned")
        RUNNING = "running", pgettext_lazy("session", "Running")
        ENDED = "ended", pgettext_lazy("session", "Ended")
        ABORTED = "aborted", pgettext_lazy("session", "Aborted")

    prescription = models.ForeignKey(
        Prescription, on_delete=models.CASCADE, related_name="trainings"
    )
    number = models.PositiveSmallIntegerField()
    seed = models.PositiveIntegerField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.PLANNED)
    plan = models.JSONField()
    source = models.JSONField(default=dict)
    actuator = models.JSONField(default=dict)
    decoder = models.ForeignKey(
        DecoderVersion, on_delete=models.PROTECT, null=True, blank=True, related_name="driven"
    )
    folder = models.CharField(max_length=200)
    planned_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    opened_by = models.ForeignKey(
        Person, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    summary = models.JSONField(default=dict)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["prescription", "number"],
                condition=~models.Q(state="aborted"),
                name="bci_rehab_one_session_each_number",
            ),
            models.UniqueConstraint(
                fields=["prescription"],
                condition=models.Q(state__in=("planned", "running")),
                name="bci_rehab_one_open_session",
            ),
            models.CheckConstraint(
                condition=models.Q(state="planned", started_at=None, ended_at=None)
                | models.Q(
                    state="running",
                    started_at__isnull=False,
                    opened_by__isnull=False,
                    ended_at=None,
                )
                | models.Q(state="ended", started_at__isnull=False, ended_at__isnull=False)
                | models.Q(state="aborted", ended_at__isnull=False),
                name="bci_rehab_session_times_fit_its_state",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.patient} · {self.number}"

    @property
    def patient(self) -> Patient:
        """Whose session it is."""
        return self.prescription.patient

    @property
    def is_open(self) -> bool:
        """Whether it is still to be had, or is being had."""
        return self.state in (self.State.PLANNED, self.State.RUNNING)

    @property
    def calibrates(self) -> bool:
        """Whether it records trials for a new decoder."""
        return bool(self.plan["calibration_runs"])

    def resource(self) -> Resource:
        """The session as the policies see it: a part of its patient's record."""
        return self.patient.resource()
