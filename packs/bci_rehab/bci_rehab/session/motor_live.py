"""The live path of the motor decoder: its chain, and the decoder that goes behind a stream.

Off-line tasks and sessions build both here, so that what a benchmark scored is what a patient gets.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bci_rehab.decode.covariance import Floats
from bci_rehab.decode.following import BANDS_HZ, FollowingTangent
from bci_rehab.decode.settings import (
    MEMORY_WINDOWS,
    PRIOR_WINDOWS,
    REACH,
    STEP_S,
    SWING_UV,
    WINDOW_S,
)
from bci_rehab.session.decoding import WindowDecoder
from bci_rehab.signal import layout
from bci_rehab.signal.blocks import ChannelKind, StreamInfo
from bci_rehab.signal.filters import Chain, Decimate, FilterBank, Pick, Step, SwingMark

# Enough for what ends at 30 Hz; a faster stream is thinned out to this or a little more.
FILTERED_HZ = 250.0


def motor_chain(info: StreamInfo) -> Chain:
    """Electrodes over the sensorimotor cortex, thinned out, in the decoder's bands.

    What swings as no EEG does is marked before the bands take it apart, and for as long as they
    ring of it.
    Where none of the names says where an electrode sits, or fewer than two lie there, all EEG
    channels are taken. Mains needs no notch: the bands end at 30 Hz and are steep.
    """
    names = info.named(ChannelKind.EEG)
    strip = layout.sensorimotor(names)
    pick = Pick(info, strip if len(strip) > 1 else names)
    steps: list[Step] = [pick]
    factor, rate_hz = max(1, int(info.rate_hz // FILTERED_HZ)), info.rate_hz
    if factor > 1:
        thinned = Decimate(rate_hz, factor)
        steps.append(thinned)
        rate_hz = thinned.rate_hz
    bank = FilterBank(rate_hz, BANDS_HZ)
    thin = replace(pick.info, rate_hz=rate_hz)
    steps += [SwingMark(thin, limit_uv=SWING_UV, hold_s=bank.settle_s), bank]
    return Chain(info, steps)


def session_model() -> FollowingTangent:
    """The decoder of a session before it has learned."""
    return FollowingTangent(prior_windows=PRIOR_WINDOWS, memory_windows=MEMORY_WINDOWS, reach=REACH)


@dataclass
class Kept:
    """A follower that keeps all it was asked and said: what a replay is compared by.

    ``windows`` are of shape (bands, channels, samples), ``said`` log-probabilities by class.
    """

    model: FollowingTangent
    windows: list[Floats] = field(default_factory=list)
    said: list[Floats] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._follower = self.model.follower()

    def log_probabilities(self, windows: ArrayLike) -> Floats:
        """Ask the follower, and keep both sides."""
        asked = np.asarray(windows)
        answered = self._follower.log_probabilities(asked)
        self.windows += [np.array(window) for window in asked]
        self.said += list(answered)
        return answered


def stream_decoder(
    info: StreamInfo, model: FollowingTangent, *, follows: bool = True, kept: Any = None
) -> WindowDecoder:
    """What is fed with a stream's blocks; ``kept`` stands in the follower's place."""
    return WindowDecoder(
        info,
        motor_chain(info),
        kept or model.follower(follows=follows),
        classes=tuple(map(str, model.classes_)),
        window_s=WINDOW_S,
        step_s=STEP_S,
    )


def practised(info: StreamInfo, *, seed: int = 0) -> WindowDecoder:
    """A decoder of ``info``'s size that learned from noise: it shows what a decision costs."""
    rng = np.random.default_rng(seed)
    strip = layout.sensorimotor(info.named(ChannelKind.EEG))
    channels = len(strip) if len(strip) > 1 else len(info.named(ChannelKind.EEG))
    factor = max(1, int(info.rate_hz // FILTERED_HZ))
    shape = (80, len(BANDS_HZ), channels, round(WINDOW_S * info.rate_hz / factor))
    windows, labels = rng.standard_normal(shape), np.tile(["rest", "right"], 40)
    windows[labels == "right", :, 0] *= 1.5
    return stream_decoder(info, session_model().fit(windows, labels))
