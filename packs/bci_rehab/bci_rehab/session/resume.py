"""Continue a session from what its recording holds."""

from __future__ import annotations

from pathlib import Path

from bci_rehab.session.engine import Engine
from bci_rehab.session.events import event_from
from bci_rehab.session.plan import SessionPlan
from bci_rehab.session.record_format import Recording, RecordKind, read_recording


def resumed_engine(path: Path) -> Engine:
    """The engine as it stood when the recording's last block was written.

    Ask the live session to ``recover`` and then ``resume``; the recorder is continued with
    :meth:`bci_rehab.session.recorder.Recorder.resume`.
    """
    return engine_of(read_recording(path, with_samples=False))


def engine_of(recording: Recording) -> Engine:
    """The engine after all events of a recording; its info holds the plan under ``plan``."""
    events = [event_from(record.body) for record in recording.of(RecordKind.EVENT)]
    return Engine(SessionPlan.from_json(recording.info["plan"]), events)
