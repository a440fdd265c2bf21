"""Who runs a command: a person named by ``--as`` or ``HAIHE_AS``, or the machine's console.

Whoever can run commands on the machine can read its database, so the console is the platform
itself: it may maintain and look at everything. What is done *for* an organisation needs a person,
because evidence names who did it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from haihe.kernel.errors import Invalid, gettext_noop
from haihe.kernel.wiring import Slot
from haihe.policy.domain import Principal, system_principal

CONSOLE = system_principal("console")
AS_VARIABLE = "HAIHE_AS"
SIGN_IN: Slot[Callable[[str], Principal]] = Slot("command-line sign-in")


@dataclass(kw_only=True, eq=False)
class PersonNeeded(Invalid):
    """A command acts for an organisation, and nobody was named."""

    code: ClassVar[str] = "cli.person_needed"
    template: ClassVar[str] = gettext_noop(
        "This is done in a person's name. Say who: haihe --as EMAIL ..., or set HAIHE_AS."
    )


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
