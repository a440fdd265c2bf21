"""Tables fit what the manifest declares before any of the pack's code runs."""

from __future__ import annotations

import hashlib
from pathlib import Path

import polars as pl
import pytest

from haihe.packs import Manifest, inputs
from haihe.packs.errors import InputMissing, InputRefused, InputTooLarge
from haihe.packs.inputs import conform, read_inputs


def test_csv_and_parquet_give_the_same_table(
    manifest: Manifest, cases: pl.DataFrame, tmp_path: Path
) -> None:
    cases.write_csv(tmp_path / "cases.csv")
    from_csv = read_inputs(manifest, tmp_path)["cases"]
    assert from_csv.sha256 == hashlib.sha256((tmp_path / "cases.csv").read_bytes()).hexdigest()
    cases.write_parquet(tmp_path / "cases.parquet")
    from_parquet = read_inputs(manifest, tmp_path)["cases"]
    assert (from_csv.file, from_parquet.file) == ("cases.csv", "cases.parquet")
    assert from_csv.frame.equals(from_parquet.frame)


def test_a_pack_sees_only_what_it_declared(manifest: Manifest, cases: pl.DataFrame) -> None:
    found = conform(cases.with_columns(address=pl.lit("...")), manifest.cases)
    assert found.columns == [column.name for column in manifest.cases.columns]


def test_text_that_looks_like_numbers_stays_text(manifest: Manifest, tmp_path: Path) -> None:
    row = "case_id,owner_id,first_reading,second_reading,outcome\n007,01,1,2,yes\n"
    (tmp_path / "cases.csv").write_text(row)
    assert read_inputs(manifest, tmp_path)["cases"].frame["case_id"].to_list() == ["007"]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda frame: frame.drop("owner_id"), "column owner_id is missing"),
        (lambda frame: frame.clear(), "no rows"),
        (lambda frame: frame.with_columns(first_reading=pl.lit("high")), "not of type number"),
        (lambda frame: frame.with_columns(first_reading=pl.lit(None)), "empty in 240 of 240"),
        (lambda frame: frame.with_columns(first_reading=float("nan")), "empty in 240 of 240"),
        (lambda frame: frame.with_columns(first_reading=float("-inf")), "infinite"),
        (lambda frame: frame.with_columns(case_id=pl.lit(None)), "case_id is empty"),
    ],
)
def test_what_does_not_fit_is_refused(
    manifest: Manifest, cases: pl.DataFrame, change: object, match: str
) -> None:
    with pytest.raises(InputRefused, match=match):
        conform(change(cases), manifest.cases)


def test_a_column_that_may_be_empty_may_be(manifest: Manifest, cases: pl.DataFrame) -> None:
    columns = tuple(
        column.model_copy(update={"nullable": column.name == "first_reading"})
        for column in manifest.cases.columns
    )
    declared = manifest.cases.model_copy(update={"columns": columns})
    found = conform(cases.with_columns(first_reading=float("nan")), declared)
    assert found["first_reading"].null_count() == len(cases), "not a number is empty, too"


@pytest.mark.parametrize("content", [b"", b"PAR1", b"\xff\xfe\x00", b'a,b\n1,"'])
@pytest.mark.parametrize("name", ["cases.csv", "cases.parquet"])
def test_a_broken_file_is_refused(
    manifest: Manifest, tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputRefused):
        read_inputs(manifest, tmp_path)


def test_an_absent_file_is_named(manifest: Manifest, tmp_path: Path) -> None:
    with pytest.raises(InputMissing, match=r"put cases.parquet or cases.csv into"):
        read_inputs(manifest, tmp_path)


def test_limits_of_size_are_kept(
    manifest: Manifest, cases: pl.DataFrame, inputs_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "MAX_ROWS", 239)
    with pytest.raises(InputTooLarge, match="240 rows; one run takes at most 239"):
        conform(cases, manifest.cases)
    monkeypatch.setattr(inputs, "MAX_BYTES", 100)
    with pytest.raises(InputTooLarge, match="bytes"):
        read_inputs(manifest, inputs_folder)
