from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from bci_rehab.signal.blocks import Block
from bci_rehab.signal.brain import PatientProfile, SyntheticBrain
from bci_rehab.signal.verdicts import WORDS
from bci_rehab.signal.watchdog import Code, Finding, Health, Watchdog
from hypothesis import given, settings
from hypothesis import strategies as st
from signal_makers import stream

RATE_HZ = 250.0
INFO = stream(16)
NAMES = [channel.name for channel in INFO.channels]
SIZE = 5
Change = Callable[[Block, float], Block | list[Block] | None]


def patient(seconds: float, *, seed: int = 3) -> np.ndarray:
    brain = SyntheticBrain(PatientProfile(), rate_hz=RATE_HZ, channels=NAMES, seed=seed)
    return brain.generate(round(seconds * RATE_HZ))


def watch(change: Change = lambda block, now_s: block, *, seconds: float = 8.0) -> list[Health]:
    """Feed 20-ms blocks, changed after 5 s, and judge after each; the host's clock begins at 50."""
    dog = Watchdog(INFO, now_s=50.0)
    samples = patient(seconds)
    judged = []
    for first in range(0, len(samples) - SIZE + 1, SIZE):
        now_s = 50.0 + (first + SIZE) / RATE_HZ
        made: Block | list[Block] | None = Block(
            first=first,
            samples=samples[first : first + SIZE],
            device_s=np.arange(first, first + SIZE) / RATE_HZ,
            host_s=now_s,
        )
        assert isinstance(made, Block)
        if first >= 5 * RATE_HZ:
            made = change(made, now_s)
        for one in made if isinstance(made, list) else [made]:
            if one is not None:
                dog.feed(one)
        judged.append(dog.health(now_s))
    return judged


def first_with(judged: list[Health], test: Callable[[Health], bool]) -> float:
    """Seconds from the accident until a judgement fulfils the test."""
    begins = round(5 * RATE_HZ / SIZE)
    assert not any(test(health) for health in judged[:begins])
    for index, health in enumerate(judged[begins:]):
        if test(health):
            return (index + 1) * SIZE / RATE_HZ
    raise AssertionError("it was never noticed")


def test_a_good_stream_has_nothing_against_it() -> None:
    last = watch()[-1]
    assert [f.message for f in last.verdicts] == []
    assert (last.lost_share, last.bad_channels) == (0.0, 0)
    assert last.age_s < 0.03
    assert last.rate_hz == pytest.approx(250.0, rel=0.01)
    assert last.clock is not None
    assert abs(last.clock.drift_ppm) < 100.0


def test_a_stream_that_stops_grows_old() -> None:
    judged = watch(lambda block, now_s: None)
    assert first_with(judged, lambda h: h.age_s > 0.2) <= 0.24
    assert judged[-1].age_s == pytest.approx(3.0, abs=0.05)
    assert judged[-1].has(Code.STALE)
    assert judged[-1].lost_share == 1.0


def test_a_stream_that_freezes_is_as_old_as_its_last_change() -> None:
    frozen = patient(5.02)[-1]

    def freeze(block: Block, now_s: float) -> Block:
        return replace(block, samples=np.repeat(frozen[None, :], SIZE, axis=0))

    judged = watch(freeze)
    assert first_with(judged, lambda h: h.age_s > 0.2) <= 0.26
    assert judged[-1].has(Code.FROZEN)


def test_a_block_that_is_sent_again_and_again_under_new_numbers_is_frozen() -> None:
    again = patient(5.0)[-SIZE:]
    judged = watch(lambda block, now_s: replace(block, samples=again))
    assert first_with(judged, lambda h: h.age_s > 0.2) <= 0.28


def test_doubled_blocks_are_counted_and_make_nothing_younger() -> None:
    kept: list[Block] = []

    def double(block: Block, now_s: float) -> Block:
        kept.append(block)
        return replace(kept[0], host_s=now_s)

    judged = watch(double)
    assert first_with(judged, lambda h: h.has(Code.DOUBLED)) <= 0.05
    assert first_with(judged, lambda h: h.age_s > 0.2) <= 0.26


