"""Check an export of the evidence log, on any machine, against nothing but itself and a memory.

    python -m haihe.evidence.verify FILE [--key KEY] [--trust TRUSTFILE] [--json]

Exit status 0: every entry is the one that was logged. 1: the first thing that is wrong was named.
2: the file is no export. The Python standard library and ``cryptography`` are all that it needs.

What is found: an edited, deleted, moved or added entry, also when its hash was adjusted, and the
deletion of the newest entries. A complete old export, and one that the log's own keeper signed anew
from the start, agree with themselves; only memory outside the file finds those. That memory is a
*trust file*: the key that signs first, and the newest checkpoint seen. The one beside the file
(``FILE.trust``) is used if no other is named. Without one, ``--key`` tells a log under another key:
the key that signs first, by its id, its 64 hexadecimal digits or a PEM file.

A later key is trusted if an entry introduces it that a trusted key has signed for; from there on
the key before it is not.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from haihe.evidence.domain import (
    ENTRY_SHAPE,
    FORMAT,
    KEY_ROTATED,
    MEMORY_LIMIT_BYTES,
    Checkpoint,
    PublicKey,
    Trust,
    canonical,
    key_id,
    read_json,
    shaped,
)
from haihe.evidence.errors import (
    CheckpointWrong,
    EntriesMissing,
    EntriesRewritten,
    EntriesUncovered,
    EntryMisplaced,
    EntryWrong,
    HeaderWrong,
    LineUnreadable,
    NotAKey,
    NotAnExport,
    NotATrustFile,
    NotCanonical,
    OtherLog,
)
from haihe.evidence.merkle import leaf_hash, roots_at
from haihe.kernel.errors import Corrupt, HaiheError

MAX_LINE_BYTES = 4_000_000
_KEY_ID = re.compile(r"[0-9a-f]{16}")
_KEY = re.compile(r"[0-9a-f]{64}")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Report:
    """What is known of an export in which nothing is wrong."""

    log: str
    entries: int
    checkpoints: int
    keys: tuple[str, ...]
    head: Checkpoint
    trusted: Checkpoint | None
    key_pinned: bool


@dataclass(frozen=True)
class _Header:
    log: str
    size: int
    checkpoints: int
    keys: tuple[PublicKey, ...]


@dataclass(frozen=True)
class _Rotation:
    """An entry that puts one key in the place of another."""

    index: int
    id: str
    data: dict[str, Any]


@dataclass
class _Body:
    """What is kept of the lines after the header: 32 bytes for each entry, and what signs them."""

    leaves: list[bytes] = field(default_factory=list)
    rotations: list[_Rotation] = field(default_factory=list)
    checkpoints: list[Checkpoint] = field(default_factory=list)


def verify(lines: Iterable[bytes], trust: Trust | None = None, *, key: str = "") -> Report:
    """Check the lines of an export; ``key`` is the id of the key that must have signed first.

    Raises
    ------
    NotAnExport
        If the first line is no header.
    Corrupt
        The named error of the first thing that is wrong.
    """
    numbered = ((number, line) for number, line in enumerate(lines, 1) if line.strip())
    header = _read_header(numbered)
    if trust:
        _check_names(header, trust)
    if key and key != header.keys[0].key:
        raise OtherLog(what="first key", found=header.keys[0].key, expected=key)
    body = _read_body(numbered)
    _check_extent(header, body, trust)
    keys = _check_signatures(header, body)
    if trust:
        _check_memory(body, trust)
    if header.keys != keys:
        raise HeaderWrong(reason="its keys are not those that the log began with and introduced")
    return Report(
        log=header.log,
        entries=len(body.leaves),
        checkpoints=len(body.checkpoints),
        keys=tuple(key.key for key in keys),
        head=body.checkpoints[-1],
        trusted=trust.checkpoint if trust else None,
        key_pinned=bool(key or trust),
    )


def verify_file(path: Path, trust: Trust | None = None, *, key: str = "") -> Report:
    """Check the export in a file."""
    try:
        with path.open("rb") as file:
            return verify(_read_lines(file), trust, key=key)
    except OSError as error:
        raise NotAnExport(place=str(path), reason=error.strerror or str(error)) from error


def trust_path(export: Path) -> Path:
    """Where the trust file of an export is looked for."""
    return export.with_name(export.name + ".trust")


def read_key(given: str) -> str:
    """The id of the key that somebody names by its id, its bytes as hex, or a PEM file.

    Raises
    ------
    NotAKey
    """
    text = given.strip().lower()
    if _KEY_ID.fullmatch(text):
        return text
    if _KEY.fullmatch(text):
        return key_id(bytes.fromhex(text))
    try:
        content = Path(given).read_bytes()
        public = load_pem_public_key(content)
    except (OSError, ValueError) as error:
        raise NotAKey(given=given[:200], reason=str(error)) from error
    if not isinstance(public, Ed25519PublicKey):
        raise NotAKey(given=given[:200], reason="it is of another kind than Ed25519")
    return key_id(public.public_bytes_raw())


def read_trust(path: Path) -> Trust | None:
    """The memory in a trust file, or None if there is no such file."""
    try:
        with path.open("rb") as file:
            return Trust.read(file.read(MEMORY_LIMIT_BYTES))
    except FileNotFoundError:
        return None
    except NotCanonical as error:
        raise NotATrustFile(place=str(path), reason=f"{error.path} {error.reason}") from error
    except OSError as error:
        raise NotATrustFile(place=str(path), reason=error.strerror or str(error)) from error


def _read_lines(file: IO[bytes]) -> Iterator[bytes]:
    """The lines of a file, none longer than a limit; what is over it reads as another line."""
    while line := file.readline(MAX_LINE_BYTES):
        yield line


def _read_header(numbered: Iterator[tuple[int, bytes]]) -> _Header:
    shape = {"format": str, "log": str, "size": int, "checkpoints": int, "keys": list}
    _, line = next(numbered, (0, b""))
    try:
        fields = shaped(read_json(line), "the header", shape)
    except NotCanonical as error:
        raise NotAnExport(place="The file", reason=f"{error.path} {error.reason}") from error
    if fields["format"] != FORMAT:
        raise NotAnExport(place="The file", reason=f"its format is not {FORMAT}")
    try:
        keys = tuple(PublicKey.read(key) for key in fields["keys"])
    except NotCanonical as error:
        raise HeaderWrong(reason=f"a {error.path} {error.reason}") from error
    if not keys:
        raise HeaderWrong(reason="it names no key")
    return _Header(fields["log"], fields["size"], fields["checkpoints"], keys)


def _check_names(header: _Header, trust: Trust) -> None:
    """Refuse another log, or one that another key began."""
    if header.log != trust.checkpoint.log:
        raise OtherLog(what="id", found=header.log[:40], expected=trust.checkpoint.log)
    if header.keys[0] != trust.key:
        raise OtherLog(what="first key", found=header.keys[0].key, expected=trust.key.key)


def _read_body(numbered: Iterator[tuple[int, bytes]]) -> _Body:
    """Read entries, then checkpoints, and check that each entry is whole and in its place."""
    body = _Body()
    for number, line in numbered:
        expected = len(body.leaves)
        try:
            value = read_json(line)
            if isinstance(value, dict) and "checkpoint" in value:
                body.checkpoints.append(Checkpoint.read(value))
                continue
            fields = shaped(value, "the line", {"leaf": str, "entry": dict})
        except NotCanonical as error:
            reason = f"{error.path} {error.reason}"
            raise LineUnreadable(line=number, index=expected, reason=reason) from error
        if body.checkpoints:
            reason = "entries stand before the checkpoints"
            raise LineUnreadable(line=number, index=expected, reason=reason)
        entry = fields["entry"]
        leaf = _checked_leaf(entry, fields["leaf"], expected)
        if entry["index"] != expected:
            raise _misplacement(entry, expected, numbered)
        if entry["kind"] == KEY_ROTATED:
            body.rotations.append(_Rotation(expected, entry["id"], entry["data"]))
        body.leaves.append(leaf)
    return body


def _checked_leaf(entry: dict[str, Any], given: str, expected: int) -> bytes:
    """The hash of the entry's content, which must be the one beside it."""
    try:
        shaped(entry, "it", ENTRY_SHAPE)
        leaf = leaf_hash(canonical(entry).encode())
    except NotCanonical as error:
        reason = f"{error.path} {error.reason}"
        raise EntryWrong(index=expected, id=_named(entry), reason=reason) from error
    if leaf.hex() != given:
        raise EntryWrong(
            index=expected, id=_named(entry), reason="its content is not what its hash was made of"
        )
    return leaf


