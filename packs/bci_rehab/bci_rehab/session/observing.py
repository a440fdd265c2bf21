"""Looks at all parts of a session for the interlock: their ages, and their own words of failure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bci_rehab.session.interlock import Fault, Observed, StopReason
from bci_rehab.session.ports import Parts
from bci_rehab.signal.verdicts import Code, Finding, Health

# What the watchdog finds in the stream as a whole, and the stop that follows from it.
STREAM_STOPS: Mapping[Code, StopReason] = {
    Code.FROZEN: StopReason.DATA_STALE,
    Code.DOUBLED: StopReason.STREAM_IRREGULAR,
    Code.LATE: StopReason.STREAM_IRREGULAR,
    Code.CLOCK_JUMP: StopReason.STREAM_IRREGULAR,
    Code.RESTARTED: StopReason.SOURCE_CHANGED,
    Code.RATE: StopReason.SIGNAL_IMPLAUSIBLE,
    Code.SCALE: StopReason.SIGNAL_IMPLAUSIBLE,
}


def observe(
    parts: Parts, health: Health, now_s: float, *, page_age_s: float, known: Iterable[Fault | None]
) -> Observed:
    """The state of all that the actuator depends on; ``known`` are faults that were told before."""
    told = (*known, parts.actuator.fault(now_s), parts.decoder.fault() if parts.decoder else None)
    found = [_fault(finding, health, now_s) for finding in health.verdicts]
    return Observed(
        data_age_s=health.age_s,
        lost_share=health.lost_share,
        bad_channels=health.bad_channels,
        decoder_age_s=parts.decoder.age_s(now_s) if parts.decoder else 0.0,
        page_age_s=page_age_s,
        recorder_behind_s=parts.recorder.status().behind_s,
        faults=tuple(fault for fault in (*found, *told) if fault is not None),
    )


def _fault(finding: Finding, health: Health, now_s: float) -> Fault | None:
    """The stop that a finding asks for. Its cause is the arrival of the samples that showed it."""
    reason = STREAM_STOPS.get(finding.code)
    if reason is None:
        return None
    since_s = finding.value if finding.code is Code.FROZEN else health.age_s
    return Fault(reason=reason, cause_s=now_s - since_s, detail=finding.message)
