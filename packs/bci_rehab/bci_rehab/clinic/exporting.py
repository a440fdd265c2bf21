"""Recordings of sessions as files of the field's own formats, under the patient's pseudonym."""

from __future__ import annotations

import shutil
import zipfile
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from bci_rehab.clinic import services, sessions, station
from bci_rehab.clinic.errors import SessionNotReady
from bci_rehab.clinic.models import TrainingSession
from haihe.packs.pages import (
    Principal,
    new_id,
    pack_home,
    parse_id,
    unit_of_work,
)

EXPORTS = "exports"


class Format(StrEnum):
    """How a recording can be had."""

    BIDS = "bids"
    EDF = "edf"


def export(
    principal: Principal, session_id: str | UUID, form: Format
) -> tuple[TrainingSession, BinaryIO]:
    """A closed session's recording: a BIDS data set as a ZIP file, or one EDF+ file.

    For the therapist who runs the patient's sessions; for research, if the patient consented to it
    and has not taken it back. The file is open and already unlinked: nothing of it stays.

    Raises
    ------
    SessionNotReady
        If the session is not over, or nothing was recorded.
    """
    session = exported_by(principal, session_id)
    if session.is_open or not session.summary.get("recording"):
        raise SessionNotReady(session=str(session.number), state=session.state, needed="ended")
    folder = pack_home(station.PACK) / EXPORTS / str(new_id())
    try:
        station.export(
            session.folder, folder, session.patient.pseudonym, f"{session.number:02d}", form.value
        )
        file = _zipped(folder) if form is Format.BIDS else next(folder.glob("*.edf")).open("rb")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    with unit_of_work():
        sessions.note("session_exported", principal, session, format=form.value)
    return session, file


def exported_by(principal: Principal, session_id: str | UUID) -> TrainingSession:
    """A session whose recording the caller may have."""
    if services.clinics_of(principal, services.RESEARCHER):
        pk = parse_id(session_id, kind="session")
        consented = sessions.research_sessions(principal).filter(pk=pk).first()
        if consented is not None:
            return consented
    return sessions.run_by(principal, session_id)


def may_export(principal: Principal, session: TrainingSession) -> bool:
    """Whether a closed session's recording is offered to the caller."""
    is_there = not session.is_open and bool(session.summary.get("recording"))
    return is_there and sessions.may_run(principal, session.patient)


def _zipped(folder: Path) -> BinaryIO:
    """All files below a folder as one, whose names begin with the folder of the data set."""
    packed = folder.with_suffix(".zip")
    try:
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    archive.write(path, path.relative_to(folder))
        return packed.open("rb")
    finally:
        packed.unlink(missing_ok=True)
