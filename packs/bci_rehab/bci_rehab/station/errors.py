"""What a station can refuse, as named errors with words for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from haihe.packs import Conflict, Invalid, NotFound, Refused, gettext_noop


@dataclass(kw_only=True, eq=False)
class StationBusy(Conflict):
    """The station has a live session already."""

    code: ClassVar[str] = "bci_rehab.station_busy"
    template: ClassVar[str] = gettext_noop(
        "The station holds session {session} already. Close it before another is opened."
    )

    session: str


@dataclass(kw_only=True, eq=False)
class SessionNotHere(NotFound):
    """The station does not hold this session."""

    code: ClassVar[str] = "bci_rehab.session_not_here"
    template: ClassVar[str] = gettext_noop(
        "The station does not hold session {session}. If it was interrupted, resume it."
    )

    session: str


@dataclass(kw_only=True, eq=False)
class DeviceNotOffered(NotFound):
    """A source or an actuator that the station does not offer."""

    code: ClassVar[str] = "bci_rehab.device_not_offered"
    template: ClassVar[str] = gettext_noop(
        "The station offers no {kind} named {name}. Switch it on, or enter it in the station's "
        "file, and look again."
    )

    kind: str
    name: str


@dataclass(kw_only=True, eq=False)
class OrderInvalid(Invalid):
    """A question or an order that the station cannot read."""

    code: ClassVar[str] = "bci_rehab.order_invalid"
    template: ClassVar[str] = gettext_noop("The station cannot carry out {order}: {reason}.")

    order: str
    reason: str


@dataclass(kw_only=True, eq=False)
class StationFileInvalid(Invalid):
    """The station's own file of devices."""

    code: ClassVar[str] = "bci_rehab.station_file_invalid"
    template: ClassVar[str] = gettext_noop("The station's file {path} is not valid: {reason}.")

    path: str
    reason: str


@dataclass(kw_only=True, eq=False)
class DecoderNeeded(Refused):
    """A session without calibration and without a decoder."""

    code: ClassVar[str] = "bci_rehab.decoder_needed"
    template: ClassVar[str] = gettext_noop(
        "A session without calibration runs needs an accepted decoder. Choose one, or plan "
        "calibration runs."
    )


@dataclass(kw_only=True, eq=False)
class SourceDiffers(Conflict):
    """A session that was begun goes on with the electrodes and the rate that it has."""

    code: ClassVar[str] = "bci_rehab.source_differs"
    template: ClassVar[str] = gettext_noop(
        "The session was recorded from {recorded}; this source gives {given}. Choose the source "
        "that it began with, or close the session and plan another one."
    )

    recorded: str
    given: str
