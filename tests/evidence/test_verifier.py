"""The key that an auditor knows, and the verifier on a machine without Haihe."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from typer.testing import CliRunner

from haihe.cli.main import app
from haihe.evidence.domain import PublicKey
from haihe.evidence.errors import NotAKey, OtherLog
from haihe.evidence.inspection import prove
from haihe.evidence.services import export, record
from haihe.evidence.verifier import write_verifier
from haihe.evidence.verify import read_key, verify
from haihe.kernel.errors import StorageUnavailable
from haihe.kernel.work import unit_of_work
from haihe.policy.domain import system_principal
from tests.evidence.factories import AUDITOR, CLINIC, Book, settled


def forged() -> Book:
    """The same facts, logged anew under another key."""
    book = Book(key=2)
    for number in range(3):
        book.add({"amount_micro": 1_000 * number}).sign()
    return book


@pytest.mark.parametrize("rotated", [False, True])
def test_a_log_under_another_key_is_told_by_the_first_key(rotated: bool) -> None:
    book = settled(3)
    key = book.keys[0].key
    if rotated:
        book.rotate(3).add({"amount_micro": 5}).sign()
    assert verify(book.lines(), key=key).key_pinned
    assert not verify(forged().lines()).key_pinned, "it agrees with itself"
    with pytest.raises(OtherLog) as caught:
        verify(forged().lines(), key=key)
    assert (caught.value.what, caught.value.expected) == ("first key", key)


def test_a_key_is_named_by_id_digits_or_file(tmp_path: Path) -> None:
    key = settled(1).keys[0]
    path = tmp_path / "key.pem"
    path.write_text(key.pem())
    for given in (key.key, key.public, key.public.upper(), str(path)):
        assert read_key(given) == key.key


@pytest.mark.parametrize("given", ["abc", "0" * 63, "none.pem"])
def test_what_names_no_key_is_refused(given: str, tmp_path: Path) -> None:
    with pytest.raises(NotAKey):
        read_key(given)
    for text in ("", "no PEM", EC_KEY):
        path = tmp_path / "key.pem"
        path.write_text(text)
        with pytest.raises(NotAKey):
            read_key(str(path))


def test_a_verifier_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable):
        write_verifier(tmp_path / "none" / "verifier.pyz")


@pytest.mark.django_db
def test_the_verifier_is_one_file_for_a_machine_without_haihe(home: Path) -> None:
    with unit_of_work():
        entry_id = record(
            "job.settled", subject="job:1", actor=system_principal("x"), data={}, parties=[CLINIC]
        )
    export(AUDITOR, home / "log.jsonl")
    (home / "log.jsonl.trust").unlink()
    (home / "proof.json").write_text(prove(AUDITOR, entry_id).text())
    pyz = home / "verifier.pyz"
    said = CliRunner().invoke(app, ["evidence", "verifier", str(pyz), "--json"])
    assert said.exception is None, said.exception
    assert all("django" not in name for name in ZipFile(pyz).namelist())
    pem = CliRunner().invoke(app, ["evidence", "keys", "--pem"]).stdout
    (home / "key.pem").write_text(pem)

    def run(*arguments: object) -> Any:
        command = [sys.executable, "-c", ALONE, pyz, *arguments]
        return subprocess.run(
            [str(part) for part in command],
            capture_output=True, text=True, check=False, cwd=home,
        )  # fmt: skip

    good = run("log.jsonl", "--key", "key.pem", "--json")
    assert (good.returncode, good.stderr) == (0, "")
    assert json.loads(good.stdout)["key_pinned"] is True
    assert run("log.jsonl", "--key", "0" * 16).returncode == 1
    assert run("log.jsonl", "--key", "none.pem").returncode == 2
    key = PublicKey(**json.loads((home / "proof.json").read_text())["key"])
    assert run("proof", "proof.json", "--key", key.key).returncode == 0


# Runs the file as Python does, and lets nothing of Haihe be found elsewhere.
ALONE = """
import runpy, sys
pyz = sys.argv.pop(1)
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name == "haihe" and sys.path[0] != pyz:
            raise ImportError("Haihe is not on this machine")
        if name.partition(".")[0] in ("django", "structlog", "pydantic"):
            raise ImportError("not on the auditor's machine: " + name)
sys.meta_path.insert(0, Refuse())
sys.path.insert(0, pyz)
sys.argv[0] = pyz
runpy.run_path(pyz, run_name="__main__")
"""
EC_KEY = """-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEVs/o5+uQbTjL3chynL4wXgUg2R9
q9UU8I5mEovUf86QZ7kOBIjJwqnzD1omageEHWwHdBO6B+dFabmdT9POxg==
-----END PUBLIC KEY-----
"""
