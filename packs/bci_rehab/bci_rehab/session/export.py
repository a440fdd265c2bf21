"""From a session's recording to the formats of others: BIDS-EEG and EDF+.

Both want one unbroken stretch of samples. What was lost is filled with zeros and marked as MNE
marks it (``BAD_ACQ_SKIP``), so that no analysis takes it for signal; a restart after a crash is
such a gap of one second, whatever it lasted. Host times become sample numbers by the arrival of
the blocks around them.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from bci_rehab.errors import NothingToExport
from bci_rehab.session.interlock import StopReason
from bci_rehab.session.record_format import Record, Recording, RecordKind
from bci_rehab.signal.blocks import Block, ChannelKind, Floats

SKIP = "BAD_ACQ_SKIP"
RESTART = "restart"
RESTART_S = 1.0
# A gap that is longer than this cannot be filled with zeros in good faith; a device has no such.
GAP_LIMIT_S = 600.0
_MNE_KINDS = {
    ChannelKind.EEG: "eeg",
    ChannelKind.EOG: "eog",
    ChannelKind.EMG: "emg",
    ChannelKind.TRIGGER: "misc",
    ChannelKind.OTHER: "misc",
}


@dataclass(frozen=True, kw_only=True)
class Mark:
    """Something that happened: seconds from the first sample, seconds that it lasted, its name."""

    onset_s: float
    lasts_s: float
    label: str


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """A whole session as one stretch: samples (samples, channels) in microvolts, and marks."""

    samples: Floats
    marks: tuple[Mark, ...]
    began: datetime


@dataclass(frozen=True, kw_only=True)
class Person:
    """What an export may say of the patient: a pseudonym, and what an analysis needs."""

    pseudonym: str
    sex: str = ""
    hand: str = ""


def stretch_of(recording: Recording) -> Stretch:
    """Join a recording's blocks, with zeros for what was lost, and place its events among them."""
    if not recording.blocks:
        raise NothingToExport(path=str(recording.path), reason="it holds no samples")
    rate_hz = recording.stream.rate_hz
    parts: list[Floats] = []
    marks: list[Mark] = []
    length = 0
    for number, run in enumerate(_runs(recording)):
        if number:
            count = round(RESTART_S * rate_hz)
            parts.append(np.zeros((count, len(recording.stream.channels))))
            marks.append(Mark(onset_s=length / rate_hz, lasts_s=RESTART_S, label=SKIP))
            marks.append(Mark(onset_s=length / rate_hz, lasts_s=0.0, label=RESTART))
            length += count
        joined, gaps = _joined(run.blocks, rate_hz)
        marks += [
            Mark(onset_s=(length + row) / rate_hz, lasts_s=count / rate_hz, label=SKIP)
            for row, count in gaps
        ]
        arrived_s = [block.host_s for block in run.blocks]
        ends = [length + block.end - run.blocks[0].first for block in run.blocks]
        for at_s, lasts_s, label in _happenings(run.records):
            # What came after the last block is set on its last sample.
            onset = min(float(np.interp(at_s, arrived_s, ends)), ends[-1] - 1.0)
            marks.append(Mark(onset_s=onset / rate_hz, lasts_s=lasts_s, label=label))
        parts.append(joined)
        length += len(joined)
    began = datetime.fromisoformat(recording.info["clock"]["utc"])
    ordered = tuple(sorted(marks, key=lambda mark: (mark.onset_s, mark.label)))
    return Stretch(samples=np.concatenate(parts), marks=ordered, began=began)


