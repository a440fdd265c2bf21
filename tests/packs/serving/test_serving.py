"""A service's side: channels, frames, what one client can do to others, and how it ends."""

from __future__ import annotations

import asyncio
import socket
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haihe.packs import ServiceContext, frames, serve, serving
from haihe.packs.errors import ServiceRunning
from haihe.packs.frames import FrameError
from haihe.packs.serving import last_failure, note_failure
from tests.packs.serving import talking
from tests.packs.serving.conftest import PACK, SERVICE, running
from tests.packs.serving.talking import Talking

Link = tuple[asyncio.StreamReader, asyncio.StreamWriter]
CLAIMS = {"role": "patient", "person": "42"}
_links: list[asyncio.StreamWriter] = []


@pytest.fixture
def context(tmp_path: Path) -> ServiceContext:
    return ServiceContext(pack=PACK, name=SERVICE, home=tmp_path)


def with_service(context: ServiceContext, use: Callable[[Talking], Awaitable[None]]) -> Talking:
    """Run the service and its clients, and hang up for those that did not."""

    async def body() -> Talking:
        async with asyncio.timeout(30), running(context) as service:
            try:
                await use(service)
            finally:
                while _links:
                    _links.pop().close()
            return service

    return asyncio.run(body())


async def connect(context: ServiceContext, *first: dict[str, Any]) -> Link:
    with frames.reachable(context.socket) as name:
        reader, writer = await asyncio.open_unix_connection(name)
    _links.append(writer)
    for message in first:
        writer.write(frames.frame(message))
    return reader, writer


async def opened(context: ServiceContext) -> Link:
    link = await connect(context, {"open": CLAIMS})
    greeting = await frames.read(link[0])
    assert greeting is not None
    assert greeting["claims"] == CLAIMS
    return link


async def is_ended(reader: asyncio.StreamReader) -> bool:
    """Whether the other side hangs up without a farewell."""
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await frames.read(reader)
    return True


def test_a_client_is_heard_and_answered_and_its_leaving_noticed(context: ServiceContext) -> None:
    async def use(service: Talking) -> None:
        reader, writer = await opened(context)
        writer.write(frames.frame({"n": 1}) + frames.frame({"n": 2}))
        assert [await frames.read(reader) for _ in range(2)] == [
            {"echo": {"n": 1}}, {"echo": {"n": 2}},
        ]  # fmt: skip
        writer.close()
        while "left" not in service.done:
            await asyncio.sleep(0.01)

    assert with_service(context, use).done == ["start", "left", "stop"]


def test_a_channel_that_ends_on_purpose_says_farewell(context: ServiceContext) -> None:
    async def use(_service: Talking) -> None:
        reader, writer = await opened(context)
        writer.write(frames.frame({"what": "bye"}))
        assert await frames.read(reader) is None
        assert await reader.read() == b""

    with_service(context, use)


@pytest.mark.parametrize(
    "bad",
    [
        frames.LENGTH.pack(frames.MAX_FRAME_BYTES + 1) + b"{",
        frames.LENGTH.pack(4) + b"[42]",
        frames.LENGTH.pack(3) + b"{no",
        frames.LENGTH.pack(2) + b"\xff\xff",
        frames.frame({"what": "fail"}),
        frames.frame({"what": "nonsense"}),
    ],
)
def test_what_one_client_does_wrong_ends_its_own_channel_only(
    context: ServiceContext, bad: bytes
) -> None:
    async def use(_service: Talking) -> None:
        other_reader, other_writer = await opened(context)
        reader, writer = await opened(context)
        writer.write(bad)
        assert await is_ended(reader)
        other_writer.write(frames.frame({"n": 1}))
        assert await frames.read(other_reader) == {"echo": {"n": 1}}

    with_service(context, use)


@pytest.mark.parametrize("first", [{}, {"open": 7}, {"ask": []}, {"ping": False}, {"x": 1}])
def test_a_first_frame_that_says_nothing_known_is_hung_up_on(
    context: ServiceContext, first: dict[str, Any]
) -> None:
    async def use(_service: Talking) -> None:
        reader, _writer = await connect(context, first)
        assert await is_ended(reader)

    with_service(context, use)


def test_who_says_nothing_is_hung_up_on(
    context: ServiceContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "FIRST_FRAME_LIMIT_S", 0.05)

    async def use(_service: Talking) -> None:
        reader, _writer = await connect(context)
        assert await is_ended(reader)

    with_service(context, use)


