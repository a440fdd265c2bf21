from pathlib import Path

import pytest
from station_world import recorded_calibration


@pytest.fixture(scope="session")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recorded calibration of a patient whose rhythms answer."""
    return recorded_calibration(tmp_path_factory.mktemp("calibration") / "recording.hrec")
