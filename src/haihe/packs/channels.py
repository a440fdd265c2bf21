"""The portal's side of services: asking one, and letting a page talk with one.

A page talks with a service over a WebSocket that the portal joins to the service's socket
(:mod:`haihe.packs.bridge`). The page's view decides what its visitor may do there and writes that
into a ticket: claims that the portal signs, good for opening a channel for a minute. So the bridge
asks no table, and the service believes the claims and nothing else.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from django.core import signing

from haihe.kernel.phrases import filled_in
from haihe.kernel.work import in_unit_of_work
from haihe.packs import frames
from haihe.packs.discovery import installed_packs
from haihe.packs.errors import ServiceRefused, ServiceUnavailable, ServiceUnknown
from haihe.packs.frames import FrameError, Message
from haihe.packs.portals import pack_home

SALT = "haihe.packs.channels"
TICKET_S = 60
PATH = "/services/"


@dataclass(frozen=True, kw_only=True)
class Ticket:
    """What a verified ticket vouches for."""

    pack: str
    service: str
    claims: Mapping[str, Any]


def ask_service(
    pack: str, service: str, message: Mapping[str, Any], *, timeout_s: float = 5.0
) -> Message:
    """Ask a service one question, outside of any unit of work, and return its answer.

    Raises
    ------
    ServiceUnavailable
        If it is not running, does not answer in time, or fails.
    ServiceRefused
        With what the service's own error says, in the reader's language.
    """
    assert not in_unit_of_work(), "a service is asked before or after a unit of work, never in one"
    reply = _exchange(pack, service, {frames.ASK: dict(message)}, timeout_s)
    match reply:
        case {frames.ANSWER: dict(answer)}:
            return answer
        case {frames.REFUSED: {"code": str(code), "template": str(text), "values": dict(values)}}:
            raise ServiceRefused(
                pack=pack, service=service, refusal=code, text=filled_in(text, values)
            )
    raise ServiceUnavailable(pack=pack, service=service, reason="it failed; its log says why")


def ping_service(pack: str, service: str, *, timeout_s: float) -> datetime:
    """Since when a service runs.

    Raises
    ------
    ServiceUnavailable
        If it does not answer.
    """
    reply = _exchange(pack, service, {frames.PING: True}, timeout_s)
    return datetime.fromisoformat(str(reply["since"]))


def service_address(pack: str, service: str) -> str:
    """The path at which a page opens a WebSocket to a service."""
    return f"{PATH}{pack}/{service}"


def service_ticket(pack: str, service: str, claims: Mapping[str, Any]) -> str:
    """A text by which a page may open a channel with these claims within 60 s.

    Raises
    ------
    ServiceUnknown
        If no installed pack has such a service.
    """
    if service not in declared_services().get(pack, ()):
        raise ServiceUnknown(pack=pack, service=service)
    told = {"pack": pack, "service": service, "claims": dict(claims)}
    return signing.dumps(told, salt=SALT, compress=True)


def verified(ticket: str) -> Ticket | None:
    """What a ticket vouches for; None if it is not ours, or too old."""
    try:
        told = signing.loads(ticket, salt=SALT, max_age=TICKET_S)
    except signing.BadSignature:
        return None
    return Ticket(pack=told["pack"], service=told["service"], claims=told["claims"])


@cache
def declared_services() -> Mapping[str, frozenset[str]]:
    """The services of each installed pack, read once per process."""
    return {source.name: frozenset(source.manifest().services) for source in installed_packs()}


def _exchange(pack: str, service: str, message: Message, timeout_s: float) -> Message:
    """Send one frame, and read the one that comes back."""
    deadline_s = time.monotonic() + timeout_s
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.settimeout(timeout_s)
            with frames.reachable(frames.socket_path(pack_home(pack), service)) as name:
                link.connect(name)
            link.sendall(frames.frame(message))
            head = _receive(link, frames.LENGTH.size, deadline_s)
            return frames.from_text(_receive(link, frames.length_of(head), deadline_s))
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise ServiceUnavailable(pack=pack, service=service, reason="it is not running") from error
    except TimeoutError as error:
        raise ServiceUnavailable(
            pack=pack, service=service, reason=f"it did not answer in {timeout_s:g} s"
        ) from error
    except EOFError as error:
        raise ServiceUnavailable(
            pack=pack, service=service, reason="it hung up without an answer"
        ) from error
    except (OSError, FrameError) as error:
        raise ServiceUnavailable(pack=pack, service=service, reason=str(error)) from error


def _receive(link: socket.socket, length: int, deadline_s: float) -> bytes:
    """Exactly so many bytes, before the deadline."""
    received = bytearray()
    while len(received) < length:
        left_s = deadline_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        link.settimeout(left_s)
        piece = link.recv(length - len(received))
        if not piece:
            raise EOFError
        received += piece
    return bytes(received)
