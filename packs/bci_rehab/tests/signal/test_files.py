from __future__ import annotations

from pathlib import Path

import edfio
import numpy as np
import pybv
import pytest
from bci_rehab.errors import HeaderImplausible, RecordingUnreadable
from bci_rehab.signal import files
from bci_rehab.signal.blocks import ChannelKind
from bci_rehab.signal.headers import edf_claim
from bci_rehab.signal.recording import Event, Gap, Recording
from hypothesis import given
from hypothesis import strategies as st
from signal_makers import noise, stream
from signal_writers import write_gdf, write_xdf

NAMES = ["Fc3.", "Cz..", "EMG left"]
RATE_HZ = 100
ROWS = 1_000
SAMPLES = noise(ROWS, 3, uv=30.0).clip(-190, 190)
EVENTS = ((150, "T1"), (480, "T2"))


def write_edf(path: Path, samples: np.ndarray = SAMPLES, unit: str = "uV") -> None:
    signal, container = (
        (edfio.EdfSignal, edfio.Edf) if path.suffix == ".edf" else (edfio.BdfSignal, edfio.Bdf)
    )
    largest = float(np.abs(samples).max() * 1.1)
    signals = [
        signal(
            samples[:, k], RATE_HZ, label=name, physical_dimension=unit,
            physical_range=(-largest, largest),
        )
        for k, name in enumerate(NAMES)
    ]  # fmt: skip
    notes = [edfio.EdfAnnotation(onset / RATE_HZ, 1.0, label) for onset, label in EVENTS]
    container(signals, annotations=notes).write(path)


def write(folder: Path, suffix: str) -> Path:
    path = folder / f"trial{suffix}"
    if suffix in (".edf", ".bdf"):
        write_edf(path)
    elif suffix == ".gdf":
        codes = {"T1": 769, "T2": 770}
        write_gdf(path, SAMPLES, NAMES, RATE_HZ, [(on, codes[label]) for on, label in EVENTS])
    elif suffix == ".vhdr":
        pybv.write_brainvision(
            data=SAMPLES.T * 1e-6, sfreq=RATE_HZ, ch_names=NAMES, fname_base="trial",
            folder_out=str(folder), unit="µV", fmt="binary_float32",
            events=[
                {"onset": on, "duration": 100, "description": int(label[1])} for on, label in EVENTS
            ],
        )  # fmt: skip
    else:
        stamps_s = 20.0 + np.arange(ROWS) / RATE_HZ
        marks = [(20.0 + on / RATE_HZ, label) for on, label in EVENTS]
        write_xdf(path, SAMPLES, stamps_s, NAMES, nominal_hz=RATE_HZ, markers=marks)
    return path


ALL = [".edf", ".bdf", ".gdf", ".vhdr", ".xdf"]


@pytest.mark.parametrize("suffix", ALL)
def test_each_format_gives_the_same_samples_in_microvolts_and_the_same_events(
    tmp_path: Path, suffix: str
) -> None:
    made = files.read(write(tmp_path, suffix))
    assert made.info.rate_hz == RATE_HZ
    assert [channel.name for channel in made.info.channels] == ["FC3", "Cz", "EMG left"]
    assert made.info.named(ChannelKind.EMG) == ("EMG left",)
    np.testing.assert_allclose(made.samples, SAMPLES, atol=0.01)
    assert [event.onset for event in made.events] == [150, 480]
    assert len({event.label for event in made.events}) == 2
    assert (made.cut_short, made.gaps) == ("", ())


@pytest.mark.parametrize(("suffix", "kept"), [(".edf", 500), (".bdf", 500), (".gdf", 500)])
def test_a_file_cut_short_gives_its_whole_records_and_says_what_is_missing(
    tmp_path: Path, suffix: str, kept: int
) -> None:
    path = write(tmp_path, suffix)
    data = path.read_bytes()
    header = 256 * (5 if suffix != ".gdf" else 4)
    record = (len(data) - header) // 10
    path.write_bytes(data[: header + 5 * record + record // 2])
    made = files.read(path)
    assert len(made) == kept
    assert "10 records and 5 are there" in made.cut_short
    np.testing.assert_allclose(made.samples, SAMPLES[:kept], atol=0.01)


def test_a_brainvision_recording_cut_short_gives_its_whole_samples(tmp_path: Path) -> None:
    path = write(tmp_path, ".vhdr")
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("[Common Infos]", f"[Common Infos]\nDataPoints={ROWS}"), "utf-8")
    data = path.with_suffix(".eeg")
    data.write_bytes(data.read_bytes()[: 700 * 12 + 5])
    made = files.read(path)
    assert len(made) == 700
    assert "last 3 s are missing" in made.cut_short
    np.testing.assert_allclose(made.samples, SAMPLES[:700], atol=0.01)


def test_an_xdf_file_cut_short_gives_its_whole_chunks(tmp_path: Path) -> None:
    path = tmp_path / "cut.xdf"
    stamps_s = 20.0 + np.arange(ROWS) / RATE_HZ
    write_xdf(path, SAMPLES, stamps_s, NAMES, nominal_hz=RATE_HZ)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    made = files.read(path)
    assert 400 <= len(made) < 500
    assert "footer" in made.cut_short
    np.testing.assert_array_equal(made.samples, SAMPLES[: len(made)])


def test_what_an_xdf_stream_lost_is_a_gap_and_events_keep_their_time(tmp_path: Path) -> None:
    path = tmp_path / "lost.xdf"
    stamps_s = 20.0 + np.r_[np.arange(600), np.arange(600, ROWS) + 50] / RATE_HZ
    marks = [(20.0 + 7.0, "after")]
    write_xdf(path, SAMPLES, stamps_s, NAMES, nominal_hz=RATE_HZ, markers=marks)
    made = files.read(path)
    assert made.gaps == (Gap(row=600, lost=50),)
    assert made.events == (Event(onset=700, duration=0, label="after"),)
    assert made.row_of(700) == 650


def test_a_discontinuous_edf_has_its_gaps_where_its_records_say(tmp_path: Path) -> None:
    path = write(tmp_path, ".edf")
    claim = edf_claim(path, sample_bytes=2)
    data = bytearray(path.read_bytes())
    data[192:197] = b"EDF+D"
    offset, length = claim.annotations[0]
    for record in range(6, 10):
        at = claim.header_bytes + record * claim.record_bytes + offset
        rest = bytes(data[at : at + length]).partition(b"\x14\x14")[2]
        stamped = f"+{record + 3}\x14\x14".encode() + rest
        data[at : at + length] = stamped[:length].ljust(length, b"\x00")
    path.write_bytes(bytes(data))
    made = files.read(path)
    assert made.gaps == (Gap(row=600, lost=300),)
    assert len(made) == ROWS


def test_a_rate_that_the_stamps_contradict_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wrong.xdf"
    stamps_s = np.arange(ROWS) / RATE_HZ
    write_xdf(path, SAMPLES, stamps_s, NAMES, nominal_hz=256.0)
    with pytest.raises(HeaderImplausible, match="time stamps run at 100"):
        files.read(path)


def test_a_record_without_duration_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, ".edf")
    data = bytearray(path.read_bytes())
    data[244:252] = b"0       "
    path.write_bytes(bytes(data))
    with pytest.raises(HeaderImplausible, match="record duration"):
        files.read(path)


