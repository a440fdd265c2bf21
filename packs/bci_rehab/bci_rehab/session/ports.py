"""What the loop of a session needs of its parts, and the parts together.

Each protocol names the class that a real session uses; tests and benches put others in its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from bci_rehab.session.decoding import Decision
from bci_rehab.session.drivers.sham import Yoke
from bci_rehab.session.engine import Engine
from bci_rehab.session.host_status import HostStatus, Transition
from bci_rehab.session.interlock import Fault, Interlock, Permit
from bci_rehab.session.record_format import RecordKind
from bci_rehab.session.recorder import RecorderStatus
from bci_rehab.signal.blocks import Block, StreamInfo
from bci_rehab.signal.verdicts import Health


class BlockReader(Protocol):
    """Where blocks come from: a source, or the reader of an acquisition's ring."""

    def read(self, timeout_s: float) -> Block | None:
        """All that has arrived, or None after the timeout."""


class Watch(Protocol):
    """Judges the stream, as :class:`bci_rehab.signal.watchdog.Watchdog` does."""

    def feed(self, block: Block) -> None:
        """Take a block in."""

    def health(self, now_s: float) -> Health:
        """The state of the stream now."""


class Decoder(Protocol):
    """Decodes beside the loop, as :class:`bci_rehab.session.decoding.DecoderProcess` does."""

    def submit(self, block: Block) -> None:
        """Hand a block over, without waiting."""

    def poll(self) -> list[Decision]:
        """The decisions since the last call."""

    def age_s(self, now_s: float) -> float:
        """How long the oldest block without an answer waits."""

    def fault(self) -> Fault | None:
        """What it died of."""


class Evidence(Protocol):
    """Gathers decisions within a trial until they suffice."""

    def update(self, decision: Decision) -> str | None:
        """Take a decision in; the side for which the evidence now suffices, if any."""

    def reset(self) -> None:
        """Begin anew, with a new trial."""

    def value(self) -> Mapping[str, float]:
        """By side, from 0 to 1, where 1 is enough."""


class Actuator(Protocol):
    """The actuator's process, as :class:`bci_rehab.session.actuator.ActuatorHost` is."""

    def renew(self, permit: Permit) -> None:
        """Make a permit the one that holds."""

    def status(self) -> HostStatus:
        """What its process last said."""

    def fault(self, now_s: float) -> Fault | None:
        """Why it cannot be relied on."""

    def news(self) -> list[Transition]:
        """When the driver went on or off since the last call."""


class Tape(Protocol):
    """The recording, as :class:`bci_rehab.session.recorder.Recorder` is."""

    def append(
        self, kind: RecordKind, body: Mapping[str, Any], *, at_s: float | None = None
    ) -> None:
        """Hand a record over."""

    def append_block(self, block: Block) -> None:
        """Hand samples over."""

    def status(self) -> RecorderStatus:
        """How it stands."""


@dataclass(kw_only=True)
class Parts:
    """What a session is made of. Without a decoder it is one of calibration only."""

    info: StreamInfo
    source: BlockReader
    watchdog: Watch
    engine: Engine
    interlock: Interlock
    actuator: Actuator
    recorder: Tape
    decoder: Decoder | None = None
    evidence: Evidence | None = None
    yoke: Yoke | None = None
    level: float = 1.0
