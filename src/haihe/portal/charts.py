"""Geometry of the charts that pages draw on the server.

Such a chart needs no script, prints, and scales with its box: widths are percentages and a line is
drawn in a view box of :data:`WIDTH` x :data:`HEIGHT` that the style sheet stretches. The numbers
themselves stand in the chart's table, so nothing here formats them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from django.utils import timezone

WIDTH = 240.0
HEIGHT = 48.0
# The pen is two units wide: without a margin the highest and lowest values would be cut in half.
MARGIN = 3.0
MAX_POINTS = 2_000
# Two measurements further apart than so many of their usual distances have a gap between them.
GAP = 2.5
STEPS = (1, 2, 2.5, 5, 10)
# Marks on an axis of time: up to this length, so far apart, and so written.
TICKS: Sequence[tuple[timedelta, timedelta, str]] = (
    (timedelta(days=2), timedelta(hours=6), "%H:%M"),
    (timedelta(days=10), timedelta(days=1), "%m-%d"),
    (timedelta.max, timedelta(days=7), "%m-%d"),
)
EDGE_PERCENT = 4.0  # a mark nearer to an edge would be cut off


@dataclass(frozen=True)
class Line:
    """A line through values in time: SVG points, the closed area below, and the last point."""

    points: str
    area: str
    last_x: float
    last_y: float


def share_percent(value: float, maximum: float) -> float:
    """How much of a bar or meter is full, from 0 to 100; an empty scale is an empty bar."""
    if not (math.isfinite(value) and math.isfinite(maximum)) or maximum <= 0:
        return 0.0
    return round(min(max(value / maximum, 0.0), 1.0) * 100, 2)


def line(values: Sequence[float]) -> Line | None:
    """The line through ``values``, evenly spaced, lowest at the bottom; None below two values.

    Flat values run through the middle: a line at the bottom would read as zero.
    """
    assert len(values) <= MAX_POINTS, "thin out the series before drawing it"
    assert all(math.isfinite(value) for value in values), "a gap is left out, not drawn as NaN"
    if len(values) < 2:
        return None
    low, high = min(values), max(values)
    step = WIDTH / (len(values) - 1)
    span = HEIGHT - 2 * MARGIN

    def height_of(value: float) -> float:
        level = (value - low) / (high - low) if high > low else 0.5
        return round(HEIGHT - MARGIN - level * span, 2)

    dots = [(round(index * step, 2), height_of(value)) for index, value in enumerate(values)]
    points = " ".join(f"{x:g},{y:g}" for x, y in dots)
    area = f"0,{HEIGHT:g} {points} {WIDTH:g},{HEIGHT:g}"
    return Line(points, area, *dots[-1])


@dataclass(frozen=True)
class Curve:
    """One of several lines over the same time: an SVG path with gaps where nothing was measured."""

    label: Any
    path: str
    newest: float


@dataclass(frozen=True)
class Mark:
    """A mark on the axis of time, ``x`` percent from its beginning."""

    x: float
    text: str


@dataclass(frozen=True)
class Curves:
    """Several lines over the same time and on one scale from zero to ``most``."""

    lines: Sequence[Curve]
    most: float
    marks: Sequence[Mark]
    rows: Sequence[tuple[datetime, Sequence[float | None]]]


def curves(
    series: Sequence[Mapping[str, Any]],
    begins: datetime,
    ends: datetime,
    *,
    most: float | None = None,
) -> Curves | None:
    """Lines through ``points`` (pairs of instant and value) of each series; None without any.

    The scale ends at ``most``, or at the next round number above the largest value.
    """
    shown = [(one["label"], list(one["points"])) for one in series if one["points"]]
    if not shown or ends <= begins:
        return None
    top = most or round_above(max(value for _, points in shown for _, value in points))
    lines = [
        Curve(label, _path(points, begins, ends, top), points[-1][1]) for label, points in shown
    ]
    by_time: dict[datetime, list[float | None]] = {}
    for number, (_, points) in enumerate(shown):
        for at, value in points:
            by_time.setdefault(at, [None] * len(shown))[number] = value
    return Curves(lines, top, _marks(begins, ends), sorted(by_time.items(), reverse=True))


def round_above(value: float) -> float:
    """The least of 1, 2, 2.5, 5 times a power of ten that is not below ``value``; 1 for none."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in STEPS if step * power >= value * (1 - 1e-12))


def _path(
    points: Sequence[tuple[datetime, float]], begins: datetime, ends: datetime, most: float
) -> str:
    """The points inside the time, joined where they are not far apart."""
    assert len(points) <= MAX_POINTS, "thin out the series before drawing it"
    length = (ends - begins).total_seconds()
    usual_s = min(((b - a).total_seconds() for (a, _), (b, _) in pairwise(points)), default=0.0)
    pieces: list[str] = []
    before: datetime | None = None
    for at, value in points:
        x = (at - begins).total_seconds() / length * WIDTH
        y = HEIGHT - min(max(value / most, 0.0), 1.0) * HEIGHT
        joined = before is not None and (at - before).total_seconds() <= GAP * usual_s
        # A point with gaps on both sides is still a dot: a line of no length, with round ends.
        pieces.append(f"L{x:.2f},{y:.2f}" if joined else f"M{x:.2f},{y:.2f}h0")
        before = at
    return "".join(pieces)


def _marks(begins: datetime, ends: datetime) -> list[Mark]:
    length = ends - begins
    step, pattern = next((step, pattern) for most, step, pattern in TICKS if length <= most)
    found = []
    for at in _instants(timezone.localtime(begins), ends, step):
        x = round((at - begins) / length * 100, 2)
        if EDGE_PERCENT <= x <= 100 - EDGE_PERCENT:
            found.append(Mark(x, at.strftime(pattern)))
    return found


def _instants(local: datetime, ends: datetime, step: timedelta) -> Iterator[datetime]:
    """The instants a step apart, counted from the beginning of the first local day."""
    at = local.replace(hour=0, minute=0, second=0, microsecond=0)
    while at < ends:
        yield at
        at += step
