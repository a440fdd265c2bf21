"""A recording through the live chain all at once: what calibration learns from, and what the live
path is held against.

Blocks go through the chain as they came; windows are then cut by their sample numbers, wherever
they are wanted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from bci_rehab.errors import TooLittleToLearn
from bci_rehab.session.decoding import is_flat
from bci_rehab.session.motor_live import motor_chain
from bci_rehab.signal.blocks import Block, Floats, StreamInfo
from bci_rehab.signal.pieces import Piece


@dataclass(frozen=True)
class Filtered:
    """A recording behind the chain.

    ``ends`` are the source's sample numbers just after each row, growing; ``samples`` has the shape
    (rows, bands, channels); ``whole`` counts the stretch that a row belongs to: a window must not
    reach from one into the next.
    """

    ends: NDArray[np.int64]
    samples: Floats
    usable: NDArray[np.bool_]
    whole: NDArray[np.int64]
    stride: int
    rate_hz: float

    def window(self, end: int, length_s: float) -> Floats | None:
        """The window of (bands, channels, samples) before ``end``; None if it is not all good."""
        stop = int(np.searchsorted(self.ends, end, side="right"))
        start = stop - round(length_s * self.rate_hz)
        if start < 0 or self.whole[start] != self.whole[stop - 1]:
            return None
        if not self.usable[start:stop].all() or is_flat(self.samples[start:stop]):
            return None
        return np.moveaxis(self.samples[start:stop], 0, -1)

    def looks(self, length_s: float, step_s: float) -> Iterator[int]:
        """Where a live decoder looks: the ends of its windows, anew after each break."""
        length = round(length_s * self.rate_hz)
        step = max(1, round(step_s * self.rate_hz))
        _, begins, rows = np.unique(self.whole, return_index=True, return_counts=True)
        for begin, count in zip(begins.tolist(), rows.tolist(), strict=True):
            yield from map(int, self.ends[begin + length - 1 : begin + count : step])


def filtered(info: StreamInfo, blocks: Iterable[Block]) -> Filtered:
    """All of a recording through the chain, block after block as it came."""
    chain = motor_chain(info)
    pieces: list[Piece] = [piece for piece in map(chain.process, blocks) if len(piece.samples)]
    if not pieces:
        raise TooLittleToLearn(what="a decoder", found="no signal", needed="a recording")
    whole = np.cumsum([0, *(b.first != a.end for a, b in pairwise(pieces))])
    return Filtered(
        ends=np.concatenate(
            [piece.first + piece.stride * np.arange(1, len(piece) + 1) for piece in pieces]
        ),
        samples=np.concatenate([piece.samples for piece in pieces]),
        usable=np.concatenate([piece.usable for piece in pieces]),
        whole=np.repeat(whole, [len(piece) for piece in pieces]),
        stride=pieces[0].stride,
        rate_hz=info.rate_hz / pieces[0].stride,
    )
