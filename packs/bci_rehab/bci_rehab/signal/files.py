"""Recordings from files: EDF+, BDF, GDF, BrainVision and XDF, all in microvolts.

MNE and pyxdf read; this module holds their answer against what can be true. A rate that the time
stamps contradict, or amplitudes ten thousand times off, would train a decoder on nonsense without a
word, so they are refused. A file cut short gives what is there, and says so.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bci_rehab.errors import HeaderImplausible, RecordingUnreadable
from bci_rehab.signal import layout
from bci_rehab.signal.blocks import Channel, ChannelKind, Floats, StreamInfo
from bci_rehab.signal.headers import (
    Claim,
    brainvision_claim,
    edf_claim,
    edf_gaps,
    gdf_claim,
)
from bci_rehab.signal.recording import Event, Gap, Recording

__all__ = ["Event", "Gap", "Recording", "check_plausible", "kind_of", "read"]

BYTES_LIMIT = 8 * 2**30
RATE_LIMIT_HZ = (1.0, 100_000.0)
# A second of EEG wanders by 5 to 100 microvolts. An idle amplifier still makes some tenths, and the
# worst electrode some thousands; ten thousand times off lies well outside on either side.
SPREAD_LIMIT_UV = (0.02, 10_000.0)
RATE_TOLERANCE = 0.05
# Stamps of one stream that stand further apart than this have lost samples between them.
XDF_BREAK_S = 0.1
_SPREAD_WINDOWS = 200
_MICROVOLTS = {
    "uv": 1.0, "µv": 1.0, "μv": 1.0, "microvolt": 1.0, "microvolts": 1.0, "": 1.0,
    "mv": 1e3, "millivolt": 1e3, "millivolts": 1e3,
    "v": 1e6, "volt": 1e6, "volts": 1e6,
    "nv": 1e-3, "nanovolt": 1e-3, "nanovolts": 1e-3,
}  # fmt: skip
_NOT_BRAIN = {
    "eog": ChannelKind.EOG, "heog": ChannelKind.EOG, "veog": ChannelKind.EOG,
    "emg": ChannelKind.EMG, "stim": ChannelKind.TRIGGER, "status": ChannelKind.TRIGGER,
    "trigger": ChannelKind.TRIGGER, "sti": ChannelKind.TRIGGER, "markers": ChannelKind.TRIGGER,
    "ecg": ChannelKind.OTHER, "ekg": ChannelKind.OTHER, "resp": ChannelKind.OTHER,
    "acc": ChannelKind.OTHER, "gsr": ChannelKind.OTHER, "temp": ChannelKind.OTHER,
    "misc": ChannelKind.OTHER, "aux": ChannelKind.OTHER,
}  # fmt: skip


def read(path: Path, *, stream: str | None = None, scale: float = 1.0) -> Recording:
    """Read a recording whole.

    Parameters
    ----------
    path : Path
        ``.edf``, ``.bdf``, ``.gdf``, ``.vhdr`` or ``.xdf``.
    stream : str, optional
        The name of the stream to take from an XDF file that holds several with EEG.
    scale : float
        Multiplies the samples, for a file whose header misstates its unit.

    Raises
    ------
    HeaderImplausible
        Rate or amplitude cannot be what the header says.
    RecordingUnreadable
        No recording, or one too damaged to give a sample.
    """
    readers: dict[str, Callable[[], Recording]] = {
        ".edf": lambda: _read_edf(path, scale, sample_bytes=2),
        ".bdf": lambda: _read_edf(path, scale, sample_bytes=3),
        ".gdf": lambda: _read_gdf(path, scale),
        ".vhdr": lambda: _read_brainvision(path, scale),
        ".xdf": lambda: _read_xdf(path, scale, stream),
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise RecordingUnreadable(path=str(path), reason=f"{path.suffix or 'no suffix'} is unknown")
    if not path.is_file():
        raise RecordingUnreadable(path=str(path), reason="there is no such file")
    if path.stat().st_size > BYTES_LIMIT:
        raise RecordingUnreadable(path=str(path), reason=f"it is larger than {BYTES_LIMIT} bytes")
    recording = reader()
    if not len(recording):
        raise RecordingUnreadable(path=str(path), reason="it holds no sample")
    check_plausible(recording.info, recording.samples)
    return recording


def check_plausible(info: StreamInfo, samples: Floats) -> None:
    """Refuse a rate no device has, and EEG whose amplitude is off by orders of magnitude.

    The spread is the median over channels and over windows of one second, so that neither drift nor
    a few bad electrodes decide. A recording that is flat altogether is not implausible, only dead:
    the watchdog says so.
    """
    low_hz, high_hz = RATE_LIMIT_HZ
    if not low_hz <= info.rate_hz <= high_hz:
        raise HeaderImplausible(
            source=info.name,
            field="sampling rate",
            value=f"{info.rate_hz:g} Hz",
            rule=f"devices sample at {low_hz:g} to {high_hz:g} Hz",
        )
    spread = _spread_uv(samples[:, info.indices(ChannelKind.EEG)], info.rate_hz)
    low_uv, high_uv = SPREAD_LIMIT_UV
    if spread is not None and not low_uv <= spread <= high_uv:
        raise HeaderImplausible(
            source=info.name,
            field="amplitude",
            value=f"{spread:.3g} microvolts",
            rule=f"EEG varies by {low_uv:g} to {high_uv:g} microvolts within a second; "
            "the unit is likely misstated",
        )


def kind_of(name: str, declared: str = "") -> ChannelKind:
    """What a channel measures, by what the file declares and by its name."""
    if layout.is_electrode(name):
        return ChannelKind.EEG
    for words in (declared.lower(), name.lower()):
        for word in words.replace("-", " ").replace("_", " ").replace(".", " ").split():
            found = _NOT_BRAIN.get(word.rstrip("0123456789"))
            if found is not None:
                return found
    return ChannelKind.EEG if declared.lower() in ("eeg", "") else ChannelKind.OTHER


def microvolts_per(unit: str) -> float | None:
    """How many microvolts a unit is; None for one that is no voltage."""
    return _MICROVOLTS.get(unit.strip().lower())


# --- through MNE ---------------------------------------------------------------------------------


def _read_edf(path: Path, scale: float, *, sample_bytes: int) -> Recording:
    import mne

    claim = edf_claim(path, sample_bytes=sample_bytes)
    if claim.present == 0:
        raise RecordingUnreadable(path=str(path), reason="no record is whole")
    reader = mne.io.read_raw_edf if sample_bytes == 2 else mne.io.read_raw_bdf
    raw = _quietly(path, lambda: reader(path, preload=True, verbose="ERROR"))
    gaps = edf_gaps(path, claim, rate_hz=float(raw.info["sfreq"]))
    noted = (
        _quietly(path, lambda: mne.read_annotations(path)) if claim.annotations else raw.annotations
    )
    return _from_mne(path, raw, noted, claim, scale, gaps)


def _read_gdf(path: Path, scale: float) -> Recording:
    import mne

    claim = gdf_claim(path)
    if claim.present == 0:
        raise RecordingUnreadable(path=str(path), reason="no record is whole")
    with tempfile.TemporaryDirectory() as folder:
        given = path
        if claim.cut_short:
            # MNE takes the header at its word and fails at the end; so it gets a truthful copy.
            given = Path(folder) / path.name
            _copy_whole_records(path, given, claim)
        raw = _quietly(path, lambda: mne.io.read_raw_gdf(given, preload=True, verbose="ERROR"))
    return _from_mne(path, raw, raw.annotations, claim, scale, ())


def _read_brainvision(path: Path, scale: float) -> Recording:
    import mne

    found = brainvision_claim(path)
    if found.claim.present == 0:
        raise RecordingUnreadable(path=str(path), reason="no sample is whole")
    with tempfile.TemporaryDirectory() as folder:
        header = path
        if found.claim.cut_short:
            header = Path(folder) / path.name
            header.write_text(found.repaired, encoding="utf-8")
        raw = _quietly(
            path, lambda: mne.io.read_raw_brainvision(header, preload=True, verbose="ERROR")
        )
    return _from_mne(path, raw, raw.annotations, found.claim, scale, ())


def _copy_whole_records(path: Path, to: Path, claim: Claim) -> None:
    """Copy a GDF file up to its last whole record, with the number of those in the header."""
    with path.open("rb") as source:
        data = bytearray(source.read(claim.header_bytes + claim.present * claim.record_bytes))
    data[236:244] = claim.present.to_bytes(8, "little")
    to.write_bytes(data)


def _quietly(path: Path, reader: Callable[[], Any]) -> Any:
    """Run a reader of MNE; its remarks on sizes are ours to make, its failures get one name."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            return reader()
    except (ValueError, OSError, RuntimeError, KeyError, IndexError, AssertionError) as error:
        raise RecordingUnreadable(path=str(path), reason=str(error) or repr(error)) from error


