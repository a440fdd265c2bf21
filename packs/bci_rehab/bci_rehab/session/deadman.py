"""The dead man: what the actuator does with the permits that reach it, or do not.

It runs in the actuator's own process, needs no lock and no answer, and turns off when the permit
is old. It also keeps the dose (longest time on, share of time on, rest between two movements), so
that no fault of the session can exceed it. Pure: time is handed in.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from bci_rehab.session.interlock import Limits, Permit, StopReason

# A dead man that was itself stopped for this long may have been given up by its stand-by, which
# waits a little longer; it never goes on from where it was.
PUNCTUAL_S = 0.1


@dataclass(frozen=True, kw_only=True)
class Output:
    """What the driver is told: a level above 0 is on. ``reason`` says why it is off."""

    level: float
    reason: StopReason | None = None


class DeadMan:
    """Turns permits into the driver's level. Call :meth:`step` every few milliseconds."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._began_s: float | None = None
        self._ended_s: float | None = None
        # Past movements inside the window; rests of `refractory_s` part them, so they are few.
        self._spans: deque[tuple[float, float]] = deque(
            maxlen=int(limits.duty_window_s / limits.refractory_s) + 2
        )
        self._spent_epoch = -1
        self._must_release = False
        self._stepped_s: float | None = None

    def step(self, now_s: float, permit: Permit | None) -> Output:
        """The driver's level now."""
        if permit is not None and permit.level <= 0.0:
            self._must_release = False
        reason, off = self._refusal(now_s, permit)
        self._stepped_s = now_s
        if off or permit is None:
            self._turn_off(now_s, permit, reason)
            return Output(level=0.0, reason=reason)
        if self._began_s is None:
            self._began_s = now_s
        return Output(level=min(permit.level, 1.0))

    def _refusal(self, now_s: float, permit: Permit | None) -> tuple[StopReason | None, bool]:
        """Why it must be off, and whether it must; an ordinary end of a movement has no reason."""
        limits = self.limits
        if permit is None or permit.epoch <= 0:
            return StopReason.NOT_ARMED, True
        if permit.epoch <= self._spent_epoch:
            return StopReason.PERMIT_LATE, True
        if permit.reason is not None or not permit.level > 0.0:
            return permit.reason, True
        # A stamp from the future is no permit either: some clock is wrong.
        if not -0.01 <= now_s - permit.stamp_s <= limits.permit_s:
            return StopReason.PERMIT_LATE, True
        if self._began_s is not None and not self._punctual(now_s):
            return StopReason.PERMIT_LATE, True
        if self._began_s is not None and now_s - self._began_s >= limits.on_s:
            return StopReason.ON_TOO_LONG, True
        if self._on_in_window_s(now_s) >= limits.duty_share * limits.duty_window_s:
            return StopReason.DUTY_EXCEEDED, True
        if self._began_s is None and self._resting(now_s):
            return StopReason.REFRACTORY, True
        return None, False

    def _turn_off(self, now_s: float, permit: Permit | None, reason: StopReason | None) -> None:
        if self._began_s is None:
            return
        self._spans.append((self._began_s, now_s))
        self._began_s, self._ended_s = None, now_s
        if reason is StopReason.PERMIT_LATE and permit is not None:
            # What stopped renewing is not trusted again before a person has armed anew.
            self._spent_epoch = permit.epoch
        if reason in (StopReason.ON_TOO_LONG, StopReason.DUTY_EXCEEDED):
            self._must_release = True

    def _punctual(self, now_s: float) -> bool:
        """Whether it was not itself stopped meanwhile, with the driver left on."""
        return self._stepped_s is None or 0.0 <= now_s - self._stepped_s <= PUNCTUAL_S

    def _resting(self, now_s: float) -> bool:
        rested = self._ended_s is None or now_s - self._ended_s >= self.limits.refractory_s
        return self._must_release or not rested

    def _on_in_window_s(self, now_s: float) -> float:
        since_s = now_s - self.limits.duty_window_s
        while self._spans and self._spans[0][1] <= since_s:
            self._spans.popleft()
        past_s = sum(end_s - max(begin_s, since_s) for begin_s, end_s in self._spans)
        return past_s + (0.0 if self._began_s is None else now_s - max(self._began_s, since_s))
