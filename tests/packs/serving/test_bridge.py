"""The bridge between a page's WebSocket and a service, spoken to as the web server does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest
from django.conf import settings
from hypothesis import given
from hypothesis import strategies as st

from haihe.app.asgi import application
from haihe.packs import bridge
from haihe.packs.bridge import Allowance, is_own_origin
from haihe.packs.channels import service_address, service_ticket
from tests.packs.serving.conftest import PACK, SERVICE, Installed, running
from tests.packs.serving.talking import Talking

ADDRESS = service_address(PACK, SERVICE)
CLAIMS = {"role": "patient", "person": "42"}


class Browser:
    """A page's end of a WebSocket, as ASGI sees it."""

    def __init__(self, path: str = ADDRESS, origin: str | None = None) -> None:
        headers = [(b"host", b"127.0.0.1:8321")]
        if origin != "":
            headers.append((b"origin", (origin or settings.PUBLIC_URL).encode()))
        scope = {"type": "websocket", "path": path, "headers": headers, "scheme": "ws"}
        self._said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._heard: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue()
        self._said.put_nowait({"type": "websocket.connect"})
        self.task = asyncio.ensure_future(application(scope, self._said.get, self._heard.put))

    def says(self, message: object) -> None:
        """A text frame: text as it is, else as JSON."""
        text = message if isinstance(message, str) else json.dumps(message)
        self._said.put_nowait({"type": "websocket.receive", "text": text})

    def leaves(self) -> None:
        self._said.put_nowait({"type": "websocket.disconnect", "code": 1001})

    def sends_bytes(self) -> None:
        self._said.put_nowait({"type": "websocket.receive", "bytes": b"{}"})

    async def hears(self) -> Mapping[str, Any]:
        """The next event but the acceptance; a message as what it says."""
        event = await self._heard.get()
        if event["type"] == "websocket.accept":
            return await self.hears()
        return json.loads(event["text"]) if event["type"] == "websocket.send" else event

    async def code(self) -> int:
        """The code that the channel is closed with, past whatever was said before."""
        while (event := await self.hears()).get("type") != "websocket.close":
            pass
        await self.task
        return int(event["code"])

    async def enters(self, claims: Mapping[str, Any] = CLAIMS) -> Mapping[str, Any]:
        self.says(service_ticket(PACK, SERVICE, claims))
        return await self.hears()


def served(installed: Installed, use: Callable[[Talking], Awaitable[None]]) -> None:
    async def body() -> None:
        async with asyncio.timeout(30), running(installed.context) as service:
            await use(service)

    asyncio.run(body())


def test_messages_pass_both_ways_and_the_service_gets_the_claims(installed: Installed) -> None:
    async def use(service: Talking) -> None:
        page = Browser()
        assert (await page.enters())["claims"] == CLAIMS
        page.says({"n": "\u6d77\u6cb3"})
        assert await page.hears() == {"echo": {"n": "\u6d77\u6cb3"}}
        page.leaves()
        await page.task
        while "left" not in service.done:
            await asyncio.sleep(0.01)

    served(installed, use)


def test_what_was_said_last_before_leaving_arrives(installed: Installed) -> None:
    async def use(service: Talking) -> None:
        page = Browser()
        await page.enters()
        page.says({"what": "emergency"})
        page.leaves()
        await page.task
        while {"what": "emergency"} not in service.heard:
            await asyncio.sleep(0.01)

    served(installed, use)


@pytest.mark.parametrize(
    "path",
    ["/", "/services", "/services/", f"/services/{PACK}", f"{ADDRESS}/", f"{ADDRESS}/more",
     f"/x{ADDRESS}", "/services/../etc", "/packs", "/api/v1/packs", ADDRESS.upper()],
)  # fmt: skip
def test_no_other_address_is_a_websocket(installed: Installed, path: str) -> None:
    async def use(_service: Talking) -> None:
        page = Browser(path)
        page.says(service_ticket(PACK, SERVICE, CLAIMS))
        await page.task
        assert await page.hears() == {"type": "websocket.close"}, "never accepted"

    served(installed, use)


