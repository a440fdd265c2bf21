"""Maintenance, accounts and allocations: who may say them, and which job they keep from where."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from haihe.compute.domain.terms import PoolTerms
from haihe.compute.errors import NoPool
from haihe.compute.models import PersonAccount
from haihe.compute.services import accounts, allocations, centres, maintenance
from haihe.kernel.clock import now
from haihe.kernel.errors import InvalidField, MissingRecord
from haihe.parties.models import Person
from haihe.policy.domain import ANONYMOUS
from haihe.policy.errors import NotAllowed
from tests.callers import Caller, haihe, said
from tests.compute.conftest import POOL
from tests.compute.factories import make_job, make_quote, run_jobs
from tests.sides import Side

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
YEAR = {"begins_on": date(2020, 1, 1), "ends_on": date(2099, 12, 31)}


def email_of(side: Side) -> str:
    return Person.objects.get(pk=side.member.id).email


def test_no_job_is_quoted_into_a_maintenance(operator: Side, firm: Side) -> None:
    window = maintenance.plan_maintenance(
        operator.manager, POOL, begins_at=now() + HOUR, ends_at=now() + 2 * HOUR, reason="cooling"
    )
    make_quote(firm.member, wall_s=1_800)
    with pytest.raises(NoPool, match="maintenance"):
        make_quote(firm.member, wall_s=7_200)
    assert [row.pk for row in maintenance.maintenance_of(ANONYMOUS, POOL)] == [window.pk]
    with pytest.raises(NotAllowed):
        maintenance.withdraw_maintenance(firm.manager, window.pk)
    first = maintenance.withdraw_maintenance(operator.manager, window.pk)
    assert maintenance.withdraw_maintenance(operator.manager, window.pk) == first
    make_quote(firm.member, wall_s=7_200)
    assert not maintenance.maintenance_of(ANONYMOUS, POOL)


def test_a_maintenance_that_cannot_be_is_refused(operator: Side, firm: Side) -> None:
    at = now()
    for begins, ends, reason, field in (
        (at + HOUR, at, "x", "ends_at"),
        (at - 2 * HOUR, at - HOUR, "x", "ends_at"),
        (at, at + HOUR, " ", "reason"),
    ):
        with pytest.raises(InvalidField) as caught:
            maintenance.plan_maintenance(
                operator.manager, POOL, begins_at=begins, ends_at=ends, reason=reason
            )
        assert caught.value.field == field
    with pytest.raises(NotAllowed):
        maintenance.plan_maintenance(
            firm.manager, POOL, begins_at=at, ends_at=at + HOUR, reason="x"
        )


def test_who_has_no_account_is_told_so(operator: Side, firm: Side, stranger: Side) -> None:
    centres.update_pool(operator.manager, POOL, PoolTerms(needs_account=True))
    with pytest.raises(NoPool, match="account"):
        make_quote(firm.member)
    boss = operator.manager
    accounts.set_account(boss, "north", email=email_of(firm), user="lihua", account="proj-7")
    job = make_job(firm.member)
    run_jobs()
    job.refresh_from_db()
    assert job.state == "succeeded"
    assert [row.user for row in accounts.accounts_at(boss, "north")] == ["lihua"]
    assert [row.user for row in accounts.accounts_at(firm.member, "north")] == ["lihua"]
    assert not accounts.accounts_at(stranger.manager, "north")
    assert not accounts.accounts_at(ANONYMOUS, "north")
    accounts.drop_account(boss, "north", email=email_of(firm))
    assert not PersonAccount.objects.exists()
    with pytest.raises(MissingRecord):
        accounts.drop_account(boss, "north", email=email_of(firm))


def test_an_account_is_said_by_managers_and_is_no_option(operator: Side, firm: Side) -> None:
    with pytest.raises(NotAllowed):
        accounts.set_account(firm.manager, "north", email=email_of(firm), user="root")
    for user in ("--uid=0", "a b", "", "x;id"):
        with pytest.raises(InvalidField):
            accounts.set_account(operator.manager, "north", email=email_of(firm), user=user)
    with pytest.raises(MissingRecord):
        accounts.set_account(operator.manager, "north", email="nobody@example.org", user="x")


def test_an_allocation_lets_in_as_much_as_it_says(operator: Side, firm: Side) -> None:
    centres.update_pool(operator.manager, POOL, PoolTerms(needs_allocation=True))
    with pytest.raises(NoPool, match="allocation"):
        make_quote(firm.member)
    boss = operator.manager
    allocations.set_allocation(boss, POOL, organisation="firm", cpu_hours=2, **YEAR)
    make_job(firm.member, wall_s=3_600)
    make_quote(firm.member, wall_s=3_600)
    with pytest.raises(NoPool, match="exceeded"):
        make_quote(firm.member, wall_s=3_601)
    [card] = allocations.allocations_of(firm.member, POOL)
    assert (card.used.cpu_ms, card.pending.cpu_ms) == (0, 3_600_000)
    run_jobs()
    [card] = allocations.allocations_of(boss, POOL)
    assert 0 < card.used.cpu_ms < 60_000
    assert card.pending.cpu_ms == 0


def test_allocations_do_not_overlap_and_others_do_not_see_them(
    operator: Side, firm: Side, stranger: Side
) -> None:
    boss = operator.manager
    allocations.set_allocation(boss, POOL, organisation="firm", cpu_hours=2, **YEAR)
    allocations.set_allocation(boss, POOL, organisation="firm", cpu_hours=9, **YEAR)
    [card] = allocations.allocations_of(boss, POOL)
    assert card.allocation.cpu_ms == 9 * 3_600_000
    with pytest.raises(InvalidField, match="overlaps"):
        allocations.set_allocation(
            boss, POOL, organisation="firm", cpu_hours=1,
            begins_on=date(2026, 1, 1), ends_on=date(2026, 2, 1),
        )  # fmt: skip
    assert allocations.allocations_of(stranger.member, POOL) == []
    assert allocations.allocations_of(ANONYMOUS, POOL) == []
    with pytest.raises(NotAllowed):
        allocations.set_allocation(firm.manager, POOL, organisation="firm", cpu_hours=1, **YEAR)


def test_the_same_on_the_command_line_and_over_http(operator: Side, firm: Side) -> None:
    boss = operator.manager
    window = said(
        haihe(
            "maintenance", "plan", POOL, "--begins", "2098-01-01T00:00+08:00",
            "--ends", "2098-01-02T00:00+08:00", "--reason", "cooling", "--yes", "--json",
            caller=boss,
        )
    )  # fmt: skip
    assert window["begins_at"].startswith("2097-12-31T16:00")
    base = "/centres/north/pools/cpu"
    assert [row["id"] for row in Caller().get(f"{base}/maintenance").json()] == [window["id"]]
    gone = Caller(boss).post(f"/maintenance/{window['id']}/withdraw").json()
    assert gone["withdrawn_at"]
    mapped = said(
        haihe("account", "set", "north", email_of(firm), "--user", "li", "--yes", "--json",
              caller=boss)
    )  # fmt: skip
    assert Caller(boss).get("/centres/north/accounts").json() == [mapped]
    haihe("account", "drop", "north", email_of(firm), "--yes", caller=boss)
    assert Caller(boss).get("/centres/north/accounts").json() == []
    days = ["--begins-on", "2026-01-01", "--ends-on", "2026-12-31"]
    set_up = said(
        haihe("allocation", "set", POOL, "firm", *days, "--cpu-hours", 5, "--yes", "--json",
              caller=boss)
    )  # fmt: skip
    assert (set_up["cpu_hours"], set_up["used_cpu_hours"]) == (5, 0)
    [told] = Caller(firm.member).get(f"{base}/allocations").json()
    assert told["cpu_ms"] == 5 * 3_600_000
