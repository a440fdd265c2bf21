"""Any history of a voucher scheme keeps its promises.

What is granted stays within the pool and each firm's cap, what is redeemed within what was
granted, and what providers received is burned or still claimed; the books balance throughout.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from django.db.models import Sum
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from haihe.compute.models import Job
from haihe.kernel.clock import use_clock
from haihe.kernel.errors import HaiheError, WrongState
from haihe.kernel.ids import new_id
from haihe.kernel.money import CNY, MICRO
from haihe.ledger.models import Account
from haihe.ledger.services import audit
from haihe.policy.domain import system_principal
from haihe.programme.errors import NothingToPay, VoucherRefused
from haihe.programme.models import Voucher
from haihe.programme.services import payments, vouchers
from haihe.programme.services.books import scheme_balance, voucher_balance
from tests.programme.factories import (
    DECLARED,
    make_contract,
    make_job,
    make_scheme,
    make_world,
    settle,
)

SYSTEM = system_principal("test")
BEGIN = datetime(2026, 3, 1, 4, tzinfo=UTC)
# Small against the rules' cap of two million, so that pools and caps are both met with.
MILLION = 1_000_000 * MICRO
CAP = 2 * MILLION


class VoucherScheme(RuleBasedStateMachine):
    """Contracts, applications, decisions, jobs and payments of one firm and one provider."""

    def __init__(self) -> None:
        super().__init__()
        self.savepoint = transaction.atomic()
        self.savepoint.__enter__()
        self.at = BEGIN
        self.clock = use_clock(lambda: self.at)
        self.clock.__enter__()
        self.world = make_world()
        self.scheme = make_scheme(self.world, pool_micro=3 * MILLION)
        self.funded = 3 * MILLION
        self.paid = 0
        self.contracts = [make_contract(self.world, amount_micro=6 * MILLION)]
        self.jobs: list[Job] = []

    def teardown(self) -> None:
        try:
            assert audit(SYSTEM).discrepancies == ()
        finally:
            self.clock.__exit__(None, None, None)
            transaction.set_rollback(True)
            self.savepoint.__exit__(None, None, None)

    @rule(amount=st.integers(1, 2 * MILLION))
    def fund(self, amount: int) -> None:
        vouchers.fund_scheme(
            self.world.officer,
            "spring",
            amount_micro=amount,
            reference="more",
            transfer_id=new_id(),
        )
        self.funded += amount

    @rule()
    @precondition(lambda self: len(self.contracts) < 6)
    def draw_up(self) -> None:
        self.contracts.append(make_contract(self.world, amount_micro=6 * MILLION))

    @rule(data=st.data(), amount=st.integers(1, 1_300_000))
    def apply(self, data: st.DataObject, amount: int) -> None:
        contract = data.draw(st.sampled_from(self.contracts))
        self._tried(
            lambda: vouchers.apply_for_voucher(
                self.world.manager,
                "spring",
                contract=contract.number,
                amount_micro=amount * MICRO,
                declared=DECLARED,
            ),
            VoucherRefused,
        )

    @rule(data=st.data(), what=st.sampled_from(["approve", "approve", "refuse", "withdraw"]))
    @precondition(lambda self: Voucher.objects.exists())
    def decide(self, data: st.DataObject, what: str) -> None:
        number = self._drawn(data)
        call = {
            "approve": lambda: vouchers.approve_voucher(self.world.officer, number),
            "refuse": lambda: vouchers.refuse_voucher(self.world.officer, number, note="no"),
            "withdraw": lambda: vouchers.withdraw_application(self.world.manager, number),
        }[what]
        self._tried(call, WrongState, VoucherRefused)

    @rule(data=st.data())
    @precondition(lambda self: Voucher.objects.exists())
    def close(self, data: st.DataObject) -> None:
        number = self._drawn(data)
        self._tried(lambda: vouchers.close_voucher(self.world.officer, number), WrongState)

    @rule(data=st.data(), hours=st.integers(1, 400))
    def submit(self, data: st.DataObject, hours: int) -> None:
        contract = data.draw(st.sampled_from(self.contracts))
        job = self._tried(lambda: make_job(self.world, contract, hours=hours), HaiheError)
        if job is not None:
            self.jobs.append(job)

    @rule(data=st.data(), hours=st.integers(0, 500))
    @precondition(lambda self: self.jobs)
    def settle(self, data: st.DataObject, hours: int) -> None:
        job = data.draw(st.sampled_from(self.jobs))
        self.jobs.remove(job)
        settle(job, hours=hours)

    @rule()
    def pay(self) -> None:
        amount = self._tried(
            lambda: payments.pay_provider(self.world.officer, "spring", provider="seller"),
            NothingToPay,
        )
        self.paid += amount or 0

    @rule(days=st.sampled_from([0, 1, 30, 200]))
    def wait(self, days: int) -> None:
        self.at += timedelta(days=days, hours=1)

    @invariant()
    def the_pool_and_what_was_granted_is_what_was_funded(self) -> None:
        balance = scheme_balance(self.scheme)
        assert balance.pool_micro + balance.granted_micro == self.funded
        assert 0 <= balance.paid_micro <= balance.redeemed_micro <= balance.granted_micro
        assert balance.granted_micro <= self.funded

    @invariant()
    def no_firm_is_granted_more_than_its_cap_in_a_year(self) -> None:
        for year in range(BEGIN.year, self.at.year + 2):
            assert Voucher.objects.all().granted_in(self.world.firm, year) <= CAP

    @invariant()
    def no_voucher_is_redeemed_beyond_its_amount(self) -> None:
        for voucher in Voucher.objects.all():
            balance = voucher_balance(voucher)
            parts = (balance.left_micro, balance.held_micro, balance.redeemed_micro)
            assert min(parts) >= 0
            whole = sum(parts) + voucher.returned_micro
            assert whole == (voucher.amount_micro if voucher.account_id else 0)

    @invariant()
    def a_contract_has_one_voucher_that_stands(self) -> None:
        for contract in self.contracts:
            assert Voucher.objects.filter(contract=contract).standing().count() <= 1

    @invariant()
    def what_providers_received_is_burned_or_still_claimed(self) -> None:
        asset = Account.objects.filter(asset=self.scheme.asset)
        claimed = asset.filter(code="voucher-receivable").aggregate(sum=Sum("posted_micro"))["sum"]
        burned = asset.filter(code="voucher-burned").aggregate(sum=Sum("posted_micro"))["sum"]
        redeemed = sum(voucher_balance(v).redeemed_micro for v in Voucher.objects.all())
        assert (claimed or 0) + (burned or 0) == redeemed
        assert (burned or 0) == self.paid
        for name in (CNY, self.scheme.asset):
            assert Account.objects.filter(asset=name).aggregate(sum=Sum("posted_micro"))["sum"] == 0

    def _drawn(self, data: st.DataObject) -> str:
        numbers = sorted(Voucher.objects.values_list("number", flat=True))
        return str(data.draw(st.sampled_from(numbers)))

    @staticmethod
    def _tried(call: Any, *refusals: type[HaiheError]) -> Any:
        """What a call returned; None if it was refused as it may be, and then nothing is left."""
        try:
            with transaction.atomic():
                return call()
        except refusals:
            return None


@pytest.mark.django_db
def test_any_history_of_a_scheme_keeps_its_promises(home: Any) -> None:
    run_state_machine_as_test(
        VoucherScheme,
        settings=settings(
            max_examples=12,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
