"""The whole way: ``haihe up``, a page's WebSocket, and the service's own process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.conf import settings
from django.core import signing
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from haihe.packs import bridge
from haihe.packs.channels import SALT, service_address
from tests.integration.ports import free_ports
from tests.packs.serving.conftest import PACK, SERVICE, wait_until

pytestmark = pytest.mark.faults
CLAIMS = {"role": "patient"}
START_S = 90.0


def ticket(claims: dict[str, Any] = CLAIMS, *, service: str = SERVICE, **more: Any) -> str:
    told = {"pack": PACK, "service": service, "claims": claims}
    return signing.dumps(told, compress=True, **{"salt": SALT, **more})


@dataclass(frozen=True)
class Up:
    """A portal that runs."""

    port: int
    home: Path
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def service_state(self) -> str:
        """How the portal says that the service is; empty while it says nothing."""
        try:
            with urllib.request.urlopen(f"{self.url}/health/ready", timeout=10) as answer:
                line = json.load(answer)["checks"]["services"]
        except OSError:
            return ""
        return str(line["services"][f"{PACK}.{SERVICE}"])

    @contextmanager
    def page(
        self, *first: str, origin: str | None = None, path: str = service_address(PACK, SERVICE)
    ) -> Iterator[ClientConnection]:
        address = f"ws://127.0.0.1:{self.port}{path}"
        with connect(address, origin=origin or self.url, max_size=None) as page:  # type: ignore[arg-type]
            for text in first:
                page.send(text)
            yield page

    @contextmanager
    def channel(self, claims: dict[str, Any] = CLAIMS) -> Iterator[tuple[ClientConnection, int]]:
        """An open channel, and the process of the service behind it."""
        with self.page(ticket(claims)) as page:
            greeting = json.loads(page.recv(10))
            assert greeting["claims"] == claims
            yield page, greeting["pid"]


@contextmanager
def up(home: Path, site_packages: Path, *options: str) -> Iterator[Up]:
    port = free_ports(["portal"])["portal"]
    environment = {
        **os.environ,
        "PYTHONPATH": str(site_packages),
        "HAIHE_HOME": str(home),
        "HAIHE_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "HAIHE_SECRET_KEY": settings.SECRET_KEY,
        "HAIHE_DATABASE_URL": "",
        "DJANGO_SETTINGS_MODULE": "haihe.app.settings",
    }
    command = [sys.executable, "-m", "haihe.app.entry", "up", "--no-jobs", "--port", str(port)]
    with (home / "up.log").open("wb") as log:
        process = subprocess.Popen([*command, *options], env=environment, stderr=log)
    running = Up(port, home, process)
    try:
        wait_until(running.service_state, START_S)
        yield running
    finally:
        process.terminate()
        try:
            process.wait(30)
        finally:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def portal(site_packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with up(tmp_path_factory.mktemp("home"), site_packages) as running:
        wait_until(lambda: running.service_state() == "running")
        yield running


def closed_with(page: ClientConnection) -> int:
    """The code with which the portal ends a channel."""
    with pytest.raises(ConnectionClosed) as caught:
        while True:
            page.recv(20)
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code


def test_a_page_talks_with_the_service(portal: Up) -> None:
    with portal.channel() as (page, _pid):
        page.send(json.dumps({"n": "海河"}))
        assert json.loads(page.recv(10)) == {"echo": {"n": "海河"}}
        page.send(json.dumps({"ticket": ticket()}))
        page.send(json.dumps({"n": 2}))
        assert json.loads(page.recv(10)) == {"echo": {"n": 2}}
        page.send(json.dumps({"what": "bye"}))
        assert closed_with(page) == bridge.DONE


def aged() -> str:
    real = signing.time.time
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(signing.time, "time", lambda: real() - 61)
        return ticket()


@pytest.mark.parametrize(
    "make",
    [
        lambda: "{}",
        lambda: ticket()[:-2] + "xx",
        lambda: ticket(salt="another"),
        lambda: ticket(key="another"),
        lambda: ticket(service="other"),
        aged,
    ],
    ids=["none", "forged", "of another use", "of another key", "of another service", "old"],
)
def test_no_channel_opens_without_a_good_ticket(portal: Up, make: Callable[[], str]) -> None:
    with portal.page(make()) as page:
        assert closed_with(page) == bridge.BAD_TICKET


def test_no_ticket_at_all_opens_no_channel(portal: Up) -> None:
    with portal.page() as page:
        assert closed_with(page) == bridge.BAD_TICKET


def test_a_page_of_another_origin_is_turned_away(portal: Up) -> None:
    with portal.page(origin="https://evil.test") as page:
        assert closed_with(page) == bridge.BAD_ORIGIN


@pytest.mark.parametrize("path", ["/", "/services/", f"/services/{PACK}/{SERVICE}/x", "/packs"])
def test_no_other_address_is_a_websocket(portal: Up, path: str) -> None:
    with pytest.raises(InvalidStatus) as caught, portal.page(path=path):
        pass
    assert caught.value.response.status_code == 403


def test_a_service_that_is_not_there_is_told(portal: Up) -> None:
    with portal.page(path=f"/services/{PACK}/other") as page:
        assert closed_with(page) == bridge.NO_SERVICE


def test_a_renewal_with_other_claims_ends_the_channel(portal: Up) -> None:
    with portal.channel() as (page, _pid):
        page.send(json.dumps({"ticket": ticket({"role": "therapist"})}))
        assert closed_with(page) == bridge.OTHER_CLAIMS


def test_too_long_and_too_fast_end_the_channel(portal: Up) -> None:
    with portal.channel() as (page, _pid):
        page.send(json.dumps({"x": "y" * bridge.MAX_MESSAGE_BYTES}))
        assert closed_with(page) == bridge.TOO_LONG
    with portal.channel() as (page, _pid):
        for number in range(3 * bridge.MESSAGES_PER_S):
            page.send(json.dumps({"n": number}))
        assert closed_with(page) == bridge.TOO_FAST


def test_a_page_that_reads_nothing_leaves_the_service_behind_and_others_alone(portal: Up) -> None:
    with portal.channel() as (slow, _pid), portal.channel() as (other, _other_pid):
        slow.send(json.dumps({"what": "flood"}))
        began = time.monotonic()
        other.send(json.dumps({"n": 1}))
        assert json.loads(other.recv(10)) == {"echo": {"n": 1}}
        assert time.monotonic() - began < 10
        # The flood ends where the service sees that it is behind; only then it hears us again.
        slow.send(json.dumps({"n": "after"}))
        while (heard := json.loads(slow.recv(20))) != {"echo": {"n": "after"}}:
            assert "picture" in heard


def test_a_page_is_told_when_its_service_dies_and_finds_the_next_one(portal: Up) -> None:
    with portal.channel() as (page, pid):
        os.kill(pid, signal.SIGKILL)
        assert closed_with(page) == bridge.NOT_RUNNING
    wait_until(lambda: portal.service_state() == "running")
    with portal.channel() as (_page, next_pid):
        assert next_pid != pid


def test_services_can_be_left_out_and_end_with_the_portal(
    site_packages: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("quiet")
    with up(home, site_packages, "--no-services") as quiet:
        assert quiet.service_state() == "stopped"
        with quiet.page(ticket()) as page:
            assert closed_with(page) == bridge.NOT_RUNNING
    with up(home, site_packages) as running:
        wait_until(lambda: running.service_state() == "running")
        children = psutil.Process(running.process.pid).children()
        assert children
    wait_until(lambda: not any(child.is_running() for child in children), 5)
