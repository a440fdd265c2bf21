"""``haihe up``: web server and workers in one process, stopped together.

The workers dispatch jobs, deliver events, and do what is due periodically. Beside them the services
of packs run, each a process of its own that ends with this one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

import structlog
import uvicorn
from django.db import DatabaseError, close_old_connections, connection

from haihe.compute.tasks import Dispatcher
from haihe.kernel import beats
from haihe.kernel.errors import Unavailable
from haihe.kernel.outbox import deliver_due
from haihe.kernel.storage import storage_failure
from haihe.packs.bridge import MAX_MESSAGE_BYTES
from haihe.packs.supervision import Supervisor, installed_services

PAUSE_S = 0.5
# How long a worker leaves a disk or a database alone that could not serve it.
STORAGE_PAUSE_S = 5.0

Step = Callable[[], int]
log = structlog.get_logger(__name__)


def serve(*, host: str, port: int, jobs: bool, services: bool) -> None:
    """Serve until interrupted; running jobs go on without us and are found again."""
    stop = threading.Event()
    steps: dict[str, Step] = {"events": deliver_due, "beats": beats.run_due}
    if jobs:
        steps["dispatcher"] = Dispatcher().tick
    workers = [_worker(name, step, stop) for name, step in steps.items()]
    supervisor = Supervisor(installed_services() if services else [])
    for worker in workers:
        worker.start()
    supervisor.start()
    try:
        uvicorn.run(
            "haihe.app.asgi:application",
            host=host,
            port=port,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=5,
            # What it reads into memory before the bridge sees it; a page that answers no ping
            # for this long is gone.
            ws="websockets-sansio",
            ws_max_size=MAX_MESSAGE_BYTES,
            ws_ping_interval=20.0,
            ws_ping_timeout=20.0,
        )
    finally:
        stop.set()
        supervisor.close()
        for worker in workers:
            worker.join(timeout=10)


def _worker(name: str, step: Step, stop: threading.Event) -> threading.Thread:
    """A thread that repeats ``step``; an error is logged, and the next turn tries again."""

    def run() -> None:
        while not stop.is_set():
            pause_s = PAUSE_S
            try:
                close_old_connections()
                beats.alive(name)
                if step():
                    pause_s = 0.0
            except Exception as error:  # noqa: BLE001 (logged, and the next turn tries again)
                pause_s = _log_failure(name, error)
            stop.wait(pause_s)
        with suppress(DatabaseError):
            beats.leave(name)
        connection.close()

    return threading.Thread(target=run, name=f"haihe-{name}", daemon=True)


def _log_failure(worker: str, error: Exception) -> float:
    """Log what a worker met with; how many seconds it should pause."""
    failure = error if isinstance(error, Unavailable) else storage_failure(error)
    if failure is None:
        log.exception("worker.failed", worker=worker)
        return PAUSE_S
    log.warning("worker.waits", worker=worker, error=str(failure))
    return STORAGE_PAUSE_S
