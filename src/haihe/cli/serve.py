"""``haihe up``: web server, dispatcher and event delivery in one process, stopped together."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog
import uvicorn
from django.db import close_old_connections, connection

from haihe.compute.tasks import Dispatcher
from haihe.kernel.clock import now
from haihe.kernel.outbox import deliver_due
from haihe.ledger.services import expire_due

PAUSE_S = 0.5
SWEEP_EVERY = 60

log = structlog.get_logger(__name__)


def serve(*, host: str, port: int, jobs: bool) -> None:
    """Serve until interrupted; running jobs go on without us and are found again."""
    stop = threading.Event()
    workers = [_worker("events", _deliver, stop)]
    if jobs:
        dispatcher = Dispatcher()
        workers.append(_worker("dispatcher", lambda turn: dispatcher.tick(), stop))
    for worker in workers:
        worker.start()
    try:
        uvicorn.run(
            "haihe.app.asgi:application",
            host=host,
            port=port,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=5,
        )
    finally:
        stop.set()
        for worker in workers:
            worker.join(timeout=10)


def _deliver(turn: int) -> int:
    if turn % SWEEP_EVERY == 0:
        expire_due(now())
    return deliver_due()


def _worker(name: str, step: Callable[[int], int], stop: threading.Event) -> threading.Thread:
    """A thread that repeats ``step``; an error is logged, and the next turn tries again."""

    def run() -> None:
        turn = 0
        while not stop.is_set():
            busy = 0
            try:
                close_old_connections()
                busy = step(turn)
            except Exception:
                log.exception("worker.failed", worker=name)
            turn += 1
            if not busy:
                stop.wait(PAUSE_S)
        connection.close()

    return threading.Thread(target=run, name=f"haihe-{name}", daemon=True)
