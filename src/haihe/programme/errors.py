"""Errors of the programme: plans, vouchers, scenarios."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from haihe.kernel.errors import Conflict, Invalid, Refused, gettext_noop


@dataclass(kw_only=True, eq=False)
class BadPlan(Invalid):
    """A plan file that cannot be imported; the error names the place."""

    code: ClassVar[str] = "programme.bad_plan"
    template: ClassVar[str] = gettext_noop("Plan file: {place} {rule}.")

    place: str
    rule: str


@dataclass(kw_only=True, eq=False)
class PlanExists(Conflict):
    """This version of a plan is already in, with the same or another content."""

    code: ClassVar[str] = "programme.plan_exists"
    template: ClassVar[str] = gettext_noop(
        "Version {version} of plan {slug} is imported. Give a changed plan a higher version."
    )

    slug: str
    version: int


@dataclass(kw_only=True, eq=False)
class BadRules(Invalid):
    """A voucher rule file that cannot be used."""

    code: ClassVar[str] = "programme.bad_rules"
    template: ClassVar[str] = gettext_noop("Rule file: {place} {rule}.")

    place: str
    rule: str


@dataclass(kw_only=True, eq=False)
class SchemeExists(Conflict):
    """A scheme with this slug is open."""

    code: ClassVar[str] = "programme.scheme_exists"
    template: ClassVar[str] = gettext_noop("A voucher scheme {slug!r} exists. Choose another slug.")

    slug: str


@dataclass(kw_only=True, eq=False)
class VoucherRefused(Refused):
    """An application that does not meet a condition of the scheme's rules."""

    code: ClassVar[str] = "programme.voucher_refused"
    template: ClassVar[str] = gettext_noop(
        "Condition {condition!r} is not met: {value}; the rule asks for {threshold}."
    )

    condition: str
    value: str
    threshold: str


@dataclass(kw_only=True, eq=False)
class NothingToPay(Refused):
    """A provider holds no redeemed vouchers of the scheme."""

    code: ClassVar[str] = "programme.nothing_to_pay"
    template: ClassVar[str] = gettext_noop(
        "{provider} holds no redeemed vouchers of {scheme}; there is nothing to pay."
    )

    provider: str
    scheme: str


@dataclass(kw_only=True, eq=False)
class ScenarioRefused(Refused):
    """An evaluation that cannot be recognised as a scenario."""

    code: ClassVar[str] = "programme.scenario_refused"
    template: ClassVar[str] = gettext_noop(
        "The evaluation cannot become a scenario: {condition} is {value}, needed is {threshold}."
    )

    condition: str
    value: str
    threshold: str


@dataclass(kw_only=True, eq=False)
class AlreadyProposed(Conflict):
    """An evaluation is proposed as a scenario once."""

    code: ClassVar[str] = "programme.already_proposed"
    template: ClassVar[str] = gettext_noop(
        "Evaluation {evaluation} was proposed as scenario {scenario}."
    )

    evaluation: str
    scenario: str
