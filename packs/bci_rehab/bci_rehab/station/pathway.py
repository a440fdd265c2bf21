"""From samples to decisions: what calibration and a live session share.

A decoder learns from what comes out of the motor chain, and a session feeds it from the same chain,
so that nothing it meets live was filtered otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bci_rehab.decode.model import load
from bci_rehab.session.decoding import WindowDecoder
from bci_rehab.session.motor_live import motor_chain, stream_decoder
from bci_rehab.signal.blocks import Block, Floats, StreamInfo
from bci_rehab.signal.pieces import Piece


def open_decoder(path: Path, sha256: str, info: StreamInfo) -> WindowDecoder:
    """The decoder of a file, over the live stream of ``info``; made in the decoder's process.

    Raises
    ------
    DecoderDamaged, DecoderMismatch
        The file is not the accepted one, or was made for another source.
    """
    decoder = load(path, sha256=sha256)
    decoder.check(info)
    return stream_decoder(info, decoder.estimator)


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
        if not self.usable[start:stop].all():
            return None
        return np.moveaxis(self.samples[start:stop], 0, -1)


def filtered(info: StreamInfo, blocks: Iterable[Block]) -> Filtered:
    """All of a recording through the chain, block after block as it came."""
    chain = motor_chain(info)
    pieces: list[Piece] = [piece for piece in map(chain.process, blocks) if len(piece.samples)]
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
