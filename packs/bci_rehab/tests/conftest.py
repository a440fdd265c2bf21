"""Tests of the pack: those of pages run with the platform, the others where its libraries are."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("HAIHE_SHARED", Path(__file__).parents[4] / "shared"))
RECORDINGS = SHARED / "data" / "bci"
# tools/test.py runs the tests in both environments: the platform's has no MNE, the pack's no Django
# tests' plugin.
collect_ignore = [
    *([] if find_spec("mne") else ["signal", "decode", "session", "station"]),
    *([] if find_spec("pytest_django") else ["clinic"]),
]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what reads public recordings where there are none: no CI could bring them."""
    if RECORDINGS.exists():
        return
    left_out = [item for item in items if "recordings" in getattr(item, "fixturenames", ())]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture
def recordings() -> Path:
    """The folder with public recordings."""
    return RECORDINGS
