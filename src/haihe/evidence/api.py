"""HTTP routes of the evidence log: heads and proofs for anybody, contents for who may read them."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from ninja import Query, Router, Schema, Status
from pydantic import Field

from haihe.evidence import inspection, services
from haihe.evidence.domain import Checkpoint
from haihe.evidence.models import EvidenceCheckpoint, EvidenceEntry, EvidenceKey
from haihe.kernel.api import CursorPage, PageQuery, as_page
from haihe.policy.http import Request

router = Router(tags=["evidence"])


class CheckpointOut(Schema):
    """The signed root of the log at a size, with exactly the fields that the signature is over."""

    log: str
    size: int
    root: str
    at: str
    key: str
    signature: str


class CheckpointRow(Schema):
    """A checkpoint in the list of them."""

    size: int
    root: str
    at: datetime
    key: str
    signature: str


class EntryOut(Schema):
    """A logged fact."""

    index: int
    id: UUID
    at: datetime
    kind: str
    subject: str
    actor: str
    parties: list[UUID] = Field(description="The organisations that have a part in it.")
    data: dict[str, Any]
    leaf: str = Field(description="Its hash, a leaf of the Merkle tree.")


class KeyOut(Schema):
    """A key that checkpoints are checked with."""

    key: str
    public: str = Field(description="The Ed25519 public key, 32 bytes as hex.")
    since_size: int = Field(description="It signs checkpoints of a larger size than this.")
    created_at: datetime
    retired_at: datetime | None


class SignedLine(Schema):
    """A checkpoint and its signature, as an export writes them."""

    checkpoint: dict[str, Any]
    signature: str


class ProofOut(Schema):
    """The proof of one entry, as `python -m haihe.evidence.proof FILE` checks it."""

    format: str
    index: int
    leaf: str
    entry: dict[str, Any] | None = Field(
        None, description="The entry as it was hashed; absent if the caller may not read it."
    )
    path: list[str] = Field(description="From the leaf to the root, as RFC 6962 gives it.")
    key: dict[str, str]
    signed: SignedLine


class ConsistencyOut(Schema):
    """The proof that one checkpoint continues another."""

    first: int
    second: int
    path: list[str]
    checkpoint: CheckpointOut


class LogCheckOut(Schema):
    """A check of the log that found nothing wrong."""

    id: UUID
    at: datetime
    size: int


class EntryFilter(Schema):
    """Which entries to list."""

    kind: str = Field("", description="One kind only, such as `job.settled`.")
    subject: str = Field("", description="One subject only, such as `job:<id>`.")
    organisation: UUID | None = Field(None, description="Entries with a part of this one only.")


@router.get("/evidence/head", response=CheckpointOut | None)
def read_evidence_head(request: Request) -> CheckpointOut | None:
    """The newest signed checkpoint; null before the first entry."""
    head = services.head(request.principal)
    return _checkpoint(head) if head else None


@router.get("/evidence/checkpoints", response=CursorPage[CheckpointRow])
def list_checkpoints(request: Request, page: Query[PageQuery]) -> CursorPage[CheckpointRow]:
    """The signed checkpoints."""
    found = services.checkpoints(request.principal, cursor=page.cursor, limit=page.limit)
    return as_page(found, _row)


@router.get("/evidence/keys", response=list[KeyOut])
def list_evidence_keys(request: Request) -> list[KeyOut]:
    """The keys that sign or signed checkpoints, the newest first."""
    return [_key(key) for key in inspection.signing_keys(request.principal)]


@router.post("/evidence/keys/rotate", response={201: KeyOut})
def rotate_evidence_key(request: Request) -> Status[KeyOut]:
    """Sign checkpoints with a new key from now on, as the platform's operator."""
    return Status(201, _key(services.rotate_key(request.principal)))


@router.get("/evidence/entries", response=CursorPage[EntryOut])
def list_evidence(
    request: Request, page: Query[PageQuery], narrow: Query[EntryFilter]
) -> CursorPage[EntryOut]:
    """The entries that the caller may read."""
    found = services.find(request.principal, **narrow.dict(), cursor=page.cursor, limit=page.limit)
    return as_page(found, _entry)


@router.get("/evidence/entries/{entry_id}", response=EntryOut)
def read_evidence(request: Request, entry_id: str) -> EntryOut:
    """An entry, for its parties and auditors."""
    return _entry(services.get(request.principal, entry_id))


@router.get("/evidence/entries/{entry_id}/proof", response=ProofOut, exclude_none=True)
def prove_inclusion(request: Request, entry_id: str) -> dict[str, Any]:
    """The proof that an entry is in the log; save the answer as a file to check it offline."""
    return inspection.prove(request.principal, entry_id).content()


@router.get("/evidence/consistency", response=ConsistencyOut)
def prove_consistency(request: Request, first: int, second: int) -> ConsistencyOut:
    """The proof that the checkpoint of size `second` continues the one of size `first`."""
    proof = services.consistency_proof(request.principal, first, second)
    return ConsistencyOut(
        first=first,
        second=second,
        path=list(proof.path),
        checkpoint=_checkpoint(proof.checkpoint),
    )


@router.post("/evidence/verify", response=LogCheckOut | None)
def verify_evidence(request: Request) -> LogCheckOut | None:
    """Check every entry now, and that the log is the one of before; null if the log is empty.

    What is wrong is answered by its name, such as `evidence.entry_wrong`.
    """
    found = inspection.check_log(request.principal)
    return LogCheckOut(id=found.id, at=found.at, size=found.size) if found else None


def _checkpoint(checkpoint: Checkpoint) -> CheckpointOut:
    return CheckpointOut.from_orm(checkpoint)


def _row(row: EvidenceCheckpoint) -> CheckpointRow:
    return CheckpointRow(
        size=row.size,
        root=bytes(row.root).hex(),
        at=row.at,
        key=row.key_id,
        signature=bytes(row.signature).hex(),
    )


def _entry(row: EvidenceEntry) -> EntryOut:
    return EntryOut(
        index=row.index,
        id=row.id,
        at=row.at,
        kind=row.kind,
        subject=row.subject,
        actor=row.actor,
        parties=list(row.parties),
        data=row.data,
        leaf=bytes(row.leaf).hex(),
    )


def _key(row: EvidenceKey) -> KeyOut:
    public = row.public_key()
    return KeyOut(
        key=public.key,
        public=public.public,
        since_size=row.since_size,
        created_at=row.created_at,
        retired_at=row.retired_at,
    )
