"""Arrays: many like jobs of one quote, listed and cancelled together."""

from __future__ import annotations

import pytest

from haihe.compute.models import Job
from haihe.compute.services import jobs
from haihe.compute.services.dispatch import plan_round
from haihe.kernel.clock import now
from haihe.policy.errors import NotAllowed
from tests.callers import Caller, haihe, said
from tests.compute.factories import cash_of, make_job
from tests.sides import Side

pytestmark = pytest.mark.django_db


def test_an_array_is_cancelled_at_once_and_its_funds_are_free(firm: Side, stranger: Side) -> None:
    first = make_job(firm.member, array=3)
    alone = make_job(firm.member)
    Job.objects.filter(quote=first.quote, array_index=2).update(
        state="succeeded", finished_at=now()
    )
    for principal in (stranger.manager, firm.auditor):
        with pytest.raises(NotAllowed):
            jobs.cancel_array(principal, first.pk)
    assert jobs.cancel_array(firm.member, first.pk) == 2
    assert jobs.cancel_array(firm.member, first.pk) == 0
    plan_round()
    states = Job.objects.filter(quote=first.quote).order_by("array_index")
    assert [job.state for job in states] == ["cancelled", "cancelled", "succeeded"]
    alone.refresh_from_db()
    assert alone.state == "starting"
    held = alone.amount_micro + first.amount_micro  # the one that was said to succeed is unsettled
    assert cash_of(firm.organisation).held_micro == held


def test_the_jobs_of_an_array_are_listed_the_same_everywhere(firm: Side, stranger: Side) -> None:
    first = make_job(firm.member, array=3)
    make_job(firm.member)
    path = f"/jobs?quote={first.quote_id}"
    assert Caller().get(path).status_code == 401
    assert Caller(stranger.member).get(path).json()["items"] == []
    rows = Caller(firm.member).get(path).json()["items"]
    assert sorted(row["array_index"] for row in rows) == [0, 1, 2]
    shown = said(haihe("job", "list", "--quote", first.quote_id, "--json", caller=firm.member))
    assert [row["id"] for row in shown["items"]] == [row["id"] for row in rows]


def test_an_array_is_cancelled_over_http_and_on_the_command_line(
    firm: Side, stranger: Side
) -> None:
    first = make_job(firm.member, array=2)
    path = f"/jobs/{first.pk}/cancel-array"
    assert Caller().post(path).status_code == 401
    assert Caller(stranger.manager).post(path).status_code == 403
    assert Caller(firm.member).post(path).json() == {"cancelled": 2}
    second = make_job(firm.member, array=2)
    told = said(haihe("job", "cancel", second.pk, "--array", "--yes", "--json", caller=firm.member))
    assert told == {"cancelled": 2}
