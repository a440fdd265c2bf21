"""What was asked of the patient and when, and the windows of a recording that belong to it.

Windows are cut from the recording as it went through the live chain.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from bci_rehab.decode.covariance import Floats
from bci_rehab.decode.following import Follower
from bci_rehab.decode.settings import STEP_S, WINDOW_S
from bci_rehab.errors import TooLittleToLearn
from bci_rehab.session import events as ev
from bci_rehab.session.offline import filtered
from bci_rehab.session.plan import Phase, Segment, SegmentKind, SessionPlan, Side, segments_of
from bci_rehab.session.record_format import Recording, RecordKind

# The patient needs this long after the cue; the delay of the filters is in it.
REACTION_S = 0.5
# Windows of one trial overlap; closer ones say little that is new.
LEARN_STEP_S = 0.25
# Windows that are held in memory at a time.
CHUNK = 200


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """A part of a session, in seconds of the host's clock.

    ``side`` is what was asked for; rest outside of trials has the ``trial`` 0.
    """

    side: Side
    run: int
    trial: int
    begins_s: float
    ends_s: float


@dataclass(frozen=True)
class Lessons:
    """Windows (windows, bands, channels, samples) with the label, trial and run of each."""

    windows: Floats
    labels: Any
    trials: Any
    runs: Any


def stretches_in(
    recording: Recording, kind: SegmentKind = SegmentKind.CALIBRATION
) -> list[Stretch]:
    """What was asked of the patient in a recording's runs of a kind."""
    plan = SessionPlan.from_json(recording.info["plan"])
    events = [ev.event_from(record.body) for record in recording.of(RecordKind.EVENT)]
    return stretches_of(plan, events, kind)


def stretches_of(
    plan: SessionPlan,
    events: Sequence[ev.Event],
    kind: SegmentKind = SegmentKind.CALIBRATION,
) -> list[Stretch]:
    """What was asked of the patient in the runs of a kind, and when nothing was.

    Trials that were broken off are left out. After a movement its rhythm takes a while to return,
    so the pause behind a trial counts neither as movement nor as rest.
    """
    segments = segments_of(plan)
    found: list[Stretch] = []
    segment: Segment = segments[0]
    began: ev.PhaseBegan | ev.SegmentBegan | None = None
    for event in events:
        regular = isinstance(event, ev.PhaseBegan | ev.SegmentBegan)
        if began is not None and regular:
            found += _between(segment, began, event.at_s, kind)
        if isinstance(event, ev.SegmentBegan):
            segment = segments[event.segment]
        if regular or isinstance(event, ev.Paused | ev.Skipped | ev.Aborted | ev.Recovered):
            began = event if isinstance(event, ev.PhaseBegan | ev.SegmentBegan) else None
    return found


class Cutter:
    """Cuts windows out of a recording between two times of the host's clock."""

    def __init__(
        self, recording: Recording, *, since_s: float = -math.inf, until_s: float = math.inf
    ) -> None:
        blocks = [b for b in recording.blocks if since_s <= b.host_s <= until_s]
        self._path = filtered(recording.stream, blocks)
        self._rate_hz = recording.stream.rate_hz
        self._arrived_s = [block.host_s for block in blocks]
        self._ends = [block.end for block in blocks]

    def ends(self, begins_s: float, ends_s: float, *, step_s: float) -> list[int]:
        """The sample numbers at which windows between two times end."""
        first, last = np.interp([begins_s, ends_s], self._arrived_s, self._ends)
        step = step_s * self._rate_hz
        found = np.arange(first + WINDOW_S * self._rate_hz, last, step)
        return [int(end) for end in np.round(found)]

    def windows(self, ends: Sequence[int]) -> Iterator[tuple[int, Floats]]:
        """The windows that end there, as far as their samples are good."""
        for end in ends:
            window = self._path.window(end, WINDOW_S)
            if window is not None:
                yield end, window

    def seconds(self, end: int) -> float:
        """The time of a sample on the device's own count."""
        return end / self._rate_hz

    def lessons(self, stretches: Sequence[Stretch]) -> Lessons:
        """All windows of some trials, from when the patient can have reacted."""
        made = []
        for stretch in stretches:
            ends = self.ends(stretch.begins_s + REACTION_S, stretch.ends_s, step_s=LEARN_STEP_S)
            made.append([window for _, window in self.windows(ends)])
        counts = [len(windows) for windows in made]
        if not sum(counts):
            raise TooLittleToLearn(what="a decoder", found="no clean window", needed="clean signal")
        return Lessons(
            windows=np.stack([window for windows in made for window in windows]),
            labels=np.repeat([str(stretch.side) for stretch in stretches], counts),
            trials=np.repeat([stretch.trial for stretch in stretches], counts),
            runs=np.repeat([stretch.run for stretch in stretches], counts),
        )

    def said(
        self, followers: Sequence[Follower], begins_s: float, ends_s: float
    ) -> dict[int, list[Floats]]:
        """What each follower says of each window between two times, by the window's last sample.

        Log-probabilities, of shape (classes,).
        """
        windows = self.windows(self.ends(begins_s, ends_s, step_s=STEP_S))
        said: dict[int, list[Floats]] = {}
        while chunk := list(islice(windows, CHUNK)):
            stacked = np.stack([window for _, window in chunk])
            answers = [follower.log_probabilities(stacked) for follower in followers]
            for row, (end, _) in enumerate(chunk):
                said[end] = [answer[row] for answer in answers]
        return said


def _between(
    segment: Segment, began: ev.PhaseBegan | ev.SegmentBegan, ends_s: float, kind: SegmentKind
) -> Iterator[Stretch]:
    """The stretch from an event to the next, if it is one of those that are wanted."""
    if isinstance(began, ev.SegmentBegan):
        if segment.kind is SegmentKind.REST:
            yield Stretch(side=Side.REST, run=0, trial=0, begins_s=began.at_s, ends_s=ends_s)
    elif segment.kind is kind:
        if began.phase is Phase.ACTIVE:
            number = segment.trials[began.trial].number
            yield Stretch(
                side=began.side, run=segment.run, trial=number, begins_s=began.at_s, ends_s=ends_s
            )
        elif began.phase is Phase.FIXATION:
            yield Stretch(
                side=Side.REST, run=segment.run, trial=0, begins_s=began.at_s, ends_s=ends_s
            )
