"""The offline verifier: what it accepts, and by what name it calls each way of tampering."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from haihe.evidence.domain import ENTRY_SHAPE, KEY_ROTATED, Checkpoint, Trust
from haihe.evidence.errors import (
    CheckpointWrong,
    EntriesMissing,
    EntriesRewritten,
    EntriesUncovered,
    EntryMisplaced,
    EntryWrong,
    HeaderWrong,
    LineUnreadable,
    NotAnExport,
    NotCanonical,
    OtherLog,
)
from haihe.evidence.verify import main, trust_path, verify
from haihe.kernel.errors import Corrupt
from tests.evidence.factories import Book, private_key, settled

Lines = list[bytes]


def changed(line: bytes, **fields: Any) -> bytes:
    """An entry's line with other fields in the entry; its hash stays."""
    content = json.loads(line)
    content["entry"] |= fields
    return json.dumps(content).encode()


# What is accepted


def test_a_whole_export_is_accepted() -> None:
    book = settled(5)
    report = verify(book.lines())
    assert (report.entries, report.checkpoints) == (5, 6)
    assert report.head == book.checkpoints[-1]
    assert report.keys == (book.keys[0].key,)
    assert report.trusted is None


def test_the_log_may_be_empty() -> None:
    assert verify(Book().lines()).entries == 0


def test_many_entries_may_share_a_checkpoint() -> None:
    book = Book().add(*({"number": number} for number in range(9))).sign()
    assert verify(book.lines()).checkpoints == 2


def test_whitespace_and_escapes_are_no_change() -> None:
    book = Book().add({"name": "海河", "list": [1, 2]}).sign()
    spaced = [json.dumps(json.loads(line), separators=(" , ", " : ")) for line in book.lines()]
    assert verify(b"\n \n".join(line.encode() for line in spaced).split(b"\n")).entries == 1


def test_an_export_that_continues_what_was_seen_is_accepted() -> None:
    book = settled(3)
    trust = book.trust()
    book.add({"later": True}).sign()
    assert verify(book.lines(), trust).trusted == trust.checkpoint


# The four ways of tampering


def test_an_edit_is_named_with_its_entry() -> None:
    lines = settled(5).lines()
    lines[3] = changed(lines[3], data={"amount_micro": 1})
    with pytest.raises(EntryWrong, match=r"Entry 2 \(00000000-.*03ea\)") as found:
        verify(lines)
    assert found.value.index == 2


@pytest.mark.parametrize("field", ["actor", "at", "id", "index", "kind", "parties", "subject"])
def test_no_part_of_an_entry_can_be_edited(field: str) -> None:
    lines = settled(5).lines()
    edits: dict[str, Any] = {"index": 4, "parties": [], "at": "2025-01-01T00:00:00.000000Z"}
    lines[3] = changed(lines[3], **{field: edits.get(field, "other.thing")})
    with pytest.raises(EntryWrong) as found:
        verify(lines)
    assert found.value.index == 2


def test_an_edit_with_its_hash_adjusted_is_found_between_two_checkpoints() -> None:
    book = Book()
    for start in (0, 3, 6):
        book.add(*({"number": start + step} for step in range(3))).sign()
    book.rewrite(4, number=5)
    with pytest.raises(EntriesRewritten) as found:
        verify(book.lines())
    assert (found.value.first, found.value.last) == (3, 5)


def test_a_deletion_in_the_middle_names_what_is_missing() -> None:
    lines = settled(6).lines()
    del lines[3:5]
    with pytest.raises(EntriesMissing) as found:
        verify(lines)
    assert (found.value.first, found.value.last) == (2, 3)


def test_a_deletion_with_all_later_entries_renumbered_is_found() -> None:
    book, forged = settled(6), Book()
    del book.entries[2]
    for text in book.entries:
        forged.add(json.loads(text)["data"])
    forged.checkpoints = book.checkpoints
    with pytest.raises(EntriesMissing):
        verify(forged.lines())
    forged.checkpoints = book.checkpoints[:-1]
    with pytest.raises(EntriesRewritten) as found:
        verify(forged.lines())
    assert found.value.first == 2


