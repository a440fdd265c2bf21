"""Named instants at which a test may end the process, or a simulation one of its actors.

``HAIHE_CRASH_AT=ledger.before_commit:3`` ends the process with SIGKILL the third time the point is
passed. A sweep over all names and counts then shows that a restart finds money, evidence and jobs
as they must be. A simulation that holds many actors in one process installs a hook instead, which
raises. In production neither is there, and a point costs two comparisons.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Hook = Callable[[str], None]

_passed: Counter[str] = Counter()
_hook: ContextVar[Hook | None] = ContextVar("haihe_crash_hook", default=None)


def crash_point(name: str) -> None:
    """Die here if ``HAIHE_CRASH_AT`` names this point and its count is reached."""
    hook = _hook.get()
    if hook is not None:
        hook(name)
    target = os.environ.get("HAIHE_CRASH_AT")
    if target is None:
        return
    wanted, _, count = target.partition(":")
    if wanted != name:
        return
    _passed[name] += 1
    if _passed[name] == int(count or 1):
        os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def use_crash_hook(hook: Hook) -> Iterator[None]:
    """Call ``hook`` at every point in this context; it may raise what nothing catches."""
    token = _hook.set(hook)
    try:
        yield
    finally:
        _hook.reset(token)
