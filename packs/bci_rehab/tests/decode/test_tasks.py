"""The off-line tasks: what is left out, what is kept apart, and that nothing leaks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bci_rehab.decode import recordings as folders
from bci_rehab.decode import tasks
from bci_rehab.errors import FolderUnsuitable, OfflineTaskUnknown
from decode_scores import scored


def _exo(folder: Path, name: str, seed: int, *, shift: int = 0) -> None:
    rng = np.random.default_rng(seed)
    events, positions = [], []
    signal = rng.standard_normal((33 * 1600, 8)).astype(np.float32)
    times = np.arange(1280) / 256.0
    for trial in range(32):
        code = (33024, 33025, 33026, 33027)[trial % 4]
        hz = {33025: 13.0, 33026: 21.0, 33027: 17.0}.get(code)
        start = 800 + 1600 * trial
        events += [code, 32779, 32780]
        positions += [start - 128 - shift, start, start + 1280]
        if hz:
            signal[start : start + 1280] += np.sin(2 * np.pi * hz * times)[:, None]
    np.savez(
        folder / name,
        signal=signal,
        event_pos=np.array(positions),
        event_type=np.array(events),
        sfreq=256.0,
        ch_names=np.array(["Oz"] * 8),
    )


def test_excluded_files_and_copies_are_left_out_and_the_lights_begin_a_trial(
    tmp_path: Path,
) -> None:
    _exo(tmp_path, "subject01_a.npz", 1)
    _exo(tmp_path, "subject01_b_EXCLUDED.npz", 2)
    _exo(tmp_path, "subject02_a.npz", 3, shift=500)
    (tmp_path / "subject03_a.npz").write_bytes((tmp_path / "subject01_a.npz").read_bytes())
    sources = list(folders.exoskeleton(tmp_path))
    assert [source.subject for source in sources] == ["subject01", "subject02"]
    assert sources[0].trials == sources[1].trials
    assert len(sources[0].trials) == 32


def test_a_subject_with_one_session_is_split_into_blocks(tmp_path: Path) -> None:
    _exo(tmp_path, "subject01_a.npz", 1)
    ours = next(tasks.run_task("ssvep_calibrated_4", tmp_path, permutations=1))
    assert sorted(np.unique(ours.predictions.folds)) == [f"block {n}" for n in range(4)]
    assert ours.classes == ("rest", "13 Hz", "17 Hz", "21 Hz")
    score, _, shuffled = scored(ours)
    assert score > 0.95
    assert shuffled < 0.6


def test_free_flicker_is_decoded_without_training_and_its_control_is_at_chance(
    tmp_path: Path,
) -> None:
    _exo(tmp_path, "subject01_a.npz", 1)
    for raw in tasks.run_task("ssvep_free_3", tmp_path, permutations=20):
        score, _, shuffled = scored(raw)
        assert score > 0.95
        assert 0.2 < shuffled < 0.47
        assert set(raw.truth.values()) == {"13 Hz", "17 Hz", "21 Hz"}


def test_permuted_labels_keep_the_windows_of_a_trial_together() -> None:
    trials = np.repeat([f"t{n}" for n in range(20)], 3)
    labels = np.repeat(np.resize(["a", "b"], 20), 3)
    dealt = tasks._permuted(labels, trials, np.random.default_rng(0))
    assert (dealt != labels).any()
    assert sorted(dealt) == sorted(labels)
    assert all(len(set(dealt[trials == trial])) == 1 for trial in np.unique(trials))


def test_windows_are_cut_within_the_trial_only() -> None:
    part = folders.Cut(begin_s=0.5, end_s=4.0, length_s=1.0, hop_s=0.5)
    starts = part.starts(1000, 160.0)
    assert starts[0] == 1080
    assert starts[-1] + 160 == 1000 + 640
    assert len(starts) == 6


def test_an_unknown_task_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OfflineTaskUnknown, match="p300_auc"):
        list(tasks.run_task("typing", tmp_path))
    with pytest.raises(FolderUnsuitable):
        list(tasks.run_task("left_right_cv", tmp_path))
    with pytest.raises(FolderUnsuitable, match="not a folder"):
        list(tasks.run_task("left_right_cv", tmp_path / "none"))


def test_the_same_seed_gives_the_same_rows_and_the_truth_lies_apart(recordings: Path) -> None:
    folder = recordings / tasks.TASKS["fists_feet_cv"].folder
    name = tasks.TASKS["fists_feet_cv"].methods()[0].name

    def ran() -> tasks.RawPredictions:
        return next(tasks.run_task("fists_feet_cv", folder, methods=[name], permutations=2))

    first, second = ran(), ran()
    assert (first.predictions.scores == second.predictions.scores).all()
    assert (first.shuffled.scores == second.shuffled.scores).all()
    assert set(first.predictions.ids) == set(first.truth)
    assert len(first.truth) == 45
    assert scored(first)[0] > 0.9
    assert 0.25 < scored(first)[2] < 0.75


def test_only_eeg_channels_reach_a_decoder(recordings: Path) -> None:
    source = next(
        folders.motor(recordings / "physionet_eegmmidb_S001", (6,), {"T1": "fists", "T2": "feet"})
    )
    assert source.samples.shape[1] == 64
    assert 5.0 < np.median(source.samples.std(axis=0)) < 200.0
    assert len(source.trials) == 15
