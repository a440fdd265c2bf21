"""The agent's memory: what it accepted and what it has still to report, safe from a crash.

One SQLite file, written through before anything is said or done. Whoever holds its lock is the
one agent of this machine; a second one on the same folder is refused.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import UUID

from haihe.compute.agent.messages import (
    EARLIER_S,
    Order,
    PoolItem,
    Report,
    SampleItem,
    metrics_of,
)
from haihe.compute.errors import AgentRunsAlready, BadAgentConfig
from haihe.kernel.clock import now
from haihe.kernel.crash import crash_point
from haihe.kernel.errors import StorageUnavailable

JOURNAL = "journal.sqlite3"
_TABLES = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS orders (
    attempt_id TEXT PRIMARY KEY,
    stage TEXT NOT NULL,
    content TEXT NOT NULL,
    is_cancelled INTEGER NOT NULL DEFAULT 0,
    last_word TEXT NOT NULL DEFAULT '',
    log_offset INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS samples (
    minute INTEGER NOT NULL,
    pool TEXT NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (minute, pool)
);
CREATE TABLE IF NOT EXISTS reports (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    content TEXT NOT NULL
);
"""


class Stage(StrEnum):
    """How far an order has come at this centre."""

    ACCEPTED = "accepted"  # kept, and not yet free to start
    READY = "ready"  # free to start; perhaps started, if a crash came in between
    STARTED = "started"  # the scheduler has it
    ENDED = "ended"  # its end is among the reports


@dataclass(frozen=True)
class Kept:
    """An order in the journal."""

    order: Order
    stage: Stage
    is_cancelled: bool
    last_word: str
    log_offset: int


