"""What a summary needs of a recording, gathered in one passage through the file."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bci_rehab.errors import NotARecording
from bci_rehab.session.events import Event, event_from
from bci_rehab.session.record_format import NO_DESCRIPTION, Record, RecordKind, Scan, stream_from
from bci_rehab.signal.blocks import Block

NOTES_LIMIT = 200
STOPS_LIMIT = 500


class Gathered:
    """Reads the recording at ``path``; no block of samples is kept."""

    def __init__(self, path: Path) -> None:
        self.info: Mapping[str, Any] = {}
        self.began_s = self.last_s = 0.0
        self.events: list[Event] = []
        self.stops: dict[tuple[float, str], dict[str, Any]] = {}
        self.notes: list[dict[str, Any]] = []
        self.frames: dict[str, Any] | None = None
        self.decoders: list[str] = []
        self.decisions_ms = array("d")
        self.movements, self.moving_s = 0, 0.0
        self.interruptions = 0
        self._moving_since_s: float | None = None
        self._kept = self._lost = self._looks = 0
        self._next: int | None = None
        self._bad: Counter[str] = Counter()
        with path.open("rb") as file:
            self.scan = Scan(file, path)
            for record in self.scan:
                self._take(record, path)
        if not self.info:
            raise NotARecording(path=str(path), reason=NO_DESCRIPTION)

    def signal(self) -> dict[str, Any]:
        """The stream, how much of it is there, and which electrodes were bad for how long."""
        stream = stream_from(self.info["stream"])
        return {
            "source": stream.name,
            "channels": len(stream.channels),
            "rate_hz": stream.rate_hz,
            "seconds": round(self._kept / stream.rate_hz, 1),
            "lost_s": round(self._lost / stream.rate_hz, 2),
            "bad_share": {n: round(count / self._looks, 3) for n, count in self._bad.most_common()},
        }

    def _take(self, record: Record, path: Path) -> None:
        if not self.info:
            if record.kind is not RecordKind.INFO:
                raise NotARecording(path=str(path), reason=NO_DESCRIPTION)
            self.info, self.began_s = record.body, record.at_s
        if record.block is not None:
            self._samples(record.block)
            return
        self.last_s = record.at_s
        _TAKE.get(record.kind, Gathered._nothing)(self, record)

    def _samples(self, block: Block) -> None:
        self._kept += len(block)
        if self._next is not None:
            # What the device made and the recording lacks; one that begins anew lacks nothing.
            self._lost += max(0, block.first - self._next)
        self._next = block.end

    def _nothing(self, record: Record) -> None:
        """No part of a summary."""

    def _event(self, record: Record) -> None:
        self.events.append(event_from(record.body))

    def _stop(self, record: Record) -> None:
        """Each stop once, with its latency where the driver was on: the later record knows it.

        Several reasons may have stopped it at one time; each is there.
        """
        body = record.body
        key = body["decided_s"], body["reason"]
        if key not in self.stops and len(self.stops) >= STOPS_LIMIT:
            return
        latency_ms = body.get("latency_ms")
        self.stops[key] = {
            "reason": body["reason"],
            "detail": body.get("detail", ""),
            "at_s": round(body["decided_s"] - self.began_s, 2),
            "was_on": body.get("was_on", False),
            "latency_ms": None if latency_ms is None else round(latency_ms, 1),
        }

    def _permit(self, record: Record) -> None:
        """How often the driver went on, and for how long in all."""
        driver = record.body.get("driver")
        if driver is None:
            return
        if driver["level"] > 0.0 and self._moving_since_s is None:
            self.movements, self._moving_since_s = self.movements + 1, driver["at_s"]
        elif driver["level"] == 0.0 and self._moving_since_s is not None:
            self.moving_s += driver["at_s"] - self._moving_since_s
            self._moving_since_s = None

    def _decision(self, record: Record) -> None:
        self.decisions_ms.append((record.at_s - record.body["host_s"]) * 1e3)

    def _health(self, record: Record) -> None:
        self._looks += 1
        self._bad.update(record.body.get("bad_channels", ()))

    def _note(self, record: Record) -> None:
        """Notes of people, how the patient's page was drawn, and decoders that were put in."""
        body = record.body
        what = body.get("what")
        if what == "note" and body.get("text") and len(self.notes) < NOTES_LIMIT:
            self.notes.append({"at_s": round(record.at_s - self.began_s, 1), "text": body["text"]})
        elif what == "frames":
            self.frames = {name: value for name, value in body.items() if name != "what"}
        elif what == "replace" and not body["refused"] and body["sha256"]:
            self.decoders.append(body["sha256"])

    def _resumption(self, record: Record) -> None:
        self.interruptions += 1


_TAKE: Mapping[RecordKind, Callable[[Gathered, Record], None]] = {
    RecordKind.EVENT: Gathered._event,
    RecordKind.STOP: Gathered._stop,
    RecordKind.PERMIT: Gathered._permit,
    RecordKind.DECISION: Gathered._decision,
    RecordKind.HEALTH: Gathered._health,
    RecordKind.NOTE: Gathered._note,
    RecordKind.RESUMPTION: Gathered._resumption,
}
