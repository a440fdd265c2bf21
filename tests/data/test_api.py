"""Datasets and agreements over HTTP: anonymous first, then the wrong member, then the right one."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from haihe.data import services
from haihe.data.domain import UsagePolicy
from tests.callers import Caller
from tests.data.factories import CSV, make_agreement, make_dataset
from tests.sides import Side

pytestmark = pytest.mark.django_db

POLICY = {
    "purposes": ["research"],
    "days": 30,
    "download": False,
    "standing": False,
    "centres": ["north"],
}
CARD = {"title": "病例", "title_en": "Cases", "policy": POLICY}
NEW = {**CARD, "organisation": "hospital", "slug": "cases"}


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json().get("code", "")


def file(content: bytes = CSV, name: str = "cases.csv") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content)


def test_registering_a_dataset(holder: Side, stranger: Side) -> None:
    assert code(Caller().post("/datasets", NEW)) == (401, "policy.not_signed_in")
    assert code(Caller(stranger.manager).post("/datasets", NEW)) == (403, "policy.not_allowed")
    assert code(Caller(holder.member, "read").post("/datasets", NEW)) == (
        403,
        "policy.scope_missing",
    )
    answer = Caller(holder.member).post("/datasets", NEW)
    assert answer.status_code == 201
    assert answer.json() | NEW == answer.json()
    assert answer.json()["newest_version"] is None
    assert code(Caller(holder.member).post("/datasets", NEW)) == (409, "data.slug_taken")
    bad = {**NEW, "slug": "b", "policy": {**POLICY, "purposes": ["resale"]}}
    assert code(Caller(holder.member).post("/datasets", bad)) == (422, "input.invalid")


def test_the_catalogue_shows_each_caller_what_they_may_know(holder: Side, consumer: Side) -> None:
    public = make_dataset(holder.organisation, holder.manager)
    hidden = make_dataset(holder.organisation, holder.manager, published=False)

    def slugs(caller: Caller) -> set[str]:
        return {item["slug"] for item in caller.get("/datasets").json()["items"]}

    assert slugs(Caller()) == slugs(Caller(consumer.manager)) == {public.slug}
    assert slugs(Caller(holder.auditor)) == {public.slug, hidden.slug}
    assert code(Caller().get(f"/datasets/{hidden.slug}"))[0] == 404
    found = Caller().get("/datasets?text=nothing").json()
    assert found == {"items": [], "next_cursor": None}


def test_the_catalogue_takes_as_many_queries_for_many_as_for_one(
    holder: Side, django_assert_num_queries: Any
) -> None:
    make_dataset(holder.organisation, holder.manager)
    caller = Caller()
    with django_assert_num_queries(1):
        caller.get("/datasets")
    for _ in range(5):
        make_dataset(holder.organisation, holder.manager)
    with django_assert_num_queries(1):
        assert len(caller.get("/datasets").json()["items"]) == 6


def test_changing_a_dataset(holder: Side, stranger: Side) -> None:
    path = f"/datasets/{make_dataset(holder.organisation, holder.manager).slug}"
    body = {**CARD, "title": "新病例"}
    assert code(Caller().put(path, body))[0] == 401
    assert code(Caller(stranger.manager).put(path, body))[0] == 403
    assert code(Caller(holder.member).put(path, body))[0] == 403
    answer = Caller(holder.manager).put(path, body)
    assert (answer.status_code, answer.json()["title"]) == (200, "新病例")
    assert answer.json()["policy"] == POLICY


def test_publishing_and_withdrawing(holder: Side, stranger: Side) -> None:
    path = f"/datasets/{make_dataset(holder.organisation, holder.manager, published=False).slug}"
    assert code(Caller().post(f"{path}/publish"))[0] == 404
    assert code(Caller(stranger.manager).post(f"{path}/publish"))[0] == 404
    assert code(Caller(holder.member).post(f"{path}/publish"))[0] == 403
    assert Caller(holder.manager).post(f"{path}/publish").json()["is_published"] is True
    assert code(Caller().post(f"{path}/withdraw"))[0] == 401
    assert Caller(holder.manager).post(f"{path}/withdraw").json()["is_published"] is False


def test_adding_a_version(holder: Side, stranger: Side) -> None:
    slug = make_dataset(holder.organisation, holder.manager, content=None).slug
    path = f"/datasets/{slug}/versions"
    assert code(Caller().upload(path, file=file()))[0] == 401
    assert code(Caller(stranger.manager).upload(path, file=file()))[0] == 403
    member = Caller(holder.member)
    first = member.upload(path, "k1", file=file(), source="HIS export")
    assert first.status_code == 201
    assert first.json()["columns"][0] == {"name": "编号", "type": "String", "nulls": 0}
    assert first.json()["source"] == "HIS export"
    repeated = member.upload(path, "k1", file=file(), source="HIS export")
    assert repeated.json() == first.json()
    assert repeated["Idempotency-Replayed"] == "true"
    assert code(member.upload(path, file=file())) == (409, "data.same_content")
    bad = member.upload(path, file=file(b"a,b\n1\n"))
    assert code(bad) == (422, "data.ragged_rows")
    assert bad.json()["params"]["line"] == "2"
    assert code(member.upload(path, source="no file"))[0] == 422
    assert [v["number"] for v in Caller().get(path).json()["items"]] == [1]
    assert Caller().get(f"{path}/1").json() == first.json()
    assert code(Caller().get(f"{path}/2"))[0] == 404


def test_downloading_content(holder: Side, consumer: Side) -> None:
    dataset = make_dataset(holder.organisation, holder.manager)
    make_agreement(dataset, holder.manager, consumer.organisation, consumer.manager)
    path = f"/datasets/{dataset.slug}/versions/1/content"
    assert code(Caller().get(path))[0] == 401
    assert code(Caller(consumer.manager).get(path))[0] == 403
    assert code(Caller(holder.auditor).get(path))[0] == 403
    answer = Caller(holder.member).get(path)
    assert b"".join(answer.streaming_content) == CSV
    assert answer["Content-Length"] == str(len(CSV))
    assert answer["Content-Disposition"] == f'attachment; filename="{dataset.slug}-v1.csv"'


def test_the_usage_log(holder: Side, consumer: Side) -> None:
    dataset = make_dataset(holder.organisation, holder.manager)
    make_agreement(dataset, holder.manager, consumer.organisation, consumer.manager)
    services.open_content(holder.member, dataset.slug, 1)[1].close()
    path = f"/datasets/{dataset.slug}/usage"
    assert code(Caller().get(path))[0] == 401
    assert code(Caller(consumer.manager).get(path))[0] == 403
    [read] = Caller(holder.auditor).get(path).json()["items"]
    assert (read["version"], read["reader"], read["via"]) == (1, "hospital", "download")


def test_proposing_accepting_and_ending_an_agreement(
    holder: Side, consumer: Side, stranger: Side
) -> None:
    dataset = make_dataset(holder.organisation, holder.manager)
    path = f"/datasets/{dataset.slug}/agreements"
    body = {"consumer": "firm", "purpose": "research", "days": 30}
    assert code(Caller().post(path, body))[0] == 401
    assert code(Caller(consumer.manager).post(path, body))[0] == 403
    offered = Caller(holder.manager).post(path, body)
    assert (offered.status_code, offered.json()["state"]) == (201, "proposed")
    one = f"/agreements/{offered.json()['id']}"
    assert code(Caller().get(one))[0] == 401
    assert code(Caller(stranger.manager).get(one))[0] == 403
    assert Caller(consumer.auditor).get(one).json() == offered.json()
    assert code(Caller().post(f"{one}/accept"))[0] == 401
    assert code(Caller(holder.manager).post(f"{one}/accept"))[0] == 403
    accepted = Caller(consumer.manager).post(f"{one}/accept").json()
    assert accepted["state"] == "accepted"
    assert accepted["expires_at"] > accepted["accepted_at"]
    assert code(Caller(stranger.manager).post(f"{one}/end"))[0] == 403
    assert Caller(holder.manager).post(f"{one}/end").json()["state"] == "ended"
    assert code(Caller().get("/agreements"))[0] == 401
    assert Caller(stranger.manager).get("/agreements").json()["items"] == []
    assert len(Caller(consumer.member).get("/agreements").json()["items"]) == 1
    assert code(Caller(consumer.member).get("/agreements/none"))[0] == 404


def test_accepting_standing_terms(holder: Side, consumer: Side) -> None:
    policy = UsagePolicy(purposes=("research",), days=30, standing=True)
    dataset = make_dataset(holder.organisation, holder.manager, policy=policy)
    path = f"/datasets/{dataset.slug}/accept-terms"
    body = {"organisation": "firm", "purpose": "research", "days": 30}
    assert code(Caller().post(path, body))[0] == 401
    assert code(Caller(consumer.member).post(path, body))[0] == 403
    assert code(Caller(consumer.manager).post(path, {**body, "days": 31})) == (
        422,
        "data.term_refused",
    )
    assert Caller(consumer.manager).post(path, body).json()["state"] == "accepted"
