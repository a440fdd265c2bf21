"""Moving and taking back: stuck jobs go where they are better off, closed pools are emptied."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta

import pytest

from haihe.compute.domain import AttemptState, EndReason
from haihe.compute.domain.states import Withdrawal
from haihe.compute.domain.terms import PoolTerms
from haihe.compute.errors import ContractLimit, JobTooLarge, NoPool
from haihe.compute.models import Agent, Attempt, Centre, Decision, Job, Pool, Reservation
from haihe.compute.services import allocations, centres, contracts, jobs
from haihe.compute.services.dispatch import plan_round
from haihe.compute.services.explain import explain_job
from haihe.compute.services.settlement import AttemptEnd, end_attempt
from haihe.kernel.clock import now, use_clock
from haihe.kernel.money import MICRO
from haihe.kernel.work import unit_of_work
from tests.compute.conftest import CPU_HOUR_MICRO, POOL
from tests.compute.factories import GIB, cash_of, give_cash, make_job, make_quote
from tests.sides import Side, make_side

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
SOUTH = "south/cpu"
TERM = {"begins_on": date(2020, 1, 1), "ends_on": date(2099, 12, 31)}


@pytest.fixture
def south(operator: Side) -> Side:
    """Another operator with a pool like the first one's, which is tried second."""
    side = make_side("southern", "centre-operator")
    boss = side.manager
    centres.create_centre(boss, operator="southern", slug="south", name="南方")
    centres.create_pool(boss, "south", slug="cpu", cpu_milli=2_000, memory_bytes=4 * GIB)
    centres.set_offer(boss, SOUTH, cpu_hour_micro=CPU_HOUR_MICRO)
    return side


def waits_in_a_scheduler(job: Job, since: timedelta) -> Attempt:
    """The job was taken by the agent so long ago, and has not started."""
    at = now() - since
    Attempt.objects.filter(job=job).update(claimed_at=at, pending_reason="Priority")
    Reservation.objects.filter(job=job).update(placed_at=at)
    return Attempt.objects.get(job=job)


def give_back(attempt: Attempt) -> None:
    """The agent's answer to a withdrawal: it had not started."""
    with unit_of_work():
        end = AttemptEnd(state=AttemptState.CANCELLED, reason=EndReason.CANCELLED)
        end_attempt(attempt.pk, end)


def taken_back(job: Job) -> str:
    attempt = Attempt.objects.get(job=job)
    return attempt.withdrawn_for if attempt.withdraw_requested_at else ""


def later(length: timedelta) -> Callable[[], datetime]:
    at = now() + length
    Agent.objects.update(seen_at=at)
    return lambda: at


# --- to where it is better off -------------------------------------------------------------------


def test_a_stuck_job_moves_with_its_money_and_the_answer_says_where(
    firm: Side, south: Side
) -> None:
    job = make_job(firm.member, wall_s=600, objective="soonest", cpu_milli=2_000)
    plan_round()
    attempt = waits_in_a_scheduler(job, 20 * HOUR)
    assert str(attempt.pool) == POOL
    held = cash_of(firm.organisation).held_micro
    plan_round()
    assert taken_back(job) == Withdrawal.MOVE
    give_back(attempt)
    plan_round()
    job.refresh_from_db()
    assert (str(job.pool), job.provider_id) == (SOUTH, south.organisation.pk)
    assert cash_of(firm.organisation).held_micro == held, "all of it is held, and held once"
    moved = explain_job(firm.member, job.pk).placements[-1]
    assert (moved.occasion, moved.choice.chosen) == (Decision.Occasion.MOVED, SOUTH)
    assert moved.is_replayed


def test_a_long_job_does_not_move_for_a_short_wait(firm: Side, south: Side) -> None:
    """It fills its pool: its own hold is no reason to think that it waits for others."""
    job = make_job(firm.member, wall_s=36_000, objective="soonest", cpu_milli=2_000)
    plan_round()
    waits_in_a_scheduler(job, timedelta(minutes=6))
    plan_round()
    assert taken_back(job) == ""


