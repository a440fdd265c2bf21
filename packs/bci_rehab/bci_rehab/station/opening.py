"""What the portal says when it opens a session: checked before any device is touched."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bci_rehab.session.plan import SessionPlan
from bci_rehab.station.devices import first_problem
from bci_rehab.station.errors import DecoderNeeded, OrderInvalid

RECORDING = "recording.hrec"
SUMMARY = "summary.json"
EARLIER_LIMIT = 3


class _Said(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Device(_Said):
    """A source or an actuator, as the station offered it."""

    kind: Literal[
        "synthetic", "lsl", "brainflow", "replay", "none", "simulated", "osc", "serial", "udp",
        "sham",
    ]  # fmt: skip
    given: dict[str, Any] = {}


class DecoderFile(_Said):
    """An accepted decoder, by its place in the pack's folder and its hash."""

    file: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Opening(_Said):
    """One session to open. With ``resume`` its recording is there and is continued.

    ``earlier`` are accepted decoders of the same patient, whose recordings may shorten calibration.
    """

    session: UUID
    folder: str
    plan: dict[str, Any]
    source: Device
    actuator: Device
    decoder: DecoderFile | None = None
    earlier: tuple[DecoderFile, ...] = Field((), max_length=EARLIER_LIMIT)
    false_triggers_per_min: float = Field(gt=0, le=60)
    resume: bool = False

    @property
    def session_plan(self) -> SessionPlan:
        """The plan; :meth:`read` has checked it."""
        return SessionPlan.from_json(self.plan)


def read_opening(message: Mapping[str, Any]) -> Opening:
    """The session that a message of the portal asks for.

    Raises
    ------
    OrderInvalid, PlanImpossible, DecoderNeeded
    """
    said = {name: value for name, value in message.items() if name != "what"}
    try:
        opening = Opening.model_validate(said)
        plan = opening.session_plan
    except ValidationError as error:
        raise OrderInvalid(order="open", reason=first_problem(error)) from error
    except (KeyError, TypeError, ValueError) as error:
        raise OrderInvalid(order="open", reason=f"plan: {error!r}") from error
    if plan.calibration_runs == 0 and opening.decoder is None:
        raise DecoderNeeded
    return opening


def within(home: Path, relative: str) -> Path:
    """A path below ``home``.

    Raises
    ------
    OrderInvalid
        If it would lead elsewhere.
    """
    path = (home / relative).resolve()
    if not relative or not path.is_relative_to(home.resolve()):
        raise OrderInvalid(order="open", reason=f"{relative!r} lies outside of the pack's folder")
    return path
