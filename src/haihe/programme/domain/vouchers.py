"""Compute vouchers: the dated rules by which they are granted, and how an application comes out."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from haihe.kernel.errors import InvalidField, gettext_noop
from haihe.kernel.money import format_micro, parse_amount_micro
from haihe.programme.domain.plans import Text
from haihe.programme.errors import BadRules


@dataclass(frozen=True)
class Clause:
    """A condition or declaration of a rule set, in words, with the status of its source."""

    code: str
    zh: str
    en: str
    status: str


@dataclass(frozen=True)
class VoucherRules:
    """A dated rule set for compute vouchers.

    ``is_adopted`` says that schemes opened under it go by it outside its own dates too, by their
    own decision. The cap counts over all schemes under the rule set. ``remarks`` are what its
    source says and no condition judges.
    """

    slug: str
    title: Text
    source: str
    status: str
    in_force_from: date
    in_force_until: date
    ratio_percent: int
    cap_micro: int
    is_adopted: bool
    contract_from: date
    contract_months_at_most: int
    applicants: tuple[str, ...]
    related_from_percent: int
    conditions: tuple[Clause, ...]
    declarations: tuple[Clause, ...]
    remarks: tuple[Clause, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ApplicationFacts:
    """What is known when an application is judged. Amounts in micro-units."""

    applied_on: date
    opens_on: date
    closes_on: date
    amount_micro: int
    applicant_kind: str
    contract_micro: int
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
    """Read a rule set from the content of its TOML file.

    Raises
    ------
    BadRules
        If a key is missing, or a value is of another type or out of its range.
    """
    try:
        head = data["rules"]
        return VoucherRules(
            slug=_text(head["slug"]),
            title={"zh": _text(head["title"]["zh"]), "en": _text(head["title"]["en"])},
            source=_text(head["source"]),
            status=_text(head["status"]),
            in_force_from=_day(head["in_force_from"]),
            in_force_until=_day(head["in_force_until"]),
            ratio_percent=_number(head["ratio_percent"], most=100),
            cap_micro=parse_amount_micro(_text(head["cap_per_firm_and_year"])),
            is_adopted=_yes_or_no(head.get("adopted_by_schemes", False)),
            contract_from=_day(head["contract_from"]),
            contract_months_at_most=_months(head),
            applicants=tuple(_text(kind) for kind in _list(head["applicants"])),
            related_from_percent=_number(head["related_from_percent"], most=100),
            conditions=tuple(_clause(item) for item in _list(data["conditions"])),
            declarations=tuple(_clause(item) for item in _list(data["declarations"])),
            remarks=tuple(_clause(item) for item in _list(data.get("remarks", []))),
        )
    except KeyError as error:
        raise BadRules(place="[rules]", rule=f"lacks {error}") from None
    except (TypeError, ValueError, InvalidField) as error:
        raise BadRules(place="[rules]", rule=f"cannot be read: {error}") from None


def _clause(item: Mapping[str, Any]) -> Clause:
    return Clause(*(_text(item[name]) for name in ("code", "zh", "en", "status")))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is no list")
    return value


def _day(value: object) -> date:
    return value if isinstance(value, date) else date.fromisoformat(_text(value))


def _yes_or_no(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is neither true nor false")
    return value


def _months(head: Mapping[str, Any]) -> int:
    """The longest term; schemes of before months were counted keep theirs in days."""
    if "contract_months_at_most" in head:
        return _number(head["contract_months_at_most"], most=1_200)
    return max(1, _number(head["contract_days_at_most"], most=36_600) // 30)


def _number(value: object, *, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise ValueError(f"{value!r} is no whole number from 1 to {most}")
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
    """Every condition with its value and threshold: when, who, which contract, how much."""
    missing = [clause.code for clause in rules.declarations if clause.code not in facts.declared]
    return [
        Verdict(
            "scheme-window",
            facts.opens_on <= facts.applied_on <= facts.closes_on,
            gettext_noop("applied on {0}").format(facts.applied_on),
            gettext_noop("from {0} to {1}").format(facts.opens_on, facts.closes_on),
        ),
        _judge_rules(rules, facts),
        Verdict(
            "applicant-kind",
            facts.applicant_kind in rules.applicants,
            facts.applicant_kind,
            ", ".join(rules.applicants),
        ),
        *_judge_contract(rules, facts),
        *_judge_amount(rules, facts),
        Verdict(
            "declarations",
            not missing,
            gettext_noop("missing {0}").format(", ".join(missing))
            if missing
            else gettext_noop("all given"),
            ", ".join(clause.code for clause in rules.declarations),
        ),
    ]


def _judge_rules(rules: VoucherRules, facts: ApplicationFacts) -> Verdict:
    begins, ends = rules.in_force_from, rules.in_force_until
    within = gettext_noop("from {0} to {1}").format(begins, ends)
    adopted = gettext_noop("from {0} to {1}, and after it by the scheme's own decision").format(
        begins, ends
    )
    return Verdict(
        "rules-in-force",
        begins <= facts.applied_on and (facts.applied_on <= ends or rules.is_adopted),
        gettext_noop("applied on {0}").format(facts.applied_on),
        adopted if rules.is_adopted else within,
    )


def last_day(begins_on: date, months: int) -> date:
    """The last day of a term of so many months: the day before the same day of its last month.

    A month that lacks this day ends the term on its own last day.
    """
    years, index = divmod(begins_on.month - 1 + months, 12)
    year, month = begins_on.year + years, index + 1
    length = monthrange(year, month)[1]
    if begins_on.day > length:
        return date(year, month, length)
    return date(year, month, begins_on.day) - timedelta(days=1)


def _judge_contract(rules: VoucherRules, facts: ApplicationFacts) -> Iterator[Verdict]:
    signed = facts.contract_signed_on
    yield Verdict(
        "contract-window",
        signed is not None and signed >= rules.contract_from,
        gettext_noop("signed {0}").format(signed) if signed else gettext_noop("not signed"),
        gettext_noop("signed on or after {0}").format(rules.contract_from),
    )
    last = last_day(facts.contract_begins_on, rules.contract_months_at_most)
    yield Verdict(
        "contract-term",
        facts.contract_ends_on <= last,
        gettext_noop("from {0} to {1}").format(facts.contract_begins_on, facts.contract_ends_on),
        gettext_noop("until {0} at the latest, {1} months").format(
            last, rules.contract_months_at_most
        ),
    )
    yield Verdict(
        "one-voucher-per-contract",
        not facts.other_vouchers,
        ", ".join(facts.other_vouchers) or gettext_noop("none"),
        gettext_noop("no other voucher on the contract"),
    )
    yield Verdict(
        "unrelated-provider",
        facts.relation is None,
        " - ".join(facts.relation) if facts.relation else gettext_noop("unrelated"),
        gettext_noop("no chain of holdings of {0} % or more").format(rules.related_from_percent),
    )


def _judge_amount(rules: VoucherRules, facts: ApplicationFacts) -> Iterator[Verdict]:
    yield Verdict(
        "eligible-cost",
        0 < facts.eligible_micro <= facts.contract_micro,
        format_micro(facts.eligible_micro),
        gettext_noop("for computing alone, of {0} in the contract").format(
            format_micro(facts.contract_micro)
        ),
    )
    asked = format_micro(facts.amount_micro)
    most_by_ratio = facts.eligible_micro * rules.ratio_percent // 100
    yield Verdict(
        "ratio",
        facts.amount_micro <= most_by_ratio,
        asked,
        gettext_noop("at most {0} % of {1} = {2}").format(
            rules.ratio_percent, format_micro(facts.eligible_micro), format_micro(most_by_ratio)
        ),
    )
    year_total = facts.granted_this_year_micro + facts.amount_micro
    yield Verdict(
        "cap",
        year_total <= rules.cap_micro,
        gettext_noop("{0} in this calendar year").format(format_micro(year_total)),
        gettext_noop("at most {0}").format(format_micro(rules.cap_micro)),
    )
    yield Verdict(
        "pool",
        facts.amount_micro <= facts.pool_micro,
        asked,
        gettext_noop("at most {0}, what is left of the pool").format(
            format_micro(facts.pool_micro)
        ),
    )
