"""Whether the live path computes what the off-line path computes: bit by bit, on public recordings.

Live is a replay through the acquisition's process, its ring, the chain and the sliding window, cut
as it comes; off-line is what calibration learns from: the whole recording filtered at once, windows
cut by their sample numbers, all asked in one call. No tolerance: a difference in the last bit would
be a difference in kind.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from typing import Any

import numpy as np

from bci_rehab.decode.covariance import Floats
from bci_rehab.decode.following import FollowingTangent
from bci_rehab.decode.settings import STEP_S, WINDOW_S
from bci_rehab.errors import SourceFailed
from bci_rehab.session.decoding import WindowDecoder
from bci_rehab.session.motor_live import Kept, stream_decoder
from bci_rehab.session.offline import filtered
from bci_rehab.signal.acquisition import Acquisition
from bci_rehab.signal.blocks import Block, StreamInfo
from bci_rehab.signal.recording import Recording
from bci_rehab.signal.sources.replay import Replay

BLOCK_S = 0.05
# Fast, and yet slow enough for the reader to come between blocks.
SPEED = 40.0
PATIENCE_S = 120.0
CUTS = ((1, 2, 3, 5, 8, 13), (160,), (7, 161, 1))

MakeStreamDecoder = Callable[[StreamInfo, FollowingTangent, Kept], WindowDecoder]


@dataclass(frozen=True, kw_only=True)
class Sameness:
    """What was compared. ``ways`` counts the cuts of the stream, the live one included.

    ``blocks`` is in how many pieces the live stream came.
    """

    samples: int
    windows: int
    ways: int
    blocks: int
    live_equal: bool
    cuts_equal: bool

    @property
    def features_equal(self) -> bool:
        """Bit-equal, whichever way the stream came."""
        return self.live_equal and self.cuts_equal


def compare(
    recording: Recording,
    model: FollowingTangent,
    *,
    make: MakeStreamDecoder | None = None,
    cuts: Sequence[Sequence[int]] = CUTS,
) -> Sameness:
    """Hold the live path against the off-line path; ``make`` may be another live path."""
    made = make or _usual
    wanted = _offline(recording, model)
    blocks = list(_live_blocks(recording))
    live = _kept(recording, model, made, blocks)
    others = [_kept(recording, model, made, _cut(recording, sizes)) for sizes in cuts]
    return Sameness(
        samples=len(recording),
        windows=len(wanted[0]),
        ways=1 + len(others),
        blocks=len(blocks),
        live_equal=_equal(live, wanted),
        cuts_equal=all(_equal(other, wanted) for other in others),
    )


def _usual(info: StreamInfo, model: FollowingTangent, kept: Kept) -> WindowDecoder:
    return stream_decoder(info, model, kept=kept)


def _offline(recording: Recording, model: FollowingTangent) -> tuple[Floats, Floats]:
    """Windows and log-probabilities of the path by which calibration learns, taken whole."""
    path = filtered(recording.info, recording.blocks(len(recording)))
    looks = (path.window(end, WINDOW_S) for end in path.looks(WINDOW_S, STEP_S))
    windows = np.stack([window for window in looks if window is not None])
    return windows, model.follower().log_probabilities(windows)


def _kept(
    recording: Recording, model: FollowingTangent, make: MakeStreamDecoder, blocks: Any
) -> tuple[Floats, Floats]:
    kept = Kept(model)
    decoder = make(recording.info, model, kept)
    for block in blocks:
        decoder.push(block)
    return np.array(kept.windows), np.array(kept.said)


def _cut(recording: Recording, sizes: Sequence[int]) -> Iterator[Block]:
    """The recording in blocks of these sizes, over and over; never over a gap."""
    turns = cycle(sizes)
    for whole in recording.blocks(len(recording)):
        start = 0
        while start < len(whole):
            stop = min(start + next(turns), len(whole))
            yield Block(
                first=whole.first + start,
                samples=whole.samples[start:stop],
                device_s=whole.device_s[start:stop],
                host_s=whole.host_s,
            )
            start = stop


def _live_blocks(recording: Recording) -> Any:
    """The recording as it comes out of the acquisition's process and its ring."""
    factory = partial(Replay, recording, speed=SPEED, block_s=BLOCK_S)
    # A ring that holds the whole recording: the replay waits for no reader.
    with Acquisition(factory, ring_s=recording.duration_s + 1.0) as acquisition:
        reader = acquisition.reader(from_oldest=True)
        rows, until_s = 0, time.monotonic() + PATIENCE_S
        while rows < len(recording):
            if time.monotonic() > until_s:
                raise SourceFailed(source=recording.info.name, reason="the replay did not end")
            block = reader.read(0.1)
            if block is not None:
                rows += len(block)
                yield block
        reader.close()


def _equal(found: tuple[Floats, Floats], wanted: tuple[Floats, Floats]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True))
