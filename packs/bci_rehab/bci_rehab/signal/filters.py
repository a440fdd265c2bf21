"""Causal filters with kept state: what the live path and every off-line analysis share.

The same samples give the same bits, whether they come in blocks of any size or in one call, so that
a replay proves the live path. The filters are cascades of second-order sections, which SciPy runs
sample by sample in one order. Lost samples are bridged by the last value and marked; after a long
gap the filters begin anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import signal as sps

from bci_rehab.errors import FilterImpossible
from bci_rehab.signal.blocks import Block, Floats, StreamInfo
from bci_rehab.signal.pieces import Bools, Piece, Step
from bci_rehab.signal.spatial import ClipMark, EyeRegression, Laplacian, Pick, Reference, held

__all__ = [
    "BandPass",
    "Chain",
    "ClipMark",
    "Decimate",
    "EyeRegression",
    "FilterBank",
    "Laplacian",
    "Notch",
    "Pick",
    "Piece",
    "Reference",
    "Step",
    "SwingMark",
]

# Keeps the state of a dead channel's filter out of the denormal numbers, in which processors
# calculate more slowly (measured: half the speed). A billionth of a microvolt is no signal.
_FLOOR_UV = 1e-9
_SETTLED_ENERGY = 0.99
_RESPONSE_LIMIT_S = 20.0


class Chain:
    """Steps in order, from raw blocks to pieces without gaps.

    Parameters
    ----------
    info : StreamInfo
        The source.
    steps : sequence of Step
        Run in order.
    bridge_s : float
        The longest gap that is bridged; after a longer one the filters begin anew.
    """

    def __init__(self, info: StreamInfo, steps: Sequence[Step], *, bridge_s: float = 0.5) -> None:
        self.info = info
        self.steps = tuple(steps)
        self.restarts = 0
        self._bridge = round(bridge_s * info.rate_hz)
        self._settle = round(self.settle_s * info.rate_hz)
        self._due: int | None = None
        self._last: Floats = np.zeros(len(info.channels))
        self._unsettled = 0

    @property
    def latency_s(self) -> float:
        """How late an event in the band comes out of the steps."""
        return sum(step.latency_s for step in self.steps)

    @property
    def settle_s(self) -> float:
        """How long after a break the output is marked unusable."""
        return max((step.settle_s for step in self.steps), default=0.0)

    def process(self, block: Block) -> Piece:
        """Filter a block; lost samples before it are bridged, samples seen before are dropped.

        The piece begins where the last one ended, except after a restart.
        """
        piece = self._joined(block)
        for step in self.steps:
            piece = step.process(piece)
        return piece

    def reset(self) -> None:
        """Begin anew: the next block is the first."""
        self._due = None
        for step in self.steps:
            step.reset()

    def _joined(self, block: Block) -> Piece:
        """The block continued from the one before: no gap, no repetition, no missing value."""
        first, samples, device_s = block.first, block.samples, block.device_s
        if not len(block):
            raise ValueError("a block holds at least one sample")
        lost = 0 if self._due is None else first - self._due
        if self._due is None or lost > self._bridge or lost < -self._bridge - len(block):
            if self._due is not None:
                self.restarts += 1
                self.reset()
            self._due, lost = first, 0
            self._last = np.zeros(samples.shape[1])
            self._unsettled = self._settle
        elif lost < 0:
            seen = min(-lost, len(block))
            samples, device_s, lost = samples[seen:], device_s[seen:], 0
            first = self._due
        samples, missing = self._filled(samples)
        if lost:
            bridge = np.repeat(self._last[None, :], lost, axis=0)
            samples = np.concatenate([bridge, samples])
            missing = np.concatenate([np.ones(lost, dtype=np.bool_), missing])
            earlier = np.arange(-lost, 0) / self.info.rate_hz
            device_s = np.concatenate([device_s[:1] + earlier, device_s])
            first -= lost
        usable = ~missing
        if len(samples):
            self._last = samples[-1].copy()
            marked, self._unsettled = held(missing, self._settle, self._unsettled)
            usable &= ~marked
        self._due = first + len(samples)
        return Piece(
            first=first,
            samples=np.ascontiguousarray(samples, dtype=np.float64),
            usable=usable,
            device_s=device_s,
            host_s=block.host_s,
        )

    def _filled(self, samples: Floats) -> tuple[Floats, Bools]:
        """Put a channel's last value where it has none; a NaN would stay in a filter forever."""
        good = np.isfinite(samples)
        missing: Bools = np.asarray(~good.all(axis=1))
        if not missing.any():
            return samples, missing
        stacked = np.concatenate([self._last[None, :], samples])
        rows = np.arange(1, len(stacked))[:, None]
        latest = np.maximum.accumulate(np.where(good, rows, 0), axis=0)
        return np.take_along_axis(stacked, latest, axis=0), missing


