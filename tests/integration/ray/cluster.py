"""Start the head of a Ray cluster, and end it with all that it started."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration import NotInstalled
from tests.integration.ports import free_ports
from tests.integration.ray import INSTALL

PATIENCE_S = 120.0
CPUS = 4
GPUS = 2
GPU_MODEL = "H200"
MEMORY_BYTES = 4 * 2**30
_PORTS = (
    "port", "dashboard-port", "ray-client-server-port", "dashboard-agent-listen-port",
    "dashboard-agent-grpc-port", "node-manager-port", "object-manager-port",
    "runtime-env-agent-port", "metrics-export-port",
)  # fmt: skip


@dataclass
class Cluster:
    """A Ray head: where it keeps its files, where it answers, and the token it asks for."""

    folder: Path
    ports: dict[str, int] = field(default_factory=lambda: free_ports(_PORTS))
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The dashboard's address."""
        return f"http://127.0.0.1:{self.ports['dashboard-port']}"

    @property
    def token_file(self) -> Path:
        """The file with the cluster's token."""
        return self.folder / "token"

    def start(self) -> None:
        """Start the head and wait until it has a node that takes jobs."""
        if not self.token_file.exists():
            self.token_file.touch(mode=0o600)
            self.token_file.write_text(secrets.token_hex(32))
        self.session = Path(tempfile.mkdtemp(prefix="r", dir=self.folder))
        ports = [f"--{name}={port}" for name, port in self.ports.items()]
        with (self.folder / "ray.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    str(Path(sys.executable).with_name("ray")), "start", "--head", "--block",
                    "--node-ip-address=127.0.0.1", "--dashboard-host=127.0.0.1", *ports,
                    "--disable-usage-stats", f"--temp-dir={self.session}",
                    f"--num-cpus={CPUS}", f"--num-gpus={GPUS}", f"--memory={MEMORY_BYTES}",
                    f"--object-store-memory={80 * 2**20}",
                    f"--resources={json.dumps({f'accelerator_type:{GPU_MODEL}': GPUS})}",
                ],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
        self._wait()

    def stop(self) -> None:
        """End the head; it ends what it started, and what it does not is ended by its session."""
        if self.process is None:
            return
        leader = self.process.pid
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=20)
        for pid in _session(leader):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(timeout=20)
        self.process = None

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": "/usr/bin:/bin",
            "HOME": str(self.folder),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self.token_file),
            # Ray takes the machine's outer address for a loopback one, unless it is kept from
            # forming clusters of several machines.
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
            # Under `uv run`, as make calls the tests, Ray would start its workers through uv in a
            # copy of the present folder, which has none.
            "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        }

    def _wait(self) -> None:
        assert self.process is not None
        token = self.token_file.read_text()
        request = urllib.request.Request(
            f"{self.url}/nodes?view=summary", headers={"Authorization": f"Bearer {token}"}
        )
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError((self.folder / "ray.log").read_text()[-3_000:])
            with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=5) as answer:
                if json.load(answer)["data"]["summary"]:
                    return
            time.sleep(0.2)
        raise TimeoutError((self.folder / "ray.log").read_text()[-3_000:])


def check_installed() -> None:
    """Raise unless Ray is there.

    Raises
    ------
    NotInstalled
        With the command that installs it.
    """
    if importlib.util.find_spec("ray") is None:
        raise NotInstalled(f"Ray is not installed: {INSTALL}")


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A cluster in a folder of its own, ended and removed afterwards."""
    check_installed()
    # Ray's sockets lie below it, and a socket's path may have 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="haihe-ray-"))
    head = Cluster(folder)
    try:
        head.start()
        yield head
    finally:
        head.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _session(leader: int) -> list[int]:
    """The processes of the session that ``leader`` began."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            session = (place / "stat").read_text().rpartition(")")[2].split()[3]
            if int(session) == leader:
                found.append(int(place.name))
    return found
