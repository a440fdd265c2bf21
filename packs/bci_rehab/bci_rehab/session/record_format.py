"""The recording's file: what a block looks like, and how a file is read up to its first damage.

The file begins with a magic word and a version. Then come blocks, only ever appended: a head of
fixed length (mark, length, kind, running number, time), a digest, the payload. The digest is
SHA-256 over the digest before it, the head and the payload, cut to 16 bytes: a chain, so that a
block that is changed, missing or out of order is seen, not only one that is torn. Samples are
little-endian floats, four bytes wide where that loses nothing and eight where it would; everything
else is JSON.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from bci_rehab.errors import NotARecording
from bci_rehab.signal.blocks import Block, Channel, ChannelKind, StreamInfo
from haihe.packs import gettext_noop

MAGIC = b"HAIHEREC"
VERSION = 1
FILE_HEAD = struct.Struct("<8sI")
MARK = b"HBLK"
HEAD = struct.Struct("<4sIBxxxQd")
DIGEST = 16
PAYLOAD_LIMIT = 16 * 2**20
# Why a file cannot be read on.
TORN_HEAD = gettext_noop("the file ends inside of a block's head")
TORN = gettext_noop("the file ends inside of a block")
NO_BLOCK = gettext_noop("what follows is no block")
CHANGED = gettext_noop("a block does not match its checksum")
MISSING = gettext_noop("block {number} is missing")
NO_DESCRIPTION = gettext_noop("its first block, the description, is missing")
DETAILS = (TORN_HEAD, TORN, NO_BLOCK, CHANGED, MISSING)
_SAMPLES = struct.Struct("<qIHBxd")


class RecordKind(IntEnum):
    """What a block of the file holds."""

    INFO = 1
    SAMPLES = 2
    EVENT = 3
    DECISION = 4
    PERMIT = 5
    STOP = 6
    HEALTH = 7
    CLOCK = 8
    NOTE = 9
    RESUMPTION = 10
    CLOSING = 11


@dataclass(frozen=True, kw_only=True)
class Record:
    """One block, read back. ``at_s`` is the host's monotonic time; samples have a ``block``."""

    kind: RecordKind
    number: int
    at_s: float
    body: Mapping[str, Any] = field(default_factory=dict)
    block: Block | None = None


@dataclass(frozen=True, kw_only=True)
class Damage:
    """Where a file stops being readable, why, and how many bytes lie behind that."""

    offset: int
    reason: str
    lost_bytes: int


@dataclass(frozen=True, kw_only=True)
class Recording:
    """All that could be read of a file.

    ``blocks`` are the samples, and ``block_numbers`` their places among the records. ``damage`` is
    None for a whole file; ``sha256`` is that of the first ``covers`` bytes: all that is before the
    closing block. ``intact`` is whether the closing block is there and names that hash.
    """

    path: Path
    stream: StreamInfo
    info: Mapping[str, Any]
    records: tuple[Record, ...]
    blocks: tuple[Block, ...]
    block_numbers: tuple[int, ...]
    damage: Damage | None
    sha256: str
    covers: int
    intact: bool

    def of(self, kind: RecordKind) -> list[Record]:
        """The records of one kind, in order."""
        return [record for record in self.records if record.kind is kind]


class Scan:
    """Reads a file block by block; once through, it says where and why it ended."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file, self._path = file, path
        head = file.read(FILE_HEAD.size)
        if len(head) < FILE_HEAD.size or not head.startswith(MAGIC):
            raise NotARecording(path=str(path), reason="it does not begin as one")
        version = FILE_HEAD.unpack(head)[1]
        if version != VERSION:
            reason = f"it has version {version}, and this program knows {VERSION}"
            raise NotARecording(path=str(path), reason=reason)
        self.digest = first_digest()
        self.number = 0
        self.end = FILE_HEAD.size
        self.hash = hashlib.sha256(head)
        self.sha256 = ""
        self.covers = self.end
        self.damage: Damage | None = None
        self.closed = False
        self.intact = False

    def __iter__(self) -> Iterator[Record]:
        size = self._path.stat().st_size
        while self.end < size:
            raw, why = self._next()
            if why:
                self.damage = Damage(offset=self.end, reason=why, lost_bytes=size - self.end)
                break
            record = _decoded(raw)
            self.digest = raw[HEAD.size : HEAD.size + DIGEST]
            self.number = record.number
            if record.kind is RecordKind.CLOSING:
                self.sha256 = self.hash.hexdigest()
                self.closed = True
                self.intact = record.body.get("sha256") == self.sha256
            self.hash.update(raw)
            self.end += len(raw)
            if not self.closed:
                self.covers = self.end
            yield record
        self.sha256 = self.sha256 or self.hash.hexdigest()

    def _next(self) -> tuple[bytes, str]:
        """The next block's bytes, or why there is none."""
        head = self._file.read(HEAD.size + DIGEST)
        if len(head) < HEAD.size + DIGEST:
            return b"", TORN_HEAD
        mark, length, kind, number, _ = HEAD.unpack_from(head)
        if mark != MARK or length > PAYLOAD_LIMIT or kind not in set(RecordKind):
            return b"", NO_BLOCK
        payload = self._file.read(length)
        if len(payload) < length:
            return b"", TORN
        if digest_of(self.digest, head[: HEAD.size], payload) != head[HEAD.size :]:
            return b"", CHANGED
        if number != self.number + 1:
            return b"", MISSING.format(number=self.number + 1)
        return head + payload, ""


