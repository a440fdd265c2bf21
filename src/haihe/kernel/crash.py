"""Named instants at which a test may kill the process.

``HAIHE_CRASH_AT=ledger.before_commit:3`` ends the process with SIGKILL the third time the point is
passed. A sweep over all names and counts then shows that a restart finds money, evidence and jobs
as they must be. In production the variable is unset and a point costs one comparison.
"""

from __future__ import annotations

import os
import signal
from collections import Counter

_passed: Counter[str] = Counter()


def crash_point(name: str) -> None:
    """Die here if ``HAIHE_CRASH_AT`` names this point and its count is reached."""
    target = os.environ.get("HAIHE_CRASH_AT")
    if target is None:
        return
    wanted, _, count = target.partition(":")
    if wanted != name:
        return
    _passed[name] += 1
    if _passed[name] == int(count or 1):
        os.kill(os.getpid(), signal.SIGKILL)