@pytest.mark.parametrize("size_in_header", [6, 4])
def test_a_deletion_of_the_newest_entries_is_found_also_if_the_header_hides_it(
    size_in_header: int,
) -> None:
    lines = settled(6).lines(size=size_in_header)
    del lines[5:7]
    with pytest.raises(EntriesMissing) as found:
        verify(lines)
    assert (found.value.first, found.value.last) == (4, 5)


def test_a_header_that_counts_more_than_there_is_means_that_the_newest_are_gone() -> None:
    book = settled(4)
    with pytest.raises(EntriesMissing) as found:
        verify(book.lines(size=6))
    assert (found.value.first, found.value.last) == (4, 5)


def test_entries_in_another_order_are_named() -> None:
    lines = settled(6).lines()
    lines[2], lines[5] = lines[5], lines[2]
    with pytest.raises(EntryMisplaced) as found:
        verify(lines)
    assert (found.value.index, found.value.expected) == (4, 1)


def test_an_entry_that_stands_twice_is_named() -> None:
    lines = settled(4).lines()
    lines.insert(3, lines[2])
    with pytest.raises(EntryMisplaced) as found:
        verify(lines)
    assert (found.value.index, found.value.expected) == (1, 2)


def test_an_older_copy_is_whole_in_itself_and_found_by_memory() -> None:
    old = settled(3).lines()
    trust = settled(5).trust()
    assert verify(old)
    with pytest.raises(EntriesMissing, match="older copy") as found:
        verify(old, trust)
    assert (found.value.first, found.value.last) == (3, 4)


def test_history_that_was_signed_anew_is_whole_in_itself_and_found_by_memory() -> None:
    trust = settled(4).trust(-2)
    forged = Book()
    for number in range(5):
        forged.add({"amount_micro": 7 if number == 1 else 1_000 * number}).sign()
    assert verify(forged.lines())
    with pytest.raises(EntriesRewritten) as found:
        verify(forged.lines(), trust)
    assert (found.value.first, found.value.last) == (0, 2)


def test_another_log_and_another_first_key_are_not_the_one_that_is_known() -> None:
    trust = settled(2).trust()
    with pytest.raises(OtherLog, match="its id"):
        verify(Book(log=8).lines(), trust)
    with pytest.raises(OtherLog, match="its first key"):
        verify(Book(key=2).lines(), trust)


def test_two_ways_at_once_are_found_too() -> None:
    book = settled(6)
    book.rewrite(1, amount_micro=0)
    lines = book.lines(size=5)
    del lines[6]
    with pytest.raises(EntriesMissing):
        verify(lines)
    book.checkpoints.pop()
    del book.entries[5:], book.leaves[5:]
    with pytest.raises(EntriesRewritten) as found:
        verify(book.lines())
    assert (found.value.first, found.value.last) == (1, 1)


# Checkpoints


def test_entries_added_by_hand_are_covered_by_no_checkpoint() -> None:
    with pytest.raises(EntriesUncovered) as found:
        verify(settled(3).add({"forged": True}).lines())
    assert (found.value.first, found.value.last) == (3, 3)


def forge(part: str, value: Any) -> Callable[[Book], None]:
    def edit(book: Book) -> None:
        book.checkpoints[2] = replace(book.checkpoints[2], **{part: value})

    return edit


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (forge("at", "2020-01-01T00:00:00.000000Z"), "not what its signature was made over"),
        (forge("root", "00" * 32), "not what its signature was made over"),
        (forge("signature", "00" * 64), "not what its signature was made over"),
        (forge("signature", ""), "not what its signature was made over"),
        (forge("log", "other"), "of another log"),
        (forge("key", "00" * 8), "no trusted key introduced"),
        (forge("size", 1), "not what its signature was made over"),
        (lambda book: book.checkpoints.insert(3, book.checkpoints[2]), "order"),
        (lambda book: book.checkpoints.insert(1, book.checkpoints.pop(3)), "order"),
    ],
)
def test_a_checkpoint_that_was_tampered_with_is_named(
    edit: Callable[[Book], None], reason: str
) -> None:
    book = settled(4)
    edit(book)
    with pytest.raises(CheckpointWrong, match=reason):
        verify(book.lines())


