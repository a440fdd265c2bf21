"""The thin edge to the station: the questions that the clinic asks it, and tickets for pages.

Nothing here knows a rule. A question is never asked inside a unit of work.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from haihe.packs.pages import (
    ServiceRefused,
    ask_service,
    pack_home,
    service_address,
    service_ticket,
)

PACK, SERVICE = "bci_rehab", "station"
# Opening waits for an amplifier, closing for the disk.
OPEN_TIMEOUT_S = 90.0
CLOSE_TIMEOUT_S = 90.0
EXPORT_TIMEOUT_S = 300.0
SUMMARY = "summary.json"
NOT_HERE = "bci_rehab.session_not_here"


def state() -> dict[str, Any]:
    """What the station does: its ``state``, the ``session`` it holds, and the last ``fit``."""
    return ask_service(PACK, SERVICE, {"what": "state"})


def offers() -> dict[str, list[dict[str, Any]]]:
    """The ``sources`` and ``actuators`` that it finds now; each ``given`` goes back unchanged."""
    said = ask_service(PACK, SERVICE, {"what": "sources"}, timeout_s=OPEN_TIMEOUT_S)
    return {"sources": said["sources"], "actuators": said.get("actuators", [])}


def open_session(order: Mapping[str, Any]) -> dict[str, Any]:
    """Open a session; it is live from then on, and begins when a therapist says so."""
    return ask_service(PACK, SERVICE, {"what": "open", **order}, timeout_s=OPEN_TIMEOUT_S)


def fit(session: str) -> None:
    """Begin to learn a decoder from the calibration trials so far; the outcome comes later."""
    ask_service(PACK, SERVICE, {"what": "fit", "session": session})


def use(session: str, decoder: Mapping[str, str]) -> None:
    """Put an accepted decoder into the live session."""
    order = {"what": "use", "session": session, "decoder": dict(decoder)}
    ask_service(PACK, SERVICE, order, timeout_s=OPEN_TIMEOUT_S)


def close(session: str, folder: str) -> dict[str, Any]:
    """End the session and its recording; what it came to. One that was lost is read from there."""
    order = {"what": "close", "session": session, "folder": folder}
    said = ask_service(PACK, SERVICE, order, timeout_s=CLOSE_TIMEOUT_S)
    summary: dict[str, Any] = said["summary"]
    return summary


def halt(session: str, why: str) -> bool:
    """End a session that may not go on; whether it has ended. One that it does not hold has."""
    try:
        said = ask_service(PACK, SERVICE, {"what": "halt", "session": session, "why": why})
    except ServiceRefused as error:
        if error.refusal != NOT_HERE:
            raise
        return True
    return bool(said["ended"])


def export(folder: str, to: Path, pseudonym: str, session: str, form: str = "bids") -> None:
    """Write a closed session below ``to``, in the pack's folder: into a BIDS data set, or as EDF+.

    ``form`` is ``bids`` or ``edf``.
    """
    home = pack_home(PACK)
    order = {
        "what": "export",
        "folder": folder,
        "to": str(to.relative_to(home)),
        "pseudonym": pseudonym,
        "session": session,
        "format": form,
    }
    ask_service(PACK, SERVICE, order, timeout_s=EXPORT_TIMEOUT_S)


def kept_summary(folder: str) -> dict[str, Any] | None:
    """The summary that it left in a session's folder, if that was closed."""
    path = pack_home(PACK) / folder / SUMMARY
    if not path.is_file():
        return None
    summary: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return summary


def ticket(claims: Mapping[str, str]) -> dict[str, str]:
    """What a page needs to open its channel: where, and the ticket that says who it is."""
    return {
        "address": service_address(PACK, SERVICE),
        "ticket": service_ticket(PACK, SERVICE, claims),
    }