def _from_mne(
    path: Path, raw: Any, noted: Any, claim: Claim, scale: float, gaps: tuple[Gap, ...]
) -> Recording:
    rate_hz = float(raw.info["sfreq"])
    types = raw.get_channel_types()
    kinds = [kind_of(name, kind) for name, kind in zip(raw.ch_names, types, strict=True)]
    channels = tuple(
        Channel(name=layout.normalise(name), kind=kind)
        for name, kind in zip(raw.ch_names, kinds, strict=True)
    )
    data = raw.get_data().T
    factors = np.array([1.0 if kind == "stim" else 1e6 * scale for kind in types])
    events = [
        Event(onset=round(onset * rate_hz), duration=round(length * rate_hz), label=str(label))
        for onset, length, label in zip(noted.onset, noted.duration, noted.description, strict=True)
    ]
    for column, kind in enumerate(types):
        if kind == "stim":
            events.extend(_triggers(data[:, column]))
    info = StreamInfo(
        name=path.name, source_id=f"file:{path.name}", rate_hz=rate_hz, channels=channels
    )
    return Recording(
        info=info,
        samples=np.ascontiguousarray(data * factors),
        gaps=gaps,
        events=tuple(sorted(events, key=lambda event: event.onset)),
        cut_short=claim.cut_short,
    )


