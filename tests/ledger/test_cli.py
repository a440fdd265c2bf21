"""The ledger on the command line."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db.models import F
from typer.testing import CliRunner

from haihe.cli.main import app
from haihe.kernel.clock import use_clock
from haihe.kernel.errors import InvalidField, MissingRecord
from haihe.kernel.ids import new_id
from haihe.ledger.models import Account, Transfer
from haihe.ledger.services import external_account, transfer
from haihe.policy.errors import NotAllowed
from tests.factories import make_organisation, make_person
from tests.ledger.factories import open_cash, posted

pytestmark = pytest.mark.django_db


def haihe(*arguments: object, as_email: str = "", **options: Any) -> Any:
    """Run a command as a person, or as the console."""
    environment = {"HAIHE_AS": as_email}
    return CliRunner().invoke(app, [str(part) for part in arguments], env=environment, **options)


def said(result: Any) -> Any:
    """The JSON of a command that succeeded."""
    assert result.exception is None, result.exception
    return json.loads(result.stdout)


@pytest.fixture
def account() -> Account:
    firm = make_organisation("firm", owner=make_person("ann@example.test"))
    return open_cash("Firm", owner_id=firm.pk)


def test_the_console_lists_all_accounts_and_a_person_their_own(account: Account) -> None:
    external_account("CNY")
    make_person("bob@example.test")
    console = said(haihe("ledger", "accounts", "--json"))["items"]
    assert {item["name"] for item in console} == {"Firm", "External CNY"}
    [mine] = said(haihe("ledger", "accounts", "--json", as_email="ann@example.test"))["items"]
    assert (mine["settled"], mine["posted_micro"]) == ("0.00 CNY", 0)
    assert said(haihe("ledger", "accounts", "--json", as_email="bob@example.test"))["items"] == []
    one = said(haihe("ledger", "accounts", "--owner", account.owner_id, "--json"))["items"]
    assert [item["name"] for item in one] == ["Firm"]
    refused = haihe("ledger", "accounts", "--owner", account.owner_id, as_email="bob@example.test")
    assert isinstance(refused.exception, NotAllowed)
    assert "Firm" in haihe("ledger", "accounts").stdout


def test_a_deposit_is_shown_then_asked_for_then_recorded_once(account: Account) -> None:
    command = ("ledger", "deposit", account.pk, "12.50", "--reference", "bank 17")
    asked = haihe(*command, input="n\n")
    assert asked.exit_code == 10
    assert "Deposit 12.50 CNY on Firm (bank 17)." in asked.stderr
    assert not Transfer.objects.exists()
    chosen = new_id()
    for _ in range(2):
        record = said(haihe(*command, "--id", chosen, "--yes", "--json"))
        assert (record["amount_micro"], record["transfer_id"]) == (12_500_000, str(chosen))
    account.refresh_from_db()
    assert account.posted_micro == 12_500_000


def test_a_member_deposits_nothing(account: Account) -> None:
    command = ("ledger", "deposit", account.pk, "1", "--reference", "me", "--yes")
    assert isinstance(haihe(*command, as_email="ann@example.test").exception, NotAllowed)
    assert not Transfer.objects.exists()


@pytest.mark.parametrize("amount", ["0", "1.0000001", "a lot", "1e400"])
def test_what_is_no_amount_is_refused(account: Account, amount: str) -> None:
    result = haihe("ledger", "deposit", account.pk, amount, "--reference", "x", "--yes")
    assert isinstance(result.exception, InvalidField)
    assert not Transfer.objects.exists()


def test_a_statement_is_as_of_any_time(account: Account) -> None:
    began = datetime(2026, 1, 1, tzinfo=UTC)
    outside = external_account("CNY")
    for day in range(2):
        with use_clock(lambda day=day: began + timedelta(days=day)):
            transfer([posted(outside.pk, account.pk, 1_000_000, reference=f"bank {day}")])
    command = ("ledger", "statement", account.pk)
    now = said(haihe(*command, "--json"))
    assert (now["balance"]["posted_micro"], len(now["items"])) == (2_000_000, 2)
    # 12:00 in the installation's zone is 04:00 UTC.
    then = said(haihe(*command, "--as-of", "2026-01-01T12:00", "--json"))
    assert (then["balance"]["posted_micro"], then["items"][0]["balance"]) == (1_000_000, "1.00 CNY")
    assert "bank 1" in haihe(*command).stdout
    assert "No transfer" in haihe(*command, "--as-of", "2025-12-31T00:00").stdout
    assert isinstance(haihe(*command, "--as-of", "soon").exception, InvalidField)
    assert isinstance(haihe("ledger", "statement", new_id()).exception, MissingRecord)


def test_the_audit_says_with_its_exit_code_whether_the_books_balance(account: Account) -> None:
    transfer([posted(external_account("CNY").pk, account.pk, 5)])
    good = haihe("ledger", "audit", "--json")
    assert (said(good)["balanced"], said(good)["transfers"]) == (True, 1)
    Account.objects.filter(pk=account.pk).update(posted_micro=F("posted_micro") + 1)
    bad = haihe("ledger", "audit", "--json")
    assert bad.exit_code == 9
    found = json.loads(bad.stdout)
    assert not found["balanced"]
    assert {item["rule"] for item in found["discrepancies"]} == {"asset-sum", "posted"}
    refused = haihe("ledger", "audit", as_email="ann@example.test")
    assert isinstance(refused.exception, NotAllowed)


def test_what_ran_out_is_released(account: Account) -> None:
    assert said(haihe("ledger", "expire", "--json")) == {"released": 0}
    refused = haihe("ledger", "expire", as_email="ann@example.test")
    assert isinstance(refused.exception, NotAllowed)