@pytest.mark.parametrize("path", [f"/services/{PACK}/other", f"/services/other/{SERVICE}"])
def test_a_service_that_nobody_declares_is_not_there(installed: Installed, path: str) -> None:
    async def use(_service: Talking) -> None:
        page = Browser(path)
        page.says(service_ticket(PACK, SERVICE, CLAIMS))
        assert await page.code() == bridge.NO_SERVICE

    served(installed, use)


@pytest.mark.parametrize("origin", ["", "null", "https://evil.test", "http://127.0.0.1:9"])
def test_pages_of_other_origins_are_turned_away(installed: Installed, origin: str) -> None:
    async def use(_service: Talking) -> None:
        page = Browser(origin=origin)
        page.says(service_ticket(PACK, SERVICE, CLAIMS))
        assert await page.code() == bridge.BAD_ORIGIN

    served(installed, use)


@pytest.mark.parametrize("first", ["", "x", "{}", '{"ticket": "x"}', {"n": 1}])
def test_nothing_opens_without_a_good_ticket(installed: Installed, first: object) -> None:
    async def use(service: Talking) -> None:
        page = Browser()
        page.says(first)
        page.says({"what": "flood"})
        assert await page.code() == bridge.BAD_TICKET
        assert not service.pictures

    served(installed, use)


