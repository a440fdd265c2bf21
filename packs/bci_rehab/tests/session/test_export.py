"""Exports that the field's own readers read back."""

import json

import numpy as np
import pytest
from bci_rehab.errors import NothingToExport
from bci_rehab.session.export import SKIP, Person, stretch_of, to_bids, to_edf
from bci_rehab.session.record_format import RecordKind, read_recording
from bci_rehab.session.recorder import Recorder
from bci_rehab.signal.blocks import Block, Channel, ChannelKind, StreamInfo

RATE_HZ = 250.0
STREAM = StreamInfo(
    name="bench cap",
    source_id="cap-1",
    rate_hz=RATE_HZ,
    channels=(
        Channel(name="C3"), Channel(name="C4"), Channel(name="EMG1", kind=ChannelKind.EMG),
        Channel(name="flat", kind=ChannelKind.OTHER),
    ),
)  # fmt: skip
PERSON = Person(pseudonym="TJ-0042", sex="female", hand="right")
HOST_S = 5_000.0
TRUTH = np.random.default_rng(4).normal(0, 20, (3_000, 4)).astype(np.float32).astype(np.float64)
TRUTH[:, 3] = 0.0


def block(first, count=50, number=None):
    number = first if number is None else number
    return Block(
        first=number,
        samples=TRUTH[first : first + count],
        device_s=np.arange(number, number + count) / RATE_HZ,
        host_s=HOST_S + (number + count) / RATE_HZ,
    )


def event(recorder, at, **body):
    recorder.append(RecordKind.EVENT, body, at_s=HOST_S + at)


def session(path, skipped=()):
    """Ten seconds with one trial; ``skipped`` blocks were lost on the way."""
    recorder = Recorder.create(path, STREAM, {})
    for first in range(0, 2_500, 50):
        if first not in skipped:
            recorder.append_block(block(first))
    event(recorder, 2.0, what="phase_began", phase="active", side="right")
    event(recorder, 3.5, what="triggered", side="right", outcome="hit")
    event(recorder, 3.5, what="phase_began", phase="feedback", side="right")
    event(recorder, 5.5, what="paused", why="")
    recorder.append(RecordKind.STOP, {"reason": "page_closed", "off_s": None}, at_s=HOST_S + 5.5)
    return recorder


def labels(marks):
    return {mark.label: (round(mark.onset_s, 3), round(mark.lasts_s, 3)) for mark in marks}


def test_events_lie_at_their_samples_with_their_durations(tmp_path):
    session(tmp_path / "r").close()
    stretch = stretch_of(read_recording(tmp_path / "r"))
    np.testing.assert_array_equal(stretch.samples, TRUTH[:2_500])
    assert labels(stretch.marks) == {
        "active/right": (2.0, 1.5),
        "feedback/right": (3.5, 2.0),
        "outcome/hit": (3.5, 0.0),
        "stop/page_closed": (5.5, 0.0),
    }


def test_what_was_lost_is_zero_and_marked_and_moves_nothing(tmp_path):
    session(tmp_path / "r", skipped=(500, 550)).close()
    stretch = stretch_of(read_recording(tmp_path / "r"))
    assert len(stretch.samples) == 2_500
    assert not stretch.samples[500:600].any()
    np.testing.assert_array_equal(stretch.samples[600:], TRUTH[600:2_500])
    assert labels(stretch.marks)[SKIP] == (2.0, 0.4)
    assert labels(stretch.marks)["outcome/hit"] == (3.5, 0.0)


def test_what_came_twice_is_there_once(tmp_path):
    recorder = Recorder.create(tmp_path / "r", STREAM, {})
    for first in (0, 50, 50, 75, 100):
        recorder.append_block(block(first))
    recorder.close()
    samples = stretch_of(read_recording(tmp_path / "r")).samples
    np.testing.assert_array_equal(samples, TRUTH[:150])


