"""Geometry of the small charts that pages draw on the server.

Such a chart needs no script, prints, and scales with its box: widths are percentages and a line is
drawn in a view box of :data:`WIDTH` x :data:`HEIGHT` that the style sheet stretches. The numbers
themselves stand in the chart's table, so nothing here formats them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH = 240.0
HEIGHT = 48.0
# The pen is two units wide: without a margin the highest and lowest values would be cut in half.
MARGIN = 3.0
MAX_POINTS = 2_000


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
