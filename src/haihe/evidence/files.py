"""What the log keeps outside the database, in the home folder and beside exports.

*Signing keys* are Ed25519 private keys, one PEM file each, readable by their owner only. The
*witness* is the newest checkpoint, written after each commit: a database that was put back to an
old copy contradicts it. A *trust file* is the same memory beside an export, for whoever checks the
export on another machine. One checkpoint is memory enough, because it covers everything before it.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from haihe.evidence.domain import MEMORY_LIMIT_BYTES, Checkpoint, Trust, key_id, read_json
from haihe.evidence.errors import LogContradicts, NotCanonical, SigningKeyMissing
from haihe.kernel.errors import StorageUnavailable
from haihe.kernel.storage import sync_folder


def create_signing_key(home: Path) -> bytes:
    """Make a private key in the home; its public half, 32 bytes.

    It is on the disk before this returns: a database that names a key nobody has could never be
    written to again.
    """
    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw()
    path = _key_path(home, key_id(public))
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
            file.flush()
            os.fsync(file.fileno())
        sync_folder(path.parent)
    except OSError as error:
        raise StorageUnavailable(place=str(path), reason=str(error)) from error
    return public


@lru_cache(maxsize=8)
def signing_key(home: Path, key: str) -> Ed25519PrivateKey:
    """The private key that ``key`` names, kept in memory once it was read."""
    return load_signing_key(home, key)


def load_signing_key(home: Path, key: str) -> Ed25519PrivateKey:
    """The private key that ``key`` names, read from the disk.

    Raises
    ------
    SigningKeyMissing
        If its file is missing, unreadable, or holds another key.
    """
    path = _key_path(home, key)
    try:
        private = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        reason = f"cannot be read ({error.strerror})"
        raise SigningKeyMissing(key=key, place=str(path), reason=reason) from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        reason = f"holds no private key ({error})"
        raise SigningKeyMissing(key=key, place=str(path), reason=reason) from error
    if (
        not isinstance(private, Ed25519PrivateKey)
        or key_id(private.public_key().public_bytes_raw()) != key
    ):
        raise SigningKeyMissing(key=key, place=str(path), reason="holds another key")
    return private


def read_witness(home: Path) -> Checkpoint | None:
    """The newest checkpoint that was seen to be committed; None if none ever was."""
    path = _witness_path(home)
    try:
        with path.open("rb") as file:
            content = file.read(MEMORY_LIMIT_BYTES)
        # A power cut may leave an empty file, for the witness is not synced.
        return Checkpoint.read(read_json(content)) if content else None
    except FileNotFoundError:
        return None
    except NotCanonical as error:
        raise LogContradicts(
            reason=f"its witness {path} is unreadable ({error.path} {error.reason})"
        ) from error


def write_witness(home: Path, checkpoint: Checkpoint) -> None:
    """Put ``checkpoint`` in the place of what was remembered. Not synced: it is not a record."""
    _replace(_witness_path(home), [checkpoint.line()], sync=False)


@contextmanager
def witness_lock(home: Path) -> Iterator[None]:
    """Keep other threads and processes from writing the witness between a look and a write."""
    path = _witness_path(home).with_suffix(".lock")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with path.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write_export(path: Path, lines: Iterable[str]) -> None:
    """Write an export; what is at ``path`` stays as it is until the new file is complete."""
    try:
        _replace(path, lines, sync=True)
    except OSError as error:
        raise StorageUnavailable(place=str(path), reason=str(error)) from error


def write_trust(path: Path, trust: Trust) -> None:
    """Put ``trust`` in the place of what was remembered."""
    write_export(path, [trust.text()])


def _key_path(home: Path, key: str) -> Path:
    return home / "keys" / f"evidence-{key}.pem"


def _witness_path(home: Path) -> Path:
    return home / "evidence" / "witness.jsonl"


def _replace(path: Path, lines: Iterable[str], *, sync: bool) -> None:
    """Write a whole file in the place of ``path``, at once or not at all."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.writelines(line + "\n" for line in lines)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink()
        raise
    if sync:
        sync_folder(path.parent)
