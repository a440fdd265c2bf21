"""What the evidence log says and signs: canonical text, entries, checkpoints, trust.

Each fact is one *entry*, a JSON object with one canonical text (RFC 8785, June 2020). The entries
are the leaves of a Merkle tree (:mod:`haihe.evidence.merkle`), and a *checkpoint* is the signed
root of the tree at a size (Ed25519, RFC 8032). Whoever holds a checkpoint can tell whether any
entry before it was changed, removed or moved.

The offline verifier runs on this file: it imports the standard library, ``cryptography`` and
errors, and never Django.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from haihe.evidence.errors import EntryTooLarge, NotCanonical

FORMAT = "haihe-evidence/1"
TRUST_FORMAT = "haihe-evidence-trust/1"
KEY_ROTATED = "evidence.key_rotated"

MAX_INTEGER = 2**53 - 1
MAX_DEPTH = 16
MAX_DATA_BYTES = 65_536
MEMORY_LIMIT_BYTES = 65_536
MAX_PARTIES = 100
MAX_KIND_LENGTH = 80
MAX_NAME_LENGTH = 200

_KIND = re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)+")
_HEX_32 = re.compile(r"[0-9a-f]{64}")
_HEX_64 = re.compile(r"[0-9a-f]{128}")
_to_json = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode


# Canonical JSON


def canonical(value: object) -> str:
    """The RFC 8785 text of ``value``, for a subset of JSON on which all readers agree.

    Keys are ASCII, so that sorting by code point is sorting by UTF-16 unit; numbers are integers
    that a double holds exactly; text is valid Unicode. Then Python's own encoder writes what RFC
    8785 asks for. Scores and other fractions travel as decimal strings.

    Raises
    ------
    NotCanonical
        For anything else; the error names the place in the value.
    """
    flaw = _flaw(value, MAX_DEPTH)
    if flaw:
        raise NotCanonical(path="data" + flaw[0], reason=flaw[1])
    return _to_json(value)


def read_json(line: bytes) -> object:
    """Read one JSON text as strictly as :func:`canonical` writes it; whitespace may differ.

    Python by itself keeps the last of two equal keys, where another reader keeps the first: such
    an object would show different people different facts under one hash, so it is refused.
    """
    try:
        return json.loads(
            line.decode(),
            parse_float=_refuse_number,
            parse_constant=_refuse_number,
            object_pairs_hook=_each_key_once,
        )
    except RecursionError:
        raise NotCanonical(path="the text", reason="is nested too deeply") from None
    except ValueError as error:
        raise NotCanonical(path="the text", reason=f"is not read: {error}") from None


def shaped(value: object, path: str, shape: Mapping[str, type]) -> dict[str, Any]:
    """``value`` if it is an object with exactly these fields of exactly these types."""
    if not isinstance(value, dict) or value.keys() != shape.keys():
        raise NotCanonical(path=path, reason=f"needs the fields {', '.join(shape)}, and no others")
    for name, kind in shape.items():
        if type(value[name]) is not kind:
            raise NotCanonical(path=f"{path}.{name}", reason=f"is not of type {kind.__name__}")
    return value


def _flaw(value: object, depth: int) -> tuple[str, str] | None:
    """Where below ``value``, and why, there is something that has no canonical text."""
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, str):
        return None if _is_unicode(value) else ("", "holds half of a surrogate pair")
    if isinstance(value, int):
        exact = -MAX_INTEGER <= value <= MAX_INTEGER
        return None if exact else ("", "is beyond 2^53 - 1, where readers round; write it as text")
    if depth == 0:
        return "", f"is nested more than {MAX_DEPTH} deep"
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str) or not key.isascii():
                return "", "has a key that is not ASCII text"
            if flaw := _flaw(item, depth - 1):
                return f".{key}{flaw[0]}", flaw[1]
        return None
    if isinstance(value, (list, tuple)):
        for position, item in enumerate(value):
            if flaw := _flaw(item, depth - 1):
                return f"[{position}]{flaw[0]}", flaw[1]
        return None
    return "", f"is a {type(value).__name__}; use text, integers, booleans, null, lists, objects"


def _is_unicode(text: str) -> bool:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return False
    return True


def _refuse_number(text: str) -> NoReturn:
    raise ValueError(f"{text[:40]} is not an integer")


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


# Entries


@dataclass(frozen=True, slots=True)
class Fact:
    """What happened, before the log gives it a place and an instant."""

    id: UUID
    kind: str
    subject: str
    actor: str
    parties: tuple[UUID, ...]
    parties_json: str
    data_json: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A logged fact, as services of other domains read it."""

    index: int
    id: UUID
    at: datetime
    kind: str
    subject: str
    actor: str
    parties: tuple[UUID, ...]
    data: Mapping[str, Any]


ENTRY_SHAPE: Mapping[str, type] = {
    "actor": str,
    "at": str,
    "data": dict,
    "id": str,
    "index": int,
    "kind": str,
    "parties": list,
    "subject": str,
}


