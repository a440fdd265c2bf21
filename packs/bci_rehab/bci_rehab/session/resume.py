"""Continue a session from what its recording holds."""

from __future__ import annotations

from bci_rehab.session.engine import Engine
from bci_rehab.session.events import event_from
from bci_rehab.session.plan import SessionPlan
from bci_rehab.session.record_format import Recording, RecordKind


def engine_of(recording: Recording) -> Engine:
    """The engine after all events of a recording; its info holds the plan under ``plan``.

    Ask the live session to ``recover`` and then ``resume``; the recorder is continued with
    :meth:`bci_rehab.session.recorder.Recorder.resume`.
    """
    events = [event_from(record.body) for record in recording.of(RecordKind.EVENT)]
    return Engine(SessionPlan.from_json(recording.info["plan"]), events)
