"""The online benchmark's parts, in short, and that each row can come out otherwise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bci_rehab.decode import evidence
from bci_rehab.decode.following import BANDS_HZ, FollowingTangent
from bci_rehab.errors import TooLittleToLearn
from bci_rehab.session import latency_bench, pseudo_online
from bci_rehab.session.decoding import WindowDecoder
from bci_rehab.session.motor_live import Kept, motor_chain
from bci_rehab.session.sameness import compare
from bci_rehab.signal import layout
from bci_rehab.signal.blocks import Block, Channel, StreamInfo
from bci_rehab.signal.filters import Chain
from bci_rehab.signal.pieces import Piece
from bci_rehab.signal.recording import Gap, Recording

NAMES = ("FC3", "C3", "Cz", "C4", "CP4", "Oz")
INFO = StreamInfo(
    name="s", source_id="s", rate_hz=160.0, channels=tuple(Channel(name=name) for name in NAMES)
)


@pytest.fixture(scope="module")
def model() -> FollowingTangent:
    rng = np.random.default_rng(0)
    windows = rng.standard_normal((40, len(BANDS_HZ), 5, 160))
    labels = np.resize(["feet", "fists"], 40)
    windows[labels == "feet", :, 0] *= 0.5
    return FollowingTangent().fit(windows, labels, np.repeat(["a", "b"], 20))


@pytest.fixture(scope="module")
def recording() -> Recording:
    rng = np.random.default_rng(1)
    return Recording(info=INFO, samples=10.0 * rng.standard_normal((800, len(NAMES))))


def test_live_and_off_line_are_bit_equal_however_the_stream_is_cut(
    model: FollowingTangent, recording: Recording
) -> None:
    same = compare(recording, model)
    assert same.features_equal
    # The first ones lie in what the filters need to settle; the decoder is not asked.
    assert same.windows == 37
    assert same.ways == 4


def test_a_fast_stream_with_gaps_is_bit_equal_too(model: FollowingTangent) -> None:
    info = replace(INFO, rate_hz=1_000.0)
    samples = 10.0 * np.random.default_rng(3).standard_normal((9_000, len(NAMES)))
    gaps = (Gap(row=2_003, lost=120), Gap(row=5_501, lost=3_000))
    fast = FollowingTangent().fit(
        np.random.default_rng(4).standard_normal((40, len(BANDS_HZ), 5, 250)),
        np.resize(["feet", "fists"], 40),
    )
    same = compare(Recording(info=info, samples=samples, gaps=gaps), fast)
    assert same.features_equal
    assert 20 < same.windows < 80


class Forgetful(Chain):
    """Begins anew with each block, as a filter without state would."""

    def process(self, block: Block) -> Piece:
        for step in self.steps:
            step.reset()
        return super().process(block)


class Late(Chain):
    """Off by a bit in the last place."""

    def process(self, block: Block) -> Piece:
        piece = super().process(block)
        piece.samples[:] = np.nextafter(piece.samples, np.inf)
        return piece


@pytest.mark.parametrize("kind", [Forgetful, Late])
def test_another_live_path_is_told_from_the_off_line_path(
    kind: type[Chain], model: FollowingTangent, recording: Recording
) -> None:
    def other(info: StreamInfo, fitted: FollowingTangent, kept: Kept) -> WindowDecoder:
        chain = kind(info, motor_chain(info).steps)
        return WindowDecoder(info, chain, kept, classes=("feet", "fists"))

    same = compare(recording, model, make=other)
    assert not same.features_equal


def test_only_the_strip_reaches_the_decoder_and_a_fast_stream_is_thinned_out() -> None:
    info = StreamInfo(
        name="s",
        source_id="s",
        rate_hz=1_000.0,
        channels=tuple(Channel(name=name) for name in layout.montage(64)),
    )
    samples = np.random.default_rng(0).standard_normal((40, 64))
    block = Block(first=0, samples=samples, device_s=np.zeros(40), host_s=0.0)
    piece = motor_chain(info).process(block)
    assert piece.samples.shape == (10, 2, 21)
    assert piece.stride == 4


def test_windows_one_by_one_are_read_as_all_at_once(model: FollowingTangent) -> None:
    windows = np.random.default_rng(2).standard_normal((12, len(BANDS_HZ), 5, 160))
    follower = model.follower()
    single = np.concatenate([follower.log_probabilities(window[None]) for window in windows])
    assert np.array_equal(single, model.predict_log_proba(windows))


def test_what_comes_later_does_not_change_what_was_said(model: FollowingTangent) -> None:
    windows = np.random.default_rng(3).standard_normal((12, len(BANDS_HZ), 5, 160))
    assert np.array_equal(
        model.predict_log_proba(windows[:5]), model.predict_log_proba(windows)[:5]
    )


def _runs(folder: Path, count: int) -> list[pseudo_online.Source]:
    """Runs in which movement lowers one electrode or the other; the last trial ends in rest."""
    del folder
    made = []
    for number in range(count):
        rng = np.random.default_rng(number)
        samples = 10.0 * rng.standard_normal((160 * 84, 5))
        trials = []
        for turn in range(10):
            onset, label = 160 * (4 + 8 * turn), ("feet", "fists")[turn % 2]
            samples[onset : onset + 656, 0 if label == "feet" else 3] *= 0.3
            trials.append((onset, label))
        made.append(
            pseudo_online.Source(
                subject="S001",
                name=f"S001R{number:02d}",
                rate_hz=160.0,
                samples=samples,
                trials=tuple(trials),
                channels=NAMES[:5],
            )
        )
    return made


def test_a_stream_is_triggered_on_in_its_trials_and_hardly_in_its_rest(tmp_path: Path) -> None:
    runs = _runs(tmp_path, 7)
    found = pseudo_online._left_out(runs[0], runs[1:3], runs[3:], 2.0)
    assert found.calibrated.upper_per_min <= 2.0
    labels = [trial.label for trial in found.raw.trials]
    hit = [
        any(
            trial.begin_s <= at_s <= trial.end_s + 1.0 and label == trial.label
            for at_s, label in found.raw.triggers
        )
        for trial in found.raw.trials
    ]
    assert len(labels) == 10
    assert sum(hit) >= 8
    assert set(np.asarray(found.raw.truth)) == {"rest", "feet", "fists"}
    assert np.mean(np.asarray(found.raw.truth) == np.asarray(found.raw.predicted)) > 0.7


def test_without_rest_of_other_runs_no_threshold_is_set(tmp_path: Path) -> None:
    runs = _runs(tmp_path, 3)
    with pytest.raises(TooLittleToLearn):
        pseudo_online._left_out(runs[0], runs[1:], [], 2.0)


def test_the_threshold_does_not_know_the_run_that_was_left_out(tmp_path: Path) -> None:
    runs = _runs(tmp_path, 8)
    calibrated: list[evidence.Calibrated] = [
        pseudo_online._left_out(left_out, runs[1:3], runs[3:7], 2.0).calibrated
        for left_out in (runs[0], runs[7])
    ]
    assert calibrated[0] == calibrated[1]


def test_both_paths_are_measured_on_the_same_stream_and_lose_nothing() -> None:
    ours, theirs = latency_bench.latency_rows(seconds=2.0, channels=8, rate_hz=250.0)
    assert (ours["path"], theirs["path"]) == ("haihe", "mne_lsl")
    for row in (ours, theirs):
        assert row["decisions"] >= 15
        assert 0.0 < row["decode_p50_ms"] <= row["decision_p99_ms"]
    assert ours["lost"] == 0
    assert set(ours["cpu_share"]) == {"session", "acquisition", "actuator", "stand-by", "decoder"}
    assert ours["decision_p50_ms"] <= ours["screen_p99_ms"]


def test_a_decode_step_is_measured_on_the_strip_and_on_all_channels() -> None:
    strip, all_channels = latency_bench.step_rows(steps=15, channels=16, rate_hz=250.0)
    assert strip["electrodes"] == len(layout.sensorimotor(layout.montage(16)))
    assert all_channels["electrodes"] == 16
    assert strip["decisions"] >= 5
    assert 0.0 < strip["decode_p50_ms"] <= strip["decode_p99_ms"]