def _misplacement(
    entry: dict[str, Any], expected: int, numbered: Iterator[tuple[int, bytes]]
) -> Corrupt:
    """Whether the expected entry stands later in the file or nowhere."""
    index = entry["index"]
    if index < expected or _stands_later(expected, numbered):
        return EntryMisplaced(index=index, id=_named(entry), expected=expected)
    return EntriesMissing(
        first=expected,
        last=index - 1,
        reason=f"entry {index} ({_named(entry)}) stands in their place",
    )


def _stands_later(index: int, numbered: Iterator[tuple[int, bytes]]) -> bool:
    for _, line in numbered:
        try:
            value = read_json(line)
        except NotCanonical:
            continue
        entry = value.get("entry") if isinstance(value, dict) else None
        if isinstance(entry, dict) and entry.get("index") == index:
            return True
    return False


def _check_extent(header: _Header, body: _Body, trust: Trust | None) -> None:
    """Refuse an export that lacks its newest lines, by its own count or by what was seen."""
    held = len(body.leaves)
    newest = max((checkpoint.size for checkpoint in body.checkpoints), default=0)
    if newest > held:
        reason = f"a checkpoint counts {newest} entries; the newest were deleted"
        raise EntriesMissing(first=held, last=newest - 1, reason=reason)
    if trust and trust.checkpoint.size > held:
        reason = f"{trust.checkpoint.size} were seen before; this is an older copy"
        raise EntriesMissing(first=held, last=trust.checkpoint.size - 1, reason=reason)
    if header.size > held:
        reason = f"the header counts {header.size}; the newest were deleted"
        raise EntriesMissing(first=held, last=header.size - 1, reason=reason)
    if newest < held:
        raise EntriesUncovered(first=newest, last=held - 1)
    if not body.checkpoints:
        raise HeaderWrong(reason="the log holds no checkpoint, and every log begins with one")
    if header.size != held:
        raise HeaderWrong(reason=f"it counts {header.size} entries, and there are {held}")
    if header.checkpoints != len(body.checkpoints):
        raise HeaderWrong(
            reason=f"it counts {header.checkpoints} checkpoints, and there are "
            f"{len(body.checkpoints)}"
        )


