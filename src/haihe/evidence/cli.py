"""Commands about the evidence log: read it, prove it, check it, take it away."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from django.utils.translation import gettext as _

from haihe.evidence import inspection, services
from haihe.evidence.files import write_export
from haihe.evidence.models import EvidenceEntry, EvidenceKey
from haihe.evidence.verifier import write_verifier
from haihe.evidence.verify import read_key, read_trust, trust_path, verify_file
from haihe.kernel.ids import parse_id
from haihe.kernel.pagination import DEFAULT_LIMIT
from haihe.kernel.terminal import AsJson, Yes, ask_consent, print_json, show_record, show_rows
from haihe.policy.cli import caller

app = typer.Typer(help="The evidence log: entries, proofs, checks, exports.", no_args_is_help=True)


@app.command("list")
def list_evidence(
    kind: Annotated[str, typer.Option(help="One kind only, such as job.settled.")] = "",
    subject: Annotated[str, typer.Option(help="One subject only, such as job:ID.")] = "",
    organisation: Annotated[str, typer.Option(help="Entries with a part of this id only.")] = "",
    cursor: str = "",
    limit: int = DEFAULT_LIMIT,
    as_json: AsJson = False,
) -> None:
    """List the entries that you may read, newest first."""
    page = services.find(
        caller(),
        kind=kind,
        subject=subject,
        organisation=parse_id(organisation, kind="organisation") if organisation else None,
        cursor=cursor or None,
        limit=limit,
    )
    show_rows(
        [_entry(row) for row in page.items],
        columns=["index", "at", "kind", "subject", "id"],
        as_json=as_json,
        next_cursor=page.next_cursor,
        empty=_("No entry that you may read. What the platform does is logged here: haihe demo"),
    )


@app.command("show")
def show_evidence(entry_id: str, as_json: AsJson = False) -> None:
    """Show an entry."""
    show_record(_entry(services.get(caller(), entry_id)), as_json=as_json)


@app.command("head")
def show_head(as_json: AsJson = False) -> None:
    """Show the newest signed checkpoint."""
    head = services.head(caller())
    show_record(asdict(head) if head else {"size": 0}, as_json=as_json)


@app.command("checkpoints")
def list_checkpoints(cursor: str = "", limit: int = DEFAULT_LIMIT, as_json: AsJson = False) -> None:
    """List the signed checkpoints, newest first."""
    page = services.checkpoints(caller(), cursor=cursor or None, limit=limit)
    show_rows(
        [
            {
                "size": row.size,
                "at": row.at,
                "key": row.key_id,
                "root": bytes(row.root).hex(),
                "signature": bytes(row.signature).hex(),
            }
            for row in page.items
        ],
        columns=["size", "at", "key", "root"],
        as_json=as_json,
        next_cursor=page.next_cursor,
    )


@app.command("keys")
def list_keys(
    pem: Annotated[bool, typer.Option(help="As PEM, the one in use first.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the keys that sign or signed checkpoints."""
    keys = inspection.signing_keys(caller())
    if pem:
        typer.echo("".join(key.public_key().pem() for key in keys), nl=False)
        return
    show_rows(
        [_key(key) for key in keys],
        columns=["key", "since_size", "created_at", "retired_at", "public"],
        as_json=as_json,
    )


@app.command("proof")
def prove(
    entry_id: str,
    out: Annotated[Path | None, typer.Option(help="Write the proof to this file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Prove that an entry is in the log; the file is checked by python -m haihe.evidence.proof."""
    proof = inspection.prove(caller(), entry_id)
    if out:
        write_export(out, [proof.text()])
    if as_json:
        print_json(proof.content())
        return
    show_record(
        {
            "index": proof.index,
            "leaf": proof.leaf,
            "path": list(proof.path),
            "root": proof.checkpoint.root,
            "size": proof.checkpoint.size,
            "key": proof.key.key,
            "check": f"python -m haihe.evidence.proof {out}" if out else None,
        },
        as_json=False,
    )


@app.command("verify")
def verify(
    file: Annotated[Path | None, typer.Argument(help="An export; the database if none.")] = None,
    trust: Annotated[Path | None, typer.Option(help="What is known of the log.")] = None,
    key: Annotated[str, typer.Option(help="The key that signs first: id, hex or PEM file.")] = "",
    as_json: AsJson = False,
) -> None:
    """Check every entry of the log, the one in the database or an export of it."""
    if file is None:
        found = inspection.check_log(caller())
        show_record(
            {"good": True, "size": found.size if found else 0, "entry": found and found.id},
            as_json=as_json,
        )
        return
    known = read_key(key) if key else ""
    report = verify_file(file, read_trust(trust or trust_path(file)), key=known)
    show_record(
        {
            "good": True,
            "log": report.log,
            "entries": report.entries,
            "checkpoints": report.checkpoints,
            "keys": list(report.keys),
            "head": asdict(report.head),
            "trusted_size": report.trusted.size if report.trusted else None,
        },
        as_json=as_json,
    )


@app.command("export")
def export(file: Path, yes: Yes = False, as_json: AsJson = False) -> None:
    """Write the whole log to a file that python -m haihe.evidence.verify checks offline."""
    there = [str(path) for path in (file, Path(f"{file}.trust")) if path.exists()]
    if there:
        # What stands beside an export is the anchor against a log that was rolled back.
        ask_consent([_("Write over {path}.").format(path=path) for path in there], yes=yes)
    written = services.export(caller(), file)
    show_record(
        {
            "file": written.path,
            "trust_file": written.trust_path,
            "entries": written.entries,
            "trusted_size": written.trusted_size,
            "check": f"python -m haihe.evidence.verify {written.path}",
        },
        as_json=as_json,
    )


@app.command("verifier")
def take_verifier(file: Path, yes: Yes = False, as_json: AsJson = False) -> None:
    """Write the verifier to one file, for machines without Haihe."""
    if file.exists():
        ask_consent([_("Write over {path}.").format(path=file)], yes=yes)
    write_verifier(file)
    show_record(
        {
            "file": file,
            "needs": "Python 3.11, cryptography",
            "check": f"python {file} EXPORT --key KEY",
            "check_proof": f"python {file} proof PROOF --key KEY",
        },
        as_json=as_json,
    )


@app.command("rotate-key")
def rotate_key(yes: Yes = False, as_json: AsJson = False) -> None:
    """Sign checkpoints with a new key from now on."""
    principal = caller()
    ask_consent(
        [
            _("Sign checkpoints with a new key from now on; the old key signs for it."),
            _("Back up the new file in the folder keys of the home."),
        ],
        yes=yes,
    )
    show_record(_key(services.rotate_key(principal)), as_json=as_json)


def _entry(row: EvidenceEntry) -> dict[str, Any]:
    return {
        "index": row.index,
        "id": row.id,
        "at": row.at,
        "kind": row.kind,
        "subject": row.subject,
        "actor": row.actor,
        "parties": [str(party) for party in row.parties],
        "data": row.data,
        "leaf": bytes(row.leaf).hex(),
    }


def _key(row: EvidenceKey) -> dict[str, Any]:
    return {
        "key": row.pk,
        "public": row.public_key().public,
        "since_size": row.since_size,
        "created_at": row.created_at,
        "retired_at": row.retired_at,
    }
