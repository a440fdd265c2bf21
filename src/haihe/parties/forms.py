"""Forms of the parties' pages: they read what was typed; the services hold the rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from haihe.kernel.errors import HaiheError
from haihe.kernel.forms import Refusable, offer
from haihe.kernel.texts import spoken
from haihe.parties.domain import EMAIL_LENGTH, LINE_LENGTH, PERSON_NAME_LENGTH, TOKEN_NAME_LENGTH
from haihe.parties.errors import BadCreditCode
from haihe.parties.models import Membership, Organisation, PlatformGrant
from haihe.parties.services.people import TOKEN_DAYS_LIMIT
from haihe.policy.domain import DUTIES, READ, SCOPES, Role

SCOPE_TEXTS: Mapping[str, str | Promise] = {
    "read": _("Read what you may read"),
    "parties": _("Register and change organisations, members and invitations"),
    "ledger": _("Record deposits"),
    "evidence": _("Act on the evidence log"),
    "data": _("Register, share and download datasets"),
    "compute": _("Run jobs; connect centres and set offers"),
    "packs": _("Run packs and record evaluations"),
    "programme": _("Apply for vouchers; run plans, schemes and scenarios"),
    "admin": _("Manage tokens, roles and the platform itself"),
}


class FieldForm(Refusable):
    """A form that shows a refusal beside the field it speaks of, if it speaks of one."""

    def add_error(self, field: str | None, error: Any) -> None:
        """Add an error; one that a service raised goes to its field."""
        if field is None and self.refusal is not None:
            field = self._field_of(self.refusal)
        super().add_error(field, error)

    def _field_of(self, refusal: HaiheError) -> str | None:
        if isinstance(refusal, BadCreditCode):
            return "credit_code"
        name = refusal.params().get("field")
        return name if name in self.fields else None


class DirectoryFilter(forms.Form):
    """Which organisations of the directory to list."""

    text = forms.CharField(
        label=_("Search"),
        required=False,
        max_length=LINE_LENGTH,
    )
    kind = forms.ChoiceField(
        label=_("Kind"), required=False, choices=[("", _("All kinds")), *Organisation.Kind.choices]
    )


class NamesForm(FieldForm):
    """The names on an organisation's card."""

    name = forms.CharField(
        label=_("Name"),
        max_length=LINE_LENGTH,
        help_text=_("As registered, in the language of the registration."),
    )
    name_en = forms.CharField(label=_("Name in English"), required=False, max_length=LINE_LENGTH)


class OrganisationForm(NamesForm):
    """A new organisation."""

    slug = forms.CharField(
        label=_("Short name"),
        max_length=80,
        help_text=_(
            "For addresses and commands; lower-case letters, digits and hyphens. It stays."
        ),
    )
    kind = forms.ChoiceField(label=_("Kind"), choices=Organisation.Kind.choices)
    credit_code = forms.CharField(
        label=_("Unified social credit code"),
        max_length=40,
        help_text=_("18 characters, from the business licence. It stays."),
    )
    field_order = ("name", "name_en", "slug", "kind", "credit_code")


class RoleForm(FieldForm):
    """A member's role, and what they are entrusted with in packs, if any pack has duties."""

    role = forms.ChoiceField(label=_("Role"), choices=Membership.ROLES)
    duties = forms.MultipleChoiceField(
        label=_("Duties in packs"), required=False, widget=forms.CheckboxSelectMultiple
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offer(self, "duties", [(duty.name, spoken(duty)) for duty in DUTIES.duties.values()])
        if not DUTIES.duties:
            del self.fields["duties"]


class InvitationForm(FieldForm):
    """A new invitation."""

    role = forms.ChoiceField(label=_("Role"), choices=Membership.ROLES, initial=Role.MEMBER.value)
    email = forms.EmailField(
        label=_("E-mail address"),
        required=False,
        max_length=EMAIL_LENGTH,
        help_text=_("A note for yourself: send the link there. Haihe sends no mail."),
    )


class OwnershipForm(FieldForm):
    """A share that another organisation holds in this one."""

    owner = forms.CharField(
        label=_("Holder"), max_length=80, help_text=_("The short name of an organisation.")
    )
    percent = forms.IntegerField(
        label=_("Share, %"), min_value=0, max_value=100, help_text=_("0 ends the holding.")
    )
    source = forms.CharField(
        label=_("Source"), max_length=LINE_LENGTH, help_text=_("Where this is read from.")
    )


class ProfileForm(FieldForm):
    """One's own name and language."""

    name = forms.CharField(label=_("Name"), max_length=PERSON_NAME_LENGTH)
    language = forms.ChoiceField(label=_("Language"), choices=settings.LANGUAGES)


class TokenForm(FieldForm):
    """A new API token."""

    name = forms.CharField(
        label=_("Name"), max_length=TOKEN_NAME_LENGTH, help_text=_("What will use the token.")
    )
    scopes = forms.MultipleChoiceField(
        label=_("What it may do"),
        widget=forms.CheckboxSelectMultiple,
        initial=[READ],
        help_text=_("Never more than you may yourself."),
    )
    days = forms.IntegerField(
        label=_("Valid for, days"), min_value=1, max_value=TOKEN_DAYS_LIMIT, initial=90
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offer(self, "scopes", [(scope, SCOPE_TEXTS[scope]) for scope in SCOPES])


class PlatformRoleForm(FieldForm):
    """A role for the whole platform."""

    email = forms.CharField(label=_("E-mail address"), max_length=EMAIL_LENGTH)
    role = forms.ChoiceField(label=_("Role"), choices=PlatformGrant.ROLES)