def to_edf(recording: Recording, path: Path, person: Person) -> float:
    """Write EDF+; return the largest rounding error in microvolts, which its 16 bits cost."""
    import edfio

    stretch = stretch_of(recording)
    rate_hz = recording.stream.rate_hz
    record_s, count = _edf_records(len(stretch.samples), rate_hz)
    padded = np.zeros((count, stretch.samples.shape[1]))
    padded[: len(stretch.samples)] = np.nan_to_num(stretch.samples)
    marks = list(stretch.marks)
    if count > len(stretch.samples):
        end_s = len(stretch.samples) / rate_hz
        marks.append(Mark(onset_s=end_s, lasts_s=count / rate_hz - end_s, label=SKIP))
    signals, worst = [], 0.0
    for column, channel in enumerate(recording.stream.channels):
        values = np.ascontiguousarray(padded[:, column])
        least, most = _physical_range(values)
        kind = channel.kind.value.upper()
        label = f"{kind} {channel.name}" if channel.kind is ChannelKind.EEG else channel.name
        made = edfio.EdfSignal(
            values,
            rate_hz,
            label=label[:16],
            physical_dimension="uV",
            physical_range=(least, most),
        )
        worst = max(worst, float(np.abs(made.data - values).max()))
        signals.append(made)
    edf = edfio.Edf(
        signals,
        patient=edfio.Patient(code=_word(person.pseudonym), sex=_edf_sex(person.sex)),
        recording=edfio.Recording(
            startdate=stretch.began.date(), equipment_code=_word(recording.stream.name)
        ),
        starttime=stretch.began.time().replace(microsecond=0),
        data_record_duration=record_s,
        annotations=[
            edfio.EdfAnnotation(mark.onset_s, mark.lasts_s or None, mark.label) for mark in marks
        ],
    )
    edf.write(path)
    return worst


def to_bids(
    recording: Recording,
    root: Path,
    person: Person,
    *,
    session: str,
    task: str,
    run: int = 1,
    line_hz: float = 50.0,
    dataset: str = "Motor rehabilitation with a brain-computer interface",
) -> Path:
    """Write one session into a BIDS data set (Pernet 2019); return the path of its EEG file.

    ``person``'s pseudonym and ``session`` are cut to letters and digits, as BIDS labels must be.
    """
    import mne
    import mne_bids

    stretch = stretch_of(recording)
    raw = _raw(mne, recording, stretch, person, line_hz)
    path = mne_bids.BIDSPath(
        subject=label_of(person.pseudonym),
        session=label_of(session),
        task=label_of(task),
        run=run,
        datatype="eeg",
        root=root,
    )
    with warnings.catch_warnings():
        # Channels that are no voltage keep their own unit, which BrainVision's readers allow.
        warnings.filterwarnings("ignore", message="Encountered unsupported non-voltage units")
        mne_bids.write_raw_bids(
            raw, path, format="BrainVision", allow_preload=True, overwrite=True, verbose="ERROR"
        )
    mne_bids.make_dataset_description(
        path=root, name=dataset, dataset_type="raw", overwrite=True, verbose="ERROR"
    )
    sidecar = path.copy().update(suffix="eeg", extension=".json")
    mne_bids.update_sidecar_json(
        sidecar,
        {
            "Manufacturer": recording.stream.name,
            "DeviceSerialNumber": recording.stream.source_id,
            "SoftwareFilters": "n/a",
            "RecordingType": "continuous",
            "TaskDescription": f"Cued {task} with feedback from a brain-computer interface",
        },
        verbose="ERROR",
    )
    return Path(path.copy().update(suffix="eeg", extension=".vhdr").fpath)


@dataclass(frozen=True, kw_only=True)
class _Run:
    """What one process wrote: from the beginning, or a resumption, to the next."""

    blocks: tuple[Block, ...]
    records: tuple[Record, ...]


def _runs(recording: Recording) -> list[_Run]:
    starts = [0, *(record.number for record in recording.of(RecordKind.RESUMPTION))]
    ends = [*starts[1:], float("inf")]
    numbered = list(zip(recording.block_numbers, recording.blocks, strict=True))
    runs = []
    for start, end in zip(starts, ends, strict=True):
        blocks = tuple(block for number, block in numbered if start <= number < end and len(block))
        records = tuple(r for r in recording.records if start <= r.number < end)
        if blocks:
            runs.append(_Run(blocks=blocks, records=records))
    return runs


def _joined(blocks: Iterable[Block], rate_hz: float) -> tuple[Floats, list[tuple[int, int]]]:
    """Samples in a row, doubled ones once and lost ones as zeros; and where, how many were lost."""
    parts: list[Floats] = []
    gaps: list[tuple[int, int]] = []
    length, due = 0, None
    for block in blocks:
        due = block.first if due is None else due
        lost = block.first - due
        if 0 < lost <= GAP_LIMIT_S * rate_hz:
            parts.append(np.zeros((lost, block.samples.shape[1])))
            gaps.append((length, lost))
            length += lost
        # What begins before it is due came twice, unless the device began to count anew.
        known = min(-lost, len(block)) if -rate_hz <= lost < 0 else 0
        parts.append(block.samples[known:])
        length += len(block) - known
        due = max(due, block.end) if known else block.end
    return np.concatenate(parts), gaps


