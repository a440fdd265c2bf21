"""Real schedulers for tests: each started by a test session that needs it, and ended with it."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import TypeVar

T = TypeVar("T")


class NotInstalled(RuntimeError):
    """The machine lacks a part; the message says how to get it."""


def serve(make: Callable[[], AbstractContextManager[T]], tell: Callable[[T], str]) -> None:
    """Run a cluster by hand until it is interrupted or terminated; print how to reach it."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with suppress(KeyboardInterrupt), make() as running:
            print(tell(running), flush=True)
            signal.pause()
    except NotInstalled as error:
        raise SystemExit(str(error)) from None
