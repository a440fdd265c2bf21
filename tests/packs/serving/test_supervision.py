"""Services as child processes: started, watched, started again, ended, and never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from haihe.packs import supervision
from haihe.packs.channels import ask_service
from haihe.packs.environments import PackEnvironment
from haihe.packs.errors import ServiceUnavailable
from haihe.packs.service_runner import MODULE, REFUSED
from haihe.packs.supervision import (
    InstalledService,
    ServiceState,
    Supervisor,
    installed_services,
    pause_s,
    status_of,
)
from tests.packs.serving.conftest import PACK, SERVICE, Installed, wait_until

Supervise = Callable[..., Supervisor]


@pytest.fixture
def service(installed: Installed, monkeypatch: pytest.MonkeyPatch) -> InstalledService:
    for name in ("PYTHONPATH", "HAIHE_HOME", "HAIHE_LOG_LEVEL"):
        monkeypatch.setenv(name, installed.environment[name])
    [found] = [one for one in installed_services() if one.context.pack == PACK]
    return found


@pytest.fixture
def supervise() -> Iterator[Supervise]:
    begun: list[Supervisor] = []

    def make(*services: InstalledService, **more: object) -> Supervisor:
        begun.append(Supervisor(services, **more))  # type: ignore[arg-type]
        return begun[-1]

    yield make
    for supervisor in begun:
        supervisor.close()


@pytest.fixture
def logs(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the supervisor logs."""
    lines: list[dict[str, Any]] = []

    class Log:
        def warning(self, event: str, **more: Any) -> None:
            lines.append({"event": event, **more})

        info = warning

    monkeypatch.setattr(supervision, "log", Log())
    return lines


def pid(service: InstalledService) -> int:
    """The process that answers, 0 if none does."""
    with suppress(ServiceUnavailable):
        return int(ask_service(PACK, SERVICE, {})["pid"])
    return 0


def is_alive(number: int) -> bool:
    return psutil.pid_exists(number) and psutil.Process(number).status() != "zombie"


def test_pauses_grow_and_have_an_end() -> None:
    assert [pause_s(failures) for failures in (1, 2, 3, 4, 5, 6, 7, 999)] == [
        1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0,
    ]  # fmt: skip


def test_a_service_that_is_killed_is_started_again(
    service: InstalledService, supervise: Supervise, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert status_of(service).state is ServiceState.STOPPED
    supervisor = supervise(service)
    supervisor.start()
    wait_until(lambda: pid(service))
    first = pid(service)
    status = status_of(service)
    assert status.state is ServiceState.RUNNING
    assert status.since is not None
    assert not status.failure
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: pid(service) not in (0, first))
    assert status_of(service).failure == "killed by signal 9"
    second = pid(service)
    supervisor.close()
    assert not is_alive(second)
    assert not service.context.socket.exists(), "it ended as asked"


def test_one_that_cannot_start_says_why_and_is_tried_at_growing_pauses(
    service: InstalledService,
    supervise: Supervise,
    logs: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TALKING", "broken")
    clock = [0.0]
    supervisor = supervise(service, clock=lambda: clock[0])
    starts = []
    for number in range(3):
        supervisor.tick()
        starts.append(clock[0])
        wait_until(lambda so_far=number: _ended(supervisor, logs) > so_far)
        clock[0] += logs[-1]["again_in_s"]
    assert starts == [0.0, 1.0, 3.0]
    assert status_of(service).failure == "RuntimeError: no amplifier is connected"


def _ended(supervisor: Supervisor, logs: list[dict[str, Any]]) -> int:
    supervisor.tick()
    return len([line for line in logs if line["event"] == "service.ended"])


def test_one_that_heeds_no_sigterm_is_killed(
    service: InstalledService,
    supervise: Supervise,
    logs: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TALKING", "deaf")
    monkeypatch.setattr(supervision, "STOP_LIMIT_S", 0.2)
    supervisor = supervise(service)
    supervisor.start()
    wait_until(lambda: pid(service))
    number = pid(service)
    supervisor.close()
    assert not is_alive(number)
    assert logs[-1]["event"] == "service.killed"


def test_one_whose_libraries_are_missing_is_named_once_and_started_when_they_are_there(
    service: InstalledService, supervise: Supervise, tmp_path: Path, logs: list[dict[str, Any]]
) -> None:
    environment = PackEnvironment(
        pack=PACK, distribution="d", requirement="d[signal]==1", folder=tmp_path / "environment",
        workspace=None,
    )  # fmt: skip
    heavy = replace(service, environment=environment)
    supervisor = supervise(heavy)
    for _ in range(3):
        supervisor.tick()
    assert [(line["event"], line["install"]) for line in logs] == [
        ("service.not_installed", f"haihe packs install {PACK}")
    ]
    assert status_of(heavy).state is ServiceState.NOT_INSTALLED
    (environment.folder / "bin").mkdir(parents=True)
    # No link: an interpreter finds its libraries by where it lies.
    python = environment.python
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    (environment.folder / "environment.json").touch()
    supervisor.tick()
    wait_until(lambda: pid(service))
    assert status_of(heavy).state is ServiceState.RUNNING


PARENT = """
import sys, time
import django
django.setup()
from haihe.packs.supervision import Supervisor, installed_services
supervisor = Supervisor([one for one in installed_services() if one.context.pack == sys.argv[1]])
supervisor.start()
time.sleep(600)
"""


def test_a_child_ends_when_its_parent_is_killed(
    service: InstalledService, installed: Installed
) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, PACK],
        env=installed.environment,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: pid(service), 60)
        child = pid(service)
        assert psutil.Process(child).ppid() == parent.pid
    finally:
        parent.kill()
        parent.wait()
    wait_until(lambda: not is_alive(child))


def run(installed: Installed, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        env=installed.environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_a_second_instance_is_refused_by_name(
    service: InstalledService, installed: Installed, supervise: Supervise
) -> None:
    supervisor = supervise(service)
    supervisor.start()
    wait_until(lambda: pid(service))
    done = run(installed, MODULE, "--pack", PACK, "--service", SERVICE)
    assert done.returncode == REFUSED
    assert "packs.service_running" in done.stderr
    done = run(installed, "haihe.app.entry", "packs", "serve", PACK, SERVICE)
    assert done.returncode == 5, done.stderr
    assert "is running already" in done.stderr


def test_a_service_that_no_manifest_names_is_refused(installed: Installed) -> None:
    done = run(installed, MODULE, "--pack", PACK, "--service", "other")
    assert done.returncode == REFUSED
    assert "packs.service_unknown" in done.stderr


def test_the_command_serves_in_the_foreground_until_interrupted(
    service: InstalledService, installed: Installed
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "haihe.app.entry", "packs", "serve", PACK, SERVICE],
        env=installed.environment,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: pid(service), 60)
        assert pid(service) == process.pid
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
