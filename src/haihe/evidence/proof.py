"""The proof of one entry as a file, and its check on any machine.

    python -m haihe.evidence.proof FILE [--key KEY] [--trust TRUSTFILE] [--json]

Exit status 0: the entry is under the checkpoint, which the key in the file signed. 1: the first
thing that is wrong was named. 2: the file is no proof. Like :mod:`haihe.evidence.verify`, it needs
the Python standard library and ``cryptography``, nothing else.

A proof is small where an export is whole: it shows that one entry is in the log, and nothing of the
others. Who may not read the entry gets its hash instead, and proves that. The key in the file is as
good as the file; ``--key`` (from the platform's page of keys) or a trust file pins it. A trust file
pins the log's first key only: which key came after it, an export shows and a proof does not.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from haihe.evidence.domain import (
    ENTRY_SHAPE,
    Checkpoint,
    PublicKey,
    Trust,
    canonical,
    read_json,
    shaped,
)
from haihe.evidence.errors import (
    CheckpointWrong,
    EntryWrong,
    NotAProof,
    NotATrustFile,
    NotCanonical,
    OtherLog,
)
from haihe.evidence.merkle import inclusion_holds, leaf_hash, node_hash
from haihe.evidence.verify import read_trust
from haihe.kernel.errors import Corrupt, HaiheError

PROOF_FORMAT = "haihe-evidence-proof/1"
# A path doubles the log with each hash, so 64 of them reach past any log.
MAX_PATH = 64
MAX_PROOF_BYTES = 1_000_000
_HEX_32 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Step:
    """One step from a leaf to the root: what is joined on which side, and what that gives."""

    sibling: str
    on_left: bool
    result: str


@dataclass(frozen=True)
class EntryProof:
    """That entry ``index`` is under ``checkpoint``.

    ``entry_text`` is empty for somebody who may not read the entry. Hashes are hex, and
    ``path`` leads from the leaf to the root, as RFC 6962 gives it.
    """

    index: int
    leaf: str
    path: tuple[str, ...]
    checkpoint: Checkpoint
    key: PublicKey
    entry_text: str = ""

    def content(self) -> dict[str, Any]:
        """The proof as JSON values, in the order of its file."""
        return json.loads(self.text())  # type: ignore[no-any-return]

    def text(self) -> str:
        """The proof as a file."""
        entry = f'"entry":{self.entry_text},' if self.entry_text else ""
        return (
            f'{{"format":"{PROOF_FORMAT}","index":{self.index},"leaf":"{self.leaf}",{entry}'
            f'"path":{canonical(list(self.path))},"key":{canonical(asdict(self.key))},'
            f'"signed":{self.checkpoint.line()}}}'
        )

    @classmethod
    def read(cls, content: bytes) -> EntryProof:
        """The proof in a file. Nothing is checked but its shape.

        Raises
        ------
        NotCanonical
            If the file is not of this shape.
        """
        shape: dict[str, type] = {
            "format": str, "index": int, "leaf": str, "path": list, "key": dict, "signed": dict,
        }  # fmt: skip
        value = read_json(content)
        if isinstance(value, dict) and "entry" in value:
            shape["entry"] = dict
        fields = shaped(value, "the file", shape)
        if fields["format"] != PROOF_FORMAT:
            raise NotCanonical(path="format", reason=f"is not {PROOF_FORMAT}")
        hashes = [fields["leaf"], *fields["path"]]
        if len(fields["path"]) > MAX_PATH or not all(map(_is_hash, hashes)):
            raise NotCanonical(path="path", reason=f"is not at most {MAX_PATH} hashes")
        return cls(
            index=fields["index"],
            leaf=fields["leaf"],
            path=tuple(fields["path"]),
            checkpoint=Checkpoint.read(fields["signed"]),
            key=PublicKey.read(fields["key"]),
            entry_text=canonical(fields["entry"]) if "entry" in fields else "",
        )


@dataclass(frozen=True)
class ProofReport:
    """What a proof shows. ``key_pinned``: its key was known from outside the file."""

    log: str
    index: int
    leaf: str
    entry: dict[str, Any] | None
    checkpoint: Checkpoint
    key_pinned: bool


def steps(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> list[Step]:
    """The way from a leaf to the root of the tree of ``size`` leaves (RFC 9162, 2.1.3.2)."""
    found, here, last = leaf, index, size - 1
    way: list[Step] = []
    for sibling in path:
        on_left = bool(here & 1) or here == last
        found = node_hash(sibling, found) if on_left else node_hash(found, sibling)
        way.append(Step(sibling.hex(), on_left, found.hex()))
        while on_left and here and not here & 1:
            here, last = here >> 1, last >> 1
        here, last = here >> 1, last >> 1
    return way


def check(proof: EntryProof, *, key: str = "", trust: Trust | None = None) -> ProofReport:
    """What a proof shows, if all of it holds.

    Parameters
    ----------
    key : str
        The id of the key that must have signed.
    trust : Trust
        The log and the key that must be the proof's.

    Raises
    ------
    Corrupt
        The named error of the first thing that is wrong.
    """
    entry = _checked_entry(proof)
    size = proof.checkpoint.size
    root = bytes.fromhex(proof.checkpoint.root)
    path = [bytes.fromhex(step) for step in proof.path]
    if not inclusion_holds(bytes.fromhex(proof.leaf), proof.index, size, path, root):
        reason = "its path does not lead to the root of the checkpoint"
        raise EntryWrong(index=proof.index, id=_name(entry), reason=reason)
    if not proof.checkpoint.is_signed_by(proof.key):
        raise CheckpointWrong(size=size, reason=f"key {proof.key.key} did not sign it")
    if trust is not None and trust.checkpoint.log != proof.checkpoint.log:
        found = proof.checkpoint.log[:40]
        raise OtherLog(what="id", found=found, expected=trust.checkpoint.log)
    for known in filter(None, (key, trust.key.key if trust else "")):
        if known != proof.key.key:
            reason = f"key {proof.key.key} signed it, and {known} is known"
            raise CheckpointWrong(size=size, reason=reason)
    return ProofReport(
        log=proof.checkpoint.log,
        index=proof.index,
        leaf=proof.leaf,
        entry=entry,
        checkpoint=proof.checkpoint,
        key_pinned=bool(key or trust),
    )


def check_file(path: Path, *, key: str = "", trust: Trust | None = None) -> ProofReport:
    """Check the proof in a file."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_PROOF_BYTES + 1)
    except OSError as error:
        raise NotAProof(place=str(path), reason=error.strerror or str(error)) from error
    if len(content) > MAX_PROOF_BYTES:
        raise NotAProof(place=str(path), reason=f"it is over {MAX_PROOF_BYTES} bytes")
    try:
        proof = EntryProof.read(content)
    except NotCanonical as error:
        raise NotAProof(place=str(path), reason=f"{error.path} {error.reason}") from error
    return check(proof, key=key, trust=trust)


