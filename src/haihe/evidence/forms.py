"""What visitors of the evidence pages may ask for, read from the address."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any
from uuid import UUID

from django import forms
from django.utils.translation import gettext_lazy as _

from haihe.evidence.domain import MAX_NAME_LENGTH
from haihe.evidence.labels import BROUGHT_KINDS, KINDS, kind_label
from haihe.policy.names import organisation_names


class LogFilter(forms.Form):
    """Which entries of the log to list."""

    kind = forms.ChoiceField(label=_("Kind"), required=False)
    subject = forms.CharField(label=_("Subject"), required=False, max_length=MAX_NAME_LENGTH)
    organisation = forms.UUIDField(label=_("Organisation"), required=False)

    def __init__(self, *args: Any, own: Iterable[UUID], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._offer_organisations(own)
        kinds = [(kind, kind_label(kind)) for kind in sorted({*KINDS, *BROUGHT_KINDS})]
        asked = self.data.get("kind")
        if asked and asked not in dict(kinds):
            kinds.append((asked, asked))
        self.fields["kind"].choices = [("", _("All kinds")), *kinds]  # type: ignore[attr-defined]

    def _offer_organisations(self, own: Iterable[UUID]) -> None:
        """The visitor's own organisations and the one that the address names, if any."""
        wanted = set(own)
        with suppress(ValueError):
            wanted.add(UUID(self.data.get("organisation", "")))
        names = sorted(organisation_names(wanted).items(), key=lambda item: item[1])
        choices = [("", _("All organisations")), *((str(key), name) for key, name in names)]
        self.fields["organisation"].widget = (
            forms.Select(choices=choices) if names else forms.HiddenInput()
        )