def test_a_job_stays_if_there_is_no_room_elsewhere(firm: Side, south: Side) -> None:
    waiting, other = (
        make_job(firm.member, wall_s=600, objective="soonest", cpu_milli=2_000) for _ in range(2)
    )
    plan_round()
    assert {str(attempt.pool) for attempt in Attempt.objects.all()} == {POOL, SOUTH}
    waits_in_a_scheduler(waiting, 20 * HOUR)
    plan_round()
    assert taken_back(waiting) == ""
    assert taken_back(other) == ""


def test_a_job_moves_three_times_at_most(firm: Side, south: Side) -> None:
    job = make_job(firm.member, wall_s=600, objective="soonest")
    plan_round()
    attempt = waits_in_a_scheduler(job, 20 * HOUR)
    for number, why in ((2, Withdrawal.MOVE), (3, Withdrawal.CLOSED), (4, Withdrawal.MOVE)):
        Attempt.objects.create(
            job=job, pool=attempt.pool, number=number, state=AttemptState.WITHDRAWN,
            withdrawn_for=why,
        )  # fmt: skip
    third = Attempt.objects.create(
        job=job, pool=attempt.pool, number=5, state=AttemptState.WITHDRAWN,
        withdrawn_for=Withdrawal.MOVE,
    )  # fmt: skip
    plan_round()
    attempt.refresh_from_db()
    assert attempt.withdraw_requested_at is None
    third.delete()
    plan_round()
    attempt.refresh_from_db()
    assert attempt.withdrawn_for == Withdrawal.MOVE, "what a closed pool gave back is no move"


# --- from a closed pool --------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["pool", "centre"])
def test_what_is_closed_is_emptied_of_what_has_not_started(firm: Side, what: str) -> None:
    offered, pending, running = (make_job(firm.member, cpu_milli=500) for _ in range(3))
    plan_round()
    waits_in_a_scheduler(pending, timedelta(minutes=1))
    Attempt.objects.filter(job=running).update(claimed_at=now(), state=AttemptState.RUNNING)
    switch = Pool if what == "pool" else Centre
    switch.objects.update(is_open=False)
    plan_round()
    assert [taken_back(job) for job in (offered, pending, running)] == ["closed", "closed", ""]
    offered.refresh_from_db()
    assert offered.state == "queued", "there is no other pool: it waits until this one opens"
    give_back(Attempt.objects.get(job=pending))
    switch.objects.update(is_open=True)
    plan_round()
    offered.refresh_from_db()
    assert offered.state == "starting"


# --- deadlines -----------------------------------------------------------------------------------


def in_two_hours() -> str:
    return (now() + 2 * HOUR).isoformat()


def test_a_job_that_cannot_end_in_time_any_more_ends_unpaid(firm: Side) -> None:
    job = make_job(firm.member, wall_s=3_600, deadline=in_two_hours())
    with use_clock(later(HOUR + timedelta(minutes=1))):
        plan_round()
        job.refresh_from_db()
    assert (job.state, job.end_reason) == ("failed", EndReason.DEADLINE)
    assert job.settlement.amount_micro == 0
    assert cash_of(firm.organisation).held_micro == 0


def test_a_job_that_still_can_is_started(firm: Side) -> None:
    job = make_job(firm.member, wall_s=3_600, deadline=in_two_hours())
    with use_clock(later(HOUR - timedelta(minutes=1))):
        plan_round()
    job.refresh_from_db()
    assert job.state == "starting"
    assert explain_job(firm.member, job.pk).placements[0].is_replayed


def test_what_waits_in_a_scheduler_too_long_is_taken_back(firm: Side) -> None:
    job = make_job(firm.member, wall_s=3_600, deadline=in_two_hours())
    plan_round()
    attempt = waits_in_a_scheduler(job, timedelta(0))
    with use_clock(later(HOUR + timedelta(minutes=1))):
        plan_round()
        assert taken_back(job) == Withdrawal.LATE
        give_back(attempt)
        plan_round()
    job.refresh_from_db()
    assert (job.state, job.end_reason) == ("failed", EndReason.DEADLINE)


