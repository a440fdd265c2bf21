"""Officers and firms at the same moment: a voucher is granted once, a pool never overdrawn."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.db import connection

from haihe.kernel.errors import HaiheError, WrongState
from haihe.kernel.money import MICRO
from haihe.ledger.services import audit
from haihe.policy.domain import system_principal
from haihe.programme.errors import NothingToPay, VoucherRefused
from haihe.programme.models import Voucher
from haihe.programme.services import payments, vouchers
from haihe.programme.services.books import scheme_balance
from tests.programme.factories import (
    World,
    apply,
    grant,
    make_contract,
    make_job,
    make_scheme,
    make_world,
    settle,
)

pytestmark = pytest.mark.usefixtures("committed")
CONSOLE = system_principal("console")


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """What each call returned, or the error it raised, all started together."""
    barrier = Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        barrier.wait(timeout=30)
        try:
            return call()
        except HaiheError as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


@pytest.fixture
def world(committed: Any) -> World:
    return make_world()


def sorts(outcomes: list[Any]) -> list[str]:
    return sorted(type(outcome).__name__ for outcome in outcomes)


def test_two_approvals_at_once_grant_one_voucher_once(world: World) -> None:
    scheme = make_scheme(world)
    for _ in range(4):
        voucher = apply(world, make_contract(world, eligible_micro=1_000 * MICRO))
        outcomes = at_once(
            lambda: vouchers.approve_voucher(world.officer, voucher.number),  # noqa: B023
            lambda: vouchers.approve_voucher(world.colleague, voucher.number),  # noqa: B023
        )
        assert sorts(outcomes) == [Voucher.__name__, WrongState.__name__]
    assert scheme_balance(scheme).granted_micro == 4 * 200 * MICRO
    assert audit(CONSOLE).balanced


def test_two_vouchers_at_once_never_overdraw_the_pool(world: World) -> None:
    scheme = make_scheme(world, pool_micro=300 * MICRO)
    pair = [apply(world, make_contract(world), amount_micro=200 * MICRO) for _ in range(2)]
    outcomes = at_once(
        lambda: vouchers.approve_voucher(world.officer, pair[0].number),
        lambda: vouchers.approve_voucher(world.colleague, pair[1].number),
    )
    assert sorts(outcomes) == [Voucher.__name__, VoucherRefused.__name__]
    assert scheme_balance(scheme).pool_micro == 100 * MICRO


def test_two_applications_at_once_on_one_contract_leave_one(world: World) -> None:
    make_scheme(world)
    make_scheme(world, "other")
    contract = make_contract(world)
    outcomes = at_once(
        lambda: apply(world, contract),
        lambda: apply(world, contract, scheme="other"),
    )
    assert sorts(outcomes) == [Voucher.__name__, VoucherRefused.__name__]
    assert Voucher.objects.count() == 1


def test_an_approval_and_a_withdrawal_at_once_leave_one_decision(world: World) -> None:
    scheme = make_scheme(world)
    voucher = apply(world, make_contract(world))
    outcomes = at_once(
        lambda: vouchers.approve_voucher(world.officer, voucher.number),
        lambda: vouchers.withdraw_application(world.manager, voucher.number),
    )
    assert sorts(outcomes) == [Voucher.__name__, WrongState.__name__]
    voucher.refresh_from_db()
    granted = voucher.amount_micro if voucher.state == "reserved" else 0
    assert scheme_balance(scheme).granted_micro == granted


def test_two_payments_at_once_pay_once(world: World) -> None:
    scheme = make_scheme(world)
    contract = make_contract(world)
    grant(world, contract)
    settle(make_job(world, contract, hours=10), hours=10)
    outcomes = at_once(
        lambda: payments.pay_provider(world.officer, "spring", provider="seller"),
        lambda: payments.pay_provider(world.colleague, "spring", provider="seller"),
    )
    assert sorts(outcomes) == [NothingToPay.__name__, int.__name__]
    assert scheme_balance(scheme).paid_micro == 2 * MICRO
    assert audit(CONSOLE).balanced
