"""The plots of replays side by side: the network over time, and how long jobs waited."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from haihe.compute.simulation.engine import Replay
from haihe.compute.simulation.svg import TICKS, Axis, Panel, draw
from haihe.compute.simulation.timeline import started_within, timeline_of

SPANS = 160  # of time; more would blur
POINTS = 480
DAY_S = 86_400.0
MARKS_S = (0.0, 10.0, 60.0, 600.0, 3_600.0, 6 * 3_600.0, DAY_S, 7 * DAY_S, 30 * DAY_S)
LEAST_WAIT_S = 60.0  # the axis of waits reaches at least so far


@dataclass(frozen=True, kw_only=True)
class Words:
    """What the axes are called, in the reader's language."""

    utilisation: str
    waiting: str
    days: str
    started: str
    wait: str


def draw_timeline(replays: Sequence[Replay], words: Words, *, title: str) -> str:
    """Utilisation above and jobs waiting below, over the days of the trace."""
    lines = {one.policy: timeline_of(one, points=SPANS) for one in replays}
    begin_s = min(float(line.edge_s[0]) for line in lines.values())
    span_s = max(float(line.edge_s[-1]) for line in lines.values()) - begin_s
    at = {
        name: ((line.edge_s[:-1] + line.edge_s[1:]) / 2 - begin_s) / span_s
        for name, line in lines.items()
    }
    busy = {name: line.utilisation for name, line in lines.items()}
    waiting = {name: line.waiting for name, line in lines.items()}
    most = _rounded_up(max(float(values.max()) for values in waiting.values()))
    marks = [(tick / TICKS, f"{span_s / DAY_S * tick / TICKS:.3g}") for tick in range(TICKS + 1)]
    return draw(
        [
            Panel(label=words.utilisation, high=1.0, at=at, lines=busy),
            Panel(label=words.waiting, high=most, at=at, lines=waiting),
        ],
        Axis(label=words.days, marks=marks),
        title=title,
    )


def draw_waits(replays: Sequence[Replay], words: Words, *, title: str) -> str:
    """The share of the jobs that had started after each wait; the axis is logarithmic."""
    longest_s = max(
        LEAST_WAIT_S,
        *(float(np.nanmax(one.start_s - one.workload.submit_s)) for one in replays),
    )
    across = np.linspace(0, 1, POINTS)
    wait_s = np.expm1(across * math.log1p(longest_s))
    lines = {one.policy: started_within(one, wait_s) for one in replays}
    marks = [
        (math.log1p(mark_s) / math.log1p(longest_s), _short(mark_s))
        for mark_s in MARKS_S
        if mark_s <= longest_s
    ]
    at = dict.fromkeys(lines, across)
    return draw(
        [Panel(label=words.started, high=1.0, at=at, lines=lines)],
        Axis(label=words.wait, marks=marks),
        title=title,
    )


def _rounded_up(most: float) -> float:
    """An upper end of an axis whose marks are numbers that people like."""
    step = max(most, 1.0) / TICKS
    power = 10.0 ** math.floor(math.log10(step))
    return TICKS * next(power * nice for nice in (1, 2, 5, 10) if step <= power * nice)


def _short(seconds: float) -> str:
    """A time in its largest whole unit."""
    for unit, length_s in (("d", DAY_S), ("h", 3_600.0), ("min", 60.0)):
        if seconds >= length_s:
            return f"{seconds / length_s:g} {unit}"
    return f"{seconds:g} s"
