from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from bci_rehab.signal.brain import PatientProfile, SyntheticBrain, Task
from bci_rehab.signal.layout import montage
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal as sps

CALM = PatientProfile(
    compliance=1.0, reaction_spread_s=0.0, blinks_per_minute=0.0, bursts_per_minute=0.0
)
RATE_HZ = 250.0
NAMES = montage(16)


def brain(profile: PatientProfile = CALM, *, seed: int = 1) -> SyntheticBrain:
    return SyntheticBrain(profile, rate_hz=RATE_HZ, channels=NAMES, seed=seed)


def band_power(samples: np.ndarray, low_hz: float, high_hz: float) -> np.ndarray:
    sos = sps.butter(4, [low_hz, high_hz], "bandpass", fs=RATE_HZ, output="sos")
    return sps.sosfiltfilt(sos, samples, axis=0) ** 2


def moved(profile: PatientProfile, *, trials: int = 16, seed: int = 1) -> dict[Task, np.ndarray]:
    """Mu power by hand during 2 s of intention over that during the 2 s before, per channel."""
    made = brain(profile, seed=seed)
    hands = [Task.LEFT_HAND, Task.RIGHT_HAND] * (trials // 2)
    for index, hand in enumerate(hands):
        made.intend(hand, 8.0 * index + 4.0)
        made.intend(Task.REST, 8.0 * index + 7.0)
    power = band_power(made.generate(round(8 * trials * RATE_HZ)), 9.0, 13.5)
    ratio: dict[Task, np.ndarray] = {}
    for hand in (Task.LEFT_HAND, Task.RIGHT_HAND):
        starts = [round(8 * k * RATE_HZ) for k, h in enumerate(hands) if h is hand]
        during = np.mean([power[s + 1250 : s + 1750].mean(axis=0) for s in starts], axis=0)
        before = np.mean([power[s + 450 : s + 950].mean(axis=0) for s in starts], axis=0)
        ratio[hand] = during / before
    return ratio


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 400), min_size=1, max_size=8), st.integers(0, 2**16))
def test_the_same_seed_gives_the_same_samples_however_they_are_cut(
    cuts: list[int], seed: int
) -> None:
    profile = replace(CALM, blinks_per_minute=60.0, bursts_per_minute=60.0)
    whole, cut = brain(profile, seed=seed), brain(profile, seed=seed)
    for made in (whole, cut):
        made.intend(Task.LEFT_HAND, 0.5)
        made.attend(13.0, 0.7)
        made.flash(target=True, at_s=0.3)
    pieces = np.concatenate([cut.generate(count) for count in cuts])
    np.testing.assert_array_equal(pieces, whole.generate(sum(cuts)))


def test_a_hand_desynchronises_the_other_side() -> None:
    ratio = moved(CALM)
    left, right = NAMES.index("C3"), NAMES.index("C4")
    assert ratio[Task.LEFT_HAND][right] < 0.5 < ratio[Task.LEFT_HAND][left]
    assert ratio[Task.RIGHT_HAND][left] < 0.5 < ratio[Task.RIGHT_HAND][right]


def test_without_desynchronisation_nothing_tells_the_hands_apart() -> None:
    ratio = moved(replace(CALM, desynchronisation=0.0, rebound=0.0), trials=24)
    motor = [NAMES.index("C3"), NAMES.index("C4")]
    for hand in ratio:
        assert (ratio[hand][motor] > 0.7).all()


def test_later_sessions_show_more_and_an_hour_tires() -> None:
    assert [CALM.size(0.0) < replace(CALM, session=s).size(0.0) for s in (2, 3, 9)] == [True] * 3
    assert CALM.size(3_600.0) < 0.8 * CALM.size(0.0)
    right = NAMES.index("C4")
    first, sixth = moved(CALM), moved(replace(CALM, session=6))
    assert sixth[Task.LEFT_HAND][right] < first[Task.LEFT_HAND][right]


