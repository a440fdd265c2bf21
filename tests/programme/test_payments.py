"""Providers are paid once for what they redeemed."""

from __future__ import annotations

import pytest

from haihe.evidence.models import EvidenceEntry
from haihe.kernel.money import CNY, MICRO
from haihe.ledger.errors import InsufficientFunds
from haihe.ledger.models import Account
from haihe.ledger.services import audit
from haihe.policy.domain import ANONYMOUS, system_principal
from haihe.policy.errors import NotAllowed, NotSignedIn
from haihe.programme.errors import NothingToPay
from haihe.programme.models import Scheme
from haihe.programme.services import payments
from haihe.programme.services.books import scheme_balance
from tests.programme.factories import (
    World,
    grant,
    make_contract,
    make_job,
    make_scheme,
    settle,
    take_money,
)

pytestmark = pytest.mark.django_db
CONSOLE = system_principal("console")


def cash_of(world: World) -> tuple[int, int]:
    """What office and provider have in CNY."""
    found = {
        account.owner_id: account.posted_micro
        for account in Account.objects.filter(code="cash", asset=CNY)
    }
    return found[world.office.pk], found.get(world.provider.pk, 0)


def redeem(world: World, *, hours: int = 10) -> int:
    """A voucher's share of one settled job."""
    contract = make_contract(world)
    grant(world, contract)
    settle(make_job(world, contract, hours=hours), hours=hours)
    return hours * MICRO // 5


def test_an_office_that_never_quoted_has_an_account_to_pay_from(
    world: World, scheme: Scheme
) -> None:
    assert Account.objects.filter(owner_id=world.office.pk, code="cash", asset=CNY).exists()


def test_only_the_officer_sees_claims_and_pays_them(world: World, scheme: Scheme) -> None:
    redeem(world)
    for caller, error in (
        (ANONYMOUS, NotSignedIn),
        (world.seller, NotAllowed),
        (world.manager, NotAllowed),
        (world.auditor, NotAllowed),
    ):
        with pytest.raises(error):
            payments.open_claims(caller, "spring")
        with pytest.raises(error):
            payments.pay_provider(caller, "spring", provider="seller")
    [claim] = payments.open_claims(world.officer, "spring")
    assert (claim.provider, claim.amount_micro) == (world.provider, 2 * MICRO)


def test_a_payment_burns_the_claim_and_moves_the_offices_money(
    world: World, scheme: Scheme
) -> None:
    amount = redeem(world)
    office, provider = cash_of(world)
    assert payments.pay_provider(world.officer, "spring", provider="seller") == amount
    assert cash_of(world) == (office - amount, provider + amount)
    balance = scheme_balance(scheme)
    assert (balance.redeemed_micro, balance.paid_micro) == (amount, amount)
    assert payments.open_claims(world.officer, "spring") == []
    entry = EvidenceEntry.objects.get(kind="voucher.paid")
    assert entry.data["amount_micro"] == amount
    assert set(entry.parties) == {world.office.pk, world.provider.pk}
    assert audit(CONSOLE).balanced


def test_a_provider_is_paid_once(world: World, scheme: Scheme) -> None:
    redeem(world)
    payments.pay_provider(world.officer, "spring", provider="seller")
    before = cash_of(world)
    with pytest.raises(NothingToPay):
        payments.pay_provider(world.colleague, "spring", provider="seller")
    assert cash_of(world) == before
    assert EvidenceEntry.objects.filter(kind="voucher.paid").count() == 1


def test_who_redeemed_nothing_is_paid_nothing(world: World, scheme: Scheme) -> None:
    with pytest.raises(NothingToPay, match="Stranger"):
        payments.pay_provider(world.officer, "spring", provider="stranger")


def test_without_the_offices_money_nothing_is_burned(world: World, scheme: Scheme) -> None:
    amount = redeem(world)
    take_money(world.office, cash_of(world)[0])
    with pytest.raises(InsufficientFunds):
        payments.pay_provider(world.officer, "spring", provider="seller")
    assert scheme_balance(scheme).paid_micro == 0
    [claim] = payments.open_claims(world.officer, "spring")
    assert claim.amount_micro == amount


def test_claims_of_schemes_are_apart(world: World, scheme: Scheme) -> None:
    make_scheme(world, "other")
    redeem(world)
    assert payments.open_claims(world.officer, "other") == []
    with pytest.raises(NothingToPay):
        payments.pay_provider(world.officer, "other", provider="seller")
