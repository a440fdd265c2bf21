"""What a pack's own demonstration is given: ``[commands] demo`` in its manifest.

The platform prepares an organisation, a member of its staff for each duty that the pack brings,
and the pack's services; the pack's callable does the rest with its own services, and returns what
it did as plain values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from haihe.policy.domain import Principal

Say = Callable[[str, str], None]


@dataclass(frozen=True, kw_only=True)
class Demonstration:
    """``say(step, text)`` is told what happened, as it happens.

    ``staff`` has one person by duty, who belongs to ``organisation`` (a slug); ``folder`` is where
    files for the reader are left.
    """

    say: Say
    organisation: str
    staff: Mapping[str, Principal]
    folder: Path
