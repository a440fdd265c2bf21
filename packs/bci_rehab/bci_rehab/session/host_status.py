"""What passes between a session, its actuator's process and the stand-by, and how it is written.

Each is the last word of one writer in a mapped record (:mod:`bci_rehab.session.slot`).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from bci_rehab.session.interlock import Permit, StopReason
from bci_rehab.session.slot import Slot, Word

TRANSITIONS_KEPT = 12
DETAIL_LENGTH = 200


class HostState(StrEnum):
    """What the actuator's process is doing."""

    OPENING = "opening"
    READY = "ready"
    FAILED = "failed"
    CLOSED = "closed"


@dataclass(frozen=True, kw_only=True)
class Transition:
    """The driver went on or off: ``at_s`` is when its call had returned."""

    number: int
    at_s: float
    level: float
    reason: StopReason | None = None


@dataclass(frozen=True, kw_only=True)
class HostStatus:
    """What the host last said of itself; ``detail`` is an error in the driver's own words."""

    state: HostState
    stamp_s: float
    level: float = 0.0
    why_off: StopReason | None = None
    driver: str = ""
    detail: str = ""
    transitions: tuple[Transition, ...] = ()


@dataclass(frozen=True, kw_only=True)
class HostFiles:
    """The mapped records between session, host and stand-by."""

    permit: Path
    status: Path
    standby: Path

    @classmethod
    def within(cls, folder: Path) -> HostFiles:
        """Make the three, empty, in ``folder``."""
        made = cls(permit=folder / "permit", status=folder / "actuator", standby=folder / "standby")
        for path in (made.permit, made.status, made.standby):
            Slot.create(path).close()
        return made


def write_permit(slot: Slot, permit: Permit) -> None:
    """Make ``permit`` the one that holds."""
    slot.write(_dumped(asdict(permit)), permit.stamp_s)


def read_permit(word: Word | None) -> Permit | None:
    """The permit in a record."""
    if word is None:
        return None
    said = json.loads(word.payload)
    reason = said.pop("reason")
    return Permit(reason=None if reason is None else StopReason(reason), **said)


def write_status(slot: Slot, status: HostStatus) -> None:
    """Write a status into its record."""
    said = asdict(status)
    said["detail"] = status.detail[:DETAIL_LENGTH]
    said["driver"] = status.driver[:DETAIL_LENGTH]
    slot.write(_dumped(said), status.stamp_s)


def read_status(slot: Slot) -> HostStatus:
    """The status in a record; opening, as long as nothing was said."""
    word = slot.read()
    if word is None:
        return HostStatus(state=HostState.OPENING, stamp_s=0.0)
    said = json.loads(word.payload)
    said["state"] = HostState(said["state"])
    said["stamp_s"] = word.stamp_s
    said["why_off"] = _reason(said["why_off"])
    said["transitions"] = tuple(
        Transition(**{**item, "reason": _reason(item["reason"])}) for item in said["transitions"]
    )
    return HostStatus(**said)


def _reason(code: str | None) -> StopReason | None:
    return None if code is None else StopReason(code)


def _dumped(said: dict[str, Any]) -> bytes:
    return json.dumps(said, separators=(",", ":")).encode()
