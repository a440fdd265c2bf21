"""Forms of datasets and agreements: they read what was typed; services decide."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from haihe.data.domain import MAX_DAYS, UsagePolicy, policy_from
from haihe.data.labels import PURPOSES
from haihe.kernel.forms import Refusable, offer
from haihe.kernel.ids import SLUG_LENGTH
from haihe.kernel.texts import called
from haihe.parties.models import Organisation


class SearchForm(forms.Form):
    """What narrows the catalogue."""

    text = forms.CharField(
        label=_("Title, description or holder"), required=False, max_length=SLUG_LENGTH
    )


class DatasetForm(Refusable):
    """A dataset's card and its terms."""

    title = forms.CharField(label=_("Title"), max_length=200)
    title_en = forms.CharField(label=_("Title in English"), max_length=200, required=False)
    description = forms.CharField(
        label=_("Description"),
        required=False,
        max_length=10_000,
        widget=forms.Textarea({"rows": 4}),
        help_text=_("What the rows are, how and when they were collected, what is missing."),
    )
    licence = forms.CharField(label=_("Licence"), max_length=200, required=False)
    purposes = forms.MultipleChoiceField(
        label=_("Purposes for which others may use it"),
        choices=list(PURPOSES.items()),
        widget=forms.CheckboxSelectMultiple,
    )
    days = forms.IntegerField(
        label=_("Days that one agreement lasts at most"),
        min_value=1,
        max_value=MAX_DAYS,
        initial=365,
    )
    download = forms.BooleanField(
        label=_("The content may leave the platform"),
        required=False,
        help_text=_("Without this, consumers read it in jobs only."),
    )
    standing = forms.BooleanField(
        label=_("Organisations may accept these terms without asking"),
        required=False,
        help_text=_("Holds while the dataset is published."),
    )

    centres = forms.CharField(
        label=_("Only in these centres"),
        required=False,
        max_length=4_000,
        widget=forms.Textarea({"rows": 2, "spellcheck": "false"}),
        help_text=_("Short names, one a line: jobs take it nowhere else. Empty for any centre."),
    )

    def policy(self) -> UsagePolicy:
        """The terms that were typed."""
        data = self.cleaned_data
        return policy_from({**data, "centres": data["centres"].split()})

    def card(self) -> dict[str, Any]:
        """The fields of the card."""
        return {
            name: self.cleaned_data[name]
            for name in ("title", "title_en", "description", "licence")
        }


class NewDatasetForm(DatasetForm):
    """A new dataset."""

    organisation = forms.ChoiceField(label=_("Holder"))
    slug = forms.SlugField(
        label=_("Short name"),
        max_length=SLUG_LENGTH,
        help_text=_("Lower-case letters, digits and hyphens; stands in addresses and commands."),
    )
    field_order = ("organisation", "slug")

    def __init__(self, *args: Any, organisations: Iterable[Organisation], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offer(self, "organisation", [(o.slug, called(o)) for o in organisations])
        self.order_fields(self.field_order)


class VersionForm(Refusable):
    """A file that becomes the next version."""

    file = forms.FileField(
        label=_("File"),
        help_text=_("CSV in UTF-8 with a header line, or Parquet; the name says which."),
        widget=forms.ClearableFileInput({"accept": ".csv,.parquet"}),
        allow_empty_file=True,  # the service says why an empty file is refused
    )
    source = forms.CharField(
        label=_("Source"),
        required=False,
        max_length=1_000,
        help_text=_("Where the content comes from: a system, a survey, a publication."),
    )


class TermsForm(Refusable):
    """Purpose and days of an agreement, within what the policy admits."""

    purpose = forms.ChoiceField(label=_("Purpose"))
    days = forms.IntegerField(label=_("Days"), min_value=1)

    def __init__(self, *args: Any, policy: UsagePolicy, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offer(self, "purpose", [(p, PURPOSES[p]) for p in policy.purposes])
        self.initial.setdefault("days", policy.days)


class ProposalForm(TermsForm):
    """Terms that the holder offers to an organisation."""

    consumer = forms.CharField(
        label=_("Consumer"),
        max_length=SLUG_LENGTH,
        help_text=_("Short name of the organisation, as in the directory."),
    )
    field_order = ("consumer",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.order_fields(self.field_order)


class AcceptanceForm(TermsForm):
    """Standing terms that the caller accepts for an organisation."""

    organisation = forms.ChoiceField(label=_("Consumer"))
    field_order = ("organisation",)

    def __init__(self, *args: Any, organisations: Iterable[Organisation], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offer(self, "organisation", [(o.slug, called(o)) for o in organisations])
        self.order_fields(self.field_order)
