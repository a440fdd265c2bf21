"""Run the scenario in child processes that can be killed, each on a home of its own.

A :class:`Nursery` is a process that has loaded everything and forks a child for each step, so that
a step costs what it does and not what importing costs. A step is one of the scenario's, a command,
or a request. What a step may meet is told by its environment: ``HAIHE_CRASH_AT`` names the point to
die at, ``FAULTS_CLOCK`` the time of day that clock and ids begin at, ``FAULTS_FILE_BYTES`` how far
files may be written.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
UNAVAILABLE = 8
# Root may write where modes forbid it, unless this is taken from it.
WITHOUT_OVERRIDE = ("setpriv", "--bounding-set=-dac_override", "--") if os.geteuid() == 0 else ()


class Nursery:
    """Forks children that run a step each; ``prefix`` is a command to start under."""

    def __init__(self, *prefix: str) -> None:
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "tests.faults.harness"],
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
        return self._order({"step": step, "kill_after_s": kill_after_s}, home, environment)[0]

    def command(self, home: Path, *arguments: str, **environment: str) -> tuple[int, str]:
        """Run a command of ``haihe``; its exit code, and what it printed to both streams."""
        return self._order({"step": "command", "arguments": arguments}, home, environment)

    def call(
        self, home: Path, path: str, body: dict[str, Any] | None = None, **environment: str
    ) -> tuple[int, dict[str, Any]]:
        """Send a request, POST if it has a body; the status, and the answer's JSON."""
        order = {"step": "call", "path": path, "body": body}
        code, said = self._order(order, home, environment)
        assert code == 0, said
        answer = json.loads(said)
        return answer["status"], answer["body"]

    def _order(
        self, order: dict[str, Any], home: Path, environment: dict[str, str]
    ) -> tuple[int, str]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        whole = {**order, "home": str(home), "environment": environment}
        self.process.stdin.write(json.dumps(whole) + "\n")
        self.process.stdin.flush()
        code, said = json.loads(self.process.stdout.readline())
        return code, said

    def close(self) -> None:
        """End the nursery."""
        self.process.communicate(timeout=30)


def crash_points() -> list[str]:
    """Every name of a point in the source at which a run can be killed."""
    found: set[str] = set()
    for path in (ROOT / "src").rglob("*.py"):
        found |= set(re.findall(r'(?<!def )crash_point\(\s*"([a-z._]+)"', path.read_text()))
    return sorted(found)


def copy_home(prepared: Path, target: Path) -> Path:
    """A home as it was when prepared."""
    shutil.copytree(prepared, target)
    return target


def serve() -> None:
    """Fork a child per order on stdin; answer with its exit code."""
    import django

    django.setup()
    from django.utils import translation

    from tests.faults import scenario  # noqa: F401 (loaded once for all children)

    translation.activate("en")
    for line in sys.stdin:
        order = json.loads(line)
        # A pipe, because a child that may not write files can still say something.
        listen, tell = os.pipe()
        child = os.fork()
        if child == 0:
            os._exit(_child(order, tell))
        os.close(tell)
        if order.get("kill_after_s"):
            time.sleep(order["kill_after_s"])
            os.kill(child, signal.SIGKILL)
        with os.fdopen(listen) as pipe:
            said = pipe.read()
        _, status = os.waitpid(child, 0)
        sys.stdout.write(json.dumps([os.waitstatus_to_exitcode(status), said]) + "\n")
        sys.stdout.flush()


def _child(order: dict[str, Any], tell: int) -> int:
    from django.db import connection

    from haihe.kernel.errors import Unavailable
    from haihe.kernel.settings import load_settings
    from haihe.kernel.storage import storage_failure

    home = Path(order["home"])
    os.environ.update(order["environment"], HAIHE_HOME=str(home))
    os.dup2(2, 1)
    load_settings.cache_clear()
    connection.settings_dict["NAME"] = str(home / "haihe.sqlite3")
    try:
        with _clock(os.environ.get("FAULTS_CLOCK", "")), _file_limit():
            return _step(order, home, tell)
    except BaseException as error:  # noqa: BLE001 (a child ends here, whatever happened)
        if isinstance(error, Unavailable) or storage_failure(error):
            return UNAVAILABLE
        traceback.print_exc()
        return 1


def _step(order: dict[str, Any], home: Path, tell: int) -> int:
    from django.core.management import call_command

    from tests.faults import scenario

    match order["step"]:
        case "command":
            return _command(order["arguments"], tell)
        case "call":
            os.write(tell, json.dumps(_call(home, order["path"], order["body"])).encode())
        case "prepare":
            call_command("migrate", verbosity=0, interactive=False)
            scenario.prepare(home)
        case "fill":
            scenario.fill(home)
        case "run":
            scenario.run(home)
        case "check":
            scenario.run(home)
            scenario.check(home)
    return 0


def _call(home: Path, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
    """The answer to a request in the name of the platform's operator."""
    from django.test import Client

    token = (home / "token").read_text()
    client = Client(
        raise_request_exception=False,
        headers={"authorization": f"Bearer {token}", "host": "localhost"},
    )
    if body is None:
        response = client.get(path)
    else:
        # A request that is sent again has the key that it had.
        headers = {"idempotency-key": hashlib.sha256(json.dumps(body).encode()).hexdigest()}
        response = client.post(path, body, content_type="application/json", headers=headers)
    return {"status": response.status_code, "body": response.json()}


def _command(arguments: Sequence[str], tell: int) -> int:
    from haihe.cli.main import main

    for stream in (1, 2):
        os.dup2(tell, stream)
    sys.argv = ["haihe", *arguments]
    try:
        main()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


@contextmanager
def _clock(begins: str) -> Iterator[None]:
    """Let clock and ids begin at a time of this day, ``HH:MM`` in UTC, and go on from there."""
    if not begins:
        yield
        return
    from uuid_utils import compat

    from haihe.kernel.clock import use_clock

    hour, minute = map(int, begins.split(":"))
    began = datetime.now(UTC)
    shift = began.replace(hour=hour, minute=minute, second=0, microsecond=0) - began

    def now() -> datetime:
        return datetime.now(UTC) + shift

    uuid7 = compat.uuid7
    compat.uuid7 = lambda: uuid7(nanoseconds=int(now().timestamp() * 1e9))
    with use_clock(now):
        yield


@contextmanager
def _file_limit() -> Iterator[None]:
    """Let no file be written further than so many bytes, as on a disk that is full."""
    limit = os.environ.get("FAULTS_FILE_BYTES")
    if limit is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))
    yield
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)


if __name__ == "__main__":
    serve()