def _happenings(records: Iterable[Record]) -> list[tuple[float, float, str]]:
    """Time, duration and name of what an analysis wants to know of."""
    found: list[tuple[float, float, str]] = []
    phases: list[tuple[float, str]] = []
    for record in records:
        body = record.body
        if record.kind is RecordKind.EVENT:
            if body["what"] == "phase_began":
                phases.append((record.at_s, f"{body['phase']}/{body['side']}"))
            elif body["what"] in ("triggered", "timed_out"):
                found.append((record.at_s, 0.0, f"outcome/{body['outcome']}"))
            if body["what"] in ("segment_began", "paused", "aborted", "finished"):
                phases.append((record.at_s, ""))
        elif record.kind is RecordKind.STOP and _is_first_word(body):
            found.append((record.at_s, 0.0, f"stop/{body['reason']}"))
        elif record.kind is RecordKind.PERMIT and "driver" in body:
            state = "on" if body["driver"]["level"] > 0.0 else "off"
            found.append((record.at_s, 0.0, f"actuator/{state}"))
    end = (phases[-1][0], "") if phases else (0.0, "")
    for (at_s, label), (until_s, _) in pairwise([*phases, end]):
        if label:
            found.append((at_s, until_s - at_s, label))
    return found


def _is_first_word(stop: Mapping[str, Any]) -> bool:
    """Whether it is a stop's first record: the second has its latency; one of the dose has one."""
    return stop.get("off_s") is None or not StopReason(stop["reason"]).latched


def _raw(mne: Any, recording: Recording, stretch: Stretch, person: Person, line_hz: float) -> Any:
    channels = recording.stream.channels
    info = mne.create_info(
        [channel.name for channel in channels],
        recording.stream.rate_hz,
        [_MNE_KINDS[channel.kind] for channel in channels],
    )
    volts = np.array([1e-6 if channel.kind in _IN_VOLTS else 1.0 for channel in channels])
    raw = mne.io.RawArray((np.nan_to_num(stretch.samples) * volts).T.copy(), info, verbose="ERROR")
    raw.set_meas_date(stretch.began.astimezone(UTC))
    raw.info["line_freq"] = line_hz
    raw.info["subject_info"] = {
        "his_id": label_of(person.pseudonym),
        "sex": {"male": 1, "female": 2}.get(person.sex, 0),
        "hand": {"right": 1, "left": 2}.get(person.hand, 3),
    }
    raw.set_annotations(
        mne.Annotations(
            [mark.onset_s for mark in stretch.marks],
            [mark.lasts_s for mark in stretch.marks],
            [mark.label for mark in stretch.marks],
            orig_time=raw.info["meas_date"],
        ),
        verbose="ERROR",
    )
    return raw


_IN_VOLTS = frozenset({ChannelKind.EEG, ChannelKind.EOG, ChannelKind.EMG})


def _edf_records(samples: int, rate_hz: float) -> tuple[float, int]:
    """A record's length that holds a whole number of samples, and all records' samples."""
    for seconds in (1, 2, 4, 5, 8, 10):
        per_record = rate_hz * seconds
        if abs(per_record - round(per_record)) < 1e-9:
            break
    else:
        seconds, per_record = 0, 1.0
    size = round(per_record)
    records = -(-samples // size)
    return (float(seconds) if seconds else 1.0 / rate_hz), records * size


def _physical_range(values: Floats) -> tuple[float, float]:
    """The range of a channel, widened to what the header's eight characters can say."""
    least, most = float(np.floor(values.min())), float(np.ceil(values.max()))
    if least == most:
        return least - 1.0, most + 1.0
    return least, most


def label_of(text: str) -> str:
    """What BIDS allows in a name."""
    label = re.sub(r"[^0-9A-Za-z]", "", text)
    if not label:
        raise NothingToExport(path=text, reason="its name holds no letter or digit of ASCII")
    return label


def _word(text: str) -> str:
    """What a field of EDF+ allows: ASCII without blanks."""
    return re.sub(r"[^!-~]", "_", text) or "X"


def _edf_sex(sex: str) -> Any:
    return {"male": "M", "female": "F"}.get(sex, "X")
