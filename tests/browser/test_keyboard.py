"""The main paths with the keyboard alone: every stop can be seen, and is not under the top bar."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from tests.browser.conftest import Visitor

pytestmark = pytest.mark.browser
STOPS_LIMIT = 80
SEEN = """() => {
  const here = document.activeElement;
  const box = here.getBoundingClientRect();
  const style = getComputedStyle(here);
  const bar = document.querySelector(".hh-top")?.getBoundingClientRect().bottom ?? 0;
  const inBar = Boolean(here.closest(".hh-top, .hh-skip"));
  return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2
    && box.width > 0 && box.bottom > 0 && box.top < innerHeight && (inBar || box.bottom > bar);
}"""


def tab_to(page: Page, selector: str) -> None:
    """Press the tab key until the focus is on what ``selector`` names."""
    for _stop in range(STOPS_LIMIT):
        page.keyboard.press("Tab")
        _wait_until_seen(page)
        if page.evaluate("s => document.activeElement.matches(s)", selector):
            return
    raise AssertionError(f"{page.url}: no way to {selector}")


def _wait_until_seen(page: Page) -> None:
    try:
        page.wait_for_function(SEEN, timeout=2_000)
    except PlaywrightTimeout:
        where = page.evaluate("document.activeElement.outerHTML.slice(0, 120)")
        raise AssertionError(f"{page.url}: the focus cannot be seen on {where}") from None


def write(page: Page, selector: str, text: str) -> None:
    """Go to a field and type over what is in it."""
    tab_to(page, selector)
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type(text)


def press(page: Page, selector: str, leads_to: str) -> None:
    """Go to a link or button, press it, and wait for the page behind it."""
    tab_to(page, selector)
    with page.expect_navigation(url=re.compile(leads_to)):
        page.keyboard.press("Enter")


@pytest.mark.parametrize("width", [1440, 390])
def test_sign_in_submit_a_job_and_apply_for_a_voucher(
    visit: Callable[..., Visitor], width: int
) -> None:
    visitor = visit(width=width, language="en")
    page = visitor.page
    visitor.go("/accounts/login/?next=/jobs")
    write(page, "input[name=login]", "demo-firm@haihe.test")
    write(page, "input[name=password]", visitor.site.password)
    press(page, "main button[type=submit]", "/jobs$")

    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "hh-skip"
    page.keyboard.press("Enter")
    press(page, "main a[href='/jobs/-/new']", "/jobs/-/new$")
    write(page, "input[name=name]", f"by-keyboard-{width}")
    write(page, "input[name=command]", "true")
    press(page, "main button[type=submit]", "/quotes/")
    press(page, "main form .hh-button-primary", "/jobs/[0-9a-f-]+$")
    assert page.inner_text("h1").startswith(f"by-keyboard-{width}")

    visitor.go("/schemes/demo-2026/apply")
    write(page, "input[name=amount_micro]", "100")
    for _declaration in page.query_selector_all("input[name=declarations]"):
        tab_to(page, "input[name=declarations]")
        page.keyboard.press("Space")
    tab_to(page, "button[name=check]")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=How it would come out now")
    assert page.input_value("input[name=amount_micro]") == "100"
    assert visitor.complaints == []
