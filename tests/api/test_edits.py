"""Every PUT of the API may be made conditional on what its caller read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from haihe.api.v1 import api
from haihe.policy.domain import Principal
from tests.callers import ROOT, Caller, person_of
from tests.data.factories import make_dataset
from tests.factories import make_member
from tests.programme.factories import World, make_world

pytestmark = pytest.mark.django_db

CARD = {
    "title_en": "",
    "description": "",
    "licence": "CC0",
    "policy": {"purposes": ["research"], "days": 30},
}
TERM = {"begins_on": "2098-01-01", "ends_on": "2098-12-31"}
# Each edit of the API: its address here, who may, and two bodies that leave different things.
EDITS: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    "/organisations/{slug}": ("/organisations/firm", "manager", {"name": "甲"}, {"name": "乙"}),
    "/organisations/{slug}/members/{person_id}": (
        "/organisations/firm/members/{member}", "owner", {"role": "auditor"}, {"role": "member"},
    ),
    "/centres/{slug}/terms": (
        "/centres/seller-centre/terms", "seller", {"region": "north"}, {"region": "south"},
    ),
    "/centres/{slug}/pools/{pool}/terms": (
        "/centres/seller-centre/pools/local/terms", "seller",
        {"software": ["one"]}, {"software": ["two"]},
    ),
    "/centres/{slug}/accounts": (
        "/centres/seller-centre/accounts", "seller",
        {"email": "{email}", "user": "one"}, {"email": "{email}", "user": "two"},
    ),
    "/centres/{slug}/pools/{pool}/allocations": (
        "/centres/seller-centre/pools/local/allocations", "seller",
        {"organisation": "firm", "cpu_hours": 1, **TERM},
        {"organisation": "firm", "cpu_hours": 2, **TERM},
    ),
    "/datasets/{slug}": (
        "/datasets/cases", "manager", {"title": "甲", **CARD}, {"title": "乙", **CARD},
    ),
}  # fmt: skip


@pytest.fixture
def world() -> World:
    made = make_world()
    make_dataset(made.firm, made.manager, slug="cases")
    return made


def filled(text: str, member: Principal) -> str:
    """A text with the member's id and address in it."""
    return text.replace("{member}", str(member.id)).replace("{email}", person_of(member).email)


def put(caller: Caller, path: str, body: str, etag: str) -> Any:
    return caller.client.put(
        ROOT + path, body, content_type="application/json", headers={"if-match": etag}
    )


def test_the_table_here_has_every_edit() -> None:
    schema = api.get_openapi_schema()
    edits = {path for path, item in schema["paths"].items() if "put" in item}
    assert {path.removeprefix(ROOT) for path in edits} == set(EDITS)


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_is_done_once_on_what_was_read(world: World, edit: str) -> None:
    path, who, *bodies = EDITS[edit]
    path = filled(path, world.member)
    first, second = (filled(json.dumps(body), world.member) for body in bodies)
    caller = Caller(make_member(world.firm, "owner") if who == "owner" else getattr(world, who))
    etag = caller.get(path)["ETag"]
    assert put(caller, path, first, etag).status_code == 200
    late = put(caller, path, second, etag)
    assert late.status_code == late.json()["status"] == 412
    assert late.json()["code"] == "input.stale_edit"
    assert put(caller, path, second, caller.get(path)["ETag"]).status_code == 200


@pytest.mark.parametrize("edit", EDITS)
def test_who_may_not_read_it_is_told_so_and_not_that_it_changed(world: World, edit: str) -> None:
    path, _, body, _ = EDITS[edit]
    answer = put(
        Caller(), filled(path, world.member), filled(json.dumps(body), world.member), '"x"'
    )
    public = caller_may_read(filled(path, world.member))
    assert answer.status_code == (412 if public else 401)


def caller_may_read(path: str) -> bool:
    return bool(Caller().get(path).status_code == 200)
