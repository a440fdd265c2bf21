"""What happens in a session, as plain values: the log of these is the session.

Times are seconds of the host's monotonic clock. After a restart of the machine that clock begins
anew; no duration is ever taken across :class:`Recovered`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, ClassVar

from bci_rehab.session.plan import Phase, Side


class Outcome(StrEnum):
    """How a feedback trial ended, or what a trigger was.

    A trial of rest is ``QUIET`` if nothing was triggered in it. A ``FALSE_TRIGGER`` is one in a
    trial of rest, or outside of the active phase.
    """

    HIT = "hit"
    WRONG = "wrong"
    MISS = "miss"
    QUIET = "quiet"
    FALSE_TRIGGER = "false_trigger"


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened at ``at_s``."""

    what: ClassVar[str]

    at_s: float

    def to_json(self) -> dict[str, Any]:
        """The event for JSON."""
        return {"what": self.what, **asdict(self)}


@dataclass(frozen=True, kw_only=True)
class Began(Event):
    """The session began."""

    what = "began"


@dataclass(frozen=True, kw_only=True)
class SignalTurned(Event):
    """In the check the signal turned good or bad; the wait begins anew when it turns good."""

    what = "signal_turned"

    good: bool


@dataclass(frozen=True, kw_only=True)
class SegmentBegan(Event):
    """A part of the session began, by its place in the plan's sequence."""

    what = "segment_began"

    segment: int


@dataclass(frozen=True, kw_only=True)
class PhaseBegan(Event):
    """A part of a trial began. ``trial`` is the place in the run; ``attempt`` counts repeats."""

    what = "phase_began"

    trial: int
    phase: Phase
    attempt: int
    side: Side


@dataclass(frozen=True, kw_only=True)
class Triggered(Event):
    """The decoder decided for a side, and what that was."""

    what = "triggered"

    side: Side
    outcome: Outcome


@dataclass(frozen=True, kw_only=True)
class TimedOut(Event):
    """The active phase of a feedback trial ended without a decision."""

    what = "timed_out"

    outcome: Outcome


@dataclass(frozen=True, kw_only=True)
class Paused(Event):
    """Somebody, or a stop, paused the session."""

    what = "paused"

    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Resumed(Event):
    """It goes on: a trial that was broken off is repeated."""

    what = "resumed"


@dataclass(frozen=True, kw_only=True)
class Skipped(Event):
    """The present trial, rest or break was left out."""

    what = "skipped"


@dataclass(frozen=True, kw_only=True)
class Aborted(Event):
    """The session was ended before its time."""

    what = "aborted"

    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Recovered(Event):
    """A new process took over after a crash; the session is paused until somebody resumes it."""

    what = "recovered"


@dataclass(frozen=True, kw_only=True)
class Finished(Event):
    """The plan is carried out."""

    what = "finished"


_KINDS: Mapping[str, type[Event]] = {
    kind.what: kind
    for kind in (
        Began, SignalTurned, SegmentBegan, PhaseBegan, Triggered, TimedOut, Paused, Resumed,
        Skipped, Aborted, Recovered, Finished,
    )
}  # fmt: skip
_WORDS: Mapping[str, type[StrEnum]] = {"side": Side, "phase": Phase, "outcome": Outcome}


def event_from(said: Mapping[str, Any]) -> Event:
    """The event that :meth:`Event.to_json` gave."""
    fields = {
        name: _WORDS[name](value) if name in _WORDS else value
        for name, value in said.items()
        if name != "what"
    }
    return _KINDS[said["what"]](**fields)  # type: ignore[arg-type]