def test_a_signature_in_other_letters_is_another_text() -> None:
    book = settled(2)
    book.checkpoints[1] = replace(
        book.checkpoints[1], signature=book.checkpoints[1].signature.upper()
    )
    with pytest.raises(CheckpointWrong):
        verify(book.lines())


def test_a_checkpoint_that_was_left_out_is_missed() -> None:
    book = settled(4)
    count = len(book.checkpoints)
    del book.checkpoints[2]
    with pytest.raises(HeaderWrong, match="5 checkpoints, and there are 4"):
        verify(book.lines(checkpoints=count))
    book.checkpoints.clear()
    with pytest.raises(EntriesUncovered):
        verify(book.lines())


def test_even_an_empty_log_has_a_checkpoint() -> None:
    book = Book()
    book.checkpoints.clear()
    with pytest.raises(HeaderWrong, match="no checkpoint"):
        verify(book.lines())


# Keys


def test_keys_are_followed_from_the_first() -> None:
    book = settled(2)
    first = book.trust(0)
    book.rotate(2).add({"after": 1}).sign().rotate(3).add({"after": 2}).sign()
    assert verify(book.lines(), first).keys == tuple(key.key for key in book.keys)


def test_two_rotations_may_share_a_checkpoint() -> None:
    book = Book().rotate(2)
    early = book.checkpoints.pop()
    book.rotate(3)
    assert early.size == 1
    book.checkpoints[-1] = replace(book.checkpoints[-1], key=book.keys[0].key).signed(
        private_key(1)
    )
    assert len(verify(book.lines()).keys) == 3


def test_a_retired_key_signs_nothing_more() -> None:
    book = settled(2).rotate(2)
    retired, new = private_key(1), book.keys.pop()
    book.private = retired
    book.add({"forged": True}).sign()
    book.keys.append(new)
    with pytest.raises(CheckpointWrong, match=f"{new.key} had replaced"):
        verify(book.lines())


def test_a_key_that_nobody_introduced_signs_nothing() -> None:
    book = settled(2)
    book.private = private_key(2)
    book.keys.append(Book(key=2).keys[0])
    book.add({"forged": True}).sign()
    with pytest.raises(CheckpointWrong, match="no trusted key introduced"):
        verify(book.lines())


def test_a_key_is_introduced_only_by_the_key_in_use() -> None:
    new, stranger = Book(key=2).keys[0], Book(key=9).keys[0]
    names = {"old_key": stranger.key, "new_key": new.key, "public": new.public}
    book = settled(1).add(names, kind=KEY_ROTATED).sign()
    with pytest.raises(EntryWrong, match="not in use"):
        verify(book.lines())


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"old_key": "x", "new_key": "y", "public": "z"},
        {"old_key": 1, "new_key": 2, "public": 3},
        {"old_key": "x", "new_key": "y", "public": "00" * 32},
    ],
)
def test_a_rotation_that_names_no_key_is_wrong(data: dict[str, Any]) -> None:
    book = Book().add(data, kind=KEY_ROTATED).sign()
    with pytest.raises(EntryWrong) as found:
        verify(book.lines())
    assert found.value.index == 0


def test_the_header_names_the_keys_of_the_log_and_no_others() -> None:
    book = settled(2)
    stranger = Book(key=9).keys[0]
    key = {"key": stranger.key, "public": stranger.public}
    own = {"key": book.keys[0].key, "public": book.keys[0].public}
    with pytest.raises(HeaderWrong, match="keys"):
        verify(book.lines(keys=[own, key]))
    with pytest.raises(CheckpointWrong):
        verify(book.lines(keys=[key]))
    with pytest.raises(HeaderWrong):
        verify(book.lines(keys=[]))
    with pytest.raises(HeaderWrong):
        verify(book.lines(keys=[own | {"public": "00" * 32}]))


