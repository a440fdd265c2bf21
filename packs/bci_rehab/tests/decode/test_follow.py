"""Transfer, adaptation and its guard, and decoders as files."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from bci_rehab.decode import adaptation, model, motor, tasks
from bci_rehab.decode.following import FollowingTangent
from bci_rehab.decode.recordings import Windows, cut
from bci_rehab.decode.recordings import motor as motor_folder
from bci_rehab.errors import DecoderDamaged, DecoderMismatch, TooLittleToLearn
from bci_rehab.signal.blocks import Channel, StreamInfo
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

NAMES = ("C3", "Cz", "C4", "CP3", "CPz", "CP4")


def _session(
    seed: int, count: int, *, drift: float = 0.3, size: float = 0.75
) -> tuple[np.ndarray, np.ndarray]:
    """Movements of one brain, seen through electrodes that sit otherwise each day."""
    fixed = np.random.default_rng(3).standard_normal((6, 6))
    rng = np.random.default_rng(seed)
    contact = np.diag(np.exp(drift * rng.standard_normal(6)))
    labels = np.resize(["feet", "fists"], count)
    sources = rng.standard_normal((count, 1, 6, 160))
    sources[labels == "feet", :, 0] *= size
    sources[labels == "fists", :, 1] *= size
    return np.einsum("cd,nbdt->nbct", contact @ fixed, sources), labels


def _manifest(**changes: object) -> model.Manifest:
    base = model.Manifest(
        method="tangent space",
        version="1",
        classes=("feet", "fists"),
        rate_hz=160.0,
        channels=NAMES,
        bands_hz=((8.0, 30.0),),
        window_s=1.0,
        calibration=(model.Calibration(sha256="0" * 64, length=1),),
        accuracy=model.accuracy(40, 45, chance=0.5),
    )
    return base.model_copy(update=changes)


def _source(names: tuple[str, ...] = NAMES, rate_hz: float = 160.0) -> StreamInfo:
    channels = tuple(Channel(name=name) for name in names)
    return StreamInfo(name="cap", source_id="1", rate_hz=rate_hz, channels=channels)


def _with_earlier(
    windows: np.ndarray, labels: np.ndarray, earlier: list[tuple[np.ndarray, np.ndarray]]
) -> FollowingTangent:
    """Taught by today's windows and those of other days, as the station does."""
    days = [(windows, labels), *earlier]
    return FollowingTangent().fit(
        np.concatenate([day for day, _ in days]),
        np.concatenate([said for _, said in days]),
        np.repeat(np.arange(len(days)), [len(said) for _, said in days]),
        np.repeat([3.0, *(1.0 for _ in earlier)], [len(said) for _, said in days]),
    )


def test_earlier_sessions_help_a_short_calibration_of_a_drifted_cap() -> None:
    gains = []
    for day in range(6):
        windows, labels = _session(100 + day, 120, size=0.9)
        earlier = [_session(10 * day + k, 60, size=0.9) for k in range(3)]
        alone = FollowingTangent().fit(windows[:6], labels[:6]).predict(windows[6:])
        helped = _with_earlier(windows[:6], labels[:6], earlier).predict(windows[6:])
        gains.append(np.mean(helped == labels[6:]) - np.mean(alone == labels[6:]))
    assert np.mean(gains) > 0.05


def test_a_burst_moves_the_followed_mean_no_further_than_the_edge_of_its_reach() -> None:
    windows, labels = _session(0, 60)
    burst = 30.0 * windows[:20]
    after = []
    for reach in (None, 0.99):
        model = FollowingTangent(prior_windows=60.0, reach=reach).fit(windows, labels)
        follower = model.follower()
        calm = follower.log_probabilities(windows[-20:])
        follower.log_probabilities(burst)
        after.append(np.abs(follower.log_probabilities(windows[-20:]) - calm).max())
    free, bounded = after
    assert bounded < 0.2 * free


def test_an_old_signal_is_forgotten_and_a_held_mean_moves_nowhere() -> None:
    windows, labels = _session(0, 60)
    other = 3.0 * windows
    wanted = FollowingTangent(prior_windows=30.0, memory_windows=40.0).fit(windows, labels)
    follower = wanted.follower()
    for _ in range(6):
        follower.log_probabilities(other)
    followed = follower.log_probabilities(other[:10])
    assert np.allclose(followed, wanted.follower(follows=False).log_probabilities(windows[:10]),
                       atol=0.3)  # fmt: skip
    held = wanted.follower(follows=False)
    before = held.log_probabilities(windows[:10])
    held.log_probabilities(other)
    assert np.array_equal(held.log_probabilities(windows[:10]), before)


class _Says:
    """A decoder of one feature: its sign, as surely as told."""

    classes_ = np.array([0, 1])

    def __init__(self, slope: float, shift: float = 0.0) -> None:
        self.slope, self.shift = slope, shift

    def logs(self, windows: np.ndarray) -> np.ndarray:
        odds = self.slope * (windows[:, 0] - self.shift)
        return -np.logaddexp(0.0, np.stack([odds, -odds], axis=1))


def _judge(
    before: _Says, after: _Says, windows: np.ndarray, labels: np.ndarray, trials: np.ndarray
) -> adaptation.Verdict:
    said = before.logs(windows), after.logs(windows)
    return adaptation.judge(*said, labels, trials, classes=_Says.classes_)


