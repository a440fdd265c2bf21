"""Read what a job wrote, as a user who may do more than the job: no link is followed anywhere.

The folders belong to the job's user, who may change them while they are read. So every name is
opened relative to a folder that is open already, and what is read is what was opened.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@contextmanager
def opened_plainly(
    path: Path | str, *, inside: int | None = None
) -> Iterator[BufferedReader | None]:
    """A regular file, open for reading; None if there is none of that name, or something else."""
    try:
        handle = os.open(path, _FLAGS, dir_fd=inside)
    except OSError:
        yield None
        return
    with open(handle, "rb") as file:  # noqa: PTH123 (opened by its handle)
        yield file if stat.S_ISREG(os.fstat(handle).st_mode) else None


def files_below(folder: Path, *, depth: int) -> Iterator[tuple[str, BufferedReader | None]]:
    """Every regular file below ``folder``, by name and open; in place of folders too deep, None."""
    try:
        handle = os.open(folder, _FLAGS | os.O_DIRECTORY)
    except FileNotFoundError:
        return
    try:
        yield from _inside(handle, "", depth)
    finally:
        os.close(handle)


def _inside(handle: int, prefix: str, depth: int) -> Iterator[tuple[str, BufferedReader | None]]:
    for name in sorted(os.listdir(handle)):
        try:
            inner = os.open(name, _FLAGS | os.O_DIRECTORY, dir_fd=handle)
        except OSError:
            with opened_plainly(name, inside=handle) as file:
                if file is not None:
                    yield f"{prefix}{name}", file
            continue
        try:
            if depth > 1:
                yield from _inside(inner, f"{prefix}{name}/", depth - 1)
            else:
                yield f"{prefix}{name}", None
        finally:
            os.close(inner)
