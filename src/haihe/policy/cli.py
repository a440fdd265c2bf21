"""Who runs a command: a person named by ``--as`` or ``HAIHE_AS``, or the machine's console.

Whoever can run commands on the machine can read its database, so the console is the platform
itself: it may maintain and look at everything. What is done *for* an organisation needs a person,
because evidence names who did it.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from haihe.kernel.wiring import Slot
from haihe.policy.domain import Principal, system_principal
from haihe.policy.errors import PersonNeeded

CONSOLE = system_principal("console")
AS_VARIABLE = "HAIHE_AS"
SIGN_IN: Slot[Callable[[str], Principal]] = Slot("command-line sign-in")


def caller() -> Principal:
    """The person named, or the console."""
    email = os.environ.get(AS_VARIABLE)
    return SIGN_IN.get()(email) if email else CONSOLE


def person() -> Principal:
    """The person named; an error if none was."""
    principal = caller()
    if principal.id is None:
        raise PersonNeeded
    return principal
