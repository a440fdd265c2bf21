"""What visitors of the evidence pages may ask for, read from the address."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from haihe.evidence.domain import MAX_NAME_LENGTH
from haihe.evidence.labels import KINDS


class LogFilter(forms.Form):
    """Which entries of the log to list."""

    kind = forms.ChoiceField(label=_("Kind"), required=False)
    subject = forms.CharField(label=_("Subject"), required=False, max_length=MAX_NAME_LENGTH)
    organisation = forms.UUIDField(label=_("Organisation id"), required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        kinds = sorted(KINDS.items())
        asked = self.data.get("kind")
        if asked and asked not in KINDS:
            kinds.append((asked, asked))
        self.fields["kind"].choices = [("", _("All kinds")), *kinds]  # type: ignore[attr-defined]
