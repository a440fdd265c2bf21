"""Content-addressed storage: a file is kept once, under its SHA-256, and checked when read."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from haihe.kernel.errors import FileTooLarge, StorageUnavailable
from haihe.kernel.storage import sync_folder

PIECE_BYTES = 1 << 20
_DRAFT = "draft-"


@dataclass(frozen=True)
class Draft:
    """A file that was received and hashed, and is not yet kept."""

    path: Path
    sha256: str
    bytes: int


@dataclass(frozen=True)
class BlobStore:
    """Files below one folder."""

    folder: Path

    def path(self, sha256: str) -> Path:
        """Where content with this hash is, or would be."""
        return self.folder / sha256[:2] / sha256[2:]

    def receive(self, pieces: Iterable[bytes], *, name: str, limit_bytes: int) -> Draft:
        """Write pieces to a draft, hashing them; nothing is left behind if that fails."""
        digest, size = hashlib.sha256(), 0
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            handle, draft = tempfile.mkstemp(dir=self.folder, prefix=_DRAFT)
            try:
                with os.fdopen(handle, "wb") as file:
                    for piece in pieces:
                        size += len(piece)
                        if size > limit_bytes:
                            raise FileTooLarge(name=name, limit_bytes=limit_bytes)  # noqa: TRY301
                        digest.update(piece)
                        file.write(piece)
                    file.flush()
                    os.fsync(file.fileno())
            except BaseException:
                Path(draft).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise StorageUnavailable(place=str(self.folder), reason=str(error)) from error
        return Draft(Path(draft), digest.hexdigest(), size)

    def keep(self, draft: Draft) -> Path:
        """Move a draft to its place; the same content is kept once."""
        target = self.path(draft.sha256)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            draft.path.chmod(0o440)
            draft.path.replace(target)
            # The file's content is on the disk; after a power cut its name must be there too.
            for folder in (target.parent, self.folder):
                sync_folder(folder)
        except OSError as error:
            raise StorageUnavailable(place=str(self.folder), reason=str(error)) from error
        return target

    def copy_out(self, sha256: str, target: Path) -> str:
        """Copy content to ``target``; returns the hash of what was copied."""
        digest = hashlib.sha256()
        with self.path(sha256).open("rb") as source, target.open("wb") as file:
            while piece := source.read(PIECE_BYTES):
                digest.update(piece)
                file.write(piece)
        return digest.hexdigest()

    def remove_drafts(self, *, before: datetime) -> int:
        """Remove the drafts last written to before an instant; how many there were."""
        removed = 0
        for draft in self.folder.glob(f"{_DRAFT}*"):
            # An upload that ends at this moment moves its draft away.
            with suppress(FileNotFoundError):
                if draft.stat().st_mtime < before.timestamp():
                    draft.unlink()
                    removed += 1
        return removed


def pieces_of(path: Path) -> Iterable[bytes]:
    """A file in pieces."""
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield piece
