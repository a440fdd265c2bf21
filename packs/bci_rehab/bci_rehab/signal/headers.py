"""What the first bytes of a recording claim, held against the bytes that are there.

Readers believe headers. A recorder that lost power leaves a header that promises more than came,
and the user has to hear how much is missing; so the sizes are worked out here, before a reader is
asked.

Layouts: EDF (Kemp 1992), EDF+ (Kemp and Olivan 2003), BDF (BioSemi), GDF 2.5 (Schloegl 2006) and
1.25, BrainVision core data format 1.0.
"""

from __future__ import annotations

import configparser
import re
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bci_rehab.errors import HeaderImplausible, RecordingUnreadable
from bci_rehab.signal.recording import Gap

_GDF_BYTES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 8, 8: 8, 16: 4, 17: 8, 18: 16}
_BRAINVISION_BYTES = {"INT_16": 2, "UINT_16": 2, "INT_32": 4, "IEEE_FLOAT_32": 4}
_ONSET = re.compile(rb"^([+-]\d+(?:\.\d+)?)[\x14\x15]")
CHANNELS_LIMIT = 4_096


@dataclass(frozen=True, kw_only=True)
class Claim:
    """Records promised and records there; a record is the file's unit of writing."""

    header_bytes: int
    record_bytes: int
    records: int
    present: int
    record_s: float
    discontinuous: bool = False
    annotations: tuple[tuple[int, int], ...] = ()
    """Offset and length in bytes of each annotation channel within a record (EDF+)."""

    @property
    def cut_short(self) -> str:
        """What is missing, in words; empty where nothing is."""
        if self.records < 0 or self.present >= self.records:
            return ""
        missing_s = (self.records - self.present) * self.record_s
        return (
            f"The header promises {self.records} records and {self.present} are there: "
            f"the last {missing_s:.3g} s are missing."
        )


def edf_claim(path: Path, *, sample_bytes: int) -> Claim:
    """Read the header of an EDF (2 bytes a sample) or BDF (3 bytes) file."""
    with path.open("rb") as file:
        fixed = file.read(256)
        if len(fixed) < 256:
            raise RecordingUnreadable(path=str(path), reason="it is shorter than a header")
        header_bytes = int(_number(path, fixed[184:192], "header bytes"))
        records = int(_number(path, fixed[236:244], "number of records"))
        record_s = _number(path, fixed[244:252], "record duration")
        count = int(_number(path, fixed[252:256], "number of channels"))
        _check_channels(path, count)
        channels = file.read(256 * count)
    if len(channels) < 256 * count:
        raise RecordingUnreadable(path=str(path), reason="it ends within its header")
    labels = [channels[16 * k : 16 * k + 16].strip() for k in range(count)]
    at = 216 * count
    sizes = [
        int(_number(path, channels[at + 8 * k : at + 8 * k + 8], "samples per record"))
        for k in range(count)
    ]
    starts = np.concatenate([[0], np.cumsum(sizes)]) * sample_bytes
    notes = tuple(
        (int(starts[k]), sizes[k] * sample_bytes)
        for k, label in enumerate(labels)
        if label in (b"EDF Annotations", b"BDF Annotations")
    )
    if record_s <= 0.0 and len(notes) < count:
        raise HeaderImplausible(
            source=str(path),
            field="record duration",
            value=f"{record_s} s",
            rule="samples take time",
        )
    record_bytes = int(starts[-1])
    if record_bytes <= 0:
        raise HeaderImplausible(
            source=str(path), field="samples per record", value="0", rule="a record holds samples"
        )
    present = max(0, path.stat().st_size - header_bytes) // record_bytes
    return Claim(
        header_bytes=header_bytes,
        record_bytes=record_bytes,
        records=records,
        present=present,
        record_s=record_s,
        discontinuous=fixed[192:197] in (b"EDF+D", b"BDF+D"),
        annotations=notes,
    )


def edf_gaps(path: Path, claim: Claim, *, rate_hz: float) -> tuple[Gap, ...]:
    """Where the records of a discontinuous EDF+ file leave time out, from their own time stamps."""
    if not claim.discontinuous or not claim.annotations:
        return ()
    offset, length = claim.annotations[0]
    per_record = round(claim.record_s * rate_hz)
    gaps = []
    due_s: float | None = None
    with path.open("rb") as file:
        for record in range(min(claim.present, claim.records if claim.records >= 0 else 2**62)):
            file.seek(claim.header_bytes + record * claim.record_bytes + offset)
            found = _ONSET.match(file.read(length))
            if found is None:
                raise RecordingUnreadable(
                    path=str(path), reason=f"record {record} of a discontinuous file has no time"
                )
            onset_s = float(found.group(1))
            if due_s is not None:
                lost = round((onset_s - due_s) * rate_hz)
                if lost > 0:
                    gaps.append(Gap(row=record * per_record, lost=lost))
            due_s = onset_s + claim.record_s
    return tuple(gaps)


