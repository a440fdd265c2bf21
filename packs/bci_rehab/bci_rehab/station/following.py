"""The synthetic patient does as the cues say: each active phase becomes an intention."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from bci_rehab.session.plan import Phase, Side
from bci_rehab.signal.brain import Task
from haihe.packs import HaiheError

_TASKS = {
    Side.LEFT.value: Task.LEFT_HAND,
    Side.RIGHT.value: Task.RIGHT_HAND,
    Side.FEET.value: Task.FEET,
    Side.REST.value: Task.REST,
}


class Follower:
    """Tells a synthetic patient what to intend, from the messages of the live session.

    ``ask`` is the acquisition's; it waits for an answer, so it is called in a thread of its own.
    """

    def __init__(self, ask: Callable[..., Any], worker: ThreadPoolExecutor) -> None:
        self._ask, self._worker = ask, worker
        self._seen: tuple[Any, ...] = ()

    def follow(self, message: Mapping[str, Any]) -> None:
        """Take a message in; returns at once."""
        trial = message["trial"]
        active = trial["kind"] == Phase.ACTIVE.value
        seen = (active, trial["run"], trial["trial"], trial["begins_s"] if active else None)
        if seen == self._seen:
            return
        task = _TASKS[trial["side"]] if active else Task.REST
        if active or (self._seen and self._seen[0]):
            at_s = trial["begins_s"] if active else message["at_s"]
            self._worker.submit(self._intend, task, at_s)
        self._seen = seen

    def _intend(self, task: Task, at_s: float) -> None:
        # If the source is gone, the session is told so by the ring.
        with suppress(HaiheError):
            self._ask("intend", task.value, at_s)
