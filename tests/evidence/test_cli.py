"""The evidence log on the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from typer.testing import CliRunner

from haihe.cli.main import app
from haihe.evidence.services import record
from haihe.kernel.errors import Corrupt, MissingRecord
from haihe.kernel.work import unit_of_work
from haihe.policy.domain import system_principal
from haihe.policy.errors import NotAllowed
from tests.factories import make_organisation, make_person

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]


def haihe(*arguments: object, as_email: str = "", **options: Any) -> Any:
    """Run a command as a person, or as the console."""
    environment = {"HAIHE_AS": as_email}
    return CliRunner().invoke(app, [str(part) for part in arguments], env=environment, **options)


def said(result: Any) -> Any:
    """The JSON of a command that succeeded."""
    assert result.exception is None, result.exception
    return json.loads(result.stdout)


@pytest.fixture
def entry_id() -> UUID:
    ann = make_person("ann@example.test")
    clinic = make_organisation("clinic", owner=ann)
    with unit_of_work():
        return record(
            "job.settled",
            subject="job:1",
            actor=system_principal("settlement"),
            data={"amount_micro": 7},
            parties=[clinic.pk],
        )


def test_the_console_reads_the_whole_log(entry_id: UUID) -> None:
    [entry] = said(haihe("evidence", "list", "--json"))["items"]
    assert (entry["id"], entry["data"]) == (str(entry_id), {"amount_micro": 7})
    assert said(haihe("evidence", "show", entry_id, "--json")) == entry
    assert said(haihe("evidence", "head", "--json"))["size"] == 1
    assert [c["size"] for c in said(haihe("evidence", "checkpoints", "--json"))["items"]] == [1, 0]
    assert len(said(haihe("evidence", "keys", "--json"))["items"]) == 1
    assert said(haihe("evidence", "list", "--kind", "job.lost", "--json"))["items"] == []
    for command in ("list", "head", "checkpoints", "keys"):
        assert haihe("evidence", command).exit_code == 0


def test_a_person_reads_what_concerns_their_organisations(entry_id: UUID) -> None:
    make_person("bob@example.test")
    ann = haihe("evidence", "list", "--json", as_email="ann@example.test")
    assert len(said(ann)["items"]) == 1
    bob = haihe("evidence", "list", "--json", as_email="bob@example.test")
    assert said(bob)["items"] == []
    refused = haihe("evidence", "show", entry_id, as_email="bob@example.test")
    assert isinstance(refused.exception, NotAllowed)


def test_a_proof_is_written_and_checked_without_the_platform(
    entry_id: UUID, tmp_path: Path
) -> None:
    path = tmp_path / "proof.json"
    shown = haihe("evidence", "proof", entry_id, "--out", path)
    assert "python -m haihe.evidence.proof" in shown.stdout
    assert json.loads(path.read_text()) == said(haihe("evidence", "proof", entry_id, "--json"))
    command = [sys.executable, "-m", "haihe.evidence.proof", str(path)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    lost = haihe("evidence", "proof", "no-id")
    assert isinstance(lost.exception, MissingRecord)


def test_the_console_exports_without_a_name_and_anybody_verifies(
    entry_id: UUID, tmp_path: Path
) -> None:
    path = tmp_path / "log.jsonl"
    written = said(haihe("evidence", "export", path, "--json"))
    assert written["trust_file"] == f"{path}.trust"
    assert Path(written["trust_file"]).exists()
    command = [sys.executable, "-m", "haihe.evidence.verify", str(path)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    assert said(haihe("evidence", "verify", path, "--json"))["trusted_size"] == 1
    path.write_text(path.read_text().replace('"amount_micro":7', '"amount_micro":9'))
    assert isinstance(haihe("evidence", "verify", path).exception, Corrupt)


def test_an_export_is_not_written_over_unasked(entry_id: UUID, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    anchor = tmp_path / "log.jsonl.trust"
    anchor.write_text("of another day")
    refused = haihe("evidence", "export", path, input="n\n")
    assert refused.exit_code == 10
    assert str(anchor) in refused.stderr
    assert anchor.read_text() == "of another day"
    assert not path.exists()


def test_a_member_may_not_export(entry_id: UUID, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    refused = haihe("evidence", "export", path, as_email="ann@example.test")
    assert isinstance(refused.exception, NotAllowed)
    assert list(tmp_path.glob("log*")) == []


def test_the_log_in_the_database_is_checked(entry_id: UUID) -> None:
    assert said(haihe("evidence", "verify", "--json"))["size"] == 1
    refused = haihe("evidence", "verify", as_email="ann@example.test")
    assert isinstance(refused.exception, NotAllowed)


def test_a_key_is_replaced_after_consent(entry_id: UUID) -> None:
    assert haihe("evidence", "rotate-key", input="n\n").exit_code == 10
    assert len(said(haihe("evidence", "keys", "--json"))["items"]) == 1
    new = said(haihe("evidence", "rotate-key", "--yes", "--json"))
    assert said(haihe("evidence", "keys", "--json"))["items"][0]["key"] == new["key"]
