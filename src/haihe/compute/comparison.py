"""A choice of a centre as pages show it: each pool with its terms, or with what stands against it.

The words of the API are those of :mod:`haihe.compute.domain.choice`; here they get labels, units
and the reader's language.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from haihe.compute.domain import Objective
from haihe.compute.domain.choice import Check, Choice, Term, Verdict
from haihe.compute.labels import Label
from haihe.compute.quantities import duration, energy, percent, quantity, size, weight
from haihe.kernel.errors import gettext_noop
from haihe.kernel.phrases import translated
from haihe.kernel.texts import with_currency

OBJECTIVES: Mapping[str, Label] = {
    Objective.BALANCED: pgettext_lazy("objective", "Balanced"),
    Objective.CHEAPEST: pgettext_lazy("objective", "Cheapest"),
    Objective.SOONEST: pgettext_lazy("objective", "Soonest"),
    Objective.GREENEST: pgettext_lazy("objective", "Greenest"),
}
TERMS: Mapping[str, Label] = {
    "price": gettext_lazy("Price after vouchers"),
    "start": gettext_lazy("Expected start"),
    "transfer": gettext_lazy("Moving the inputs"),
    "energy": gettext_lazy("Energy"),
    "carbon": gettext_lazy("Carbon"),
    "reliability": gettext_lazy("Reliability"),
}
# What the filters of back-ends, allocations and funds say of themselves.
THERE = (
    gettext_noop("no allocation today"),
    gettext_noop("starts a job on one node only"),
    gettext_noop("runs all jobs as one user, and the person has an account of their own there"),
    gettext_noop("the allocation would be exceeded"),
    gettext_noop("{0} needed, {1} there"),
    gettext_noop("{0} needed, {1} left in the contract"),
    gettext_noop("its cost could be more than any amount"),
)


def comparison(choice: Choice, facts: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A choice for ``<c-compute.comparison>``, the best pool first.

    ``facts`` are those that the choice was made from, where more is to be said than the terms do.
    A pool that would do at another hour is shown twice: with its terms, and with what it lacks now.
    """
    known = {one["pool"]: one for one in facts["pools"]} if facts else {}
    able = sorted(
        (verdict for verdict in choice.verdicts if verdict.score is not None),
        key=lambda verdict: (-(verdict.score or 0.0), verdict.pool),
    )
    return {
        "objective": OBJECTIVES.get(choice.objective, choice.objective),
        "columns": [
            {"label": label, "weight": percent(choice.weights.get(name, 0.0))}
            for name, label in TERMS.items()
            if name in choice.weights
        ],
        "able": [_able(one, choice.chosen, known.get(one.pool, {})) for one in able],
        "unable": [
            {**_named(one), "reasons": [refusal(check) for check in one.failed]}
            for one in choice.verdicts
            if one.failed
        ],
    }


def refusal(check: Check) -> str:
    """What stands against a pool, in words."""
    return _REFUSALS[check.name](check)


def _named(verdict: Verdict) -> dict[str, str]:
    centre, _slash, slug = verdict.pool.partition("/")
    return {"pool": verdict.pool, "centre": centre, "slug": slug}


def _able(verdict: Verdict, chosen: str | None, facts: Mapping[str, Any]) -> dict[str, Any]:
    terms = {term.name: term for term in verdict.terms}
    return {
        **_named(verdict),
        "score": f"{verdict.score:.3f}",
        "is_chosen": verdict.pool == chosen,
        "cells": [
            _cell(terms[name], label, facts) for name, label in TERMS.items() if name in terms
        ],
    }


