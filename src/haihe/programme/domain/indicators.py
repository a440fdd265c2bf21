"""How an indicator counts facts, at an instant and over time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from haihe.programme.domain.plans import IndicatorRule


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


@dataclass(frozen=True)
class Point:
    """The value from an instant on."""

    at: datetime
    value: int


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


def history(rule: IndicatorRule, facts: Iterable[Fact]) -> list[Point]:
    """Every value that the indicator had, from the instant on at which it had it.

    Facts come in the order of the log, whose instants never go back. What :func:`observe` finds at
    any instant is the value of the last point at or before it, or zero before the first.
    """
    counted: set[str] = set()
    points: list[Point] = []
    for fact in facts:
        if fact.kind == rule.counts:
            counted.add(fact.subject)
        elif fact.kind == rule.less:
            counted.discard(fact.subject)
        else:
            continue
        if points and points[-1].at == fact.at:
            points.pop()
        points.append(Point(fact.at, len(counted)))
    return points


def sampled(
    points: Sequence[Point], *, begins: datetime, ends: datetime, steps: int
) -> list[Point]:
    """The values at ``steps`` instants evenly spaced from ``begins`` to ``ends``, for a chart whose
    horizontal axis is time."""
    assert steps >= 2
    if ends <= begins:
        return []
    samples: list[Point] = []
    known = iter(points)
    upcoming, value = next(known, None), 0
    for step in range(steps):
        at = begins + (ends - begins) * step / (steps - 1)
        while upcoming is not None and upcoming.at <= at:
            value = upcoming.value
            upcoming = next(known, None)
        samples.append(Point(at, value))
    return samples
