"""A decoder from a recording: what it promises, and what it refuses to promise."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bci_rehab.clinic.domain import USUAL_FALSE_PER_MIN, USUAL_MINUTES, Modality
from bci_rehab.clinic.domain import Side as TrainedSide
from bci_rehab.clinic.planning import plan_for
from bci_rehab.decode.model import load
from bci_rehab.errors import CalibrationChanged, DecoderDamaged, TooLittleToLearn
from bci_rehab.session import events as ev
from bci_rehab.session.offline import filtered
from bci_rehab.session.plan import Phase, Side, Task
from bci_rehab.session.record_format import read_recording
from bci_rehab.station.calibration import fit, rule_of
from bci_rehab.station.cutting import stretches_of
from bci_rehab.station.earlier import Earlier
from bci_rehab.station.guard import judge_feedback
from bci_rehab.station.opening import RECORDING
from bci_rehab.station.pathway import open_decoder
from bci_rehab.station.summary import summary_of
from station_world import CALIBRATION, INFO, QUICK, RATE_HZ, recorded_calibration


def test_a_patient_whose_rhythms_answer_gets_a_decoder(calibrated: Path, tmp_path: Path) -> None:
    fitted = fit(calibrated, tmp_path / "decoder.zip", wanted_per_min=3.0, version="1")
    assert fitted.accuracy.trials == 32
    assert fitted.accuracy.above_chance
    assert fitted.hits > 0.5
    assert 0 < fitted.false_per_min <= 3.0
    found = load(fitted.path, sha256=fitted.sha256)
    rule = rule_of(found.manifest, follows=fitted.follows)
    assert rule.classes == ("right",)
    assert rule.threshold == fitted.threshold > 0
    (learnt,) = found.manifest.calibration
    learnt.check(calibrated)


def test_a_decoder_names_what_it_learned_from_though_the_recording_went_on(
    calibrated: Path, tmp_path: Path
) -> None:
    whole = calibrated.read_bytes()
    growing = tmp_path / "recording.hrec"
    growing.write_bytes(whole[:-5_000])
    fitted = fit(growing, tmp_path / "decoder.zip", wanted_per_min=3.0, version="1")
    (learnt,) = load(fitted.path).manifest.calibration
    growing.write_bytes(whole)
    learnt.check(growing)
    growing.write_bytes(whole[:1_000] + b"x" + whole[1_001:])
    with pytest.raises(CalibrationChanged):
        learnt.check(growing)


def test_one_who_does_something_else_stays_at_chance(tmp_path: Path) -> None:
    path = recorded_calibration(tmp_path / "recording.hrec", swap=True, seed=4)
    fitted = fit(path, tmp_path / "decoder.zip", wanted_per_min=3.0, version="1")
    assert not fitted.accuracy.above_chance


def test_the_live_decoder_says_the_same_however_blocks_are_cut(
    calibrated: Path, tmp_path: Path
) -> None:
    fitted = fit(calibrated, tmp_path / "decoder.zip", wanted_per_min=3.0, version="1")
    blocks = read_recording(calibrated).blocks[:1_500]
    whole = open_decoder(fitted.path, fitted.sha256, INFO)
    said = [answer for block in blocks for answer in whole.push(block)]
    pieces = open_decoder(fitted.path, fitted.sha256, INFO)
    again = []
    for block in blocks:
        for cut in (slice(0, 2), slice(2, None)):
            part = replace(
                block,
                first=block.first + (cut.start or 0),
                samples=block.samples[cut],
                device_s=block.device_s[cut],
            )
            again += pieces.push(part)
    assert said
    assert again == said


def test_the_usual_prescription_calibrates(tmp_path: Path) -> None:
    plan = plan_for(
        modality=Modality.MOTOR_IMAGERY, side=TrainedSide.RIGHT, affected_side=TrainedSide.RIGHT,
        minutes=USUAL_MINUTES, session=1, sessions=12, calibrate=True,
        false_triggers_per_min=USUAL_FALSE_PER_MIN, seed=3,
    )  # fmt: skip
    calibration = replace(plan, feedback_runs=0)
    path = recorded_calibration(tmp_path / "recording.hrec", plan=calibration)
    fitted = fit(path, tmp_path / "decoder.zip", wanted_per_min=USUAL_FALSE_PER_MIN, version="1")
    assert fitted.accuracy.above_chance
    assert 0 < fitted.false_per_min <= USUAL_FALSE_PER_MIN


def test_accepted_sessions_are_learned_from_where_held_trials_say_that_it_helps(
    calibrated: Path, tmp_path: Path
) -> None:
    first = tmp_path / "first" / "decoder-1.zip"
    first.parent.mkdir()
    shutil.copy(calibrated, first.parent / RECORDING)
    accepted = fit(first.parent / RECORDING, first, wanted_per_min=3.0, version="1")
    earlier = [Earlier(decoder=first, sha256=accepted.sha256)]
    short = replace(
        CALIBRATION, calibration_runs=1, trials_per_side=5, timings=replace(QUICK, rest_s=90.0)
    )
    contact = np.exp(0.4 * np.random.default_rng(5).standard_normal(len(INFO.channels)))
    today = recorded_calibration(
        tmp_path / "today.hrec", plan=short, seed=9, desynchronisation=0.4, contact=contact
    )
    to = tmp_path / "decoder.zip"
    helped = fit(today, to, wanted_per_min=3.0, version="2", earlier=earlier)
    assert helped.offered == 1
    assert helped.earlier == (accepted.sha256,)
    assert len(load(to).manifest.calibration) == 2
    feet = replace(short, task=Task.ATTEMPT)
    other = recorded_calibration(tmp_path / "other.hrec", plan=feet, seed=9)
    assert fit(other, to, wanted_per_min=3.0, version="3", earlier=earlier).offered == 0
    (first.parent / RECORDING).write_bytes(b"x" * 10_000)
    with pytest.raises(CalibrationChanged, match="reject the decoder"):
        fit(today, to, wanted_per_min=3.0, version="4", earlier=earlier)


def test_a_moved_cap_is_followed_where_the_run_says_that_it_helps(
    calibrated: Path, tmp_path: Path
) -> None:
    decoder = tmp_path / "decoder.zip"
    fitted = fit(calibrated, decoder, wanted_per_min=3.0, version="1")
    plan = replace(
        CALIBRATION, calibration_runs=0, feedback_runs=1, timings=replace(QUICK, rest_s=30.0)
    )
    contact = np.exp(0.4 * np.random.default_rng(5).standard_normal(len(INFO.channels)))
    moved = recorded_calibration(tmp_path / "moved.hrec", plan=plan, seed=7, contact=contact)
    to_following = judge_feedback(moved, decoder, fitted.sha256, follows=False)
    to_holding = judge_feedback(moved, decoder, fitted.sha256, follows=True)
    assert to_following is not None
    assert to_following.kept
    assert to_following.accuracy_after >= to_following.accuracy_before
    assert to_holding is not None
    assert not to_holding.kept
    few = replace(plan, trials_per_side=2)
    short = recorded_calibration(tmp_path / "short.hrec", plan=few)
    assert judge_feedback(short, decoder, fitted.sha256, follows=True) is None


def test_too_little_rest_bounds_no_rate(calibrated: Path, tmp_path: Path) -> None:
    with pytest.raises(TooLittleToLearn, match="false triggers"):
        fit(calibrated, tmp_path / "decoder.zip", wanted_per_min=0.1, version="1")
    assert not (tmp_path / "decoder.zip").exists()


def test_too_few_trials_teach_nothing(tmp_path: Path) -> None:
    plan = replace(CALIBRATION, trials_per_side=2, timings=replace(QUICK, rest_s=5.0))
    path = recorded_calibration(tmp_path / "recording.hrec", plan=plan)
    with pytest.raises(TooLittleToLearn, match="4 trials of right"):
        fit(path, tmp_path / "decoder.zip", wanted_per_min=3.0, version="1")


def test_another_file_under_the_hash_is_refused(calibrated: Path, tmp_path: Path) -> None:
    fitted = fit(calibrated, tmp_path / "decoder.zip", wanted_per_min=3.0, version="1")
    with pytest.raises(DecoderDamaged):
        open_decoder(fitted.path, "0" * 64, INFO)


def test_a_trial_that_was_broken_off_is_left_out() -> None:
    events = [
        ev.Began(at_s=0.0),
        ev.SegmentBegan(at_s=1.0, segment=1),
        ev.SegmentBegan(at_s=61.0, segment=2),
        ev.PhaseBegan(at_s=61.0, trial=0, phase=Phase.FIXATION, attempt=1, side=Side.RIGHT),
        ev.PhaseBegan(at_s=62.0, trial=0, phase=Phase.ACTIVE, attempt=1, side=Side.RIGHT),
        ev.Paused(at_s=63.0),
        ev.Resumed(at_s=70.0),
        ev.PhaseBegan(at_s=70.0, trial=0, phase=Phase.ACTIVE, attempt=2, side=Side.RIGHT),
        ev.PhaseBegan(at_s=74.0, trial=0, phase=Phase.PAUSE, attempt=2, side=Side.RIGHT),
    ]
    found = [
        (s.side.value, s.trial > 0, s.begins_s, s.ends_s) for s in stretches_of(CALIBRATION, events)
    ]
    assert found == [
        ("rest", False, 1.0, 61.0),
        ("rest", False, 61.0, 62.0),
        ("right", True, 70.0, 74.0),
    ]


def test_a_window_never_reaches_over_a_gap(calibrated: Path) -> None:
    blocks = list(read_recording(calibrated).blocks[:2_000])
    lost = blocks[:1_000] + [replace(b, first=b.first + 1_000) for b in blocks[1_000:]]
    path = filtered(INFO, lost)
    gap = lost[1_000].first
    assert path.window(gap + round(0.5 * RATE_HZ), 1.0) is None
    assert path.window(lost[999].end, 1.0) is not None
    assert np.all(np.diff(path.ends) > 0)


def test_the_summary_of_a_calibration_has_no_accuracy(calibrated: Path) -> None:
    said = summary_of(calibrated)
    assert said["calibration_trials"] == 32
    assert said["accuracy"] is None
    assert said["ended"] == "finished"
    assert [run["kind"] for run in said["runs"]] == ["calibration", "calibration"]
    assert said["recording"]["intact"]
