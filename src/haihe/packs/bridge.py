"""The one WebSocket of the portal: it joins a page to a service's socket.

Nothing passes before a page from our own origin has shown a ticket (:mod:`haihe.packs.channels`).
After that, JSON objects pass both ways, each side slowed down by the other: what the browser does
not take waits in the service's process, which sees that it is behind. A ticket carries a channel
for ten minutes; the page sends a new one with the same claims before.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import structlog
from django.conf import settings
from django.http.request import split_domain_port, validate_host

from haihe.packs import frames
from haihe.packs.channels import PATH, Ticket, declared_services, verified
from haihe.packs.frames import FrameError
from haihe.packs.portals import pack_home

Event = Mapping[str, Any]
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]

BAD_TICKET, BAD_ORIGIN, NO_SERVICE, OTHER_CLAIMS, NOT_RUNNING = 4401, 4403, 4404, 4409, 4503
# As RFC 6455 names them.
DONE, NO_MESSAGE, TOO_FAST, TOO_LONG, TOO_MANY = 1000, 1007, 1008, 1009, 1013

TICKET_LIMIT_S = 5.0
CHANNEL_S = 600.0
MAX_MESSAGE_BYTES = 16 << 10
MESSAGES_PER_S = 100
MAX_CHANNELS = 512
# How long a service may leave what a page says untaken before it counts as not running.
TAKE_LIMIT_S = 10.0

_ADDRESS = re.compile(rf"{PATH}([a-z0-9_]{{1,60}})/([a-z0-9_]{{1,60}})")
_DEFAULT_PORTS = {"http": "80", "https": "443"}

log = structlog.get_logger(__name__)


class Closing(Exception):
    """The channel ends, with this code for the page."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class PageLeft(Exception):
    """The page closed its end, or is gone."""


@dataclass
class Allowance:
    """So many messages a second, and as many at once: ``left`` grows with time up to that."""

    rate_per_s: float
    at_s: float
    left: float = field(init=False)

    def __post_init__(self) -> None:
        self.left = self.rate_per_s

    def take(self, at_s: float) -> bool:
        """Use one up, if there is one."""
        self.left = min(self.rate_per_s, self.left + (at_s - self.at_s) * self.rate_per_s)
        self.at_s = at_s
        if self.left < 1:
            return False
        self.left -= 1
        return True


@dataclass(eq=False)
class Page:
    """The browser's end of a channel."""

    pack: str
    service: str
    receive: Receive
    send: Send
    deadline_s: float = 0.0
    allowance: Allowance = field(
        default_factory=lambda: Allowance(MESSAGES_PER_S, time.monotonic())
    )

    async def next_text(self) -> str:
        """What the browser says next, within its limits."""
        event = await self.receive()
        if event["type"] == "websocket.disconnect":
            raise PageLeft
        text = event.get("text")
        if not isinstance(text, str):
            raise Closing(NO_MESSAGE)
        if len(text.encode(errors="replace")) > MAX_MESSAGE_BYTES:
            raise Closing(TOO_LONG)
        if not self.allowance.take(time.monotonic()):
            raise Closing(TOO_FAST)
        return text

    async def close(self, code: int) -> None:
        """End the channel; whoever is gone already needs no word."""
        with suppress(Exception):
            await self.send({"type": "websocket.close", "code": code})

    def let_in(self, ticket: object) -> Ticket:
        """Read a ticket for this service; the channel may live for its time from now."""
        shown = verified(ticket) if isinstance(ticket, str) else None
        if shown is None or (shown.pack, shown.service) != (self.pack, self.service):
            raise Closing(BAD_TICKET)
        self.deadline_s = time.monotonic() + CHANNEL_S
        return shown


_waiting: set[Page] = set()
_open: set[Page] = set()


