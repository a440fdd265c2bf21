"""Settings for test runs: a home of their own, cheap passwords, no network."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("HAIHE_HOME", tempfile.mkdtemp(prefix="haihe-test-"))
os.environ["HAIHE_LANGUAGE"] = "en"
os.environ["HAIHE_LOG_LEVEL"] = "error"
os.environ.pop("HAIHE_AS", None)
if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    os.environ["HAIHE_HOME"] = str(Path(os.environ["HAIHE_HOME"]) / worker)

SHARED = Path(os.environ.get("HAIHE_SHARED", Path(__file__).parents[2] / "shared"))


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
    if not SHARED.exists():
        pytest.skip(f"no data at {SHARED}: set HAIHE_SHARED to the folder that holds it")
    return SHARED / "data"
