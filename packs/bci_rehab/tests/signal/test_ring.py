from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from bci_rehab.errors import RingMissing, SourceFailed
from bci_rehab.signal.ring import Phase, RingReader, RingWriter
from hypothesis import given, settings
from hypothesis import strategies as st
from signal_makers import block, noise, stream, write_and_hang, write_ramp


@pytest.fixture
def ring() -> Iterator[RingWriter]:
    writer = RingWriter.create(stream(), seconds=1.0)
    yield writer
    writer.remove()


def read_to_the_end(reader: RingReader, *, limit_s: float = 20.0) -> list:
    blocks = []
    until_s = time.monotonic() + limit_s
    while time.monotonic() < until_s:
        made = reader.read(0.05)
        if made is not None:
            blocks.append(made)
        elif reader.state().phase is Phase.ENDED:
            return blocks
    raise AssertionError("the writer did not end in time")


def test_what_is_written_is_read_as_it_was(ring: RingWriter) -> None:
    reader = RingReader(ring.name)
    samples = noise(40)
    ring.write(block(samples, 7, host_s=3.5))
    got = reader.read(0.0)
    assert got is not None
    assert (got.first, got.host_s) == (7, 3.5)
    np.testing.assert_array_equal(got.samples, samples)
    np.testing.assert_array_equal(got.device_s, np.arange(7, 47) / 250.0)
    assert reader.info == stream()
    assert reader.read(0.0) is None
    reader.close()


def test_a_gap_of_the_source_ends_a_block(ring: RingWriter) -> None:
    reader = RingReader(ring.name)
    ring.write(block(noise(10), 0))
    ring.write(block(noise(10), 25))
    blocks = [reader.read(0.0), reader.read(0.0), reader.read(0.0)]
    assert [(b.first, len(b)) for b in blocks if b] == [(0, 10), (25, 10)]
    reader.close()


def test_a_reader_that_is_overrun_says_how_many_samples_it_lost(ring: RingWriter) -> None:
    reader = RingReader(ring.name)
    for first in range(0, 1_000, 50):
        ring.write(block(np.full((50, 8), float(first)), first))
    got = reader.read(0.0)
    assert got is not None
    assert reader.overrun == 1_000 - 250
    assert (got.first, got.end) == (750, 1_000)
    reader.close()


def test_a_reader_that_comes_late_begins_with_the_next_or_the_oldest(ring: RingWriter) -> None:
    for first in range(0, 600, 50):
        ring.write(block(noise(50), first))
    late, thorough = RingReader(ring.name), RingReader(ring.name, from_oldest=True)
    oldest = thorough.read(0.0)
    assert oldest is not None
    assert (oldest.first, oldest.end) == (350, 600)
    assert thorough.overrun == 0
    assert late.read(0.0) is None
    ring.write(block(noise(5), 600))
    newest = late.read(0.0)
    assert newest is not None
    assert newest.first == 600
    late.close()
    thorough.close()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 90), st.booleans()), max_size=30))
def test_each_sample_is_read_once_or_counted_as_overrun(steps: list[tuple[int, bool]]) -> None:
    writer = RingWriter.create(stream(2), seconds=0.4)
    reader = RingReader(writer.name)
    first, seen = 0, []
    for count, look in [*steps, (1, True)]:
        values = np.repeat(np.arange(first, first + count, dtype=float)[:, None], 2, axis=1)
        writer.write(block(values, first))
        first += count
        while look and (got := reader.read(0.0)) is not None:
            seen.extend(got.samples[:, 0].astype(int).tolist())
            assert got.samples[0, 0] == got.first
    skipped = sum(max(0, count - 50) for count, _ in steps)
    assert seen == sorted(set(seen))
    assert len(seen) + reader.overrun + skipped == first
    reader.close()
    writer.remove()


def test_two_processes_pass_every_sample_whole_and_in_order() -> None:
    writer = RingWriter.create(stream(), seconds=20.0)
    readers = [RingReader(writer.name), RingReader(writer.name)]
    child = multiprocessing.get_context("spawn").Process(
        target=write_ramp, args=(writer.name, 3_000, 5_000.0)
    )
    child.start()
    for reader in readers:
        got = np.concatenate([b.samples for b in read_to_the_end(reader)])
        np.testing.assert_array_equal(got, np.repeat(np.arange(3_000.0)[:, None], 8, axis=1))
        assert reader.overrun == 0
        reader.close()
    child.join(10)
    assert child.exitcode == 0
    writer.remove()


