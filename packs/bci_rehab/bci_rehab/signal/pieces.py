"""What passes between the steps of a filter chain, and what a step promises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bci_rehab.signal.blocks import Floats

Bools = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Filtered samples without gaps: row ``i`` is the source's sample ``first + i * stride``.

    Attributes
    ----------
    samples : ndarray, shape (rows, channels) or (rows, bands, channels)
        Microvolts.
    usable : ndarray of bool, shape (rows,)
        False where samples were lost and bridged, clipped, or the filters had not settled.
    device_s : ndarray, shape (rows,)
        Seconds of the device's clock.
    host_s : float
        When the block behind it arrived.
    """

    first: int
    samples: Floats
    usable: Bools
    device_s: Floats
    host_s: float
    stride: int = 1

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def end(self) -> int:
        """The source's sample that would follow."""
        return self.first + len(self.samples) * self.stride


class Step(Protocol):
    """One step of a chain. The same samples give the same bits however they are cut.

    ``latency_s`` is the group delay in the band it passes; ``settle_s`` is how long after a break
    its output is not to be used.
    """

    latency_s: float
    settle_s: float

    def process(self, piece: Piece) -> Piece:
        """Take the next piece."""
        ...

    def reset(self) -> None:
        """Forget the past."""
        ...
