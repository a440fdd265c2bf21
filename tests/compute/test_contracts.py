"""Compute contracts: who draws up, who signs, who reads, and what they limit."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from haihe.compute.errors import ContractLimit, Taken
from haihe.compute.models import Contract
from haihe.compute.services import contracts, jobs
from haihe.kernel.clock import now, use_clock
from haihe.kernel.days import local_day
from haihe.kernel.errors import InvalidField, MissingRecord, WrongState
from haihe.kernel.money import MICRO
from haihe.parties.services import principal_of
from haihe.policy.domain import ANONYMOUS, Principal
from haihe.policy.errors import NotAllowed, NotSignedIn
from tests.compute.conftest import CPU_HOUR_MICRO
from tests.compute.factories import make_job, make_quote, run_job, run_jobs
from tests.factories import make_person
from tests.sides import Side

pytestmark = pytest.mark.django_db


def draw_up(principal: Principal, **change: Any) -> Contract:
    today = local_day()
    fields = {
        "number": "津算〔2026〕12/3号",
        "buyer": "firm",
        "provider": "operator",
        "amount_micro": 10 * MICRO,
        "eligible_micro": 10 * MICRO,
        "begins_on": today,
        "ends_on": today + timedelta(days=30),
        **change,
    }
    return contracts.create_contract(principal, **fields)


def signed(firm: Side, operator: Side, **change: Any) -> Contract:
    return contracts.sign_contract(operator.manager, draw_up(firm.manager, **change).number)


def test_the_buyer_draws_up_and_the_provider_signs(
    firm: Side, operator: Side, stranger: Side
) -> None:
    with pytest.raises(NotSignedIn):
        draw_up(ANONYMOUS)
    for principal in (firm.member, operator.manager, stranger.manager):
        with pytest.raises(NotAllowed):
            draw_up(principal)
    contract = draw_up(firm.manager)
    with pytest.raises(Taken):
        draw_up(firm.manager)
    for principal in (firm.manager, operator.member, stranger.manager):
        with pytest.raises(NotAllowed):
            contracts.sign_contract(principal, contract.number)
    assert contracts.sign_contract(operator.manager, contract.number).state == "signed"
    with pytest.raises(WrongState):
        contracts.sign_contract(operator.manager, contract.number)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("number", ""),
        ("number", " x"),
        ("number", "a\nb"),
        ("number", "x" * 81),
        ("provider", "firm"),
        ("amount_micro", 0),
        ("eligible_micro", 0),
        ("eligible_micro", 11 * MICRO),
        ("ends_on", date(2020, 1, 1)),
    ],
)
def test_a_wrong_field_is_named(field: str, value: Any, firm: Side) -> None:
    with pytest.raises(InvalidField, match=field):
        draw_up(firm.manager, **{field: value})


def test_contracts_are_read_by_their_parties_officers_and_auditors(
    firm: Side, operator: Side, stranger: Side
) -> None:
    contract = draw_up(firm.manager)
    officer = principal_of(make_person(roles=("officer",)))
    for principal in (firm.auditor, operator.member, officer):
        assert list(contracts.list_contracts(principal)) == [contract]
        assert contracts.find_contract(principal, contract.number) == contract
        assert contracts.find_contract_by_id(principal, str(contract.pk)) == contract
    assert not contracts.list_contracts(stranger.manager).exists()
    assert not contracts.list_contracts(firm.manager, number="other").exists()
    with pytest.raises(NotAllowed):
        contracts.find_contract_by_id(stranger.manager, contract.pk)
    with pytest.raises(NotSignedIn):
        contracts.list_contracts(ANONYMOUS)
    with pytest.raises(MissingRecord):
        contracts.find_contract_by_id(firm.manager, "none")


def test_only_a_signed_contract_of_the_buyer_within_its_term_carries_a_job(
    firm: Side, operator: Side
) -> None:
    draft = draw_up(firm.manager)
    with pytest.raises(ContractLimit, match="has not signed"):
        make_quote(firm.member, contract=draft.number)
    contracts.sign_contract(operator.manager, draft.number)
    assert list(contracts.usable_contracts(firm.member)) == [draft]
    assert not contracts.usable_contracts(operator.member).exists()
    assert make_quote(firm.member, contract=draft.number).contract == draft
    later = now() + timedelta(days=31)
    with use_clock(lambda: later):
        assert not contracts.usable_contracts(firm.member).exists()
        with pytest.raises(ContractLimit, match="its term is"):
            make_quote(firm.member, contract=draft.number)
    with pytest.raises(ContractLimit, match="was not drawn up for"):
        make_quote(operator.member, contract=draft.number, organisation="operator")


def test_jobs_never_commit_more_than_the_contract(firm: Side, operator: Side) -> None:
    # One CPU for an hour costs 3.60: two fit into 10.00, three do not.
    contract = signed(firm, operator)
    hour = {"contract": contract.number, "wall_s": 3_600}
    open_quotes = [make_quote(firm.member, **hour) for _ in range(3)]
    for quote in open_quotes[:2]:
        jobs.submit_job(firm.member, quote.pk)
    assert contract.committed_micro() == 2 * CPU_HOUR_MICRO
    with pytest.raises(ContractLimit, match=r"7\.20 CNY of 10\.00 CNY are committed"):
        jobs.submit_job(firm.member, open_quotes[2].pk)
    with pytest.raises(ContractLimit):
        make_quote(firm.member, **hour)
    run_jobs()
    assert contract.committed_micro() < MICRO
    jobs.submit_job(firm.member, open_quotes[2].pk)


def test_a_settled_job_commits_what_it_cost(firm: Side, operator: Side) -> None:
    contract = signed(firm, operator)
    job = run_job(firm.member, "true", contract=contract.number, wall_s=3_600)
    assert contract.committed_micro() == job.settlement.amount_micro
    unstarted = make_job(firm.member, "true", contract=contract.number, wall_s=3_600)
    jobs.cancel_job(firm.member, unstarted.pk)
    run_jobs()
    assert contract.committed_micro() == job.settlement.amount_micro
