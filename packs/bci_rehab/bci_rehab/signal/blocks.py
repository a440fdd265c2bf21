"""What passes from a source to everything behind it: what the source is, and blocks of samples.

Amplitudes are microvolts. Each sample has a number that the device gave it, lost ones counted, so
that a gap is seen as a jump of the number and never has to be guessed from times.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class ChannelKind(StrEnum):
    """What an electrode or sensor measures."""

    EEG = "eeg"
    EOG = "eog"
    EMG = "emg"
    TRIGGER = "trigger"
    OTHER = "other"


@dataclass(frozen=True, kw_only=True)
class Channel:
    """One column of samples. ``microvolts_per_unit`` brings the source's own unit to microvolts."""

    name: str
    kind: ChannelKind = ChannelKind.EEG
    microvolts_per_unit: float = 1.0


@dataclass(frozen=True, kw_only=True)
class StreamInfo:
    """What a source says of itself. ``source_id`` is the same device's after a restart."""

    name: str
    source_id: str
    rate_hz: float
    channels: tuple[Channel, ...]

    def named(self, kind: ChannelKind) -> tuple[str, ...]:
        """The names of the channels of one kind."""
        return tuple(channel.name for channel in self.channels if channel.kind is kind)

    def indices(self, kind: ChannelKind) -> list[int]:
        """The columns of the channels of one kind."""
        return [index for index, channel in enumerate(self.channels) if channel.kind is kind]


@dataclass(frozen=True, kw_only=True)
class Block:
    """Consecutive samples.

    Attributes
    ----------
    first : int
        The device's number of the first sample; a jump against the block before is a gap.
    samples : ndarray, shape (samples, channels)
        Microvolts.
    device_s : ndarray, shape (samples,)
        When each was taken, in seconds of the device's clock.
    host_s : float
        When the block arrived, in seconds of the host's monotonic clock.
    """

    first: int
    samples: Floats
    device_s: Floats
    host_s: float

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def end(self) -> int:
        """The number of the sample that would follow."""
        return self.first + len(self.samples)
