"""What a recording comes to, from the file alone."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from bci_rehab.errors import NotARecording
from bci_rehab.session.plan import SessionPlan
from bci_rehab.session.record_format import FILE_HEAD, MAGIC, VERSION, RecordKind
from bci_rehab.session.recorder import Recorder
from bci_rehab.signal.blocks import Block, Channel, StreamInfo
from bci_rehab.station.summary import summary_of

STREAM = StreamInfo(
    name="cap",
    source_id="cap",
    rate_hz=1_000.0,
    channels=tuple(Channel(name=f"E{number}") for number in range(32)),
)
INFO = {"plan": SessionPlan().to_json(), "decoder": "a"}


def test_a_long_recording_takes_no_more_memory_than_a_short_one(tmp_path: Path) -> None:
    recorder = Recorder.create(tmp_path / "r", STREAM, INFO)
    samples = np.random.default_rng(0).normal(0, 20, (500, 32)).astype(np.float32).astype(float)
    for number in range(400):
        first = 500 * number
        times = np.arange(first, first + 500) / 1e3
        block = Block(first=first, samples=samples, device_s=times, host_s=1e3 + first / 1e3)
        recorder.append_block(block)
        if number % 50 == 0:
            recorder.append(RecordKind.NOTE, {"what": "note", "text": f"{number}"})
        while recorder._queued_bytes > 4e6:
            recorder._synced.wait(0.01)
    recorder.close()
    size = (tmp_path / "r").stat().st_size
    tracemalloc.start()
    said = summary_of(tmp_path / "r")
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < size / 5
    assert said["signal"]["seconds"] == 200.0
    assert said["signal"]["lost_s"] == 0.0
    assert len(said["notes"]) == 8
    assert said["decoders"] == ["a"]
    assert said["recording"]["intact"]


def test_every_reason_of_a_stop_is_told_with_its_latency(tmp_path: Path) -> None:
    recorder = Recorder.create(tmp_path / "r", STREAM, INFO)
    stop = {"detail": "", "cause_s": 4.9, "decided_s": 5.0, "was_on": True}
    for latency_ms in (None, 120.0):
        for reason in ("channels_bad", "signal_implausible"):
            body = {**stop, "reason": reason, "latency_ms": latency_ms}
            recorder.append(RecordKind.STOP, body)
    for level, at_s in ((1.0, 3.0), (0.0, 5.02)):
        recorder.append(RecordKind.PERMIT, {"driver": {"level": level, "at_s": at_s}})
    recorder.close()
    said = summary_of(tmp_path / "r")
    assert [(one["reason"], one["latency_ms"]) for one in said["stops"]] == [
        ("channels_bad", 120.0),
        ("signal_implausible", 120.0),
    ]
    assert said["movements"] == {"count": 1, "seconds": 2.02}


def test_what_has_no_description_is_no_recording(tmp_path: Path) -> None:
    (tmp_path / "r").write_bytes(FILE_HEAD.pack(MAGIC, VERSION))
    with pytest.raises(NotARecording):
        summary_of(tmp_path / "r")
