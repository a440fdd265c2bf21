"""The device's clock against the host's, from when blocks arrive.

Blocks arrive after they were taken, never before: the least delay seen is the offset of the clocks,
and what exceeds it is lateness. Crystals differ by up to some hundred parts in a million, so the
least delay may grow slowly, no faster than ``DRIFT_ALLOWED``; a lasting delay is therefore not
forgotten within a session.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from bci_rehab.signal.blocks import Floats
from bci_rehab.signal.verdicts import ClockFit

DRIFT_ALLOWED = 1e-3
WINDOW_S = 60.0
POINTS_LIMIT = 120
RATE_SPAN_S = 4.0


class ArrivalClock:
    """Fed with the newest sample of each block: its number, device time and arrival."""

    def __init__(self, rate_hz: float, *, jump_s: float) -> None:
        self._said_hz = rate_hz
        self._jump_s = jump_s
        self.restart()

    def restart(self) -> None:
        """Forget all: the device began anew."""
        self._points: deque[tuple[float, float, int]] = deque(maxlen=POINTS_LIMIT)
        self._last: tuple[int, float, float] | None = None
        self._least_s: float | None = None
        self.late_s = 0.0
        self.fit: ClockFit | None = None
        self.rate_hz: float | None = None

    def take(self, first: int, device_s: Floats, host_s: float) -> float | None:
        """Take a block's times; the size of a jump of the device's clock, or None."""
        jump_s = self._jump(first, device_s)
        if jump_s is not None:
            self.restart()
        number, taken_s = first + len(device_s) - 1, float(device_s[-1])
        delay_s = host_s - taken_s
        if self._least_s is None or self._last is None:
            self._least_s = delay_s
        else:
            allowed_s = self._least_s + DRIFT_ALLOWED * max(0.0, host_s - self._last[2])
            self._least_s = min(delay_s, allowed_s)
        self.late_s = delay_s - self._least_s
        self._last = (number, taken_s, host_s)
        if not self._points or host_s - self._points[-1][1] >= WINDOW_S / POINTS_LIMIT:
            self._points.append((taken_s, host_s, number))
            self._refit()
        return jump_s

    def host_time(self, device_s: float, *, latest_s: float) -> float:
        """When a sample was taken, by the host's clock; never after it arrived."""
        if self._least_s is None:
            return latest_s
        return min(latest_s, device_s + self._least_s)

    def _jump(self, first: int, device_s: Floats) -> float | None:
        """By how much the device's times leave what its counter says."""
        steps = np.diff(device_s)
        if len(steps):
            worst = float(steps[np.argmax(np.abs(steps - 1.0 / self._said_hz))])
            if not -1e-9 <= worst <= self._jump_s + 1.0 / self._said_hz:
                return worst
        if self._last is None:
            return None
        number, taken_s, _ = self._last
        off_s = float(device_s[0]) - taken_s - (first - number) / self._said_hz
        # Where the header's rate is wrong, counter and times part a little with each sample of a
        # gap; that is not a jump.
        slack_s = self._jump_s + max(0, first - number - 1) / self._said_hz
        return off_s if abs(off_s) > slack_s else None

    def _refit(self) -> None:
        """A line through the points by the median of slopes (Theil 1950, Sen 1968)."""
        if len(self._points) < 5:
            return
        points = np.array(self._points, dtype=np.float64)
        points -= points[0]
        device_s, host_s, number = points.T
        span_s = float(host_s[-1])
        early, late = np.triu_indices(len(points), 1)
        elapsed_s = host_s[late] - host_s[early]
        if span_s >= RATE_SPAN_S:
            far = elapsed_s >= span_s / 2
            self.rate_hz = float(np.median((number[late] - number[early])[far] / elapsed_s[far]))
        ticks_s = device_s[late] - device_s[early]
        usable = ticks_s > 0
        if not usable.any():
            return
        slope = float(np.median(elapsed_s[usable] / ticks_s[usable]))
        residual = host_s - slope * device_s
        middle = float(np.median(residual))
        self.fit = ClockFit(
            offset_s=self._points[0][1] - self._points[0][0] + middle,
            drift_ppm=(slope - 1.0) * 1e6,
            jitter_s=1.4826 * float(np.median(np.abs(residual - middle))),
            span_s=span_s,
        )