def test_a_ticket_for_another_service_opens_nothing(
    installed: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = {PACK: frozenset({SERVICE, "other"})}
    for module in (bridge, __import__("haihe.packs.channels", fromlist=["x"])):
        monkeypatch.setattr(module, "declared_services", lambda: both)

    async def use(_service: Talking) -> None:
        page = Browser()
        page.says(service_ticket(PACK, "other", CLAIMS))
        assert await page.code() == bridge.BAD_TICKET

    served(installed, use)


def test_who_shows_no_ticket_in_time_is_turned_away(
    installed: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridge, "TICKET_LIMIT_S", 0.05)

    async def use(_service: Talking) -> None:
        assert await Browser().code() == bridge.BAD_TICKET

    served(installed, use)


def test_a_channel_ends_with_its_time_and_a_new_ticket_puts_that_off(
    installed: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridge, "CHANNEL_S", 0.6)

    async def use(_service: Talking) -> None:
        short, renewed = Browser(), Browser()
        for page in (short, renewed):
            await page.enters()
        for _ in range(4):
            await asyncio.sleep(0.3)
            renewed.says({"ticket": service_ticket(PACK, SERVICE, CLAIMS)})
        assert short.task.done()
        assert await short.code() == bridge.BAD_TICKET
        renewed.says({"n": 1})
        assert await renewed.hears() == {"echo": {"n": 1}}, "and tickets are not passed on"
        assert await renewed.code() == bridge.BAD_TICKET

    served(installed, use)


@pytest.mark.parametrize(
    ("claims", "code"),
    [({**CLAIMS, "role": "therapist"}, bridge.OTHER_CLAIMS), (None, bridge.BAD_TICKET)],
)
def test_a_renewal_changes_nothing_about_who_it_is(
    installed: Installed, claims: dict[str, str] | None, code: int
) -> None:
    async def use(_service: Talking) -> None:
        page = Browser()
        await page.enters()
        page.says({"ticket": service_ticket(PACK, SERVICE, claims) if claims else 7})
        assert await page.code() == code

    served(installed, use)


@pytest.mark.parametrize(
    ("message", "code"),
    [("[1]", bridge.NO_MESSAGE), ("{", bridge.NO_MESSAGE), ('{"x": NaN}', bridge.NO_MESSAGE),
     ({"x": "\u6d77" * 6_000}, bridge.TOO_LONG), ("x" * 16_385, bridge.TOO_LONG)],
)  # fmt: skip
def test_what_is_no_message_or_too_long_ends_the_channel(
    installed: Installed, message: object, code: int
) -> None:
    async def use(_service: Talking) -> None:
        page = Browser()
        await page.enters()
        page.says(message if isinstance(message, str) else json.dumps(message, ensure_ascii=False))
        assert await page.code() == code

    served(installed, use)


def test_bytes_are_no_message(installed: Installed) -> None:
    async def use(_service: Talking) -> None:
        page = Browser()
        await page.enters()
        page.sends_bytes()
        assert await page.code() == bridge.NO_MESSAGE

    served(installed, use)


def test_who_talks_too_fast_is_closed(installed: Installed) -> None:
    async def use(_service: Talking) -> None:
        page = Browser()
        await page.enters()
        for number in range(200):
            page.says({"n": number})
        assert await page.code() == bridge.TOO_FAST

    served(installed, use)


def test_one_channel_too_many_is_told_to_come_again(
    installed: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridge, "MAX_CHANNELS", 1)

    async def use(_service: Talking) -> None:
        first = Browser()
        await first.enters()
        second = Browser()
        second.says(service_ticket(PACK, SERVICE, CLAIMS))
        assert await second.code() == bridge.TOO_MANY
        first.leaves()
        await first.task
        assert (await Browser().enters())["claims"] == CLAIMS

    served(installed, use)


def test_the_page_is_told_how_the_service_ended_the_channel(installed: Installed) -> None:
    async def use(_service: Talking) -> None:
        for word, code in (("bye", bridge.DONE), ("fail", bridge.NOT_RUNNING)):
            page = Browser()
            await page.enters()
            page.says({"what": word})
            assert await page.code() == code

    served(installed, use)


def test_a_service_that_does_not_run_is_told(installed: Installed) -> None:
    async def body() -> None:
        async with asyncio.timeout(30):
            page = Browser()
            page.says(service_ticket(PACK, SERVICE, CLAIMS))
            assert await page.code() == bridge.NOT_RUNNING

    asyncio.run(body())


HOST = b"127.0.0.1:8321"


@pytest.mark.parametrize(
    ("host", "origin", "is_secure", "is_own"),
    [
        (HOST, "http://127.0.0.1:8321", False, True),
        (b"localhost:8321", "http://localhost:8321", False, True),
        (b"localhost:8321", "https://localhost:8321", False, False),
        (b"localhost:8321", "https://localhost:8321", True, True),
        (b"localhost", "http://localhost:80", False, True),
        (b"evil.test", "http://evil.test", False, False),
        (HOST, "http://evil.test", False, False),
        (HOST, "http://127.0.0.1:8322", False, False),
        (HOST, "http://127.0.0.1.evil.test:8321", False, False),
        (HOST, "null", False, False),
        (HOST, "http://[::", False, False),
        (HOST, "", False, False),
        (b"", "", False, False),
        (b"haihe.test", "https://portal.test", False, True),
        (b"haihe.test", "https://portal.test:443", False, True),
        (b"haihe.test", "http://portal.test", False, False),
    ],
)
def test_which_origins_are_our_own(
    settings: Any, host: bytes, origin: str, is_secure: bool, is_own: bool
) -> None:
    if b"haihe" in host:
        settings.PUBLIC_URL = "https://portal.test"
    headers = {b"host": host, b"origin": origin.encode()}
    assert is_own_origin(headers, is_secure=is_secure) is is_own


@given(st.lists(st.floats(0, 0.2), min_size=1, max_size=400))
def test_no_more_pass_than_the_rate_and_one_second_in_advance(gaps_s: list[float]) -> None:
    allowance, at_s, passed = Allowance(100, 0.0), 0.0, 0
    for gap_s in gaps_s:
        at_s += gap_s
        passed += allowance.take(at_s)
        assert passed <= 100 + 100 * at_s + 1e-6
