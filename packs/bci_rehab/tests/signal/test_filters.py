from __future__ import annotations

import numpy as np
import pytest
from bci_rehab.errors import FilterImpossible
from bci_rehab.signal.blocks import Block, StreamInfo
from bci_rehab.signal.filters import (
    BandPass,
    Chain,
    ClipMark,
    Decimate,
    EyeRegression,
    FilterBank,
    Laplacian,
    Notch,
    Piece,
    Reference,
)
from bci_rehab.signal.pieces import Step
from hypothesis import given, settings
from hypothesis import strategies as st
from signal_makers import block, noise, stream

RATE_HZ = 250.0
BANDS = [(4.0 * k, 4.0 * k + 4.0) for k in range(1, 10)]


def everything(info: StreamInfo) -> Chain:
    names = info.named(info.channels[0].kind)
    eyes = EyeRegression(info, names[-1:], np.full((1, len(names) - 1), 0.3))
    lap = Laplacian(info)
    steps: list[Step] = [
        ClipMark(info, 1e5, hold_s=0.1), Notch(info.rate_hz), BandPass(info.rate_hz, 1.0, 45.0),
        eyes, Reference(info), lap, Decimate(info.rate_hz, 2), FilterBank(info.rate_hz / 2, BANDS),
    ]  # fmt: skip
    return Chain(info, steps)


def run(chain: Chain, blocks: list[Block]) -> Piece:
    pieces = [chain.process(one) for one in blocks]
    for before, after in zip(pieces, pieces[1:], strict=False):
        if len(before) and len(after):
            assert after.first == before.end
    kept = [piece for piece in pieces if len(piece)]
    return Piece(
        first=kept[0].first,
        samples=np.concatenate([piece.samples for piece in kept]),
        usable=np.concatenate([piece.usable for piece in kept]),
        device_s=np.concatenate([piece.device_s for piece in kept]),
        host_s=0.0,
        stride=kept[0].stride,
    )


def cut(whole: Block, at: list[int]) -> list[Block]:
    edges = [0, *sorted({a for a in at if 0 < a < len(whole)}), len(whole)]
    return [
        block(whole.samples[a:b], whole.first + a) for a, b in zip(edges, edges[1:], strict=False)
    ]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 699), max_size=30),
    st.integers(0, 2**16),
    st.sampled_from([0.0, 5e4, 1e7]),
)
def test_the_live_path_is_bit_equal_to_the_recording_taken_whole(
    at: list[int], seed: int, offset_uv: float
) -> None:
    info = stream()
    whole = block(noise(700, seed=seed) + offset_uv, 3)
    off_line = run(everything(info), [whole])
    live = run(everything(info), cut(whole, at))
    assert live.first == off_line.first
    np.testing.assert_array_equal(live.samples, off_line.samples)
    np.testing.assert_array_equal(live.usable, off_line.usable)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(1, 399), max_size=12),
    st.lists(st.integers(1, 299), max_size=12),
    st.integers(1, 120),
)
def test_a_gap_is_bridged_alike_however_the_stream_is_cut(
    before: list[int], after: list[int], lost: int
) -> None:
    info = stream()
    samples = noise(700)
    first, second = block(samples[:400], 0), block(samples[400:], 400 + lost)
    off_line = run(everything(info), [first, second])
    live = run(everything(info), [*cut(first, before), *cut(second, after)])
    np.testing.assert_array_equal(live.samples, off_line.samples)
    np.testing.assert_array_equal(live.usable, off_line.usable)


def test_a_bridged_gap_keeps_the_time_and_is_marked_until_the_filters_settle() -> None:
    info = stream()
    chain = Chain(info, [BandPass(RATE_HZ, 8.0, 30.0)])
    settle = round(chain.settle_s * RATE_HZ)
    chain.process(block(noise(1_000), 0))
    piece = chain.process(block(noise(500, seed=1), 1_020))
    assert (piece.first, len(piece)) == (1_000, 520)
    assert not piece.usable[: 20 + settle].any()
    assert piece.usable[20 + settle + 1 :].all()
    np.testing.assert_allclose(np.diff(piece.device_s), 1 / RATE_HZ, atol=1e-9)