class Journal:
    """The journal in a folder. Only a simulation, whose disk cannot fail, is not durable."""

    def __init__(self, folder: Path, *, is_durable: bool = True) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._lock = os.open(folder / "agent.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise AgentRunsAlready(folder=str(folder)) from None
        try:
            self._db = _opened(folder / JOURNAL, is_durable=is_durable)
        except sqlite3.OperationalError as error:
            os.close(self._lock)
            raise StorageUnavailable(place=str(folder), reason=str(error)) from error
        except sqlite3.DatabaseError:
            os.close(self._lock)
            raise BadAgentConfig(
                path=str(folder / JOURNAL),
                reason="the journal is damaged; move it away and start again: the platform names "
                "what runs here, and it is looked for in the scheduler",
            ) from None
        self._is_writing = False

    def close(self) -> None:
        """Let go of the file and the lock."""
        self._db.close()
        os.close(self._lock)

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """Several writes as one.

        Raises
        ------
        StorageUnavailable
            If the disk takes none of them.
        """
        if self._is_writing:
            yield
            return
        self._is_writing = True
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except BaseException as error:
            self._db.rollback()
            if isinstance(error, sqlite3.OperationalError):
                raise StorageUnavailable(place=str(self._folder), reason=str(error)) from error
            raise
        finally:
            self._is_writing = False
        crash_point("agent.written")

    # --- facts ---

    def fact(self, name: str, default: str = "") -> str:
        """A remembered word."""
        row = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else default

    def remember(self, name: str, value: object) -> None:
        """Keep a word under a name."""
        with self.all_or_nothing():
            self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, str(value)))

    def next_start(self) -> int:
        """The number of this start, above that of every earlier one, also on a new disk."""
        number = max(int(self.fact("starts", "0")) + 1, int(now().timestamp()))
        self.remember("starts", number)
        return number

    # --- orders ---

    def accept(self, orders: Iterable[Order], *, stage: Stage = Stage.ACCEPTED) -> None:
        """Keep new orders; one that is known is left as it is."""
        rows = [(str(order.attempt_id), stage, order.model_dump_json()) for order in orders]
        if rows:
            with self.all_or_nothing():
                self._db.executemany(
                    "INSERT OR IGNORE INTO orders (attempt_id, stage, content) VALUES (?, ?, ?)",
                    rows,
                )

    def advance(self, attempts: Iterable[UUID], old: Stage, new: Stage) -> None:
        """Bring orders from one stage to the next; those at another stage stay there."""
        rows = [(new, str(attempt), old) for attempt in attempts]
        if rows:
            with self.all_or_nothing():
                self._db.executemany(
                    "UPDATE orders SET stage = ? WHERE attempt_id = ? AND stage = ?", rows
                )

    def drop(self, attempts: Iterable[UUID]) -> None:
        """Forget orders that were revoked before they were free to start."""
        rows = [(str(attempt), Stage.ACCEPTED) for attempt in attempts]
        if rows:
            with self.all_or_nothing():
                self._db.executemany("DELETE FROM orders WHERE attempt_id = ? AND stage = ?", rows)

    def mark_cancelled(self, attempts: Iterable[UUID]) -> None:
        """Remember whose end is wanted."""
        rows = [(str(attempt),) for attempt in attempts]
        if rows:
            with self.all_or_nothing():
                self._db.executemany(
                    "UPDATE orders SET is_cancelled = 1 WHERE attempt_id = ? AND is_cancelled = 0",
                    rows,
                )

    def note_log(self, attempt: UUID, offset: int) -> None:
        """Remember up to where a log was passed on."""
        with self.all_or_nothing():
            self._db.execute(
                "UPDATE orders SET log_offset = ? WHERE attempt_id = ?", (offset, str(attempt))
            )

    def kept(self, *stages: Stage) -> list[Kept]:
        """The orders at some stages, the oldest first."""
        marks = ",".join("?" * len(stages))
        rows = self._db.execute(
            "SELECT content, stage, is_cancelled, last_word, log_offset FROM orders "  # noqa: S608
            f"WHERE stage IN ({marks}) ORDER BY rowid",
            stages,
        )
        return [_kept(row) for row in rows]

    def known(self) -> list[UUID]:
        """All attempts in the journal."""
        return [UUID(row[0]) for row in self._db.execute("SELECT attempt_id FROM orders")]

    # --- samples ---

    def keep_samples(self, items: Iterable[PoolItem], at: datetime) -> None:
        """Keep what was measured for a platform that is away: of each minute the first word."""
        minute = int(at.timestamp()) // 60
        rows = [(minute, item.pool, json.dumps(metrics_of(item))) for item in items]
        if rows:
            with self.all_or_nothing():
                self._db.executemany("INSERT OR IGNORE INTO samples VALUES (?, ?, ?)", rows)
                self._db.execute(
                    "DELETE FROM samples WHERE minute <= ?", (minute - EARLIER_S // 60,)
                )

    def earlier(self, limit: int, at: datetime) -> list[SampleItem]:
        """The oldest samples that are kept, with their ages."""
        rows = self._db.execute(
            "SELECT minute, pool, content FROM samples WHERE minute > ? ORDER BY minute, pool "
            "LIMIT ?",
            (at.timestamp() // 60 - EARLIER_S // 60, limit),
        )
        return [
            SampleItem(
                pool=pool,
                age_s=max(0.0, at.timestamp() - minute * 60),
                metrics=json.loads(content),
            )
            for minute, pool, content in rows
        ]

    def drop_samples(self, items: Iterable[SampleItem], at: datetime) -> None:
        """Forget samples that the platform has; ``at`` is when their ages were told."""
        rows = [(round((at.timestamp() - item.age_s) / 60), item.pool) for item in items]
        if rows:
            with self.all_or_nothing():
                self._db.executemany("DELETE FROM samples WHERE minute = ? AND pool = ?", rows)

    # --- reports ---

    def _count_from(self, number: int) -> None:
        """Let reports be numbered above ``number``."""
        found = self._db.execute(
            "SELECT seq FROM sqlite_sequence WHERE name = 'reports'"
        ).fetchone()
        if found is None:
            self._db.execute("INSERT INTO sqlite_sequence VALUES ('reports', ?)", (number,))
        elif found[0] < number:
            self._db.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'reports'", (number,))

    def report(self, report: Report, *, word: str) -> None:
        """Add a report, unless the same word was the attempt's last; an end is its last stage."""
        attempt = str(report.attempt_id)
        with self.all_or_nothing():
            changed = self._db.execute(
                "UPDATE orders SET last_word = ? WHERE attempt_id = ? AND last_word != ? "
                "AND stage != ?",
                (word, attempt, word, Stage.ENDED),
            ).rowcount
            if not changed:
                return
            self._db.execute(
                "INSERT INTO reports (content) VALUES (?)", (report.model_dump_json(),)
            )
            if report.state in ("ended", "lost"):
                self._db.execute(
                    "UPDATE orders SET stage = ? WHERE attempt_id = ?", (Stage.ENDED, attempt)
                )

    def unheard(self, limit: int) -> list[Report]:
        """The reports that the platform has not heard, in order, with their numbers."""
        rows = self._db.execute(
            "SELECT number, content FROM reports ORDER BY number LIMIT ?", (limit,)
        )
        return [
            Report.model_validate_json(content).model_copy(update={"number": number})
            for number, content in rows
        ]

    def heard(self, number: int) -> list[Kept]:
        """Drop reports up to a number, and the orders whose end was among them.

        These orders are returned: they are done. The next report's number is above all that the
        platform has heard, also where the journal that numbered them is gone with its disk.
        """
        with self.all_or_nothing():
            self._db.execute("DELETE FROM reports WHERE number <= ?", (number,))
            self._count_from(number)
            waiting = {str(report.attempt_id) for report in self.unheard(-1)}
            done = [
                kept for kept in self.kept(Stage.ENDED) if str(kept.order.attempt_id) not in waiting
            ]
            self._db.executemany(
                "DELETE FROM orders WHERE attempt_id = ?",
                [(str(kept.order.attempt_id),) for kept in done],
            )
        return done


def _kept(row: Sequence[Any]) -> Kept:
    content, stage, is_cancelled, last_word, log_offset = row
    return Kept(
        Order.model_validate_json(content), Stage(stage), bool(is_cancelled), last_word, log_offset
    )


def _opened(path: Path, *, is_durable: bool) -> sqlite3.Connection:
    """The journal's database, with its tables; closed again if the disk does not take them."""
    database = sqlite3.connect(path, isolation_level=None, timeout=10)
    try:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute(f"PRAGMA synchronous={'FULL' if is_durable else 'OFF'}")
        database.executescript(_TABLES)
    except sqlite3.DatabaseError:
        database.close()
        raise
    return database
