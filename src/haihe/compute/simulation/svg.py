"""Lines over panels as a plain SVG, one line per policy.

It needs no script and no fonts of its own, prints, and tells lines apart by dash as well as colour.
Where the numbers come from is in :mod:`.timeline`; the command prints the figures beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from haihe.compute.simulation.workload import Floats

WIDTH = 960
LEFT, RIGHT, TOP = 80, 20, 56
PANEL_HEIGHT, PANEL_GAP, FOOT = 210, 56, 56
TICKS = 5
# Dark enough on white for WCAG's 3:1 for graphics; the order is that of the lines given.
STROKES = (("#1f4e8c", ""), ("#b3541e", "7 4"), ("#1b7f4d", "2 3"))


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Lines over one pair of axes; both begin at 0.

    ``lines`` has the values of each line by its name, (points,); ``at`` where they lie on the lower
    axis, 0 to 1. ``high`` is the upper end of the upright axis.
    """

    label: str
    high: float
    at: Mapping[str, Floats]
    lines: Mapping[str, Floats]


@dataclass(frozen=True, kw_only=True)
class Axis:
    """The lower axis of all panels: what it counts, and its marks by their place, 0 to 1."""

    label: str
    marks: Sequence[tuple[float, str]]


def draw(panels: Sequence[Panel], axis: Axis, *, title: str) -> str:
    """The document."""
    names = list(panels[0].lines)
    assert 1 <= len(names) <= len(STROKES)
    height = TOP + len(panels) * (PANEL_HEIGHT + PANEL_GAP) - PANEL_GAP + FOOT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        'font-family="sans-serif" font-size="13" fill="#222">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="{LEFT}" y="20" font-size="15">{escape(title)}</text>',
        *_legend(names),
    ]
    for number, panel in enumerate(panels):
        top = TOP + number * (PANEL_HEIGHT + PANEL_GAP)
        parts += [*_axes(panel, axis, top), *_lines(panel, top)]
    parts.append(
        f'<text x="{WIDTH - RIGHT}" y="{height - 12}" text-anchor="end">{escape(axis.label)}</text>'
    )
    return "\n".join([*parts, "</svg>", ""])


def _legend(names: Sequence[str]) -> list[str]:
    parts = []
    for place, (name, (colour, dash)) in enumerate(zip(names, STROKES, strict=False)):
        x = WIDTH - RIGHT - 110 * (len(names) - place)
        parts.append(
            f'<line x1="{x}" x2="{x + 34}" y1="38" y2="38" stroke="{colour}" stroke-width="2" '
            f'stroke-dasharray="{dash}"/><text x="{x + 40}" y="42">{escape(name)}</text>'
        )
    return parts


def _axes(panel: Panel, axis: Axis, top: int) -> list[str]:
    bottom, right = top + PANEL_HEIGHT, WIDTH - RIGHT
    parts = [f'<text x="{LEFT}" y="{top - 6}">{escape(panel.label)}</text>']
    for tick in range(TICKS + 1):
        y, value = bottom - PANEL_HEIGHT * tick / TICKS, panel.high * tick / TICKS
        parts.append(
            f'<line x1="{LEFT}" x2="{right}" y1="{y:g}" y2="{y:g}" stroke="#ddd"/>'
            f'<text x="{LEFT - 8}" y="{y + 4:g}" text-anchor="end">{value:.4g}</text>'
        )
    for place, text in axis.marks:
        x = LEFT + (right - LEFT) * place
        parts.append(
            f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{escape(text)}</text>'
        )
    return parts


def _lines(panel: Panel, top: int) -> list[str]:
    parts = []
    for (name, values), (colour, dash) in zip(panel.lines.items(), STROKES, strict=False):
        xs = LEFT + (WIDTH - LEFT - RIGHT) * panel.at[name]
        ys = top + PANEL_HEIGHT * (1 - values / panel.high)
        pairs = zip(xs.tolist(), ys.tolist(), strict=True)
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in pairs)
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5" '
            f'stroke-dasharray="{dash}"/>'
        )
    return parts