def test_after_a_long_gap_the_filters_begin_anew() -> None:
    info = stream()
    chain = Chain(info, [BandPass(RATE_HZ, 8.0, 30.0)], bridge_s=0.5)
    chain.process(block(noise(1_000), 0))
    later = block(noise(300, seed=2), 5_000)
    piece = chain.process(later)
    fresh = Chain(info, [BandPass(RATE_HZ, 8.0, 30.0)]).process(later)
    assert (piece.first, chain.restarts) == (5_000, 1)
    np.testing.assert_array_equal(piece.samples, fresh.samples)


def test_samples_that_come_twice_are_taken_once() -> None:
    info = stream()
    samples = noise(600)
    once, twice = everything(info), everything(info)
    whole = run(once, [block(samples, 0)])
    doubled = [block(samples[a:b], a) for a, b in ((0, 200), (100, 200), (150, 400), (400, 600))]
    np.testing.assert_array_equal(run(twice, doubled).samples, whole.samples)


def test_one_missing_value_does_not_poison_what_follows() -> None:
    info = stream()
    samples = noise(2_000)
    samples[500, 3] = np.nan
    piece = Chain(info, [BandPass(RATE_HZ, 8.0, 30.0)]).process(block(samples, 0))
    assert np.isfinite(piece.samples).all()
    assert not piece.usable[500]
    assert piece.usable[1_000:].all()


def test_an_offset_of_a_tenth_of_a_volt_leaves_no_transient() -> None:
    piece = Chain(stream(), [BandPass(RATE_HZ, 1.0, 40.0)]).process(block(noise(500) + 1e5, 0))
    assert np.abs(piece.samples).max() < 200.0


@pytest.mark.parametrize("step", [BandPass(RATE_HZ, 8.0, 14.0), BandPass(RATE_HZ, None, 30.0)])
def test_a_tone_burst_comes_as_late_as_the_step_says(step: BandPass) -> None:
    seconds = np.arange(2_000) / RATE_HZ
    burst = np.exp(-0.5 * ((seconds - 4.0) / 0.3) ** 2) * np.sin(2 * np.pi * 11.0 * seconds)
    samples = np.repeat(burst[:, None], 8, axis=1)
    out = Chain(stream(), [step]).process(block(samples, 0)).samples[:, 0]
    centre = float((seconds * out**2).sum() / (out**2).sum())
    assert centre - 4.0 == pytest.approx(step.latency_s, rel=0.25)


def test_the_notch_takes_mains_and_leaves_the_rhythm() -> None:
    seconds = np.arange(2_500) / RATE_HZ
    wave = 10 * np.sin(2 * np.pi * 11 * seconds) + 50 * np.sin(2 * np.pi * 50 * seconds)
    out = Chain(stream(), [Notch(RATE_HZ, 50.0)]).process(
        block(np.repeat(wave[:, None], 8, axis=1), 0)
    )
    tail = out.samples[1_250:, 0]
    turn = 2 * np.pi * np.arange(len(tail)) / RATE_HZ
    assert abs(np.mean(tail * np.exp(-1j * 50 * turn))) < 0.5
    assert 2 * abs(np.mean(tail * np.exp(-1j * 11 * turn))) == pytest.approx(10.0, rel=0.05)


def test_decimation_keeps_the_samples_of_the_same_numbers_wherever_the_stream_begins() -> None:
    piece = Chain(stream(), [Decimate(RATE_HZ, 4)]).process(block(noise(101), 7))
    assert (piece.first, piece.stride, len(piece)) == (8, 4, 25)


def test_each_band_of_the_bank_has_a_latency_and_a_decision_waits_for_the_last() -> None:
    bank = FilterBank(RATE_HZ, BANDS)
    assert len(bank.latencies_s) == len(BANDS)
    assert bank.latency_s == max(bank.latencies_s)


@pytest.mark.parametrize(
    "build",
    [
        lambda: BandPass(RATE_HZ, 8.0, 125.0), lambda: BandPass(RATE_HZ, 30.0, 8.0),
        lambda: BandPass(RATE_HZ, None, None), lambda: Notch(90.0), lambda: FilterBank(RATE_HZ, []),
        lambda: Decimate(RATE_HZ, 0),
    ],
)  # fmt: skip
def test_a_band_that_the_rate_does_not_allow_is_refused(build: object) -> None:
    with pytest.raises(FilterImpossible):
        build()  # type: ignore[operator]