def test_lost_samples_are_seen_by_their_numbers() -> None:
    judged = watch(lambda block, now_s: None if block.first % 50 == 0 else block)
    assert first_with(judged, lambda h: h.lost_share > 0.05) <= 1.0
    assert judged[-1].lost_share == pytest.approx(0.1, abs=0.03)
    assert judged[-1].has(Code.LOST)


def test_a_device_that_restarts_is_told_from_one_that_doubles() -> None:
    judged = watch(lambda b, now_s: replace(b, first=b.first - 1_250, device_s=b.device_s - 5.0))
    assert first_with(judged, lambda h: h.has(Code.RESTARTED)) <= 0.05
    assert not judged[-1].has(Code.DOUBLED)
    assert judged[-1].age_s < 0.05


@pytest.mark.parametrize("jump_s", [3_600.0, -3_600.0, 0.5])
def test_a_jump_of_the_devices_clock_is_said_and_does_not_spoil_the_age(jump_s: float) -> None:
    judged = watch(lambda b, now_s: replace(b, device_s=b.device_s + jump_s))
    assert first_with(judged, lambda h: h.has(Code.CLOCK_JUMP)) <= 0.05
    assert judged[300].age_s < 0.05


def test_a_burst_that_comes_late_is_as_old_as_when_it_was_taken() -> None:
    held: list[Block] = []

    def burst(block: Block, now_s: float) -> list[Block]:
        held.append(block)
        if len(held) < 20:
            return []
        out = [replace(one, host_s=now_s) for one in held]
        held.clear()
        return out

    judged = watch(burst)
    assert first_with(judged, lambda h: h.age_s > 0.2) <= 0.24
    assert judged[-1].has(Code.LATE)


def test_data_that_keeps_coming_late_stays_old() -> None:
    held: list[Block] = []

    def delay(block: Block, now_s: float) -> Block | None:
        held.append(block)
        return replace(held.pop(0), host_s=now_s) if len(held) > 25 else None

    judged = watch(delay)
    assert judged[-1].age_s == pytest.approx(0.5, abs=0.05)


def channel_changed(values: Callable[[np.ndarray], np.ndarray]) -> Change:
    def change(block: Block, now_s: float) -> Block:
        samples = block.samples.copy()
        samples[:, 4] = values(np.arange(block.first, block.end))
        return replace(block, samples=samples)

    return change


@pytest.mark.parametrize(
    ("values", "code"),
    [
        (lambda k: np.zeros(len(k)), Code.FLAT),
        (lambda k: np.full(len(k), 187_500.0), Code.RAILING),
        (lambda k: 150.0 * np.sin(2 * np.pi * 50 * k / RATE_HZ), Code.DETACHED),
        (lambda k: 3_000.0 * np.sin(2 * np.pi * 7 * k / RATE_HZ), Code.NOISY),
        (lambda k: np.clip(1e4 * np.sin(2 * np.pi * 3 * k / RATE_HZ), -500, 500), Code.RAILING),
    ],
)
def test_one_bad_channel_is_named_with_its_cause_in_a_quarter_second(
    values: Callable[[np.ndarray], np.ndarray], code: Code
) -> None:
    judged = watch(channel_changed(values))
    assert first_with(judged, lambda h: h.bad_channels > 0) <= 0.22
    assert any(h.has(code) for h in judged)
    assert judged[-1].bad_channel_names == (NAMES[4],)
    assert judged[-1].of_channel(NAMES[4]) == "bad"
    assert judged[-1].of_channel(NAMES[5]) == "good"


