"""Settings for test runs: a home of their own, cheap passwords, no network."""

from __future__ import annotations

import os
import tempfile

os.environ.setdefault("HAIHE_HOME", tempfile.mkdtemp(prefix="haihe-test-"))
os.environ.setdefault("HAIHE_LANGUAGE", "en")
os.environ.setdefault("HAIHE_LOG_LEVEL", "error")