def gdf_claim(path: Path) -> Claim:
    """Read the header of a GDF file, version 1 or 2."""
    with path.open("rb") as file:
        fixed = file.read(256)
        if len(fixed) < 256 or not fixed.startswith(b"GDF"):
            raise RecordingUnreadable(path=str(path), reason="it does not begin as GDF does")
        old = fixed[4:5] == b"1"
        header_bytes = (
            struct.unpack_from("<q", fixed, 184)[0]
            if old
            else 256 * struct.unpack_from("<H", fixed, 184)[0]
        )
        records = struct.unpack_from("<q", fixed, 236)[0]
        over, under = struct.unpack_from("<II", fixed, 244)
        count = struct.unpack_from("<I" if old else "<H", fixed, 252)[0]
        _check_channels(path, count)
        channels = file.read(256 * count)
    if len(channels) < 256 * count:
        raise RecordingUnreadable(path=str(path), reason="it ends within its header")
    sizes = struct.unpack_from(f"<{count}I", channels, 216 * count)
    types = struct.unpack_from(f"<{count}I", channels, 220 * count)
    unknown = [kind for kind in types if kind not in _GDF_BYTES]
    if unknown or under == 0 or over == 0:
        raise HeaderImplausible(
            source=str(path),
            field="sample type" if unknown else "record duration",
            value=str(unknown[0]) if unknown else f"{over}/{under} s",
            rule="GDF has no such type" if unknown else "samples take time",
        )
    record_bytes = sum(size * _GDF_BYTES[kind] for size, kind in zip(sizes, types, strict=True))
    if record_bytes == 0:
        raise HeaderImplausible(
            source=str(path), field="samples per record", value="0", rule="a record holds samples"
        )
    present = max(0, path.stat().st_size - header_bytes) // record_bytes
    return Claim(
        header_bytes=header_bytes,
        record_bytes=record_bytes,
        records=records,
        present=present,
        record_s=over / under,
    )


@dataclass(frozen=True, kw_only=True)
class BrainVisionClaim:
    """What a ``.vhdr`` promises of the ``.eeg`` beside it."""

    claim: Claim
    repaired: str
    """The header's text without its number of points and with absolute file names."""


def brainvision_claim(path: Path) -> BrainVisionClaim:
    """Read a BrainVision header and look at the size of its data file."""
    text = path.read_text(encoding="utf-8", errors="replace")
    head, _, body = text.partition("\n")
    parser = configparser.ConfigParser(
        interpolation=None, strict=False, allow_no_value=True, delimiters=("=",)
    )
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(body.partition("[Comment]")[0])
        common = parser["Common Infos"]
        count = int(common["NumberOfChannels"])
        interval_us = float(common["SamplingInterval"])
        data = path.parent / common["DataFile"].replace("$b", path.stem)
        kind = parser["Binary Infos"]["BinaryFormat"]
    except (configparser.Error, KeyError, ValueError) as error:
        raise RecordingUnreadable(path=str(path), reason=f"its header lacks {error}") from error
    _check_channels(path, count)
    if not interval_us > 0:
        raise HeaderImplausible(
            source=str(path),
            field="sampling interval",
            value=f"{interval_us} us",
            rule="samples take time",
        )
    if kind not in _BRAINVISION_BYTES:
        raise RecordingUnreadable(path=str(path), reason=f"its samples are {kind}")
    if not data.exists():
        raise RecordingUnreadable(path=str(path), reason=f"its data file {data.name} is not there")
    record_bytes = count * _BRAINVISION_BYTES[kind]
    claim = Claim(
        header_bytes=0,
        record_bytes=record_bytes,
        records=int(common.get("DataPoints", -1)),
        present=data.stat().st_size // record_bytes,
        record_s=interval_us * 1e-6,
    )
    parser["Common Infos"].pop("DataPoints", None)
    for key in ("DataFile", "MarkerFile"):
        if key in common:
            common[key] = str((path.parent / common[key].replace("$b", path.stem)).resolve())
    lines = [head.strip(), ""]
    for section in parser.sections():
        lines.append(f"[{section}]")
        lines.extend(f"{key}={value}" for key, value in parser[section].items())
    return BrainVisionClaim(claim=claim, repaired="\n".join(lines) + "\n")


def _number(path: Path, text: bytes, field: str) -> float:
    try:
        return float(text.strip(b" \x00"))
    except ValueError as error:
        raise HeaderImplausible(
            source=str(path),
            field=field,
            value=repr(text.decode("latin-1")),
            rule="a number stands there",
        ) from error


def _check_channels(path: Path, count: int) -> None:
    if not 1 <= count <= CHANNELS_LIMIT:
        raise HeaderImplausible(
            source=str(path),
            field="number of channels",
            value=str(count),
            rule=f"a recording has 1 to {CHANNELS_LIMIT}",
        )
