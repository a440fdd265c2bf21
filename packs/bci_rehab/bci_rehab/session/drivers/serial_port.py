"""Actuators on a serial port: functional electrical stimulators, orthoses, microcontrollers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bci_rehab.errors import ActuatorUnavailable
from bci_rehab.session.drivers import HOLD_MS

WRITE_TIMEOUT_S = 0.05


@dataclass(kw_only=True)
class SerialDriver:
    """Sends short lines of ASCII: ``L<level in percent> H<hold in ms>``, so ``L080 H200``.

    Off is ``L000 H000``. A write that the device does not take within 50 ms is an error.
    """

    port: str
    baud: int = 115_200
    name: str = "serial"
    _serial: Any = field(default=None, repr=False)

    def open(self) -> None:
        """Open the port, and turn off."""
        import serial

        try:
            self._serial = serial.Serial(self.port, self.baud, write_timeout=WRITE_TIMEOUT_S)
        except (serial.SerialException, ValueError) as error:
            raise ActuatorUnavailable(
                driver=f"{self.name} {self.port}", reason=str(error)
            ) from error
        self.off()

    def on(self, level: float) -> None:
        """Ask for ``level``, rounded up to a whole percent so that on is never 0."""
        percent = min(100, max(1, round(level * 100)))
        self._send(f"L{percent:03d} H{HOLD_MS:03d}\n")

    def off(self) -> None:
        """Ask for rest."""
        self._send("L000 H000\n")

    def close(self) -> None:
        """Turn off and close the port."""
        if self._serial is not None:
            try:
                self.off()
            finally:
                self._serial.close()
                self._serial = None

    def _send(self, line: str) -> None:
        assert self._serial is not None, "open comes first"
        self._serial.write(line.encode("ascii"))
