"""The proof of one entry: what it shows, on a machine that has nothing but the file."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haihe.evidence.domain import PublicKey, canonical
from haihe.evidence.errors import CheckpointWrong, EntryWrong, NotAProof, OtherLog
from haihe.evidence.merkle import Frontier, inclusion_path, leaf_hash, subtree_root
from haihe.evidence.proof import EntryProof, check, check_file, main, steps
from haihe.kernel.errors import HaiheError
from tests.evidence.factories import Book, settled

INDEX = 3


def reader(leaves: list[bytes]) -> Callable[[int, int], bytes]:
    """Stored nodes, computed afresh."""

    def read(level: int, index: int) -> bytes:
        if level == 0:
            return leaves[index]
        width = 1 << level
        frontier, _ = Frontier().append(leaves[index * width : (index + 1) * width])
        return frontier.root()

    return read


def proof_of(book: Book, index: int = INDEX, *, hidden: bool = False) -> EntryProof:
    """The proof of an entry under the book's newest checkpoint."""
    path = inclusion_path(index, len(book.leaves), reader(book.leaves))
    return EntryProof(
        index=index,
        leaf=book.leaves[index].hex(),
        path=tuple(step.hex() for step in path),
        checkpoint=book.checkpoints[-1],
        key=book.keys[-1],
        entry_text="" if hidden else book.entries[index],
    )


@pytest.fixture
def book() -> Book:
    return settled(7)


@given(st.data())
def test_the_steps_lead_from_any_leaf_to_the_root(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 70))
    index = data.draw(st.integers(0, size - 1))
    leaves = [number.to_bytes(32, "big") for number in range(size)]
    read = reader(leaves)
    way = steps(leaves[index], index, size, inclusion_path(index, size, read))
    reached = way[-1].result if way else leaves[index].hex()
    assert reached == subtree_root(0, size, read).hex()


def test_a_proof_read_back_from_its_file_is_the_same(book: Book) -> None:
    proof = proof_of(book)
    assert EntryProof.read(proof.text().encode()) == proof
    assert EntryProof.read(json.dumps(proof.content(), indent=2).encode()) == proof


def test_a_proof_shows_the_entry_and_where_it_stands(book: Book) -> None:
    report = check(proof_of(book))
    assert report.index == INDEX
    assert report.entry is not None
    assert report.entry["data"] == {"amount_micro": 3_000}
    assert not report.key_pinned


def test_a_proof_without_the_content_shows_the_hash(book: Book) -> None:
    report = check(proof_of(book, hidden=True))
    assert report.entry is None
    assert report.leaf == book.leaves[INDEX].hex()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda p: replace(p, entry_text=p.entry_text.replace("3000", "9000")), EntryWrong),
        (lambda p: replace(p, leaf="00" * 32, entry_text=""), EntryWrong),
        (lambda p: replace(p, index=INDEX + 1), EntryWrong),
        (lambda p: replace(p, index=INDEX + 1, entry_text=""), EntryWrong),
        (lambda p: replace(p, path=p.path[:-1]), EntryWrong),
        (lambda p: replace(p, path=p.path[::-1]), EntryWrong),
        (lambda p: replace(p, checkpoint=replace(p.checkpoint, root="00" * 32)), EntryWrong),
        (lambda p: replace(p, checkpoint=replace(p.checkpoint, at="yesterday")), CheckpointWrong),
        (lambda p: replace(p, checkpoint=replace(p.checkpoint, signature="")), CheckpointWrong),
        (lambda p: replace(p, key=PublicKey.of(bytes(32))), CheckpointWrong),
    ],
)
def test_whatever_is_changed_in_a_proof_is_found(
    book: Book, change: Callable[[EntryProof], EntryProof], error: type[HaiheError]
) -> None:
    with pytest.raises(error):
        check(change(proof_of(book)))


def test_an_entry_that_its_keeper_logged_at_a_wrong_place_is_found() -> None:
    book = Book().add({"amount_micro": 1}, {"amount_micro": 2})
    entry = json.loads(book.entries[1]) | {"index": 0}
    book.entries[1] = canonical(entry)
    book.leaves[1] = leaf_hash(book.entries[1].encode())
    with pytest.raises(EntryWrong, match="it says that it is entry 0"):
        check(proof_of(book.sign(), 1))