async def bridge(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one WebSocket, as ASGI asks it."""
    await receive()  # websocket.connect
    address = _ADDRESS.fullmatch(scope["path"])
    if address is None:
        await send({"type": "websocket.close"})  # before it is accepted: answered with 403
        return
    await send({"type": "websocket.accept"})
    pack, service = address.groups()
    page = Page(pack, service, receive, send)
    try:
        code = await _converse(scope, page)
    except Closing as closing:
        code = closing.code
    except PageLeft:
        return
    await page.close(code)


def is_own_origin(headers: Mapping[bytes, bytes], *, is_secure: bool) -> bool:
    """Whether the browser says that the page is ours.

    Ours is the public address, and whatever allowed host the request itself was sent to.
    """
    origin = headers.get(b"origin", b"").decode("latin-1")
    if not origin:
        return False
    if _parts(origin) == _parts(settings.PUBLIC_URL):
        return True
    host = headers.get(b"host", b"").decode("latin-1")
    domain, _port = split_domain_port(host)
    if not domain or not validate_host(domain, settings.ALLOWED_HOSTS):
        return False
    return _parts(origin) == _parts(f"{'https' if is_secure else 'http'}://{host}")


def _parts(url: str) -> tuple[str, str, str] | None:
    """Scheme, host and port of an address; None if it has none."""
    try:
        found = urlsplit(url)
        port = str(found.port or _DEFAULT_PORTS.get(found.scheme, ""))
    except ValueError:
        return None
    return (found.scheme, found.hostname, port) if found.hostname else None


async def _converse(scope: Scope, page: Page) -> int:
    """Everything from the ticket to the end; the code that the page is closed with."""
    headers = dict(scope["headers"])
    if not is_own_origin(headers, is_secure=scope.get("scheme") == "wss"):
        return BAD_ORIGIN
    if page.service not in declared_services().get(page.pack, ()):
        return NO_SERVICE
    # Two rooms: whoever shows no ticket cannot keep those out who have one.
    with _place(_waiting, page):
        try:
            shown = page.let_in(await asyncio.wait_for(page.next_text(), TICKET_LIMIT_S))
        except TimeoutError:
            return BAD_TICKET
    with _place(_open, page):
        return await _join(page, shown)


@contextmanager
def _place(room: set[Page], page: Page) -> Iterator[None]:
    if len(room) >= MAX_CHANNELS:
        raise Closing(TOO_MANY)
    room.add(page)
    try:
        yield
    finally:
        room.discard(page)


async def _join(page: Page, shown: Ticket) -> int:
    """Connect to the service, and let messages pass until one side ends."""
    try:
        with frames.reachable(frames.socket_path(pack_home(page.pack), page.service)) as name:
            reader, writer = await asyncio.open_unix_connection(name)
    except OSError:
        return NOT_RUNNING
    tasks = [
        asyncio.ensure_future(work)
        for work in (_from_page(page, shown, writer), _to_page(page, reader), _expire(page))
    ]
    try:
        writer.write(frames.frame({frames.OPEN: dict(shown.claims)}))
        done, _pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return done.pop().result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        writer.close()


async def _from_page(page: Page, shown: Ticket, writer: asyncio.StreamWriter) -> int:
    """Pass on what the page says, except for new tickets."""
    while True:
        try:
            message = frames.from_text(await page.next_text())
            if "ticket" in message:
                if page.let_in(message["ticket"]).claims != shown.claims:
                    return OTHER_CLAIMS
                continue
            content = frames.frame(message)
        except FrameError:
            return NO_MESSAGE
        try:
            writer.write(content)
            await asyncio.wait_for(writer.drain(), TAKE_LIMIT_S)
        except OSError:  # also a TimeoutError
            return NOT_RUNNING


async def _to_page(page: Page, reader: asyncio.StreamReader) -> int:
    """Pass on what the service says, as fast as the page takes it."""
    try:
        while (text := await frames.read_text(reader)) is not None:
            await page.send({"type": "websocket.send", "text": text})
    except (asyncio.IncompleteReadError, OSError):
        return NOT_RUNNING
    except FrameError as error:
        log.warning("service.frame", pack=page.pack, service=page.service, error=str(error))
        return NOT_RUNNING
    return DONE


async def _expire(page: Page) -> int:
    """The end of the channel's time, which new tickets put off."""
    while (left_s := page.deadline_s - time.monotonic()) > 0:
        await asyncio.sleep(left_s)
    return BAD_TICKET
