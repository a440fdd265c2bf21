"""A station that answers the portal's questions as the real one does, and holds nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from haihe.kernel.work import in_unit_of_work
from haihe.packs.pages import ServiceRefused, ServiceUnavailable, pack_home

SYNTHETIC = {
    "kind": "synthetic", "name": "Synthetic patient", "channels": 16, "rate_hz": 250.0,
    "given": {"channels": 16},
}  # fmt: skip
HAND = {"kind": "simulated", "name": "simulated hand", "given": {"name": "simulated hand"}}
ACCURACY = {
    "value": 0.85, "standard_error": 0.05, "trials": 40, "chance": 0.5, "chance_bound": 0.63,
    "confidence": 0.999,
}  # fmt: skip
FIT = {
    "state": "done", "detail": "", "file": "sessions/x/decoder-1.zip", "sha256": "a" * 64,
    "method": "tangent space", "accuracy": ACCURACY, "threshold": 1.8,
    "hits": 0.7, "false_per_min": 0.45, "earlier": [], "offered": 0, "follows": False,
}  # fmt: skip
SUMMARY = {
    "lasted_s": 1_800.0, "ended": "finished", "trials": 40, "hits": 15, "misses": 4, "wrong": 0,
    "quiet": 18, "false_triggers": 3, "skipped": 0, "calibration_trials": 40,
    "time_on_task_s": 160.0, "accuracy": 0.825, "standard_error": 0.06,
    "runs": [
        {"run": 1, "kind": "calibration", "trials": 20, "right": None, "accuracy": None},
        {"run": 2, "kind": "feedback", "trials": 20, "right": 17, "accuracy": 0.85},
    ],
    "stops": [
        {"reason": "therapist_stop", "detail": "Ann", "at_s": 90.2, "was_on": True,
         "latency_ms": 41.5},
        {"reason": "data_stale", "detail": "160 ms", "at_s": 200.0, "was_on": False,
         "latency_ms": 0.0},
    ],
    "movements": {"count": 15, "seconds": 30.0}, "decision_ms": {"p50": 12.1, "p99": 31.0},
    "signal": {"source": "synthetic", "channels": 16, "rate_hz": 250.0, "seconds": 1_795.0,
               "lost_s": 0.2, "bad_share": {"C3": 0.02}},
    "notes": [{"at_s": 60.0, "text": "gel at C3"}],
    "frames": {"p50_ms": 16.7, "p99_ms": 18.2, "count": 100_000}, "decoders": ["a" * 64],
    "recording": {"file": "recording.hrec", "bytes": 9_000_000, "sha256": "b" * 64,
                  "intact": True, "damage": "", "interruptions": 0},
}  # fmt: skip


@dataclass
class FakeStation:
    """Keeps what it was asked; ``is_up`` False is one that does not run.

    ``left`` are folders in which a recording lies; with ``ends`` False it does not end in time.
    """

    is_up: bool = True
    session: str = ""
    fit: dict[str, Any] | None = None
    summary: dict[str, Any] = field(default_factory=lambda: dict(SUMMARY))
    left: set[str] = field(default_factory=set)
    ends: bool = True
    asked: list[dict[str, Any]] = field(default_factory=list)

    def ask(
        self, pack: str, service: str, message: Mapping[str, Any], *, timeout_s: float = 5.0
    ) -> dict[str, Any]:
        """One question."""
        assert (pack, service) == ("bci_rehab", "station")
        assert not in_unit_of_work()
        if not self.is_up:
            raise ServiceUnavailable(pack=pack, service=service, reason="it is not running")
        self.asked.append(dict(message))
        answer: dict[str, Any] = getattr(self, f"_{message['what']}")(message)
        return answer

    def asked_for(self, what: str) -> list[dict[str, Any]]:
        """The questions of one kind."""
        return [message for message in self.asked if message["what"] == what]

    def _state(self, message: Mapping[str, Any]) -> dict[str, Any]:
        state = "live" if self.session else "idle"
        return {"state": state, "session": self.session, "detail": "", "fit": self.fit}

    def _sources(self, message: Mapping[str, Any]) -> dict[str, Any]:
        return {"sources": [SYNTHETIC], "actuators": [HAND]}

    def _open(self, message: Mapping[str, Any]) -> dict[str, Any]:
        if self.session and self.session != message["session"]:
            raise self._refused("bci_rehab.station_busy", "it holds another session")
        self.session = message["session"]
        return self._state(message)

    def _fit(self, message: Mapping[str, Any]) -> dict[str, Any]:
        self._held(message)
        self.fit = dict(FIT)
        return {"started": True}

    def _use(self, message: Mapping[str, Any]) -> dict[str, Any]:
        self._held(message)
        return self._state(message)

    def _halt(self, message: Mapping[str, Any]) -> dict[str, Any]:
        self._held(message)
        return {"ended": self.ends}

    def _close(self, message: Mapping[str, Any]) -> dict[str, Any]:
        if message["session"] != self.session and message["folder"] in self.left:
            return {"summary": {**self.summary, "ended": "interrupted"}}
        self._held(message)
        self.session, self.fit = "", None
        return {"summary": self.summary}

    def _export(self, message: Mapping[str, Any]) -> dict[str, Any]:
        folder = pack_home("bci_rehab") / message["to"]
        made = {"bids": f"sub-{message['pseudonym']}/eeg.vhdr", "edf": "recording.edf"}
        path = folder / made[message["format"]]
        path.parent.mkdir(parents=True)
        path.write_text(message["folder"], "utf-8")
        return {"to": message["to"]}

    def _held(self, message: Mapping[str, Any]) -> None:
        if message["session"] != self.session:
            raise self._refused("bci_rehab.session_not_here", "it does not hold this session")

    def _refused(self, refusal: str, text: str) -> ServiceRefused:
        return ServiceRefused(pack="bci_rehab", service="station", refusal=refusal, text=text)
