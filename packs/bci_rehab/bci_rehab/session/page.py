"""What a session tells its pages, every 50 ms: plain values that JSON can hold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from bci_rehab.session.engine import Engine
from bci_rehab.session.interlock import Interlock, StopReason
from bci_rehab.signal.blocks import Block, Floats, StreamInfo
from bci_rehab.signal.verdicts import Health

# A line on a screen shows no more than this; each point is the mean of the samples behind it.
DRAWN_HZ = 250.0
ROWS_LIMIT = 1_000


class Drawn:
    """Thins the signal out for drawing, on a grid that does not depend on how blocks are cut."""

    def __init__(self, info: StreamInfo) -> None:
        self.factor = max(1, round(info.rate_hz / DRAWN_HZ))
        self._rows: list[list[float | None]] = []
        self._left: Floats = np.empty((0, len(info.channels)))
        self._first: int | None = None
        self._next: int | None = None

    def add(self, block: Block) -> None:
        """Take a block in. A gap starts the grid anew, and is seen as a jump of ``first``."""
        if self._next != block.first:
            self._left, self._rows, self._first = self._left[:0], [], None
        joined = np.concatenate([self._left, block.samples])
        whole = len(joined) // self.factor
        if self._first is None:
            self._first = block.first
        cut = whole * self.factor
        means = joined[:cut].reshape(whole, self.factor, joined.shape[1]).mean(axis=1)
        self._rows += [[finite(v, 1) for v in row] for row in means.tolist()]
        self._left, self._next = joined[cut:], block.end
        if len(self._rows) > ROWS_LIMIT:
            dropped = len(self._rows) - ROWS_LIMIT
            self._rows = self._rows[dropped:]
            self._first += dropped * self.factor

    def take(self) -> dict[str, Any]:
        """The rows since the last call: microvolts by channel, and the first row's number."""
        rows, first = self._rows, self._first
        self._rows = []
        if first is not None:
            self._first = first + len(rows) * self.factor
        return {"first": first, "step": self.factor, "microvolts": rows}


def message(
    *,
    number: int,
    now_s: float,
    signal: Mapping[str, Any],
    health: Health,
    info: StreamInfo,
    evidence: Mapping[str, float],
    engine: Engine,
    interlock: Interlock,
    level: float,
    host_reason: StopReason | None,
    recorder: Mapping[str, Any],
    latency: Mapping[str, Any],
    why_paused: str = "",
    has_decoder: bool = False,
    answers: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """One message. Whether an arm of a study is sham is nowhere in it.

    ``answers`` are the last orders, each with why it was ``refused``, if it was.
    """
    return {
        "number": number,
        "at_s": round(now_s, 4),
        "signal": signal,
        "health": {
            "age_ms": finite(health.age_s * 1e3, 1),
            "lost_share": finite(health.lost_share, 4),
            "channels": {c.name: health.of_channel(c.name) for c in info.channels},
            "verdicts": [
                {"code": f.code.value, "channel": f.channel, "message": f.message}
                for f in health.verdicts
            ],
        },
        "evidence": {side: finite(value, 3) for side, value in evidence.items()},
        "trial": _trial(engine, why_paused),
        "summary": asdict(engine.summary()),
        "actuator": _actuator(interlock, level, host_reason),
        "recorder": recorder,
        "latency": latency,
        "has_decoder": has_decoder,
        "orders": [dict(answer) for answer in answers],
    }


def _trial(engine: Engine, why_paused: str) -> dict[str, Any]:
    cue = engine.cue
    return {
        "segment": engine.segment.kind.value,
        "run": engine.segment.run,
        "kind": cue.kind,
        "side": cue.side.value if cue.side else None,
        "trial": cue.trial,
        "trials": len(engine.segment.trials),
        "begins_s": round(cue.begins_s, 4),
        "ends_s": round(cue.ends_s, 4),
        "outcome": engine.state.outcome.value if engine.state.outcome else None,
        "paused": engine.state.paused,
        "why_paused": why_paused if engine.state.paused else "",
        "ended": engine.state.ended,
    }


def _actuator(interlock: Interlock, level: float, host_reason: StopReason | None) -> dict[str, Any]:
    why = interlock.why_off if not interlock.armed else host_reason
    last = interlock.last_stop
    return {
        "armed": interlock.armed,
        "level": level,
        "why_off": why.value if why and not level else None,
        "words": why.words if why and not level else None,
        "last_stop": None
        if last is None
        else {
            "reason": last.reason.value,
            "words": last.reason.words,
            "detail": last.detail,
            "latency_ms": None if last.latency_ms is None else round(last.latency_ms, 1),
        },
    }


def finite(value: float, digits: int = 6) -> float | None:
    """Rounded for JSON; what JSON cannot hold is None."""
    return round(value, digits) if math.isfinite(value) else None