def _checked_entry(proof: EntryProof) -> dict[str, Any] | None:
    """The entry in the proof, which must be the one that its hash was made of."""
    if not proof.entry_text:
        return None
    entry = read_json(proof.entry_text.encode())
    try:
        fields = shaped(entry, "it", ENTRY_SHAPE)
    except NotCanonical as error:
        reason = f"{error.path} {error.reason}"
        raise EntryWrong(index=proof.index, id="of unknown id", reason=reason) from error
    if leaf_hash(proof.entry_text.encode()).hex() != proof.leaf:
        reason = "its content is not what its hash was made of"
        raise EntryWrong(index=proof.index, id=_name(fields), reason=reason)
    if fields["index"] != proof.index:
        reason = f"it says that it is entry {fields['index']}"
        raise EntryWrong(index=proof.index, id=_name(fields), reason=reason)
    return fields


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and bool(_HEX_32.fullmatch(value))


def _name(entry: dict[str, Any] | None) -> str:
    """The entry's id as it may be printed: a file may hold anything in its place."""
    name = entry["id"] if entry else "of unknown id"
    return name[:64] if name.isprintable() else "of unreadable id"


# The command


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m haihe.evidence.proof", description="Check the proof of one entry."
    )
    parser.add_argument("file", type=Path, help="the proof")
    parser.add_argument("--key", default="", help="the id of the key that must have signed")
    parser.add_argument("--trust", type=Path, help="a trust file, as an export leaves beside it")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")
    options = parser.parse_args(arguments)
    try:
        trust = read_trust(options.trust) if options.trust else None
        if options.trust and trust is None:
            raise NotATrustFile(place=str(options.trust), reason="there is no such file")
        report = check_file(options.file, key=options.key, trust=trust)
    except HaiheError as error:
        content = {"good": False, "code": error.code, "message": str(error), **error.params()}
        _print(json.dumps(content) if options.json else str(error))
        return 1 if isinstance(error, Corrupt) else 2
    good = json.dumps({"good": True, **asdict(report)})
    _print(good if options.json else _summary(options.file, report))
    return 0


def _summary(path: Path, report: ProofReport) -> str:
    head, entry = report.checkpoint, report.entry
    what = f"{entry['kind']} {entry['subject']} at {entry['at']}" if entry else "not shown"
    lines = [
        f"{path}: entry {report.index} is in log {report.log}.",
        f"Content: {what}. Hash: {report.leaf}.",
        f"Checkpoint: size {head.size}, root {head.root}, signed {head.at} by key {head.key}.",
    ]
    if not report.key_pinned:
        lines.append(
            "The key is the one that the file names: compare it with the platform's page of keys, "
            "or give --key or --trust."
        )
    return "\n".join(lines)


def _print(text: str) -> None:
    """Print for any terminal: what its encoding lacks is escaped."""
    encoding = sys.stdout.encoding or "ascii"
    print(text.encode(encoding, "backslashreplace").decode(encoding))  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
