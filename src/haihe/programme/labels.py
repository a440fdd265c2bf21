"""What states, conditions and changes are called on pages, and in which tone a state is shown.

The words of the API and the command line are the stable ones of the domain; these are their labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from haihe.kernel.phrases import translated
from haihe.kernel.texts import in_language, spoken, with_currency
from haihe.parties.models import Organisation
from haihe.programme.domain.changes import PlanChange
from haihe.programme.domain.plans import Target
from haihe.programme.domain.vouchers import Clause, Verdict, VoucherRules
from haihe.programme.models import Scenario, Voucher
from haihe.programme.services.plans import Indicator

Label = str | Promise

VOUCHER_TONES: Mapping[str, str] = {
    Voucher.State.APPLIED: "busy",
    Voucher.State.RESERVED: "good",
    Voucher.State.REFUSED: "bad",
    Voucher.State.WITHDRAWN: "idle",
    Voucher.State.CLOSED: "idle",
}
SCENARIO_TONES: Mapping[str, str] = {
    Scenario.State.PROPOSED: "busy",
    Scenario.State.ACCEPTED: "good",
    Scenario.State.DECLINED: "bad",
    Scenario.State.REVOKED: "warn",
}
PLAN_STATUS: Mapping[str, Label] = {
    "draft-for-comment": gettext_lazy("Draft for comment"),
    "adopted": gettext_lazy("Adopted"),
}
ROLES: Mapping[str, Label] = {
    "build": gettext_lazy("built into the platform"),
    "pack": gettext_lazy("carried by packs"),
    "track": gettext_lazy("tracked only"),
}
PARTS: Mapping[str, Label] = {
    "plan": gettext_lazy("Plan"),
    "target": gettext_lazy("Target"),
    "measure": gettext_lazy("Measure"),
    "system": gettext_lazy("System"),
}
CHANGES: Mapping[str, Label] = {
    "added": gettext_lazy("added"),
    "removed": gettext_lazy("removed"),
    "changed": gettext_lazy("changed"),
}
FIELDS: Mapping[str, Label] = {
    "title": gettext_lazy("Title"),
    "comparison": gettext_lazy("Comparison"),
    "value": gettext_lazy("Value"),
    "upper": gettext_lazy("Upper value"),
    "unit": gettext_lazy("Unit"),
    "scope": gettext_lazy("Scope"),
    "definition": gettext_lazy("Statistical definition"),
    "measures": gettext_lazy("Measures"),
    "indicator": gettext_lazy("Rule of the indicator"),
    "group": gettext_lazy("Group"),
    "units": gettext_lazy("Responsible units"),
    "measure": gettext_lazy("Measure"),
    "role": gettext_lazy("Role"),
    "status": gettext_lazy("Status"),
    "begins": gettext_lazy("Begins"),
    "ends": gettext_lazy("Ends"),
    "source": gettext_lazy("Source"),
    "notes": pgettext_lazy("plan", "Notes"),
}
SOURCE_STATUS: Mapping[str, Label] = {
    "V": gettext_lazy("Read at the source named"),
    "V2": gettext_lazy("Read in a secondary page"),
    "M": gettext_lazy("To be verified"),
    "own": gettext_lazy("This platform’s own"),
}
# What is judged of scenarios, and what rule sets of before had no clause for.
CONDITIONS: Mapping[str, Label] = {
    "scheme-window": gettext_lazy("Applied for while the scheme is open"),
    "declarations": gettext_lazy("All declarations are given"),
    "rules-in-force": gettext_lazy("The rules are in force, or the scheme goes by them"),
    "eligible-cost": gettext_lazy("Computing only, within the contract"),
    "score": gettext_lazy("The score is above its baseline"),
    "permuted-label control": gettext_lazy("Learning from shuffled labels ends at chance"),
}


def wanted(target: Target) -> str:
    """What a target asks for, in words."""
    if target.value is None:
        return _("not measurable as written")
    if target.comparison == "range":
        return _("%(low)s to %(high)s") % {"low": target.value, "high": target.upper}
    if target.comparison == "more-than":
        return _("more than %(value)s") % {"value": target.value}
    return _("at least %(value)s") % {"value": target.value}


def target_row(item: Indicator) -> dict[str, Any]:
    """A target as lists show it."""
    value = item.observation.value if item.observation else None
    words = wanted(item.target)
    return {
        "indicator": item,
        "plan": item.plan,
        "target": item.target,
        "wanted": words,
        "value": value,
        "most": item.target.upper or item.target.value or 0,
        "text": _("%(value)s, wanted is %(wanted)s") % {"value": value, "wanted": words},
        "tone": "good" if item.is_reached else "plain",
        "units": item.document.responsible_units(item.target),
    }


def verdict_rows(rules: VoucherRules, verdicts: list[Verdict]) -> list[dict[str, Any]]:
    """Verdicts as a table shows them: the condition in the words of the rule set."""
    clauses = {clause.code: clause for clause in rules.conditions}
    return [
        {
            "title": spoken(clauses.get(v.condition)) or CONDITIONS.get(v.condition, v.condition),
            "code": v.condition,
            "met": v.met,
            "value": _value(rules, v.condition, v.value),
            "threshold": _value(rules, v.condition, v.threshold),
        }
        for v in verdicts
    ]


def _value(rules: VoucherRules, condition: str, text: str) -> str:
    """A value or threshold with the codes in it written out."""
    text = with_currency(translated(text))
    if condition == "applicant-kind":
        for kind, label in Organisation.Kind.choices:
            text = text.replace(kind, str(label))
    if condition == "declarations":
        for clause in rules.declarations:
            text = text.replace(clause.code, spoken(clause))
        text = text.replace(", ", in_language("、", ", "))
    return text


def clause_rows(clauses: Iterable[Clause]) -> list[dict[str, Any]]:
    """Clauses of a rule set as a table shows them."""
    return [{"clause": clause, "status": source_status(clause.status)} for clause in clauses]


def source_status(status: str) -> Label:
    """How sure it is that a rule reads so; a status of another rule set's own is shown as it is."""
    return SOURCE_STATUS.get(status, status)


def change_rows(changes: list[PlanChange]) -> list[dict[str, Any]]:
    """Differences between versions of a plan as a table shows them."""
    return [
        {
            "part": PARTS[change.part],
            "key": change.key,
            "kind": CHANGES[change.kind],
            "tone": {"added": "good", "removed": "bad", "changed": "info"}[change.kind],
            "field": FIELDS.get(change.field, change.field),
            "before": _words(change.before),
            "after": _words(change.after),
        }
        for change in changes
    ]


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return spoken(value)
    if isinstance(value, tuple | list):
        return in_language("、", ", ").join(_words(item) for item in value)
    return "" if value is None else str(value)
