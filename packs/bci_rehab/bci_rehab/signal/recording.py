"""A recording in memory: its samples, where some are missing, and what happened when.

Rows hold the samples that are there. Events and gaps speak in sample numbers, which count the lost
samples too, so that an event keeps its time whatever was lost before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from bci_rehab.signal.blocks import Block, Floats, StreamInfo


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened, in sample numbers."""

    onset: int
    duration: int
    label: str


@dataclass(frozen=True, kw_only=True)
class Gap:
    """``lost`` samples are missing before row ``row``."""

    row: int
    lost: int


@dataclass(frozen=True, kw_only=True)
class Recording:
    """What a file or a session left behind.

    Attributes
    ----------
    info : StreamInfo
        The source, as it was.
    samples : ndarray, shape (rows, channels)
        Microvolts.
    first : int
        The number of the first row's sample.
    gaps : tuple of Gap
        By growing row.
    events : tuple of Event
        By growing onset.
    cut_short : str
        What is missing at the end and how that was seen; empty for a whole recording.
    """

    info: StreamInfo
    samples: Floats
    first: int = 0
    gaps: tuple[Gap, ...] = ()
    events: tuple[Event, ...] = ()
    cut_short: str = ""

    def __post_init__(self) -> None:
        rows = [0, *(gap.row for gap in self.gaps), len(self.samples)]
        if any(before > after for before, after in pairwise(rows)):
            raise ValueError("gaps lie within the recording, by growing row")
        if any(gap.lost < 1 for gap in self.gaps):
            raise ValueError("a gap has lost at least one sample")

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def duration_s(self) -> float:
        """From the first sample to the end of the last, what is lost included."""
        lost = sum(gap.lost for gap in self.gaps)
        return (len(self.samples) + lost) / self.info.rate_hz

    def segments(self) -> Iterator[tuple[int, int, int]]:
        """Unbroken stretches: the first sample's number, the first row, the row after the last."""
        number, row = self.first, 0
        for gap in self.gaps:
            if gap.row > row:
                yield number, row, gap.row
            number += gap.row - row + gap.lost
            row = gap.row
        if row < len(self.samples):
            yield number, row, len(self.samples)

    def row_of(self, number: int) -> int | None:
        """The row that holds a sample, or None where it was lost or lies outside."""
        for first, start, stop in self.segments():
            if first <= number < first + stop - start:
                return start + number - first
        return None

    def blocks(self, size: int) -> Iterator[Block]:
        """Cut into blocks of at most ``size`` samples, whose times follow from their numbers."""
        if size < 1:
            raise ValueError("a block holds at least one sample")
        for number, start, stop in self.segments():
            for row in range(start, stop, size):
                samples = self.samples[row : min(row + size, stop)]
                first = number + row - start
                device_s = np.arange(first, first + len(samples)) / self.info.rate_hz
                yield Block(
                    first=first,
                    samples=samples,
                    device_s=device_s,
                    host_s=float(device_s[-1]) + 1.0 / self.info.rate_hz,
                )

    def picked(self, columns: list[int]) -> Recording:
        """The same recording with some of its channels, in the order given."""
        channels = tuple(self.info.channels[column] for column in columns)
        return replace(
            self,
            info=replace(self.info, channels=channels),
            samples=np.ascontiguousarray(self.samples[:, columns]),
        )