def _triggers(values: Floats) -> list[Event]:
    """Events where a trigger channel changes to a value; of a BioSemi status word the low bits."""
    codes = values.astype(np.int64) & 0xFFFF
    starts = np.flatnonzero(np.diff(codes, prepend=0))
    ends = np.append(starts[1:], len(codes))
    return [
        Event(onset=int(start), duration=int(end - start), label=str(codes[start]))
        for start, end in zip(starts, ends, strict=True)
        if codes[start]
    ]


# --- through pyxdf -------------------------------------------------------------------------------


def _read_xdf(path: Path, scale: float, wanted: str | None) -> Recording:
    import pyxdf

    with path.open("rb") as file:
        if file.read(4) != b"XDF:":
            raise RecordingUnreadable(path=str(path), reason="it does not begin as XDF does")
    try:
        streams, _ = pyxdf.load_xdf(
            path,
            jitter_break_threshold_seconds=XDF_BREAK_S,
            jitter_break_threshold_samples=0,
            verbose="CRITICAL",
        )
    except (ValueError, OSError, KeyError, IndexError, EOFError) as error:
        raise RecordingUnreadable(path=str(path), reason=str(error) or repr(error)) from error
    chosen = _choose(path, streams, wanted)
    header = chosen["info"]
    stamps = np.asarray(chosen["time_stamps"], dtype=np.float64)
    rate_hz = float(header["nominal_srate"][0])
    _check_rate(path, rate_hz, stamps, header)
    channels, factors = _xdf_channels(header)
    info = StreamInfo(
        name=str(header["name"][0]),
        source_id=str((header.get("source_id") or [""])[0] or f"file:{path.name}"),
        rate_hz=rate_hz,
        channels=channels,
    )
    samples = np.asarray(chosen["time_series"], dtype=np.float64) * (factors * scale)
    gaps = tuple(
        Gap(row=start, lost=lost)
        for (_, end), (start, _) in zip(header["segments"], header["segments"][1:], strict=False)
        if (lost := round((stamps[start] - stamps[end]) * rate_hz) - 1) > 0
    )
    recording = Recording(
        info=info,
        samples=np.ascontiguousarray(samples),
        gaps=gaps,
        cut_short=""
        if "footer" in chosen
        else "The stream has no footer: its end was not written.",
    )
    events = _xdf_events(streams, recording, stamps)
    return Recording(**{**recording.__dict__, "events": events})


