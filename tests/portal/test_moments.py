"""Instants as people read them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from django.utils import translation

from haihe.kernel.clock import use_clock
from haihe.portal.moments import describe, relative_to, zone_name

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def test_a_time_is_local_and_says_its_zone() -> None:
    with use_clock(lambda: NOON):
        shown = describe(NOON - timedelta(minutes=5, microseconds=7))
        assert shown.relative == "5\xa0minutes ago"
    assert (shown.text, shown.zone) == ("2026-11-22 19:54", "UTC+8")
    assert shown.machine == "2026-11-22T19:54:59+08:00"
    assert shown.utc == "2026-11-22 11:54:59 UTC"
    assert describe(NOON, seconds=True).text == "2026-11-22 20:00:00"


def test_a_day_has_no_zone_and_no_distance() -> None:
    shown = describe(date(2026, 1, 31))
    assert (shown.text, shown.zone, shown.relative) == ("2026-01-31", "", "")


@pytest.mark.parametrize(
    ("minutes", "name"), [(0, "UTC"), (480, "UTC+8"), (-210, "UTC-3:30"), (345, "UTC+5:45")]
)
def test_zones_have_one_meaning(minutes: int, name: str) -> None:
    assert zone_name(NOON.astimezone(timezone(timedelta(minutes=minutes)))) == name


def test_distance_in_both_directions_and_languages() -> None:
    assert relative_to(NOON - timedelta(seconds=20), NOON) == "just now"
    assert relative_to(NOON + timedelta(days=3), NOON) == "in 3\xa0days"
    with translation.override("zh-hans"):
        assert relative_to(NOON - timedelta(seconds=20), NOON) == "刚刚"
        assert relative_to(NOON - timedelta(hours=2), NOON).replace("\xa0", " ") == "2 小时前"
