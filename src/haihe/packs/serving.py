"""A pack's service: a process beside jobs that lives on, and talks with pages and with the portal.

The manifest names a function (``[services.NAME] entry``) that is given a :class:`ServiceContext`
and returns a :class:`Service`. :func:`serve` runs it in the pack's environment and listens on a
Unix socket in the pack's home, which only the platform's account can open. What a client may do is
said by its :attr:`Channel.claims`, which the portal vouches for; a service believes nothing else.

A client can do no harm to another one: what is malformed, too long or too slow, and what goes
wrong in :meth:`Service.handle`, ends one channel.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from haihe.kernel.clock import now
from haihe.kernel.errors import HaiheError
from haihe.packs import frames
from haihe.packs.errors import ServiceRunning
from haihe.packs.frames import FrameError, Message

STOP_LIMIT_S = 5.0
FIRST_FRAME_LIMIT_S = 5.0
# How long a client may take nothing before it counts as gone.
SEND_LIMIT_S = 10.0
MAX_CONNECTIONS = 128
# Messages of a client that wait to be read, and bytes that wait to be taken by it.
MAX_ARRIVED = 64
MAX_WAITING_BYTES = 256 << 10
# Small, so that the service notices early that a client lags.
SOCKET_BUFFER_BYTES = 64 << 10


@dataclass(frozen=True, kw_only=True)
class ServiceContext:
    """Which service this is; ``home`` is the pack's folder below the platform's home."""

    pack: str
    name: str
    home: Path

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return frames.socket_path(self.home, self.name)


class ChannelClosed(Exception):
    """The client is gone, or takes nothing any more."""


class Channel:
    """A two-way stream of JSON objects between a service and one client.

    Iterate over it to get what the client says; that ends when the client leaves. ``claims`` is
    what the portal vouches for about the client.
    """

    def __init__(
        self,
        claims: Mapping[str, Any],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.claims = claims
        self._reader, self._writer = reader, writer
        self._arrived: asyncio.Queue[Message | None] = asyncio.Queue(MAX_ARRIVED)
        self._is_closed = False
        writer.transport.set_write_buffer_limits(high=MAX_WAITING_BYTES)

    @property
    def behind(self) -> bool:
        """Whether messages wait that the client has not taken: leave out what it can miss."""
        return self._writer.transport.get_write_buffer_size() > 0

    async def send(self, message: Mapping[str, Any]) -> None:
        """Send a message of at most 1 MiB; waits while the client is 256 KiB behind.

        Raises
        ------
        ChannelClosed
            If the client is gone, or took nothing for 10 s.
        FrameError
            If the message is too long, or has no JSON form.
        """
        content = frames.frame(message)
        if self._is_closed or self._writer.is_closing():
            raise ChannelClosed
        try:
            # First room, then the message: what waits has a bound, whoever sends.
            await asyncio.wait_for(self._writer.drain(), SEND_LIMIT_S)
            self._writer.write(content)
        except OSError as error:  # also a TimeoutError
            self._close()
            raise ChannelClosed from error

    async def __aiter__(self) -> AsyncIterator[Message]:
        while (message := await self._arrived.get()) is not None:
            yield message
        self._arrived.put_nowait(None)  # for whoever iterates again

    async def _receive(self) -> None:
        """Take in what the client says, until it leaves or says what is no message."""
        try:
            while (message := await frames.read(self._reader)) is not None:
                await self._arrived.put(message)
        except FrameError as error:
            log.warning("a channel is closed: %s", error)
        except (asyncio.IncompleteReadError, OSError):
            pass  # the client is gone
        self._close()
        await self._arrived.put(None)

    def _close(self) -> None:
        self._is_closed = True
        self._writer.transport.abort()


class Service(Protocol):
    """What a service offers to :func:`serve`."""

    async def start(self) -> None:
        """Make ready; clients are let in when this is done."""

    async def handle(self, channel: Channel) -> None:
        """Talk with one client; the channel is closed when this returns or fails."""

    async def answer(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """Answer one question of the portal; a ``HaiheError`` reaches the asker in its words."""

    async def stop(self) -> None:
        """Leave everything safe, in at most 5 s; channels are still open."""


Make = Callable[[ServiceContext], Service]
log = logging.getLogger("haihe.service")


async def serve(make: Make, context: ServiceContext, *, stop: asyncio.Event | None = None) -> None:
    """Run a service until SIGTERM or SIGINT, or until ``stop`` is set if that is given.

    Raises
    ------
    ServiceRunning
        If another process runs this service in the same home.
    """
    asked = _on_signals() if stop is None else stop
    with _alone(context):
        began, talks = now(), set[asyncio.Task[None]]()
        service = make(context)
        # Undone from the last to the first: no new client, a safe service, no open channel.
        async with AsyncExitStack() as held:
            held.push_async_callback(_end, talks)
            held.push_async_callback(_stop, service)
            if not await _before(service.start(), asked):
                return
            own = held.enter_context(_bound(context.socket))
            server = await asyncio.start_unix_server(_welcome(service, began, talks), sock=own)
            held.callback(server.close)
            log.info("service %s.%s is ready", context.pack, context.name)
            await asked.wait()


def note_failure(context: ServiceContext, text: str) -> None:
    """Keep what last went wrong beside the socket, for whoever asks how the service is."""
    path = _failure_path(context)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_suffix(f".{os.getpid()}")
    draft.write_text(json.dumps({"at": now().isoformat(), "text": text[:500]}), "utf-8")
    draft.replace(path)


def last_failure(context: ServiceContext) -> tuple[datetime, str] | None:
    """What last went wrong, and when."""
    with suppress(OSError, ValueError, KeyError):
        told = json.loads(_failure_path(context).read_text("utf-8"))
        return datetime.fromisoformat(told["at"]), str(told["text"])
    return None


def _failure_path(context: ServiceContext) -> Path:
    return context.socket.with_suffix(".failed")


def _on_signals() -> asyncio.Event:
    asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    return asked


async def _before(work: Awaitable[None], asked: asyncio.Event) -> bool:
    """Do ``work`` unless it is asked to stop before; whether it was done."""
    doing = asyncio.ensure_future(work)
    waiting = asyncio.ensure_future(asked.wait())
    await asyncio.wait((doing, waiting), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if not doing.done():
        doing.cancel()
        await asyncio.wait((doing,), timeout=STOP_LIMIT_S)
        return False
    await doing
    return not asked.is_set()


async def _stop(service: Service) -> None:
    try:
        await asyncio.wait_for(service.stop(), STOP_LIMIT_S)
    except TimeoutError:
        log.error("the service did not stop in %s s", STOP_LIMIT_S)  # noqa: TRY400 (no traceback)
    except Exception:
        log.exception("the service failed while it stopped")


@contextmanager
def _alone(context: ServiceContext) -> Iterator[None]:
    """Hold the service's lock, which the kernel gives back whatever becomes of this process."""
    folder = context.socket.parent
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    with context.socket.with_suffix(".lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ServiceRunning(pack=context.pack, service=context.name) from error
        yield


@contextmanager
def _bound(path: Path) -> Iterator[socket.socket]:
    """A socket at ``path`` for its owner only; one that a dead process left gives way."""
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as made:
        with frames.reachable(path) as name:
            made.bind(name)
        path.chmod(0o600)
        try:
            yield made
        finally:
            path.unlink(missing_ok=True)


def _welcome(
    service: Service, began: datetime, talks: set[asyncio.Task[None]]
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]:
    """What is done with whoever connects; ``talks`` are the conversations that go on."""

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(talks) >= MAX_CONNECTIONS:
            log.warning("a client is turned away: %s are connected", len(talks))
            writer.transport.abort()
            return
        task = asyncio.ensure_future(_converse(service, began, reader, writer))
        talks.add(task)
        task.add_done_callback(talks.discard)

    return connected


async def _end(talks: set[asyncio.Task[None]]) -> None:
    for task in talks:
        task.cancel()
    if talks:
        await asyncio.wait(set(talks), timeout=STOP_LIMIT_S)


async def _converse(
    service: Service, began: datetime, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """One connection, from its first frame to its end."""
    try:
        first = await asyncio.wait_for(frames.read(reader), FIRST_FRAME_LIMIT_S) or {}
        match first:
            case {frames.PING: True}:
                writer.write(frames.frame({frames.PONG: True, "since": began.isoformat()}))
            case {frames.ASK: dict(question)}:
                writer.write(frames.frame(await _answer(service, question)))
            case {frames.OPEN: dict(claims)}:
                await _channel(service, Channel(claims, reader, writer), writer)
            case _:
                raise FrameError("the first frame neither opens nor asks")  # noqa: TRY301
        await asyncio.wait_for(writer.drain(), SEND_LIMIT_S)
    except FrameError as error:
        log.warning("a connection is closed: %s", error)
    except (asyncio.IncompleteReadError, OSError):
        pass  # the client is gone, or says nothing
    finally:
        writer.close()


async def _answer(service: Service, question: Message) -> Message:
    try:
        answer = {frames.ANSWER: dict(await service.answer(question))}
        frames.frame(answer)
    except HaiheError as error:
        values = {name: _plain(value) for name, value in error.params().items()}
        told = {"code": error.code, "template": error.template, "values": values}
        return {frames.REFUSED: told}
    except Exception:
        log.exception("the service failed to answer")
        return {frames.FAILED: True}
    return answer


async def _channel(service: Service, channel: Channel, writer: asyncio.StreamWriter) -> None:
    """Let the service talk with a client; a farewell tells that it ended on purpose."""
    own = writer.get_extra_info("socket")
    own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER_BYTES)
    receiving = asyncio.ensure_future(channel._receive())
    try:
        await service.handle(channel)
        writer.write(frames.FAREWELL)
    except ChannelClosed:
        pass
    except Exception:
        log.exception("a channel is closed: the service failed")
    finally:
        receiving.cancel()


def _plain(value: object) -> str | int | float | bool | None:
    return value if isinstance(value, str | int | float | bool | None) else str(value)
