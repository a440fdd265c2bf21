"""Run the scenario in child processes that can be killed, each on a home of its own.

A :class:`Nursery` is a process that has loaded everything and forks a child for each step, so that
a step costs what it does and not what importing costs.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


class Nursery:
    """Forks children that run a step of the scenario."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.harness"],
            env={
                **os.environ,
                "HAIHE_DATABASE_URL": "",
                "DJANGO_SETTINGS_MODULE": "tests.settings",
            },
            cwd=ROOT,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def run(self, step: str, home: Path, *, kill_after_s: float = 0, **environment: str) -> int:
        """Run a step to its end, or kill it after a while; the exit code."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        order = {
            "step": step,
            "home": str(home),
            "kill_after_s": kill_after_s,
            "environment": environment,
        }
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def close(self) -> None:
        """End the nursery."""
        self.process.communicate(timeout=30)


def copy_home(prepared: Path, target: Path) -> Path:
    """A home as it was when prepared."""
    shutil.copytree(prepared, target)
    return target


def serve() -> None:
    """Fork a child per order on stdin; answer with its exit code."""
    import django

    django.setup()
    from tests.faults import scenario  # noqa: F401 (loaded once for all children)

    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            os._exit(_step(order))
        if order["kill_after_s"]:
            time.sleep(order["kill_after_s"])
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _step(order: dict[str, Any]) -> int:
    import traceback

    from django.core.management import call_command
    from django.db import connection

    from haihe.kernel.settings import load_settings
    from tests.faults import scenario

    home = Path(order["home"])
    os.environ.update(order["environment"], HAIHE_HOME=str(home))
    os.dup2(2, 1)
    load_settings.cache_clear()
    connection.settings_dict["NAME"] = str(home / "haihe.sqlite3")
    try:
        if order["step"] == "prepare":
            call_command("migrate", verbosity=0, interactive=False)
            scenario.prepare()
        else:
            scenario.run(home)
        if order["step"] == "check":
            scenario.check(home)
    except BaseException:  # noqa: BLE001 (a child ends here, whatever happened)
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    serve()
