"""A decoder from a recording: what it promises, and what it refuses to promise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bci_rehab.clinic.domain import USUAL_FALSE_PER_MIN, USUAL_MINUTES, Modality
from bci_rehab.clinic.domain import Side as TrainedSide
from bci_rehab.clinic.planning import plan_for
from bci_rehab.decode.model import load
from bci_rehab.errors import DecoderDamaged, TooLittleToLearn
from bci_rehab.session import events as ev
from bci_rehab.session.plan import Phase, Side
from bci_rehab.session.record_format import read_recording
from bci_rehab.station.calibration import fit, rule_of, stretches_of
from bci_rehab.station.pathway import filtered, open_decoder
from bci_rehab.station.summary import summary_of
from station_world import CALIBRATION, INFO, QUICK, RATE_HZ, recorded_calibration


def test_a_patient_whose_rhythms_answer_gets_a_decoder(calibrated: Path, tmp_path: Path) -> None:
    fitted = fit(calibrated, tmp_path / "decoder.zip", wanted_per_min=3.0, version="1")
    assert fitted.accuracy.trials == 32
    assert fitted.accuracy.above_chance
    assert fitted.hits > 0.5
    assert 0 < fitted.false_per_min <= 3.0
    found = load(fitted.path, sha256=fitted.sha256)
    assert rule_of(found.manifest).classes == ("right",)
    assert rule_of(found.manifest).threshold == fitted.threshold > 0
    assert found.manifest.calibration_sha256


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
