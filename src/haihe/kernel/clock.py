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

Clock = Callable[[], datetime]


def system_clock() -> datetime:
    """The machine's time, in UTC, with zone."""
    return datetime.now(UTC)


_clock: ContextVar[Clock] = ContextVar("haihe_clock", default=system_clock)


def now() -> datetime:
    """The present instant in UTC, with zone, from the installed clock."""
    instant = _clock.get()()
    assert instant.tzinfo is not None, "a clock must return zoned time"
    return instant


@contextmanager
def use_clock(clock: Clock) -> Iterator[None]:
    """Install ``clock`` for this context, and the one before it afterwards."""
    token = _clock.set(clock)
    try:
        yield
    finally:
        _clock.reset(token)