def _check_signatures(header: _Header, body: _Body) -> tuple[PublicKey, ...]:
    """Check each checkpoint against the entries and the key in use; all keys, in order of use."""
    keys = [header.keys[0]]
    rotations = list(reversed(body.rotations))
    covered = -1
    sizes = sorted(checkpoint.size for checkpoint in body.checkpoints)
    roots = dict(roots_at(body.leaves, sizes))
    for checkpoint in body.checkpoints:
        _check_checkpoint(checkpoint, header.log, keys)
        if checkpoint.root != roots[checkpoint.size]:
            raise EntriesRewritten(
                first=max(covered, 0),
                last=checkpoint.size - 1,
                reason=f"the checkpoint of size {checkpoint.size} was signed for other content",
            )
        if checkpoint.size <= covered:
            raise CheckpointWrong(size=checkpoint.size, reason="it is not in order of size")
        covered = checkpoint.size
        while rotations and rotations[-1].index < covered:
            keys.append(_introduced(rotations.pop(), keys[-1]))
    return tuple(keys)


def _check_checkpoint(checkpoint: Checkpoint, log: str, keys: Sequence[PublicKey]) -> None:
    """Refuse a checkpoint of another log, or one that the key in use did not sign."""
    if checkpoint.log != log:
        raise CheckpointWrong(size=checkpoint.size, reason="it is of another log")
    if checkpoint.is_signed_by(keys[-1]):
        return
    if any(checkpoint.key == key.key for key in keys[:-1]):
        reason = f"it is signed by a key that {keys[-1].key} had replaced"
    elif checkpoint.key != keys[-1].key:
        reason = "it is signed by a key that no trusted key introduced"
    else:
        reason = "its content is not what its signature was made over"
    raise CheckpointWrong(size=checkpoint.size, reason=reason)


