"""Stands in for the pages of a session where nobody looks: a rehearsal with the synthetic patient.

It speaks to the station over its socket as the portal does, with claims of its own making; so it
is for the account that runs the station, and for nobody behind a network.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from haihe.packs import frames

CONNECT_S = 5.0
FRAME_MS = 1_000 / 60


class StandIn:
    """The patient's page, which says that it is drawn, and the therapist's, which gives orders."""

    def __init__(self, home: Path, session: str, *, name: str = "rehearsal") -> None:
        self.last: dict[str, Any] = {}
        self._claims = {"session": session, "person": "", "name": name}
        self._patient = self._connected(home, "patient")
        self._therapist = self._connected(home, "therapist")
        self._threads = [
            threading.Thread(target=self._draw, daemon=True),
            threading.Thread(target=self._watch, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def order(self, order: str, text: str = "") -> None:
        """Give an order as the therapist."""
        self._therapist.sendall(
            frames.frame({"what": "order", "order": order, "text": text, "id": 0})
        )

    def until(self, holds: Callable[[Mapping[str, Any]], bool], *, within_s: float) -> bool:
        """Wait until a message of the session is as wanted; whether it came to that in time."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            if self.last and holds(self.last):
                return True
            time.sleep(0.05)
        return False

    def close(self) -> None:
        """Close both pages."""
        for page in (self._patient, self._therapist):
            with suppress(OSError):
                page.shutdown(socket.SHUT_RDWR)
            page.close()

    def _connected(self, home: Path, role: str) -> socket.socket:
        page = socket.socket(socket.AF_UNIX)
        page.settimeout(CONNECT_S)
        with frames.reachable(frames.socket_path(home, "station")) as address:
            page.connect(address)
        page.sendall(frames.frame({frames.OPEN: {**self._claims, "role": role}}))
        page.settimeout(None)
        return page

    def _draw(self) -> None:
        """Answer each message with "drawn", as a page does after its animation frame."""
        with suppress(OSError, EOFError, frames.FrameError):
            while True:
                message = _next(self._patient)
                if message.get("type") == "live":
                    drawn = {"what": "drawn", "number": message["number"], "frame_ms": [FRAME_MS]}
                    self._patient.sendall(frames.frame(drawn))

    def _watch(self) -> None:
        with suppress(OSError, EOFError, frames.FrameError):
            while True:
                message = _next(self._therapist)
                if message.get("type") == "live":
                    self.last = message


def _next(page: socket.socket) -> dict[str, Any]:
    """The next message; EOFError when the station has closed."""
    length = frames.length_of(_exactly(page, frames.LENGTH.size))
    if not length:
        raise EOFError
    return frames.from_text(_exactly(page, length))


def _exactly(page: socket.socket, count: int) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        part = page.recv(count - len(parts))
        if not part:
            raise EOFError
        parts += part
    return bytes(parts)
