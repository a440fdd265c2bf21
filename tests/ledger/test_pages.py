"""The ledger's pages, as members, operators, officers and auditors see them."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db.models import F
from django.test import Client

from haihe.kernel.clock import use_clock
from haihe.kernel.ids import new_id
from haihe.ledger.models import Account, Transfer
from haihe.ledger.services import external_account, open_account, transfer
from haihe.parties.models import Organisation, Person
from tests.factories import make_organisation, make_person
from tests.ledger.factories import open_cash, pending, posted
from tests.pages import CHINESE, ENGLISH, asks_to_sign_in, browser, sound

pytestmark = pytest.mark.django_db
JOB = "job:01a20292-5096-77e6-bd86-4c67fe853955"
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def owner() -> Person:
    return make_person("ann@example.test")


@pytest.fixture
def firm(owner: Person) -> Organisation:
    return make_organisation("firm", owner=owner)


@pytest.fixture
def account(firm: Organisation) -> Account:
    """An account with 12.50 CNY from the first day and 2.00 of it held from the second."""
    account = open_cash("Firm", owner_id=firm.pk)
    provider = open_cash("Provider", owner_id=new_id())
    with use_clock(lambda: BEGAN):
        transfer([posted(external_account("CNY").pk, account.pk, 12_500_000, reference="bank 1")])
    with use_clock(lambda: BEGAN + timedelta(days=1)):
        transfer([pending(account.pk, provider.pk, 2_000_000, reason="job-hold", reference=JOB)])
    return account


def statement_of(account: Account) -> str:
    return f"/ledger/accounts/{account.pk}"


def deposit_on(client: Client, account: Account, **given: Any) -> Any:
    """Open the form and send it."""
    address = f"{statement_of(account)}/deposit"
    source = client.get(address).content.decode()
    found = re.search(r'name="transfer_id" value="([^"]+)"', source)
    assert found, source
    data = {"transfer_id": found.group(1), "amount": "7.25", "reference": "bank 2", **given}
    return client.post(address, data)


@pytest.mark.parametrize("language", [ENGLISH, CHINESE])
def test_all_pages_render_in_both_languages(account: Account, owner: Person, language: str) -> None:
    operator = browser(make_person(roles=("operator",)), language)
    sound(operator.get(f"/ledger/accounts?owner={account.owner_id}"))
    sound(operator.get(f"{statement_of(account)}/deposit"))
    sound(operator.get("/ledger/audit"))
    member = browser(owner, language)
    sound(member.get("/ledger/accounts"))
    sound(member.get(statement_of(account)))
    sound(browser(make_person(), language).get("/ledger/accounts"))


def test_nobody_is_sent_to_sign_in(account: Account) -> None:
    client = browser()
    for address in (
        "/ledger/accounts",
        f"/ledger/accounts?owner={account.owner_id}",
        statement_of(account),
        f"{statement_of(account)}/deposit",
        "/ledger/audit",
    ):
        assert asks_to_sign_in(client.get(address))


def test_the_wrong_member_sees_no_balance(account: Account) -> None:
    stranger = make_person()
    make_organisation(owner=stranger)
    client = browser(stranger)
    assert "12.50" not in sound(client.get("/ledger/accounts")).text
    for address in (
        f"/ledger/accounts?owner={account.owner_id}",
        statement_of(account),
        f"{statement_of(account)}/deposit",
        "/ledger/audit",
    ):
        assert "You may not" in sound(client.get(address), 403).text


def test_a_member_sees_balances_that_open_their_transfers(account: Account, owner: Person) -> None:
    response = browser(owner).get("/ledger/accounts")
    page = sound(response)
    assert "12.50 CNY" in page.text
    assert "10.50 CNY" in page.text  # what is free
    assert f'href="{statement_of(account)}"' in response.content.decode()


def test_a_statement_links_each_row_to_what_it_is_for(account: Account, owner: Person) -> None:
    response = browser(owner).get(statement_of(account))
    page = sound(response)
    assert "Held for a job" in page.text
    source = response.content.decode()
    assert f'href="/evidence/subjects/{JOB}"' in source
    assert 'href="/evidence/subjects/bank' not in source
    # The other side's account is not this member's to open.
    assert "Provider" in page.text
    assert source.count('href="/ledger/accounts/') == source.count(f'href="{statement_of(account)}')
    auditor = browser(make_person(roles=("auditor",))).get(statement_of(account))
    other = Account.objects.get(name="Provider")
    assert f'href="{statement_of(other)}"' in auditor.content.decode()


def test_a_statement_as_of_the_past(account: Account, owner: Person) -> None:
    client = browser(owner)
    page = sound(client.get(statement_of(account), {"as_of": "2026-01-01T12:00"}))
    assert "These are the books as of a time in the past" in page.text
    assert "Held for a job" not in page.text
    assert "Deposit" not in page.text
    assert "bank 1" in page.text
    before = sound(client.get(statement_of(account), {"as_of": "2025-12-31T00:00"}))
    assert "No transfer up to then" in before.text


@pytest.mark.parametrize(
    ("as_of", "said"), [("2999-01-01T00:00", "time in the past"), ("soon", "valid date")]
)
def test_a_wrong_time_is_told_at_its_field(
    account: Account, owner: Person, as_of: str, said: str
) -> None:
    page = sound(browser(owner).get(statement_of(account), {"as_of": as_of}), 422)
    assert said in page.text
    assert "12.50 CNY" in page.text


def test_a_long_statement_is_read_by_cursor(account: Account, owner: Person) -> None:
    outside = external_account("CNY")
    transfer([posted(outside.pk, account.pk, 1_000_000) for _ in range(60)])
    client = browser(owner)
    first = client.get(statement_of(account))
    cursor = re.search(r"cursor=(\d+)", first.content.decode())
    assert cursor
    assert "bank 1" not in sound(first).text
    assert "bank 1" in sound(client.get(statement_of(account), {"cursor": cursor.group(1)})).text


def test_rows_are_exported(account: Account, owner: Person) -> None:
    client = browser(owner)
    response = client.get(f"{statement_of(account)}?format=csv")
    rows = list(csv.DictReader(io.StringIO(response.content.decode("utf-8-sig"))))
    assert [row["reference"] for row in rows] == [JOB, "bank 1"]
    assert (rows[1]["amount"], rows[1]["balance_micro"]) == ("12.5", "12500000")
    past = client.get(f"{statement_of(account)}?format=csv&as_of=2026-01-01T12:00")
    assert past.content.count(b"bank 1") == 1
    assert JOB.encode() not in past.content
    listed = client.get("/ledger/accounts?format=csv").content.decode("utf-8-sig")
    [row] = csv.DictReader(io.StringIO(listed))
    assert (row["settled"], row["held_micro"]) == ("12.5", "2000000")
    assert client.get("/ledger/accounts?format=xlsx").content.startswith(b"PK")
    assert asks_to_sign_in(browser().get("/ledger/accounts?format=csv"))


def test_the_operator_deposits_without_reading_balances(account: Account) -> None:
    client = browser(make_person(roles=("operator",)))
    page = sound(client.get(f"/ledger/accounts?owner={account.owner_id}"))
    assert "Firm" in page.text
    assert "12.50" not in page.text
    response = deposit_on(client, account)
    assert response["Location"] == f"{statement_of(account)}/deposit"
    page = sound(client.get(response["Location"]))
    assert "7.25 CNY were deposited on Firm (bank 2)." in page.text
    account.refresh_from_db()
    assert account.posted_micro == 19_750_000


def test_a_deposit_form_sent_twice_deposits_once(account: Account) -> None:
    client = browser(make_person(roles=("operator",)))
    transfer_id = str(new_id())
    for _ in range(2):
        assert deposit_on(client, account, transfer_id=transfer_id).status_code == 302
    assert Transfer.objects.filter(reason="deposit").count() == 1
    other = deposit_on(client, account, transfer_id=transfer_id, amount="8")
    assert "exists with another content" in sound(other, 409).text


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"amount": "0"}, "positive amount"),
        ({"amount": "a lot"}, "positive amount"),
        ({"amount": "NaN"}, "positive amount"),
        ({"reference": ""}, "required"),
    ],
)
def test_a_refused_deposit_keeps_what_was_typed(
    account: Account, given: dict[str, str], said: str
) -> None:
    client = browser(make_person(roles=("operator",)))
    response = deposit_on(client, account, **{"reference": "bank 77"} | given)
    assert said in sound(response, 422).text
    if "reference" not in given:
        assert 'value="bank 77"' in response.content.decode()
    assert not Transfer.objects.filter(reason="deposit").exists()


def test_a_deposit_without_an_id_of_its_own_is_refused(account: Account) -> None:
    client = browser(make_person(roles=("operator",)))
    sound(deposit_on(client, account, transfer_id="x"), 422)
    assert not Transfer.objects.filter(reason="deposit").exists()


def test_nobody_else_deposits(account: Account, owner: Person) -> None:
    data = {"transfer_id": str(new_id()), "amount": "1", "reference": "me"}
    address = f"{statement_of(account)}/deposit"
    assert asks_to_sign_in(browser().post(address, data))
    for person in (owner, make_person(roles=("auditor",)), make_person(roles=("officer",))):
        sound(browser(person).post(address, data), 403)
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(make_person(roles=("operator",)))
    assert strict.post(address, data).status_code == 403
    assert not Transfer.objects.filter(reason="deposit").exists()


@pytest.mark.parametrize("role", ["officer", "operator", "auditor"])
def test_the_audit_shows_which_rule_does_not_hold(account: Account, role: str) -> None:
    client = browser(make_person(roles=(role,)))
    assert "The books balance" in sound(client.get("/ledger/audit")).text
    Account.objects.filter(pk=account.pk).update(posted_micro=F("posted_micro") + 1)
    page = sound(client.get("/ledger/audit"))
    assert "The books do not balance" in page.text
    assert "12500001" in page.text
    assert "12500000" in page.text
    exported = client.get("/ledger/audit?format=csv").content
    assert b"asset-sum" in exported


def test_an_account_without_a_floor_and_a_closed_one_say_so(
    firm: Organisation, owner: Person
) -> None:
    open_account(firm.pk, "voucher-issue", "voucher:demo", name="Issue", floor_micro=None)
    page = sound(browser(owner).get("/ledger/accounts"))
    assert "no floor" in page.text
    assert "Vouchers issued" in page.text


def test_accounts_are_called_in_the_language_of_the_page(owner: Person, firm: Organisation) -> None:
    Organisation.objects.filter(pk=firm.pk).update(name="津影智能", name_en="Jinying AI")
    voucher = open_account(firm.pk, "voucher-v-x-1", "voucher:x", name="津影智能 x-1")
    external_account("CNY")
    for language, called in ((ENGLISH, "Jinying AI x-1"), (CHINESE, "津影智能 x-1")):
        client = browser(owner, language)
        assert called in sound(client.get("/ledger/accounts")).text
        assert f"<h1>{called}" in client.get(statement_of(voucher)).content.decode()
    auditor = browser(make_person(roles=("auditor",)), CHINESE)
    assert "账外（CNY）" in sound(auditor.get("/ledger/accounts")).text
