"""Whether this installation can do its work: one line for each thing that must hold.

A line is ``ok``; ``warning`` if somebody should look but requests are served as they should be; or
``failed``, and then the installation is not ready. The kernel checks what every process needs; the
composition adds the lines of the domains with :func:`register_check`. Nothing here is secret: the
address is open to whoever watches the installation, so causes are in the log and not in the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache
from typing import Any

import structlog
from django.db import DatabaseError, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from haihe.kernel.clock import now
from haihe.kernel.models import Beat
from haihe.kernel.settings import load_settings
from haihe.kernel.storage import free_bytes, is_writable

WRITE_EVERY = timedelta(seconds=5)
WRITTEN = "health.write"

log = structlog.get_logger(__name__)


class State(StrEnum):
    """How a line stands; the worst of all is how the installation stands."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True)
class Line:
    """One thing that must hold: how it stands, in a word, a sentence, and figures."""

    state: State
    text: str
    figures: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The line as JSON."""
        return {"state": self.state.value, "text": self.text, **self.figures}


Check = Callable[[], Line]
_checks: dict[str, Check] = {}


def register_check(name: str, check: Check) -> None:
    """Add a line to what :func:`look` says."""
    _checks[name] = check


def look() -> dict[str, Line]:
    """Every line, by name; what cannot be asked for while another line has failed is left out."""
    lines = {name: _guarded(name, check) for name, check in _BASE.items()}
    if all(lines[name].state is State.OK for name in ("database", "migrations")):
        lines |= {name: _guarded(name, check) for name, check in _checks.items()}
    return lines


def is_ready(lines: dict[str, Line]) -> bool:
    """Whether no line has failed."""
    return all(line.state is not State.FAILED for line in lines.values())


def of_beat(name: str, *, interval: timedelta) -> Line:
    """The line of a periodic work: how it last came out, and whether that is too long ago."""
    beat = Beat.objects.filter(name=name).first()
    if beat is None or beat.ended_at is None:
        return Line(State.WARNING, "has not been done yet; haihe up does it")
    age = _age(beat.ended_at)
    figures = {"at": beat.ended_at.isoformat(), "age_s": _seconds(age)}
    if not beat.is_good:
        return Line(State.FAILED, "went wrong; the log says why", figures)
    if age > 3 * interval:
        return Line(State.FAILED, "has not been done for too long", figures)
    return Line(State.OK, beat.text, figures)


def of_worker(name: str, *, silence: timedelta) -> Line:
    """The line of a worker that says it is alive: whether it has been silent for too long."""
    beat = Beat.objects.filter(name=name).first()
    if beat is None:
        return Line(State.WARNING, "is not running; haihe up starts it")
    age = _age(beat.began_at)
    figures = {"at": beat.began_at.isoformat(), "age_s": _seconds(age)}
    if age > silence:
        return Line(State.FAILED, "has been silent for too long", figures)
    return Line(State.OK, "is at work", figures)


def _guarded(name: str, check: Check) -> Line:
    try:
        return check()
    except (DatabaseError, OSError) as error:
        log.warning("health.failed", check=name, error=str(error))
        return Line(State.FAILED, "cannot be looked at; the log says why")


def _database() -> Line:
    """Write to it, at most once in :data:`WRITE_EVERY`: to be asked must not wear out the disk."""
    figures = {"vendor": connection.vendor}
    if _missing_migrations():
        return Line(State.OK, "answers", figures)
    at = now()
    Beat.objects.get_or_create(name=WRITTEN, defaults={"began_at": at})
    # Also where the row is not due the statement is a write, which a read-only database refuses.
    Beat.objects.claim(WRITTEN, at=at, every=WRITE_EVERY)
    return Line(State.OK, "takes writes", figures)


def _migrations() -> Line:
    missing = _missing_migrations()
    if missing:
        return Line(State.FAILED, "are missing; run: haihe init", {"missing": missing})
    return Line(State.OK, "are all applied")


def _missing_migrations() -> list[str]:
    applied = MigrationRecorder(connection).applied_migrations().keys()
    return sorted(".".join(key) for key in _known_migrations() - applied)


@cache
def _known_migrations() -> frozenset[tuple[str, str]]:
    """The migrations of this version, which cannot change while the process runs."""
    return frozenset(MigrationLoader(None).disk_migrations or ())


def _disk() -> Line:
    free, least = free_bytes(), load_settings().disk_minimum_bytes
    figures = {"free_bytes": free, "minimum_bytes": least}
    if free < least:
        return Line(State.FAILED, "has too little room", figures)
    if not is_writable():
        return Line(State.FAILED, "cannot be written to", figures)
    return Line(State.OK, "has room", figures)


def _age(at: datetime) -> timedelta:
    return max(timedelta(0), now() - at)


def _seconds(age: timedelta) -> float:
    return round(age.total_seconds(), 1)


_BASE: dict[str, Check] = {"database": _database, "migrations": _migrations, "disk": _disk}
