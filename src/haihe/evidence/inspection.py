"""Use cases of those who check the log: proofs as files, the keys, and the check of the log itself.

:mod:`haihe.evidence.services` keeps the log; nothing here adds to it but the note of a check.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from haihe.evidence.domain import Checkpoint
from haihe.evidence.models import EvidenceEntry, EvidenceKey, EvidenceLog
from haihe.evidence.proof import EntryProof
from haihe.evidence.services import LOG, export_lines, inclusion_proof, record, verify_log
from haihe.evidence.verify import verify
from haihe.kernel.clock import now
from haihe.kernel.errors import MissingRecord
from haihe.kernel.ids import parse_id
from haihe.kernel.work import unit_of_work
from haihe.policy.domain import Principal
from haihe.policy.services import authorize, is_allowed

VERIFIED = "log.verified"


@dataclass(frozen=True)
class Check:
    """A check of the log that found nothing wrong."""

    id: UUID
    at: datetime
    actor: str
    size: int


def prove(principal: Principal, id: UUID | str) -> EntryProof:  # noqa: A002 (the field's name)
    """The proof that an entry is in the log, for anybody; its content for who may read it.

    Raises
    ------
    EntryWrong
        If the content was changed: a proof of its hash would vouch for what was never logged.
    """
    authorize(principal, "evidence.list", LOG)
    row = EvidenceEntry.objects.filter(id=parse_id(id, kind="evidence")).first()
    if row is None:
        raise MissingRecord(kind="evidence", id=str(id))
    row.checked()
    proof = inclusion_proof(principal, row.index)
    key = EvidenceKey.objects.get(pk=proof.checkpoint.key)
    readable = is_allowed(principal, "evidence.read", row.resource())
    return EntryProof(
        index=row.index,
        leaf=bytes(row.leaf).hex(),
        path=proof.path,
        checkpoint=proof.checkpoint,
        key=key.public_key(),
        entry_text=row.text() if readable else "",
    )


def signing_keys(principal: Principal) -> list[EvidenceKey]:
    """The keys that sign or signed checkpoints, the newest first."""
    authorize(principal, "evidence.list", LOG)
    return list(EvidenceKey.objects.order_by("-since_size"))


def verify_entries() -> Checkpoint | None:
    """Check every entry, checkpoint and key in the database; the head, or None if it is empty.

    The rows are read as an export would write them, and go through the offline verifier: so what
    it finds is found here, and named in the same words. It takes time in proportion to the log,
    and no lock: what is appended meanwhile is left for the next time.

    Raises
    ------
    Corrupt
        The named error of the first thing that is wrong.
    SigningKeyMissing
        If the next entry could not be signed for.
    """
    if verify_log() is None:
        return None
    log = EvidenceLog.objects.get()
    return verify(line.encode() for line in export_lines(log)).head


def check_log(principal: Principal) -> Check | None:
    """Check all of the log, and log that it held; None if it is empty.

    What was found to contradict itself takes no further entries: then nothing is logged.

    Raises
    ------
    Corrupt, SigningKeyMissing
        As :func:`verify_entries`.
    """
    authorize(principal, "evidence.verify", LOG)
    checkpoint = verify_entries()
    if checkpoint is None:
        return None
    with unit_of_work():
        entry_id = record(
            VERIFIED,
            subject=f"evidence-log:{checkpoint.log}",
            actor=principal,
            data={"size": checkpoint.size, "root": checkpoint.root},
        )
    # The entry is appended when the outermost unit of work ends, which may be after this.
    return Check(entry_id, now(), principal.actor, checkpoint.size)


def last_check(principal: Principal) -> Check | None:
    """The newest check that found nothing wrong; None if there was none."""
    authorize(principal, "evidence.list", LOG)
    row = EvidenceEntry.objects.filter(kind=VERIFIED).order_by("-index").first()
    return Check(row.id, row.at, row.actor, row.checked().data["size"]) if row else None


def may_check(principal: Principal) -> bool:
    """Whether the caller may have the log checked, for pages that show or hide a button."""
    return is_allowed(principal, "evidence.verify", LOG)


def may_rotate_key(principal: Principal) -> bool:
    """Whether the caller may replace the signing key, for pages that show or hide a button."""
    return is_allowed(principal, "evidence.rotate_key", LOG)
