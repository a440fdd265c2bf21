import os
from pathlib import Path

import pytest


@pytest.fixture
def shared() -> Path:
    """The folder with the test data of others; the tests that need it are skipped without it."""
    repository = Path(__file__).resolve().parents[4]
    folder = Path(os.environ.get("HAIHE_SHARED", repository / ".." / "shared")).resolve()
    if not (folder / "data" / "bci").is_dir():
        pytest.skip("no shared/data/bci; set HAIHE_SHARED to the folder that holds data/")
    return folder


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "faults: kills processes")
