"""The clinic of the rehabilitation pack."""

from __future__ import annotations

from bci_rehab.clinic.domain import QUESTIONS

from tests.policy.matrix.rows import Row, get, post

_LIST = "bci_rehab.list_patients on mine"
_ENROL = "bci_rehab.enrol_patient on mine"
_READ = "bci_rehab.read_patient on patient"
_TREAT = (_READ, "bci_rehab.treat on patient")
_IDENTITY = (_READ, "bci_rehab.read_identity on patient")
_NOTE = (_READ, "bci_rehab.write_note on patient")
_CHECK = (_READ, "bci_rehab.check_signal on patient")
_RUN = (_READ, "bci_rehab.run_session on patient")
_P = {"patient_id": "patient"}
_S = {"session_id": "session"}
_D = {"decoder_id": "decoder"}
# No station runs beside the tests, so none confirms that a session under way has ended; and the
# patient's prescription has ended.
_NO_STATION, _REFUSED = 503, 422

API: list[Row] = []
PAGES = [
    get("bci_rehab:patients", _LIST, shows="patient"),
    get("bci_rehab:outcomes", "bci_rehab.export_outcomes on mine", shows="score"),
    get("bci_rehab:patient_new", _ENROL),
    post(
        "bci_rehab:patient_new",
        _ENROL,
        "bci_rehab.enrol_patient on own, offered",
        body={"organisation": "{own}", "name": "N", "affected_side": "left"},
    ),
    get("bci_rehab:patient", _READ, shows="patient", **_P),
    get("bci_rehab:identity", _READ, **_P),
    post("bci_rehab:identity", *_IDENTITY, body={"show": "yes"}, then=200, **_P),
    post("bci_rehab:close", *_TREAT, then=_NO_STATION, **_P),
    get("bci_rehab:consent_new", *_TREAT, **_P),
    post(
        "bci_rehab:consent_new",
        *_TREAT,
        body={"purpose": "research", "text_version": "1", "given_on": "2026-01-05"},
        **_P,
    ),
    post("bci_rehab:withdraw", *_TREAT, body={"purpose": "training"}, then=_NO_STATION, **_P),
    get("bci_rehab:intake_new", *_TREAT, **_P),
    post(
        "bci_rehab:intake_new",
        *_TREAT,
        body={q.code: "no" for q in QUESTIONS},
        then=_NO_STATION,
        **_P,
    ),
    get("bci_rehab:prescribe", *_TREAT, **_P),
    post(
        "bci_rehab:prescribe",
        *_TREAT,
        body={
            "modality": "motor-imagery", "side": "left", "sessions": "3", "minutes": "30",
            "false_triggers_per_min": "0.5",
        },
        **_P,
    ),
    post("bci_rehab:end", *_TREAT, then=_NO_STATION, **_P),
    get("bci_rehab:outcome_new", *_TREAT, **_P),
    post(
        "bci_rehab:outcome_new",
        *_TREAT,
        body={"scale": "FMA-UE", "value": "30", "measured_on": "2026-01-05"},
        **_P,
    ),
    get("bci_rehab:strike", *_TREAT, outcome_id="outcome", **_P),
    post("bci_rehab:strike", *_TREAT, body={"reason": "wrong"}, outcome_id="outcome", **_P),
    get("bci_rehab:note_new", _READ, **_P),
    post("bci_rehab:note_new", *_NOTE, body={"text": "seen"}, **_P),
    get("bci_rehab:session_new", *_RUN, **_P),
    post("bci_rehab:session_new", *_RUN, body={"calibrate": "yes"}, then=_REFUSED, **_P),
    get("bci_rehab:sessions", "bci_rehab.export_outcomes on mine"),
    get("bci_rehab:session", _READ, **_S),
    get("bci_rehab:report", _READ, **_S),
    get("bci_rehab:report_pdf", _READ, **_S),
    get("bci_rehab:session_open", *_CHECK, **_S),
    post("bci_rehab:session_open", *_CHECK, then=_NO_STATION, **_S),
    post("bci_rehab:session_close", *_RUN, then=_NO_STATION, **_S),
    post("bci_rehab:session_cancel", *_RUN, then=_NO_STATION, **_S),
    post("bci_rehab:session_export", *_RUN, body={"format": "edf"}, then=409, **_S),
    get("bci_rehab:live", *_CHECK, **_S),
    get("bci_rehab:screen", *_CHECK, **_S),
    post("bci_rehab:ticket", *_CHECK, body={"role": "patient"}, then=200, **_S),
    post("bci_rehab:fit", *_RUN, then=_REFUSED, **_S),
    post("bci_rehab:fit_accept", *_RUN, body={"sha256": "0" * 64}, then=_REFUSED, **_S),
    post("bci_rehab:decoder_accept", *_RUN, **_D),
    get("bci_rehab:decoder_reject", *_RUN, **_D),
    post("bci_rehab:decoder_reject", *_RUN, body={"reason": "wrong montage"}, **_D),
]  # fmt: skip
