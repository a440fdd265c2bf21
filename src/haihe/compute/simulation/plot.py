"""A replay as a plain SVG: utilisation above, jobs waiting below, one line per policy.

It needs no script and no fonts of its own, prints, and tells lines apart by dash as well as colour.
The numbers are those of :mod:`.timeline`; the command prints the figures beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

from haihe.compute.simulation.timeline import Timeline
from haihe.compute.simulation.workload import Floats

WIDTH, HEIGHT = 960, 560
LEFT, RIGHT = 80, 20
PANELS = ((56, 220), (316, 200))  # top and height of each
DAY_S = 86_400.0
TICKS = 5
# Dark enough on white for WCAG's 3:1 for graphics; the order is that of the policies given.
STROKES = (("#1f4e8c", ""), ("#b3541e", "7 4"), ("#1b7f4d", "2 3"))


def draw(timelines: Sequence[Timeline], *, title: str, words: tuple[str, str, str]) -> str:
    """The document; ``words`` name the upper axis, the lower axis, and the time in days."""
    assert 1 <= len(timelines) <= len(STROKES)
    begin_s = min(float(line.edge_s[0]) for line in timelines)
    end_s = max(float(line.edge_s[-1]) for line in timelines)
    most = max(1.0, *(float(line.waiting.max()) for line in timelines))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        'font-family="sans-serif" font-size="13" fill="#222">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{LEFT}" y="24" font-size="15">{escape(title)}</text>',
        *_legend(timelines),
    ]
    panels = ((words[0], 1.0, "utilisation"), (words[1], most, "waiting"))
    for (top, height), (label, high, name) in zip(PANELS, panels, strict=True):
        parts += _axes(top, height, label, high, (end_s - begin_s) / DAY_S)
        for line, (colour, dash) in zip(timelines, STROKES, strict=False):
            points = _points(line.edge_s, getattr(line, name), begin_s, end_s, top, height, high)
            parts.append(
                f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5" '
                f'stroke-dasharray="{dash}"/>'
            )
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 8}" text-anchor="end">{escape(words[2])}')
    return "\n".join([*parts[:-1], parts[-1] + "</text>", "</svg>", ""])


def _legend(timelines: Sequence[Timeline]) -> list[str]:
    parts = []
    for place, (line, (colour, dash)) in enumerate(zip(timelines, STROKES, strict=False)):
        x = WIDTH - RIGHT - 110 * (len(timelines) - place)
        parts.append(
            f'<line x1="{x}" x2="{x + 34}" y1="42" y2="42" stroke="{colour}" stroke-width="2" '
            f'stroke-dasharray="{dash}"/><text x="{x + 40}" y="46">{escape(line.policy)}</text>'
        )
    return parts


def _axes(top: int, height: int, label: str, high: float, days: float) -> list[str]:
    bottom, right = top + height, WIDTH - RIGHT
    parts = [f'<text x="{LEFT}" y="{top - 6}">{escape(label)}</text>']
    for tick in range(TICKS + 1):
        y = bottom - height * tick / TICKS
        parts.append(
            f'<line x1="{LEFT}" x2="{right}" y1="{y:g}" y2="{y:g}" stroke="#ddd"/>'
            f'<text x="{LEFT - 8}" y="{y + 4:g}" text-anchor="end">{high * tick / TICKS:.4g}</text>'
        )
        x = LEFT + (right - LEFT) * tick / TICKS
        parts.append(
            f'<text x="{x:g}" y="{bottom + 18}" text-anchor="middle">{days * tick / TICKS:.3g}'
            "</text>"
        )
    return parts


def _points(
    edge_s: Floats,
    values: Floats,
    begin_s: float,
    end_s: float,
    top: int,
    height: int,
    high: float,
) -> str:
    across = (WIDTH - LEFT - RIGHT) / max(end_s - begin_s, 1.0)
    middle_s = (edge_s[:-1] + edge_s[1:]) / 2
    xs = LEFT + (middle_s - begin_s) * across
    ys = top + height * (1 - values / high)
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs.tolist(), ys.tolist(), strict=True))