def test_beta_rebounds_after_the_hand_is_released() -> None:
    made = brain(replace(CALM, rebound=1.5))
    for index in range(16):
        made.intend(Task.RIGHT_HAND, 9.0 * index + 2.0)
        made.intend(Task.REST, 9.0 * index + 5.0)
    power = band_power(made.generate(round(9 * 16 * RATE_HZ)), 17.0, 25.0)[:, NAMES.index("C3")]
    trials = power.reshape(16, -1).mean(axis=0)
    rest, after = trials[250:500].mean(), trials[1400:1600].mean()
    assert after > 1.3 * rest


def test_a_flicker_stands_out_over_the_occipital_lobe_at_its_frequency_and_harmonic() -> None:
    made = brain()
    made.attend(13.0, 1.0)
    samples = made.generate(round(21 * RATE_HZ))[round(RATE_HZ) :]
    frequencies, power = sps.welch(samples[:, NAMES.index("Oz")], RATE_HZ, nperseg=1_250)

    def stands_out(hertz: float) -> float:
        at = int(np.argmin(np.abs(frequencies - hertz)))
        around = np.r_[power[at - 4 : at - 1], power[at + 2 : at + 5]]
        return float(power[at] / around.mean())

    assert stands_out(13.0) > 5.0
    assert stands_out(26.0) > 3.0
    assert stands_out(17.0) < 2.0


def test_a_light_that_goes_out_is_no_longer_answered() -> None:
    made = brain()
    made.attend(31.0, 0.0)
    made.attend(None, 10.0)
    power = band_power(made.generate(round(20 * RATE_HZ)), 30.0, 32.0)[:, NAMES.index("Oz")]
    assert power[250:2_400].mean() > 5.0 * power[2_700:4_900].mean()


def test_a_counted_flash_is_followed_by_a_p300_over_pz_and_another_is_not() -> None:
    made = brain()
    onsets = [round((1.0 + 1.2 * k) * RATE_HZ) for k in range(60)]
    for index, onset in enumerate(onsets):
        made.flash(target=index % 3 == 0, at_s=onset / RATE_HZ)
    samples = sps.sosfiltfilt(
        sps.butter(2, [0.5, 12.0], "bandpass", fs=RATE_HZ, output="sos"),
        made.generate(round(75 * RATE_HZ)), axis=0,
    )[:, NAMES.index("Pz")]  # fmt: skip
    window = slice(round(0.28 * RATE_HZ), round(0.42 * RATE_HZ))
    answers = np.array([samples[onset : onset + 250][window].mean() for onset in onsets])
    targets = answers[::3]
    others = np.delete(answers, np.s_[::3])
    assert targets.mean() - others.mean() > 2.0


def test_the_truth_tells_what_was_followed() -> None:
    made = brain(replace(CALM, compliance=0.5))
    for index in range(200):
        made.intend(Task.FEET, 2.0 * index)
    followed = [intention.followed for intention in made.truth]
    assert 70 < sum(followed) < 130
    assert all(i.acts >= i.asked + round(0.1 * RATE_HZ) for i in made.truth)


def test_an_electrode_that_comes_off_shows_mains_and_no_contact() -> None:
    made = brain()
    made.detach("C3")
    samples = made.generate(1_000)[:, NAMES.index("C3")]
    assert made.impedances()["C3"] > 1_000.0 > made.impedances()["C4"]
    assert samples.std() > 100.0
    made.attach("C3")
    assert made.impedances()["C3"] < 100.0


def test_blinks_are_large_at_the_forehead_and_absent_at_the_back() -> None:
    made = brain(replace(CALM, blinks_per_minute=30.0))
    samples = made.generate(round(60 * RATE_HZ))
    still = brain(CALM).generate(round(60 * RATE_HZ))
    extra = samples.max(axis=0) - still.max(axis=0)
    assert extra[NAMES.index("Fp1")] > 60.0
    assert abs(extra[NAMES.index("O1")]) < 15.0


def test_a_rate_too_low_for_its_rhythms_is_refused() -> None:
    with pytest.raises(ValueError, match="100 samples"):
        SyntheticBrain(CALM, rate_hz=50.0, channels=NAMES, seed=0)
