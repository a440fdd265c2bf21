"""Steps across channels: picking, references, the Laplacian, the eyes' share, clipped stretches.

No matrix product is used: a linear algebra library may add in another order for another number of
rows, and then a replay would not be bit-equal to the recording taken whole. Sums run over channels
in a fixed order instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy import signal as sps

from bci_rehab.errors import ChannelUnknown
from bci_rehab.signal import layout
from bci_rehab.signal.blocks import ChannelKind, Floats, StreamInfo
from bci_rehab.signal.pieces import Bools, Piece


@dataclass
class Pick:
    """Keep some channels, in the order given. What follows is built with its ``info``."""

    source: StreamInfo
    names: Sequence[str]
    latency_s: float = 0.0
    settle_s: float = 0.0

    def __post_init__(self) -> None:
        self._columns = [_column(self.source, name) for name in self.names]
        self.info = replace(
            self.source, channels=tuple(self.source.channels[column] for column in self._columns)
        )

    def process(self, piece: Piece) -> Piece:
        """Drop the other channels."""
        return replace(piece, samples=np.ascontiguousarray(piece.samples[..., self._columns]))

    def reset(self) -> None:
        """Nothing is kept."""


@dataclass
class Reference:
    """Subtract the mean of some channels from all EEG channels.

    Without ``names`` this is the common average of the EEG channels; ``without`` leaves bad ones
    out of the mean.
    """

    info: StreamInfo
    names: Sequence[str] = ()
    without: Sequence[str] = ()
    latency_s: float = 0.0
    settle_s: float = 0.0

    def __post_init__(self) -> None:
        self._eeg = self.info.indices(ChannelKind.EEG)
        named = [_column(self.info, name) for name in self.names] or self._eeg
        left_out = {_column(self.info, name) for name in self.without}
        self._mean_of = [column for column in named if column not in left_out]
        if not self._mean_of:
            raise ChannelUnknown(channel="reference")

    def process(self, piece: Piece) -> Piece:
        """Subtract it."""
        total = np.zeros(piece.samples.shape[:-1])
        for column in self._mean_of:
            total += piece.samples[..., column]
        samples = piece.samples.copy()
        samples[..., self._eeg] -= (total / len(self._mean_of))[..., None]
        return replace(piece, samples=samples)

    def reset(self) -> None:
        """Nothing is kept."""


@dataclass
class Laplacian:
    """Subtract from each named channel the mean of its nearest neighbours (Hjorth 1975).

    Neighbours weigh by the inverse of their distance. The result holds the named channels only, or
    all electrodes where none is named.
    """

    source: StreamInfo
    names: Sequence[str] = ()
    neighbours: int = 4
    latency_s: float = 0.0
    settle_s: float = 0.0

    def __post_init__(self) -> None:
        electrodes = [
            channel.name
            for channel in self.source.channels
            if channel.kind is ChannelKind.EEG and layout.is_electrode(channel.name)
        ]
        chosen = tuple(self.names) or tuple(electrodes)
        count = min(self.neighbours, len(electrodes) - 1)
        if count < 1:
            raise ChannelUnknown(channel="neighbour")
        self._centre = [_column(self.source, name) for name in chosen]
        around = [layout.neighbours(name, electrodes, count=count) for name in chosen]
        self._around = np.array([[_column(self.source, near) for near in row] for row in around])
        here = layout.positions(chosen)
        there = np.array([layout.positions(row) for row in around])
        weights = 1.0 / np.linalg.norm(there - here[:, None, :], axis=2)
        self._weights = weights / weights.sum(axis=1, keepdims=True)
        self.info = replace(
            self.source, channels=tuple(self.source.channels[column] for column in self._centre)
        )

    def process(self, piece: Piece) -> Piece:
        """Subtract the neighbours."""
        samples = np.ascontiguousarray(piece.samples[..., self._centre])
        for rank in range(self._around.shape[1]):
            samples -= piece.samples[..., self._around[:, rank]] * self._weights[:, rank]
        return replace(piece, samples=samples)

    def reset(self) -> None:
        """Nothing is kept."""


@dataclass
class EyeRegression:
    """Subtract the eyes' share from EEG, by coefficients from a calibration (Gratton 1983).

    Belongs behind a high pass, since an offset of the eye channels would be carried along.

    Attributes
    ----------
    coefficients : ndarray, shape (eye channels, cleaned channels)
        Microvolts of EEG for a microvolt of the eye channel.
    """

    info: StreamInfo
    eyes: Sequence[str]
    coefficients: Floats
    latency_s: float = 0.0
    settle_s: float = 0.0

    def __post_init__(self) -> None:
        self._eyes = [_column(self.info, name) for name in self.eyes]
        self._cleaned = _cleaned(self.info, self._eyes)
        if self.coefficients.shape != (len(self._eyes), len(self._cleaned)):
            raise ValueError("one coefficient for each eye channel and each cleaned channel")

    @classmethod
    def fitted(cls, info: StreamInfo, samples: Floats, eyes: Sequence[str]) -> EyeRegression:
        """Find the coefficients in a calibration with blinks and glances.

        ``eyes`` are the EOG channels, or Fp1 and Fp2 where there are none. Fitted between 1 and
        8 Hz, where blinks are large and the brain's own rhythms are not.
        """
        eye_columns = [_column(info, name) for name in eyes]
        band = sps.butter(2, [1.0, 8.0], "bandpass", fs=info.rate_hz, output="sos")
        slow = sps.sosfilt(band, samples - samples[0], axis=0)
        cleaned = _cleaned(info, eye_columns)
        coefficients, *_ = np.linalg.lstsq(slow[:, eye_columns], slow[:, cleaned], rcond=None)
        return cls(info, eyes, coefficients)

    def process(self, piece: Piece) -> Piece:
        """Subtract it."""
        samples = piece.samples.copy()
        for rank, column in enumerate(self._eyes):
            share = piece.samples[..., column, None] * self.coefficients[rank]
            samples[..., self._cleaned] -= share
        return replace(piece, samples=samples)

    def reset(self) -> None:
        """Nothing is kept."""


@dataclass
class ClipMark:
    """Mark as unusable where a channel swings beyond a limit, and for a while after.

    At the head of a chain the limit is the amplifier's range; behind a high pass it is what EEG
    cannot reach, and catches muscle and movement.
    """

    info: StreamInfo
    limit_uv: float
    hold_s: float = 0.5
    latency_s: float = 0.0
    settle_s: float = 0.0
    _left: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._eeg = self.info.indices(ChannelKind.EEG)
        self._hold = max(1, round(self.hold_s * self.info.rate_hz))

    def process(self, piece: Piece) -> Piece:
        """Mark the rows; the samples stay."""
        if not len(piece):
            return piece
        beyond = np.abs(piece.samples[..., self._eeg]) >= self.limit_uv
        clipped = np.asarray(beyond.reshape(len(piece), -1).any(axis=1))
        marked, self._left = held(clipped, self._hold, self._left)
        return replace(piece, usable=piece.usable & ~marked)

    def reset(self) -> None:
        """Forget the last swing."""
        self._left = 0


def held(flags: Bools, hold: int, left: int) -> tuple[Bools, int]:
    """Stretch each flag over the ``hold`` rows after it.

    ``left`` is how many rows an earlier flag still covers; what is then left is returned too.
    """
    rows = np.arange(len(flags))
    last = np.maximum.accumulate(np.where(flags, rows, left - hold - 1))
    marked = rows - last <= hold
    return marked, max(0, hold - (len(flags) - 1 - int(last[-1])))


def _column(info: StreamInfo, name: str) -> int:
    wanted = layout.normalise(name)
    for index, channel in enumerate(info.channels):
        if layout.normalise(channel.name) == wanted:
            return index
    raise ChannelUnknown(channel=name)


def _cleaned(info: StreamInfo, eyes: list[int]) -> list[int]:
    return [column for column in info.indices(ChannelKind.EEG) if column not in eyes]
