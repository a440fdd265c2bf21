"""A real installation with the demonstration in it, served to a real Chromium."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
START_TIMEOUT_S = 60
FLAGS = ("--no-sandbox", "--disable-background-networking", "--disable-component-update")


@dataclass(frozen=True)
class Site:
    """A running portal, and how to sign in to it."""

    url: str
    home: Path
    password: str


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The demonstration, served by ``haihe up`` on a free port."""
    home = tmp_path_factory.mktemp("site")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    environment = {
        **os.environ,
        "HAIHE_HOME": str(home),
        "HAIHE_PUBLIC_URL": url,
        "HAIHE_LANGUAGE": "zh-hans",
        "HAIHE_DATABASE_URL": "",
        "DJANGO_SETTINGS_MODULE": "haihe.app.settings",
    }
    command = [str(Path(sys.executable).with_name("haihe"))]
    subprocess.run([*command, "demo", "--json"], env=environment, check=True, capture_output=True)
    with (home / "up.log").open("w") as log:
        server = subprocess.Popen(
            [*command, "up", "--port", str(port)],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=log,
        )
    try:
        _wait_for(f"{url}/health/ready", server)
        yield Site(url, home, (home / "demo-password").read_text())
    finally:
        server.terminate()
        server.wait(timeout=20)


def _wait_for(address: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        assert server.poll() is None, "haihe up has ended"
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(address)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium."""
    if not Path(CHROMIUM).exists():
        pytest.skip("Chromium is not installed: apt-get install chromium fonts-noto-cjk")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


@dataclass
class Visitor:
    """Somebody in front of a browser, and what their console complained about."""

    page: Page
    site: Site
    complaints: list[str]

    def go(self, path: str) -> int:
        """Open a page; its status."""
        response = self.page.goto(self.site.url + path)
        assert response is not None
        return response.status

    def sign_in(self, slug: str) -> None:
        """Sign in as one of the demonstration's people."""
        self.go("/accounts/login/")
        self.page.fill('input[name="login"]', f"{slug}@haihe.test")
        self.page.fill('input[name="password"]', self.site.password)
        self.page.click('main button[type="submit"]')
        self.page.wait_for_url(re.compile(r"^(?!.*/accounts/login)"))

    def overflow(self) -> int:
        """By how many pixels the page is wider than the window."""
        return int(
            self.page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
        )


@pytest.fixture
def visit(chromium: Browser, site: Site) -> Iterator[Callable[..., Visitor]]:
    """Open a window of a width, in a language: ``visit(width=390, language="en")``."""
    contexts: list[BrowserContext] = []

    def open_window(
        *, width: int = 1440, height: int = 900, language: str = "zh-CN", dark: bool = False
    ) -> Visitor:
        context = chromium.new_context(
            viewport={"width": width, "height": height},
            locale=language,
            color_scheme="dark" if dark else "light",
        )
        contexts.append(context)
        page = context.new_page()
        complaints: list[str] = []

        def listen(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning"):
                complaints.append(f"{page.url}: {message.text}")

        page.on("console", listen)
        page.on("pageerror", lambda error: complaints.append(f"{page.url}: {error}"))
        return Visitor(page, site, complaints)

    yield open_window
    for context in contexts:
        context.close()
