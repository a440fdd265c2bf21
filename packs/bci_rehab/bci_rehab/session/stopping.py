"""Writes down every stop of the actuator: why, from which cause, and when the driver was off."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from bci_rehab.session.host_status import HostStatus, Transition
from bci_rehab.session.interlock import Stop, StopReason
from bci_rehab.session.ports import Parts
from bci_rehab.session.record_format import RecordKind

Record = Callable[[RecordKind, Mapping[str, Any], float], None]
# A host that has written its status this much later has seen the permit.
SEEN_S = 0.02


class StopLog:
    """Follows the interlock's stops and the driver's transitions of one session.

    A stop is recorded when it is decided, and again with its latency when the driver is off.
    """

    def __init__(self, parts: Parts, record: Record) -> None:
        self._parts, self._record = parts, record
        self._seen_s = float("-inf")
        self._began_s: float | None = None
        self._is_dose_told = False

    @property
    def waits(self) -> bool:
        """Whether a stop is decided, and the driver has not yet said that it is off."""
        return self._waiting_since_s() is not None

    def note(self) -> None:
        """Record the stops that are new."""
        fresh = [stop for stop in self._parts.interlock.stops if stop.decided_s > self._seen_s]
        for stop in fresh:
            self._record(RecordKind.STOP, {**asdict(stop), "latency_ms": None}, stop.decided_s)
            self._seen_s = stop.decided_s

    def follow(self, now_s: float, wanted: float) -> list[StopReason]:
        """Record what the driver did, and complete the stops that waited for it.

        ``wanted`` is the level that is permitted now. Returns why the actuator's own process
        stopped, where it did so by itself and a person must arm again.
        """
        own = []
        for transition in self._parts.actuator.news():
            self._record(RecordKind.PERMIT, {"driver": asdict(transition)}, transition.at_s)
            if transition.level > 0.0:
                self._began_s = transition.at_s
                continue
            self._confirm(transition.at_s, now_s)
            reason = transition.reason
            if reason is not None and reason.latched:
                own.append(reason)
            elif reason is not None:
                self._note_dose(reason, transition, now_s)
            self._began_s = None
        host = self._parts.actuator.status()
        self._note_refusal(host, wanted, now_s)
        since_s = self._waiting_since_s()
        if since_s is not None and host.level == 0.0 and host.stamp_s - since_s > SEEN_S:
            # It was permitted to move and did not, for its dose or for a rest: off all along.
            self._confirm(since_s, now_s)
        return own

    def _note_dose(self, reason: StopReason, off: Transition, now_s: float) -> None:
        """A movement ended because it had its full dose."""
        cause_s = off.at_s
        if reason is StopReason.ON_TOO_LONG and self._began_s is not None:
            cause_s = self._began_s + self._parts.interlock.limits.on_s
        self._is_dose_told = True
        self._write(
            self._parts.interlock.log_dose(reason, off.at_s, cause_s=cause_s, was_on=True), now_s
        )

    def _note_refusal(self, host: HostStatus, wanted: float, now_s: float) -> None:
        """A movement is not begun, for the dose; said once for each that was wanted."""
        if wanted <= 0.0:
            self._is_dose_told = False
            return
        reason = host.why_off
        refused = host.level == 0.0 and reason is not None and not reason.latched
        if reason is None or not refused or self._is_dose_told or reason is StopReason.NOT_ARMED:
            return
        self._is_dose_told = True
        self._write(
            self._parts.interlock.log_dose(reason, now_s, cause_s=now_s, was_on=False), now_s
        )

    def _confirm(self, off_s: float, now_s: float) -> None:
        for stop in self._parts.interlock.confirm_off(off_s):
            self._write(stop, now_s)

    def _write(self, stop: Stop, now_s: float) -> None:
        body = {**asdict(stop), "latency_ms": stop.latency_ms}
        self._record(RecordKind.STOP, body, now_s)
        self._seen_s = max(self._seen_s, stop.decided_s)

    def _waiting_since_s(self) -> float | None:
        stops = self._parts.interlock.stops
        return max((s.decided_s for s in stops if s.was_on and s.off_s is None), default=None)
