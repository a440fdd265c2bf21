"""Markers over the Lab Streaming Layer: other programs, or a recorder, follow the actuator."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from bci_rehab.session.drivers import HOLD_MS

# An outlet that goes takes with it what was not yet sent, and LSL has no call to wait for that.
LINGER_S = 0.1


@dataclass(kw_only=True)
class LslMarkerDriver:
    """An outlet of irregular rate with one text channel: ``on 0.80 200`` and ``off``.

    ``source_id`` stays the same after a restart, so that inlets reconnect by themselves.
    """

    stream: str = "haihe-actuator"
    source_id: str = "haihe-actuator"
    name: str = "lsl markers"
    _outlet: Any = field(default=None, repr=False)

    def open(self) -> None:
        """Announce the outlet, and say off."""
        import pylsl

        info = pylsl.StreamInfo(
            self.stream, "Markers", 1, pylsl.IRREGULAR_RATE, pylsl.cf_string, self.source_id
        )
        self._outlet = pylsl.StreamOutlet(info)
        self.off()

    def on(self, level: float) -> None:
        """Say the level."""
        self._say(f"on {level:.2f} {HOLD_MS}")

    def off(self) -> None:
        """Say off."""
        self._say("off")

    def close(self) -> None:
        """Say off and withdraw the outlet."""
        if self._outlet is not None:
            self.off()
            time.sleep(LINGER_S)
            self._outlet = None

    def _say(self, marker: str) -> None:
        assert self._outlet is not None, "open comes first"
        self._outlet.push_sample([marker])
