"""Packs and evaluations over HTTP."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from haihe.packs.models import Evaluation
from tests.callers import Caller
from tests.packs.conftest import NAME
from tests.packs.platform.conftest import Lab

pytestmark = pytest.mark.django_db


def test_packs_are_everybodys(lab: Lab) -> None:
    [listed] = Caller().get("/packs").json()
    assert (listed["name"], listed["tier"]) == (NAME, None)
    assert listed["disclaimer"]["zh"]
    found = Caller().get(f"/packs/{NAME}").json()
    assert found["manifest"]["evaluation"]["label"] == "outcome"
    assert len(found["sha256"]) == 64
    missing = Caller().get("/packs/other")
    assert (missing.status_code, missing.json()["code"]) == (404, "packs.not_found")


def test_a_run_is_priced_for_who_works_there(lab: Lab) -> None:
    body: dict[str, Any] = {"organisation": "firm", "inputs": {"cases": "cases@1"}}
    path = f"/packs/{NAME}/quotes"
    assert Caller().post(path, body).status_code == 401
    assert Caller(lab.stranger).post(path, body).status_code == 403
    made = Caller(lab.member).post(path, body)
    assert made.status_code == 201
    quote = made.json()
    assert quote["organisation"] == "firm"
    assert quote["amount_micro"] == sum(share["amount_micro"] for share in quote["shares"])
    assert any("cases@1" in reason for reason in quote["reasons"])
    bad = Caller(lab.member).post(path, {**body, "inputs": {}})
    assert bad.json()["code"] == "packs.dataset_missing"
    assert Caller(lab.member, "read").post(path, body).json()["code"] == "policy.scope_missing"


def test_evaluations_are_listed_and_read_by_who_may(lab: Lab, evaluation: Evaluation) -> None:
    path = f"/evaluations/{evaluation.pk}"
    assert Caller().get("/evaluations").json()["items"] == []
    assert Caller().get(path).status_code == 401
    assert Caller(lab.stranger).get(path).status_code == 403
    [listed] = Caller(lab.member).get("/evaluations?state=scored").json()["items"]
    assert listed["id"] == str(evaluation.pk)
    assert "details" not in listed
    found = Caller(lab.reader).get(path).json()
    assert found["details"]["model"]["pooled"]["roc_auc"]["value"] == found["score"]
    assert found["low"] < found["score"] < found["high"]
    assert Caller(lab.member).get(f"/evaluations/{uuid4()}").status_code == 404
    Evaluation.objects.update(is_public=True)
    assert Caller().get(path).json()["is_public"] is True


def test_explanations_stay_with_who_may_use_the_data(lab: Lab, evaluation: Evaluation) -> None:
    Evaluation.objects.update(is_public=True)
    path = f"/evaluations/{evaluation.pk}/explanations"
    assert Caller().get(path).status_code == 401
    for principal in (lab.stranger, lab.officer, lab.reader):
        assert Caller(principal).get(path).status_code == 403
    first = Caller(lab.member).get(f"{path}?limit=2").json()
    rest = Caller(lab.member).get(f"{path}?limit=2&cursor={first['next_cursor']}").json()
    ids = [case["id"] for case in first["items"] + rest["items"]]
    assert ids == ["c0000", "c0001", "c0002", "c0003"]
    assert first["items"][0]["reasons"][0]["text"]["zh"]
    only = Caller(lab.member).get(f"{path}?decision=positive").json()
    assert {case["decision"] for case in only["items"]} == {True}
    assert Caller(lab.member).get(f"{path}?decision=maybe").status_code == 422
