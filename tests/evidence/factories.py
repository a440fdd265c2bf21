"""A log kept in memory, to be exported, tampered with and verified without a database."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from haihe.evidence.domain import (
    FORMAT,
    KEY_ROTATED,
    Checkpoint,
    PublicKey,
    Trust,
    canonical,
    checked_fact,
    entry_line,
    entry_text,
    timestamp,
)
from haihe.evidence.merkle import Frontier, leaf_hash
from haihe.policy.domain import PlatformRole, Principal, Role

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
CLINIC, CENTRE, OTHER = (UUID(int=number) for number in (1, 2, 3))

AUDITOR = Principal(id=UUID(int=101), platform_roles=frozenset({PlatformRole.AUDITOR}))
OPERATOR = Principal(id=UUID(int=102), platform_roles=frozenset({PlatformRole.OPERATOR}))
OFFICER = Principal(id=UUID(int=103), platform_roles=frozenset({PlatformRole.OFFICER}))
DOCTOR = Principal(id=UUID(int=104), memberships=frozenset({(CLINIC, Role.MEMBER)}))
STRANGER = Principal(id=UUID(int=105), memberships=frozenset({(OTHER, Role.OWNER)}))


def private_key(number: int) -> Ed25519PrivateKey:
    """Always the same key for a number."""
    return Ed25519PrivateKey.from_private_bytes(number.to_bytes(32, "big"))


class Book:
    """A log whose keeper can be honest or not."""

    def __init__(self, *, key: int = 1, log: int = 7) -> None:
        self.log = str(UUID(int=log))
        self.private = private_key(key)
        self.keys = [PublicKey.of(self.private.public_key().public_bytes_raw())]
        self.frontier = Frontier()
        self.entries: list[str] = []
        self.leaves: list[bytes] = []
        self.checkpoints: list[Checkpoint] = []
        self.sign()

    def add(self, *data: dict[str, Any], kind: str = "job.settled") -> Book:
        """Log one entry for each ``data``, without signing."""
        for content in data:
            index = len(self.entries)
            fact = checked_fact(
                UUID(int=1_000 + index),
                kind,
                subject=f"job:{index}",
                actor="system:settlement",
                data=content,
                parties=[CLINIC, CENTRE],
            )
            text = entry_text(
                index=index,
                id=fact.id,
                at=timestamp(BEGAN + timedelta(seconds=index)),
                kind=fact.kind,
                subject=fact.subject,
                actor=fact.actor,
                parties_json=fact.parties_json,
                data_json=fact.data_json,
            )
            self.entries.append(text)
            self.leaves.append(leaf_hash(text.encode()))
        return self

    def sign(self) -> Book:
        """Sign a checkpoint of the present size with the key in use."""
        size = len(self.leaves)
        self.frontier, _ = self.frontier.append(self.leaves[self.frontier.size :])
        checkpoint = Checkpoint(
            log=self.log,
            size=size,
            root=self.frontier.root().hex(),
            at=timestamp(BEGAN + timedelta(seconds=size)),
            key=self.keys[-1].key,
        )
        self.checkpoints.append(checkpoint.signed(self.private))
        return self

    def rotate(self, key: int) -> Book:
        """Introduce a key, signed for by the one before it."""
        private = private_key(key)
        public = PublicKey.of(private.public_key().public_bytes_raw())
        names = {"old_key": self.keys[-1].key, "new_key": public.key, "public": public.public}
        self.add(names, kind=KEY_ROTATED).sign()
        self.private = private
        self.keys.append(public)
        return self

    def header(self, **changes: Any) -> str:
        """The first line, as it should be but for ``changes``."""
        fields = {
            "format": FORMAT,
            "log": self.log,
            "size": len(self.entries),
            "checkpoints": len(self.checkpoints),
            "keys": [asdict(key) for key in self.keys],
        }
        return canonical(fields | changes)

    def lines(self, **changes: Any) -> list[bytes]:
        """The export; ``changes`` are made to its header."""
        entries = map(entry_line, self.leaves, self.entries)
        signed = [checkpoint.line() for checkpoint in self.checkpoints]
        return [line.encode() + b"\n" for line in [self.header(**changes), *entries, *signed]]

    def trust(self, position: int = -1) -> Trust:
        """What somebody who saw a checkpoint remembers."""
        return Trust(self.keys[0], self.checkpoints[position])

    def rewrite(self, index: int, *, honest_leaf: bool = False, **data: Any) -> None:
        """Put other data into an entry, and its hash beside it unless told otherwise."""
        entry = json.loads(self.entries[index])
        entry["data"] = data
        self.entries[index] = canonical(entry)
        if not honest_leaf:
            self.leaves[index] = leaf_hash(self.entries[index].encode())


def settled(count: int) -> Book:
    """A log of ``count`` entries, signed for after each."""
    book = Book()
    for number in range(count):
        book.add({"amount_micro": 1_000 * number}).sign()
    return book
