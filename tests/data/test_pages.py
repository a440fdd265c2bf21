"""Pages of datasets and agreements, as visitors, strangers, consumers and holders see them."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from haihe.data import services
from haihe.data.domain import UsagePolicy
from haihe.data.models import Agreement, Dataset
from haihe.evidence.services import find
from haihe.policy.domain import Principal
from tests.callers import person_of
from tests.data.factories import CSV, make_agreement, make_dataset
from tests.pages import CHINESE, ENGLISH, asks_to_sign_in, browser, sound
from tests.sides import Side

pytestmark = pytest.mark.django_db
STANDING = UsagePolicy(purposes=("research",), days=30, standing=True)


def seen_by(principal: Principal, language: str = ENGLISH) -> Client:
    return browser(person_of(principal), language)


def text(response: Any) -> str:
    return str(response.content.decode())


@pytest.fixture
def dataset(holder: Side) -> Dataset:
    return make_dataset(holder.organisation, holder.manager, slug="cases", policy=STANDING)


@pytest.fixture
def agreement(dataset: Dataset, holder: Side, consumer: Side) -> Agreement:
    return make_agreement(dataset, holder.manager, consumer.organisation, consumer.manager)


@pytest.mark.parametrize("language", [ENGLISH, CHINESE])
def test_all_pages_render_in_both_languages(
    language: str, agreement: Agreement, holder: Side, consumer: Side
) -> None:
    services.open_content(holder.member, "cases", 1)[1].close()
    client = seen_by(holder.manager, language)
    for address in (
        "/datasets", "/datasets?text=none", "/datasets/-/new", "/datasets/cases",
        "/datasets/cases/edit", "/datasets/cases/usage", "/datasets/cases/propose",
        "/datasets/cases/versions/1", "/datasets/cases/versions/1?preview",
        "/datasets/cases/versions/-/new", "/agreements", f"/agreements/{agreement.pk}",
    ):  # fmt: skip
        sound(client.get(address))
    sound(seen_by(consumer.manager, language).get("/datasets/cases/terms"))


@pytest.mark.parametrize("address", ["/datasets", "/datasets/cases", "/datasets/cases/versions/1"])
def test_visitors_read_the_published_catalogue(address: str, dataset: Dataset) -> None:
    page = text(browser().get(address))
    assert "Cases" in page
    for closed in ("Download", "Edit", "Withdraw", "Usage log", "Register a dataset"):
        assert closed not in page


@pytest.mark.parametrize(
    "address",
    [
        "/datasets/-/new",
        "/datasets/cases/usage",
        "/datasets/cases/terms",
        "/datasets/cases/versions/1/content",
        "/agreements",
    ],
)
def test_visitors_sign_in_for_the_rest(address: str, dataset: Dataset) -> None:
    assert asks_to_sign_in(browser().get(address))


def test_a_stranger_sees_neither_agreements_nor_use(agreement: Agreement, stranger: Side) -> None:
    client = seen_by(stranger.manager)
    assert client.get(f"/agreements/{agreement.pk}").status_code == 403
    assert client.get("/datasets/cases/usage").status_code == 403
    assert "No agreements" in text(client.get("/agreements"))
    assert "Firm" not in text(client.get("/datasets/cases"))


def test_names_follow_the_language_of_the_page(dataset: Dataset) -> None:
    assert "<h1>Cases" in text(browser().get("/datasets/cases"))
    assert "<h1>病例" in text(browser(language=CHINESE).get("/datasets/cases"))


def test_buttons_follow_what_the_caller_may_do(dataset: Dataset, holder: Side) -> None:
    manager = text(seen_by(holder.manager).get("/datasets/cases"))
    member = text(seen_by(holder.member).get("/datasets/cases"))
    auditor = text(seen_by(holder.auditor).get("/datasets/cases"))
    assert "Withdraw" in manager
    assert "Withdraw" not in member
    assert "Add a version" in member
    assert "Add a version" not in auditor
    assert "Usage log" in auditor


def test_a_dataset_is_registered_by_form_and_then_asks_for_content(holder: Side) -> None:
    client = seen_by(holder.manager)
    form = {
        "organisation": "hospital", "slug": "films", "title": "胸片",
        "purposes": ["research"], "days": "90",
    }  # fmt: skip
    answer = client.post("/datasets/-/new", form)
    assert answer["Location"] == "/datasets/films/versions/-/new"
    again = client.post("/datasets/-/new", form)
    sound(again, 409)
    assert "Choose another slug" in text(again)
    assert 'value="胸片"' in text(again)
    wrong = client.post("/datasets/-/new", {**form, "days": "0"})
    sound(wrong, 422)


def test_a_form_for_somebody_elses_organisation_is_refused(holder: Side, stranger: Side) -> None:
    form = {
        "organisation": "hospital", "slug": "films", "title": "x",
        "purposes": ["research"], "days": "9",
    }  # fmt: skip
    sound(seen_by(stranger.manager).post("/datasets/-/new", form), 422)
    assert not Dataset.objects.exists()


def test_an_edit_keeps_the_card(dataset: Dataset, holder: Side, stranger: Side) -> None:
    shown = text(seen_by(holder.manager).get("/datasets/cases/edit"))
    assert 'value="病例"' in shown
    form = {"title": "新", "purposes": ["service"], "days": "5"}
    sound(seen_by(stranger.manager).post("/datasets/cases/edit", form), 403)
    assert seen_by(holder.manager).post("/datasets/cases/edit", form).status_code == 302
    before = dataset.policy.as_dict()
    dataset.refresh_from_db()
    assert (dataset.title, dataset.policy.purposes) == ("新", ("service",))
    [entry] = find(holder.manager, kind="dataset.policy_changed").items
    assert entry.data == {"before": before, "after": dataset.policy.as_dict()}
    assert seen_by(holder.manager).post("/datasets/cases/edit", form).status_code == 302
    assert len(find(holder.manager, kind="dataset.policy_changed").items) == 1


def test_what_evidence_names_by_id_leads_to_its_page(dataset: Dataset, stranger: Side) -> None:
    client, version = browser(), dataset.versions.get(number=1)
    assert client.get(f"/datasets/by-id/{dataset.pk}")["Location"] == "/datasets/cases"
    address = client.get(f"/datasets/versions/{version.pk}")["Location"]
    assert address == "/datasets/cases/versions/1"
    for unknown in (f"/datasets/by-id/{version.pk}", f"/datasets/versions/{dataset.pk}"):
        sound(client.get(unknown), 404)
    Dataset.objects.update(is_published=False)
    for hidden in (f"/datasets/by-id/{dataset.pk}", f"/datasets/versions/{version.pk}"):
        sound(seen_by(stranger.manager).get(hidden), 404)


def test_publishing_is_a_button(dataset: Dataset, holder: Side) -> None:
    client = seen_by(holder.manager)
    for step, published in (("withdraw", False), ("publish", True)):
        assert client.post(f"/datasets/cases/{step}")["Location"] == "/datasets/cases"
        dataset.refresh_from_db()
        assert dataset.is_published is published
    assert client.get("/datasets/cases/publish").status_code == 405


def test_an_upload_shows_why_a_file_is_refused_and_where_the_good_one_went(
    holder: Side, dataset: Dataset
) -> None:
    client = seen_by(holder.member)
    bad = {"file": SimpleUploadedFile("a.csv", b"a,b\n1\n"), "source": "survey"}
    refused = client.post("/datasets/cases/versions/-/new", bad)
    sound(refused, 422)
    assert "a.csv, line 2: 1 fields where the header has 2" in text(refused)
    assert 'value="survey"' in text(refused)
    empty = client.post(
        "/datasets/cases/versions/-/new", {"file": SimpleUploadedFile("a.csv", b"")}
    )
    assert "it is empty" in text(empty)
    good = {"file": SimpleUploadedFile("a.csv", CSV + b"\xe4\xb8\x99,3\n")}
    answer = client.post("/datasets/cases/versions/-/new", good)
    assert answer["Location"] == "/datasets/cases/versions/2"
    assert "Version 2 is registered: 3 rows." in text(client.get("/datasets/cases"))


def test_an_upload_by_script_gets_the_form_back_or_an_address(
    holder: Side, dataset: Dataset
) -> None:
    client = seen_by(holder.member)
    headers = {"hx-request": "true"}
    bad = {"file": SimpleUploadedFile("a.csv", b"a,b\n1\n")}
    refused = client.post("/datasets/cases/versions/-/new", bad, headers=headers)
    assert (refused["HX-Retarget"], refused["HX-Reselect"]) == ("#upload", "#upload")
    good = {"file": SimpleUploadedFile("a.csv", CSV + b"x,3\n")}
    answer = client.post("/datasets/cases/versions/-/new", good, headers=headers)
    assert answer["HX-Redirect"] == "/datasets/cases/versions/2"


def test_a_preview_shows_rows_and_is_logged(holder: Side, dataset: Dataset) -> None:
    client = seen_by(holder.member)
    assert "甲" not in text(client.get("/datasets/cases/versions/1"))
    assert "甲" in text(client.get("/datasets/cases/versions/1?preview"))
    assert "First rows" in text(client.get("/datasets/cases/usage"))


def test_a_stranger_gets_no_preview(stranger: Side, dataset: Dataset, holder: Side) -> None:
    assert "甲" not in text(seen_by(stranger.manager).get("/datasets/cases/versions/1?preview"))
    assert not services.usage_of(holder.manager, "cases").items


def test_terms_are_offered_accepted_and_ended(
    dataset: Dataset, holder: Side, consumer: Side
) -> None:
    form = {"consumer": "firm", "purpose": "research", "days": "30"}
    holding, buying = seen_by(holder.manager), seen_by(consumer.manager)
    sound(holding.post("/datasets/cases/propose", {**form, "days": "31"}), 422)
    unknown = holding.post("/datasets/cases/propose", {**form, "consumer": "nobody"})
    sound(unknown, 404)
    address = holding.post("/datasets/cases/propose", form)["Location"]
    assert f'action="{address}/accept"' not in text(holding.get(address))
    assert f'action="{address}/accept"' in text(buying.get(address))
    assert holding.post(f"{address}/accept").status_code == 403
    assert buying.post(f"{address}/accept")["Location"] == address
    assert "Accepted" in text(holding.get(address))
    assert buying.post(f"{address}/end")["Location"] == address
    assert f'action="{address}/end"' not in text(buying.get(address))


def test_standing_terms_are_accepted_by_form(dataset: Dataset, consumer: Side) -> None:
    client = seen_by(consumer.manager)
    assert 'href="/datasets/cases/terms"' in text(client.get("/datasets/cases"))
    form = {"organisation": "firm", "purpose": "research", "days": "30"}
    answer = client.post("/datasets/cases/terms", form)
    assert answer["Location"].startswith("/agreements/")
    member = seen_by(consumer.member)
    assert member.post("/datasets/cases/terms", form).status_code == 403


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_tables_are_files_too(kind: str, agreement: Agreement, holder: Side) -> None:
    services.open_content(holder.member, "cases", 1)[1].close()
    client = seen_by(holder.manager)
    for address in (
        "/datasets",
        "/datasets/cases/usage",
        "/datasets/cases/versions/1",
        "/agreements",
    ):
        answer = client.get(f"{address}?format={kind}")
        assert answer["Content-Disposition"].endswith(f'.{kind}"')
    rows = client.get("/datasets?format=csv").content.decode("utf-8-sig").splitlines()
    assert rows[1].startswith("cases,病例,Cases,Hospital")


def test_a_download_streams(holder: Side, dataset: Dataset) -> None:
    answer = seen_by(holder.member).get("/datasets/cases/versions/1/content")
    assert b"".join(answer.streaming_content) == CSV
