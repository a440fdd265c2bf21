"""What may become a version: a bad file is refused, with the place, and leaves nothing."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from haihe.data import services
from haihe.data.domain import LINE_LIMIT_BYTES, check_csv
from haihe.data.errors import (
    RaggedRows,
    SameContent,
    UnreadableFile,
    WrongEncoding,
)
from haihe.data.services import versions
from haihe.evidence.errors import EntryTooLarge
from haihe.evidence.models import EvidenceEntry
from haihe.kernel.errors import FileTooLarge, HaiheError
from haihe.kernel.settings import load_settings
from tests.data.factories import CSV, make_dataset
from tests.sides import Side

pytestmark = pytest.mark.django_db


def parquet(frame: pl.DataFrame | None = None) -> bytes:
    file = io.BytesIO()
    (frame if frame is not None else pl.DataFrame({"a": [1, 2], "b": ["x", None]})).write_parquet(
        file
    )
    return file.getvalue()


GOOD_PARQUET = parquet()
BAD_FILES: dict[str, tuple[str, bytes, type[HaiheError], str]] = {
    "0 bytes": ("a.csv", b"", UnreadableFile, "it is empty"),
    "0 bytes of Parquet": ("a.parquet", b"", UnreadableFile, "it is empty"),
    "header alone": ("a.csv", b"a,b\n", UnreadableFile, "no rows"),
    "blank lines alone": ("a.csv", b"\n\n\n", UnreadableFile, "no header"),
    "short row": ("a.csv", b"a,b\n1,2\n3\n", RaggedRows, "line 3: 1 fields where the header has 2"),
    "long row": ("a.csv", b"a,b\n1,2,3\n", RaggedRows, "line 2: 3 fields"),
    "short row after a quoted line break": (
        "a.csv", b'a,b\n"x\ny",2\n3\n', RaggedRows, "line 4",
    ),
    "GB 18030": ("a.csv", "编号,数值\n甲,1\n".encode("gb18030"), WrongEncoding, "not UTF-8"),
    "UTF-16": ("a.csv", "a,b\n1,2\n".encode("utf-16"), WrongEncoding, "not UTF-8"),
    "NUL byte": ("a.csv", b"a,b\n1,\x00\n", WrongEncoding, "byte 0x00 after line 1"),
    "broken UTF-8 far below": (
        "a.csv", b"a\n" + b"1\n" * 20_000 + b"\xff\n", WrongEncoding, "byte 0xff after line 20001",
    ),
    "duplicate header": ("a.csv", b"a,b,a\n1,2,3\n", UnreadableFile, "'a' occurs twice"),
    "nameless column": ("a.csv", b"a, ,c\n1,2,3\n", UnreadableFile, "a column has no name"),
    "open quote": ("a.csv", b'a,b\n"1,2\n', UnreadableFile, "line 2"),
    "text in quotes and beside": ("a.csv", b'a,b\n"1"x,2\n', UnreadableFile, "line 2"),
    "too many columns": (
        "a.csv", b",".join(b"c%d" % n for n in range(10_001)) + b"\n1\n", UnreadableFile,
        "more than 10000 columns",
    ),
    "a field without end": (
        "a.csv", b"a\n" + b"x" * 200_000 + b"\n", UnreadableFile, "field larger than field limit",
    ),
    "text as Parquet": ("a.parquet", CSV, UnreadableFile, "a.parquet cannot be registered"),
    "Parquet cut off": ("a.parquet", GOOD_PARQUET[:-20], UnreadableFile, "a.parquet"),
    "Parquet with a hole": (
        "a.parquet", GOOD_PARQUET[:8] + b"\x00" * 40 + GOOD_PARQUET[48:], UnreadableFile,
        "a.parquet",
    ),
    "Parquet without rows": (
        "a.parquet", parquet(pl.DataFrame({"a": []})), UnreadableFile, "it has no rows",
    ),
    "Parquet as CSV": ("a.csv", GOOD_PARQUET, WrongEncoding, "not UTF-8"),
    "another kind of file": ("a.xlsx", CSV, UnreadableFile, "must end in .csv or .parquet"),
    "no name": ("", CSV, UnreadableFile, "must end in"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_is_refused_with_the_place_and_leaves_nothing(
    case: str, holder: Side, files: Path
) -> None:
    name, content, error, words = BAD_FILES[case]
    dataset = make_dataset(holder.organisation, holder.manager, content=None)
    with pytest.raises(error, match=words):
        services.add_version(holder.member, dataset.slug, name=name, pieces=[content])
    assert not dataset.versions.exists()
    assert not [path for path in (files / "blobs").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    "name", ["../../keys/django.csv", "/etc/passwd.csv", "a\\..\\b.csv", "x" * 5_000 + ".csv"]
)
def test_a_file_name_never_becomes_a_path(name: str, holder: Side, files: Path) -> None:
    dataset = make_dataset(holder.organisation, holder.manager, content=None)
    version = services.add_version(holder.member, dataset.slug, name=name, pieces=[CSV])
    kept = [path for path in files.rglob("*") if path.is_file() and path.read_bytes() == CSV]
    assert kept == [files / "blobs" / version.sha256[:2] / version.sha256[2:]]


def test_a_file_above_the_limit_is_refused_while_it_comes(
    holder: Side, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAIHE_UPLOAD_LIMIT_BYTES", "100")
    load_settings.cache_clear()
    dataset = make_dataset(holder.organisation, holder.manager, content=None)
    seen: list[int] = []

    def pieces() -> Iterable[bytes]:
        for number in range(1_000):
            seen.append(number)
            yield b"a,b\n1,2\n" * 10

    with pytest.raises(FileTooLarge, match="100 bytes"):
        services.add_version(holder.member, dataset.slug, name="a.csv", pieces=pieces())
    assert len(seen) == 2
    assert not list((files / "blobs").iterdir())


def test_an_upload_that_breaks_off_leaves_nothing(holder: Side, files: Path) -> None:
    dataset = make_dataset(holder.organisation, holder.manager, content=None)

    def pieces() -> Iterable[bytes]:
        yield CSV
        raise EOFError

    with pytest.raises(EOFError):
        services.add_version(holder.member, dataset.slug, name="a.csv", pieces=pieces())
    assert not list((files / "blobs").iterdir())


def test_a_line_without_end_is_refused_before_all_of_it_is_read() -> None:
    lines = [b"a\n", b"x" * (LINE_LIMIT_BYTES + 1)]
    with pytest.raises(UnreadableFile, match="line 2 is longer"):
        check_csv(lines, name="a.csv")


def test_a_good_csv_is_described_as_it_is(holder: Side) -> None:
    content = b'\xef\xbb\xbfid,value,note\n1,0.5,"two\nlines"\n2,,\n'
    dataset = make_dataset(holder.organisation, holder.manager, content=content)
    version = dataset.versions.get()
    assert (version.rows, version.bytes, version.format) == (2, len(content), "csv")
    assert version.columns == [
        {"name": "id", "type": "Int64", "nulls": 0},
        {"name": "value", "type": "Float64", "nulls": 1},
        {"name": "note", "type": "String", "nulls": 1},
    ]


def test_a_good_parquet_is_described_as_it_is(holder: Side) -> None:
    dataset = make_dataset(holder.organisation, holder.manager, content=None)
    version = services.add_version(
        holder.member, dataset.slug, name="A.PARQUET", pieces=[GOOD_PARQUET]
    )
    assert (version.rows, version.format) == (2, "parquet")
    assert [column["nulls"] for column in version.columns] == [0, 1]


def test_a_missing_file_on_this_machine_is_refused(holder: Side, tmp_path: Path) -> None:
    dataset = make_dataset(holder.organisation, holder.manager, content=None)
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(UnreadableFile, match="no such file"):
            services.add_version_from_path(holder.member, dataset.slug, path)


def test_a_column_that_turns_to_text_late_is_text(holder: Side) -> None:
    rows = 20_000
    content = "a,b\n" + "".join(f"{number},{number}\n" for number in range(rows)) + "x,0.5\n"
    dataset = make_dataset(holder.organisation, holder.manager, content=content.encode())
    version = dataset.versions.get()
    assert version.rows == rows + 1
    assert [column["type"] for column in version.columns] == ["String", "Float64"]
    frame = services.read_frame(version)
    assert frame.row(-1) == ("x", 0.5)
    assert services.preview(holder.member, dataset.slug, 1, rows=1).row(0) == ("0", 0.0)


@pytest.mark.parametrize(
    ("content", "line"), [(b"a,b\n1,2\n\n3,4\n", 3), (b"a,b\n1,2\n\n", 3), (b"a,b\n\n1,2\n", 2)]
)
def test_a_blank_line_is_no_row(holder: Side, files: Path, content: bytes, line: int) -> None:
    dataset = make_dataset(holder.organisation, holder.manager, content=None)
    with pytest.raises(RaggedRows) as caught:
        services.add_version(holder.member, dataset.slug, name="a.csv", pieces=[content])
    assert (caught.value.line, caught.value.found) == (line, 0)


def test_a_blank_line_in_a_single_column_is_an_empty_field(holder: Side) -> None:
    dataset = make_dataset(holder.organisation, holder.manager, content=b"a\n1\n\n2\n")
    version = dataset.versions.get()
    assert version.rows == 3
    assert version.columns == [{"name": "a", "type": "Int64", "nulls": 1}]


def test_very_many_columns_are_logged_by_their_hash(holder: Side) -> None:
    names = [f"column-{number}" for number in range(9_000)]
    content = ",".join(names) + "\n" + ",".join(["1"] * len(names)) + "\n"
    dataset = make_dataset(holder.organisation, holder.manager, content=content.encode())
    [entry] = EvidenceEntry.objects.filter(kind="dataset.version_registered")
    assert entry.data["column_count"] == 9_000
    assert len(entry.data["columns_sha256"]) == 64
    assert len(dataset.versions.get().columns) == 9_000


def test_a_column_name_without_end_is_refused(holder: Side, files: Path) -> None:
    dataset = make_dataset(holder.organisation, holder.manager, content=None)
    parquet = io.BytesIO()
    pl.DataFrame({"a" * 100_000: [1]}).write_parquet(parquet)
    for name, content in (("a.csv", b"a" * 100_000 + b"\n1\n"), ("a.parquet", parquet.getvalue())):
        with pytest.raises(UnreadableFile, match="name of a column"):
            services.add_version(holder.member, dataset.slug, name=name, pieces=[content])
    assert not [path for path in (files / "blobs").rglob("*") if path.is_file()]


def test_what_is_refused_at_the_last_leaves_no_content(
    holder: Side, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = make_dataset(holder.organisation, holder.manager, content=None)
    monkeypatch.setattr(versions, "COLUMNS_LOGGED_BYTES", 10**9)
    names = [f"a-rather-long-column-{number}" for number in range(9_000)]
    content = (",".join(names) + "\n" + ",".join(["1"] * len(names)) + "\n").encode()
    with pytest.raises(EntryTooLarge):
        services.add_version(holder.member, dataset.slug, name="a.csv", pieces=[content])
    assert not dataset.versions.exists()
    assert not [path for path in (files / "blobs").rglob("*") if path.is_file()]


def test_the_same_content_again_makes_no_version_and_loses_none(holder: Side) -> None:
    dataset = make_dataset(holder.organisation, holder.manager)
    with pytest.raises(SameContent, match="Version 1"):
        services.add_version(holder.member, dataset.slug, name="a.csv", pieces=[CSV])
    version = dataset.versions.get()
    assert services.blob_store().path(version.sha256).read_bytes() == CSV


@given(
    rows=st.lists(
        st.lists(st.text(alphabet='ab,"\n é', max_size=4), min_size=2, max_size=2), min_size=1
    )
)
def test_whatever_a_csv_writer_writes_is_read_with_its_rows(rows: list[list[str]]) -> None:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([["x", "y"], *rows])
    lines = io.BytesIO(file.getvalue().encode())
    assert check_csv(lines, name="a.csv") == len(rows)
