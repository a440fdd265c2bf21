"""Drivers of actuators, behind one protocol.

Each message that says "on" is a lease: the device must turn off by itself when it has heard
nothing for ``HOLD_MS``. The actuator's process repeats "on" well within it, and repeats "off"
some times, so that neither a cut cable nor a lost datagram leaves a hand moving.
"""

from __future__ import annotations

from typing import Protocol

# What a device keeps moving for without another word (ms). Its firmware must hold to it.
HOLD_MS = 200


class Driver(Protocol):
    """One actuator. Its calls return in a few milliseconds; ``off`` may come from another thread.

    ``off`` is safe at any time, also twice, also while ``on`` hangs. Whatever goes wrong is raised,
    never kept quiet: the caller then cuts the device off and says so.
    """

    @property
    def name(self) -> str:
        """What the session calls the device in its messages."""

    def open(self) -> None:
        """Connect, and turn off."""

    def on(self, level: float) -> None:
        """Move at ``level``, above 0 and at most 1, for at most ``HOLD_MS`` from now."""

    def off(self) -> None:
        """Stop moving."""

    def close(self) -> None:
        """Turn off and disconnect."""
