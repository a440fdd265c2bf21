"""What the style guide shows: content shaped like real pages, about no real party."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from haihe.kernel.clock import now
from haihe.kernel.money import MICRO
from haihe.kernel.pagination import Page

HASH = "sha256:9f2c4e1ab7d05f8836c1d2e4a90b7c55e1f3d8a26b4c7e9f0a1b2c3d4e5f6071"
JOBS = [
    ("train-segmentation-3", _("Imaging institute"), "busy", _("Running"), 41, 1_284_500_000),
    ("clean-registry-2025", _("Statistics bureau"), "good", _("Succeeded"), 9, 82_140_000),
    ("evaluate-triage", _("Second hospital"), "bad", _("Failed"), 1, 3_500_000),
    ("forecast-berths", _("Port company"), "idle", _("Waiting"), 0, None),
    (
        "label-street-view",
        _("University laboratory"),
        "warn",
        _("Over its time limit"),
        25,
        640_000,
    ),
]
LOG = """\
08:31:02 placed on pool gpu-a, node 7
08:31:04 inputs mounted: chest-films@3 (12,480 files)
08:31:09 epoch 1/20  loss 0.6931  1,104 images/s
08:33:15 epoch 2/20  loss 0.4127  1,118 images/s
08:35:20 epoch 3/20  loss 0.3302  1,121 images/s
"""


class ExampleForm(forms.Form):
    """One field of each sort."""

    name = forms.CharField(label=_("Name"), max_length=80)
    slug = forms.SlugField(
        label=_("Short name"), help_text=_("Lower-case letters, digits and hyphens.")
    )
    kind = forms.ChoiceField(
        label=_("Kind"), choices=[("firm", _("Enterprise")), ("lab", _("University"))]
    )
    terms = forms.ChoiceField(
        label=_("Terms of use"),
        widget=forms.RadioSelect,
        choices=[("open", _("Open to everybody")), ("agreed", _("Under an agreement"))],
    )
    note = forms.CharField(label=_("Note"), required=False, widget=forms.Textarea({"rows": 3}))
    accept = forms.BooleanField(label=_("I have read the terms of use."))


def content() -> dict[str, Any]:
    """Everything the style guide's template needs."""
    instant = now()
    return {
        "instant": instant,
        "events": _events(instant),
        "jobs": _jobs(instant),
        "bars": _bars(),
        "days": _days(instant),
        "series": _series(instant),
        "series_begins": instant - timedelta(days=7),
        "hash": HASH,
        "log": LOG,
        "amount": 12_345_678 * MICRO + 500_000,
        "page": Page[Any](items=[], next_cursor="AZOoZbh0cRk"),
        "document": {"job": "train-segmentation-3", "gpu_milli": 2000, "inputs": ["chest-films@3"]},
        "form": ExampleForm(),
        "wrong_form": _wrong_form(),
        "filter_form": ExampleForm(prefix="filter"),
    }


def _jobs(instant: datetime) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "organisation": organisation,
            "tone": tone,
            "state": state,
            "hours": hours,
            "cost": cost,
            "submitted": instant - timedelta(hours=7 * index + 1, minutes=12),
        }
        for index, (name, organisation, tone, state, hours, cost) in enumerate(JOBS)
    ]


def _events(instant: datetime) -> list[dict[str, Any]]:
    steps = [
        (_("Voucher reserved"), "idle", "ticket", 190),
        (_("Job placed"), "info", "server-2", 180),
        (_("Usage recorded"), "info", "gauge", 12),
        (_("Settled: voucher redeemed, provider paid"), "good", "check", 2),
    ]
    return [
        {"title": title, "tone": tone, "icon": icon, "time": instant - timedelta(minutes=minutes)}
        for title, tone, icon, minutes in steps
    ]


def _bars() -> list[dict[str, Any]]:
    return [
        {"label": _("Open datasets"), "value": 132, "target": 150},
        {"label": _("Connected centres"), "value": 9, "target": 12},
        {"label": _("Accepted scenarios"), "value": 48, "target": 40, "tone": "good"},
    ]


def _days(instant: datetime) -> list[tuple[str, int]]:
    values = [310, 322, 340, 338, 361, 405, 398, 402, 431, 447, 440, 468, 501, 512]
    first = instant.date() - timedelta(days=len(values) - 1)
    return [((first + timedelta(days=day)).isoformat(), value) for day, value in enumerate(values)]


def _series(instant: datetime) -> list[dict[str, Any]]:
    """A week by the hour; for half a day nothing was measured."""
    hours = [hour for hour in range(168) if not 60 <= hour < 72]
    begins = instant - timedelta(days=7)

    def points(level: int, swing: int) -> list[tuple[datetime, float]]:
        return [(begins + timedelta(hours=h), level + swing * (h % 24 - 12) / 12) for h in hours]

    return [
        {"label": _("CPU"), "points": points(60, 25)},
        {"label": _("Memory"), "points": points(40, 10)},
        {"label": _("GPU"), "points": points(75, -15)},
    ]


def _wrong_form() -> ExampleForm:
    form = ExampleForm({"name": "", "slug": "Not a slug!", "kind": "firm"}, prefix="wrong")
    form.is_valid()
    form.data = {"wrong-slug": "Not a slug!"}
    form.add_error(None, _("The organisation is not verified yet."))
    return form
