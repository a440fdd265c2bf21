"""What is said over a service's socket: JSON objects, each behind its length.

A frame is four bytes, the length in bytes of what follows (big-endian), then one JSON object in
UTF-8. A frame of length 0 is a farewell: the service ends the channel on purpose, and did not die.
The first frame of a connection says what it is for: ``{"open": claims}`` begins a channel,
``{"ask": message}`` and ``{"ping": true}`` want one answer.

Both sides use this module: the pack's process, which knows no Django, and the portal's.
"""

from __future__ import annotations

import asyncio
import json
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MAX_FRAME_BYTES = 1 << 20
FAREWELL = b"\0\0\0\0"
LENGTH = struct.Struct(">I")
# What Linux takes as the path of a socket is 108 bytes with its end.
_MAX_PATH_BYTES = 100

OPEN, ASK, PING, PONG = "open", "ask", "ping", "pong"
ANSWER, REFUSED, FAILED = "answer", "refused", "failed"

Message = dict[str, Any]


class FrameError(ValueError):
    """What came, or was to be sent, is no frame: too long, no JSON, or no object."""


def socket_path(home: Path, service: str) -> Path:
    """Where the service of a pack with this home listens."""
    return home / "services" / f"{service}.sock"


def as_text(message: Mapping[str, Any]) -> str:
    """A message as JSON.

    Raises
    ------
    FrameError
        If a part of it has no JSON form; NaN and infinity have none.
    """
    try:
        return json.dumps(message, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise FrameError(f"a message has no JSON form: {error}") from error


def from_text(text: str | bytes) -> Message:
    """The message that a JSON text holds.

    Raises
    ------
    FrameError
        If it is no JSON, or no object.
    """
    try:
        message = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FrameError(f"a message is no JSON: {error}") from error
    if not isinstance(message, dict):
        raise FrameError("a message is no JSON object")
    return message


def frame(message: Mapping[str, Any]) -> bytes:
    """A message with its length before it.

    Raises
    ------
    FrameError
        If it has no JSON form, or is over :data:`MAX_FRAME_BYTES`.
    """
    body = _encoded(as_text(message))
    if len(body) > MAX_FRAME_BYTES:
        raise FrameError(f"a message has {len(body)} bytes; at most {MAX_FRAME_BYTES} are sent")
    return LENGTH.pack(len(body)) + body


def length_of(head: bytes) -> int:
    """How many bytes follow, as the first four say; 0 is the farewell.

    Raises
    ------
    FrameError
        If it would be over :data:`MAX_FRAME_BYTES`.
    """
    length: int = LENGTH.unpack(head)[0]
    if length > MAX_FRAME_BYTES:
        raise FrameError(f"a frame of {length} bytes; at most {MAX_FRAME_BYTES} are read")
    return length


async def read(reader: asyncio.StreamReader) -> Message | None:
    """The next message, or None for a farewell; raises what :func:`read_text` raises."""
    text = await read_text(reader)
    return None if text is None else from_text(text)


async def read_text(reader: asyncio.StreamReader) -> str | None:
    """The JSON of the next message, or None for a farewell.

    Raises
    ------
    FrameError
        If what comes is no frame.
    asyncio.IncompleteReadError
        If the other side is gone.
    """
    length = length_of(await reader.readexactly(LENGTH.size))
    try:
        return (await reader.readexactly(length)).decode() if length else None
    except UnicodeDecodeError as error:
        raise FrameError(f"a frame is no UTF-8: {error}") from error


@contextmanager
def reachable(path: Path) -> Iterator[str]:
    """A name for a socket's file that the kernel takes, however deep the file lies."""
    if len(os.fsencode(path)) <= _MAX_PATH_BYTES:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:  # half of a surrogate pair
        raise FrameError(f"a message has no UTF-8 form: {error}") from error
