"""A PostgreSQL server of one's own, for tests and benchmarks: started, used, stopped, removed.

    python -m haihe.cli.postgres [--fast] COMMAND [ARGUMENT ...]

runs the command with ``HAIHE_DATABASE_URL`` naming a fresh server on a free loopback port. The
server keeps nothing. Commits are as durable as in production, unless ``--fast`` is given.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

INSTALL = "apt-get install postgresql"
FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


def binaries() -> Path | None:
    """The folder with ``initdb`` and ``postgres``, if PostgreSQL is installed."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return installed[-1].parent if installed else None


@contextmanager
def server(*, fast: bool) -> Iterator[str]:
    """The URL of a running server.

    Raises
    ------
    SystemExit
        If PostgreSQL is not installed; the message says how to install it.
    """
    folder = binaries()
    if folder is None:
        raise SystemExit(f"PostgreSQL is not installed here: {INSTALL}")
    # PostgreSQL refuses to run as root.
    user = "postgres" if os.geteuid() == 0 else None
    place = Path(tempfile.mkdtemp(prefix="haihe-pg-"))
    if user:
        shutil.chown(place, user)
    data = place / "data"
    _run([folder / "initdb", "-D", data, "-U", "haihe", "-A", "trust", "-E", "UTF8"], user, place)
    port = _free_port()
    options = ["-c", f"port={port}", "-c", f"unix_socket_directories={place}"]
    options += ["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200"]
    for setting in FAST if fast else ():
        options += ["-c", setting]
    control: list[str | Path] = [folder / "pg_ctl", "-D", data, "-w", "-s", "-l", place / "log"]
    _run([*control, "-o", " ".join(options), "start"], user, place)
    try:
        yield f"postgresql://haihe@127.0.0.1:{port}/postgres"
    finally:
        _run([*control, "-m", "fast", "stop"], user, place)
        shutil.rmtree(place, ignore_errors=True)


def _run(command: list[str | Path], user: str | None, place: Path) -> None:
    subprocess.run(  # noqa: S603 (PostgreSQL's own programs)
        [str(word) for word in command],
        check=True,
        user=user,
        cwd=place,
        stdout=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main(arguments: list[str]) -> int:
    """Run a command beside a server."""
    fast = arguments[:1] == ["--fast"]
    command = arguments[1:] if fast else arguments
    if not command:
        raise SystemExit(__doc__)
    with server(fast=fast) as url:
        environment = {**os.environ, "HAIHE_DATABASE_URL": url}
        return subprocess.run(command, env=environment, check=False).returncode  # noqa: S603


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
