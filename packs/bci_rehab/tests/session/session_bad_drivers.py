"""Drivers that misbehave, for the actuator's process. They keep a log in a file."""

import time
from dataclasses import dataclass
from pathlib import Path

from bci_rehab.session.drivers.hand import SimulatedHand


@dataclass(kw_only=True)
class Raises(SimulatedHand):
    """Moves once, and fails at the third call of `on` with the hand closed."""

    calls: int = 0

    def on(self, level):
        super().on(level)
        self.calls += 1
        if self.calls >= 3:
            raise OSError("the stimulator reports a short circuit")


@dataclass(kw_only=True)
class Hangs(SimulatedHand):
    """Closes the hand and does not come back."""

    def on(self, level):
        super().on(level)
        time.sleep(3600)


@dataclass(kw_only=True)
class HoldsTheInterpreter(SimulatedHand):
    """Closes the hand inside a library that keeps all threads of the process out."""

    def on(self, level):
        import ctypes

        super().on(level)
        ctypes.PyDLL(None).sleep(3600)


@dataclass(kw_only=True)
class NotThere(SimulatedHand):
    def open(self):
        raise OSError("no such device")


@dataclass(kw_only=True)
class LogsCalls(SimulatedHand):
    log: Path = Path()

    def on(self, level):
        with self.log.open("a") as file:
            file.write(f"on {level} {time.monotonic()}\n")
        super().on(level)

    def off(self):
        with self.log.open("a") as file:
            file.write(f"off 0 {time.monotonic()}\n")
        super().off()