def _cell(term: Term, label: Label, facts: Mapping[str, Any]) -> dict[str, Any]:
    """One term: its value in words, and what it scores. A price is left to ``<c-money>``."""
    value = term.value
    cell: dict[str, Any] = {"label": label, "score": f"{term.score:.2f}", "text": "", "note": ""}
    if value is None:
        return {**cell, "text": _("not known")}
    match term.name:
        case "price":
            whole = facts.get("amount_micro")
            before = whole if whole is not None and whole != value else None
            return {**cell, "amount_micro": int(value), "before_micro": before}
        case "start":
            return {
                **cell,
                "text": _("in %(time)s") % {"time": duration(value)} if value else _("at once"),
            }
        case "transfer":
            moved = facts.get("bytes_to_move", 0)
            text = duration(value) if value else _("at once")
            return {**cell, "text": text, "note": size(moved) if moved else ""}
        case "energy":
            return {**cell, "text": energy(value)}
        case "carbon":
            return {**cell, "text": _("%(weight)s CO₂") % {"weight": weight(value)}}
        case _:
            return {**cell, "text": percent(value)}


# --- filters -------------------------------------------------------------------------------------

_RESOURCES: Mapping[str, tuple[Callable[[int], str], str]] = {
    "cpu_milli": (quantity, gettext_noop("needs %(asked)s CPUs, has %(there)s")),
    "memory_bytes": (size, gettext_noop("needs %(asked)s of memory, has %(there)s")),
    "gpu_milli": (quantity, gettext_noop("needs %(asked)s GPUs, has %(there)s")),
}


def _resources(check: Check) -> str:
    (asked, resource), (there, *_rest) = check.asked.split(), check.there.split()
    shown, text = _RESOURCES[resource]
    return _(text) % {"asked": shown(int(asked)), "there": shown(int(there))}


def _accelerator(check: Check) -> str:
    if not check.there:
        return _("has no accelerator; %(asked)s is asked for") % vars(check)
    return _("has %(there)s, not %(asked)s") % vars(check)


def _heard(check: Check) -> str:
    if check.there:
        return _("its scheduler does not answer: %(there)s") % vars(check)
    return _("its centre is not heard of")


def _maintenance(check: Check) -> str:
    times = _times(check)
    if times["there"] == 0:
        return _("is under maintenance")
    return _("maintenance begins in %(there)s, and the job could end in %(asked)s only") % _said(
        times
    )


def _deadline(check: Check) -> str:
    return _("the job could end in %(there)s only, and its deadline is in %(asked)s") % _said(
        _times(check)
    )


def _times(check: Check) -> dict[str, float]:
    """Two lengths of time in seconds, which a check writes as ``12 s``."""
    return {"asked": float(check.asked.split()[0]), "there": float(check.there.split()[0])}


def _said(times: Mapping[str, float]) -> dict[str, str]:
    return {name: duration(length_s) for name, length_s in times.items()}


def _kept(text: str) -> Callable[[Check], str]:
    return lambda check: _(text) % vars(check)


def _own_words(check: Check) -> str:
    return with_currency(translated(check.there))


_HELD = gettext_noop("%(asked)s needed, %(there)s held")
_REFUSALS: Mapping[str, Callable[[Check], str]] = {
    "wished": _kept(gettext_noop("is not among the centres that were asked for")),
    "open": _kept(gettext_noop("takes no jobs now")),
    "heard": _heard,
    "resources": _resources,
    "nodes": _kept(gettext_noop("%(there)s of its nodes fit, %(asked)s are needed")),
    "backend": _own_words,
    "accelerator": _accelerator,
    "software": _kept(gettext_noop("lacks %(asked)s")),
    "inputs": _kept(gettext_noop("%(there)s may not go there")),
    "account": _kept(gettext_noop("the person has no account there")),
    "contract": _kept(gettext_noop("is not of the contract's provider")),
    "price": _kept(gettext_noop("no offer now")),
    "allocation": _own_words,
    "held": lambda check: with_currency(_(_HELD) % vars(check)),
    "funds": _own_words,
    "maintenance": _maintenance,
    "deadline": _deadline,
    "room": _kept(gettext_noop("no room now")),
    "pieces": _kept(gettext_noop("its free room is in pieces too small for the job")),
    "reserved": _kept(gettext_noop("its free room is kept for job %(there)s, which comes first")),
}
