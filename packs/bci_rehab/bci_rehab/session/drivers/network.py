"""Actuators that listen on the network: OSC (Open Sound Control 1.0) and plain UDP."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass, field

from bci_rehab.errors import ActuatorUnavailable
from bci_rehab.session.drivers import HOLD_MS


@dataclass(kw_only=True)
class _Datagrams:
    """A device that listens on UDP; what a datagram holds is the kind's own."""

    host: str
    port: int
    name: str = ""
    _socket: socket.socket | None = field(default=None, repr=False)

    def open(self) -> None:
        """Open the socket, and turn off."""
        self._socket = connected(self.host, self.port, self.name)
        self.off()

    def on(self, level: float) -> None:
        """Ask for ``level``."""
        self._send(level)

    def off(self) -> None:
        """Ask for rest."""
        self._send(0.0)

    def close(self) -> None:
        """Turn off and close the socket."""
        if self._socket is not None:
            try:
                self.off()
            finally:
                self._socket.close()
                self._socket = None

    def _send(self, level: float) -> None:
        assert self._socket is not None, "open comes first"
        self._socket.send(self._said(level))

    def _said(self, level: float) -> bytes:
        raise NotImplementedError


@dataclass(kw_only=True)
class UdpDriver(_Datagrams):
    """Sends one line of JSON per datagram: ``{"level": 0.8, "hold_ms": 200, "number": 17}``.

    The number rises with each datagram, so that a receiver can drop what comes out of order.
    """

    name: str = "udp"
    _number: int = field(default=0, repr=False)

    def _said(self, level: float) -> bytes:
        self._number += 1
        said = {"level": level, "hold_ms": HOLD_MS, "number": self._number}
        return json.dumps(said).encode() + b"\n"


@dataclass(kw_only=True)
class OscDriver(_Datagrams):
    """Sends ``<address> level hold_ms`` (a float and an integer) over UDP."""

    address: str = "/haihe/actuator"
    name: str = "osc"

    def _said(self, level: float) -> bytes:
        from pythonosc.osc_message_builder import OscMessageBuilder

        message = OscMessageBuilder(address=self.address)
        message.add_arg(float(level), "f")
        message.add_arg(HOLD_MS, "i")
        said: bytes = message.build().dgram
        return said


def connected(host: str, port: int, name: str) -> socket.socket:
    """A UDP socket that is bound to one receiver and never blocks.

    Connected, so that a receiver that is not there is heard of as an error on the next send.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[
            0
        ]
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        made.connect(address)
    except OSError as error:
        raise ActuatorUnavailable(driver=f"{name} {host}:{port}", reason=str(error)) from error
    return made
