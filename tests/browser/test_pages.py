"""Every page, as people see it: in both languages, wide and narrow, light and dark."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.browser.conftest import Visitor

pytestmark = pytest.mark.browser

SCREENSHOT = Path(__file__).parents[2] / "docs" / "assets" / "target.png"
PUBLIC = (
    "/",
    "/wall",
    "/plans",
    "/plans/tianjin-2025-2027",
    "/plans/tianjin-2025-2027/targets/T3",
    "/plans/tianjin-2025-2027/targets/T8",
    "/indicators",
    "/network",
    "/centres",
    "/centres/demo-centre",
    "/centres/demo-centre/pools/local",
    "/schemes",
    "/schemes/demo-2026",
    "/packs",
    "/packs/tumour_triage",
    "/packs/bci_rehab",
    "/scenarios",
    "/evaluations",
    "/datasets",
    "/datasets/wdbc",
    "/accounts/login/",
    "/accounts/password/reset/",
)
FIRM = (
    "/jobs",
    "/jobs/-/new",
    "/contracts",
    "/agreements",
    "/vouchers",
    "/ledger/accounts",
    "/evidence",
    "/organisations",
    "/organisations/demo-firm",
    "/organisations/-/new",
    "/memberships",
    "/profile",
    "/tokens",
)
# What others see that neither a visitor nor the firm does.
OTHERS = {
    "demo-office": (
        "/plans/-/import",
        "/schemes/-/open",
        "/schemes/demo-2026/fund",
        "/schemes/demo-2026/payments",
    ),
    "demo-hospital": (
        "/datasets/wdbc/edit",
        "/datasets/wdbc/propose",
        "/datasets/wdbc/usage",
        "/datasets/wdbc/versions/-/new",
        "/datasets/wdbc/versions/1?preview",
    ),
    "demo-centre-operator": (
        "/centres/-/new",
        "/centres/demo-centre/pools/-/new",
        "/centres/demo-centre",
        "/centres/demo-centre/terms",
        "/centres/demo-centre/accounts/-/new",
        "/centres/demo-centre/pools/local",
        "/centres/demo-centre/pools/local/terms",
        "/centres/demo-centre/pools/local/maintenance/-/new",
        "/centres/demo-centre/pools/local/allocations/-/new",
    ),
    "demo-operator": (
        "/platform/roles",
        "/evidence/keys/rotate",
        "/organisations/demo-firm/ownership",
    ),
    "demo-auditor": (
        "/ledger/accounts",
        "/ledger/audit",
        "/evidence/checkpoints",
        "/evidence/verify",
    ),
}
FIRST_OF = {
    "/jobs": "main tbody a",
    "/vouchers": "main tbody a",
    "/evaluations": "main tbody a",
    "/scenarios": "main tbody a",
    "/evidence": "main tbody a",
    "/ledger/accounts": "main tbody a",
}
WINDOWS = [
    (1440, "zh-CN", False),
    (390, "zh-CN", True),
    (1440, "en", True),
    (390, "en", False),
    (1920, "en", False),
]


# Where accessibility is checked as well: once light and wide, once dark and narrow.
THOROUGH = {(1440, False), (390, True)}


def check(visitor: Visitor, path: str, *, thorough: bool) -> list[str]:
    """What is wrong with a page, in words."""
    status = visitor.go(path)
    problems = [] if status == 200 else [f"{path}: status {status}"]
    if visitor.overflow() > 0:
        problems.append(f"{path}: {visitor.overflow()} px too wide")
    language = visitor.page.get_attribute("html", "lang") or ""
    wanted = "zh" if "zh" in visitor.page.evaluate("navigator.language") else "en"
    if not language.startswith(wanted):
        problems.append(f"{path}: lang is {language}")
    if not visitor.page.title():
        problems.append(f"{path}: no title")
    if not thorough:
        return problems
    found = Axe().run(visitor.page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21aa"]})
    problems += [
        f"{path}: {violation['id']} {violation['nodes'][0]['html'][:120]}"
        for violation in found.response["violations"]
    ]
    return problems


@pytest.mark.parametrize(("width", "language", "dark"), WINDOWS)
def test_public_pages(visit: Callable[..., Visitor], width: int, language: str, dark: bool) -> None:
    visitor = visit(width=width, language=language, dark=dark)
    problems = [
        p for path in PUBLIC for p in check(visitor, path, thorough=(width, dark) in THOROUGH)
    ]
    assert problems + visitor.complaints == []


@pytest.mark.parametrize(("width", "language", "dark"), WINDOWS)
def test_pages_of_a_member(
    visit: Callable[..., Visitor], width: int, language: str, dark: bool
) -> None:
    visitor = visit(width=width, language=language, dark=dark)
    visitor.sign_in("demo-firm")
    problems = [
        p for path in FIRM for p in check(visitor, path, thorough=(width, dark) in THOROUGH)
    ]
    for path, link in FIRST_OF.items():
        visitor.go(path)
        target = visitor.page.locator(link).first.get_attribute("href")
        assert target, path
        problems += check(visitor, target, thorough=(width, dark) in THOROUGH)
    assert problems + visitor.complaints == []


@pytest.mark.parametrize(("width", "language"), [(1440, "zh-CN"), (390, "en")])
@pytest.mark.parametrize("slug", OTHERS)
def test_pages_of_others(
    visit: Callable[..., Visitor], slug: str, width: int, language: str
) -> None:
    visitor = visit(width=width, language=language)
    visitor.sign_in(slug)
    problems = [p for path in OTHERS[slug] for p in check(visitor, path, thorough=width == 1440)]
    assert problems + visitor.complaints == []


def test_the_readmes_screenshot(visit: Callable[..., Visitor], tmp_path: Path) -> None:
    """Taken anew with HAIHE_SCREENSHOTS=1; else it is only seen that it can be."""
    visitor = visit(width=1280, height=800, language="en")
    visitor.sign_in("demo-office")
    assert visitor.go("/plans/tianjin-2025-2027/targets/T3") == 200
    place = SCREENSHOT if os.environ.get("HAIHE_SCREENSHOTS") else tmp_path / "target.png"
    visitor.page.screenshot(path=place)
    assert place.stat().st_size > 10_000
    assert SCREENSHOT.exists()
