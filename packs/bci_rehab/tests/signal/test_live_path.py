"""The parts together: process, ring, chain and watchdog, held against the file taken whole."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from bci_rehab.errors import RingMissing
from bci_rehab.signal import files
from bci_rehab.signal.acquisition import Acquisition
from bci_rehab.signal.blocks import StreamInfo
from bci_rehab.signal.brain import PatientProfile
from bci_rehab.signal.filters import BandPass, Chain, FilterBank, Notch, Reference
from bci_rehab.signal.quality import ContactGrade, contact_grade
from bci_rehab.signal.recording import Recording
from bci_rehab.signal.ring import RingReader
from bci_rehab.signal.sources import Source
from bci_rehab.signal.sources.brainflow import BrainFlowSource
from bci_rehab.signal.sources.lsl import LslSource
from bci_rehab.signal.sources.replay import Replay
from bci_rehab.signal.sources.synthetic import SyntheticPatient
from bci_rehab.signal.watchdog import Watchdog
from signal_makers import noise, stream
from test_sources import outlet

BANDS = [(8.0, 12.0), (12.0, 16.0), (16.0, 24.0)]


def chain(info: StreamInfo) -> Chain:
    rate_hz = info.rate_hz
    bank = FilterBank(rate_hz, BANDS)
    return Chain(info, [Notch(rate_hz, 60.0), BandPass(rate_hz, 4.0, 40.0), Reference(info), bank])


def fast_replay(recording: Recording) -> Source:
    return Replay(recording, speed=20.0, block_s=0.05)


def off_line(recording: Recording) -> tuple[np.ndarray, np.ndarray]:
    whole = chain(recording.info)
    pieces = [whole.process(block) for block in recording.blocks(10**9)]
    return np.concatenate([p.samples for p in pieces]), np.concatenate([p.usable for p in pieces])


def live(recording: Recording) -> tuple[np.ndarray, np.ndarray]:
    filters = chain(recording.info)
    samples, usable, rows = [], [], 0
    with Acquisition(functools.partial(fast_replay, recording)) as acquisition:
        reader = acquisition.reader(from_oldest=True)
        until_s = time.monotonic() + 60
        while rows < len(recording) and time.monotonic() < until_s:
            block = reader.read(0.1)
            if block is not None:
                rows += len(block)
                piece = filters.process(block)
                samples.append(piece.samples)
                usable.append(piece.usable)
        assert reader.overrun == 0
        reader.close()
    return np.concatenate(samples), np.concatenate(usable)


def test_a_replay_through_process_and_ring_is_bit_equal_to_the_recording_taken_whole() -> None:
    recording = Recording(info=stream(64), samples=noise(3_000, 64))
    for got, expected in zip(live(recording), off_line(recording), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_a_public_recording_replayed_live_is_bit_equal_too(recordings: Path) -> None:
    recording = files.read(recordings / "physionet_eegmmidb_S001" / "S001R06.edf")
    for got, expected in zip(live(recording), off_line(recording), strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("kind", ["lsl", "brainflow", "synthetic"])
def test_each_live_source_runs_in_its_own_process_and_is_healthy(kind: str) -> None:
    with outlet("live-1", "Live"):
        factory: dict[str, functools.partial[Source]] = {
            "lsl": functools.partial(LslSource, source_id="live-1"),
            "brainflow": functools.partial(BrainFlowSource, -1),
            "synthetic": functools.partial(SyntheticPatient, rate_hz=1_000.0, channels=64),
        }
        with Acquisition(factory[kind]) as acquisition:
            assert acquisition.info is not None
            reader = acquisition.reader()
            dog = Watchdog(acquisition.info, now_s=time.monotonic())
            until_s = time.monotonic() + 2.0
            while time.monotonic() < until_s:
                block = reader.read(0.05)
                if block is not None:
                    dog.feed(block)
            health = dog.health(time.monotonic())
            assert health.lost_share == 0.0
            assert health.age_s < 0.25
            reader.close()


def test_a_detached_electrode_is_seen_by_the_watchdog_and_by_its_impedance() -> None:
    factory = functools.partial(SyntheticPatient, PatientProfile(), channels=8)
    with Acquisition(factory) as acquisition:
        assert acquisition.info is not None
        reader = acquisition.reader()
        dog = Watchdog(acquisition.info, now_s=time.monotonic())
        acquisition.ask("detach", "C4")
        until_s = time.monotonic() + 10.0
        while time.monotonic() < until_s:
            block = reader.read(0.05)
            if block is not None:
                dog.feed(block)
            if dog.health(time.monotonic()).bad_channel_names == ("C4",):
                break
        assert dog.health(time.monotonic()).bad_channel_names == ("C4",)
        grades = {name: contact_grade(kohm) for name, kohm in acquisition.ask("impedances").items()}
        assert grades.pop("C4") is ContactGrade.OFF
        assert set(grades.values()) <= {ContactGrade.GOOD, ContactGrade.FAIR}
        reader.close()


def test_when_the_session_is_killed_its_acquisition_ends_and_the_memory_is_freed() -> None:
    code = (
        "import time; from bci_rehab.signal.acquisition import Acquisition; "
        "from signal_makers import Steady; acquisition = Acquisition(Steady); acquisition.start(); "
        "print(acquisition.ring, acquisition.reader().state().pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as session:
        assert session.stdout is not None
        ring, pid = session.stdout.readline().split()
        session.send_signal(signal.SIGKILL)
    until_s = time.monotonic() + 10
    while psutil.pid_exists(int(pid)) and time.monotonic() < until_s:
        time.sleep(0.02)
    assert not psutil.pid_exists(int(pid))
    while time.monotonic() < until_s:
        try:
            RingReader(ring).close()
        except RingMissing:
            return
        time.sleep(0.05)
    raise AssertionError("the shared memory was left behind")
