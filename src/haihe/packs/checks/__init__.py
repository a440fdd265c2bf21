"""Conformance checks: what a pack is held to, each by a name that never changes.

:func:`run_checks` gives every check its say and computes the tier. A pack's own tests run the same
checks one by one, with :class:`Subject` and :func:`run_check`. A pack that cannot pass one says so
in its manifest under ``expected_failed``, with the reason: the check then does not fail the pack,
but does not count for its tier either.

The checks find mistakes, not malice: the pack's code runs in the same process and could look for
the labels elsewhere than in its context.
"""

from haihe.packs.checks import (  # noqa: F401 (each registers its checks)
    behaviour,
    portal,
    services,
    static,
)
from haihe.packs.checks.framework import (
    CHECKS,
    Check,
    Report,
    Result,
    Status,
    Subject,
    run_check,
    run_checks,
)

__all__ = [
    "CHECKS",
    "Check",
    "Report",
    "Result",
    "Status",
    "Subject",
    "run_check",
    "run_checks",
]
