"""The ledger over HTTP."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db.models import F
from django.test import Client

from haihe.kernel.clock import use_clock
from haihe.kernel.ids import new_id
from haihe.ledger.models import Account, Transfer
from haihe.ledger.services import external_account, transfer
from haihe.parties.models import Organisation, Person
from tests.factories import make_organisation, make_person, make_token
from tests.ledger.factories import open_cash, pending, posted

pytestmark = pytest.mark.django_db
ROOT = "/api/v1"


def as_person(person: Person | None, *scopes: str) -> Client:
    if person is None:
        return Client()
    return Client(headers={"authorization": f"Bearer {make_token(person, *scopes)}"})


def deposit(client: Client, account: Account, key: str = "k1", **body: Any) -> Any:
    return client.post(
        f"{ROOT}/accounts/{account.pk}/deposits",
        json.dumps({"amount_micro": 2_500_000, "reference": "bank 17", **body}),
        content_type="application/json",
        headers={"idempotency-key": key},
    )


@pytest.fixture
def owner() -> Person:
    return make_person("ann@example.test")


@pytest.fixture
def firm(owner: Person) -> Organisation:
    return make_organisation("firm", owner=owner)


@pytest.fixture
def account(firm: Organisation) -> Account:
    return open_cash("Firm", owner_id=firm.pk)


@pytest.fixture
def operator() -> Client:
    return as_person(make_person(roles=("operator",)))


def test_accounts_are_for_their_owners_and_auditors(
    account: Account, firm: Organisation, owner: Person
) -> None:
    address = f"{ROOT}/accounts?owner={firm.pk}"
    stranger = make_person()
    make_organisation(owner=stranger)
    assert Client().get(address).status_code == 401
    assert as_person(stranger).get(address).status_code == 403
    for reader in (owner, make_person(roles=("auditor",))):
        [found] = as_person(reader).get(address).json()["items"]
        assert found["id"] == str(account.pk)
        assert (found["posted_micro"], found["available_micro"]) == (0, 0)


def test_without_an_owner_the_callers_own_accounts_are_listed(
    account: Account, owner: Person
) -> None:
    open_cash("Another", owner_id=new_id())
    assert Client().get(f"{ROOT}/accounts").status_code == 401
    assert as_person(make_person()).get(f"{ROOT}/accounts").json()["items"] == []
    names = [item["name"] for item in as_person(owner).get(f"{ROOT}/accounts").json()["items"]]
    assert names == ["Firm"]
    assert as_person(owner).get(f"{ROOT}/accounts?owner=nonsense").status_code == 422


def test_deposits_are_recorded_by_the_operator_only(
    account: Account, owner: Person, operator: Client
) -> None:
    assert deposit(Client(), account).status_code == 401
    assert deposit(as_person(owner), account).status_code == 403
    assert deposit(as_person(make_person(roles=("auditor",))), account).status_code == 403
    assert not Transfer.objects.exists()
    answer = deposit(operator, account)
    assert answer.status_code == 201
    assert answer.json()["account_id"] == str(account.pk)
    account.refresh_from_db()
    assert account.posted_micro == 2_500_000


def test_a_deposit_sent_twice_arrives_once(account: Account, operator: Client) -> None:
    first, again = deposit(operator, account), deposit(operator, account)
    assert first.json() == again.json()
    chosen = str(new_id())
    for key in ("k2", "k3"):
        assert deposit(operator, account, key, transfer_id=chosen).status_code == 201
    other = deposit(operator, account, "k4", transfer_id=chosen, amount_micro=1)
    assert (other.status_code, other.json()["code"]) == (409, "ledger.transfer_mismatch")
    account.refresh_from_db()
    assert account.posted_micro == 5_000_000


@pytest.mark.parametrize("amount", [0, -1, 1.5, "a lot", None, True, 10**30])
def test_what_is_no_amount_is_refused(account: Account, operator: Client, amount: Any) -> None:
    assert deposit(operator, account, amount_micro=amount).status_code == 422
    assert not Transfer.objects.exists()


@pytest.mark.parametrize("reference", ["", "two\nlines", "x" * 201, None])
def test_a_deposit_names_its_proof(account: Account, operator: Client, reference: Any) -> None:
    assert deposit(operator, account, reference=reference).status_code == 422
    assert not Transfer.objects.exists()


def test_a_statement_runs_from_row_to_row_and_page_to_page(account: Account, owner: Person) -> None:
    outside = external_account("CNY")
    transfer([posted(outside.pk, account.pk, 100) for _ in range(3)])
    transfer([pending(account.pk, outside.pk, 40, reference="job:1")])
    client = as_person(owner)
    address = f"{ROOT}/accounts/{account.pk}/statement?limit=2"
    first = client.get(address).json()
    assert first["balance"] == {"posted_micro": 300, "held_micro": 40, "incoming_micro": 0}
    assert [row["balance_micro"] for row in first["items"]] == [300, 300]
    assert first["items"][0]["reference"] == "job:1"
    assert (first["items"][0]["kind"], first["items"][0]["change_micro"]) == ("pending", 0)
    rest = client.get(f"{address}&cursor={first['next_cursor']}").json()
    assert rest["closing_micro"] == first["opening_micro"] == 200
    assert (rest["opening_micro"], rest["next_cursor"]) == (0, None)


def test_a_statement_is_as_of_any_time_in_the_past(account: Account, owner: Person) -> None:
    began = datetime(2026, 1, 1, tzinfo=UTC)
    outside = external_account("CNY")
    for day in range(3):
        with use_clock(lambda day=day: began + timedelta(days=day)):
            transfer([posted(outside.pk, account.pk, 100)])
    client, address = as_person(owner), f"{ROOT}/accounts/{account.pk}/statement"
    then = client.get(address, {"as_of": (began + timedelta(days=1)).isoformat()}).json()
    assert then["balance"]["posted_micro"] == 200
    assert len(then["items"]) == 2
    for wrong in ("2026-01-01T00:00:00", "2999-01-01T00:00:00Z", "soon"):
        assert client.get(address, {"as_of": wrong}).status_code == 422


def test_a_statement_is_for_owner_and_auditor(account: Account, operator: Client) -> None:
    address = f"{ROOT}/accounts/{account.pk}/statement"
    assert Client().get(address).status_code == 401
    assert as_person(make_person()).get(address).status_code == 403
    assert operator.get(address).status_code == 403
    assert as_person(make_person(roles=("auditor",))).get(address).status_code == 200
    for missing in (new_id(), "no-id"):
        assert operator.get(f"{ROOT}/accounts/{missing}/statement").status_code == 404


def test_the_books_are_audited(account: Account, operator: Client, owner: Person) -> None:
    deposit(operator, account)
    address = f"{ROOT}/ledger/audit"
    assert Client().get(address).status_code == 401
    assert as_person(owner).get(address).status_code == 403
    found = operator.get(address).json()
    assert (found["balanced"], found["accounts"], found["transfers"]) == (True, 2, 1)
    Account.objects.filter(pk=account.pk).update(posted_micro=F("posted_micro") + 1)
    for role in ("officer", "auditor"):
        found = as_person(make_person(roles=(role,))).get(address).json()
        assert not found["balanced"]
        assert {item["rule"] for item in found["discrepancies"]} == {"asset-sum", "posted"}
