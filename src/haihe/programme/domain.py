"""Rules of the programme: what a plan is, when a voucher is granted, how an indicator counts.

All of it is data given in files and evidence; the functions here are pure, so that a decision can
be taken again later from the same facts under the rules of that day.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from haihe.kernel.money import format_micro, parse_amount_micro
from haihe.programme.errors import BadPlan, BadRules

Text = Mapping[str, str]


# --- plans ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class IndicatorRule:
    """How an indicator counts: subjects of evidence of one kind, less those of another."""

    counts: str
    less: str


@dataclass(frozen=True)
class Target:
    """A value to reach. ``value`` is None for one that cannot be measured as written."""

    code: str
    title: Text
    comparison: str
    value: int | None
    upper: int | None
    unit: Text
    scope: Text
    definition: Text
    measures: tuple[str, ...]
    indicator: IndicatorRule | None


@dataclass(frozen=True)
class Measure:
    """A task of the plan with its units; the first is the lead by convention."""

    id: str
    group: Text
    title: Text
    units: tuple[Text, ...]


@dataclass(frozen=True)
class System:
    """A system, platform or mechanism that the plan names."""

    id: str
    measure: str
    role: str
    title: Text


@dataclass(frozen=True)
class PlanDocument:
    """A plan as its file says it."""

    slug: str
    version: int
    status: str
    title: Text
    begins: date
    ends: date
    source: Text
    notes: tuple[Text, ...]
    targets: tuple[Target, ...]
    measures: tuple[Measure, ...]
    systems: tuple[System, ...]

    def target(self, code: str) -> Target | None:
        """The target with this code."""
        return next((target for target in self.targets if target.code == code), None)

    def measure(self, identity: str) -> Measure | None:
        """The measure with this id."""
        return next((measure for measure in self.measures if measure.id == identity), None)


COMPARISONS = ("at-least", "more-than", "range", "qualitative")
ROLES = ("build", "pack", "track")
NO_TEXT: Text = {"zh": "", "en": ""}


def plan_from(data: Mapping[str, Any]) -> PlanDocument:
    """Read a plan from the content of its TOML file, and check that all of it refers to itself.

    Raises
    ------
    BadPlan
        If a key is missing, a text lacks a language, or a reference leads nowhere.
    """
    head = _key(data, "plan", "the file")
    groups, units = _key(data, "groups", "the file"), _key(data, "units", "the file")
    measures = tuple(_measure(item, groups, units) for item in _key(data, "measures", "the file"))
    known = {measure.id for measure in measures}
    targets = tuple(_target(item, known) for item in _key(data, "targets", "the file"))
    systems = tuple(_system(item, known) for item in data.get("systems", ()))
    for name, ids in (
        ("measures", [measure.id for measure in measures]),
        ("targets", [target.code for target in targets]),
        ("systems", [system.id for system in systems]),
    ):
        doubled = sorted({identity for identity in ids if ids.count(identity) > 1})
        if doubled:
            raise BadPlan(place=name, rule=f"has {doubled[0]} twice")
    return PlanDocument(
        slug=_key(head, "slug", "[plan]"),
        version=_key(head, "version", "[plan]"),
        status=_key(head, "status", "[plan]"),
        title=_text(head, "title", "[plan]"),
        begins=_date(head, "begins"),
        ends=_date(head, "ends"),
        source=_text(head, "source", "[plan]"),
        notes=tuple(_both(note, "[[notes]]") for note in data.get("notes", ())),
        targets=targets,
        measures=measures,
        systems=systems,
    )


def _key(table: Any, key: str, place: str) -> Any:
    if not isinstance(table, Mapping) or key not in table:
        raise BadPlan(place=place, rule=f"lacks {key!r}")
    return table[key]


def _both(value: Any, place: str) -> Text:
    if not isinstance(value, Mapping) or not all(
        isinstance(value.get(language), str) for language in ("zh", "en")
    ):
        raise BadPlan(place=place, rule="needs a text in zh and in en")
    return {"zh": value["zh"], "en": value["en"]}


def _text(table: Mapping[str, Any], key: str, place: str) -> Text:
    return _both(_key(table, key, place), f"{place} {key}")


def _date(table: Mapping[str, Any], key: str) -> date:
    value = _key(table, key, "[plan]")
    if isinstance(value, str):
        try:
            return date.fromisoformat(value)
        except ValueError:
            raise BadPlan(place=f"[plan] {key}", rule="is no date") from None
    if not isinstance(value, date):
        raise BadPlan(place=f"[plan] {key}", rule="is no date")
    return value


def _measure(item: Mapping[str, Any], groups: Any, units: Any) -> Measure:
    identity = str(_key(item, "id", "[[measures]]"))
    place = f"measure {identity}"
    return Measure(
        id=identity,
        group=_both(_key(groups, _key(item, "group", place), f"{place}: [groups]"), place),
        title=_text(item, "title", place),
        units=tuple(
            _both(_key(units, unit, f"{place}: [units]"), f"unit {unit}")
            for unit in _key(item, "units", place)
        ),
    )


def _target(item: Mapping[str, Any], measures: set[str]) -> Target:
    code = str(_key(item, "code", "[[targets]]"))
    place = f"target {code}"
    comparison = _key(item, "comparison", place)
    if comparison not in COMPARISONS:
        raise BadPlan(place=place, rule=f"compares {comparison!r}, not {', '.join(COMPARISONS)}")
    if comparison != "qualitative" and not isinstance(item.get("value"), int):
        raise BadPlan(place=place, rule="needs a whole number as value")
    unknown = [measure for measure in item.get("measures", ()) if measure not in measures]
    if unknown:
        raise BadPlan(place=place, rule=f"names measure {unknown[0]}, which is not there")
    rule = item.get("indicator")
    return Target(
        code=code,
        title=_text(item, "title", place),
        comparison=comparison,
        value=item.get("value"),
        upper=item.get("upper"),
        unit=_both(item.get("unit", NO_TEXT), place),
        scope=_text(item, "scope", place),
        definition=_text(item, "definition", place),
        measures=tuple(item.get("measures", ())),
        indicator=IndicatorRule(_key(rule, "counts", place), rule.get("less", ""))
        if rule
        else None,
    )


def _system(item: Mapping[str, Any], measures: set[str]) -> System:
    identity = str(_key(item, "id", "[[systems]]"))
    place = f"system {identity}"
    measure, role = str(_key(item, "measure", place)), _key(item, "role", place)
    if measure not in measures or role not in ROLES:
        raise BadPlan(place=place, rule=f"has measure {measure!r} and role {role!r}")
    return System(identity, measure, role, _text(item, "title", place))


def plan_difference(old: PlanDocument, new: PlanDocument) -> list[str]:
    """What a new version changes, a line each."""
    lines = []
    for name, before, after in (
        ("target", {t.code: t for t in old.targets}, {t.code: t for t in new.targets}),
        ("measure", {m.id: m for m in old.measures}, {m.id: m for m in new.measures}),
        ("system", {s.id: s for s in old.systems}, {s.id: s for s in new.systems}),
    ):
        lines += [f"{name} {key} removed" for key in before if key not in after]
        lines += [f"{name} {key} added" for key in after if key not in before]
        lines += [
            f"{name} {key} changed: {field} {getattr(before[key], field)} -> "
            f"{getattr(after[key], field)}"
            for key in before
            if key in after
            for field in before[key].__dataclass_fields__
            if getattr(before[key], field) != getattr(after[key], field)
        ]
    return lines


# --- indicators ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fact:
    """One logged fact as an indicator sees it."""

    entry_id: str
    at: datetime
    kind: str
    subject: str


@dataclass(frozen=True)
class Observation:
    """A measured value, and the facts that make it up: no number without evidence."""

    value: int
    as_of: datetime
    facts: tuple[Fact, ...]


def observe(rule: IndicatorRule, facts: Iterable[Fact], *, as_of: datetime) -> Observation:
    """Count the subjects that are counted and not taken back at ``as_of``.

    The last fact about a subject decides; facts after ``as_of`` are not yet known.
    """
    last: dict[str, Fact] = {}
    for fact in facts:
        if fact.at <= as_of and fact.kind in (rule.counts, rule.less):
            last[fact.subject] = fact
    counted = tuple(fact for fact in last.values() if fact.kind == rule.counts)
    return Observation(len(counted), as_of, counted)


# --- vouchers ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Clause:
    """A condition or declaration of a rule set, in words, with the status of its source."""

    code: str
    zh: str
    en: str
    status: str


@dataclass(frozen=True)
class VoucherRules:
    """A dated rule set for compute vouchers."""

    slug: str
    title: Text
    source: str
    status: str
    in_force_from: date
    in_force_until: date
    ratio_percent: int
    cap_micro: int
    contract_from: date
    contract_days_at_most: int
    applicants: tuple[str, ...]
    related_from_percent: int
    conditions: tuple[Clause, ...]
    declarations: tuple[Clause, ...]


@dataclass(frozen=True, kw_only=True)
class ApplicationFacts:
    """What is known when an application is judged. Amounts in micro-units."""

    amount_micro: int
    applicant_kind: str
    eligible_micro: int
    contract_signed_on: date | None
    contract_begins_on: date
    contract_ends_on: date
    other_vouchers: Sequence[str]
    granted_this_year_micro: int
    pool_micro: int
    relation: Sequence[str] | None
    declared: frozenset[str]


@dataclass(frozen=True)
class Verdict:
    """How one condition came out."""

    condition: str
    met: bool
    value: str
    threshold: str


def rules_from(data: Mapping[str, Any]) -> VoucherRules:
    """Read a rule set from the content of its TOML file."""
    try:
        head = data["rules"]
        return VoucherRules(
            slug=head["slug"],
            title=_both(head["title"], "title"),
            source=head["source"],
            status=head["status"],
            in_force_from=_day(head["in_force_from"]),
            in_force_until=_day(head["in_force_until"]),
            ratio_percent=_percent(head["ratio_percent"]),
            cap_micro=parse_amount_micro(head["cap_per_firm_and_year"]),
            contract_from=_day(head["contract_from"]),
            contract_days_at_most=int(head["contract_days_at_most"]),
            applicants=tuple(head["applicants"]),
            related_from_percent=_percent(head["related_from_percent"]),
            conditions=tuple(Clause(**item) for item in data["conditions"]),
            declarations=tuple(Clause(**item) for item in data["declarations"]),
        )
    except KeyError as error:
        raise BadRules(place="[rules]", rule=f"lacks {error}") from None
    except (TypeError, ValueError) as error:
        raise BadRules(place="[rules]", rule=f"cannot be read: {error}") from None


def _day(value: object) -> date:
    return value if isinstance(value, date) else date.fromisoformat(str(value))


def _percent(value: object) -> int:
    if not isinstance(value, int) or not 1 <= value <= 100:
        raise ValueError(f"{value!r} is no percentage from 1 to 100")
    return value


def ceiling_micro(rules: VoucherRules, facts: ApplicationFacts) -> int:
    """The most that could be granted: the ratio, what is left of the cap, and of the pool."""
    return max(
        0,
        min(
            facts.eligible_micro * rules.ratio_percent // 100,
            rules.cap_micro - facts.granted_this_year_micro,
            facts.pool_micro,
        ),
    )


def judge(rules: VoucherRules, facts: ApplicationFacts) -> list[Verdict]:
    """Every condition with its value and threshold, in the order of the rule set."""
    most_by_ratio = facts.eligible_micro * rules.ratio_percent // 100
    year_total = facts.granted_this_year_micro + facts.amount_micro
    days = (facts.contract_ends_on - facts.contract_begins_on).days + 1
    missing = [d.code for d in rules.declarations if d.code not in facts.declared]
    signed = facts.contract_signed_on
    return [
        Verdict(
            "applicant-kind",
            facts.applicant_kind in rules.applicants,
            facts.applicant_kind,
            ", ".join(rules.applicants),
        ),
        Verdict(
            "contract-window",
            signed is not None and signed >= rules.contract_from,
            f"signed {signed}" if signed else "not signed",
            f"signed on or after {rules.contract_from}",
        ),
        Verdict(
            "contract-term",
            days <= rules.contract_days_at_most,
            f"{days} days",
            f"at most {rules.contract_days_at_most} days",
        ),
        Verdict(
            "one-voucher-per-contract",
            not facts.other_vouchers,
            ", ".join(facts.other_vouchers) or "none",
            "no other voucher on the contract",
        ),
        Verdict(
            "unrelated-provider",
            facts.relation is None,
            " - ".join(facts.relation) if facts.relation else "unrelated",
            f"no chain of holdings of {rules.related_from_percent} % or more",
        ),
        Verdict(
            "ratio",
            facts.amount_micro <= most_by_ratio,
            format_micro(facts.amount_micro),
            f"at most {rules.ratio_percent} % of {format_micro(facts.eligible_micro)} = "
            f"{format_micro(most_by_ratio)}",
        ),
        Verdict(
            "cap",
            year_total <= rules.cap_micro,
            f"{format_micro(year_total)} in this calendar year",
            f"at most {format_micro(rules.cap_micro)}",
        ),
        Verdict(
            "pool",
            facts.amount_micro <= facts.pool_micro,
            format_micro(facts.amount_micro),
            f"at most {format_micro(facts.pool_micro)}, what is left of the pool",
        ),
        Verdict(
            "declarations",
            not missing,
            "missing " + ", ".join(missing) if missing else "all given",
            ", ".join(d.code for d in rules.declarations),
        ),
    ]


# --- scenarios -----------------------------------------------------------------------------------

PERMUTED_TOLERANCE = 0.1
CHANCE = 0.5


def judge_evaluation(*, score: float, baseline: float, permuted: float) -> list[Verdict]:
    """Whether an evaluation shows anything: above its baseline, and at chance when permuted."""
    return [
        Verdict("score", score > baseline, f"{score:.4f}", f"above the baseline {baseline:.4f}"),
        Verdict(
            "permuted-label control",
            abs(permuted - CHANCE) <= PERMUTED_TOLERANCE,
            f"{permuted:.4f}",
            f"within {PERMUTED_TOLERANCE} of {CHANCE}",
        ),
    ]
