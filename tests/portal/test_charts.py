"""Geometry of the small charts."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from haihe.portal.charts import HEIGHT, MARGIN, WIDTH, line, share_percent

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
