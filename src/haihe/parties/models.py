"""Tables of organisations, people, and how they belong together."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, ClassVar, Self
from uuid import UUID

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from haihe.kernel.clock import now
from haihe.kernel.ids import SLUG_LENGTH, new_id
from haihe.kernel.models import Entity
from haihe.kernel.texts import spoken
from haihe.policy.domain import DUTIES, PlatformRole, Resource, Role


class PersonManager(BaseUserManager["Person"]):
    """Makes people; an e-mail address is compared without regard to case."""

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> Person:
        """Make a person who signs in with ``email``; without a password only by OIDC or reset."""
        person = self.model(email=email.strip().lower(), **fields)
        person.set_password(password)
        person.save(using=self._db)
        return person

    def get_by_natural_key(self, username: str | None) -> Person:
        """Find a person by e-mail address, whatever its case."""
        return self.get(email=(username or "").strip().lower())


class Person(AbstractBaseUser):
    """Somebody who may sign in."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    created_at = models.DateTimeField(default=now, editable=False)
    email = models.EmailField(unique=True)
    name = models.CharField(max_length=80, blank=True)
    language = models.CharField(max_length=10, blank=True)
    is_active = models.BooleanField(default=True)

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    objects: ClassVar[PersonManager] = PersonManager()

    def __str__(self) -> str:
        return self.name or self.email

    def resource(self) -> Resource:
        """The person as their own concern: profile, tokens."""
        return Resource("Person", str(self.pk), creator=self.pk)


class OrganisationQuerySet(models.QuerySet["Organisation"]):
    """Reads of the directory."""

    def matching(self, text: str) -> Self:
        """Organisations whose name, slug or credit code contains ``text``."""
        return self.filter(
            Q(name__icontains=text)
            | Q(name_en__icontains=text)
            | Q(slug__icontains=text)
            | Q(credit_code__icontains=text)
        )


class Organisation(Entity):
    """A legal person of the programme."""

    class Kind(models.TextChoices):
        ENTERPRISE = "enterprise", _("Enterprise")
        UNIVERSITY = "university", _("University")
        HOSPITAL = "hospital", _("Hospital")
        AGENCY = "agency", _("Agency")
        CENTRE_OPERATOR = "centre-operator", _("Compute-centre operator")
        PROGRAMME_OFFICE = "programme-office", _("Programme office")

    slug = models.SlugField(max_length=SLUG_LENGTH, unique=True)
    name = models.CharField(max_length=200)
    name_en = models.CharField(max_length=200, blank=True)
    kind = models.CharField(max_length=20, choices=Kind.choices)
    credit_code = models.CharField(max_length=18, unique=True)
    verified_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[models.Manager[Organisation]] = OrganisationQuerySet.as_manager()

    class Meta:
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["kind"])]

    def __str__(self) -> str:
        return self.name

    def resource(self, kind: str = "Organisation") -> Resource:
        """The organisation, or something new that will belong to it, as a policy sees it."""
        return Resource(kind, self.slug, organisation=self.pk)


class Membership(Entity):
    """A person's role in an organisation."""

    ROLES: ClassVar[list[tuple[str, Any]]] = [
        (Role.OWNER.value, _("Owner")),
        (Role.MANAGER.value, _("Manager")),
        (Role.MEMBER.value, _("Member")),
        (Role.AUDITOR.value, _("Auditor")),
    ]

    organisation = models.ForeignKey(
        Organisation, on_delete=models.CASCADE, related_name="memberships"
    )
    person = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=ROLES)
    duties = models.JSONField(default=list, blank=True)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["organisation", "person"], name="one_membership_each")
        ]

    def __str__(self) -> str:
        return f"{self.person} ({self.role})"

    @property
    def duty_titles(self) -> list[str]:
        """The duties in the active language; those of packs that are gone are left out."""
        return [spoken(DUTIES.duties[name]) for name in self.duties if name in DUTIES.duties]


class PlatformGrant(Entity):
    """A person's role for the platform as a whole."""

    ROLES: ClassVar[list[tuple[str, Any]]] = [
        (PlatformRole.OFFICER.value, _("Programme officer")),
        (PlatformRole.OPERATOR.value, _("Platform operator")),
        (PlatformRole.AUDITOR.value, _("Platform auditor")),
    ]

    person = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="platform_grants")
    role = models.CharField(max_length=10, choices=ROLES)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["person", "role"], name="one_platform_grant_each")
        ]

    def __str__(self) -> str:
        return f"{self.person} ({self.role})"


class Invitation(Entity):
    """A link that makes whoever opens it a member."""

    organisation = models.ForeignKey(
        Organisation, on_delete=models.CASCADE, related_name="invitations"
    )
    role = models.CharField(max_length=10, choices=Membership.ROLES)
    email = models.EmailField(blank=True)
    token_hash = models.CharField(max_length=64, unique=True)
    invited_by = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="+")
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)
    accepted_by = models.ForeignKey(
        Person, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    revoked_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.organisation} {self.role}"


class ApiToken(Entity):
    """A key for programs. Only its hash is stored."""

    person = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="tokens")
    name = models.CharField(max_length=80)
    hint = models.CharField(max_length=16)
    token_hash = models.CharField(max_length=64, unique=True)
    scopes = models.JSONField()
    expires_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.name

    def usable(self, at: datetime) -> bool:
        """Whether the token opens anything at ``at``."""
        return self.revoked_at is None and at < self.expires_at


class OwnershipQuerySet(models.QuerySet["Ownership"]):
    """Reads of the ownership graph."""

    def of(self, organisation_id: UUID) -> Self:
        """Holdings of an organisation, and holdings in it."""
        return self.filter(Q(owner_id=organisation_id) | Q(owned_id=organisation_id))

    def edges(self) -> Iterable[tuple[UUID, UUID, int]]:
        """All holdings as (owner, owned, percent)."""
        return self.values_list("owner_id", "owned_id", "percent")


class Ownership(Entity):
    """A holding of one organisation in another, for the related-party test."""

    owner = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="holdings")
    owned = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="holders")
    percent = models.PositiveSmallIntegerField()
    source = models.CharField(max_length=200)

    objects: ClassVar[OwnershipQuerySet] = OwnershipQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["owner", "owned"], name="one_holding_each"),
            models.CheckConstraint(
                condition=Q(percent__gte=1, percent__lte=100), name="holding_percent_1_100"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.owner} {self.percent} % {self.owned}"
