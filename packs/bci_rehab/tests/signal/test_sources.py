"""One contract over all sources, and what is particular to each."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
from bci_rehab.errors import (
    HeaderImplausible,
    SourceAmbiguous,
    SourceClosed,
    SourceFailed,
    SourceNotFound,
)
from bci_rehab.signal.blocks import Block, ChannelKind
from bci_rehab.signal.brain import PatientProfile, Task
from bci_rehab.signal.recording import Gap, Recording
from bci_rehab.signal.sources import MeasuresImpedance, Source
from bci_rehab.signal.sources.brainflow import BrainFlowSource, PackageCounter
from bci_rehab.signal.sources.lsl import LslSource
from bci_rehab.signal.sources.replay import Replay
from bci_rehab.signal.sources.synthetic import SyntheticPatient
from hypothesis import given
from hypothesis import strategies as st
from signal_makers import Hands, noise, stream

OUTLET = Path(__file__).with_name("signal_outlet.py")


@contextmanager
def outlet(
    source_id: str, name: str, rate: str = "250", unit: str = "uV", *more: str
) -> Iterator[None]:
    command = [sys.executable, str(OUTLET), source_id, name, rate, unit, *more]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == b"up"
        try:
            yield
        finally:
            process.kill()


def recording(rows: int = 2_000) -> Recording:
    return Recording(info=stream(), samples=noise(rows), first=10, gaps=(Gap(row=700, lost=33),))


@pytest.fixture(params=["synthetic", "replay", "stepped", "lsl", "brainflow"])
def source(request: pytest.FixtureRequest) -> Iterator[Source]:
    with ExitStack() as stack:
        if request.param == "lsl":
            stack.enter_context(outlet("contract-1", "Contract"))
        makers: dict[str, Callable[[], Source]] = {
            "synthetic": SyntheticPatient,
            "replay": lambda: Replay(recording(), speed=20.0),
            "stepped": lambda: Replay(recording(), speed=None),
            "lsl": lambda: LslSource(source_id="contract-1"),
            "brainflow": lambda: BrainFlowSource(-1),
        }
        made = makers[request.param]()
        yield made
        made.close()


def collect(source: Source, count: int, *, limit_s: float = 10.0) -> list[Block]:
    blocks: list[Block] = []
    until_s = time.monotonic() + limit_s
    while len(blocks) < count:
        assert time.monotonic() < until_s, "too few blocks came"
        made = source.read(0.1)
        if made is not None:
            blocks.append(made)
    return blocks


def test_a_source_says_what_it_is_and_gives_consecutive_blocks(source: Source) -> None:
    assert isinstance(source, Source)
    info = source.open()
    assert info.name
    assert info.source_id
    assert info.rate_hz >= 100.0
    assert len({channel.name for channel in info.channels}) == len(info.channels)
    blocks = collect(source, 8)
    for block in blocks:
        assert block.samples.shape == (len(block), len(info.channels))
        assert block.samples.dtype == np.float64
        assert block.device_s.shape == (len(block),)
        assert len(block) > 0
        assert (np.diff(block.device_s) >= 0).all()
    for before, after in zip(blocks, blocks[1:], strict=False):
        assert after.first >= before.end
        assert after.host_s >= before.host_s


def test_a_source_is_not_read_before_it_is_open_nor_after_it_is_closed(source: Source) -> None:
    with pytest.raises(SourceClosed):
        source.read(0.0)
    source.open()
    source.close()
    source.close()
    with pytest.raises(SourceClosed):
        source.read(0.0)


def test_a_source_can_be_opened_again(source: Source) -> None:
    info = source.open()
    collect(source, 2)
    source.close()
    assert source.open() == info
    collect(source, 2)


# --- replay --------------------------------------------------------------------------------------


@pytest.mark.parametrize("speed", [1.0, 7.5, None])
def test_a_replay_gives_the_recorded_samples_bit_by_bit_under_their_numbers(
    speed: float | None,
) -> None:
    hands, made = Hands(), recording()
    source = Replay(made, speed=speed, clock=hands.clock, sleep=hands.sleep)
    source.open()
    blocks = []
    for _ in range(10_000):
        block = source.read(0.01)
        if block is not None:
            blocks.append(block)
        if source.finished:
            break
    np.testing.assert_array_equal(np.concatenate([b.samples for b in blocks]), made.samples)
    numbers = np.concatenate([np.arange(b.first, b.end) for b in blocks])
    np.testing.assert_array_equal(numbers, np.r_[np.arange(10, 710), np.arange(743, 2_043)])
    if speed is not None:
        assert hands.now_s - 100.0 == pytest.approx(2_033 / 250.0 / speed, abs=0.02)
        assert all(b.host_s <= hands.now_s for b in blocks)


def test_a_finished_replay_gives_nothing_more() -> None:
    source = Replay(Recording(info=stream(), samples=noise(23)), speed=None)
    source.open()
    assert not source.finished
    while source.read(0.0) is not None:
        pass
    assert source.finished
    assert source.read(0.0) is None


# --- synthetic patient ---------------------------------------------------------------------------


def test_the_synthetic_patient_keeps_the_pace_of_the_clock() -> None:
    hands = Hands()
    source = SyntheticPatient(rate_hz=500.0, channels=8, clock=hands.clock, sleep=hands.sleep)
    source.open()
    rows = sum(len(block) for _ in range(400) if (block := source.read(0.02)))
    assert rows == pytest.approx((hands.now_s - 100.0) * 500.0, abs=6)


def test_what_the_radio_loses_is_a_gap_of_the_same_signal() -> None:
    def play(losses: float) -> tuple[np.ndarray, np.ndarray]:
        hands = Hands()
        profile = PatientProfile(losses_per_minute=losses)
        source = SyntheticPatient(profile, clock=hands.clock, sleep=hands.sleep, seed=5)
        source.open()
        blocks = []
        while hands.now_s < 130.0:
            block = source.read(0.02)
            if block is not None:
                blocks.append(block)
        numbers = np.concatenate([np.arange(b.first, b.end) for b in blocks])
        return numbers, np.concatenate([b.samples for b in blocks])

    lossy, heard = play(60.0)
    whole, said = play(0.0)
    missing = set(whole.tolist()) - set(lossy.tolist())
    assert 100 < len(missing) < 3_000
    common = lossy[lossy < len(whole)]
    np.testing.assert_array_equal(heard[: len(common)], said[common])


def test_orders_come_at_times_of_the_hosts_clock() -> None:
    hands = Hands()
    source = SyntheticPatient(
        PatientProfile(compliance=1.0), clock=hands.clock, sleep=hands.sleep, rate_hz=250.0
    )
    source.open()
    intention = source.intend("left_hand", at=104.0)
    assert intention.task is Task.LEFT_HAND
    assert intention.asked == pytest.approx(1_000, abs=2)
    assert source.truth() == (intention,)
    assert isinstance(source, MeasuresImpedance)
    assert set(source.impedances()) == {channel.name for channel in source.info.channels}
    assert {"intend", "impedances", "truth"} <= source.commands


# --- LSL -----------------------------------------------------------------------------------------


def test_a_stream_tells_its_channels_and_units_and_gives_microvolts() -> None:
    with outlet("units-1", "Units", "250", "millivolts"):
        source = LslSource(name="Units")
        info = source.open()
        assert info.named(ChannelKind.EEG) == ("C3", "Cz", "C4")
        assert info.named(ChannelKind.EOG) == ("EOG1",)
        blocks = collect(source, 5)
        rows = np.concatenate([b.samples[:, 0] for b in blocks])
        np.testing.assert_array_equal(np.diff(rows), 1_000.0)
        assert abs(source.time_correction_s()) < 0.05
        source.close()


def test_two_streams_of_one_name_are_an_error_that_says_so() -> None:
    with outlet("twin-1", "Twin"), outlet("twin-2", "Twin"):
        with pytest.raises(SourceAmbiguous, match="2 sources are called Twin"):
            LslSource(name="Twin").open()
        source = LslSource(source_id="twin-2")
        assert source.open().source_id == "twin-2"
        source.close()


def test_a_stream_that_is_not_there_is_named_after_the_wait() -> None:
    with pytest.raises(SourceNotFound, match="nowhere"):
        LslSource(source_id="nowhere", resolve_s=0.3).open()


def test_a_stream_without_a_rate_is_refused() -> None:
    with (
        outlet("markers-1", "Markers", "0"),
        pytest.raises(HeaderImplausible, match="sampling rate"),
    ):
        LslSource(source_id="markers-1").open()


def test_a_hole_in_the_stamps_is_counted_as_lost_samples() -> None:
    with outlet("hole-1", "Hole", "250", "uV", "0.4"):
        source = LslSource(source_id="hole-1")
        source.open()
        blocks: list[Block] = []
        until_s = time.monotonic() + 10
        while time.monotonic() < until_s and (not blocks or blocks[-1].samples[-1, 0] < 450):
            made = source.read(0.1)
            if made is not None:
                blocks.append(made)
        # A busy machine may itself be late once more; what was never made is counted once.
        gaps = [b.first - a.end for a, b in zip(blocks, blocks[1:], strict=False)]
        assert sum(gaps) == pytest.approx(100, abs=4)
        source.close()


def test_an_inlet_recovers_when_its_device_comes_back() -> None:
    with outlet("back-1", "Back"):
        source = LslSource(source_id="back-1")
        source.open()
        before = collect(source, 3)[-1]
    until_s = time.monotonic() + 5
    while (last := source.read(0.05)) is not None and time.monotonic() < until_s:
        before = last
    with outlet("back-1", "Back"):
        after = collect(source, 1, limit_s=20.0)[0]
    assert after.first > before.end
    assert (after.first - before.end) / 250.0 == pytest.approx(
        after.host_s - before.host_s, abs=0.3
    )
    source.close()


# --- BrainFlow -----------------------------------------------------------------------------------


def test_a_board_that_does_not_exist_or_a_wrong_parameter_is_named() -> None:
    with pytest.raises(SourceNotFound, match="987654"):
        BrainFlowSource(987_654).open()
    with pytest.raises(SourceFailed, match="colour"):
        BrainFlowSource(-1, {"colour": "red"}).open()


def test_the_boards_channels_take_the_names_of_the_places_they_sit_at() -> None:
    source = BrainFlowSource(-1, names=["Fc3.", "T3"])
    info = source.open()
    assert [channel.name for channel in info.channels[:3]] == ["FC3", "T7", "ch3"]
    assert sum(len(block) for block in collect(source, 10)) > 0
    source.close()


@given(
    st.lists(st.integers(0, 900), min_size=1, max_size=40),
    st.integers(0, 255),
    st.integers(0, 2**16),
)
def test_package_numbers_are_unwrapped_through_losses_of_several_turns(
    lost: list[int], start: int, seed: int
) -> None:
    true = np.cumsum([0, *(1 + gap for gap in lost)])
    jitter = np.random.default_rng(seed).uniform(-0.02, 0.02, size=len(true))
    counter = PackageCounter(modulus=256, rate_hz=250.0)
    got = counter.number((true + start) % 256, true / 250.0 + jitter)
    assert got == true.tolist()


def test_several_samples_in_one_package_are_counted_on() -> None:
    counter = PackageCounter(modulus=256, rate_hz=250.0)
    assert counter.number([7, 7, 8, 8], np.arange(4) / 250.0) == [0, 1, 2, 3]


@pytest.mark.parametrize("span", [range(101), range(101, 201), range(1, 17), range(65_536)])
def test_a_counter_that_begins_again_at_another_number_loses_nothing(span: range) -> None:
    counter = PackageCounter(modulus=256, rate_hz=200.0)
    count = 3 * max(len(span), 300)
    packages = np.resize(np.arange(span.start, span.stop), count)
    numbers = counter.number(packages, np.arange(count) / 200.0)
    assert numbers[-1] == count - 1
    kept = np.delete(np.arange(count), np.s_[150:180])
    lost = PackageCounter(modulus=len(span), rate_hz=200.0)
    assert lost.number(packages[kept], kept / 200.0)[-1] == count - 1