class _Sections:
    """A cascade of second-order sections with its state."""

    def __init__(self, sos: Floats, *, rate_hz: float, band_hz: tuple[float, float]) -> None:
        self.sos = np.ascontiguousarray(sos)
        self.latency_s = _group_delay_s(self.sos, rate_hz, band_hz)
        self.settle_s = _settle_s(self.sos, rate_hz)
        self._steady = sps.sosfilt_zi(self.sos)
        self._state: Floats | None = None

    def run(self, samples: Floats) -> Floats:
        """Filter along the rows. The state begins as if the first sample had always been there."""
        if not len(samples):
            return samples
        raised = samples + _FLOOR_UV
        if self._state is None:
            shape = self._steady.shape + (1,) * (samples.ndim - 1)
            self._state = self._steady.reshape(shape) * raised[0]
        filtered, self._state = sps.sosfilt(self.sos, raised, axis=0, zi=self._state)
        return np.asarray(filtered)

    def reset(self) -> None:
        self._state = None


class BandPass:
    """Butterworth band pass; with ``low_hz`` None a low pass, with ``high_hz`` None a high pass."""

    def __init__(
        self, rate_hz: float, low_hz: float | None, high_hz: float | None, *, order: int = 4
    ) -> None:
        self._sections = _Sections(
            _butter(rate_hz, low_hz, high_hz, order),
            rate_hz=rate_hz,
            band_hz=(low_hz or 0.0, high_hz or 0.45 * rate_hz),
        )
        self.latency_s = self._sections.latency_s
        self.settle_s = self._sections.settle_s

    def process(self, piece: Piece) -> Piece:
        """Filter it."""
        return replace(piece, samples=self._sections.run(piece.samples))

    def reset(self) -> None:
        """Forget the past."""
        self._sections.reset()


class SwingMark:
    """Mark as unusable where a channel swings as no EEG does, slow drifts left aside.

    Muscle, movement, a touched lead, the step into an amplifier's rail. The samples stay as they
    are; what is looked at has gone through a high pass of its own.
    """

    def __init__(
        self, info: StreamInfo, *, limit_uv: float, above_hz: float = 1.0, hold_s: float = 0.5
    ) -> None:
        self._high_pass = BandPass(info.rate_hz, above_hz, None, order=2)
        self._mark = ClipMark(info, limit_uv, hold_s)
        self.latency_s = self.settle_s = 0.0

    def process(self, piece: Piece) -> Piece:
        """Mark the rows."""
        marked = self._mark.process(self._high_pass.process(piece))
        return replace(piece, usable=marked.usable)

    def reset(self) -> None:
        """Forget the past."""
        self._high_pass.reset()
        self._mark.reset()


class Notch:
    """Take mains out, with its harmonics below half the rate.

    ``band_hz`` is where the latency counts: a notch delays almost nothing except beside its lines.
    """

    def __init__(
        self,
        rate_hz: float,
        mains_hz: float = 50.0,
        *,
        harmonics: int = 3,
        width_hz: float = 2.0,
        band_hz: tuple[float, float] = (1.0, 40.0),
    ) -> None:
        lines = [mains_hz * k for k in range(1, harmonics + 1) if mains_hz * k < 0.48 * rate_hz]
        if not lines:
            raise FilterImpossible(
                band=f"{mains_hz:g}", rate_hz=rate_hz, rule="mains lies above half the rate"
            )
        rows = [sps.tf2sos(*sps.iirnotch(line, line / width_hz, fs=rate_hz)) for line in lines]
        self._sections = _Sections(np.concatenate(rows), rate_hz=rate_hz, band_hz=band_hz)
        self.latency_s = self._sections.latency_s
        self.settle_s = self._sections.settle_s

    def process(self, piece: Piece) -> Piece:
        """Filter it."""
        return replace(piece, samples=self._sections.run(piece.samples))

    def reset(self) -> None:
        """Forget the past."""
        self._sections.reset()