def test_true_is_not_one_in_the_header() -> None:
    with pytest.raises(NotAnExport, match="header.size is not of type int"):
        verify(settled(1).lines(size=True))


# Anything at all


def content(lines: Lines) -> list[Any]:
    return [json.loads(line) for line in lines if line.strip()]


def accepted(lines: Lines, trust: Trust | None = None) -> bool:
    try:
        verify(lines, trust)
    except (Corrupt, NotAnExport):
        return False
    return True


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_no_damage_to_the_lines_is_ever_accepted(data: st.DataObject) -> None:
    book = settled(4).rotate(2).add({"name": "海河"}, {"list": [1, None, True]}).sign()
    lines = book.lines()
    original = content(lines)
    for _ in range(data.draw(st.integers(min_value=1, max_value=3))):
        at = data.draw(st.integers(min_value=0, max_value=len(lines) - 1))
        other = data.draw(st.integers(min_value=0, max_value=len(lines) - 1))
        way = data.draw(st.sampled_from(["delete", "swap", "copy", "flip", "cut"]))
        if way == "delete" and len(lines) > 1:
            del lines[at]
        elif way == "swap":
            lines[at], lines[other] = lines[other], lines[at]
        elif way == "copy":
            lines.insert(at, lines[other])
        elif way == "cut":
            lines[at] = lines[at][: data.draw(st.integers(0, len(lines[at])))]
        elif lines[at]:
            position = data.draw(st.integers(0, len(lines[at]) - 1))
            byte = lines[at][position] ^ data.draw(st.integers(1, 255))
            lines[at] = lines[at][:position] + bytes([byte]) + lines[at][position + 1 :]
    joined = b"".join(lines).split(b"\n")
    if accepted(joined):
        assert content(joined) == original


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=5), st.booleans())
def test_garbage_is_refused_by_name(garbage: Lines, with_header: bool) -> None:
    book = settled(1)
    head = book.lines()[:1] if with_header else []
    assert not accepted([*head, *garbage], book.trust())


FIELDS = ["leaf", "entry", "checkpoint", "signature", "format", "keys", "public", "checkpoints"]
FIELDS += ["log", "size", "root", "key", "seen", *ENTRY_SHAPE]

documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(FIELDS),
            inner,
            max_size=8,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(documents, st.integers(min_value=0, max_value=8))
def test_well_formed_json_of_any_shape_is_refused_by_name(document: Any, place: int) -> None:
    lines = settled(3).lines()
    lines[place : place + 1] = [json.dumps(document).encode()]
    assert not accepted(lines)


@settings(max_examples=200, deadline=None)
@given(documents)
def test_a_trust_file_of_any_shape_is_read_or_refused(document: Any) -> None:
    with pytest.raises(NotCanonical):
        Trust.read(json.dumps(document).encode())


def test_a_trust_file_reads_back() -> None:
    trust = settled(2).trust()
    assert Trust.read(trust.text().encode()) == trust
    with pytest.raises(NotCanonical):
        Checkpoint.read(json.loads(trust.checkpoint.line().replace('"size":2', '"size":-2')))


@pytest.mark.parametrize(
    ("place", "line"),
    [
        (2, b"[" * 100_000),
        (2, b'{"leaf":"00","entry":{},"more":1}'),
        (2, b'{"leaf":"00","entry":{"a":1,"a":2}}'),
        (7, b'{"checkpoint":{"size":-1},"signature":""}'),
        (7, b'{"leaf":"00","entry":{}}'),
    ],
)
def test_a_line_that_is_neither_entry_nor_checkpoint_is_named(place: int, line: bytes) -> None:
    lines = settled(5).lines()
    lines.insert(place, line)
    with pytest.raises(LineUnreadable) as found:
        verify(lines)
    assert found.value.line == place + 1


def test_what_only_looks_like_an_entry_is_named_without_printing_it() -> None:
    lines = settled(2).lines()
    lines[1] = b'{"leaf":"00","entry":{"id":"\\ud800\\u001b[2J"}}'
    with pytest.raises(EntryWrong, match="of unreadable id"):
        verify(lines)


