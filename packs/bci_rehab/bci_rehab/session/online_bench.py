"""The rows of ``haihe bench bci --online``: sameness, a stream with rest, latency and its peer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bci_rehab.decode import recordings
from bci_rehab.decode.following import BANDS_HZ, FollowingTangent
from bci_rehab.decode.recordings import Cut
from bci_rehab.decode.settings import CONFIDENCE
from bci_rehab.session import pseudo_online
from bci_rehab.session.latency_bench import latency_rows, step_rows
from bci_rehab.session.sameness import compare
from bci_rehab.signal import files
from haihe.packs import judge_streams

RUNS, NAMES = (6, 10, 14), {"T1": "fists", "T2": "feet"}
_LEARNED = Cut(begin_s=0.5, end_s=4.0, length_s=1.0, hop_s=0.5)


def online_rows(folder: Path, *, seconds: float) -> Iterator[dict[str, Any]]:
    """All rows, over PhysioNet's motor recordings in ``folder`` and a stream of so many seconds."""
    yield from sameness_rows(folder)
    yield stream_row(folder)
    yield from step_rows()
    yield from latency_rows(seconds=seconds)


def sameness_rows(folder: Path, *, runs: tuple[int, ...] = RUNS) -> Iterator[dict[str, Any]]:
    """Whether live and off-line are bit-equal on each run; the decoder learned from the others."""
    sources = recordings.sensorimotor(list(recordings.motor(folder, RUNS, NAMES)))
    for left_out in (source for source in sources if int(source.name[-2:]) in runs):
        others = [one for one in sources if one.subject == left_out.subject and one is not left_out]
        (windows,) = recordings.cut(others, BANDS_HZ, _LEARNED)
        model = FollowingTangent().fit(windows.samples, windows.labels, windows.folds)
        (path,) = folder.rglob(f"{left_out.name}.edf")
        same = compare(files.read(path), model)
        yield {
            "row": "sameness",
            "run": left_out.name,
            "features_equal": same.features_equal,
            **asdict(same),
        }


def stream_row(
    folder: Path, *, wanted_per_min: float = pseudo_online.WANTED_PER_MIN
) -> dict[str, Any]:
    """What the decoder triggers in runs that come as streams, scored by the platform."""
    streamed = list(pseudo_online.streamed(folder, RUNS, NAMES, wanted_per_min=wanted_per_min))
    scored = judge_streams([one.raw for one in streamed], grace_s=pseudo_online.GRACE_S)
    for run, one in zip(scored["runs"], streamed, strict=True):
        found = one.calibrated
        run |= {
            "threshold": found.rule.threshold,
            "calibration_false_triggers": found.false_triggers,
            "calibration_rest_min": found.idle_min,
            "calibration_upper_per_min": found.upper_per_min,
        }
    row: dict[str, Any] = _rounded(
        {
            "row": "pseudo_online",
            "task": "imagined fists against feet, with rest",
            "wanted_false_per_min": wanted_per_min,
            "confidence": CONFIDENCE,
            "grace_s": pseudo_online.GRACE_S,
            **scored,
        }
    )
    return row


def _rounded(value: Any) -> Any:
    """Floats to four digits, at every depth."""
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list) else value
