"""Composition: which implementation fills which slot, which handler hears which event."""

from __future__ import annotations

from haihe.kernel.metrics import register_gauge
from haihe.kernel.outbox import backlog


def wire() -> None:
    """Connect the floors. Called once, when Django is ready."""
    register_gauge(
        "haihe_outbox_deliveries", "Deliveries by state.", label="state", read=backlog
    )
