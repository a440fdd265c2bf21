"""What is no amount, in every field of money; and one payment asked for twice, or at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from django.db import connection

from haihe.api.v1 import api
from haihe.compute.models import Job
from haihe.kernel.ids import new_id
from haihe.kernel.money import MAX_AMOUNT_MICRO, MICRO
from haihe.ledger.models import Account
from haihe.ledger.services import audit
from haihe.policy.cli import CONSOLE
from haihe.programme.models import Voucher
from tests.faults.stage import Act, Stage, books, raw
from tests.programme.factories import DECLARED, grant, make_contract


@pytest.fixture(autouse=True)
def files(home: Path) -> Path:
    return home


# --- amounts -------------------------------------------------------------------------------------

CONTRACT = {
    "number": "K-bad",
    "buyer": "firm",
    "provider": "seller",
    "amount_micro": 10 * MICRO,
    "eligible_micro": 10 * MICRO,
    "begins_on": "2026-01-01",
    "ends_on": "2026-06-30",
}
OFFER = {"cpu_hour_micro": MICRO, "gpu_hour_micro": MICRO, "minimum_micro": MICRO}
APPLICATION = {"contract": "", "amount_micro": MICRO, "declared": list(DECLARED)}
# Every body with money in it: who sends it where, and the schema it is of.
MONEY: dict[str, tuple[str, str, dict[str, Any]]] = {
    "ContractIn": ("manager", "/contracts", CONTRACT),
    "OfferIn": ("seller", "/centres/seller-centre/pools/local/offers", OFFER),
    "DepositIn": ("operator", "/accounts/{cash}/deposits", {"amount_micro": 1, "reference": "r"}),
    "FundIn": ("officer", "/schemes/spring/fund", {"amount_micro": 1, "reference": "r"}),
    "ApplicationIn": ("manager", "/schemes/spring/check", APPLICATION),
    "VoucherIn": ("manager", "/vouchers", {**APPLICATION, "scheme": "spring"}),
}
MAY_BE_NOUGHT = {"gpu_hour_micro", "minimum_micro"}
NO_AMOUNTS: dict[str, str] = {
    "NaN": "NaN",
    "infinity": "Infinity",
    "minus infinity": "-Infinity",
    "a negative amount": "-1",
    "nought": "0",
    "a fraction": "1.5",
    "a whole number as a fraction": "1.0",
    "a power": "1e6",
    "a text": '"1"',
    "true": "true",
    "null": "null",
    "a list": "[1]",
    "one more than an amount may be": str(MAX_AMOUNT_MICRO + 1),
    "more than a column holds": str(10**30),
}


def fields_of_money() -> Iterator[tuple[str, str]]:
    """Every field of money in a body that the API takes, by schema."""
    document = api.get_openapi_schema()
    bodies = json.dumps(
        [o.get("requestBody") for p in document["paths"].values() for o in p.values()]
    )
    for name, schema in document["components"]["schemas"].items():
        if f'/{name}"' in bodies:
            yield from ((name, field) for field in schema["properties"] if field.endswith("_micro"))


def test_every_field_of_money_is_on_the_list() -> None:
    assert {name for name, _ in fields_of_money()} == set(MONEY)


@pytest.mark.django_db
@pytest.mark.parametrize(("schema", "field"), sorted(fields_of_money()))
def test_what_is_no_amount_is_refused_in_every_field_of_money(schema: str, field: str) -> None:
    stage = Stage()
    who, path, body = MONEY[schema]
    if "contract" in body:
        body = {**body, "contract": stage.contract()}
    before = books()
    for name, value in NO_AMOUNTS.items():
        if name == "nought" and field in MAY_BE_NOUGHT:
            continue
        text = json.dumps({**body, field: "@"}).replace('"@"', value)
        answer = raw(getattr(stage, who), path.format(cash=stage.cash()), text)
        found = answer.status_code, answer.json()["code"]
        assert found == (422, "input.invalid"), (name, answer.content)
        assert answer.json()["fields"][0]["field"] == f"body.body.{field}", name
    assert books() == before


# --- twice, and at once --------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_duplicated_post_pays_once() -> None:
    stage = Stage()
    path, body = f"/accounts/{stage.cash()}/deposits", {"amount_micro": MICRO, "reference": "bank"}
    first = stage.operator.post(path, body, key="k")
    after_first = books()
    second = stage.operator.post(path, body, key="k")
    assert first.status_code == second.status_code == 201
    assert second["Idempotency-Replayed"] == "true"
    assert first.json() == second.json()
    assert books() == after_first


@pytest.mark.django_db
def test_one_deposit_under_two_keys_pays_once_and_another_amount_is_refused() -> None:
    stage = Stage()
    path = f"/accounts/{stage.cash()}/deposits"
    body = {"amount_micro": MICRO, "reference": "bank", "transfer_id": str(new_id())}
    assert stage.operator.post(path, body).status_code == 201
    posted = Account.objects.get(pk=stage.cash()).posted_micro
    assert stage.operator.post(path, body).status_code == 201
    answer = stage.operator.post(path, {**body, "amount_micro": 2 * MICRO})
    assert (answer.status_code, answer.json()["code"]) == (409, "ledger.transfer_mismatch")
    assert Account.objects.get(pk=stage.cash()).posted_micro == posted


def at_once(*acts: Act) -> list[Any]:
    """The answers to calls that begin together."""
    barrier = Barrier(len(acts))

    def run(act: Act) -> Any:
        barrier.wait(timeout=30)
        try:
            return act()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


def outcomes(answers: list[Any]) -> list[tuple[int, str]]:
    return sorted((answer.status_code, answer.json().get("code", "")) for answer in answers)


@pytest.mark.usefixtures("committed")
def test_one_post_sent_twice_at_once_is_carried_out_once() -> None:
    stage = Stage()
    path, body = f"/accounts/{stage.cash()}/deposits", {"amount_micro": MICRO, "reference": "bank"}
    before = Account.objects.get(pk=stage.cash()).posted_micro
    answers = at_once(*[lambda: stage.operator.post(path, body, key="k")] * 4)
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["transfer_id"] for answer in answers}) == 1
    assert Account.objects.get(pk=stage.cash()).posted_micro == before + MICRO
    assert audit(CONSOLE).balanced


@pytest.mark.usefixtures("committed")
def test_two_redemptions_of_one_quote_at_once_make_one_job() -> None:
    stage = Stage()
    quote = stage.quote().json()["id"]
    answers = at_once(*[lambda: stage.member.post("/jobs", {"quote_id": quote})] * 2)
    assert outcomes(answers) == [(201, ""), (409, "compute.quote_used")]
    assert Job.objects.count() == 1
    assert audit(CONSOLE).balanced


@pytest.mark.usefixtures("committed")
def test_two_redemptions_of_one_voucher_at_once_never_spend_it_twice() -> None:
    """Each quote was promised what was left of the voucher; only one job can have it."""
    stage = Stage()
    contract = make_contract(stage.world, amount_micro=100 * MICRO)
    voucher = grant(stage.world, contract, amount_micro=3 * MICRO)
    pair = [stage.quote(contract.number, wall_s=10 * 3_600).json()["id"] for _ in range(2)]
    answers = at_once(
        *(lambda quote=quote: stage.member.post("/jobs", {"quote_id": quote}) for quote in pair)
    )
    assert outcomes(answers) == [(201, ""), (422, "ledger.insufficient_funds")]
    account = Account.objects.get(pk=Voucher.objects.get(pk=voucher.pk).account_id)
    assert (account.posted_micro, account.held_micro) == (3 * MICRO, 2 * MICRO)
    assert audit(CONSOLE).balanced
