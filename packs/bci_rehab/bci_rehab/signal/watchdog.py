"""Looks at every block and says whether the stream can be trusted, and if not, why.

Pure: it is fed with blocks and asked with the time now; the same blocks give the same verdicts.
What the interlock needs are three numbers: how old the newest real sample is, how much was lost,
how many channels are bad. A frozen stream is an old one: values that repeat do not make data
younger, and neither do blocks that come late in a burst, whose age counts from when they were
taken.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bci_rehab.signal import quality
from bci_rehab.signal.blocks import Block, ChannelKind, Floats, StreamInfo
from bci_rehab.signal.clockfit import ArrivalClock
from bci_rehab.signal.verdicts import BAD_CHANNEL, Code, Finding, Health

__all__ = ["Code", "Finding", "Health", "Limits", "Watchdog"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Where a measure becomes a finding. Amplitudes in microvolts."""

    age_s: float = 0.25
    lost_share: float = 0.05
    lost_window_s: float = 1.0
    late_s: float = 0.15
    frozen_s: float = 0.1
    clock_jump_s: float = 0.1
    drift_ppm: float = 500.0
    rate_share: float = 0.05
    remember_s: float = 3.0
    fast_window_s: float = 0.16
    slow_window_s: float = 2.0
    mains_hz: float = 50.0
    mains_share: float = 0.7
    flat_uv: float = 0.05
    rail_uv: float = 100_000.0
    noisy_uv: float = 150.0
    wild_uv: float = 1_000.0
    detached_uv: float = 60.0
    large_uv: float = 5_000.0
    small_uv: float = 0.02


