from __future__ import annotations

import numpy as np
import pytest
from bci_rehab.errors import ChannelUnknown
from bci_rehab.signal.brain import PatientProfile, SyntheticBrain
from bci_rehab.signal.filters import (
    BandPass,
    Chain,
    ClipMark,
    EyeRegression,
    Laplacian,
    Pick,
    Reference,
)
from bci_rehab.signal.spatial import held
from hypothesis import given
from hypothesis import strategies as st
from signal_makers import block, noise, stream

INFO = stream(16)


def test_the_average_reference_leaves_a_mean_of_zero() -> None:
    out = Chain(INFO, [Reference(INFO)]).process(block(noise(100, 16), 0)).samples
    np.testing.assert_allclose(out.mean(axis=1), 0.0, atol=1e-9)


def test_a_named_reference_becomes_zero_and_a_bad_channel_stays_out_of_the_mean() -> None:
    samples = noise(100, 16)
    named = Chain(INFO, [Reference(INFO, ["Cz"])]).process(block(samples, 0)).samples
    np.testing.assert_allclose(named[:, 1], 0.0, atol=1e-12)
    samples[:, 2] += 1e6
    spared = Chain(INFO, [Reference(INFO, without=["C4"])]).process(block(samples, 0)).samples
    assert np.abs(spared[:, 0]).max() < 200.0


def test_the_laplacian_removes_what_all_share_and_keeps_what_one_has() -> None:
    samples = np.repeat(noise(100, 1), 16, axis=1)
    samples[:, 0] += 10.0
    out = Chain(INFO, [Laplacian(INFO, ["C3", "C4"])]).process(block(samples, 0)).samples
    np.testing.assert_allclose(out[:, 0], 10.0, atol=1e-9)
    assert out.shape == (100, 2)
    assert np.abs(out[:, 1]).max() < 5.0


def test_picked_channels_stand_in_the_order_asked_for() -> None:
    pick = Pick(INFO, ["C4", "C3"])
    samples = noise(10, 16)
    out = Chain(INFO, [pick]).process(block(samples, 0)).samples
    np.testing.assert_array_equal(out, samples[:, [2, 0]])
    assert [channel.name for channel in pick.info.channels] == ["C4", "C3"]


def test_a_channel_that_is_not_there_is_refused() -> None:
    with pytest.raises(ChannelUnknown, match="Iz"):
        Pick(INFO, ["Iz"])


def test_eye_regression_from_a_calibration_takes_blinks_out_of_the_front() -> None:
    profile = PatientProfile(blinks_per_minute=30.0, bursts_per_minute=0.0)
    names = [channel.name for channel in INFO.channels]
    brain = SyntheticBrain(profile, rate_hz=250.0, channels=names, seed=4)
    step = EyeRegression.fitted(INFO, brain.generate(15_000), ["Fp1", "Fp2"])
    fresh = brain.generate(15_000)
    raw = Chain(INFO, [BandPass(250.0, 1.0, 40.0)]).process(block(fresh, 0)).samples
    out = Chain(INFO, [BandPass(250.0, 1.0, 40.0), step]).process(block(fresh, 0)).samples
    front, back = names.index("Fz"), names.index("O1")
    assert np.abs(out[500:, front]).max() < 0.7 * np.abs(raw[500:, front]).max()
    assert out[500:, back].std() == pytest.approx(raw[500:, back].std(), rel=0.1)


def test_a_clipped_sample_marks_the_window_after_it_over_the_edge_of_blocks() -> None:
    samples = noise(400, 16)
    samples[98, 5] = 5_000.0
    chain = Chain(INFO, [ClipMark(INFO, 1_000.0, hold_s=0.2)])
    usable = np.concatenate(
        [chain.process(block(samples[a : a + 100], a)).usable for a in range(0, 400, 100)]
    )
    np.testing.assert_array_equal(np.flatnonzero(~usable), np.arange(98, 98 + 51))


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(1, 10), st.integers(1, 59))
def test_holding_flags_does_not_depend_on_the_cut(flags: list[bool], hold: int, at: int) -> None:
    array = np.array(flags)
    whole, left = held(array, hold, 0)
    expected = [any(flags[max(0, k - hold) : k + 1]) for k in range(len(flags))]
    assert whole.tolist() == expected
    at = min(at, len(flags) - 1)
    if at:
        head, carried = held(array[:at], hold, 0)
        tail, end = held(array[at:], hold, carried)
        assert [*head.tolist(), *tail.tolist()] == expected
        assert end == left
