"""Instants as people read them: local time, its zone, and how long ago."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from django.utils import timezone
from django.utils.timesince import timesince
from django.utils.translation import gettext

from haihe.kernel.clock import now

_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Moment:
    """One instant or day, written out.

    ``machine`` is ISO 8601 for the ``datetime`` attribute. A day has no zone and no distance.
    """

    value: date
    machine: str
    text: str
    zone: str
    utc: str

    @property
    def relative(self) -> str:
        """How long ago; worked out only where it is shown, for a table has a hundred of these."""
        return relative_to(self.value, now()) if isinstance(self.value, datetime) else ""


def describe(value: date, *, seconds: bool = False) -> Moment:
    """Write ``value`` in the portal's zone; a ``datetime`` must carry a zone."""
    if not isinstance(value, datetime):
        return Moment(value, value.isoformat(), value.isoformat(), "", "")
    assert value.tzinfo is not None, "times carry a zone"
    local = timezone.localtime(value)
    machine = local.isoformat(" ", "seconds")
    return Moment(
        value=value,
        machine=machine.replace(" ", "T"),
        text=machine[: 19 if seconds else 16],
        zone=zone_name(local),
        utc=f"{value.astimezone(UTC).isoformat(' ', 'seconds')[:19]} UTC",
    )


def zone_name(local: datetime) -> str:
    """The offset of a zoned time, as ``UTC+8``: unlike CST, it has one meaning."""
    offset = local.utcoffset()
    assert offset is not None
    minutes = int(offset.total_seconds()) // 60
    if minutes == 0:
        return "UTC"
    hours, rest = divmod(abs(minutes), 60)
    return f"UTC{'+' if minutes > 0 else '-'}{hours}" + (f":{rest:02d}" if rest else "")


def relative_to(value: datetime, instant: datetime) -> str:
    """How long before or after ``instant`` the value lies, in its largest unit."""
    if abs(value - instant) < _MINUTE:
        return gettext("just now")
    if value < instant:
        return gettext("%(time)s ago") % {"time": timesince(value, instant, depth=1)}
    return gettext("in %(time)s") % {"time": timesince(instant, value, depth=1)}