class Watchdog:
    """Feed it each block as it arrives; ask it as often as is wanted.

    Parameters
    ----------
    info : StreamInfo
        What the source says of itself.
    now_s : float
        The host's monotonic time; the age of data counts from here until the first block.
    """

    def __init__(self, info: StreamInfo, *, now_s: float, limits: Limits | None = None) -> None:
        self.info = info
        self.limits = limits or Limits()
        self._eeg = info.indices(ChannelKind.EEG)
        self._names = info.named(ChannelKind.EEG)
        self._fast = max(4, round(self.limits.fast_window_s * info.rate_hz))
        self._slow = max(self._fast, round(self.limits.slow_window_s * info.rate_hz))
        self._window = _Window(self._slow, len(self._eeg))
        self._clock = ArrivalClock(info.rate_hz, jump_s=self.limits.clock_jump_s)
        self._fresh_s = now_s
        self._due: int | None = None
        self._before: Floats | None = None
        self._block_before: Floats | None = None
        self._still = 0
        self._counts: deque[tuple[float, int, int]] = deque(maxlen=10_000)
        self._lately: dict[Code, tuple[float, float]] = {}
        self._slow_at = -1
        self._slow_measures: tuple[Floats, Floats] | None = None

    def feed(self, block: Block) -> None:
        """Take a block in."""
        if not len(block):
            return
        new = self._new_rows(block)
        if new == 0:
            return
        samples = block.samples[-new:]
        device_s = block.device_s[-new:]
        jump_s = self._clock.take(block.end - new, device_s, block.host_s)
        if jump_s is not None:
            self._note(Code.CLOCK_JUMP, block.host_s, jump_s)
        late_s = self._clock.late_s
        if late_s > self.limits.late_s:
            self._note(Code.LATE, block.host_s, late_s)
        self._look_for_stillness(samples, device_s, block.host_s)
        self._window.append(samples[:, self._eeg])

    def health(self, now_s: float) -> Health:
        """Judge the stream as of now."""
        scale = self._scale_finding()
        # In a wrong unit no channel can be judged, and none can be used.
        channels = () if scale else tuple(self._channel_findings())
        bad = {finding.channel for finding in channels if finding.code in BAD_CHANNEL}
        if scale is not None:
            bad = set(self._names)
        names = tuple(name for name in self._names if name in bad)
        stream = tuple(self._stream_findings(now_s))
        return Health(
            verdicts=stream + ((scale,) if scale else ()) + channels,
            age_s=max(0.0, now_s - self._fresh_s),
            lost_share=self._lost_share(now_s),
            bad_channels=len(names),
            bad_channel_names=names,
            rate_hz=self._clock.rate_hz,
            clock=self._clock.fit,
            mains_share=self._mains_shares(),
        )

    # --- taking in -------------------------------------------------------------------------------

    def _new_rows(self, block: Block) -> int:
        """How many rows at the end were not seen before; counts what is lost and doubled."""
        lost = 0 if self._due is None else block.first - self._due
        new = len(block)
        if lost < 0:
            second = round(self.info.rate_hz)
            if lost < -second - len(block):
                self._note(Code.RESTARTED, block.host_s, float(-lost))
                self._clock.restart()
            else:
                doubled = min(-lost, len(block))
                earlier = self._lately.get(Code.DOUBLED, (-np.inf, 0.0))
                recent = block.host_s - earlier[0] <= self.limits.remember_s
                total = doubled + (earlier[1] if recent else 0.0)
                self._note(Code.DOUBLED, block.host_s, total)
                new -= doubled
            lost = 0
        if new:
            self._due = block.end
            self._counts.append((block.host_s, new, lost))
        return new

    def _look_for_stillness(self, samples: Floats, device_s: Floats, host_s: float) -> None:
        """Find the newest sample that brought something new, and when it was taken."""
        repeated = (
            self._block_before is not None
            and len(samples) > 2
            and np.array_equal(samples, self._block_before)
        )
        still = quality.still_rows(samples, self._before)
        moving = np.flatnonzero(~still)
        if repeated or not len(moving):
            self._still += len(samples)
        else:
            newest = int(moving[-1])
            self._still = len(samples) - 1 - newest
            self._fresh_s = max(
                self._fresh_s, self._clock.host_time(float(device_s[newest]), latest_s=host_s)
            )
        self._before = samples[-1].copy()
        self._block_before = samples.copy()

    def _note(self, code: Code, host_s: float, value: float) -> None:
        self._lately[code] = (host_s, value)

    # --- judging ---------------------------------------------------------------------------------

    def _lost_share(self, now_s: float) -> float:
        began = now_s - self.limits.lost_window_s
        while self._counts and self._counts[0][0] < began:
            self._counts.popleft()
        received = sum(count for _, count, _ in self._counts)
        lost = sum(count for _, _, count in self._counts)
        if received + lost == 0:
            return 0.0 if self._due is None else 1.0
        return lost / (received + lost)

    def _stream_findings(self, now_s: float) -> Iterator[Finding]:
        limits = self.limits
        age_s = now_s - self._fresh_s
        frozen_s = self._still / self.info.rate_hz
        if frozen_s >= limits.frozen_s and self._still >= 3:
            yield Finding(code=Code.FROZEN, value=frozen_s, limit=limits.frozen_s)
        if age_s > limits.age_s:
            yield Finding(code=Code.STALE, value=age_s, limit=limits.age_s)
        lost = self._lost_share(now_s)
        if lost > limits.lost_share and self._counts:
            yield Finding(code=Code.LOST, value=lost, limit=limits.lost_share)
        of = {Code.LATE: limits.late_s, Code.CLOCK_JUMP: limits.clock_jump_s}
        for code, (host_s, value) in self._lately.items():
            if now_s - host_s <= limits.remember_s:
                yield Finding(code=code, value=value, limit=of.get(code, 0.0))
        fit = self._clock.fit
        if fit is not None and abs(fit.drift_ppm) > limits.drift_ppm and fit.span_s > 20.0:
            yield Finding(code=Code.CLOCK_DRIFT, value=fit.drift_ppm, limit=limits.drift_ppm)
        rate_hz = self._clock.rate_hz
        said_hz = self.info.rate_hz
        if rate_hz is not None and abs(rate_hz - said_hz) > limits.rate_share * said_hz:
            yield Finding(code=Code.RATE, value=rate_hz, limit=said_hz)

    def _scale_finding(self) -> Finding | None:
        recent = self._window.last(self._fast)
        if len(recent) < self._fast or not self._eeg:
            return None
        deviations = recent.std(axis=0)
        alive = deviations[deviations > 0.0]
        if 2 * len(alive) < len(deviations):
            return None
        middle = float(np.median(alive))
        if middle > self.limits.large_uv:
            return Finding(code=Code.SCALE, value=middle, limit=self.limits.large_uv)
        if middle < self.limits.small_uv:
            return Finding(code=Code.SCALE, value=middle, limit=self.limits.small_uv)
        return None

    def _channel_findings(self) -> Iterator[Finding]:
        recent = self._window.last(self._fast)
        if len(recent) < self._fast:
            return
        limits = self.limits
        now = quality.spread(recent)
        mains = self._mains(recent)
        measures = self._slow_look()
        for index, name in enumerate(self._names):
            deviation, mean = float(now.deviation[index]), float(now.mean[index])
            hum = float(mains[index])
            slow = 0.0 if measures is None else float(measures[0][index])
            share = 0.0 if measures is None else float(measures[1][index])
            at_rail = abs(mean) >= limits.rail_uv and now.edge_share[index] > 0.5
            stuck = now.edge_share[index] > 0.6 and now.span[index] > limits.flat_uv
            if at_rail or stuck:
                yield Finding(code=Code.RAILING, channel=name, value=mean, limit=limits.rail_uv)
            elif now.span[index] <= limits.flat_uv:
                span = float(now.span[index])
                yield Finding(code=Code.FLAT, channel=name, value=span, limit=limits.flat_uv)
            elif hum > limits.detached_uv and hum > 0.7 * deviation:
                yield Finding(code=Code.DETACHED, channel=name, value=hum, limit=limits.detached_uv)
            elif deviation > limits.wild_uv or slow > limits.noisy_uv:
                value = max(deviation, slow)
                yield Finding(code=Code.NOISY, channel=name, value=value, limit=limits.noisy_uv)
            elif share > limits.mains_share:
                yield Finding(code=Code.MAINS, channel=name, value=share, limit=limits.mains_share)

    def _mains(self, samples: Floats) -> Floats:
        return quality.mains_uv(samples, rate_hz=self.info.rate_hz, mains_hz=self.limits.mains_hz)

    def _slow_look(self) -> tuple[Floats, Floats] | None:
        """Deviation within each second and share of mains, renewed four times a second."""
        due = self._due or 0
        if self._slow_at >= 0 and 0 <= due - self._slow_at < self.info.rate_hz / 4:
            return self._slow_measures
        self._slow_at = due
        recent = self._window.last(self._slow)
        if len(recent) < self._slow:
            self._slow_measures = None
            return None
        halves = np.array([half.var(axis=0) for half in np.array_split(recent, 2)])
        power = halves.mean(axis=0)
        hum = self._mains(recent) ** 2
        share = np.divide(hum, power, out=np.zeros_like(hum), where=power > 0)
        self._slow_measures = (np.sqrt(power), np.minimum(share, 1.0))
        return self._slow_measures

    def _mains_shares(self) -> dict[str, float]:
        if self._slow_measures is None:
            return {}
        shares = self._slow_measures[1]
        return {name: float(share) for name, share in zip(self._names, shares, strict=True)}


class _Window:
    """The last rows, in one array that is moved to its front when it is full."""

    def __init__(self, length: int, channels: int) -> None:
        self._length = length
        self._rows = np.empty((4 * length, channels))
        self._end = 0

    def append(self, samples: Floats) -> None:
        samples = samples[-self._length :]
        if self._end + len(samples) > len(self._rows):
            kept = self.last(self._length).copy()
            self._rows[: len(kept)] = kept
            self._end = len(kept)
        self._rows[self._end : self._end + len(samples)] = samples
        self._end += len(samples)

    def last(self, count: int) -> Floats:
        return self._rows[max(0, self._end - count) : self._end]
