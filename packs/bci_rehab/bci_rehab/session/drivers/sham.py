"""The sham arm of a study: the decisions of another person's recording, in place of one's own.

A yoked control (Church 1964): the hand moves as often and at the times in a trial at which it
moved for somebody else, so that all but the link to the patient's own brain is the same. It stands
in place of the decoder's wish, before the interlock, which stays in force in full. Neither the
patient nor the page is told; the recording is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

TRIALS_LIMIT = 10_000


@dataclass(frozen=True, kw_only=True)
class YokedTrial:
    """What happened in one trial of the other recording: when a decision came, and which.

    ``after_s`` is counted from the cue, and is None if none came.
    """

    side: str
    after_s: float | None
    decided: str | None


class Yoke:
    """Answers for the decoder, from another recording's trials.

    Trials are taken in order within their side, round and round, so that each cue meets one of its
    own kind.
    """

    def __init__(self, trials: Iterable[YokedTrial]) -> None:
        by_side: dict[str, list[YokedTrial]] = {}
        for number, trial in enumerate(trials):
            assert number < TRIALS_LIMIT, "a recording of a session has fewer trials"
            by_side.setdefault(trial.side, []).append(trial)
        self._by_side: Mapping[str, Sequence[YokedTrial]] = by_side

    @property
    def sides(self) -> tuple[str, ...]:
        """The sides for which the other recording has trials."""
        return tuple(self._by_side)

    def decided(self, side: str, occurrence: int, after_s: float) -> str | None:
        """What was decided by ``after_s`` in the trial that stands for this one; None if nothing.

        ``occurrence`` counts the trials of this side in the session, from 0.
        """
        trials = self._by_side.get(side, ())
        if not trials:
            return None
        trial = trials[occurrence % len(trials)]
        if trial.after_s is None or after_s < trial.after_s:
            return None
        return trial.decided
