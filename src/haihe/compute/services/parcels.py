"""What passes between the platform and an agent on another machine: inputs there, results back.

An agent reads and writes only what belongs to attempts that it has claimed and not ended.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from haihe.compute.agent.messages import LogPiece
from haihe.compute.errors import BadParcel
from haihe.compute.models import Agent, Attempt
from haihe.compute.protocols import INPUTS
from haihe.compute.services.files import opened
from haihe.compute.services.jobs import attempt_folder
from haihe.kernel.errors import MissingRecord, StorageUnavailable

PATH_LENGTH = 1_000
PATH_DEPTH = 64
LOG_LIMIT_BYTES = 64 * 1024**2


@contextmanager
def open_input(agent: Agent, attempt_id: UUID, name: str) -> Iterator[Path]:
    """One input of an attempt, as a file that is gone afterwards; the read is logged."""
    attempt = _claimed(agent, attempt_id)
    ref = next((ref for ref in attempt.job.quote.spec.inputs if ref.name == name), None)
    if ref is None:
        raise MissingRecord(kind="input", id=name)
    with tempfile.TemporaryDirectory(prefix="haihe-input-") as folder:
        INPUTS.get().deliver(attempt.job_id, ref, Path(folder))
        [path] = Path(folder).iterdir()
        yield path


@contextmanager
def open_file(agent: Agent, attempt_id: UUID, sha256: str) -> Iterator[BinaryIO]:
    """One uploaded file of an attempt, checked."""
    attempt = _claimed(agent, attempt_id)
    ref = next((ref for ref in attempt.job.quote.spec.files if ref.sha256 == sha256), None)
    if ref is None:
        raise MissingRecord(kind="file", id=sha256)
    with opened(ref) as file:
        yield file


def keep_output(
    agent: Agent, attempt_id: UUID, path: str, pieces: Iterable[bytes], *, sha256: str
) -> int:
    """Keep a file that an attempt wrote; its size. A repetition replaces it.

    Raises
    ------
    BadParcel
        If the path leads out of the outputs, the content is not what was signed, or it is more
        than the job may write.
    """
    attempt = _claimed(agent, attempt_id)
    parts = path.split("/")
    if len(path) > PATH_LENGTH or len(parts) > PATH_DEPTH or {"", ".", ".."} & set(parts):
        raise BadParcel(path=path[:200], reason="it leads out of the outputs")
    folder = attempt_folder(attempt.job_id, attempt.number) / "outputs"
    limit = attempt.job.quote.spec.output_bytes
    return _keep(folder.joinpath(*parts), pieces, sha256=sha256, limit=limit, shown=path)


def keep_log(agent: Agent, attempt_id: UUID, pieces: Iterable[bytes], *, sha256: str) -> int:
    """Keep the whole log of an attempt; its size."""
    attempt = _claimed(agent, attempt_id)
    path = attempt_folder(attempt.job_id, attempt.number) / "log.txt"
    return _keep(path, pieces, sha256=sha256, limit=LOG_LIMIT_BYTES, shown="log.txt")


def keep_log_pieces(agent: Agent, pieces: Iterable[LogPiece]) -> None:
    """Write pieces of logs where they belong; one that came before is written over itself."""
    for piece in pieces:
        try:
            attempt = _claimed(agent, piece.attempt_id)
        except MissingRecord:
            continue
        if piece.offset + len(piece.content) > LOG_LIMIT_BYTES:
            continue
        path = attempt_folder(attempt.job_id, attempt.number) / "log.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        with path.open("r+b") as file:
            file.seek(piece.offset)
            file.write(piece.content)


def _claimed(agent: Agent, attempt_id: UUID) -> Attempt:
    attempt = (
        Attempt.objects.unfinished()
        .filter(pk=attempt_id, pool__centre=agent.centre, claimed_at__isnull=False)
        .select_related("job__quote")
        .first()
    )
    if attempt is None:
        raise MissingRecord(kind="attempt", id=str(attempt_id))
    return attempt


def _keep(target: Path, pieces: Iterable[bytes], *, sha256: str, limit: int, shown: str) -> int:
    """Write to a draft, check it, and put it in its place."""
    digest, size = hashlib.sha256(), 0
    draft = target.with_name(f".{hashlib.sha256(target.name.encode()).hexdigest()[:16]}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file:
            for piece in pieces:
                size += len(piece)
                if size > limit:
                    raise BadParcel(path=shown, reason=f"it has more than {limit} bytes")
                digest.update(piece)
                file.write(piece)
        if digest.hexdigest() != sha256:
            raise BadParcel(path=shown, reason="its content is not what was signed")
        draft.replace(target)
    except OSError as error:
        raise StorageUnavailable(place=str(target.parent), reason=str(error)) from error
    finally:
        draft.unlink(missing_ok=True)
    return size
