"""Latencies of a running session: the last thousands, their median and 99th percentile."""

from __future__ import annotations

from collections import deque

import numpy as np

KEPT = 20_000


class Latency:
    """Collects times in milliseconds; the summary is worked out at most once a second."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self._values_ms: deque[float] = deque(maxlen=KEPT)
        self._summary: dict[str, float | None] = {"now_ms": None, "p50_ms": None, "p99_ms": None}
        self._summed_s = -1.0

    def add(self, seconds: float) -> None:
        """Note one."""
        self._values_ms.append(seconds * 1e3)

    def summary(self, now_s: float) -> dict[str, float | None]:
        """The newest, the median and the 99th percentile (ms); None before there is one."""
        if not self._values_ms:
            return self._summary
        if self._summary["p50_ms"] is None or now_s - self._summed_s >= 1.0:
            p50, p99 = np.percentile(np.fromiter(self._values_ms, float), [50, 99])
            self._summary = {"p50_ms": round(float(p50), 2), "p99_ms": round(float(p99), 2)}
            self._summed_s = now_s
        return {"now_ms": round(self._values_ms[-1], 2), **self._summary}
