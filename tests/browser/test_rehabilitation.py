"""Sessions of the rehabilitation pack as therapist and patient have them, with the keyboard."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site, Visitor
from tests.browser.test_keyboard import press
from tests.browser.test_pages import check

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[2]
THERAPIST = "demo-hospital"
PREPARE = (
    "import django; django.setup(); from tests.browser.rehabilitation import prepare; "
    f"print(prepare('{THERAPIST}@haihe.test'))"
)
STATION_LIMIT_S = 20
# Chromium without a screen still draws 60 pictures a second; a busy machine fewer.
FRAMES_LEAST = 30


@pytest.fixture
def patient(site: Site) -> str:
    """The address of a patient with a prescription."""
    environment = {
        **os.environ, "HAIHE_HOME": str(site.home), "HAIHE_DATABASE_URL": "",
        "DJANGO_SETTINGS_MODULE": "haihe.app.settings",
    }  # fmt: skip
    made = subprocess.run(
        [sys.executable, "-c", PREPARE],
        cwd=ROOT, env=environment, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return f"/bci-rehab/patients/{made.stdout.strip()}"


def begin_station(site: Site) -> subprocess.Popen[bytes]:
    """Start the made-up station."""
    home = site.home / "packs" / "bci_rehab"
    return subprocess.Popen([sys.executable, "-m", "tests.browser.rehabilitation", home], cwd=ROOT)


@pytest.fixture
def station(site: Site) -> Iterator[subprocess.Popen[bytes]]:
    """The made-up station, beside the portal."""
    home = site.home / "packs" / "bci_rehab"
    home.mkdir(parents=True, exist_ok=True)
    process = begin_station(site)
    deadline_s = time.monotonic() + STATION_LIMIT_S
    while not (home / "services" / "station.sock").exists():
        assert process.poll() is None, "the station has ended"
        assert time.monotonic() < deadline_s, "the station does not listen"
        time.sleep(0.05)
    yield process
    process.terminate()
    process.wait(timeout=10)


def open_session(visitor: Visitor, patient: str, *, channels: int = 16) -> str:
    """Plan and open a session by keyboard; its address."""
    page = visitor.page
    visitor.go(patient)
    press(page, f"main a[href='{patient}/sessions/-/new']", "/sessions/-/new$")
    press(page, "main form button[type=submit]", "/open$")
    page.locator("main label", has_text=f"{channels}").first.locator("input").focus()
    page.keyboard.press("Space")
    if channels == 16:
        page.select_option("select[name=actuator]", index=1)
        page.locator("input[name=output]").focus()
        page.keyboard.press("Space")
    press(page, "main form button[type=submit]", "/live$")
    return page.url.removeprefix(visitor.site.url).removesuffix("/live")


def end(visitor: Visitor, address: str) -> None:
    """Close a session from its page."""
    visitor.go(address)
    with visitor.page.expect_navigation():
        visitor.page.locator(f"form[action='{address}/close'] button").click()


def wait_for_frames(page: Page) -> None:
    counted = "/(\\d+) frames/.exec(document.getElementById('frames').textContent)"
    page.wait_for_function(f"n => Number({counted}?.[1]) > n", arg=FRAMES_LEAST)


def test_a_session_is_run_with_the_keyboard(
    visit: Callable[..., Visitor], patient: str, station: subprocess.Popen[bytes]
) -> None:
    therapist = visit(language="en")
    therapist.sign_in(THERAPIST)
    address = open_session(therapist, patient)
    page = therapist.page
    expect(page.locator("#connection")).to_have_text("Connected")
    expect(page.locator("#why")).to_have_text("Nobody has armed the actuator.")
    expect(page.locator("#impedance")).to_be_visible()
    expect(page.locator("#findings")).to_contain_text("it has come off")
    page.keyboard.press("a")
    expect(page.locator("#said")).to_contain_text("The patient's page is closed or hidden.")

    screen = page.context.new_page()
    screen.goto(f"{therapist.site.url}{address}/screen")
    expect(screen.locator("#words")).to_have_text("One moment, we begin soon")
    wait_for_frames(page)
    page.keyboard.press("b")
    expect(page.locator("#said")).to_have_text("Begin: done")
    expect(screen.locator("#screen")).to_have_attribute("data-kind", "cue", timeout=15_000)
    page.keyboard.press("a")
    expect(page.locator("#actuator")).to_have_text(re.compile("Armed|Moving"))

    screen.keyboard.press("Escape")
    expect(screen.locator("#alert")).to_have_text("Stopped. Nothing moves.")
    expect(page.locator("#why")).to_have_text("The emergency key was pressed.")
    expect(page.locator("#phase")).to_contain_text("Paused")
    page.keyboard.press("r")
    page.keyboard.press("a")
    expect(page.locator("#actuator")).to_have_text(re.compile("Armed|Moving"))
    expect(screen.locator("#alert")).to_be_hidden()
    page.keyboard.press("Escape")
    expect(page.locator("#why")).to_have_text("The therapist stopped it.")

    page.keyboard.press("d")
    expect(page.locator("#fit")).to_contain_text("Better than guessing")
    page.locator("#accept button").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#answer")).to_contain_text("is accepted and in use")
    expect(page.locator("#decoder")).to_have_text("A decoder is in use.")

    page.reload()
    expect(page.locator("#connection")).to_have_text("Connected")
    expect(page.locator("#phase")).to_contain_text("Paused")
    page.keyboard.press("r")
    page.keyboard.press("x")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#phase")).to_contain_text("Aborted")
    end(therapist, address)
    assert page.url.endswith(address)
    assert therapist.complaints == []


def test_a_lost_station_is_said_and_found_again(
    visit: Callable[..., Visitor], patient: str, station: subprocess.Popen[bytes]
) -> None:
    therapist = visit(language="en")
    therapist.sign_in(THERAPIST)
    address = open_session(therapist, patient, channels=64)
    page = therapist.page
    screen = page.context.new_page()
    screen.goto(f"{therapist.site.url}{address}/screen")
    expect(page.locator("#connection")).to_have_text("Connected")
    expect(screen.locator("#words")).to_have_text("One moment, we begin soon")
    station.terminate()
    station.wait(timeout=10)
    expect(page.locator("#connection")).to_contain_text(
        re.compile("Connection lost|station is not running")
    )
    expect(screen.locator("#alert")).to_contain_text("No connection. Nothing moves.")
    page.keyboard.press("b")
    expect(page.locator("#said")).to_contain_text("not sent")
    again = begin_station(therapist.site)
    try:
        expect(page.locator("#station")).to_contain_text("holds no session", timeout=20_000)
        visitor_cancels(therapist, address)
    finally:
        again.terminate()
        again.wait(timeout=10)


def visitor_cancels(visitor: Visitor, address: str) -> None:
    """Give up a session that the station has lost."""
    visitor.go(address)
    with visitor.page.expect_navigation():
        visitor.page.locator(f"form[action='{address}/cancel'] button").click()


@pytest.mark.parametrize(
    ("width", "language", "dark"),
    [(1440, "zh-CN", False), (390, "zh-CN", True), (1440, "en", True), (390, "en", False)],
)
def test_pages_of_sessions(
    visit: Callable[..., Visitor],
    patient: str,
    station: subprocess.Popen[bytes],
    tmp_path: Path,
    width: int,
    language: str,
    dark: bool,
) -> None:
    visitor = visit(width=width, language=language, dark=dark)
    visitor.sign_in(THERAPIST)
    pictures = Path(os.environ.get("HAIHE_PICTURES", tmp_path)) / f"{width}-{language}"
    pictures.mkdir(parents=True, exist_ok=True)
    problems = []

    def look(path: str, name: str, *, settle: str = "") -> None:
        problems.extend(check(visitor, path, thorough=True))
        if settle:
            visitor.page.wait_for_function(settle)
        visitor.page.screenshot(path=pictures / f"{name}.png", full_page=True)

    look(patient, "patient")
    look(f"{patient}/sessions/-/new", "plan")
    visitor.page.locator("main form button[type=submit]").click()
    visitor.page.wait_for_url("**/open")
    address = visitor.page.url.removeprefix(visitor.site.url).removesuffix("/open")
    look(address, "planned")
    look(f"{address}/open", "open")
    visitor.page.locator("input[name=source]").nth(0 if width == 1440 else 1).check()
    visitor.page.locator("main form button[type=submit]").click()
    visitor.page.wait_for_url("**/live")
    drawn = "() => document.querySelectorAll('#electrodes > *').length > 8"
    look(f"{address}/live", "live-waiting", settle=drawn)
    visitor.page.wait_for_timeout(4_000)
    visitor.page.screenshot(path=pictures / "live-window.png")
    visitor.page.evaluate("document.querySelector('[data-order=begin]').click()")
    for kind in ("waiting", "rest", "cue", "active", "pause"):
        shown = f"() => document.getElementById('screen').dataset.kind === '{kind}'"
        if kind == "waiting":
            continue
        path = f"{address}/screen"
        if visitor.page.url.endswith("/screen"):
            visitor.page.wait_for_function(shown)
            visitor.page.screenshot(path=pictures / f"screen-{kind}.png")
        else:
            look(path, f"screen-{kind}", settle=shown)
    look(f"{address}/live", "live-running", settle=drawn)
    look(address, "running")
    end(visitor, address)
    look(address, "ended")
    look("/bci-rehab/research/sessions", "research")
    past = visitor.page.goto(visitor.site.url + patient)
    assert past is not None
    visitor.page.locator("#sessions tbody a").last.click()
    visitor.page.wait_for_url("**/bci-rehab/sessions/*")
    look(visitor.page.url.removeprefix(visitor.site.url), "results")
    assert problems + visitor.complaints == []