def checked_fact(
    id: UUID,  # noqa: A002 (the field's name in the log)
    kind: str,
    *,
    subject: str,
    actor: str,
    data: Mapping[str, Any],
    parties: Iterable[UUID] = (),
) -> Fact:
    """A fact whose parts are all within their rules. ``data`` is written down at once.

    Raises
    ------
    NotCanonical
        If a part has no canonical text or breaks its rule.
    EntryTooLarge
        If ``data`` takes more than :data:`MAX_DATA_BYTES`.
    """
    if len(kind) > MAX_KIND_LENGTH or not _KIND.fullmatch(kind):
        raise NotCanonical(path="kind", reason="is not words joined by dots, as in 'job.settled'")
    for path, text in (("subject", subject), ("actor", actor)):
        if not 0 < len(text) <= MAX_NAME_LENGTH or not text.isprintable():
            raise NotCanonical(
                path=path, reason=f"is not 1 to {MAX_NAME_LENGTH} printable characters"
            )
    named = set(parties)
    if len(named) > MAX_PARTIES or not all(isinstance(party, UUID) for party in named):
        raise NotCanonical(path="parties", reason=f"are not at most {MAX_PARTIES} organisation ids")
    data_json = canonical(dict(data))
    size_bytes = len(data_json.encode())
    if size_bytes > MAX_DATA_BYTES:
        raise EntryTooLarge(kind=kind, size_bytes=size_bytes, limit_bytes=MAX_DATA_BYTES)
    ordered = tuple(sorted(named))
    parties_json = "[" + ",".join(f'"{party}"' for party in ordered) + "]"
    return Fact(id, kind, subject, actor, ordered, parties_json, data_json)


def entry_text(
    *,
    index: int,
    id: UUID,  # noqa: A002 (the field's name in the log)
    at: str,
    kind: str,
    subject: str,
    actor: str,
    parties_json: str,
    data_json: str,
) -> str:
    """The canonical text of an entry, put together from parts that are canonical already."""
    return (
        f'{{"actor":{_to_json(actor)},"at":"{at}","data":{data_json},"id":"{id}","index":{index},'
        f'"kind":{_to_json(kind)},"parties":{parties_json},"subject":{_to_json(subject)}}}'
    )


def entry_line(leaf: bytes, text: str) -> str:
    """An entry as a line of an export."""
    return f'{{"leaf":"{leaf.hex()}","entry":{text}}}'


def timestamp(at: datetime) -> str:
    """An instant as the log writes it: RFC 3339, UTC, to the microsecond."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


# Checkpoints


def key_id(public: bytes) -> str:
    """The short name of a public key."""
    return hashlib.sha256(public).hexdigest()[:16]


@dataclass(frozen=True)
class PublicKey:
    """A key that checkpoints are checked with, in the form that travels: 32 bytes as hex."""

    key: str
    public: str

    def __post_init__(self) -> None:
        if not _HEX_32.fullmatch(self.public) or key_id(bytes.fromhex(self.public)) != self.key:
            raise NotCanonical(path="key", reason="does not name the public key beside it")

    def pem(self) -> str:
        """The key as a PEM file holds it."""
        public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(self.public))
        return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    @classmethod
    def of(cls, public: bytes) -> PublicKey:
        """The key with these 32 bytes."""
        return cls(key_id(public), public.hex())

    @classmethod
    def read(cls, value: object) -> PublicKey:
        """The key in a parsed line."""
        return cls(**shaped(value, "key", {"key": str, "public": str}))


@dataclass(frozen=True)
class Checkpoint:
    """The root of the log at a size, signed. All parts are in the form that is signed."""

    log: str
    size: int
    root: str
    at: str
    key: str
    signature: str = ""

    def text(self) -> str:
        """The canonical text, which is what the signature is over."""
        fields = ("log", "size", "root", "at", "key")
        return canonical({name: getattr(self, name) for name in fields})

    def line(self) -> str:
        """The checkpoint as a line of an export, and of the witness file."""
        return f'{{"checkpoint":{self.text()},"signature":"{self.signature}"}}'

    @classmethod
    def read(cls, value: object) -> Checkpoint:
        """The checkpoint in a parsed line. Its signature is not checked here."""
        line = shaped(value, "the line", {"checkpoint": dict, "signature": str})
        shape = {"log": str, "size": int, "root": str, "at": str, "key": str}
        fields = shaped(line["checkpoint"], "checkpoint", shape)
        if not 0 <= fields["size"] <= MAX_INTEGER:
            raise NotCanonical(path="checkpoint.size", reason="is no size")
        if not _HEX_32.fullmatch(fields["root"]):
            raise NotCanonical(path="checkpoint.root", reason="is no hash")
        return cls(**fields, signature=line["signature"])

    def signed(self, private: Ed25519PrivateKey) -> Checkpoint:
        """The same with the signature of ``private``, whose public half ``key`` must name."""
        public = private.public_key().public_bytes_raw()
        assert key_id(public) == self.key, "a checkpoint names the key that signs it"
        signature = private.sign(self.text().encode()).hex()
        return Checkpoint(self.log, self.size, self.root, self.at, self.key, signature)

    def is_signed_by(self, key: PublicKey) -> bool:
        """Whether the signature is that of ``key`` over exactly these fields."""
        if self.key != key.key or not _HEX_64.fullmatch(self.signature):
            return False
        try:
            public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key.public))
            public.verify(bytes.fromhex(self.signature), self.text().encode())
        except (InvalidSignature, ValueError, NotCanonical):
            return False
        return True


@dataclass(frozen=True)
class Trust:
    """What somebody remembers of a log, outside of it: who signs first, and how far it has come."""

    key: PublicKey
    checkpoint: Checkpoint

    def text(self) -> str:
        """The content of a trust file."""
        key = canonical({"key": self.key.key, "public": self.key.public})
        return f'{{"format":"{TRUST_FORMAT}","key":{key},"seen":{self.checkpoint.line()}}}'

    @classmethod
    def read(cls, content: bytes) -> Trust:
        """The memory in a trust file."""
        shape = {"format": str, "key": dict, "seen": dict}
        fields = shaped(read_json(content), "the file", shape)
        if fields["format"] != TRUST_FORMAT:
            raise NotCanonical(path="format", reason=f"is not {TRUST_FORMAT}")
        return cls(PublicKey.read(fields["key"]), Checkpoint.read(fields["seen"]))
