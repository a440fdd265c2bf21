"""What a station offers: sources of EEG and actuators, and how each is made.

Streams on the network and the synthetic ones are found; boards, ports and recordings stand in the
station's file, ``station.toml`` in the pack's folder, which the technician writes. A page names
what it wants; where a device is connected is never taken from a page.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bci_rehab.session.drivers.hand import SimulatedHand
from bci_rehab.session.drivers.lsl import LslMarkerDriver
from bci_rehab.session.drivers.network import OscDriver, UdpDriver
from bci_rehab.session.drivers.serial_port import SerialDriver
from bci_rehab.session.hosting import MakeDriver
from bci_rehab.signal.brain import PatientProfile
from bci_rehab.signal.brain import Task as BrainTask
from bci_rehab.signal.files import read as read_file
from bci_rehab.signal.sources import Source
from bci_rehab.signal.sources.brainflow import BrainFlowSource
from bci_rehab.signal.sources.lsl import LslSource
from bci_rehab.signal.sources.replay import Replay
from bci_rehab.signal.sources.synthetic import SyntheticPatient
from bci_rehab.station.errors import DeviceNotOffered, OrderInvalid, StationFileInvalid

FILE = "station.toml"
LSL_LOOK_S = 1.0
BRAINFLOW_SYNTHETIC = -1
MakeSource = Callable[[], Source]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Board(_Entry):
    """``[[boards]]``: a board that BrainFlow knows.

    ``package_modulus`` is how many numbers its packages have, where that is known to be another.
    """

    name: str
    board_id: int
    parameters: dict[str, str | int] = {}
    electrodes: tuple[str, ...] = ()
    package_modulus: int = Field(256, ge=2, le=2**32)


class Playback(_Entry):
    """``[[recordings]]``: a file that is played as if it were live."""

    name: str
    path: Path
    speed: float = Field(1.0, gt=0, le=100)


class Udp(_Entry):
    """``[[actuators]]`` with ``kind = "udp"`` or ``"osc"``."""

    kind: Literal["udp", "osc"]
    name: str
    host: str = "127.0.0.1"
    port: int = Field(ge=1, le=65_535)


class Serial(_Entry):
    """``[[actuators]]`` with ``kind = "serial"``."""

    kind: Literal["serial"]
    name: str
    port: str
    baud: int = 115_200


class StationFile(_Entry):
    """All that the technician enters."""

    boards: tuple[Board, ...] = ()
    recordings: tuple[Playback, ...] = ()
    actuators: tuple[Annotated[Udp | Serial, Field(discriminator="kind")], ...] = ()


class Synthetic(_Entry):
    """How the synthetic patient is asked for; ``hand`` is the one that is affected, if any."""

    channels: int = Field(16, ge=8, le=64)
    rate_hz: float = Field(250.0, ge=100, le=2_000)
    seed: int = Field(0, ge=0)
    session: int = Field(1, ge=1, le=1_000)
    hand: Literal["", "left", "right"] = ""
    desynchronisation: float = Field(0.55, ge=0, lt=1)
    learning: float = Field(0.6, ge=0, le=2)

    def factory(self) -> MakeSource:
        """The patient, to be made in the acquisition's process."""
        affected = {"left": BrainTask.LEFT_HAND, "right": BrainTask.RIGHT_HAND}.get(self.hand)
        profile = PatientProfile(
            session=self.session,
            affected=affected,
            desynchronisation=self.desynchronisation,
            learning=self.learning,
        )
        return partial(
            SyntheticPatient,
            profile,
            rate_hz=self.rate_hz,
            channels=self.channels,
            seed=self.seed,
        )


def read_station_file(home: Path) -> StationFile:
    """The file of devices; an empty one where there is none.

    Raises
    ------
    StationFileInvalid
        With the place and what is wrong there.
    """
    path = home / FILE
    if not path.is_file():
        return StationFile()
    try:
        return StationFile.model_validate(tomllib.loads(path.read_text("utf-8")))
    except ValidationError as error:
        raise StationFileInvalid(path=str(path), reason=first_problem(error)) from error
    except (OSError, ValueError) as error:
        raise StationFileInvalid(path=str(path), reason=str(error)) from error