def test_a_slow_reader_gets_no_torn_sample_while_the_writer_laps_it() -> None:
    writer = RingWriter.create(stream(), seconds=0.2)
    reader = RingReader(writer.name)
    child = multiprocessing.get_context("spawn").Process(
        target=write_ramp, args=(writer.name, 20_000, 40_000.0)
    )
    child.start()
    count = 0
    for got in read_to_the_end(reader):
        numbers = np.arange(got.first, got.end, dtype=float)
        np.testing.assert_array_equal(got.samples, np.repeat(numbers[:, None], 8, axis=1))
        count += len(got)
    assert count + reader.overrun == 20_000
    child.join(10)
    reader.close()
    writer.remove()


def test_a_writer_that_is_killed_is_noticed_within_100_ms_after_all_it_wrote_is_read() -> None:
    writer = RingWriter.create(stream(), seconds=4.0)
    reader = RingReader(writer.name)
    child = multiprocessing.get_context("spawn").Process(target=write_and_hang, args=(writer.name,))
    child.start()
    got = None
    until_s = time.monotonic() + 20
    while got is None and time.monotonic() < until_s:
        got = reader.read(0.05)
    assert got is not None
    assert len(got) == 10
    assert reader.read(0.05) is None
    os.kill(child.pid, signal.SIGKILL)
    killed_s = time.monotonic()
    with pytest.raises(SourceFailed, match="ended from outside"):
        while time.monotonic() - killed_s < 5.0:
            reader.read(0.02)
    assert time.monotonic() - killed_s < 0.1
    child.join(5)
    reader.close()
    writer.remove()


def test_a_failure_is_told_in_the_writers_words(ring: RingWriter) -> None:
    reader = RingReader(ring.name)
    ring.begin(note="real time")
    ring.write(block(noise(5), 0))
    ring.fail("the battery is empty")
    assert reader.read(0.0) is not None
    with pytest.raises(SourceFailed, match="the battery is empty"):
        reader.read(0.0)
    assert reader.state().note == "real time"
    reader.close()


def test_a_ring_that_is_not_there_is_named() -> None:
    with pytest.raises(RingMissing, match="no-such-ring"):
        RingReader("no-such-ring")


def test_a_reader_in_an_unrelated_process_leaves_the_ring_to_the_others(ring: RingWriter) -> None:
    code = (
        "import sys; from bci_rehab.signal.ring import RingReader; "
        "reader = RingReader(sys.argv[1], from_oldest=True); "
        "print(len(reader.read(0.0))); reader.close()"
    )
    ring.write(block(noise(12), 0))
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code, ring.name],
            capture_output=True, text=True, timeout=60, check=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
        assert (done.stdout.strip(), done.stderr) == ("12", "")


class Spied:
    """A column of the ring that lets somebody look before and after each write."""

    def __init__(self, column: np.ndarray, look: Callable[[], None]) -> None:
        self.column, self.look = column, look

    def __setitem__(self, rows: object, values: object) -> None:
        self.look()
        self.column[rows] = values
        self.look()

    def __getitem__(self, rows: object) -> np.ndarray:
        return self.column[rows]


def test_a_reader_that_looks_in_the_middle_of_a_write_sees_whole_samples_only() -> None:
    writer = RingWriter.create(stream(2), seconds=0.4)
    eager, lazy = RingReader(writer.name), RingReader(writer.name)
    seen: dict[RingReader, int] = {eager: 0, lazy: 0}
    looks = 0

    def look() -> None:
        nonlocal looks
        looks += 1
        for reader in [eager, lazy] if looks % 97 == 0 else [eager]:
            while (got := reader.read(0.0)) is not None:
                numbers = np.arange(got.first, got.end, dtype=float)
                np.testing.assert_array_equal(got.samples, np.repeat(numbers[:, None], 2, axis=1))
                np.testing.assert_array_equal(got.device_s, numbers / 250.0)
                seen[reader] += len(got)

    for name in ("numbers", "device_s", "host_s", "samples"):
        setattr(writer._ring, name, Spied(getattr(writer._ring, name), look))
    for first in range(0, 600, 12):
        values = np.repeat(np.arange(first, first + 12.0)[:, None], 2, axis=1)
        writer.write(block(values, first))
    looks = 96
    look()
    assert seen[eager] + eager.overrun == 600
    assert seen[lazy] + lazy.overrun == 600
    assert lazy.overrun > 0
    eager.close()
    lazy.close()
    writer.remove()


def test_what_a_writer_wrote_in_its_last_moment_is_read_before_its_end_is_told(
    ring: RingWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = RingReader(ring.name)

    def writes_and_dies() -> SourceFailed | None:
        if ring.state().rows == 0:
            ring.write(block(noise(7), 0))
        return SourceFailed(source="Test amplifier", reason="gone")

    monkeypatch.setattr(reader, "_look_after_writer", writes_and_dies)
    last = reader.read(0.0)
    assert last is not None
    assert len(last) == 7
    with pytest.raises(SourceFailed, match="gone"):
        reader.read(0.0)
    reader.close()