def _introduced(rotation: _Rotation, current: PublicKey) -> PublicKey:
    """The key that an entry puts in the place of the current one."""
    index, named = rotation.index, _shown(rotation.id)
    try:
        shape = {"old_key": str, "new_key": str, "public": str}
        data = shaped(rotation.data, "data", shape)
        key = PublicKey(data["new_key"], data["public"])
    except NotCanonical as error:
        reason = f"{error.path} {error.reason}"
        raise EntryWrong(index=index, id=named, reason=reason) from error
    if data["old_key"] != current.key:
        raise EntryWrong(index=index, id=named, reason="it replaces a key that was not in use")
    return key


def _check_memory(body: _Body, trust: Trust) -> None:
    """Refuse history that was signed anew: it differs from what was seen of it."""
    seen = trust.checkpoint
    _, root = next(roots_at(body.leaves, [seen.size]))
    if root != seen.root:
        reason = f"the first {seen.size} entries are not those that were seen before"
        raise EntriesRewritten(first=0, last=seen.size - 1, reason=reason)


def _named(entry: dict[str, Any]) -> str:
    return _shown(entry.get("id"))


def _shown(value: object) -> str:
    """An id as it may be printed: a file may hold anything in its place."""
    return value if isinstance(value, str) and _UUID.fullmatch(value) else "of unreadable id"


# The command


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m haihe.evidence.verify", description="Check an export of the evidence log."
    )
    parser.add_argument("file", type=Path, help="the export")
    parser.add_argument("--key", default="", help="the key that signs first: id, hex or PEM file")
    parser.add_argument("--trust", type=Path, help="what is known of the log; default FILE.trust")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")
    options = parser.parse_args(arguments)
    try:
        trust = read_trust(options.trust or trust_path(options.file))
        if options.trust and trust is None:
            raise NotATrustFile(place=str(options.trust), reason="there is no such file")
        report = verify_file(options.file, trust, key=read_key(options.key) if options.key else "")
    except HaiheError as error:
        _print(_failure(error) if options.json else str(error))
        return 1 if isinstance(error, Corrupt) else 2
    _print(_success(report) if options.json else _summary(options.file, report))
    return 0


def _summary(path: Path, report: Report) -> str:
    head = report.head
    lines = [
        f"{path}: all {report.entries} entries are as they were logged.",
        f"Log {report.log}, {report.checkpoints} checkpoints, keys {', '.join(report.keys)}.",
        f"Head: size {head.size}, root {head.root}, signed {head.at}.",
    ]
    if report.trusted:
        lines.append(f"It continues what was seen of it at size {report.trusted.size}.")
    elif report.key_pinned:
        lines.append("Its first key is the one that you gave; an older copy would look the same.")
    else:
        lines.append(
            "Nothing outside the file was trusted: an older copy, or a log under another key, "
            "would look the same. Give --key or --trust to tell."
        )
    return "\n".join(lines)


def _success(report: Report) -> str:
    return json.dumps({"good": True, **asdict(report)})


def _failure(error: HaiheError) -> str:
    content = {"good": False, "code": error.code, "message": str(error), **error.params()}
    return json.dumps(content)


def _print(text: str) -> None:
    """Print for any terminal: what its encoding lacks is escaped."""
    encoding = sys.stdout.encoding or "ascii"
    print(text.encode(encoding, "backslashreplace").decode(encoding))  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
