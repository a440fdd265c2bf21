"""One protocol for all that delivers samples: amplifiers, streams, recordings, a synthetic patient.

Each source is a module of its own here, imported only where it is used: LSL and BrainFlow load
native libraries. Sources run in the acquisition's process; a source that also takes orders while it
runs (the synthetic patient's intention, a reading of impedances) names them in ``commands``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from bci_rehab.signal.blocks import Block, StreamInfo

Clock = Callable[[], float]
Sleep = Callable[[float], None]


@runtime_checkable
class Source(Protocol):
    """What the acquisition needs of a device.

    ``open`` may take seconds and raises a named error; ``read`` gives all consecutive samples that
    have arrived, or None when none did within the timeout; ``close`` may be called at any time,
    also twice, and after it the source can be opened again.
    """

    def open(self) -> StreamInfo:
        """Connect, and say what will come."""
        ...

    def read(self, timeout_s: float) -> Block | None:
        """Wait up to the timeout for samples."""
        ...

    def close(self) -> None:
        """Let the device go."""
        ...


@runtime_checkable
class Commanded(Protocol):
    """A source that takes orders by name while it runs; see ``Acquisition.ask``."""

    commands: frozenset[str]


@runtime_checkable
class MeasuresImpedance(Protocol):
    """A source that can tell each electrode's impedance."""

    def impedances(self) -> dict[str, float]:
        """Kilo-ohm by channel."""
        ...
