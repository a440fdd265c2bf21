"""What tests of every domain may use."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection
from django.utils import translation

from tests.integration.shared import end_shared
from tests.triggers import PROTECTED, lifted_triggers

DATABASE_URL = os.environ.get("HAIHE_DATABASE_URL", "")
SHARED = Path(os.environ.get("HAIHE_SHARED", Path(__file__).parents[2] / "shared"))


def pytest_report_header() -> str:
    """Where the public data is, or that tests on it are left out."""
    there = SHARED if SHARED.exists() else f"none at {SHARED}, tests on it are left out"
    return f"public data (HAIHE_SHARED): {there}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what cannot say anything new here, and begin with the files that take longest.

    On PostgreSQL that is what touches no database: it did the same on SQLite. Where the public data
    is not beside the checkout, it is what reads it; nothing that CI could install would bring it.
    """
    wanted = items
    if DATABASE_URL.startswith("postgres"):
        wanted = [item for item in wanted if _touches_database(item)]
    if not SHARED.exists():
        wanted = [item for item in wanted if "shared_data" not in getattr(item, "fixturenames", ())]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(wanted)])
    items[:] = sorted(wanted, key=lambda item: item.get_closest_marker("long") is None)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what the simulation of the control plane played, over all processes that took part."""
    figures, faults = Counter[str](), Counter[str]()
    for report in [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]:
        for name, told in getattr(report, "user_properties", ()):
            if name == "control plane" and report.when == "call":
                figures.update(told["figures"])
                faults.update(told["faults"])
    if figures:
        counted = ", ".join(f"{name} {count}" for name, count in sorted(faults.items()))
        terminalreporter.write_line(
            f"control plane: {figures['seeds']} seeds, {figures['jobs']} jobs, "
            f"{faults.total()} faults ({counted}), "
            f"{figures['lost']} lost, {figures['doubled']} doubled"
        )


def _touches_database(item: pytest.Item) -> bool:
    fixtures = set(getattr(item, "fixturenames", ()))
    return bool(item.get_closest_marker("django_db") or fixtures & {"db", "transactional_db"})


def pytest_sessionfinish(session: pytest.Session) -> None:
    """End the clusters that tests shared."""
    end_shared(session.config)


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    """Each test begins in English, whatever language the one before it left active."""
    translation.activate("en")
    yield
    translation.deactivate()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home folder of the test's own."""
    from haihe.kernel.settings import load_settings

    monkeypatch.setenv("HAIHE_HOME", str(tmp_path))
    load_settings.cache_clear()
    yield tmp_path
    load_settings.cache_clear()


@pytest.fixture
def shared_data() -> Path:
    """The folder with the public data of tests and benchmarks."""
    return SHARED / "data"


@pytest.fixture
def committed(home: Path, transactional_db: None) -> Iterator[Path]:
    """A database whose transactions commit, so that threads and the witness see them; its home.

    Afterwards books and evidence are emptied past their triggers, because Django's flush cannot.
    """
    yield home
    with lifted_triggers(), connection.cursor() as cursor:
        for table in PROTECTED:
            cursor.execute(f"DELETE FROM {table}")