def test_one_too_many_is_turned_away(
    context: ServiceContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "MAX_CONNECTIONS", 2)

    async def use(_service: Talking) -> None:
        links = [await opened(context) for _ in range(2)]
        reader, _writer = await connect(context, {"open": CLAIMS})
        assert await is_ended(reader)
        links[0][1].close()
        await asyncio.sleep(0.1)
        await opened(context)

    with_service(context, use)


def test_a_client_that_takes_nothing_marks_behind_and_what_waits_is_bounded(
    context: ServiceContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "SEND_LIMIT_S", 0.2)

    async def use(service: Talking) -> None:
        reader, writer = await opened(context)
        writer.write(frames.frame({"what": "flood"}))
        while service.pictures < 1:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        sent = service.pictures
        assert sent < 20, "behind is noticed before a second of pictures"
        for _ in range(sent):
            assert await frames.read(reader) == talking.PICTURE
        writer.write(frames.frame({"n": 1}))
        assert await frames.read(reader) == {"echo": {"n": 1}}, "a client that catches up stays"

    with_service(context, use)


def test_a_client_that_takes_nothing_for_long_is_let_go(
    context: ServiceContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "SEND_LIMIT_S", 0.2)
    ended: list[int] = []

    class Pours(Talking):
        async def handle(self, channel: serving.Channel) -> None:
            try:
                while True:
                    await channel.send(talking.PICTURE)
                    self.pictures += 1
            finally:
                ended.append(self.pictures)

    async def body() -> None:
        stop = asyncio.Event()
        task = asyncio.ensure_future(serve(Pours, context, stop=stop))
        while not context.socket.exists():
            await asyncio.sleep(0.01)
        link = await connect(context, {"open": {}})
        async with asyncio.timeout(10):
            while not ended:
                await asyncio.sleep(0.05)
        link[1].close()
        stop.set()
        await task

    asyncio.run(body())
    assert ended[0] * 100_000 < 3 * serving.MAX_WAITING_BYTES + (2 << 20)


def test_files_are_for_the_owner_and_gone_afterwards(context: ServiceContext) -> None:
    async def use(_service: Talking) -> None:
        assert stat.S_IMODE(context.socket.stat().st_mode) == 0o600
        assert stat.S_IMODE(context.socket.parent.stat().st_mode) == 0o700

    with_service(context, use)
    assert not context.socket.exists()


def test_a_second_one_is_refused_and_the_first_goes_on(context: ServiceContext) -> None:
    async def use(_service: Talking) -> None:
        with pytest.raises(ServiceRunning, match=f"service {SERVICE} of pack {PACK} is running"):
            await serve(talking.make, context, stop=asyncio.Event())
        await opened(context)

    with_service(context, use)


def test_a_socket_that_a_dead_process_left_gives_way(context: ServiceContext) -> None:
    context.socket.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as dead, frames.reachable(context.socket) as address:
        dead.bind(address)

    async def use(_service: Talking) -> None:
        await opened(context)

    with_service(context, use)


def test_a_path_beyond_what_the_kernel_takes_is_listened_at(tmp_path: Path) -> None:
    deep = ServiceContext(pack=PACK, name=SERVICE, home=tmp_path / ("d" * 120))

    async def use(_service: Talking) -> None:
        await opened(deep)

    with_service(deep, use)


def test_a_service_that_cannot_start_is_stopped_and_says_why(
    context: ServiceContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TALKING", "broken")
    service = talking.make(context)
    with pytest.raises(RuntimeError, match="amplifier"):
        asyncio.run(serve(lambda _context: service, context, stop=asyncio.Event()))
    assert service.done == ["start", "stop"]
    assert not context.socket.exists()


def test_the_last_failure_is_kept(context: ServiceContext) -> None:
    assert last_failure(context) is None
    note_failure(context, "no amplifier")
    told = last_failure(context)
    assert told is not None
    assert told[1] == "no amplifier"


@given(
    st.dictionaries(
        st.text(),
        st.recursive(
            st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text()
            | st.floats(allow_nan=False, allow_infinity=False),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=10,
        ),
    )
)  # fmt: skip
def test_a_message_comes_out_of_its_frame_as_it_went_in(message: dict[str, Any]) -> None:
    try:
        content = frames.frame(message)
    except FrameError:
        assert "\\ud" in ascii(message), "only half of a surrogate pair has no form"
        return
    assert frames.length_of(content[:4]) == len(content) - 4
    assert frames.from_text(content[4:]) == message


def test_a_message_that_is_too_long_is_not_sent() -> None:
    with pytest.raises(FrameError, match="at most"):
        frames.frame({"x": "y" * frames.MAX_FRAME_BYTES})
