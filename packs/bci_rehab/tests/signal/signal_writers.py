"""Writers of small GDF and XDF files, by their specifications, for the tests of the readers."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np


def write_gdf(
    path: Path, samples: np.ndarray, names: list[str], rate_hz: int, events: list[tuple[int, int]]
) -> None:
    """GDF 2.20 with float32 samples in microvolts, one record a second (Schloegl 2006)."""
    count = len(names)
    records = len(samples) // rate_hz
    head = bytearray(256)
    head[0:8] = b"GDF 2.20"
    head[8:12] = b"X X "
    struct.pack_into("<Q", head, 168, int((735_000 + 0.5) * 2**32))
    struct.pack_into("<H", head, 184, 1 + count)
    struct.pack_into("<q", head, 236, records)
    struct.pack_into("<II", head, 244, 1, 1)
    struct.pack_into("<H", head, 252, count)
    channels = bytearray(256 * count)
    at = 0

    def column(form: str, values: list) -> None:
        nonlocal at
        for value in values:
            struct.pack_into(form, channels, at, value)
            at += struct.calcsize(form)

    column("16s", [name.encode() for name in names])
    column("80s", [b""] * count)
    column("6s", [b"uV"] * count)
    column("<H", [4275] * count)
    for value in (-1e4, 1e4, -1e4, 1e4):
        column("<d", [value] * count)
    column("68s", [b""] * count)
    for value in (100.0, 0.1, 50.0):
        column("<f", [value] * count)
    column("<I", [rate_hz] * count)
    column("<I", [16] * count)
    body = b"".join(
        samples[k * rate_hz : (k + 1) * rate_hz].T.astype("<f4").tobytes() for k in range(records)
    )
    table = struct.pack("<B", 1) + len(events).to_bytes(3, "little") + struct.pack("<f", rate_hz)
    table += b"".join(struct.pack("<I", onset + 1) for onset, _ in events)
    table += b"".join(struct.pack("<H", code) for _, code in events)
    path.write_bytes(bytes(head) + bytes(channels) + body + table)


def write_xdf(
    path: Path,
    samples: np.ndarray,
    stamps_s: np.ndarray,
    names: list[str],
    *,
    nominal_hz: float,
    unit: str = "microvolts",
    markers: list[tuple[float, str]] | None = None,
    footer: bool = True,
    chunk: int = 50,
) -> None:
    """XDF 1.0 with one EEG stream (id 1) and one of markers (id 2)."""
    described = "".join(
        f"<channel><label>{name}</label><unit>{unit}</unit><type>EEG</type></channel>"
        for name in names
    )
    parts = [b"XDF:", _chunk(1, b"<?xml version='1.0'?><info><version>1.0</version></info>")]
    for stream_id, name, kind, form, count, rate, desc in (
        (1, "Amp", "EEG", "double64", len(names), nominal_hz, f"<channels>{described}</channels>"),
        (2, "Events", "Markers", "string", 1, 0.0, ""),
    ):
        header = (
            f"<?xml version='1.0'?><info><name>{name}</name><type>{kind}</type>"
            f"<channel_count>{count}</channel_count><nominal_srate>{rate}</nominal_srate>"
            f"<channel_format>{form}</channel_format><source_id>{name}-1</source_id>"
            f"<desc>{desc}</desc></info>"
        )
        parts.append(_chunk(2, struct.pack("<I", stream_id) + header.encode()))
    for first in range(0, len(samples), chunk):
        rows = range(first, min(first + chunk, len(samples)))
        content = struct.pack("<IBI", 1, 4, len(rows))
        for row in rows:
            content += struct.pack("<Bd", 8, stamps_s[row]) + samples[row].astype("<f8").tobytes()
        parts.append(_chunk(3, content))
    for stamp_s, label in markers or []:
        text = label.encode()
        content = (
            struct.pack("<IBIBd", 2, 4, 1, 8, stamp_s) + struct.pack("<BI", 4, len(text)) + text
        )
        parts.append(_chunk(3, content))
    if footer:
        for stream_id in (1, 2):
            xml = b"<?xml version='1.0'?><info><sample_count>1</sample_count></info>"
            parts.append(_chunk(6, struct.pack("<I", stream_id) + xml))
    path.write_bytes(b"".join(parts))


def _chunk(tag: int, content: bytes) -> bytes:
    body = struct.pack("<H", tag) + content
    return struct.pack("<BI", 4, len(body)) + body
