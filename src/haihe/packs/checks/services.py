"""The check of the services that a pack runs beside jobs; a pack without any passes it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from haihe.kernel.errors import gettext_noop
from haihe.packs import frames
from haihe.packs.checks.framework import Subject, check, require
from haihe.packs.service_runner import MODULE, reference
from haihe.packs.serving import STOP_LIMIT_S

START_LIMIT_S = 15.0
PAUSE_S = 0.1
LAST_WORDS = 500


@check("service.answers", gettext_noop("Each service starts, answers, and ends when it is told to"))
def _service_answers(subject: Subject) -> str:
    names = list(subject.manifest.services)
    for name in names:
        # Not below the subject's folder: a socket's path may not be long.
        with tempfile.TemporaryDirectory(prefix="haihe-check-") as home:
            _try(subject, name, Path(home))
    return f"{len(names)} services" if names else "it runs no services"


def _try(subject: Subject, name: str, home: Path) -> None:
    log = home / "log"
    command = [sys.executable, "-m", MODULE, "--pack", reference(subject.source), "--service", name]
    with log.open("wb") as file:
        process = subprocess.Popen(  # noqa: S603 (our own runner)
            # The check runs where the pack's libraries are; in its empty home there is none.
            [*command, "--tied", "--here"],
            env={**os.environ, "HAIHE_HOME": str(home)},
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=file,
        )
    assert process.stdin is not None
    try:
        path = frames.socket_path(home / "packs" / subject.source.name, name)
        answers = _answers(process, path)
        said = log.read_text("utf-8", "replace").strip()[-LAST_WORDS:]
        require(answers, f"{name} does not answer after {START_LIMIT_S:g} s at most: {said}")
        process.terminate()
        try:
            status = process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            status = None
        require(status is not None, f"{name} runs on {STOP_LIMIT_S:g} s after SIGTERM")
        require(status == 0, f"{name} ends with status {status} on SIGTERM")
    finally:
        process.kill()
        process.wait()
        process.stdin.close()


def _answers(process: subprocess.Popen[bytes], path: Path) -> bool:
    """Whether the process answers a ping before it ends or its time is over."""
    deadline_s = time.monotonic() + START_LIMIT_S
    while process.poll() is None and time.monotonic() < deadline_s:
        if path.exists() and asyncio.run(_pong(path)):
            return True
        time.sleep(PAUSE_S)
    return False


async def _pong(path: Path) -> bool:
    try:
        async with asyncio.timeout(START_LIMIT_S):
            with frames.reachable(path) as name:
                reader, writer = await asyncio.open_unix_connection(name)
            try:
                writer.write(frames.frame({frames.PING: True}))
                answer = await frames.read(reader)
            finally:
                writer.close()
    except (OSError, asyncio.IncompleteReadError, frames.FrameError):
        return False
    return answer is not None and frames.PONG in answer
