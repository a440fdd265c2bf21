"""Reports of sessions, for those who may read the session."""

from __future__ import annotations

import hashlib
from uuid import UUID

from django.utils.translation import get_language

from bci_rehab.clinic import sessions
from bci_rehab.clinic.models import TrainingSession
from bci_rehab.clinic.report import report_of
from bci_rehab.clinic.report_pdf import pdf_of
from bci_rehab.clinic.report_tree import Report
from bci_rehab.clinic.services import courses_of
from haihe.packs.pages import Principal, now, unit_of_work

# More than any prescription asks for.
SESSIONS = 200


def find_report(principal: Principal, session_id: str | UUID) -> tuple[TrainingSession, Report]:
    """The report of a session, in the language in force."""
    session = sessions.find_session(principal, session_id)
    ended = session.prescription.trainings.filter(state=TrainingSession.State.ENDED)
    related = ("prescription__patient", "decoder")
    trainings = list(ended.select_related(*related).order_by("number")[:SESSIONS])
    made = report_of(session, courses_of(session.patient), trainings, as_of=now())
    return session, made


def make_pdf(principal: Principal, session_id: str | UUID) -> tuple[TrainingSession, bytes]:
    """The report as a file to be handed on. That it was made is written down, with its hash."""
    session, report = find_report(principal, session_id)
    made = pdf_of(report)
    with unit_of_work():
        sessions.note(
            "report_made",
            principal,
            session,
            sha256=hashlib.sha256(made).hexdigest(),
            language=get_language() or "",
        )
    return session, made
