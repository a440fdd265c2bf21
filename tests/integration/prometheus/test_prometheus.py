"""Prometheus (Debian's package) scrapes our metrics; our agent reads Debian's node exporter."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from haihe.compute.agent.exporters import Exporters
from tests.integration import NotInstalled

pytestmark = pytest.mark.integration
PATIENCE_S = 60.0
PROMETHEUS = "prometheus"
NODE_EXPORTER = "prometheus-node-exporter"


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(str(NotInstalled(f"{name} is not installed: apt-get install {name}")))
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(*command: str, ready: str, log: Path, **environment: str) -> Iterator[None]:
    """A process, from when its address answers until the end of the block."""
    with log.open("w") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, env={**os.environ, **environment}
        )
    try:
        eventually(lambda: httpx.get(ready, timeout=5).is_success, process, log)
        yield
    finally:
        process.terminate()
        process.wait(timeout=20)


def eventually(
    condition: Callable[[], Any],
    process: subprocess.Popen[bytes] | None = None,
    log: Path | None = None,
) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        assert process is None or process.poll() is None, log and log.read_text()
        try:
            found = condition()
        except httpx.HTTPError:
            found = None
        if found:
            return found
        assert time.monotonic() < deadline, "it did not come in time"
        time.sleep(0.2)


def installation(home: Path) -> dict[str, str]:
    return {
        "HAIHE_HOME": str(home),
        "HAIHE_DATABASE_URL": "",
        "DJANGO_SETTINGS_MODULE": "haihe.app.settings",
    }


def test_prometheus_reads_pools_and_jobs(tmp_path: Path) -> None:
    binary = program(PROMETHEUS)
    home = tmp_path / "home"
    command = str(Path(sys.executable).with_name("haihe"))
    environment = installation(home)
    subprocess.run(
        [command, "demo", "--json"], env={**os.environ, **environment}, check=True,
        capture_output=True,
    )  # fmt: skip
    port, own = free_port(), free_port()
    config = tmp_path / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
        "scrape_configs:\n"
        f"- {{job_name: haihe, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}\n"
    )
    up = [command, "up", "--port", str(port)]
    environment["HAIHE_PUBLIC_URL"] = f"http://127.0.0.1:{port}"
    site = f"http://127.0.0.1:{port}/health/live"
    api = f"http://127.0.0.1:{own}"
    flags = [
        f"--config.file={config}",
        f"--storage.tsdb.path={tmp_path / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{own}",
    ]

    def ask(query: str) -> list[dict[str, Any]]:
        answer = httpx.get(f"{api}/api/v1/query", params={"query": query}, timeout=5)
        result: list[dict[str, Any]] = answer.json()["data"]["result"]
        return result

    with (
        running(*up, ready=site, log=tmp_path / "up.log", **environment),
        running(binary, *flags, ready=f"{api}/-/ready", log=tmp_path / "prometheus.log"),
    ):
        assert eventually(lambda: ask('up{job="haihe"} == 1'))
        [cpu] = eventually(lambda: ask("haihe_pool_cpu"))
        assert "/" in cpu["metric"]["pool"]
        assert 0 <= float(cpu["value"][1]) <= 1
        [target] = httpx.get(f"{api}/api/v1/targets", timeout=5).json()["data"]["activeTargets"]
        assert (target["health"], target["lastError"]) == ("up", "")


def test_the_agent_reads_a_node_exporter(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/metrics"
    flags = [f"--web.listen-address=127.0.0.1:{port}"]
    with running(program(NODE_EXPORTER), *flags, ready=url, log=tmp_path / "node.log"):
        exporters = Exporters([url])
        first = exporters.measure()
        assert 0 < first["memory_busy"] < 1
        assert "cpu_busy" not in first, "a rate takes two looks"
        time.sleep(0.5)
        assert 0 <= exporters.measure()["cpu_busy"] <= 1
    assert Exporters([url]).measure() == {}, "one that is gone leaves its figures out"
