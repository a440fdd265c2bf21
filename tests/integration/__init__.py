"""Real schedulers for tests: each started by a test session that needs it, and ended with it."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from typing import TypeVar

T = TypeVar("T")


class NotInstalled(RuntimeError):
    """The machine lacks a part; the message says how to get it."""


def serve(
    make: Callable[[], AbstractContextManager[T]],
    tell: Callable[[T], str],
    pool: Callable[[T], Mapping[str, object]],
) -> None:
    """Run a cluster by hand until it is interrupted or terminated; print how to reach it.

    With ``--toml``, for a program: a pool's fields as an agent's file has them, and an empty line.
    """
    if "--toml" in sys.argv:
        tell = lambda running: toml_of(pool(running))  # noqa: E731
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with suppress(KeyboardInterrupt), make() as running:
            print(tell(running), flush=True)
            signal.pause()
    except NotInstalled as error:
        raise SystemExit(str(error)) from None


def toml_of(fields: Mapping[str, object]) -> str:
    """A pool's fields as an agent's file has them."""
    return "".join(f'{name} = "{value}"\n' for name, value in fields.items())
