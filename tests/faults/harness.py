"""Run the scenario in a child process that can be killed, on a home of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
RUN = """
import os, sys
import django
django.setup()
from pathlib import Path
from django.core.management import call_command
from tests.faults import scenario
step, home = sys.argv[1], Path(os.environ["HAIHE_HOME"])
if step == "prepare":
    call_command("migrate", verbosity=0, interactive=False)
    scenario.prepare()
elif step == "run":
    scenario.run(home)
else:
    scenario.run(home)
    scenario.check(home)
"""


def start(step: str, home: Path, **environment: str) -> subprocess.Popen[str]:
    """Start a step of the scenario."""
    return subprocess.Popen(
        [sys.executable, "-c", RUN, step],
        env={
            **os.environ,
            "HAIHE_HOME": str(home),
            "HAIHE_DATABASE_URL": "",
            "DJANGO_SETTINGS_MODULE": "haihe.app.settings",
            **environment,
        },
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def finish(process: subprocess.Popen[str], *, timeout_s: float = 120) -> int:
    """Wait for a step; its output is shown if it fails in an unexpected way."""
    output, _ = process.communicate(timeout=timeout_s)
    if process.returncode not in (0, -signal.SIGKILL):
        print(output)
    return process.returncode


def copy_home(prepared: Path, target: Path) -> Path:
    """A home as it was when prepared."""
    shutil.copytree(prepared, target)
    return target


def kill_after(process: subprocess.Popen[str], seconds: float) -> None:
    """Kill a step, and only it, at an instant."""
    time.sleep(seconds)
    if process.poll() is None:
        os.kill(process.pid, signal.SIGKILL)