def test_a_log_forged_under_another_key_is_found_by_who_knows_the_key(book: Book) -> None:
    forged = proof_of(settled_by(2))
    assert not check(forged).key_pinned
    with pytest.raises(CheckpointWrong, match="is known"):
        check(forged, key=book.keys[0].key)
    with pytest.raises(CheckpointWrong, match="is known"):
        check(forged, trust=book.trust())
    assert check(proof_of(book), key=book.keys[0].key, trust=book.trust()).key_pinned


def test_a_proof_from_another_log_is_found_by_who_knows_the_log(book: Book) -> None:
    with pytest.raises(OtherLog):
        check(proof_of(settled_by(1, log=8)), trust=book.trust())


def test_after_a_rotation_the_first_key_alone_is_not_enough(book: Book) -> None:
    later = book.rotate(2).add({"amount_micro": 1}).sign()
    assert check(proof_of(later), key=later.keys[-1].key).key_pinned
    with pytest.raises(CheckpointWrong):
        check(proof_of(later), trust=book.trust(0))


@given(st.data())
def test_garbage_is_never_taken_for_a_proof(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    good = proof_of(settled(7)).text().encode()
    at = data.draw(st.integers(0, len(good) - 1))
    byte = data.draw(st.integers(0, 255))
    changed = good[:at] + bytes([byte]) + good[at + 1 :]
    path = tmp_path_factory.mktemp("proof") / "proof.json"
    path.write_bytes(changed)
    try:
        check_file(path)
    except HaiheError:
        return
    assert json.loads(changed) == json.loads(good)


def test_the_command_says_what_holds(
    book: Book, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "proof.json"
    path.write_text(proof_of(book).text())
    assert main([str(path)]) == 0
    said = capsys.readouterr().out
    assert f"entry {INDEX} is in log {book.log}" in said
    assert "compare it with the platform's page of keys" in said
    assert main([str(path), "--key", book.keys[0].key, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["good"], report["key_pinned"]) == (True, True)


@pytest.mark.parametrize(
    ("content", "status"),
    [("", 2), ("[]", 2), ("{}", 2), ('{"format":"haihe-evidence/1"}', 2), ("[" * 5_000, 2)],
)
def test_the_command_refuses_what_is_no_proof(tmp_path: Path, content: str, status: int) -> None:
    path = tmp_path / "proof.json"
    path.write_text(content)
    assert main([str(path)]) == status
    with pytest.raises(NotAProof):
        check_file(path)


def test_the_command_names_what_is_wrong(
    book: Book, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "proof.json"
    path.write_text(proof_of(book).text().replace("3000", "9000"))
    assert main([str(path), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["code"] == "evidence.entry_wrong"
    assert main([str(path), "--trust", str(tmp_path / "none")]) == 2
    assert main([str(tmp_path / "none")]) == 2


ALONE = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"django", "ninja", "pydantic", "cedarpy", "structlog"}:
            raise ImportError("not on the auditor's machine: " + name)

sys.meta_path.insert(0, Blocker())
from haihe.evidence.proof import main
sys.exit(main(sys.argv[1:]))
"""


def test_it_runs_where_the_platform_is_not_installed(book: Book, tmp_path: Path) -> None:
    path = tmp_path / "proof.json"
    path.write_text(proof_of(book).text())

    def run(*command: str) -> Any:
        return subprocess.run(
            [sys.executable, *command, str(path)], capture_output=True, text=True, check=False
        )

    alone = run("-c", ALONE)
    assert (alone.returncode, alone.stderr) == (0, "")
    as_module = run("-m", "haihe.evidence.proof")
    assert (as_module.returncode, as_module.stdout) == (0, alone.stdout)


def settled_by(key: int, log: int = 7) -> Book:
    """A log like :func:`settled`, of another keeper."""
    book = Book(key=key, log=log)
    for number in range(7):
        book.add({"amount_micro": 1_000 * number}).sign()
    return book
