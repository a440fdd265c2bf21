"""Whether the decoder's mean goes on following the signal, judged at the end of each feedback run.

In a process of its own the session so far is read again in both ways, following and staying at the
mean of calibration, and held against what was asked in the trials. The other way takes the place of
the one in use only if it does better by a paired test; the hand is then off until somebody arms
again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from bci_rehab.decode.adaptation import Verdict, judge
from bci_rehab.decode.model import load
from bci_rehab.decode.settings import STEP_S
from bci_rehab.session.plan import SegmentKind
from bci_rehab.session.record_format import read_recording
from bci_rehab.station.cutting import Cutter, stretches_in

# What is older has faded from the mean, and costs time to read.
LOOK_BACK_S = 900.0
FEWEST_TRIALS = 8


def judge_feedback(recording: Path, decoder: Path, sha256: str, *, follows: bool) -> Verdict | None:
    """Hold the other way of reading against the one in use; None with too few trials to tell."""
    found = load(decoder, sha256=sha256)
    read = read_recording(recording)
    trials = [one for one in stretches_in(read, SegmentKind.FEEDBACK) if one.trial]
    known = [one for one in trials if str(one.side) in found.manifest.classes]
    if not known:
        return None
    since_s = known[-1].ends_s - LOOK_BACK_S
    cutter = Cutter(read, since_s=since_s)
    followers = [found.estimator.follower(follows=way) for way in (follows, not follows)]
    said = cutter.said(followers, max(since_s, read.blocks[0].host_s), known[-1].ends_s)
    rows, labels, names = [], [], []
    for trial in known:
        ends = cutter.ends(trial.begins_s, trial.ends_s, step_s=STEP_S)
        inside = [end for end in said if ends and ends[0] <= end <= ends[-1]]
        rows += [said[end] for end in inside]
        labels += [str(trial.side)] * len(inside)
        names += [trial.trial] * len(inside)
    if len(set(names)) < FEWEST_TRIALS:
        return None
    before, after = (np.array([row[way] for row in rows]) for way in (0, 1))
    return judge(before, after, labels, names, classes=found.manifest.classes)


class AdaptationGuard:
    """Asks for a judgement whenever a feedback run has ended, one at a time.

    ``job`` gives what is to be called in the other process, or None if nothing drives; ``told`` is
    called with its verdict, in a thread of the guard's.
    """

    def __init__(
        self,
        job: Callable[[], partial[Verdict | None] | None],
        told: Callable[[Verdict], None],
    ) -> None:
        self._job, self._told = job, told
        self._in_run = False
        self._thread: threading.Thread | None = None

    def follow(self, message: Mapping[str, Any]) -> None:
        """Take a message of the live session in; returns at once."""
        trial = message["trial"]
        in_run = trial["segment"] == SegmentKind.FEEDBACK.value
        over = self._in_run and not in_run and not trial["ended"]
        self._in_run = in_run
        if not over or (self._thread is not None and self._thread.is_alive()):
            return
        job = self._job()
        if job is not None:
            self._thread = threading.Thread(target=self._judge, args=(job,), daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Wait for a judgement that is under way."""
        if self._thread is not None:
            self._thread.join()

    def _judge(self, job: partial[Verdict | None]) -> None:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            verdict = pool.submit(job).result()
        if verdict is not None:
            self._told(verdict)