# --- allocations and contracts -------------------------------------------------------------------


def test_quotes_side_by_side_do_not_overrun_an_allocation(operator: Side, firm: Side) -> None:
    centres.update_pool(operator.manager, POOL, PoolTerms(needs_allocation=True))
    allocations.set_allocation(operator.manager, POOL, organisation="firm", cpu_hours=1, **TERM)
    first, second = (make_quote(firm.member, wall_s=3_600) for _ in range(2))
    jobs.submit_job(firm.member, first.pk)
    with pytest.raises(NoPool, match="exceeded"):
        jobs.submit_job(firm.member, second.pk)
    assert Job.objects.count() == 1


def test_a_job_does_not_move_to_where_its_allocation_is_used_up(firm: Side, south: Side) -> None:
    centres.update_pool(south.manager, SOUTH, PoolTerms(needs_allocation=True))
    allocations.set_allocation(south.manager, SOUTH, organisation="firm", cpu_hours=1, **TERM)
    quoted = [make_quote(firm.member, wall_s=3_600) for _ in range(2)]
    first, second = (jobs.submit_job(firm.member, quote.pk) for quote in quoted)
    assert {str(first.pool), str(second.pool)} == {POOL}
    Pool.objects.filter(pk=first.pool_id).update(is_open=False)
    plan_round()
    plan_round()
    first.refresh_from_db()
    second.refresh_from_db()
    assert (str(first.pool), first.state) == (SOUTH, "starting")
    assert (str(second.pool), second.state) == (POOL, "queued")


def test_a_pool_that_the_contract_can_pay_is_taken(operator: Side, firm: Side) -> None:
    boss = operator.manager
    centres.create_pool(boss, "north", slug="dear", cpu_milli=2_000, memory_bytes=4 * GIB)
    centres.set_offer(boss, "north/dear", cpu_hour_micro=3 * CPU_HOUR_MICRO)
    contracts.create_contract(
        firm.manager, number="K-1", buyer="firm", provider="operator", amount_micro=5 * MICRO,
        eligible_micro=1, **TERM,
    )  # fmt: skip
    contracts.sign_contract(boss, "K-1")
    other = make_job(firm.member, cpu_milli=2_000, wall_s=600)
    plan_round()
    assert str(other.pool) == POOL
    quote = make_quote(
        firm.member, wall_s=3_600, cpu_milli=1_000, objective="soonest", contract="K-1"
    )
    assert str(quote.pool) == POOL
    assert any("left in the contract" in reason for reason in quote.reasons)
    give_cash(firm.organisation, 100)
    with pytest.raises(ContractLimit):
        make_quote(firm.member, wall_s=7_200, contract="K-1")


def test_a_job_fits_if_one_node_is_large_enough(operator: Side, firm: Side) -> None:
    pool = centres.create_pool(
        operator.manager, "north", slug="mixed", cpu_milli=72_000, memory_bytes=264 * GIB,
        gpu_milli=1_000, gpu_model="A100-80GB",
    )  # fmt: skip
    centres.set_offer(operator.manager, "north/mixed", cpu_hour_micro=1, gpu_hour_micro=1)
    for name, cpus, memory, gpus in (("cards", 8, 8, 1), ("large", 64, 256, 0)):
        pool.nodes.create(
            name=name, condition="up", cpu_milli=cpus * 1_000, memory_bytes=memory * GIB,
            gpus=gpus, reported_at=now(),
        )  # fmt: skip
    assert str(make_quote(firm.member, cpu_milli=32_000).pool) == "north/mixed"
    assert str(make_quote(firm.member, cpu_milli=8_000, gpu_milli=1_000).pool) == "north/mixed"
    with pytest.raises(JobTooLarge, match="needs 32000 cpu_milli"):
        make_quote(firm.member, cpu_milli=32_000, gpu_milli=1_000)
