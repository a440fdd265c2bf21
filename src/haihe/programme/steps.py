"""The steps of the chain, and what waits for somebody, as pages show them: words and where to go.

Pages are named by their URL's name, as menus name them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy

from haihe.programme.services.overview import NextStep, Overview

Label = str | Promise


@dataclass(frozen=True)
class Step:
    """One step of the chain with its figure, what the figure counts, and where its rows are."""

    label: Label
    icon: str
    definition: Label
    address: str
    count: int


@dataclass(frozen=True)
class Suggestion:
    """What somebody may do next."""

    text: str
    icon: str
    address: str


# Of each step: what is counted, its name, icon, what the figure means, and the page of its rows.
_CHAIN: tuple[tuple[str, Label, str, Label, str, str], ...] = (
    (
        "targets", _("Plan targets"), "target-arrow",
        _("targets of the current plans"), "programme:plans", "",
    ),
    (
        "applications", _("Applications"), "clipboard-list",
        _("for vouchers, however decided"), "programme:vouchers", "",
    ),
    (
        "vouchers", _("Vouchers"), "ticket",
        _("granted, closed ones included"), "programme:vouchers", "?state=reserved",
    ),
    ("datasets", _("Datasets"), "database", _("registered"), "data:datasets", ""),
    (
        "agreements", _("Agreements"), "writing-sign",
        _("proposed, accepted or ended"), "data:agreements", "",
    ),
    (
        "quotes", _("Quotes"), "receipt",
        _("given; an accepted one is a job"), "compute:jobs", "",
    ),
    ("jobs", _("Jobs"), "player-play", _("submitted"), "compute:jobs", ""),
    (
        "usage", _("Usage records"), "gauge",
        _("metered attempts"), "evidence:log", "?kind=job.metered",
    ),
    (
        "settlements", _("Settlements"), "coins",
        _("jobs paid for, to the fen"), "evidence:log", "?kind=job.settled",
    ),
    ("evaluations", _("Evaluations"), "scale", _("by the platform"), "packs:evaluations", ""),
    (
        "scenarios", _("Scenarios"), "bulb",
        _("accepted"), "programme:scenarios", "?state=accepted",
    ),
    (
        "indicators", _("Indicators"), "chart-line",
        _("targets that are measured"), "programme:indicators", "",
    ),
)  # fmt: skip

# Of each suggestion: what to do, an icon, and the page where it is done.
_NEXT: Mapping[str, tuple[Label, str, str, str]] = {
    "sign-in": (
        _("Sign in to apply for vouchers, run packs and share data"),
        "login", "account_login", "",
    ),
    "look-at-plan": (
        _("See what the plan asks for, and what has been reached"),
        "chart-line", "programme:indicators", "",
    ),
    "import-plan": (
        _("Import a plan: everything else serves its targets"),
        "upload", "programme:plan_import", "",
    ),
    "open-scheme": (
        _("Open a voucher scheme, so that firms can apply"),
        "plus", "programme:scheme_open", "",
    ),
    "review-vouchers": (
        ngettext_lazy(
            "%(count)s application waits for your review",
            "%(count)s applications wait for your review",
            "count",
        ),
        "ticket", "programme:vouchers", "?state=applied",
    ),
    "decide-scenarios": (
        ngettext_lazy(
            "%(count)s proposed scenario waits for your decision",
            "%(count)s proposed scenarios wait for your decision",
            "count",
        ),
        "bulb", "programme:scenarios", "?state=proposed",
    ),
    "register-organisation": (
        _("Register your organisation, or accept an invitation to one"),
        "building-community", "parties:new_organisation", "",
    ),
    "sign-contracts": (
        ngettext_lazy(
            "%(count)s contract waits for your signature",
            "%(count)s contracts wait for your signature",
            "count",
        ),
        "contract", "compute:contracts", "",
    ),
    "accept-agreements": (
        ngettext_lazy(
            "%(count)s agreement on data is offered to you",
            "%(count)s agreements on data are offered to you",
            "count",
        ),
        "writing-sign", "data:agreements", "",
    ),
    "apply-for-voucher": (
        ngettext_lazy(
            "%(count)s signed contract could have a voucher",
            "%(count)s signed contracts could have a voucher",
            "count",
        ),
        "ticket", "programme:schemes", "",
    ),
    "propose-scenario": (
        ngettext_lazy(
            "%(count)s scored evaluation could be proposed as a scenario",
            "%(count)s scored evaluations could be proposed as scenarios",
            "count",
        ),
        "bulb", "packs:evaluations", "?state=scored",
    ),
    "connect-centre": (
        _("Connect your compute centre, and set its prices"),
        "server-2", "compute:centre_new", "",
    ),
    "register-dataset": (
        _("Register your first dataset, under terms that you set"),
        "database", "data:dataset_new", "",
    ),
    "draw-up-contract": (
        _("Draw up a compute contract: vouchers are granted on contracts"),
        "contract", "compute:contract_new", "",
    ),
    "run-pack": (
        _("Run a pack, or a job of your own"), "player-play", "packs:packs", "",
    ),
}  # fmt: skip


def chain_steps(overview: Overview, *, measured: int) -> list[Step]:
    """The chain from a plan's targets to its indicators, each step with its figure."""
    counts = {**overview.counts, "indicators": measured}
    return [
        Step(label, icon, definition, reverse(page) + query, counts[key])
        for key, label, icon, definition, page, query in _CHAIN
    ]


def suggestions(steps: list[NextStep]) -> list[Suggestion]:
    """What waits for somebody, in words, and where it is done."""
    found = []
    for step in steps:
        text, icon, page, query = _NEXT[step.code]
        words = str(text % {"count": step.count}) if step.count else str(text)
        found.append(Suggestion(words, icon, reverse(page) + query))
    return found
