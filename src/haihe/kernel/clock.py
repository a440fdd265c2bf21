"""The one place that knows what time it is.

Domain code takes ``now`` as an argument. Services call :func:`now`, which reads the clock that is
installed in the current context, so that a test or a simulation moves time by hand and no test
waits on real time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

from haihe.kernel.errors import InvalidField

Clock = Callable[[], datetime]
# Before it nothing was recorded; near the ends of the calendar, other zones have no such time.
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)


def system_clock() -> datetime:
    """The machine's time, in UTC, with zone."""
    return datetime.now(UTC)


_clock: ContextVar[Clock] = ContextVar("haihe_clock", default=system_clock)


def now() -> datetime:
    """The present instant in UTC, with zone, from the installed clock."""
    instant = _clock.get()()
    assert instant.tzinfo is not None, "a clock must return zoned time"
    return instant


def check_past(instant: datetime | None, *, field: str, latest: datetime) -> datetime:
    """The instant that a question is of: ``latest`` if none was given, and none after it."""
    if instant is None:
        return latest
    if instant.tzinfo is None:
        raise InvalidField(field=field, value=instant.isoformat(), rule="give a time with its zone")
    if not EARLIEST <= instant <= latest:
        raise InvalidField(field=field, value=instant.isoformat(), rule="give a time in the past")
    return instant


@contextmanager
def use_clock(clock: Clock) -> Iterator[None]:
    """Install ``clock`` for this context, and the one before it afterwards."""
    token = _clock.set(clock)
    try:
        yield
    finally:
        _clock.reset(token)
