"""Telemetry that thins out as it grows old: each span of time is kept once, at one resolution."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

# How long samples of a span are kept before those of the next one replace them.
KEPT: tuple[tuple[int, timedelta], ...] = (
    (60, timedelta(hours=6)),
    (600, timedelta(days=3)),
    (3_600, timedelta(days=400)),
)
SPAN_S = KEPT[0][0]


@dataclass(frozen=True)
class Point:
    """What was measured in the ``span`` from ``at`` on: mean, least, most, of how many readings."""

    at: datetime
    mean: float
    low: float
    high: float
    count: int = 1


def span_of(at: datetime, span_s: int) -> datetime:
    """The beginning of the span in which ``at`` lies; spans begin at whole multiples in UTC."""
    second = int(at.timestamp())
    return datetime.fromtimestamp(second - second % span_s, UTC)


def condense(points: Iterable[Point], span_s: int) -> list[Point]:
    """The same readings in longer spans, the oldest first: means are weighted by their counts."""
    spans: dict[datetime, list[Point]] = defaultdict(list)
    for point in points:
        spans[span_of(point.at, span_s)].append(point)
    return [
        Point(
            at,
            sum(point.mean * point.count for point in inside) / sum(p.count for p in inside),
            min(point.low for point in inside),
            max(point.high for point in inside),
            sum(point.count for point in inside),
        )
        for at, inside in sorted(spans.items())
    ]
