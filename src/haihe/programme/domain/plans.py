"""A plan as its file says it: read, checked against itself, compared with the version before."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from haihe.kernel.ids import check_slug
from haihe.programme.errors import BadPlan

Text = Mapping[str, str]

COMPARISONS = ("at-least", "more-than", "range", "qualitative")
ROLES = ("build", "pack", "track")
NO_TEXT: Text = {"zh": "", "en": ""}
# What a file may say.
FILE_KEYS = frozenset({"plan", "notes", "groups", "units", "measures", "targets", "systems"})
PLAN_KEYS = frozenset({"slug", "version", "status", "title", "begins", "ends", "source"})
PART_KEYS: Mapping[str, frozenset[str]] = {
    "notes": frozenset({"zh", "en"}),
    "measures": frozenset({"id", "group", "title", "units"}),
    "targets": frozenset(
        {"code", "title", "comparison", "value", "upper", "unit", "scope", "definition"}
        | {"measures", "indicator"}
    ),
    "systems": frozenset({"id", "measure", "role", "title"}),
}
INDICATOR_KEYS = frozenset({"counts", "less"})
# What addresses and columns can hold: T3, S1, 6.1.
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,9}")


@dataclass(frozen=True)
class IndicatorRule:
    """How an indicator counts: subjects of evidence of one kind, less those of another."""

    counts: str
    less: str

    def __str__(self) -> str:
        return f"{self.counts} - {self.less}" if self.less else self.counts


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

    def is_reached(self, value: int) -> bool:
        """Whether a measured value is what the plan asks for."""
        if self.value is None:
            return False
        return value > self.value if self.comparison == "more-than" else value >= self.value


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

    def target_counting(self, kind: str, *, measure: str) -> Target | None:
        """The target that counts evidence of ``kind`` under a measure."""
        return next(
            (
                target
                for target in self.targets
                if target.indicator is not None
                and target.indicator.counts == kind
                and measure in target.measures
            ),
            None,
        )

    def responsible_units(self, target: Target) -> list[Text]:
        """The units of all measures that serve a target, leads first, each once."""
        served = [measure for measure in self.measures if measure.id in target.measures]
        leads = [measure.units[0] for measure in served if measure.units]
        others = [unit for measure in served for unit in measure.units[1:]]
        return list({unit["zh"]: unit for unit in [*leads, *others]}.values())


def plan_from(data: Mapping[str, Any]) -> PlanDocument:
    """Read a plan from the content of its TOML file, and check that all of it refers to itself.

    Raises
    ------
    BadPlan
        If a key is missing or of a wrong type, a text lacks a language, or a reference leads
        nowhere.
    """
    head = _key(data, "plan", "the file")
    groups, units = _key(data, "groups", "the file"), _key(data, "units", "the file")
    measures = tuple(_measure(item, groups, units) for item in _rows(data, "measures"))
    known = {measure.id for measure in measures}
    targets = tuple(_target(item, known) for item in _rows(data, "targets"))
    systems = tuple(_system(item, known) for item in _rows({"systems": (), **data}, "systems"))
    for name, ids in (
        ("measures", [measure.id for measure in measures]),
        ("targets", [target.code for target in targets]),
        ("systems", [system.id for system in systems]),
    ):
        doubled = sorted({identity for identity in ids if ids.count(identity) > 1})
        if doubled:
            raise BadPlan(place=name, rule=f"has {doubled[0]} twice")
    begins, ends = _date(head, "begins"), _date(head, "ends")
    if ends < begins:
        raise BadPlan(place="[plan] ends", rule="is before its beginning")
    return PlanDocument(
        slug=check_slug(_word(head, "slug", "[plan]"), field="[plan] slug"),
        version=_number(head, "version", "[plan]"),
        status=_word(head, "status", "[plan]"),
        title=_text(head, "title", "[plan]"),
        begins=begins,
        ends=ends,
        source=_text(head, "source", "[plan]"),
        notes=tuple(_both(note, "[[notes]]") for note in _rows({"notes": (), **data}, "notes")),
        targets=targets,
        measures=measures,
        systems=systems,
    )


def check_keys(data: Mapping[str, Any]) -> None:
    """Refuse a file with a key that nothing reads: it is a typing error, and would count nothing.

    For files that are brought in; what is in already is read as it is.

    Raises
    ------
    BadPlan
        That names the first of them.
    """
    _only(data, "the file", FILE_KEYS)
    _only(data.get("plan"), "[plan]", PLAN_KEYS)
    for part, keys in PART_KEYS.items():
        for number, row in enumerate(data.get(part, ()), start=1):
            _only(row, f"{part} {number}", keys)
    for target in data.get("targets", ()):
        if isinstance(target, Mapping):
            place = f"target {target.get('code')} indicator"
            _only(target.get("indicator"), place, INDICATOR_KEYS)


def check_kinds(document: PlanDocument, kinds: Collection[str]) -> None:
    """Refuse an indicator that counts evidence of a kind that is never recorded.

    Raises
    ------
    BadPlan
        That names the target and the kind.
    """
    for target in document.targets:
        rule = target.indicator
        for kind in (rule.counts, rule.less) if rule else ():
            if kind and kind not in kinds:
                raise BadPlan(
                    place=f"target {target.code} indicator",
                    rule=f"counts {kind!r}, which is no kind of evidence",
                )


def _only(table: Any, place: str, keys: frozenset[str]) -> None:
    """Other shapes than tables are refused where they are read."""
    unknown = sorted(set(table) - keys) if isinstance(table, Mapping) else []
    if unknown:
        raise BadPlan(place=place, rule=f"has {unknown[0]!r}, which is not read")


def _measure(item: Mapping[str, Any], groups: Any, units: Any) -> Measure:
    identity = _code(item, "id", "[[measures]]")
    place = f"measure {identity}"
    named = _words(item, "units", place)
    return Measure(
        id=identity,
        group=_text(groups, _word(item, "group", place), f"{place}: [groups]"),
        title=_text(item, "title", place),
        units=tuple(_text(units, unit, f"{place}: [units]") for unit in named),
    )


def _target(item: Mapping[str, Any], measures: set[str]) -> Target:
    code = _code(item, "code", "[[targets]]")
    place = f"target {code}"
    comparison = _word(item, "comparison", place)
    if comparison not in COMPARISONS:
        raise BadPlan(place=place, rule=f"compares {comparison!r}, not {', '.join(COMPARISONS)}")
    value = _number(item, "value", place) if comparison != "qualitative" else None
    upper = _number(item, "upper", place) if comparison == "range" else None
    if value is not None and upper is not None and upper < value:
        raise BadPlan(place=place, rule="has an upper value below its lower one")
    served = _words({"measures": (), **item}, "measures", place)
    unknown = [measure for measure in served if measure not in measures]
    if unknown:
        raise BadPlan(place=place, rule=f"names measure {unknown[0]}, which is not there")
    return Target(
        code=code,
        title=_text(item, "title", place),
        comparison=comparison,
        value=value,
        upper=upper,
        unit=_both(item.get("unit", NO_TEXT), f"{place} unit"),
        scope=_text(item, "scope", place),
        definition=_text(item, "definition", place),
        measures=served,
        indicator=_indicator(item["indicator"], place) if "indicator" in item else None,
    )


def _indicator(rule: Any, place: str) -> IndicatorRule:
    place = f"{place} indicator"
    return IndicatorRule(
        _word(rule, "counts", place), _word(rule, "less", place) if "less" in rule else ""
    )


def _system(item: Mapping[str, Any], measures: set[str]) -> System:
    identity = _code(item, "id", "[[systems]]")
    place = f"system {identity}"
    measure, role = _word(item, "measure", place), _word(item, "role", place)
    if measure not in measures or role not in ROLES:
        raise BadPlan(place=place, rule=f"has measure {measure!r} and role {role!r}")
    return System(identity, measure, role, _text(item, "title", place))


# --- reading values of a type, or naming the place where it is another ---


def _key(table: Any, key: str, place: str) -> Any:
    if not isinstance(table, Mapping) or key not in table:
        raise BadPlan(place=place, rule=f"lacks {key!r}")
    return table[key]


def _rows(data: Mapping[str, Any], key: str) -> Sequence[Mapping[str, Any]]:
    rows = _key(data, key, "the file")
    if not isinstance(rows, list | tuple) or not all(isinstance(row, Mapping) for row in rows):
        raise BadPlan(place=key, rule="is no list of tables")
    return rows


def _word(table: Any, key: str, place: str) -> str:
    value = _key(table, key, place)
    if not isinstance(value, str) or not value.strip():
        raise BadPlan(place=f"{place} {key}", rule="is no text")
    return value


def _words(table: Any, key: str, place: str) -> tuple[str, ...]:
    values = _key(table, key, place)
    if not isinstance(values, list | tuple) or not all(isinstance(value, str) for value in values):
        raise BadPlan(place=f"{place} {key}", rule="is no list of texts")
    return tuple(values)


def _code(table: Any, key: str, place: str) -> str:
    value = _word(table, key, place)
    if not _CODE.fullmatch(value):
        raise BadPlan(
            place=f"{place} {key}", rule="has more than ten letters, digits, points or hyphens"
        )
    return value


def _number(table: Any, key: str, place: str) -> int:
    value = _key(table, key, place)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
        raise BadPlan(place=f"{place} {key}", rule="is no whole number")
    return value


def _text(table: Any, key: str, place: str) -> Text:
    return _both(_key(table, key, place), f"{place} {key}")


def _both(value: Any, place: str) -> Text:
    if not isinstance(value, Mapping) or not all(
        isinstance(value.get(language), str) for language in ("zh", "en")
    ):
        raise BadPlan(place=place, rule="needs a text in zh and in en")
    return {"zh": value["zh"], "en": value["en"]}


def _date(table: Any, key: str) -> date:
    value = _key(table, key, "[plan]")
    try:
        return value if isinstance(value, date) else date.fromisoformat(value)
    except (TypeError, ValueError):
        raise BadPlan(place=f"[plan] {key}", rule="is no date") from None
