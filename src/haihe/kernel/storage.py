"""When the disk or the database says no: its words as one named error, and how much room is left.

A full disk, a read-only folder and a database that does not answer reach the code as many kinds of
exception. They are one thing to whoever is affected: nothing was changed, and it may be tried again
once somebody has looked after the machine.
"""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from django.db import DatabaseError, OperationalError, connection

from haihe.kernel.errors import StorageUnavailable
from haihe.kernel.settings import load_settings

# What an operator of the machine can mend; anything else is a defect of the program.
_MENDABLE = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EFBIG,
        errno.EROFS,
        errno.EACCES,
        errno.EPERM,
        errno.EIO,
        errno.EMFILE,
        errno.ENFILE,
    }
)
_READ_ONLY_TRANSACTION = "25006"  # SQLSTATE, which Django takes for an internal error
_WRONG_SQL = "SQLITE_ERROR"  # a statement that SQLite does not understand, or a missing table


def storage_failure(error: BaseException | None) -> StorageUnavailable | None:
    """The named error for an exception that storage is the cause of; None for any other.

    What a database's driver says of a failed connection names hosts and accounts, which are nobody
    else's business: of those only the kind is told, and the rest is in the log.
    """
    if isinstance(error, DatabaseError):
        return _of_database(error)
    if isinstance(error, OSError) and error.errno in _MENDABLE:
        place = str(error.filename or load_settings().home)
        return StorageUnavailable(place=place, reason=error.strerror or str(error))
    return None


def free_bytes() -> int:
    """How much room is left on the disk that the home folder is on."""
    return shutil.disk_usage(_home()).free


def is_writable() -> bool:
    """Whether this process may make files in the home folder, or make the folder itself."""
    return os.access(_home(), os.W_OK)


def takes_files() -> bool:
    """Whether the home folder is writable, with the least room that the settings ask for."""
    return is_writable() and free_bytes() >= load_settings().disk_minimum_bytes


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk: a new one then outlasts a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _of_database(error: DatabaseError) -> StorageUnavailable | None:
    """SQLite's driver tells an error's name, PostgreSQL's its SQLSTATE, none if it lost its way."""
    cause = error.__cause__
    state = getattr(cause, "sqlstate", "")
    if not isinstance(error, OperationalError) and state != _READ_ONLY_TRANSACTION:
        return None
    if getattr(cause, "sqlite_errorname", "") == _WRONG_SQL:
        return None
    reason = "it does not answer" if state is None else str(error).strip().partition("\n")[0]
    return StorageUnavailable(place=f"the {connection.vendor} database", reason=reason)


def _home() -> Path:
    """The home folder, or the nearest one above it: before the first start there is none."""
    home = load_settings().home.resolve()
    return next(folder for folder in (home, *home.parents) if folder.exists())
