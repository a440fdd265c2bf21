"""Where the parts of a report's chart lie, for the page's SVG and for the PDF alike.

Lengths are units of a drawing of :data:`WIDTH` x :data:`HEIGHT` with y downwards, as in SVG.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bci_rehab.clinic.report_tree import Chart, Point

WIDTH, HEIGHT = 480.0, 150.0
LEFT, RIGHT, TOP, BOTTOM = 30.0, 24.0, 8.0, 20.0
# Texts below the axis that come nearer than this would run into each other.
CHARACTER = 5.5
GAP = 4.0  # between a level's text and its line
MAX_POINTS = 500


@dataclass(frozen=True)
class Dot:
    """A value; ``up`` and ``down`` end its error bar, and are None without a standard error."""

    x: float
    y: float
    up: float | None
    down: float | None
    is_marked: bool


@dataclass(frozen=True)
class Label:
    """A text at a place."""

    x: float
    y: float
    text: str


@dataclass(frozen=True)
class Box:
    """A filled rectangle."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Plot:
    """A chart's parts."""

    grid: Sequence[Label]
    ticks: Sequence[Label]
    dots: Sequence[Dot]
    band: Box | None
    begins: float = LEFT
    ends: float = WIDTH - RIGHT
    base: float = HEIGHT - BOTTOM
    width: float = WIDTH
    height: float = HEIGHT

    @property
    def line(self) -> str:
        """The line through the dots as the points of an SVG polyline."""
        return " ".join(f"{dot.x:g},{dot.y:g}" for dot in self.dots)


def plot_of(chart: Chart) -> Plot | None:
    """The parts of a chart; None below two points, where there is no course to be seen."""
    assert len(chart.points) <= MAX_POINTS, "thin out the points before drawing them"
    assert all(math.isfinite(p.value) for p in chart.points), "a gap is left out, not drawn"
    if len(chart.points) < 2:
        return None
    middle = (chart.lowest + chart.highest) / 2
    levels = (chart.lowest, middle, chart.highest)
    return Plot(
        grid=[Label(LEFT - GAP, _y(chart, level), f"{level:g}") for level in levels],
        ticks=_ticks(chart.points),
        dots=[_dot(chart, point) for point in chart.points],
        band=_band(chart),
    )


def _x(points: Sequence[Point], x: float) -> float:
    first, last = points[0].x, points[-1].x
    level = (x - first) / (last - first) if last > first else 0.5
    return round(LEFT + level * (WIDTH - LEFT - RIGHT), 2)


def _y(chart: Chart, value: float) -> float:
    level = (value - chart.lowest) / (chart.highest - chart.lowest)
    return round(HEIGHT - BOTTOM - min(max(level, 0.0), 1.0) * (HEIGHT - TOP - BOTTOM), 2)


def _dot(chart: Chart, point: Point) -> Dot:
    spread = point.error
    return Dot(
        x=_x(chart.points, point.x),
        y=_y(chart, point.value),
        up=None if spread is None else _y(chart, point.value + spread),
        down=None if spread is None else _y(chart, point.value - spread),
        is_marked=point.is_marked,
    )


def _band(chart: Chart) -> Box | None:
    if chart.band is None:
        return None
    top, foot = _y(chart, chart.band.high), _y(chart, chart.band.low)
    return Box(LEFT, top, WIDTH - LEFT - RIGHT, round(foot - top, 2))


def _ticks(points: Sequence[Point]) -> list[Label]:
    """Texts below the axis, as many as have room."""
    found: list[Label] = []
    for point in points:
        x = _x(points, point.x)
        room = CHARACTER * (len(point.tick) + 1)
        if not found or x - found[-1].x >= room:
            found.append(Label(x, HEIGHT - 6, point.tick))
    return found
