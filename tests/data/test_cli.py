"""Datasets and agreements on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from haihe.data import services
from haihe.data.errors import RaggedRows
from haihe.kernel.terminal import NO_CONSENT, exit_code_of
from haihe.policy.errors import NotAllowed, PersonNeeded
from tests.callers import haihe, said
from tests.data.factories import CSV, make_dataset
from tests.sides import Side

pytestmark = pytest.mark.django_db


def test_a_dataset_from_registration_to_use(holder: Side, consumer: Side, tmp_path: Path) -> None:
    file = tmp_path / "cases.csv"
    file.write_bytes(CSV)
    make = ["dataset", "create", "cases", "--organisation", "hospital", "--title", "病例"]
    make += ["--purpose", "research", "--purpose", "training", "--days", 90, "--standing"]
    created = said(haihe(*make, "--yes", "--json", caller=holder.manager))
    assert created["policy"]["purposes"] == ["research", "training"]
    added = said(haihe("dataset", "add", "cases", file, "--yes", "--json", caller=holder.member))
    assert (added["number"], added["rows"], added["columns"]) == (1, 2, ["编号", "数值"])
    said(haihe("dataset", "publish", "cases", "--yes", "--json", caller=holder.manager))
    [listed] = said(haihe("dataset", "list", "--text", "病", "--json", caller=consumer.member))[
        "items"
    ]
    assert (listed["slug"], listed["newest_version"]) == ("cases", 1)
    terms = ["--organisation", "firm", "--purpose", "research", "--days", 30]
    taken = said(
        haihe("agreement", "take", "cases", *terms, "--yes", "--json", caller=consumer.manager)
    )
    assert taken["state"] == "accepted"
    ended = haihe("agreement", "end", taken["id"], "--yes", "--json", caller=holder.manager)
    assert said(ended)["state"] == "ended"
    rows = said(haihe("dataset", "preview", "cases", "--rows", 1, "--json", caller=holder.member))
    assert rows["rows"] == [{"编号": "甲", "数值": 1}]
    assert "乙" in haihe("dataset", "preview", "cases", caller=holder.member).output
    [read, _] = said(haihe("dataset", "usage", "cases", "--json", caller=holder.auditor))["items"]
    assert (read["via"], read["reader"]) == ("preview", "hospital")
    withdrawn = haihe("dataset", "withdraw", "cases", "--yes", "--json", caller=holder.manager)
    assert said(withdrawn)["is_published"] is False


def test_an_offer_is_shown_before_it_is_accepted(holder: Side, consumer: Side) -> None:
    dataset = make_dataset(holder.organisation, holder.manager)
    terms = ["--consumer", "firm", "--purpose", "research", "--days", 30]
    offer = haihe(
        "agreement", "propose", dataset.slug, *terms, "--yes", "--json", caller=holder.manager
    )
    identity = said(offer)["id"]
    asked = haihe("agreement", "accept", identity, caller=consumer.manager, input="n\n")
    assert asked.exit_code == NO_CONSENT
    assert "Firm uses" in asked.stderr
    assert "download: no" in asked.stderr
    shown = said(haihe("agreement", "show", identity, "--json", caller=consumer.member))
    assert shown["state"] == "proposed"
    haihe("agreement", "accept", identity, caller=consumer.manager, input="y\n")
    [listed] = said(haihe("agreement", "list", "--dataset", dataset.slug, "--json"))["items"]
    assert listed["state"] == "accepted"


def test_nothing_is_done_without_consent(holder: Side) -> None:
    dataset = make_dataset(holder.organisation, holder.manager, published=False)
    refused = haihe("dataset", "publish", dataset.slug, caller=holder.manager, input="n\n")
    assert refused.exit_code == NO_CONSENT
    dataset.refresh_from_db()
    assert not dataset.is_published


def test_commands_that_act_need_a_person_and_their_right(holder: Side, stranger: Side) -> None:
    dataset = make_dataset(holder.organisation, holder.manager)
    assert isinstance(haihe("dataset", "withdraw", dataset.slug, "--yes").exception, PersonNeeded)
    denied = haihe("dataset", "withdraw", dataset.slug, "--yes", caller=stranger.manager)
    assert isinstance(denied.exception, NotAllowed)
    assert exit_code_of(denied.exception) == 3


def test_a_bad_file_says_where(holder: Side, tmp_path: Path) -> None:
    dataset = make_dataset(holder.organisation, holder.manager, content=None)
    file = tmp_path / "cases.csv"
    file.write_bytes(b"a,b\n1\n")
    result = haihe("dataset", "add", dataset.slug, file, "--yes", caller=holder.member)
    assert isinstance(result.exception, RaggedRows)


def test_the_console_reads_without_a_name(holder: Side) -> None:
    dataset = make_dataset(holder.organisation, holder.manager, published=False)
    assert said(haihe("dataset", "show", dataset.slug, "--json"))["title"] == "病例"
    assert said(haihe("dataset", "versions", dataset.slug, "--json"))["items"][0]["number"] == 1
    assert "haihe --as EMAIL agreement propose" in haihe("agreement", "list").output


def test_lists_are_read_by_cursor(holder: Side) -> None:
    slugs = {make_dataset(holder.organisation, holder.manager).slug for _ in range(3)}
    first = said(haihe("dataset", "list", "--limit", 2, "--json"))
    rest = said(haihe("dataset", "list", "--cursor", first["next_cursor"], "--json"))
    assert {item["slug"] for item in first["items"] + rest["items"]} == slugs
    assert services.list_datasets(holder.member).count() == 3