class FilterBank:
    """Several bands at once: rows by channels become rows by bands by channels.

    ``latencies_s`` has one value for each band; ``latency_s`` is the largest, since a decision
    waits for all.
    """

    def __init__(
        self, rate_hz: float, bands_hz: Sequence[tuple[float, float]], *, order: int = 4
    ) -> None:
        if not bands_hz:
            raise FilterImpossible(band="none", rate_hz=rate_hz, rule="a bank has bands")
        self.bands_hz = tuple(bands_hz)
        self._bank = [
            _Sections(_butter(rate_hz, low, high, order), rate_hz=rate_hz, band_hz=(low, high))
            for low, high in self.bands_hz
        ]
        self.latencies_s = tuple(sections.latency_s for sections in self._bank)
        self.latency_s = max(self.latencies_s)
        self.settle_s = max(sections.settle_s for sections in self._bank)

    def process(self, piece: Piece) -> Piece:
        """Filter it into each band."""
        out = np.empty((len(piece), len(self._bank), piece.samples.shape[-1]))
        for index, sections in enumerate(self._bank):
            out[:, index] = sections.run(piece.samples)
        return replace(piece, samples=out)

    def reset(self) -> None:
        """Forget the past."""
        for sections in self._bank:
            sections.reset()


class Decimate:
    """Low pass, then keep the samples whose number ``factor`` divides."""

    def __init__(self, rate_hz: float, factor: int, *, order: int = 8) -> None:
        if factor < 1:
            raise FilterImpossible(
                band=f"1/{factor}", rate_hz=rate_hz, rule="the factor is at least 1"
            )
        self.factor = factor
        self.rate_hz = rate_hz / factor
        edge_hz = 0.4 * self.rate_hz
        self._sections = _Sections(
            _butter(rate_hz, None, edge_hz, order), rate_hz=rate_hz, band_hz=(0.0, 0.8 * edge_hz)
        )
        self.latency_s = self._sections.latency_s
        self.settle_s = self._sections.settle_s

    def process(self, piece: Piece) -> Piece:
        """Filter, and drop what lies between."""
        if piece.stride != 1:
            raise ValueError("a chain is decimated once")
        smooth = self._sections.run(piece.samples)
        skip = -piece.first % self.factor
        return Piece(
            first=piece.first + skip,
            samples=np.ascontiguousarray(smooth[skip :: self.factor]),
            usable=piece.usable[skip :: self.factor],
            device_s=piece.device_s[skip :: self.factor],
            host_s=piece.host_s,
            stride=self.factor,
        )

    def reset(self) -> None:
        """Forget the past."""
        self._sections.reset()


def _butter(rate_hz: float, low_hz: float | None, high_hz: float | None, order: int) -> Floats:
    nyquist_hz = rate_hz / 2.0
    band = f"{low_hz or 0:g} to {high_hz or nyquist_hz:g}"
    if low_hz is None and high_hz is None:
        raise FilterImpossible(band=band, rate_hz=rate_hz, rule="it has no edge")
    if (low_hz is not None and low_hz <= 0) or (high_hz is not None and high_hz >= nyquist_hz):
        raise FilterImpossible(
            band=band, rate_hz=rate_hz, rule=f"edges lie between 0 and {nyquist_hz:g} Hz"
        )
    if low_hz is not None and high_hz is not None:
        if low_hz >= high_hz:
            raise FilterImpossible(band=band, rate_hz=rate_hz, rule="the edges stand in order")
        kind = "bandpass"
        edges: list[float] | float = [low_hz, high_hz]
    elif low_hz is not None:
        edges, kind = low_hz, "highpass"
    else:
        edges, kind = high_hz or nyquist_hz, "lowpass"
    return np.asarray(sps.butter(order, edges, kind, fs=rate_hz, output="sos"))


def _group_delay_s(sos: Floats, rate_hz: float, band_hz: tuple[float, float]) -> float:
    """The median group delay in the band, of each section by itself, which is exact, and summed."""
    low_hz, high_hz = band_hz
    margin_hz = 0.05 * (high_hz - low_hz)
    frequencies = np.linspace(low_hz + margin_hz, high_hz - margin_hz, 201)
    total = np.zeros_like(frequencies)
    for section in sos:
        total += sps.group_delay((section[:3], section[3:]), w=frequencies, fs=rate_hz)[1]
    return float(np.median(total)) / rate_hz


def _settle_s(sos: Floats, rate_hz: float) -> float:
    """When 99 % of the energy of the response to an impulse has come out."""
    impulse = np.zeros(round(_RESPONSE_LIMIT_S * rate_hz))
    impulse[0] = 1.0
    energy = np.cumsum(sps.sosfilt(sos, impulse) ** 2)
    return float(np.searchsorted(energy, _SETTLED_ENERGY * energy[-1])) / rate_hz
