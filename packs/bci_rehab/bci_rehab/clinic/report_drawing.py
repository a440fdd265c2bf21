"""A report's chart as vectors in the PDF, where :mod:`bci_rehab.clinic.report_plot` puts them."""

from __future__ import annotations

from reportlab.graphics.shapes import Circle, Drawing, Group, Line, PolyLine, Rect, String
from reportlab.lib.colors import HexColor, white

from bci_rehab.clinic.report_plot import HEIGHT, Plot, plot_of
from bci_rehab.clinic.report_plot import WIDTH as PLOT_WIDTH
from bci_rehab.clinic.report_tree import Chart

INK, QUIET, LINE = HexColor("#17252a"), HexColor("#56666c"), HexColor("#b9c4c8")
CURVE, BAND, WARNING = HexColor("#0b6b75"), HexColor("#e3ecec"), HexColor("#a25b00")
FONT, SIZE = "Helvetica", 7.5


def drawing_of(chart: Chart, width: float) -> Drawing | None:
    """The chart as wide as asked, in points; None where there is no course to draw."""
    plot = plot_of(chart)
    if plot is None:
        return None
    scale = width / PLOT_WIDTH
    group = Group(*_ground(plot), *_curve(plot), transform=(scale, 0, 0, scale, 0, 0))
    drawing = Drawing(width, HEIGHT * scale)
    drawing.add(group)
    return drawing


def _up(y: float) -> float:
    """PDF counts from the bottom."""
    return HEIGHT - y


def _ground(plot: Plot) -> list[Rect | Line | String]:
    shapes: list[Rect | Line | String] = []
    if plot.band is not None:
        band = plot.band
        foot = _up(band.y + band.height)
        shapes.append(Rect(band.x, foot, band.width, band.height, fillColor=BAND, strokeColor=None))
    for level in plot.grid:
        y = _up(level.y)
        shapes.append(Line(plot.begins, y, plot.ends, y, strokeColor=LINE, strokeWidth=0.5))
        shapes.append(_string(level.x, y - 2.5, level.text, "end"))
    shapes += [_string(tick.x, _up(tick.y), tick.text, "middle") for tick in plot.ticks]
    return shapes


def _curve(plot: Plot) -> list[Line | PolyLine | Circle]:
    shapes: list[Line | PolyLine | Circle] = [
        Line(dot.x, _up(dot.up), dot.x, _up(dot.down), strokeColor=CURVE, strokeWidth=0.7)
        for dot in plot.dots
        if dot.up is not None and dot.down is not None
    ]
    points = [at for dot in plot.dots for at in (dot.x, _up(dot.y))]
    shapes.append(PolyLine(points, strokeColor=CURVE, strokeWidth=1.4))
    shapes += [
        Circle(
            dot.x, _up(dot.y), 3.4 if dot.is_marked else 2.2,
            fillColor=CURVE if dot.is_marked else white, strokeColor=CURVE, strokeWidth=1.2,
        )
        for dot in plot.dots
    ]  # fmt: skip
    return shapes


def _string(x: float, y: float, text: str, anchor: str) -> String:
    return String(x, y, text, textAnchor=anchor, fontName=FONT, fontSize=SIZE, fillColor=QUIET)
