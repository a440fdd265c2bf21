"""What a recorded session came to: the numbers of its report, from the recording alone."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from bci_rehab.session.engine import Engine, TrialResult
from bci_rehab.session.events import Event, Outcome, event_from
from bci_rehab.session.plan import SegmentKind
from bci_rehab.session.record_format import Record, Recording, RecordKind, read_recording
from bci_rehab.session.recorder import Recorder
from bci_rehab.session.resume import engine_of
from bci_rehab.signal.blocks import Block
from bci_rehab.station.opening import RECORDING, SUMMARY

RIGHT = (Outcome.HIT, Outcome.QUIET)
NOTES_LIMIT = 200
STOPS_LIMIT = 500


def summary_of(path: Path) -> dict[str, Any]:
    """The summary of the recording at ``path``, as values that JSON can hold.

    ``accuracy`` is the share of feedback trials that were right: a hit where a movement was asked
    for, quiet where rest was. Times within the session count from its first record, in seconds.
    """
    recording = read_recording(path)
    engine = engine_of(recording)
    came = engine.summary()
    results = engine.state.results
    right = came.hits + came.quiet
    return {
        "plan": engine.plan.to_json(),
        "began_utc": recording.info["clock"]["utc"],
        "lasted_s": round(recording.records[-1].at_s - recording.records[0].at_s, 1),
        "ended": engine.state.ended or "interrupted",
        "trials": came.trials,
        "hits": came.hits,
        "misses": came.misses,
        "wrong": came.wrong,
        "quiet": came.quiet,
        "false_triggers": came.false_triggers,
        "skipped": came.skipped,
        "calibration_trials": came.calibration_trials,
        "time_on_task_s": round(came.time_on_task_s, 1),
        "accuracy": round(right / came.trials, 4) if came.trials else None,
        "standard_error": _standard_error(right, came.trials),
        "runs": _runs(results),
        "trial_list": [_trial(result) for result in results],
        "stops": _stops(recording),
        "movements": _movements(recording.of(RecordKind.PERMIT)),
        "decision_ms": _decision_ms(recording.of(RecordKind.DECISION)),
        "signal": _signal(recording),
        "notes": _notes(recording),
        "frames": _last_body(recording.of(RecordKind.NOTE), "frames"),
        "decoders": _decoders(recording),
        "versions": recording.info.get("versions", {}),
        "recording": {
            "file": path.name,
            "bytes": path.stat().st_size,
            "sha256": recording.sha256,
            "intact": recording.intact,
            "damage": recording.damage.reason if recording.damage else "",
            "interruptions": len(recording.of(RecordKind.RESUMPTION)),
        },
    }


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
    if not read_recording(recording, with_samples=False).intact:
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


def _stops(recording: Recording) -> list[dict[str, Any]]:
    """Each stop once, with its latency where the driver was on: the later record knows it.

    Several reasons may have stopped it at one time; each is there.
    """
    began_s = recording.records[0].at_s
    found: dict[tuple[float, str], dict[str, Any]] = {}
    for record in recording.of(RecordKind.STOP):
        body = record.body
        latency_ms = body.get("latency_ms")
        found[body["decided_s"], body["reason"]] = {
            "reason": body["reason"],
            "detail": body.get("detail", ""),
            "at_s": round(body["decided_s"] - began_s, 2),
            "was_on": body.get("was_on", False),
            "latency_ms": None if latency_ms is None else round(latency_ms, 1),
        }
    return list(found.values())[:STOPS_LIMIT]


def _movements(permits: Sequence[Record]) -> dict[str, Any]:
    """How often the driver went on, and for how long in all."""
    times, count, since_s = 0.0, 0, None
    for record in permits:
        driver = record.body.get("driver")
        if driver is None:
            continue
        if driver["level"] > 0.0 and since_s is None:
            count, since_s = count + 1, driver["at_s"]
        elif driver["level"] == 0.0 and since_s is not None:
            times, since_s = times + driver["at_s"] - since_s, None
    return {"count": count, "seconds": round(times, 2)}


def _decision_ms(decisions: Sequence[Record]) -> dict[str, float | None]:
    """From the arrival of a block to the decision on it."""
    late = [(record.at_s - record.body["host_s"]) * 1e3 for record in decisions]
    if not late:
        return {"p50": None, "p99": None}
    p50, p99 = np.percentile(late, [50, 99])
    return {"p50": round(float(p50), 2), "p99": round(float(p99), 2)}


def _signal(recording: Recording) -> dict[str, Any]:
    stream, blocks = recording.stream, recording.blocks
    kept = sum(len(block) for block in blocks)
    lost = sum(_gap(before, after) for before, after in pairwise(blocks))
    health = recording.of(RecordKind.HEALTH)
    bad = Counter(name for record in health for name in record.body.get("bad_channels", ()))
    return {
        "source": stream.name,
        "channels": len(stream.channels),
        "rate_hz": stream.rate_hz,
        "seconds": round(kept / stream.rate_hz, 1),
        "lost_s": round(lost / stream.rate_hz, 2),
        "bad_share": {name: round(count / len(health), 3) for name, count in bad.most_common()},
    }


def _gap(before: Block, after: Block) -> int:
    """Samples that the device made and the recording lacks; a device that begins anew has none."""
    return max(0, after.first - before.end)


def _notes(recording: Recording) -> list[dict[str, Any]]:
    began_s = recording.records[0].at_s
    return [
        {"at_s": round(record.at_s - began_s, 1), "text": record.body["text"]}
        for record in recording.of(RecordKind.NOTE)
        if record.body.get("what") == "note" and record.body.get("text")
    ][:NOTES_LIMIT]


def _last_body(notes: Sequence[Record], what: str) -> dict[str, Any] | None:
    found = [record.body for record in notes if record.body.get("what") == what]
    return {name: v for name, v in found[-1].items() if name != "what"} if found else None


def _decoders(recording: Recording) -> list[str]:
    """The hashes of the decoders that drove the session, in order."""
    first = recording.info.get("decoder")
    later = [
        record.body["sha256"]
        for record in recording.of(RecordKind.NOTE)
        if record.body.get("what") == "replace" and not record.body["refused"]
    ]
    return [sha256 for sha256 in (first, *later) if sha256]


def results_of(recording: Recording) -> tuple[TrialResult, ...]:
    """How the trials ended; for a sham arm that is yoked to this recording."""
    return Engine(engine_of(recording).plan, events_of(recording)).state.results
