"""What a recorded session came to: the numbers of its report, from the recording alone."""

from __future__ import annotations

import json
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bci_rehab.session.engine import Engine, TrialResult
from bci_rehab.session.events import Event, Outcome, event_from
from bci_rehab.session.plan import SegmentKind, SessionPlan
from bci_rehab.session.record_format import Recording, RecordKind, read_recording
from bci_rehab.session.recorder import Recorder
from bci_rehab.session.resume import engine_of
from bci_rehab.station.gathered import Gathered
from bci_rehab.station.opening import RECORDING, SUMMARY

RIGHT = (Outcome.HIT, Outcome.QUIET)


def summary_of(path: Path) -> dict[str, Any]:
    """The summary of the recording at ``path``, as values that JSON can hold.

    The file is gone through block by block: a session of hours takes no more memory than a short
    one. ``accuracy`` is the share of feedback trials that were right: a hit where a movement was
    asked for, quiet where rest was. Times within the session count from its first record, in
    seconds.

    Raises
    ------
    NotARecording
        If not even the description of the stream can be read.
    """
    read = Gathered(path)
    engine = Engine(SessionPlan.from_json(read.info["plan"]), read.events)
    came = engine.summary()
    results = engine.state.results
    right = came.hits + came.quiet
    return {
        "plan": engine.plan.to_json(),
        "began_utc": read.info["clock"]["utc"],
        "lasted_s": round(read.last_s - read.began_s, 1),
        "ended": engine.state.ended or "interrupted",
        **{
            name: getattr(came, name)
            for name in (
                "trials", "hits", "misses", "wrong", "quiet", "false_triggers", "skipped",
                "calibration_trials",
            )
        },
        "time_on_task_s": round(came.time_on_task_s, 1),
        "accuracy": round(right / came.trials, 4) if came.trials else None,
        "standard_error": _standard_error(right, came.trials),
        "runs": _runs(results),
        "trial_list": [_trial(result) for result in results],
        "stops": list(read.stops.values()),
        "movements": {"count": read.movements, "seconds": round(read.moving_s, 2)},
        "decision_ms": _quantiles(read.decisions_ms),
        "signal": read.signal(),
        "notes": read.notes,
        "frames": read.frames,
        "decoders": [one for one in (read.info.get("decoder"), *read.decoders) if one],
        "versions": read.info.get("versions", {}),
        "recording": {
            "file": path.name,
            "bytes": path.stat().st_size,
            "sha256": read.scan.sha256,
            "intact": read.scan.intact,
            "damage": read.scan.damage.reason if read.scan.damage else "",
            "interruptions": read.interruptions,
        },
    }  # fmt: skip


def write_summary(recording: Path, to: Path) -> dict[str, Any]:
    """Write the summary beside the recording, whole or not at all."""
    text = json.dumps(summary_of(recording), ensure_ascii=False, indent=1)
    part = to.with_suffix(".part")
    part.write_text(text, "utf-8")
    part.replace(to)
    made: dict[str, Any] = json.loads(text)
    return made


def finish(folder: Path) -> dict[str, Any]:
    """Finish a session whose process is gone: its recording as far as it goes, and the summary.

    Raises
    ------
    RecordingClosed
        If another process is writing it.
    """
    recording = folder / RECORDING
    if not read_recording(recording, with_samples=False, kinds=()).intact:
        Recorder.resume(recording).close()
    return write_summary(recording, folder / SUMMARY)


def events_of(recording: Recording) -> list[Event]:
    """The log of the session."""
    return [event_from(record.body) for record in recording.of(RecordKind.EVENT)]


def _standard_error(right: int, trials: int) -> float | None:
    if not trials:
        return None
    share = right / trials
    return round(float(np.sqrt(share * (1 - share) / trials)), 4)


def _runs(results: Sequence[TrialResult]) -> list[dict[str, Any]]:
    made = []
    for run in sorted({result.run for result in results}):
        done = [result for result in results if result.run == run and not result.skipped]
        right = sum(result.outcome in RIGHT for result in done)
        feedback = bool(done) and done[0].kind is SegmentKind.FEEDBACK
        made.append(
            {
                "run": run,
                "kind": "feedback" if feedback else "calibration",
                "trials": len(done),
                "right": right if feedback else None,
                "accuracy": round(right / len(done), 4) if feedback else None,
            }
        )
    return made


def _quantiles(times_ms: array[float]) -> dict[str, float | None]:
    """From the arrival of a block to the decision on it."""
    if not times_ms:
        return {"p50": None, "p99": None}
    p50, p99 = np.percentile(np.frombuffer(times_ms), [50, 99])
    return {"p50": round(float(p50), 2), "p99": round(float(p99), 2)}


def _trial(result: TrialResult) -> dict[str, Any]:
    return {
        "run": result.run,
        "trial": result.number,
        "side": result.side.value,
        "outcome": result.outcome.value if result.outcome else None,
        "decided": result.decided.value if result.decided else None,
        "after_s": round(result.after_s, 3),
        "skipped": result.skipped,
    }


def results_of(recording: Recording) -> tuple[TrialResult, ...]:
    """How the trials ended; for a sham arm that is yoked to this recording."""
    return Engine(engine_of(recording).plan, events_of(recording)).state.results