def test_an_adaptation_is_kept_where_it_helps_and_refused_where_it_hurts_or_does_nothing() -> None:
    rng = np.random.default_rng(0)
    labels = np.resize([0, 1], 40)
    windows = rng.standard_normal((40, 1)) + 3.0 * labels[:, None]
    trials = np.arange(40)
    good, poor = _Says(3.0, 1.5), _Says(3.0, -0.5)
    assert _judge(poor, good, windows, labels, trials).kept
    assert not _judge(good, poor, windows, labels, trials).kept
    assert not _judge(good, good, windows, labels, trials).kept
    assert not _judge(poor, good, windows[:3], labels[:3], trials[:3]).kept


def test_windows_of_one_trial_do_not_count_as_many_witnesses() -> None:
    windows, labels = np.full((50, 1), 2.0), np.ones(50, dtype=int)
    verdict = _judge(_Says(0.1), _Says(3.0), windows, labels, np.zeros(50))
    assert verdict.trials == 1
    assert not verdict.kept


@given(arrays(np.float64, st.integers(1, 10), elements=st.floats(-5, 5)))
def test_a_sign_flip_p_value_is_a_share_that_counts_the_observation(gains: np.ndarray) -> None:
    value = adaptation.sign_flip_p(gains)
    assert 2.0 ** -len(gains) <= value <= 1.0


@given(st.integers(1, 200), st.data())
def test_the_chance_bound_is_exceeded_by_at_most_one_guesser_in_twenty(
    trials: int, data: st.DataObject
) -> None:
    right = data.draw(st.integers(0, trials))
    found = model.accuracy(right, trials, chance=0.5)
    guesses = np.random.default_rng(0).binomial(trials, 0.5, 20_000) / trials
    assert np.mean(guesses > found.chance_bound) < 0.057
    assert found.above_chance == (found.value > found.chance_bound)


def test_a_decoder_comes_back_from_its_file_and_decides_the_same(tmp_path: Path) -> None:
    windows, labels = _session(0, 40)
    fitted = motor.default_decoder().fit(windows, labels)
    made = model.Decoder(manifest=_manifest(), estimator=fitted)
    saved = model.save(made, tmp_path / "a.decoder")
    loaded = model.load(tmp_path / "a.decoder", sha256=saved.sha256)
    assert loaded.manifest == saved.manifest
    assert (loaded.log_probabilities(windows) == made.log_probabilities(windows)).all()


def test_another_source_is_refused() -> None:
    windows, labels = _session(0, 40)
    decoder = model.Decoder(
        manifest=_manifest(), estimator=motor.default_decoder().fit(windows, labels)
    )
    decoder.check(_source())
    for source in (_source(rate_hz=250.0), _source(NAMES[::-1]), _source(NAMES[:5])):
        with pytest.raises(DecoderMismatch, match="calibrate"):
            decoder.check(source)
    with pytest.raises(DecoderMismatch, match="1 by 5"):
        decoder.log_probabilities(windows[:, :, :5])


def test_a_file_that_was_changed_or_holds_foreign_objects_is_refused(tmp_path: Path) -> None:
    windows, labels = _session(0, 40)
    path = tmp_path / "a.decoder"
    fitted = motor.default_decoder().fit(windows, labels)
    saved = model.save(model.Decoder(manifest=_manifest(), estimator=fitted), path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-200])
    with pytest.raises(DecoderDamaged):
        model.load(path)
    path.write_bytes(whole)
    with pytest.raises(DecoderDamaged, match="SHA-256"):
        model.load(path, sha256="0" * 64)
    with zipfile.ZipFile(path) as archive:
        manifest = archive.read("manifest.json")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("manifest.json", manifest)
        archive.writestr("estimator.skops", b"another")
    with pytest.raises(DecoderDamaged, match="not the one"):
        model.load(path)
    foreign = _Says(1.0)
    model.save(model.Decoder(manifest=_manifest(classes=("0", "1")), estimator=foreign), path)
    with pytest.raises(DecoderDamaged, match="_Says"):
        model.load(path)
    assert saved.manifest.estimator_sha256


def test_trials_are_counted_and_not_windows() -> None:
    windows, labels = _session(0, 80)
    index = np.arange(80)
    trials, runs = index // 4 * 2 + index % 2, index // 20
    found = model.cross_validated(motor.default_decoder(), windows, labels, trials, runs)
    assert found.trials == 40
    with pytest.raises(TooLittleToLearn):
        model.cross_validated(motor.default_decoder(), windows, labels, trials, np.zeros(80))


def _imagery(recordings: Path, runs: tuple[int, ...]) -> Windows:
    sources = motor_folder(
        recordings / "physionet_eegmmidb_S001", runs, {"T1": "fists", "T2": "feet"}
    )
    return cut(
        list(sources), motor.MU_BETA_HZ, tasks.TASKS["fists_feet_cv"].windows.keywords["part"]
    )[0]


def test_executed_runs_shorten_the_calibration_of_imagined_ones(recordings: Path) -> None:
    earlier, today = _imagery(recordings, (5, 9, 13)), _imagery(recordings, (6, 10, 14))
    alone, helped = [], []
    for run in np.unique(today.folds):
        taught = today.folds == run
        windows, labels = today.samples[taught], today.labels[taught]
        for before, results in (([], alone), ([(earlier.samples, earlier.labels)], helped)):
            said = _with_earlier(windows, labels, before).predict(today.samples[~taught])
            results.append(np.mean(said == today.labels[~taught]))
    print(f"one calibration run: {np.mean(alone):.3f} alone, {np.mean(helped):.3f} with transfer")
    assert np.mean(helped) >= np.mean(alone)
    assert np.mean(helped) > 0.85
