"""What purposes are called on pages, and in which tone the states of agreements are shown."""

from __future__ import annotations

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

PURPOSES: Mapping[str, str | Promise] = {
    "research": _("Research"),
    "training": _("Training models"),
    "evaluation": _("Evaluating models"),
    "service": _("Running a service"),
}
AGREEMENT_TONES: Mapping[str, str] = {"proposed": "info", "accepted": "good", "ended": "idle"}
