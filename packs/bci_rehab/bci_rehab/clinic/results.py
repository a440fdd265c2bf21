"""What a session came to, read from the station's summary for the pages, in the language in force.

A part that is missing is shown as such, never as zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bci_rehab.clinic import phrases
from bci_rehab.session.interlock import StopReason

STOPS_SHOWN = 200


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """One run; ``accuracy`` is the share of its trials that were right, None in a calibration."""

    run: int
    kind: str
    trials: int
    right: int | None

    @property
    def accuracy(self) -> float | None:
        """From 0 to 1."""
        return None if self.right is None or not self.trials else self.right / self.trials


@dataclass(frozen=True, kw_only=True)
class StopResult:
    """One stop of the actuator. ``latency_ms`` is None where it was not learnt."""

    reason: str
    words: str
    detail: str
    at_s: float | None
    was_on: bool
    latency_ms: float | None


@dataclass(frozen=True, kw_only=True)
class Results:
    """A session's summary as pages show it.

    ``accuracy`` is the share of feedback trials that were right, from 0 to 1; ``signal`` has
    seconds, lost_s and bad_share by channel; ``decision`` and ``frames`` are times in ms.
    """

    minutes: float | None
    accuracy: float | None
    standard_error: float | None
    counts: Mapping[str, Any]
    runs: Sequence[RunResult]
    stops: Sequence[StopResult]
    movements: Mapping[str, Any]
    decision: Mapping[str, Any]
    frames: Mapping[str, Any]
    signal: Mapping[str, Any]
    notes: Sequence[Mapping[str, Any]]
    recording: Mapping[str, Any]

    @property
    def poor_channels(self) -> list[tuple[str, float]]:
        """Electrodes that were bad for a part of the time, with that share in percent."""
        shares = self.signal.get("bad_share") or {}
        return [(name, round(share * 100, 1)) for name, share in shares.items() if share]

    @property
    def lost_share(self) -> float | None:
        """The share of samples that the device made and the recording lacks, from 0 to 1."""
        lost, kept = self.signal.get("lost_s"), self.signal.get("seconds")
        if lost is None or not kept:
            return None
        return float(lost / (lost + kept))


COUNTS = (
    "trials", "hits", "misses", "wrong", "quiet", "false_triggers", "skipped",
    "calibration_trials",
)  # fmt: skip


def results_of(summary: Mapping[str, Any], *, stops_shown: int = STOPS_SHOWN) -> Results | None:
    """What a summary says; None if there is none."""
    if not summary:
        return None
    lasted_s = summary.get("lasted_s")
    return Results(
        minutes=None if lasted_s is None else round(lasted_s / 60, 1),
        accuracy=summary.get("accuracy"),
        standard_error=summary.get("standard_error"),
        counts={name: summary[name] for name in COUNTS if name in summary},
        runs=[_run(said) for said in summary.get("runs") or ()],
        stops=[_stop(said) for said in (summary.get("stops") or ())[:stops_shown]],
        movements=summary.get("movements") or {},
        decision=summary.get("decision_ms") or {},
        frames=summary.get("frames") or {},
        signal=summary.get("signal") or {},
        notes=summary.get("notes") or (),
        recording=_recording(summary.get("recording") or {}),
    )


def _recording(said: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**said, "damage": phrases.said(said["damage"])} if said.get("damage") else said


def _run(said: Mapping[str, Any]) -> RunResult:
    right = None if said["kind"] == "calibration" else said.get("right")
    return RunResult(run=said["run"], kind=said["kind"], trials=said["trials"], right=right)


def _stop(said: Mapping[str, Any]) -> StopResult:
    reason = str(said["reason"])
    known = reason in set(StopReason)
    return StopResult(
        reason=reason,
        words=StopReason(reason).words if known else reason,
        detail=phrases.said(str(said.get("detail", ""))),
        at_s=said.get("at_s"),
        was_on=bool(said.get("was_on")),
        latency_ms=said.get("latency_ms"),
    )
