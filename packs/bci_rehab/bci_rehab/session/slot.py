"""One small record in a mapped file, by which one process tells others its latest word.

A reader needs no lock and no answer: it sees the last whole record, however the writer died. The
file is mapped from a folder that both know; on Linux that may be memory (``/dev/shm``).
"""

from __future__ import annotations

import mmap
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Self

SIZE = 4_096
_HEAD = struct.Struct("<QdI")
_CHECK = struct.Struct("<I")
CAPACITY = SIZE - _HEAD.size - _CHECK.size
# A writer needs microseconds for a record; a reader that meets it half-way looks again.
_LOOKS = 3


@dataclass(frozen=True, kw_only=True)
class Word:
    """What a slot holds: the writer's running number, its time (monotonic, s), and its bytes."""

    number: int
    stamp_s: float
    payload: bytes


class Slot:
    """A mapped record with one writer at a time and any number of readers."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), SIZE)
        known = self.read()
        self._number = known.number if known else 0

    @classmethod
    def create(cls, path: Path) -> Self:
        """Make the file, empty, and map it."""
        path.write_bytes(bytes(SIZE))
        return cls(path)

    def write(self, payload: bytes, stamp_s: float) -> int:
        """Replace the record, and return its number."""
        assert len(payload) <= CAPACITY, "a slot holds a short word"
        self._number += 1
        head = _HEAD.pack(self._number, stamp_s, len(payload))
        check = _CHECK.pack(zlib.crc32(payload, zlib.crc32(head)))
        record = head + check + payload
        self._map[: len(record)] = record
        return self._number

    def read(self) -> Word | None:
        """The last whole record; None if nothing was written yet or the writer died half-way."""
        for _ in range(_LOOKS):
            raw = self._map[:SIZE]
            number, stamp_s, length = _HEAD.unpack_from(raw)
            (check,) = _CHECK.unpack_from(raw, _HEAD.size)
            if length <= CAPACITY and number:
                begin = _HEAD.size + _CHECK.size
                payload = raw[begin : begin + length]
                if zlib.crc32(payload, zlib.crc32(raw[: _HEAD.size])) == check:
                    return Word(number=number, stamp_s=stamp_s, payload=payload)
        return None

    def close(self) -> None:
        """Unmap the file."""
        self._map.close()
