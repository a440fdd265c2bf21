"""Decoders on signals whose truth is made here."""

from __future__ import annotations

import numpy as np
import pytest
from bci_rehab.decode import motor, p300, ssvep
from bci_rehab.decode.covariance import Augment, Covariance, Tangent, banded, shrunk_covariances
from bci_rehab.errors import TooLittleToLearn, WindowsUnusable
from hypothesis import given, settings
from hypothesis import strategies as st
from pyriemann.tangentspace import TangentSpace
from sklearn.base import clone
from sklearn.covariance import oas

RATE_HZ = 256.0


def _movement(count: int, seed: int, *, rest: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Two movements, each lowering one source; rest lowers none."""
    mixing = np.random.default_rng(3).standard_normal((8, 8))
    rng = np.random.default_rng(seed)
    names = ["feet", "fists", "rest"] if rest else ["feet", "fists"]
    labels = np.resize(names, count)
    sources = rng.standard_normal((count, 2, 8, 200))
    sources[labels == "feet", :, 0] *= 0.4
    sources[labels == "fists", :, 1] *= 0.4
    return 10.0 * np.einsum("cd,nbdt->nbct", mixing, sources), labels


def _flicker(
    count: int, seed: int, *, size: float = 0.7, rest: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Phase-locked answers at three frequencies, with a harmonic, in noise."""
    rng = np.random.default_rng(seed)
    classes = [0.0, 13.0, 17.0, 21.0] if rest else [13.0, 17.0, 21.0]
    labels = np.resize(classes, count)
    times = np.arange(int(RATE_HZ)) / RATE_HZ
    topography = np.linspace(1.0, 0.2, 6)[:, None]
    windows = rng.standard_normal((count, 1, 6, len(times)))
    for row, hz in enumerate(labels):
        if hz:
            wave = np.sin(2 * np.pi * hz * times + hz) + 0.5 * np.sin(4 * np.pi * hz * times)
            windows[row, 0] += size * topography * wave
    return windows, labels


@given(st.integers(2, 6), st.integers(4, 40), st.integers(0, 1000))
@settings(max_examples=30)
def test_shrinkage_is_that_of_scikit_learn(channels: int, samples: int, seed: int) -> None:
    window = np.random.default_rng(seed).standard_normal((channels, samples))
    assert np.allclose(shrunk_covariances(window), oas(window.T)[0], rtol=1e-9)


def test_the_tangent_space_is_pyriemanns_but_for_a_rotation() -> None:
    windows, _ = _movement(30, 0)
    covariances = shrunk_covariances(windows[:, 0])
    mine = Tangent("riemann").fit_transform(covariances)
    theirs = TangentSpace("riemann").fit_transform(covariances)
    assert np.allclose(mine @ mine.T, theirs @ theirs.T, atol=1e-6)


@pytest.mark.parametrize(
    "decoder",
    [
        motor.default_decoder(),
        motor.tangent_space(),
        motor.filter_bank_csp(),
        motor.minimum_distance(),
        motor.augmented_covariance(order=2, lag=2),
        motor.augmented_covariance(order=2, lag=2, kernel="svm"),
    ],
)
def test_each_motor_decoder_learns_the_movement_and_nothing_from_shuffled_labels(
    decoder: object,
) -> None:
    taught, labels = _movement(60, 1)
    asked, truth = _movement(60, 2)
    fitted = clone(decoder).fit(taught, labels)
    assert np.mean(fitted.predict(asked) == truth) > 0.9
    # One permutation may point either way along a strong pattern; their mean may not.
    rng = np.random.default_rng(0)
    controls = [
        np.mean(clone(decoder).fit(taught, rng.permutation(labels)).predict(asked) == truth)
        for _ in range(20)
    ]
    assert 0.25 < np.mean(controls) < 0.75


def test_the_two_stages_tell_rest_from_movement() -> None:
    taught, labels = _movement(120, 1, rest=True)
    asked, truth = _movement(90, 2, rest=True)
    fitted = motor.TwoStage().fit(taught, labels)
    assert fitted.classes_.tolist() == ["rest", "feet", "fists"]
    assert np.allclose(fitted.predict_proba(asked).sum(axis=1), 1.0)
    assert np.mean(fitted.predict(asked) == truth) > 0.8
    with pytest.raises(TooLittleToLearn):
        motor.TwoStage().fit(taught[labels != "rest"], labels[labels != "rest"])


@pytest.mark.parametrize(
    "decoder",
    [
        ssvep.CanonicalCorrelation((13.0, 17.0, 21.0), RATE_HZ),
        ssvep.ExtendedCorrelation(RATE_HZ),
        ssvep.TaskRelatedComponents(),
        ssvep.TaskRelatedComponents(ensemble=False),
        ssvep.TaskDiscriminantComponents(RATE_HZ),
    ],
)
def test_each_flicker_decoder_finds_the_frequency_whatever_the_unit(decoder: object) -> None:
    taught, labels = _flicker(30, 1)
    asked, truth = _flicker(60, 2)
    fitted = clone(decoder).fit(taught, labels)
    assert np.mean(fitted.predict(asked) == truth) > 0.9
    assert (fitted.predict(1e-6 * asked) == fitted.predict(asked)).all()


def test_templates_find_answers_too_small_for_sines_alone() -> None:
    taught, labels = _flicker(90, 1, size=0.13)
    asked, truth = _flicker(150, 2, size=0.13)
    sines = ssvep.CanonicalCorrelation((13.0, 17.0, 21.0), RATE_HZ).fit()
    learned = ssvep.TaskDiscriminantComponents(RATE_HZ).fit(taught, labels)
    assert np.mean(learned.predict(asked) == truth) > np.mean(sines.predict(asked) == truth) + 0.1


def test_rest_is_answered_where_no_frequency_stands_out() -> None:
    taught, labels = _flicker(80, 1, rest=True)
    asked, truth = _flicker(80, 2, rest=True)
    decoder = ssvep.WithRest(ssvep.CanonicalCorrelation((13.0, 17.0, 21.0), RATE_HZ))
    answers = decoder.fit(taught, labels).predict(asked)
    assert np.mean(answers[truth == 0.0] == 0.0) > 0.7
    assert np.mean(answers[truth > 0.0] == truth[truth > 0.0]) > 0.8


def test_the_p300_decoders_find_the_target_in_spite_of_blinks() -> None:
    rng = np.random.default_rng(0)
    bump = np.exp(-0.5 * ((np.arange(51) - 20) / 4.0) ** 2)

    def made(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.resize(["other", "other", "target"], count)
        windows = rng.standard_normal((count, 4, 51))
        windows[labels == "target"] += 1.2 * bump
        windows[::10] *= 50.0
        return windows, labels

    taught, labels = made(240)
    asked, truth = made(120)
    for decoder in (p300.default_decoder(), p300.xdawn_decoder()):
        values = decoder.fit(taught, labels).predict_proba(asked)[:, 1]
        assert values[truth == "target"].mean() > values[truth == "other"].mean() + 0.3


def test_epochs_are_cut_where_they_are_whole() -> None:
    samples = np.arange(200.0)[None]
    cut, kept = p300.epochs(samples, [-11, 0, 100, 150], rate_hz=100.0, begin_s=0.1, end_s=0.6)
    assert kept.tolist() == [1, 2]
    assert cut[1, 0].tolist() == list(range(110, 160))
    with pytest.raises(WindowsUnusable):
        p300.epochs(samples, [150], rate_hz=100.0, begin_s=0.1, end_s=0.6)


@pytest.mark.parametrize(
    "windows",
    [np.ones((3, 4)), np.ones((0, 2, 10)), np.full((1, 2, 10), np.nan), np.full((1, 2, 9), np.inf)],
)
def test_windows_that_cannot_be_decoded_are_refused(windows: np.ndarray) -> None:
    with pytest.raises(WindowsUnusable):
        banded(windows)


def test_other_channels_than_the_decoder_was_made_for_are_refused() -> None:
    windows, _ = _movement(4, 0)
    fitted = Covariance().fit(windows)
    with pytest.raises(WindowsUnusable, match="made for"):
        fitted.transform(windows[:, :, :5])
    with pytest.raises(WindowsUnusable, match="flat"):
        fitted.transform(np.zeros_like(windows))
    with pytest.raises(WindowsUnusable):
        Augment(order=5, lag=60).fit(windows)
