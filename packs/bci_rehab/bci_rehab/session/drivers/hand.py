"""A simulated hand: an actuator whose state a page can show and a test can measure."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path

from bci_rehab.session.drivers import HOLD_MS
from bci_rehab.session.slot import Slot


@dataclass(frozen=True, kw_only=True)
class HandState:
    """What the hand does: the level, since when, and how often it began to move."""

    level: float
    since_s: float
    movements: int


@dataclass(kw_only=True)
class SimulatedHand:
    """Writes its state into a mapped file, so that any process sees it and a restart keeps it."""

    path: Path
    name: str = "simulated hand"
    _slot: Slot | None = field(default=None, repr=False)

    def __getstate__(self) -> dict[str, object]:
        return {"path": self.path, "name": self.name, "_slot": None}

    def open(self) -> None:
        """Map the file, and turn off."""
        if not self.path.exists():
            Slot.create(self.path).close()
        self._slot = Slot(self.path)
        self.off()

    def on(self, level: float) -> None:
        """Close the hand at ``level``."""
        self._tell(level)

    def off(self) -> None:
        """Stop."""
        self._tell(0.0)

    def close(self) -> None:
        """Stop, and leave the state behind."""
        if self._slot is not None:
            self.off()
            self._slot.close()
            self._slot = None

    def _tell(self, level: float) -> None:
        assert self._slot is not None, "open comes first"
        now_s = time.monotonic()
        before = hand_state(self._slot, now_s)
        begins = level > 0.0 and before.level == 0.0
        changed = (level > 0.0) != (before.level > 0.0)
        said = {
            "level": level,
            "since_s": now_s if changed else before.since_s,
            "movements": before.movements + begins,
        }
        self._slot.write(json.dumps(said).encode(), now_s)


@dataclass(kw_only=True)
class HangingHand(SimulatedHand):
    """A hand whose driver does not come back from its second command, to test what follows."""

    calls: int = 0

    def on(self, level: float) -> None:
        """Move, and from the second call on hang."""
        super().on(level)
        self.calls += 1
        if self.calls >= 2:
            time.sleep(3_600.0)


def hand_state(slot: Slot, now_s: float) -> HandState:
    """What the hand does now; like a real one it stops when it hears nothing for ``HOLD_MS``."""
    word = slot.read()
    if word is None:
        return HandState(level=0.0, since_s=now_s, movements=0)
    said = json.loads(word.payload)
    until_s = word.stamp_s + HOLD_MS / 1e3
    if said["level"] > 0.0 and now_s >= until_s:
        return HandState(level=0.0, since_s=until_s, movements=said["movements"])
    return HandState(**said)