def test_a_channel_full_of_mains_is_fair_but_not_bad() -> None:
    def hum(block: Block, now_s: float) -> Block:
        samples = block.samples.copy()
        number = np.arange(block.first, block.end)
        samples[:, 4] = 0.4 * samples[:, 4] + 50.0 * np.sin(2 * np.pi * 50 * number / RATE_HZ)
        return replace(block, samples=samples)

    last = watch(hum)[-1]
    assert last.has(Code.MAINS)
    assert last.bad_channels == 0
    assert last.of_channel(NAMES[4]) == "fair"
    assert last.mains_share[NAMES[4]] > 0.9 > 0.5 > last.mains_share[NAMES[5]]


@pytest.mark.parametrize("factor", [1e4, 1e-4])
def test_units_ten_thousand_times_off_make_every_channel_bad(factor: float) -> None:
    judged = watch(lambda b, now_s: replace(b, samples=b.samples * factor))
    assert first_with(judged, lambda h: h.bad_channels == len(NAMES)) <= 0.22
    assert judged[-1].has(Code.SCALE)
    assert not judged[-1].has(Code.FLAT)


@pytest.mark.parametrize("true_hz", [125.0, 500.0, 200.0])
def test_a_wrong_rate_in_the_header_is_measured(true_hz: float) -> None:
    dog = Watchdog(INFO, now_s=0.0)
    samples = patient(20.0)
    for first in range(0, round(6 * true_hz), SIZE):
        now_s = (first + SIZE) / true_hz
        dog.feed(
            Block(
                first=first,
                samples=samples[first : first + SIZE],
                device_s=np.arange(first, first + SIZE) / RATE_HZ,
                host_s=now_s,
            )
        )
    health = dog.health(now_s)
    assert health.rate_hz == pytest.approx(true_hz, rel=0.02)
    assert health.has(Code.RATE)


def test_the_drift_of_the_devices_clock_is_measured() -> None:
    dog = Watchdog(INFO, now_s=0.0)
    samples = patient(60.0)
    jitter = np.random.default_rng(5).exponential(0.003, size=len(samples))
    for first in range(0, len(samples) - SIZE, SIZE):
        device_s = np.arange(first, first + SIZE) / RATE_HZ
        host_s = float(device_s[-1]) * (1 + 200e-6) + 7.0 + float(jitter[first])
        dog.feed(
            Block(
                first=first, samples=samples[first : first + SIZE], device_s=device_s, host_s=host_s
            )
        )
    clock = dog.health(host_s).clock
    assert clock is not None
    assert clock.drift_ppm == pytest.approx(200.0, abs=40.0)
    assert clock.offset_s == pytest.approx(7.0, abs=0.02)
    assert 0.0005 < clock.jitter_s < 0.01


def test_before_the_first_block_the_age_counts_from_the_beginning() -> None:
    dog = Watchdog(INFO, now_s=10.0)
    assert dog.health(10.1).verdicts == ()
    late = dog.health(11.0)
    assert late.age_s == pytest.approx(1.0)
    assert late.has(Code.STALE)


def test_each_cause_has_words_that_take_its_measure() -> None:
    for code in Code:
        message = Finding(code=code, channel="C3", value=0.5, limit=0.25).message
        assert "{" not in message
        assert message.endswith(".")
    assert set(WORDS) == set(Code)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(-300, 300), st.integers(1, 40), st.floats(-2.0, 2.0), st.floats(0, 0.5)
        ),
        max_size=25,
    )
)
def test_no_sequence_of_blocks_breaks_the_watchdog(
    steps: list[tuple[int, int, float, float]],
) -> None:
    dog = Watchdog(INFO, now_s=0.0)
    samples = patient(1.0)
    number, now_s = 1_000, 0.0
    for step, count, shift_s, wait_s in steps:
        number, now_s = max(0, number + step), now_s + wait_s
        device_s = np.arange(number, number + count) / RATE_HZ + shift_s
        dog.feed(Block(first=number, samples=samples[:count], device_s=device_s, host_s=now_s))
        number += count
        health = dog.health(now_s)
        assert 0.0 <= health.lost_share <= 1.0
        assert 0.0 <= health.age_s <= now_s + 1e-9
        assert 0 <= health.bad_channels <= len(NAMES)
        assert all(finding.message for finding in health.verdicts)