@pytest.mark.parametrize("factor", [1e4, 1e-4])
def test_amplitudes_ten_thousand_times_off_are_refused_and_a_scale_mends_them(
    tmp_path: Path, factor: float
) -> None:
    path = tmp_path / "off.xdf"
    stamps_s = np.arange(ROWS) / RATE_HZ
    write_xdf(path, SAMPLES * factor, stamps_s, NAMES, nominal_hz=RATE_HZ)
    with pytest.raises(HeaderImplausible, match="unit is likely misstated"):
        files.read(path)
    np.testing.assert_allclose(files.read(path, scale=1 / factor).samples, SAMPLES, rtol=1e-9)


@pytest.mark.parametrize("unit", ["mV", "V"])
def test_other_units_of_a_header_become_microvolts(tmp_path: Path, unit: str) -> None:
    factor = {"mV": 1e-3, "V": 1e-6}[unit]
    path = tmp_path / "unit.xdf"
    write_xdf(
        path, SAMPLES * factor, np.arange(ROWS) / RATE_HZ, NAMES, nominal_hz=RATE_HZ, unit=unit
    )
    np.testing.assert_allclose(files.read(path).samples, SAMPLES, rtol=1e-9)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", b"hello"), ("a.edf", b"hello"), ("a.edf", b"\x00" * 600), ("a.gdf", b"GDF 2"),
        ("a.xdf", b"XML:"), ("a.vhdr", b"Brain Vision\n[Common Infos]\n"), ("a.bdf", b""),
    ],
)  # fmt: skip
def test_what_is_no_recording_is_refused_by_name(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises((RecordingUnreadable, HeaderImplausible), match=name):
        files.read(path)


def test_a_file_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(RecordingUnreadable, match="no such file"):
        files.read(tmp_path / "none.edf")


def test_a_public_recording_reads_with_its_64_places_and_events(recordings: Path) -> None:
    made = files.read(recordings / "physionet_eegmmidb_S001" / "S001R06.edf")
    assert (made.info.rate_hz, made.samples.shape) == (160.0, (20_000, 64))
    assert made.info.named(ChannelKind.EEG)[:2] == ("FC5", "FC3")
    assert made.events[1] == Event(onset=672, duration=656, label="T2")
    assert 20.0 < made.samples.std() < 200.0


@given(
    st.lists(st.tuples(st.integers(0, 100), st.integers(1, 40)), max_size=6),
    st.integers(0, 50),
    st.integers(1, 30),
)
def test_blocks_and_rows_agree_on_where_each_sample_is(
    cuts: list[tuple[int, int]], first: int, size: int
) -> None:
    gaps = tuple(Gap(row=row, lost=lost) for row, lost in sorted(cuts))
    made = Recording(info=stream(), samples=noise(100), first=first, gaps=gaps)
    blocks = list(made.blocks(size))
    np.testing.assert_array_equal(np.concatenate([b.samples for b in blocks]), made.samples)
    for block in blocks:
        for offset in range(len(block)):
            row = made.row_of(block.first + offset)
            assert row is not None
            np.testing.assert_array_equal(made.samples[row], block.samples[offset])
    inner = sum(gap.lost for gap in gaps if gap.row < 100)
    assert blocks[-1].end == first + 100 + inner
    assert made.row_of(blocks[-1].end) is None


def test_gaps_outside_the_recording_are_refused() -> None:
    with pytest.raises(ValueError, match="within the recording"):
        Recording(info=stream(), samples=noise(10), gaps=(Gap(row=11, lost=1),))