def test_after_a_crash_the_session_goes_on_behind_a_marked_second(tmp_path):
    session(tmp_path / "r").close()
    raw = (tmp_path / "r").read_bytes()
    (tmp_path / "r").write_bytes(raw[: raw.rindex(b"HBLK")])
    recorder = Recorder.resume(tmp_path / "r")
    recorder.append_block(block(2_500, number=0))  # the device counts anew
    event(recorder, 0.1, what="triggered", side="right", outcome="miss")
    recorder.close()
    stretch = stretch_of(read_recording(tmp_path / "r"))
    np.testing.assert_array_equal(stretch.samples[2_750:], TRUTH[2_500:2_550])
    assert labels(stretch.marks)["restart"] == (10.0, 0.0)
    assert labels(stretch.marks)[SKIP] == (10.0, 1.0)
    assert labels(stretch.marks)["outcome/miss"][0] == pytest.approx(11.2, abs=0.01)


def test_a_recording_without_samples_is_refused(tmp_path):
    Recorder.create(tmp_path / "r", STREAM, {}).close()
    with pytest.raises(NothingToExport, match="no samples"):
        stretch_of(read_recording(tmp_path / "r"))


def test_edf_is_read_back_by_edfio_and_mne(tmp_path):
    import edfio
    import mne

    session(tmp_path / "r", skipped=(500,)).close()
    worst_uv = to_edf(read_recording(tmp_path / "r"), tmp_path / "s.edf", PERSON)
    assert worst_uv < 0.005
    edf = edfio.read_edf(tmp_path / "s.edf")
    assert edf.patient.code == "TJ-0042"
    assert edf.patient.sex == "F"
    assert "active/right" in [annotation.text for annotation in edf.annotations]
    raw = mne.io.read_raw_edf(tmp_path / "s.edf", preload=True, verbose="ERROR")
    np.testing.assert_allclose(
        raw.get_data(picks=[0])[0][600:2_500] * 1e6, TRUTH[600:2_500, 0], atol=0.01
    )


def test_edf_is_filled_up_to_a_whole_record_and_says_so(tmp_path):
    import edfio

    recorder = Recorder.create(tmp_path / "r", STREAM, {})
    recorder.append_block(block(0, count=260))
    recorder.close()
    to_edf(read_recording(tmp_path / "r"), tmp_path / "s.edf", PERSON)
    edf = edfio.read_edf(tmp_path / "s.edf")
    assert edf.signals[0].data.shape == (500,)
    assert [(a.onset, a.text) for a in edf.annotations] == [(1.04, SKIP)]


def test_bids_is_read_back_with_its_events_and_sidecars(tmp_path):
    import mne_bids

    session(tmp_path / "r", skipped=(500,)).close()
    root = tmp_path / "bids"
    path = to_bids(read_recording(tmp_path / "r"), root, PERSON, session="1", task="imagery")
    assert path.exists()
    found = mne_bids.find_matching_paths(root, suffixes="eeg", extensions=".vhdr")
    raw = mne_bids.read_raw_bids(found[0], verbose="ERROR")
    assert raw.ch_names == ["C3", "C4", "EMG1", "flat"]
    assert raw.get_channel_types() == ["eeg", "eeg", "emg", "misc"]
    np.testing.assert_allclose(
        raw.get_data(picks=[0])[0][600:] * 1e6, TRUTH[600:2_500, 0], atol=1e-3
    )
    marks = {
        a["description"]: (round(a["onset"], 3), round(a["duration"], 3)) for a in raw.annotations
    }
    assert marks["active/right"] == (2.0, 1.5)
    assert marks[SKIP] == (2.0, 0.2)
    sidecar = json.loads(next(root.rglob("*_eeg.json")).read_text("utf-8"))
    assert sidecar["PowerLineFrequency"] == 50.0
    assert sidecar["Manufacturer"] == "bench cap"
    participants = (root / "participants.tsv").read_text("utf-8")
    assert "sub-TJ0042" in participants
    assert (root / "dataset_description.json").exists()
    assert list(root.rglob("*_events.tsv"))
    assert list(root.rglob("*_channels.tsv"))


def test_what_came_after_the_last_block_lies_on_its_last_sample(tmp_path):
    recorder = session(tmp_path / "r")
    recorder.append(RecordKind.STOP, {"reason": "session_ended", "off_s": None}, at_s=HOST_S + 60)
    recorder.close()
    stretch = stretch_of(read_recording(tmp_path / "r"))
    assert labels(stretch.marks)["stop/session_ended"] == (9.996, 0.0)