def offered_sources(home: Path) -> list[dict[str, Any]]:
    """What can be chosen now; looks for streams on the network for a second."""
    file = read_station_file(home)
    plain = Synthetic()
    found = [
        _offer("synthetic", "Synthetic patient", plain.channels, plain.rate_hz, plain.model_dump())
    ]
    found += [
        _offer("lsl", stream.name(), stream.channel_count(), stream.nominal_srate(), given)
        for stream in _streams()
        for given in [
            {"source_id": stream.source_id()} if stream.source_id() else {"name": stream.name()}
        ]
    ]
    found += [
        _offer("brainflow", board.name, 0, 0.0, {"name": board.name})
        for board in (_synthetic_board(), *file.boards)
    ]
    found += [
        _offer("replay", playback.name, 0, 0.0, {"name": playback.name})
        for playback in file.recordings
    ]
    return found


def offered_actuators(home: Path) -> list[dict[str, Any]]:
    """What can be moved. ``none`` is training without movement."""
    named = [("none", "none"), ("simulated", "simulated hand"), ("lsl", "lsl markers")]
    named += [(actuator.kind, actuator.name) for actuator in read_station_file(home).actuators]
    return [{"kind": kind, "name": name, "given": {"name": name}} for kind, name in named]


def source_for(kind: str, given: Mapping[str, Any], home: Path) -> MakeSource:
    """What makes the chosen source, in the acquisition's process.

    Raises
    ------
    DeviceNotOffered, OrderInvalid
    """
    if kind == "synthetic":
        try:
            return Synthetic.model_validate(dict(given)).factory()
        except ValidationError as error:
            raise OrderInvalid(order="open", reason=first_problem(error)) from error
    name = str(given.get("name", ""))
    if kind == "lsl":
        source_id = str(given.get("source_id", ""))
        if source_id:
            return partial(LslSource, source_id=source_id)
        if name:
            return partial(LslSource, name=name)
    file = read_station_file(home)
    if kind == "brainflow":
        for board in (_synthetic_board(), *file.boards):
            if board.name == name:
                parameters, electrodes = dict(board.parameters), board.electrodes
                return partial(
                    BrainFlowSource,
                    board.board_id,
                    parameters,
                    names=electrodes,
                    package_modulus=board.package_modulus,
                )
    if kind == "replay":
        for playback in file.recordings:
            if playback.name == name:
                return partial(played, home / playback.path, playback.speed)
    raise DeviceNotOffered(kind=kind, name=name)


def driver_for(kind: str, given: Mapping[str, Any], home: Path, folder: Path) -> MakeDriver:
    """What makes the chosen actuator's driver, in the actuator's process.

    ``none`` has a driver too, one that nobody sees, so that the interlock runs as it always does.

    Raises
    ------
    DeviceNotOffered
    """
    name = str(given.get("name", ""))
    if kind in ("none", "simulated"):
        return partial(SimulatedHand, path=folder / "hand")
    if kind == "lsl":
        return LslMarkerDriver
    for actuator in read_station_file(home).actuators:
        if (actuator.kind, actuator.name) != (kind, name):
            continue
        if isinstance(actuator, Serial):
            return partial(SerialDriver, port=actuator.port, baud=actuator.baud, name=name)
        driver = UdpDriver if actuator.kind == "udp" else OscDriver
        return partial(driver, host=actuator.host, port=actuator.port, name=name)
    raise DeviceNotOffered(kind=kind, name=name)


def played(path: Path, speed: float) -> Source:
    """A file as a source, to be made in the acquisition's process."""
    return Replay(read_file(path), speed=speed)


def first_problem(error: ValidationError) -> str:
    """The first thing that is wrong, with its place."""
    problem = error.errors()[0]
    place = ".".join(map(str, problem["loc"]))
    return f"{place}: {problem['msg']}" if place else str(problem["msg"])


def _offer(
    kind: str, name: str, channels: int, rate_hz: float, given: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "kind": kind, "name": name, "channels": channels, "rate_hz": rate_hz, "given": dict(given),
    }  # fmt: skip


def _synthetic_board() -> Board:
    return Board(name="BrainFlow synthetic board", board_id=BRAINFLOW_SYNTHETIC)


def _streams() -> list[Any]:
    import pylsl

    streams = pylsl.resolve_streams(LSL_LOOK_S)
    return [stream for stream in streams if stream.nominal_srate() > 0]
