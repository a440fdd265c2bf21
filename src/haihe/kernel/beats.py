"""Periodic work: begun when it is due, by one process of the installation, with word of its end.

:func:`every` says what is done how often; :func:`run_due` does what is due. When a beat last began
and how it came out is a row that all processes share, so that two servers do not do the work twice,
and health and metrics can say what has not been done for too long. A process that dies in a beat
loses nothing: the next turn does it again, and each piece of work may be repeated. What failed is
tried again after :data:`AGAIN_AFTER`, if its turn does not come before.

A worker that runs all the time says so with :func:`alive`, at most once in :data:`ALIVE_EVERY`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from haihe.kernel.clock import now
from haihe.kernel.errors import HaiheError
from haihe.kernel.models import Beat

ALIVE_EVERY = timedelta(seconds=10)
AGAIN_AFTER = timedelta(seconds=60)
TEXT_LENGTH = 500

log = structlog.get_logger(__name__)
Work = Callable[[datetime], str]


@dataclass(frozen=True)
class Rhythm:
    """A piece of work that is given the time and answers with a line on what it did."""

    name: str
    interval: timedelta
    work: Work


_rhythms: dict[str, Rhythm] = {}


def every(interval: timedelta, name: str, work: Work) -> None:
    """Have ``work``, known as ``name``, done once in each ``interval``."""
    _rhythms[name] = Rhythm(name, interval, work)


def rhythms() -> tuple[Rhythm, ...]:
    """All that is done periodically."""
    return tuple(_rhythms.values())


def run_due() -> int:
    """Do the work that is due and that no other process has begun; how many pieces."""
    rows = Beat.objects.in_bulk()
    return sum(_run(rhythm, rows.get(rhythm.name)) for rhythm in rhythms())


def alive(name: str) -> None:
    """A worker of this name is at work, in some process."""
    at = now()
    last = Beat.objects.filter(name=name).values_list("began_at", flat=True).first()
    if last is None or not timedelta(0) <= at - last < ALIVE_EVERY:
        Beat.objects.alive(name, at=at)


def leave(name: str) -> None:
    """A worker of this name stops because it was asked to; nobody need look for it."""
    Beat.objects.filter(name=name).delete()


def ages() -> dict[str, float]:
    """How many seconds ago each worker was at work, and each periodic work begun."""
    at = now()
    rows = Beat.objects.values_list("name", "began_at")
    return {name: (at - began_at).total_seconds() for name, began_at in rows}


def _run(rhythm: Rhythm, last: Beat | None) -> bool:
    at, interval = now(), rhythm.interval
    if last is None:
        Beat.objects.get_or_create(name=rhythm.name, defaults={"began_at": at - interval})
    else:
        if last.is_good is False:
            interval = min(interval, AGAIN_AFTER)
        if timedelta(0) <= at - last.began_at < interval:
            return False
    if not Beat.objects.claim(rhythm.name, at=at, every=interval):
        return False
    try:
        text, is_good = rhythm.work(at), True
    except HaiheError as error:
        log.warning("beat.failed", beat=rhythm.name, code=error.code, error=str(error))
        text, is_good = f"{error.code}: {error}", False
    except Exception as error:  # a defect of one piece of work must not stop the others
        log.exception("beat.failed", beat=rhythm.name)
        text, is_good = type(error).__name__, False
    Beat.objects.report(rhythm.name, at=now(), is_good=is_good, text=text[:TEXT_LENGTH])
    return True
