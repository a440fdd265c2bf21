"""Settings of test runs: a home of their own, English pages, quiet logs."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

_home = os.environ.get("HAIHE_TEST_HOME") or tempfile.mkdtemp(prefix="haihe-test-")
_worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
os.environ["HAIHE_HOME"] = str(Path(_home) / _worker)
os.environ["HAIHE_CONFIG"] = os.devnull
os.environ["HAIHE_LANGUAGE"] = "en"
os.environ["HAIHE_LOG_LEVEL"] = "error"
os.environ.pop("HAIHE_AS", None)

from haihe.app.settings import *  # noqa: E402, F403
