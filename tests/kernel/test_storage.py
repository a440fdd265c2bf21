"""A disk or a database that says no, by one name; everything else stays what it is."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

import pytest
from django.db import IntegrityError, InternalError, OperationalError, ProgrammingError

from haihe.kernel import storage
from haihe.kernel.errors import StorageUnavailable
from haihe.kernel.models import OutboxEvent
from haihe.kernel.work import unit_of_work


class _Driver(Exception):
    """An exception of PostgreSQL's driver."""

    def __init__(self, sqlstate: str | None) -> None:
        self.sqlstate = sqlstate


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO]
)
def test_a_file_that_cannot_be_written_names_its_place(number: int) -> None:
    failure = storage.storage_failure(OSError(number, "no", "/some/file"))
    assert failure is not None
    assert (failure.place, failure.reason) == ("/some/file", "no")


@pytest.mark.parametrize(
    "error",
    [
        None,
        ValueError("no"),
        OSError("no number"),
        FileNotFoundError(errno.ENOENT, "no", "/x"),
        BrokenPipeError(errno.EPIPE, "no"),
        IntegrityError("no"),
        ProgrammingError("no"),
        InternalError("no"),
    ],
)
def test_a_defect_is_not_taken_for_a_full_disk(error: Exception | None) -> None:
    assert storage.storage_failure(error) is None


def test_postgresql_s_words_on_hosts_and_accounts_stay_inside() -> None:
    lost = caused(OperationalError("connection to 10.0.0.5 as haihe failed"), _Driver(None))
    failure = storage.storage_failure(lost)
    assert failure is not None
    assert failure.reason == "it does not answer"
    full = caused(OperationalError("could not extend file: no space left"), _Driver("53100"))
    assert "no space left" in str(storage.storage_failure(full))
    read_only = caused(InternalError("cannot execute INSERT"), _Driver("25006"))
    assert storage.storage_failure(read_only) is not None


@pytest.mark.sqlite
def test_sqlite_s_missing_table_is_no_full_disk_and_a_full_one_is() -> None:
    database = sqlite3.connect(":memory:")
    database.execute("PRAGMA max_page_count = 2")
    database.execute("CREATE TABLE a (b)")
    with pytest.raises(sqlite3.OperationalError) as missing:
        database.execute("SELECT * FROM c")
    with pytest.raises(sqlite3.OperationalError) as full:
        database.execute("INSERT INTO a VALUES (zeroblob(100000))")
    assert storage.storage_failure(caused(OperationalError("no"), missing.value)) is None
    failure = storage.storage_failure(caused(OperationalError(str(full.value)), full.value))
    assert failure is not None
    assert failure.reason == "database or disk is full"


@pytest.mark.django_db
def test_a_unit_of_work_lets_a_defect_through_and_names_a_failing_database() -> None:
    def work(error: Exception) -> None:
        with unit_of_work():
            OutboxEvent.objects.create(topic="x", payload={})
            raise error

    with pytest.raises(ProgrammingError):
        work(ProgrammingError("no such column"))
    with pytest.raises(StorageUnavailable, match="disk is full"):
        work(OperationalError("database or disk is full"))
    assert not OutboxEvent.objects.exists()


def test_room_is_asked_of_the_disk_that_the_home_is_or_will_be_on(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAIHE_HOME", str(home / "not" / "yet"))
    storage.load_settings.cache_clear()
    assert storage.free_bytes() > 0
    assert storage.is_writable()
    assert storage.takes_files()
    monkeypatch.setenv("HAIHE_DISK_MINIMUM_BYTES", str(10**18))
    storage.load_settings.cache_clear()
    assert not storage.takes_files()
