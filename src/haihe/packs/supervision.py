"""Keeps the services of installed packs running, as children of ``haihe up``.

Each service is a process of its own, with the Python of its pack's environment. One that ends is
started again after a pause that grows while it keeps failing. A service whose pack's libraries are
not installed is named once in the log, and is started when they are there. Children end with this
process however it ends: each watches its standard input, a pipe that only we hold.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import structlog

from haihe.kernel.settings import load_settings
from haihe.packs import channels
from haihe.packs.discovery import PackSource, installed_packs
from haihe.packs.domain import Text
from haihe.packs.environments import PackEnvironment, environment_of
from haihe.packs.errors import ServiceUnavailable
from haihe.packs.service_runner import MODULE, context_of, reference
from haihe.packs.serving import STOP_LIMIT_S, ServiceContext, last_failure, note_failure

TICK_S = 0.5
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
# A service that ran this long was well: when it ends, counting begins anew.
WELL_AFTER_S = 60.0
ASK_LIMIT_S = 0.5

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class InstalledService:
    """A service that an installed pack declares."""

    context: ServiceContext
    title: Text
    source: PackSource
    environment: PackEnvironment | None

    @property
    def label(self) -> str:
        """What it is called in logs and lists."""
        return f"{self.context.pack}.{self.context.name}"

    @property
    def is_installed(self) -> bool:
        """Whether the libraries of its pack are there."""
        return self.environment is None or self.environment.is_ready

    @property
    def command(self) -> list[str]:
        """What runs it as our child."""
        python = sys.executable if self.environment is None else str(self.environment.python)
        pack = reference(self.source)
        return [python, "-m", MODULE, "--pack", pack, "--service", self.context.name, "--tied"]


class ServiceState(StrEnum):
    """How a service is."""

    RUNNING = "running"
    STOPPED = "stopped"
    NOT_INSTALLED = "not installed"


@dataclass(frozen=True, kw_only=True)
class ServiceStatus:
    """How a service is: since when it runs, and what last went wrong with it, and when."""

    service: InstalledService
    state: ServiceState
    since: datetime | None
    failed_at: datetime | None
    failure: str

    def as_dict(self) -> dict[str, Any]:
        """The status as JSON."""
        return {
            "service": self.service.label,
            "title": self.service.title.model_dump(),
            "state": self.state.value,
            "since": self.since,
            "failed_at": self.failed_at,
            "failure": self.failure,
        }


def installed_services(sources: Sequence[PackSource] | None = None) -> list[InstalledService]:
    """The services of the given packs; of all that are installed, if none are given."""
    folder = load_settings().environments_folder
    return [
        InstalledService(
            context=context_of(source, name),
            title=rule.title,
            source=source,
            environment=environment_of(source, folder),
        )
        for source in (installed_packs() if sources is None else sources)
        for name, rule in source.manifest().services.items()
    ]


def status_of(service: InstalledService) -> ServiceStatus:
    """How a service is now: whether it answers, whoever started it."""
    context, since = service.context, None
    state = ServiceState.STOPPED if service.is_installed else ServiceState.NOT_INSTALLED
    with suppress(ServiceUnavailable):
        since = channels.ping_service(context.pack, context.name, timeout_s=ASK_LIMIT_S)
        state = ServiceState.RUNNING
    failed_at, failure = last_failure(context) or (None, "")
    return ServiceStatus(
        service=service, state=state, since=since, failed_at=failed_at, failure=failure
    )


def pause_s(failures: int) -> float:
    """How long to wait before a service is started again that failed so often in a row."""
    return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(failures - 1, 10))


class Supervisor:
    """Starts services, and starts again what has ended; ``clock`` counts seconds."""

    def __init__(
        self, services: Sequence[InstalledService], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._wards = [_Ward(service, clock) for service in services]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="haihe-services", daemon=True)

    def start(self) -> None:
        """Begin, in a thread of its own."""
        self._thread.start()

    def tick(self) -> None:
        """Look after each service once."""
        for ward in self._wards:
            ward.look()

    def close(self) -> None:
        """End every service: SIGTERM, and after its time SIGKILL."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        for ward in self._wards:
            ward.ask_to_end()
        deadline = time.monotonic() + 2 * STOP_LIMIT_S
        for ward in self._wards:
            ward.end_by(deadline)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.tick()
            except Exception:
                log.exception("services.failed")
            self._stop.wait(TICK_S)


class _Ward:
    """One service under supervision, and its process if it has one."""

    def __init__(self, service: InstalledService, clock: Callable[[], float]) -> None:
        self.service = service
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._began_s = self._due_s = clock()
        self._failures = 0
        self._known: tuple[datetime, str] | None = None
        self._is_named = False

    def look(self) -> None:
        """Note whether it has ended, and start it if it is due."""
        if self._process is not None and self._process.poll() is not None:
            self._note_end(self._process)
        if self._process is None and self._clock() >= self._due_s:
            if self.service.is_installed:
                self._begin()
            elif not self._is_named:
                self._is_named = True
                log.warning(
                    "service.not_installed",
                    service=self.service.label,
                    install=f"haihe packs install {self.service.context.pack}",
                )

    def ask_to_end(self) -> None:
        """Send it SIGTERM."""
        if self._process is not None:
            self._process.terminate()

    def end_by(self, deadline_s: float) -> None:
        """Wait for its end, and kill it when the time is over."""
        if self._process is None:
            return
        try:
            self._process.wait(max(0.0, deadline_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            log.warning("service.killed", service=self.service.label, pid=self._process.pid)
            self._process.kill()
            self._process.wait()
        self._close_pipe()

    def _begin(self) -> None:
        self._began_s, self._known = self._clock(), last_failure(self.service.context)
        try:
            self._process = subprocess.Popen(  # noqa: S603 (our own runner)
                self.service.command, stdin=subprocess.PIPE, start_new_session=True
            )
        except OSError as error:
            self._fail(str(error))
            return
        log.info("service.started", service=self.service.label, pid=self._process.pid)

    def _note_end(self, process: subprocess.Popen[bytes]) -> None:
        self._close_pipe()
        self._process = None
        if self._clock() - self._began_s >= WELL_AFTER_S:
            self._failures = 0
        self._fail(ending(process.returncode))

    def _fail(self, text: str) -> None:
        self._failures += 1
        wait_s = pause_s(self._failures)
        self._due_s = self._clock() + wait_s
        if last_failure(self.service.context) == self._known:  # it did not say itself
            note_failure(self.service.context, text)
        log.warning(
            "service.ended", service=self.service.label, reason=text, again_in_s=round(wait_s)
        )

    def _close_pipe(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()


def ending(status: int) -> str:
    """How a process ended, in words."""
    return f"killed by signal {-status}" if status < 0 else f"ended with status {status}"