# The command


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "日志.jsonl"
    path.write_bytes(b"".join(settled(3).lines()))
    return path


def test_a_good_file_exits_with_0_and_says_that_nothing_else_was_trusted(
    written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(written)]) == 0
    printed = capsys.readouterr().out
    assert "all 3 entries are as they were logged" in printed
    assert "Nothing outside the file was trusted" in printed


def test_the_trust_file_beside_the_export_is_used(
    written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trust_path(written).write_text(settled(3).trust(2).text())
    assert main([str(written)]) == 0
    assert "what was seen of it at size 2" in capsys.readouterr().out
    trust_path(written).write_text(settled(5).trust().text())
    assert main([str(written)]) == 1
    assert capsys.readouterr().out == (
        "Entries 3 to 4 are missing: 5 were seen before; this is an older copy.\n"
    )


def test_a_named_trust_file_wins(written: Path, tmp_path: Path) -> None:
    trust_path(written).write_text(settled(3).trust().text())
    other = tmp_path / "other.trust"
    assert main([str(written), "--trust", str(other)]) == 2
    other.write_text(settled(5).trust().text())
    assert main([str(written), "--trust", str(other)]) == 1


def test_a_bad_file_exits_with_1_and_one_line(
    written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written.write_bytes(written.read_bytes().replace(b'"amount_micro":1000', b'"amount_micro":1'))
    assert main([str(written)]) == 1
    printed = capsys.readouterr().out
    assert printed.startswith("Entry 1 (00000000-0000-0000-0000-0000000003e9) is wrong")
    assert printed.count("\n") == 1


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b'{"format":"other/1"}', b"[]", b"\n\n"])
def test_a_file_that_is_no_export_exits_with_2(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    assert main([str(path)]) == 2
    assert "no evidence export" in capsys.readouterr().out


def test_a_file_that_cannot_be_read_exits_with_2(tmp_path: Path) -> None:
    assert main([str(tmp_path / "nowhere")]) == 2
    assert main([str(tmp_path)]) == 2


def test_a_trust_file_that_is_none_is_not_passed_over(
    written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trust_path(written).write_text("{}")
    assert main([str(written)]) == 2
    assert "is no trust file" in capsys.readouterr().out


def test_the_outcome_can_be_read_by_a_program(
    written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(written), "--json"]) == 0
    outcome = json.loads(capsys.readouterr().out)
    assert (outcome["good"], outcome["entries"], outcome["head"]["size"]) == (True, 3, 3)
    lines = written.read_bytes().splitlines(keepends=True)
    written.write_bytes(b"".join(lines[:2] + lines[3:]))
    assert main([str(written), "--json"]) == 1
    outcome = json.loads(capsys.readouterr().out)
    assert outcome["good"] is False
    assert (outcome["code"], outcome["first"]) == ("evidence.entries_missing", 1)


ALONE = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        allowed = {
            "haihe", "haihe.kernel", "haihe.kernel.errors", "haihe.evidence",
            "haihe.evidence.domain", "haihe.evidence.errors", "haihe.evidence.merkle",
            "haihe.evidence.verify",
        }
        root = name.partition(".")[0]
        known = root in sys.stdlib_module_names or root in ("cryptography", "_cffi_backend")
        if name not in allowed and not known:
            raise ImportError("not on the auditor's machine: " + name)

sys.meta_path.insert(0, Refuse())
from haihe.evidence.verify import main
sys.exit(main(sys.argv[1:]))
"""


def test_the_verifier_needs_the_standard_library_and_cryptography_only(written: Path) -> None:
    def run(*command: str) -> subprocess.CompletedProcess[str]:
        environment = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
        return subprocess.run(
            [sys.executable, *command, str(written)],
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )

    alone = run("-c", ALONE)
    assert (alone.returncode, alone.stderr) == (0, "")
    as_module = run("-m", "haihe.evidence.verify")
    assert (as_module.returncode, as_module.stdout) == (0, alone.stdout)
    blocked = run("-c", ALONE.replace("from haihe", "import django\nfrom haihe"))
    assert "not on the auditor's machine: django" in blocked.stderr