def read_recording(
    path: Path, *, with_samples: bool = True, kinds: Container[RecordKind] = frozenset(RecordKind)
) -> Recording:
    """Everything up to the first damaged block, and what was lost behind it.

    Without samples, and of the first block and these ``kinds`` only, the file is still checked
    throughout, in little memory.

    Raises :class:`NotARecording` if not even the description of the stream can be read.
    """
    records: list[Record] = []
    blocks, numbers = [], []
    with path.open("rb") as file:
        scan = Scan(file, path)
        for record in scan:
            if record.block is None:
                if not records or record.kind in kinds:
                    records.append(record)
            elif with_samples:
                blocks.append(record.block)
                numbers.append(record.number)
    if not records or records[0].kind is not RecordKind.INFO:
        raise NotARecording(path=str(path), reason=NO_DESCRIPTION)
    info = records[0].body
    return Recording(
        path=path,
        stream=stream_from(info["stream"]),
        info=info,
        records=tuple(records),
        blocks=tuple(blocks),
        block_numbers=tuple(numbers),
        damage=scan.damage,
        sha256=scan.sha256,
        covers=scan.covers,
        intact=scan.intact,
    )


def encoded(kind: RecordKind, number: int, at_s: float, payload: bytes, digest: bytes) -> bytes:
    """One block, to be appended behind the block that has ``digest``."""
    assert len(payload) <= PAYLOAD_LIMIT, "a block holds a moment, not a session"
    head = HEAD.pack(MARK, len(payload), kind, number, at_s)
    return head + digest_of(digest, head, payload) + payload


def digest_of(before: bytes, head: bytes, payload: bytes) -> bytes:
    """The chained checksum of a block."""
    return hashlib.sha256(before + head + payload).digest()[:DIGEST]


def first_digest() -> bytes:
    """What stands for the digest before the first block."""
    return hashlib.sha256(FILE_HEAD.pack(MAGIC, VERSION)).digest()[:DIGEST]


def samples_payload(block: Block) -> bytes:
    """A block of samples as bytes, without loss."""
    count, channels = block.samples.shape
    with np.errstate(over="ignore", invalid="ignore"):  # what does not fit is written wide
        narrow = block.samples.astype("<f4")
    # NaN is equal to nothing, itself included, and both widths can hold it.
    same = (narrow == block.samples) | np.isnan(block.samples)
    exact = bool(same.all())
    samples = narrow if exact else block.samples.astype("<f8")
    head = _SAMPLES.pack(block.first, count, channels, 4 if exact else 8, block.host_s)
    return head + block.device_s.astype("<f8").tobytes() + samples.tobytes()


def json_payload(body: Mapping[str, Any]) -> bytes:
    """A body as JSON; numbers that are not finite are refused, here, where their maker is near."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def stream_to(info: StreamInfo) -> dict[str, Any]:
    """A stream's description for JSON."""
    return {
        "name": info.name,
        "source_id": info.source_id,
        "rate_hz": info.rate_hz,
        "channels": [
            {"name": c.name, "kind": c.kind.value, "microvolts_per_unit": c.microvolts_per_unit}
            for c in info.channels
        ],
    }


def stream_from(said: Mapping[str, Any]) -> StreamInfo:
    """A stream's description from JSON."""
    channels = tuple(Channel(**{**c, "kind": ChannelKind(c["kind"])}) for c in said["channels"])
    return StreamInfo(**{**said, "channels": channels})


def _decoded(raw: bytes) -> Record:
    _, _, code, number, at_s = HEAD.unpack_from(raw)
    kind, payload = RecordKind(code), raw[HEAD.size + DIGEST :]
    if kind is not RecordKind.SAMPLES:
        return Record(kind=kind, number=number, at_s=at_s, body=json.loads(payload))
    first, count, channels, width, host_s = _SAMPLES.unpack_from(payload)
    device_s = np.frombuffer(payload, "<f8", count, _SAMPLES.size)
    samples = np.frombuffer(payload, f"<f{width}", count * channels, _SAMPLES.size + 8 * count)
    block = Block(
        first=first,
        samples=samples.reshape(count, channels).astype(np.float64),
        device_s=device_s.astype(np.float64),
        host_s=host_s,
    )
    return Record(kind=kind, number=number, at_s=at_s, block=block)
