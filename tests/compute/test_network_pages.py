"""Pages of the network: what is told of centres and pools, of a choice, and of a job that waits."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

from haihe.compute.agent.messages import NodeItem, PoolFault, PoolItem
from haihe.compute.comparison import comparison, refusal
from haihe.compute.domain.choice import Check, choice_from
from haihe.compute.domain.terms import CentreTerms, PoolTerms
from haihe.compute.models import Agent, Attempt, Centre, Enrolment, Job, Pool, Quote, Sample
from haihe.compute.quantities import duration, energy, percent, power, quantity, rate, weight
from haihe.compute.services import accounts, agents, allocations, centres, maintenance
from haihe.compute.services.dispatch import plan_round
from haihe.compute.services.explain import explain_job
from haihe.compute.services.network import look_at_network, network_history, nodes_of
from haihe.compute.services.telemetry import keep_pool_reports
from haihe.kernel.clock import now
from haihe.kernel.days import local_day
from haihe.kernel.money import MICRO
from haihe.kernel.work import unit_of_work
from haihe.policy.domain import ANONYMOUS
from tests.callers import person_of
from tests.compute.conftest import POOL
from tests.compute.factories import GIB, make_job, make_quote, run_job
from tests.compute.test_pages import JOB_FORM, seen_by, text
from tests.pages import CHINESE, ENGLISH, asks_to_sign_in, browser, sound
from tests.sides import Side

pytestmark = pytest.mark.django_db
PAGE = "/centres/north/pools/cpu"
HTMX = {"hx-request": "true"}
QUERIES_LIMIT = 40


def report(centre: str = "north", pool: str = "cpu", nodes: int = 1, fault: str = "") -> None:
    """What an agent says of its pool: every node is half used, the last one is down."""
    items = [
        NodeItem(
            name=f"n{number:03d}",
            condition="down" if number == nodes - 1 > 0 else "up",
            cpu_milli=2_000,
            memory_bytes=4 * GIB,
            gpus=0,
            gpu_model="",
            used_cpu_milli=1_000,
            used_memory_bytes=GIB,
            used_gpu_milli=0,
            reason="a fan" if number == nodes - 1 > 0 else "",
        )
        for number in range(nodes)
    ]
    item = PoolItem(
        pool=pool, age_s=0, version="22.05", nodes=items, pending=3, running=4, metrics={}
    )
    faults = [PoolFault(pool=pool, fault=fault)] if fault else []
    with unit_of_work():
        keep_pool_reports(Centre.objects.get(slug=centre), [item], faults)


def make_south(operator: Side, slug: str = "south") -> Pool:
    """Another centre, with cards."""
    centres.create_centre(
        operator.manager,
        operator="operator",
        slug=slug,
        name="南方中心",
        name_en=slug.title(),
        terms=CentreTerms(region="Tianjin South", carbon_g_per_kwh=400),
    )
    made = centres.create_pool(
        operator.manager,
        slug,
        slug="gpu",
        cpu_milli=8_000,
        memory_bytes=16 * GIB,
        gpu_milli=2_000,
        gpu_model="A100-80GB",
        terms=PoolTerms(watts_idle=1_000, watts_busy=3_000),
    )
    centres.set_offer(
        operator.manager, f"{slug}/gpu", cpu_hour_micro=2 * MICRO, gpu_hour_micro=9 * MICRO
    )
    return made


# --- the network ---------------------------------------------------------------------------------


@pytest.mark.parametrize("language", [ENGLISH, CHINESE])
def test_anybody_sees_the_network_with_every_figure(language: str, operator: Side) -> None:
    report()
    make_south(operator)
    page = browser(language=language).get("/network")
    sound(page)
    shown = text(page).replace("\xa0", " ")
    for words in (
        "50 %", "25 %", "400 g CO₂/kWh", "1 kW", "Tianjin South", "A100-80GB", "hh-curve-1",
        "/api/v1/network", 'hx-get="/network"',
    ):  # fmt: skip
        assert words in shown, words
    assert "50 % of 2" in shown or language == CHINESE


def test_the_network_says_what_is_old_silent_or_at_fault(operator: Side) -> None:
    page = text(browser().get("/network"))
    assert "Takes jobs" in page
    assert "Never reported" in page
    report()
    assert "Never reported" not in text(browser().get("/network"))
    Pool.objects.update(reported_at=now() - timedelta(hours=2))
    page = text(browser().get("/network"))
    assert "Old · 2 h ago" in page
    assert "1 pool with old figures" in page
    report(fault="connection refused")
    assert "Its scheduler does not answer" in text(browser().get("/network"))
    Agent.objects.update(public_key="its own", seen_at=now() - timedelta(hours=1))
    assert "Not heard of" in text(browser().get("/network"))


def test_a_region_or_state_narrows_the_network(operator: Side) -> None:
    make_south(operator)
    centres.set_pool_open(operator.manager, POOL, is_open=False)
    client = browser()
    for query, shown, hidden in (
        ("region=Tianjin+South", "South", "North centre"),
        ("state=closed", "North centre", "/centres/south"),
        ("state=open", "/centres/south", "North centre"),
    ):
        page = text(client.get(f"/network?{query}"))
        assert shown in page, query
        assert hidden not in page, query
        table = client.get(f"/network?{query}&format=csv").content.decode("utf-8-sig")
        assert len(table.splitlines()) == 2
    assert "No centre or pool is like that" in text(client.get("/network?state=fault"))
    sound(client.get("/network?region=nowhere&state=none"))


def test_without_a_centre_the_network_says_what_to_do(db: None) -> None:
    page = text(browser().get("/network"))
    assert "No centre is connected yet" in page
    assert "haihe --as EMAIL centre create" in page


def test_the_network_is_refreshed_in_part(operator: Side) -> None:
    part = text(browser().get("/network?state=open", headers=HTMX))
    assert "<html" not in part
    assert "The past week" not in part
    assert 'hx-get="/network?state=open"' in part


def test_a_weeks_history_weighs_pools_by_what_they_have(operator: Side) -> None:
    small, large = Pool.objects.get(), make_south(operator)
    at = now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
    for pool, share, running in ((small, 1.0, 2.0), (large, 0.5, 3.0)):
        for metric, value in (("cpu", share), ("running", running)):
            # Three readings of one hour, two of them in one minute.
            for minute, part, count in ((0, value * 0.7, 2), (50, value * 1.6, 1)):
                Sample.objects.create(
                    pool=pool,
                    metric=metric,
                    span_s=60,
                    at=at + timedelta(minutes=minute),
                    mean=part,
                    low=part,
                    high=part,
                    count=count,
                )
    found = network_history(ANONYMOUS, [small, large])
    [(instant, mean)] = found["cpu"]
    assert instant == at
    assert mean == pytest.approx((2 * 1.0 + 8 * 0.5) / 10)
    assert found["running"] == [(at, 5.0)]
    assert found["gpu"] == []


def test_pages_take_as_many_queries_for_many_pools_as_for_one(
    operator: Side, firm: Side, django_assert_max_num_queries: Any
) -> None:
    report(nodes=1)
    job = run_job(firm.member)
    quote, waiting = make_quote(firm.member), make_job(firm.member)
    today = local_day()
    allocations.set_allocation(
        operator.manager, POOL, organisation="firm", begins_on=today, ends_on=today, cpu_hours=1
    )
    managing, asking = seen_by(operator.manager), seen_by(firm.member)
    visits = (
        (managing, "/network"), (managing, "/centres/north"), (managing, PAGE),
        (asking, f"/quotes/{quote.pk}"), (asking, f"/jobs/{job.pk}"), (asking, "/jobs/-/new"),
        (asking, f"/jobs/{waiting.pk}"), (asking, f"/jobs/{waiting.pk}/waiting"),
    )  # fmt: skip
    few = [_queries(client, address, django_assert_max_num_queries) for client, address in visits]
    _make_more(operator, firm)
    many = [_queries(client, address, django_assert_max_num_queries) for client, address in visits]
    assert many == few


def _queries(client: Any, address: str, at_most: Any) -> int:
    client.get(address)
    with at_most(QUERIES_LIMIT) as queries:
        assert client.get(address).status_code == 200
    return len(queries)


def _make_more(operator: Side, firm: Side) -> None:
    """More of everything that a page of the network lists."""
    report(nodes=6)
    today = local_day()
    for number in range(3):
        make_south(operator, f"south-{number}")
        maintenance.plan_maintenance(
            operator.manager,
            POOL,
            begins_at=now() + timedelta(days=number + 1),
            ends_at=now() + timedelta(days=number + 2),
            reason="filters",
        )
        allocations.set_allocation(
            operator.manager,
            POOL,
            organisation="firm",
            begins_on=today + timedelta(days=number + 1),
            ends_on=today + timedelta(days=number + 1),
            cpu_hours=1,
        )
        centres.set_offer(operator.manager, POOL, cpu_hour_micro=(number + 1) * MICRO)
    for principal in (firm.manager, firm.member, operator.member):
        email = person_of(principal).email
        accounts.set_account(operator.manager, "north", email=email, user="u")


# --- a pool --------------------------------------------------------------------------------------


def test_a_pool_shows_nodes_history_and_terms(operator: Side) -> None:
    report(nodes=25)
    page = text(browser().get(PAGE))
    assert "20 of 25" in page
    assert page.index("a fan") < page.index("n000")
    assert "n023" not in page
    table = browser().get(f"{PAGE}?table=nodes&format=csv").content.decode("utf-8-sig")
    assert len(table.splitlines()) == 26
    assert [node.name for node in nodes_of(ANONYMOUS, POOL)][:2] == ["n024", "n000"]
    for last, current in (("day", "Day"), ("month", "Month"), ("century", "Week")):
        shown = text(browser().get(f"{PAGE}?last={last}"))
        assert re.search(rf'aria-current="page">{current}\b', shown)


def test_maintenance_is_planned_and_called_off_by_form(operator: Side, firm: Side) -> None:
    client = seen_by(operator.manager)
    form = {"begins_at": "2098-12-31T18:00", "ends_at": "2099-01-01T06:00", "reason": "new fans"}
    assert "it is over already" in text(
        client.post(
            f"{PAGE}/maintenance/-/new",
            {**form, "begins_at": "2020-01-01T00:00", "ends_at": "2020-01-02T00:00"},
        )
    )
    sound(seen_by(firm.manager).post(f"{PAGE}/maintenance/-/new", form), 403)
    assert client.post(f"{PAGE}/maintenance/-/new", form)["Location"] == PAGE
    [window] = maintenance.maintenance_of(ANONYMOUS, POOL)
    # What was typed is local time.
    assert window.begins_at.isoformat() == "2098-12-31T10:00:00+00:00"
    address = f"{PAGE}/maintenance/{window.pk}/withdraw"
    page = text(client.get(PAGE))
    assert "new fans" in page
    assert address in page
    assert address not in text(browser().get(PAGE))
    assert seen_by(firm.manager).post(address).status_code == 403
    assert client.post(address)["Location"] == PAGE
    assert "None is planned" in text(client.get(PAGE))


def test_an_allocation_is_set_by_form_and_seen_by_its_organisation(
    operator: Side, firm: Side, stranger: Side
) -> None:
    client = seen_by(operator.manager)
    form = {
        "organisation": "firm", "begins_on": "2026-01-01", "ends_on": "2099-12-31",
        "cpu_hours": "500", "gpu_hours": "0",
    }  # fmt: skip
    sound(seen_by(firm.manager).post(f"{PAGE}/allocations/-/new", form), 403)
    sound(client.post(f"{PAGE}/allocations/-/new", {**form, "organisation": "none"}), 404)
    assert client.post(f"{PAGE}/allocations/-/new", form)["Location"] == PAGE
    make_job(firm.member, cpu_milli=1_000, wall_s=36_000)
    for side in (operator, firm):
        page = text(seen_by(side.manager).get(PAGE))
        assert "490.0 left of 500.0" in page
        assert "0.0 used, 10.0 held by unfinished jobs" in page
    assert "490.0" not in text(seen_by(stranger.manager).get(PAGE))


def test_the_terms_of_a_pool_and_a_centre_are_edited_by_form(operator: Side, firm: Side) -> None:
    client = seen_by(operator.manager)
    form = {
        "backend": "slurm", "partition": "main", "software": "openmpi-5, pytorch-2.5\nr",
        "watts_idle": "100", "watts_busy": "300", "pending_limit": "7", "needs_account": "on",
    }  # fmt: skip
    sound(seen_by(firm.manager).post(f"{PAGE}/terms", form), 403)
    sound(client.post(f"{PAGE}/terms", {**form, "watts_busy": "50"}), 422)
    assert client.post(f"{PAGE}/terms", form)["Location"] == PAGE
    pool = Pool.objects.get()
    assert (pool.backend, pool.software) == ("slurm", ["openmpi-5", "pytorch-2.5", "r"])
    assert (pool.pending_limit, pool.needs_account, pool.needs_allocation) == (7, True, False)
    assert "openmpi-5\npytorch-2.5\nr" in text(client.get(f"{PAGE}/terms"))
    told = {"region": "North", "carbon_g_per_kwh": "", "link_mb_per_s": "12.345678"}
    sound(seen_by(firm.manager).post("/centres/north/terms", told), 403)
    for _twice in range(2):
        assert client.post("/centres/north/terms", told)["Location"] == "/centres/north"
        assert Centre.objects.get().link_bytes_per_s == 12_345_678
        told["link_mb_per_s"] = re.findall(
            r'name="link_mb_per_s" value="([^"]*)"', text(client.get("/centres/north/terms"))
        )[0]


# --- a centre ------------------------------------------------------------------------------------


def test_an_agent_is_invited_with_a_command_that_is_shown_once(operator: Side, firm: Side) -> None:
    client, address = seen_by(operator.manager), "/centres/north/agent/invite"
    assert seen_by(firm.manager).post(address).status_code == 403
    assert client.get(address).status_code == 405
    answer = client.post(address)
    sound(answer)
    assert "no-store" in answer["Cache-Control"]
    [token] = re.findall(r"--token (\S+?)<", text(answer))
    assert "haihe agent run --folder haihe-agent --backend local --pool cpu" in text(answer)
    assert token not in text(client.get("/centres/north"))
    assert Enrolment.objects.get().token_hash != token
    key = "A" * 43 + "="
    agents.enrol_agent(token, key)
    assert "Revoke the agent" in text(client.get("/centres/north"))
    assert seen_by(firm.manager).post("/centres/north/agent/revoke").status_code == 403
    assert client.post("/centres/north/agent/revoke")["Location"] == "/centres/north"
    assert "No agent" in text(client.get("/centres/north"))


def test_pools_of_different_kinds_are_named_in_the_agents_file(operator: Side) -> None:
    centres.create_pool(
        operator.manager, "north", slug="ray", cpu_milli=1_000, memory_bytes=GIB,
        terms=PoolTerms(backend="ray"),
    )  # fmt: skip
    page = text(seen_by(operator.manager).post("/centres/north/agent/invite"))
    assert "[pools.ray]\nbackend = &quot;ray&quot;" in page
    assert "--backend" not in page


def test_managers_see_how_far_off_an_agents_clock_is(operator: Side, firm: Side) -> None:
    Agent.objects.update(public_key="k", seen_at=now(), clock_ahead_ms=3_600_000, version="9.9")
    page = text(seen_by(operator.manager).get("/centres/north"))
    assert "60 min ahead" in page
    assert "Set it right" in page
    page = text(seen_by(firm.manager).get("/centres/north"))
    assert "9.9" in page
    assert "Its clock" not in page


def test_people_are_named_at_a_centre_and_others_see_their_own(operator: Side, firm: Side) -> None:
    client, mine = seen_by(operator.manager), person_of(firm.member).email
    form = {"email": mine, "user": "firm01", "account": "ai", "qos": ""}
    address = "/centres/north/accounts/-/new"
    sound(seen_by(firm.member).post(address, form), 403)
    sound(client.post(address, {**form, "user": "-rf"}), 422)
    sound(client.post(address, {**form, "email": "nobody@example.test"}), 404)
    assert client.post(address, form)["Location"] == "/centres/north"
    assert mine in text(client.get("/centres/north"))
    assert "firm01" in text(seen_by(firm.member).get("/centres/north"))
    assert "firm01" not in text(seen_by(firm.manager).get("/centres/north"))
    assert "firm01" not in text(browser().get("/centres/north"))
    drop = "/centres/north/accounts/-/drop"
    assert seen_by(firm.member).post(drop, {"email": mine}).status_code == 403
    assert client.post(drop, {"email": mine})["Location"] == "/centres/north"
    assert "Nobody yet" in text(client.get("/centres/north"))


# --- quotes and jobs -----------------------------------------------------------------------------


def test_a_quote_compares_every_pool(operator: Side, firm: Side) -> None:
    make_south(operator)
    quote = make_quote(firm.member, objective="cheapest", cpu_milli=4_000)
    page = text(seen_by(firm.member).get(f"/quotes/{quote.pk}"))
    for words in (
        "south/gpu", "Chosen", "× 80 %", "scores 1.00", "at once", "g CO₂", "Objective: Cheapest",
        "needs 4 CPUs, has 2",
    ):  # fmt: skip
        assert words in page, words
    assert "south/gpu: fits" not in page
    Quote.objects.filter(pk=quote.pk).update(comparison={})
    assert "south/gpu: fits" in text(seen_by(firm.member).get(f"/quotes/{quote.pk}"))


def test_a_comparison_is_the_best_pool_first_and_says_all_that_fails() -> None:
    def term(name: str, value: float | None) -> dict[str, Any]:
        return {"name": name, "value": value, "unit": "", "score": 0.5, "weight": 0.2}

    values = {"price": 3_000_000, "start": 90, "transfer": 0, "carbon": None, "reliability": 0.9}
    verdicts = [
        {"pool": name, "checks": [], "score": score,
         "terms": [term(key, value) for key, value in values.items()]}
        for name, score in (("a/a", 0.2), ("b/b", 0.7))
    ]  # fmt: skip
    failing = [Check("open", False), Check("room", False)]
    verdicts.append({
        "pool": "c/c", "score": None, "terms": [], "checks": [vars(check) for check in failing],
    })  # fmt: skip
    kept = {"objective": "soonest", "verdicts": verdicts, "chosen": "b/b", "weights": {}}
    facts = {"pools": [{"pool": "b/b", "amount_micro": 5_000_000, "bytes_to_move": 2048}]}
    shown = comparison(choice_from(kept), facts)
    assert [row["pool"] for row in shown["able"]] == ["b/b", "a/a"]
    cells = shown["able"][0]["cells"]
    assert (cells[0]["amount_micro"], cells[0]["before_micro"]) == (3_000_000, 5_000_000)
    assert [cell["text"] for cell in cells[1:]] == ["in 90 s", "at once", "not known", "90 %"]
    assert shown["unable"][0]["reasons"] == ["takes no jobs now", "no room now"]


@pytest.mark.parametrize(
    ("check", "words"),
    [
        (Check("resources", False, "4000 cpu_milli", "2000 cpu_milli"), "needs 4 CPUs, has 2"),
        (Check("resources", False, "1500 gpu_milli", "0 gpu_milli"), "needs 1.500 GPUs, has 0"),
        (Check("accelerator", False, "ascend", ""), "has no accelerator; ascend is asked for"),
        (Check("heard", False, "", "refused"), "its scheduler does not answer: refused"),
        (Check("heard", False), "its centre is not heard of"),
        (Check("maintenance", False, "7200 s", "0 s"), "is under maintenance"),
        (
            Check("maintenance", False, "7200 s", "600 s"),
            "maintenance begins in 10 min, and the job could end in 2 h only",
        ),
        (Check("funds", False, "", "2.00 CNY needed, 1.00 CNY there"), "2.00 CNY needed"),
        (Check("allocation", False, "", "no allocation today"), "no allocation today"),
        (Check("backend", False, "", "starts a job on one node only"), "on one node only"),
    ],
)
def test_what_stands_against_a_pool_is_said_in_units(check: Check, words: str) -> None:
    assert words in refusal(check)


def test_a_waiting_job_says_why_and_the_page_follows(operator: Side, firm: Side) -> None:
    make_job(firm.member, "sleep", "60", cpu_milli=2_000)
    plan_round()
    waiting, next_one = make_job(firm.member, cpu_milli=2_000), make_job(firm.member)
    client = seen_by(firm.member)
    page = text(client.get(f"/jobs/{next_one.pk}"))
    for words in ("Why it waits", "before it in line: 1", "no room now", "Why here", "Quoted"):
        assert words in page, words
    address = f"/jobs/{waiting.pk}/waiting"
    part = client.get(f"{address}?state=queued", headers=HTMX)
    assert "<html" not in text(part)
    assert f'hx-get="{address}?state=queued"' in text(part)
    changed = client.get(f"{address}?state=running", headers=HTMX)
    assert (changed.status_code, changed["HX-Refresh"]) == (286, "true")
    assert asks_to_sign_in(browser().get(address))
    assert seen_by(operator.manager).get(address).status_code == 403


def test_why_a_job_is_where_it_is_stays_with_its_organisation(operator: Side, firm: Side) -> None:
    job = run_job(firm.member)
    page = text(seen_by(firm.member).get(f"/jobs/{job.pk}"))
    for words in ("Why here", "Placed", "The same facts lead to the same choice again"):
        assert words in page, words
    assert "Why it waits" not in page
    page = text(seen_by(operator.manager).get(f"/jobs/{job.pk}"))
    for closed in ("Why here", "Price after vouchers", "Quoted", f"/quotes/{job.quote_id}"):
        assert closed not in page, closed


def test_a_timeline_tells_of_each_attempt(firm: Side) -> None:
    job = make_job(firm.member)
    plan_round()
    lost = Attempt.objects.get()
    Attempt.objects.filter(pk=lost.pk).update(
        state="lost", end_reason="node-failed", claimed_at=now(), started_at=now(),
        finished_at=now(), external_id="4711", nodes=["n1", "n2"],
    )  # fmt: skip
    Attempt.objects.create(job=job, pool=job.pool, number=2, state="starting")
    page = text(seen_by(firm.member).get(f"/jobs/{job.pk}"))
    for words in (
        "Attempt 1 offered to north/cpu", "Attempt 1 taken by the agent", "4711", "n1, n2",
        "Attempt 1 ended", "Its node failed", "Back in the queue", "Attempt 2 offered",
    ):  # fmt: skip
        assert words in page, words
    assert "Attempt 2 taken" not in page


def test_a_job_of_an_array_names_its_siblings(firm: Side) -> None:
    job = make_job(firm.member, array=3)
    Job.objects.filter(array_index=2).update(state="failed", finished_at=now())
    page = text(seen_by(firm.member).get(f"/jobs/{job.pk}"))
    assert "Number 0 of an array of 3 jobs" in page
    assert "2 Queued" in page
    assert "1 Failed" in page
    for sibling in Job.objects.exclude(pk=job.pk):
        assert f"/jobs/{sibling.pk}" in page


def test_the_form_asks_for_all_that_a_spec_can_say(operator: Side, firm: Side) -> None:
    make_south(operator)
    client = seen_by(firm.member)
    form = {
        **JOB_FORM, "objective": "greenest", "nodes": "1", "array": "2", "gpus": "1",
        "accelerator": "nvidia", "centres": ["south"], "deadline": "2099-12-31T18:00",
        "environment": "MODE=fast\nTEXT=a=b", "software": "",
    }  # fmt: skip
    quoted = client.post("/jobs/-/new", form)["Location"]
    spec = Quote.objects.get(pk=quoted.rpartition("/")[2]).spec
    assert (spec.objective, spec.nodes, spec.array) == ("greenest", 1, 2)
    assert (spec.accelerator, list(spec.centres)) == ("nvidia", ["south"])
    assert spec.deadline == "2099-12-31T18:00:00+08:00"
    assert spec.environment == {"MODE": "fast", "TEXT": "a=b"}
    wrong = client.post("/jobs/-/new", {**form, "environment": "MODE"})
    sound(wrong, 422)
    assert "<details open" in re.sub(r' class="[^"]*"', "", text(wrong))
    plain = text(client.get("/jobs/-/new"))
    assert "<details open" not in re.sub(r' class="[^"]*"', "", plain)
    refused = client.post("/jobs/-/new", {**form, "software": "cobol"})
    sound(refused, refused.status_code)
    assert "lacks cobol" in text(refused)


# --- quantities ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (duration(0), "0 s"),
        (duration(-3), "0 s"),
        (duration(119), "119 s"),
        (duration(120), "2 min"),
        (duration(7_200), "2 h"),
        (duration(3 * 86_400), "3 d"),
        (power(999), "999 W"),
        (power(1_540), "1.54 kW"),
        (energy(2_500_000), "2.5 MWh"),
        (rate(12_500_000), "12.5 MB/s"),
        (weight(1_710), "1.71 kg"),
        (percent(0.456), "46 %"),
        (quantity(1_500), "1.500"),
        (quantity(2_000_000), "2,000"),
    ],
)
def test_quantities_are_written_in_a_fitting_unit(said: str, words: str) -> None:
    assert said == words


def test_what_was_measured_and_what_is_explained_agree(operator: Side, firm: Side) -> None:
    """The page shows what the services say, and nothing beside it."""
    report()
    job = make_job(firm.member)
    [one] = look_at_network(ANONYMOUS).centres
    page = text(browser().get("/network"))
    assert f"{one.pools[0].waiting} wait here, {one.pools[0].pool.pending} there" in page
    told = explain_job(firm.member, job.pk)
    assert told.sentence in text(seen_by(firm.member).get(f"/jobs/{job.pk}"))
