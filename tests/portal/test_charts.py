"""Geometry of the small charts."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from haihe.portal.charts import (
    HEIGHT,
    MARGIN,
    WIDTH,
    curves,
    line,
    round_above,
    share_percent,
)

numbers = st.floats(allow_nan=False, allow_infinity=False, width=32)


@given(value=st.floats(), maximum=st.floats())
def test_a_bar_is_never_wider_than_its_track(value: float, maximum: float) -> None:
    assert 0 <= share_percent(value, maximum) <= 100


def test_a_bar_is_as_full_as_its_share() -> None:
    assert share_percent(26, 32) == 81.25
    assert share_percent(40, 30) == 100
    assert share_percent(-1, 30) == 0
    assert share_percent(1, 0) == 0


@given(values=st.lists(numbers, min_size=2, max_size=50))
def test_a_line_stays_in_its_box_from_edge_to_edge(values: list[float]) -> None:
    drawn = line(values)
    assert drawn is not None
    dots = [tuple(map(float, point.split(","))) for point in drawn.points.split(" ")]
    assert len(dots) == len(values)
    assert dots[0][0] == 0
    assert math.isclose(dots[-1][0], WIDTH, abs_tol=0.01)
    assert all(MARGIN - 0.01 <= y <= HEIGHT - MARGIN + 0.01 for _, y in dots)


def test_higher_values_stand_higher_and_flat_ones_in_the_middle() -> None:
    rising, flat = line([1, 2]), line([7, 7, 7])
    assert rising is not None
    assert rising.points == f"0,{HEIGHT - MARGIN:g} {WIDTH:g},{MARGIN:g}"
    assert flat is not None
    assert flat.last_y == HEIGHT / 2


def test_one_value_makes_no_line() -> None:
    assert line([5]) is None
    assert line([]) is None


BEGINS = datetime(2026, 11, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
WEEK = timedelta(days=7)


def points(*hours: float, value: float = 1.0) -> list[tuple[datetime, float]]:
    return [(BEGINS + hour * HOUR, value) for hour in hours]


@given(value=st.floats(min_value=1e-6, max_value=1e12))
def test_a_scale_ends_at_a_round_number_that_is_not_far_off(value: float) -> None:
    top = round_above(value)
    assert value <= top * (1 + 1e-9)
    assert top <= value * 2.5 * (1 + 1e-9)
    assert round_above(0) == 1


def test_a_chart_joins_what_is_near_and_leaves_a_gap_where_nothing_was_measured() -> None:
    drawn = curves([{"label": "a", "points": points(0, 1, 2, 9, 10)}], BEGINS, BEGINS + WEEK)
    assert drawn is not None
    path = drawn.lines[0].path
    assert (path.count("M"), path.count("L")) == (2, 3)
    assert path.startswith("M0.00,")


def test_lines_share_a_scale_from_zero_and_a_table() -> None:
    series: list[dict[str, Any]] = [
        {"label": "a", "points": points(0, 1, value=30)},
        {"label": "none", "points": []},
        {"label": "b", "points": points(1, 2, value=60)},
    ]
    drawn = curves(series, BEGINS, BEGINS + WEEK)
    assert drawn is not None
    assert ([one.label for one in drawn.lines], drawn.most) == (["a", "b"], 100)
    heights = [float(re.findall(r",([\d.]+)", one.path)[0]) for one in drawn.lines]
    assert heights == [round(HEIGHT * 0.7, 2), round(HEIGHT * 0.4, 2)]
    assert [values for _, values in drawn.rows] == [[None, 60], [30, 60], [30, None]]
    above = curves(series, BEGINS, BEGINS + WEEK, most=50)
    assert above is not None
    assert ",0.00" in above.lines[1].path


def test_marks_stand_at_local_midnights_and_inside_the_chart() -> None:
    drawn = curves([{"label": "a", "points": points(1)}], BEGINS, BEGINS + WEEK)
    assert drawn is not None
    assert [mark.text for mark in drawn.marks] == [f"11-0{day}" for day in range(2, 9)]
    assert all(0 < mark.x < 100 for mark in drawn.marks)
    day = curves([{"label": "a", "points": points(1)}], BEGINS, BEGINS + 24 * HOUR)
    assert day is not None
    assert [mark.text for mark in day.marks] == ["12:00", "18:00", "00:00", "06:00"]


def test_nothing_measured_is_no_chart() -> None:
    assert curves([{"label": "a", "points": []}], BEGINS, BEGINS + WEEK) is None
    assert curves([], BEGINS, BEGINS + WEEK) is None
