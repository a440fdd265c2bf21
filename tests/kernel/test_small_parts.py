"""Ids, clock, errors, settings, pagination, exports."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.test import RequestFactory
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic_settings import SettingsError

from haihe.kernel.clock import now, use_clock
from haihe.kernel.errors import HaiheError, InvalidField, MissingRecord, StorageUnavailable
from haihe.kernel.export import EXPORT_ROWS, every_item, export_table
from haihe.kernel.ids import check_slug, new_id, parse_id
from haihe.kernel.models import OutboxEvent
from haihe.kernel.pagination import paginate
from haihe.kernel.settings import (
    JOB_VARIABLES,
    TEST_VARIABLES,
    VARIABLES,
    HaiheSettings,
    secret_from_home,
    without_password,
)


def test_ids_are_version_7_and_differ() -> None:
    ids = [new_id() for _ in range(1_000)]
    assert len(set(ids)) == 1_000
    assert {i.version for i in ids} == {7}
    assert ids == sorted(ids), "made one after another, they sort in that order"


@given(st.text(max_size=50))
def test_what_is_no_id_reads_as_missing(text: str) -> None:
    try:
        assert str(parse_id(text, kind="job"))
    except MissingRecord as error:
        assert error.kind == "job"


@pytest.mark.parametrize("bad", ["", "A", "a--b", "-a", "a_b", "天津", "a" * 81, "a/b", "../a"])
def test_bad_slugs(bad: str) -> None:
    with pytest.raises(InvalidField):
        check_slug(bad, field="slug")


def test_the_clock_is_injected() -> None:
    at = datetime(2020, 1, 1, tzinfo=UTC)
    with use_clock(lambda: at):
        assert now() == at
    assert now() != at


def test_every_error_names_its_code_and_fills_its_template() -> None:
    found: list[type[HaiheError]] = []

    def walk(kind: type[HaiheError]) -> None:
        for child in kind.__subclasses__():
            found.append(child)
            walk(child)

    walk(HaiheError)
    concrete = [kind for kind in found if "code" in vars(kind)]
    assert len(concrete) > 40
    codes = [kind.code for kind in concrete]
    assert sorted(codes) == sorted(set(codes)), "codes are unique"
    for kind in concrete:
        names = getattr(kind, "__dataclass_fields__", {})
        error = kind(
            **{name: 1 for name, field in names.items() if field._field_type.name == "_FIELD"}
        )
        assert str(error), kind


def test_every_setting_says_what_it_does() -> None:
    missing = [name for name, field in HaiheSettings.model_fields.items() if not field.description]
    assert missing == []


def test_settings_come_from_the_environment_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "haihe.toml"
    file.write_text('port = 1000\nlanguage = "en"\n')
    monkeypatch.setenv("HAIHE_CONFIG", str(file))
    monkeypatch.setenv("HAIHE_PORT", "2000")
    monkeypatch.delenv("HAIHE_LANGUAGE", raising=False)
    settings = HaiheSettings()
    assert (settings.port, settings.language) == (2000, "en")


def test_an_unknown_setting_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "haihe.toml"
    file.write_text("prot = 1000\n")
    monkeypatch.setenv("HAIHE_CONFIG", str(file))
    with pytest.raises(ValueError, match="prot"):
        HaiheSettings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "mysql://x/y"),
        ("DATABASE_URL", "postgresql://host"),
        ("DATABASE_URL", "postgresql://host:port/db"),
        ("EMAIL_URL", "smpt://mail.example"),
        ("EMAIL_URL", "smtp:mail.example"),
        ("EMAIL_URL", ""),
        ("TIME_ZONE", "Mars/X"),
        ("TIME_ZONE", "../etc/passwd"),
        ("PUBLIC_URL", "haihe.example"),
        ("PUBLIC_URL", "ftp://haihe.example"),
        ("PUBLIC_URL", "https://"),
    ],
)
def test_a_setting_that_means_nothing_is_refused(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"HAIHE_{name}", value)
    with pytest.raises(ValidationError, match=name.lower()):
        HaiheSettings()


def test_a_variable_that_is_no_setting_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAIHE_PORRT", "1")
    with pytest.raises(SettingsError, match="HAIHE_PORRT"):
        HaiheSettings()


def test_a_settings_file_that_was_named_must_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAIHE_CONFIG", str(tmp_path / "none.toml"))
    with pytest.raises(SettingsError, match="no such file"):
        HaiheSettings()


def test_every_variable_that_the_code_reads_is_in_a_table() -> None:
    root = Path(__file__).parents[2]
    sources = [*root.glob("src/**/*.py"), *root.glob("tools/*.py"), *root.glob("tests/**/*.py")]
    named = {
        name for path in sources for name in re.findall(r"HAIHE_[A-Z_]*[A-Z]\b", path.read_text())
    }
    known = {f"HAIHE_{name.upper()}" for name in HaiheSettings.model_fields}
    known |= VARIABLES.keys() | JOB_VARIABLES | TEST_VARIABLES
    assert named - known == {"HAIHE_PORRT"}


def test_hosts_are_a_comma_separated_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAIHE_ALLOWED_HOSTS", "haihe.example, 10.0.0.5,")
    assert HaiheSettings().allowed_hosts == ["haihe.example", "10.0.0.5"]


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({}, "http://127.0.0.1:8321"),
        ({"PORT": "8399"}, "http://127.0.0.1:8399"),
        ({"HOST": "0.0.0.0", "PORT": "80"}, "http://127.0.0.1:80"),
        ({"HOST": "fd00::1"}, "http://[fd00::1]:8321"),
        ({"PUBLIC_URL": "https://haihe.example", "PORT": "8399"}, "https://haihe.example"),
    ],
)
def test_links_lead_to_where_the_portal_is_served(
    given: dict[str, str], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(f"HAIHE_{name}", value)
    assert HaiheSettings().public_url == url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("", ""),
        ("console:", "console:"),
        ("file:/var/mail", "file:/var/mail"),
        ("smtp://mail.example:25", "smtp://mail.example:25"),
        ("smtp://ann@mail.example", "smtp://ann@mail.example"),
        ("postgresql://ann:hush@[::1]:5432/db", "postgresql://ann:**********@[::1]:5432/db"),
        ("postgresql://ann:hu/s?h@hush@db/x", "postgresql://ann:**********@db/x"),
        ("postgresql:ann:hush@db", "postgresql:ann:**********@db"),
        ("postgresql://db/x?password=hush", "postgresql://db/x?**********"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert without_password(url) == shown


def test_no_secret_is_among_the_settings_that_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = {"provider_id": "city", "name": "City", "server_url": "https://id.example"}
    for name, value in {
        "DATABASE_URL": "postgresql://ann:hush@db/x",
        "EMAIL_URL": "smtp://ann:hush@mail",
        "SECRET_KEY": "hush",
        "OIDC": json.dumps([{**provider, "client_id": "haihe", "secret": "hush"}]),
    }.items():
        monkeypatch.setenv(f"HAIHE_{name}", value)
    shown = json.dumps(HaiheSettings().shown())
    assert "hush" not in shown
    assert "City" in shown


def test_a_secret_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    first, second = (secret_from_home("x.key", home=tmp_path) for _ in range(2))
    assert first == second
    assert len(first) > 40
    assert (tmp_path / "keys" / "x.key").stat().st_mode & 0o077 == 0


def test_a_secret_that_could_not_be_written_whole_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageUnavailable, match="No space left"):
            secret_from_home("x.key", home=tmp_path)
    assert list((tmp_path / "keys").iterdir()) == []
    assert len(secret_from_home("x.key", home=tmp_path)) > 40


@pytest.mark.django_db
def test_pages_are_stable_under_inserts() -> None:
    OutboxEvent.objects.bulk_create(OutboxEvent(topic=str(n), payload={}) for n in range(5))
    first = paginate(OutboxEvent.objects.all(), limit=2)
    OutboxEvent.objects.create(topic="new", payload={})
    second = paginate(OutboxEvent.objects.all(), cursor=first.next_cursor, limit=10)
    assert [row.topic for row in (*first.items, *second.items)] == ["4", "3", "2", "1", "0"]
    assert second.next_cursor is None


@pytest.mark.django_db
@pytest.mark.parametrize(("cursor", "limit"), [("x", 10), ("?", 10), (None, 0), (None, 501)])
def test_a_bad_cursor_or_limit_is_refused(cursor: str | None, limit: int) -> None:
    with pytest.raises(InvalidField):
        paginate(OutboxEvent.objects.all(), cursor=cursor, limit=limit)


def test_an_exported_cell_never_runs_as_a_formula() -> None:
    request = RequestFactory().get("/?format=csv")
    response = export_table(
        request, [{"a": "=1+1", "b": -5}, {"a": "天津", "b": None}], columns=["a", "b"], name="x"
    )
    rows = list(csv.reader(io.StringIO(response.content.decode("utf-8-sig"))))
    assert rows == [["a", "b"], ["'=1+1", "-5"], ["天津", ""]]
    assert response["Content-Disposition"] == 'attachment; filename="x.csv"'


def test_a_file_takes_every_page_of_a_list_up_to_its_limit() -> None:
    @dataclass(frozen=True)
    class Numbers:
        items: list[int]
        next_cursor: str | None

    def below(last: int) -> Callable[..., Numbers]:
        def read(*, cursor: str | None, limit: int) -> Numbers:
            begin = int(cursor or 0)
            end = min(begin + limit, last)
            return Numbers(list(range(begin, end)), str(end) if end < last else None)

        return read

    assert list(every_item(below(0))) == []
    assert list(every_item(below(1_201))) == list(range(1_201))
    assert list(every_item(below(10 * EXPORT_ROWS))) == list(range(EXPORT_ROWS))


def test_the_same_rows_as_a_workbook() -> None:
    request = RequestFactory().get("/?format=xlsx")
    response = export_table(request, [{"a": 1}], columns=["a"], name="x")
    assert response.content[:2] == b"PK"