def _choose(path: Path, streams: list[Any], wanted: str | None) -> Any:
    regular = [
        s for s in streams if len(s["time_stamps"]) and s["info"]["channel_format"][0] != "string"
    ]
    fitting = [
        s
        for s in regular
        if (s["info"]["name"][0] == wanted if wanted else s["info"]["type"][0].upper() == "EEG")
    ]
    if len(fitting) != 1:
        names = ", ".join(str(s["info"]["name"][0]) for s in (fitting or regular)) or "none"
        what = f"called {wanted}" if wanted else "with EEG"
        raise RecordingUnreadable(
            path=str(path), reason=f"it has {len(fitting)} streams {what}; there are: {names}"
        )
    return fitting[0]


def _check_rate(path: Path, rate_hz: float, stamps: Floats, header: Any) -> None:
    """Hold the nominal rate against the stamps, which were taken by a clock."""
    kept = [(start, end) for start, end in header["segments"] if end > start]
    spans = sum(stamps[end] - stamps[start] for start, end in kept)
    measured_hz = sum(end - start for start, end in kept) / spans if spans > 0 else rate_hz
    if rate_hz <= 0 or abs(measured_hz - rate_hz) > RATE_TOLERANCE * rate_hz:
        raise HeaderImplausible(
            source=str(path),
            field="sampling rate",
            value=f"{rate_hz:g} Hz",
            rule=f"the time stamps run at {measured_hz:.4g} Hz",
        )


def _xdf_channels(header: Any) -> tuple[tuple[Channel, ...], Floats]:
    count = int(header["channel_count"][0])
    described: list[Any] = []
    desc = (header.get("desc") or [None])[0]
    if desc and desc.get("channels") and desc["channels"][0]:
        described = desc["channels"][0].get("channel", [])
    channels, factors = [], []
    for index in range(count):
        said = described[index] if index < len(described) else {}
        name = str((said.get("label") or [f"ch{index + 1}"])[0])
        kind = kind_of(name, str((said.get("type") or ["eeg"])[0] or "eeg"))
        factor = microvolts_per(str((said.get("unit") or [""])[0] or ""))
        if factor is None:
            kind, factor = (ChannelKind.OTHER if kind is ChannelKind.EEG else kind), 1.0
        channels.append(Channel(name=layout.normalise(name), kind=kind, microvolts_per_unit=factor))
        factors.append(factor)
    return tuple(channels), np.array(factors)


def _xdf_events(streams: list[Any], recording: Recording, stamps: Floats) -> tuple[Event, ...]:
    numbers = np.concatenate(
        [np.arange(number, number + stop - start) for number, start, stop in recording.segments()]
    )
    events = []
    for stream in streams:
        if stream["info"]["channel_format"][0] != "string":
            continue
        for stamp, values in zip(stream["time_stamps"], stream["time_series"], strict=True):
            row = int(np.clip(np.searchsorted(stamps, stamp), 0, len(stamps) - 1))
            onset = int(numbers[row]) + round((stamp - stamps[row]) * recording.info.rate_hz)
            events.append(Event(onset=onset, duration=0, label=str(values[0])))
    return tuple(sorted(events, key=lambda event: event.onset))


def _spread_uv(samples: Floats, rate_hz: float) -> float | None:
    """The median standard deviation within windows of a second; None where all is flat."""
    width = max(2, round(rate_hz))
    if not samples.size:
        return None
    width = min(width, len(samples))
    starts = np.linspace(0, len(samples) - width, _SPREAD_WINDOWS).astype(int)
    spreads = np.array([samples[start : start + width].std(axis=0) for start in np.unique(starts)])
    alive = spreads[spreads > 0]
    return float(np.median(alive)) if alive.size else None
