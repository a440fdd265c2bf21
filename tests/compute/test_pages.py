"""Pages of centres, contracts, quotes and jobs, as each side sees them."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from haihe.compute.models import Contract, Job, Pool, Quote
from haihe.compute.services import centres, contracts, jobs
from haihe.compute.services.files import keep_file
from haihe.compute.tasks import Dispatcher
from haihe.kernel.days import local_day
from haihe.kernel.money import MICRO
from haihe.policy.domain import Principal
from tests.callers import person_of
from tests.compute.conftest import POOL
from tests.compute.factories import copy_job, make_job, make_quote, run_job, run_jobs
from tests.pages import CHINESE, ENGLISH, asks_to_sign_in, browser, sound
from tests.sides import Side

pytestmark = pytest.mark.django_db
HTMX = {"hx-request": "true"}
JOB_FORM = {
    "organisation": "firm", "contract": "", "name": "hello", "command": "echo 'a b' c",
    "inputs": "", "cpus": "0.5", "memory_mib": "512", "gpus": "", "wall_minutes": "10",
    "output_mib": "8", "objective": "balanced",
}  # fmt: skip


def seen_by(principal: Principal, language: str = ENGLISH) -> Client:
    return browser(person_of(principal), language)


def text(response: Any) -> str:
    return str(response.content.decode())


@pytest.fixture
def contract(firm: Side, operator: Side) -> Contract:
    today = local_day()
    return contracts.create_contract(
        firm.manager,
        number="津算〔2026〕12/3号",
        buyer="firm",
        provider="operator",
        amount_micro=10 * MICRO,
        eligible_micro=10 * MICRO,
        begins_on=today,
        ends_on=today,
    )


@pytest.mark.parametrize("language", [ENGLISH, CHINESE])
def test_all_pages_render_in_both_languages(
    language: str, firm: Side, operator: Side, contract: Contract
) -> None:
    centres.set_offer(operator.manager, POOL, cpu_hour_micro=MICRO)
    contracts.sign_contract(operator.manager, contract.number)
    job = run_job(
        firm.manager, "sh", "-c", "echo x > $HAIHE_OUTPUTS/r.txt", contract=contract.number
    )
    failed = run_job(firm.manager, "false")
    waiting = make_job(firm.manager, "true")
    quote = make_quote(firm.manager)
    client = seen_by(firm.manager, language)
    for address in (
        "/centres", "/centres/-/new", "/centres/north", "/centres/north/pools/cpu",
        "/contracts", "/contracts/-/new", f"/contracts/{contract.pk}", "/jobs", "/jobs/-/new",
        f"/quotes/{quote.pk}", f"/quotes/{job.quote_id}",
        *(f"/jobs/{one.pk}" for one in (job, failed, waiting)),
    ):  # fmt: skip
        sound(client.get(address))
    operating = seen_by(operator.manager, language)
    for address in (
        "/centres/north", "/centres/north/terms", "/centres/north/accounts/-/new",
        "/centres/north/pools/-/new", *(
            f"/centres/north/pools/cpu{page}"
            for page in ("", "/terms", "/maintenance/-/new", "/allocations/-/new")
        ),
    ):  # fmt: skip
        sound(operating.get(address))


def test_visitors_see_centres_and_sign_in_for_the_rest(operator: Side, firm: Side) -> None:
    job = make_job(firm.member)
    for address in ("/centres", "/centres/north", "/centres/north/pools/cpu"):
        page = text(browser().get(address))
        assert "North centre" in page
        for closed in (
            "Add a pool", "Set the price", "Connect a centre", "Drain", "Invite an agent",
            "Plan maintenance", "Set an allocation", "Name a person",
        ):  # fmt: skip
            assert closed not in page
    for address in (
        "/centres/-/new", "/contracts", "/contracts/-/new", "/jobs", "/jobs/-/new",
        f"/jobs/{job.pk}", f"/jobs/{job.pk}/log", f"/jobs/{job.pk}/files/x",
        f"/quotes/{job.quote_id}",
    ):  # fmt: skip
        assert asks_to_sign_in(browser().get(address)), address


def test_a_stranger_is_refused(firm: Side, stranger: Side, contract: Contract) -> None:
    job = make_job(firm.member)
    client = seen_by(stranger.manager)
    for address in (f"/jobs/{job.pk}", f"/quotes/{job.quote_id}", f"/contracts/{contract.pk}"):
        assert client.get(address).status_code == 403
    assert "No jobs yet" in text(client.get("/jobs"))
    assert "No contracts yet" in text(client.get("/contracts"))


def test_an_operator_connects_adds_and_prices(operator: Side) -> None:
    client = seen_by(operator.manager)
    form = {"operator": "operator", "slug": "south", "name": "南方", "name_en": "South"}
    assert client.post("/centres/-/new", form)["Location"] == "/centres/south/pools/-/new"
    again = client.post("/centres/-/new", form)
    sound(again, 409)
    assert 'value="南方"' in text(again)
    pool = {
        "slug": "gpu", "cpus": "8", "memory_gib": "4", "gpus": "0.5", "gpu_model": "X1",
        "backend": "slurm", "partition": "main", "pending_limit": "5",
    }  # fmt: skip
    unknown = client.post("/centres/south/pools/-/new", pool)
    sound(unknown, 422)
    assert "card_tflops" in text(unknown)
    pool |= {"card_tflops": "77", "card_watts": "300"}
    address = client.post("/centres/south/pools/-/new", pool)["Location"]
    assert address == "/centres/south/pools/gpu"
    sound(client.post(address, {"cpu_hour_micro": "much"}), 422)
    sound(client.post(address, {"cpu_hour_micro": "0"}), 422)
    assert client.post(address, {"cpu_hour_micro": "1.25"})["Location"] == address
    offer = centres.pool_cards(operator.manager, [centres.find_pool(operator.manager, "south/gpu")])
    assert offer[0].offer is not None
    assert offer[0].offer.cpu_hour_micro == 1_250_000
    assert client.post(f"{address}/drain")["Location"] == address
    assert "Takes no new jobs" in text(client.get(address))
    assert client.post(f"{address}/open")["Location"] == address


def test_a_centre_that_evidence_names_by_id_has_its_page(operator: Side) -> None:
    centre = Pool.objects.get().centre
    assert browser().get(f"/centres/by-id/{centre.pk}")["Location"] == f"/centres/{centre.slug}"
    sound(browser().get(f"/centres/by-id/{centre.operator_id}"), 404)


def test_others_change_no_pool(operator: Side, firm: Side) -> None:
    client = seen_by(firm.manager)
    assert "Set the price" not in text(client.get("/centres/north/pools/cpu"))
    sound(client.post("/centres/north/pools/cpu", {"cpu_hour_micro": "1"}), 403)
    assert client.post("/centres/north/pools/cpu/drain").status_code == 403
    form = {"slug": "x", "cpus": "1", "memory_gib": "1", "backend": "local", "pending_limit": "0"}
    sound(client.post("/centres/north/pools/-/new", form), 403)


def test_a_contract_is_drawn_up_and_signed_by_form(firm: Side, operator: Side) -> None:
    form = {
        "number": "C/1", "buyer": "firm", "provider": "operator", "amount_micro": "10.50",
        "eligible_micro": "10.50", "begins_on": "2026-01-01", "ends_on": "2099-12-31",
    }  # fmt: skip
    buying, selling = seen_by(firm.manager), seen_by(operator.manager)
    wrong = buying.post("/contracts/-/new", {**form, "eligible_micro": "11"})
    sound(wrong, 422)
    assert 'value="10.50"' in text(wrong)
    address = buying.post("/contracts/-/new", form)["Location"]
    assert f'action="{address}/sign"' not in text(buying.get(address))
    assert buying.post(f"{address}/sign").status_code == 403
    assert f'action="{address}/sign"' in text(selling.get(address))
    assert selling.post(f"{address}/sign")["Location"] == address
    assert "Signed" in text(buying.get(address))
    assert "C/1" in text(buying.get("/jobs/-/new"))


def test_a_job_goes_from_form_to_quote_to_job(firm: Side) -> None:
    client = seen_by(firm.member)
    quoted = client.post("/jobs/-/new", JOB_FORM)["Location"]
    page = text(client.get(quoted))
    for words in (
        "echo &#x27;a b&#x27; c",
        "Chosen",
        "Price after vouchers",
        "Firm",
        "Accept and submit",
    ):
        assert words in page
    address = client.post(quoted, {"accept": "yes"})["Location"]
    job = Job.objects.get()
    assert address == f"/jobs/{job.pk}"
    assert list(job.quote.spec.command) == ["echo", "a b", "c"]
    assert (job.quote.spec.cpu_milli, job.quote.spec.wall_s) == (500, 600)
    used = client.post(quoted, {"accept": "yes"})
    sound(used, 409)
    assert "became job" in text(used)
    assert "Accept and submit" not in text(client.get(quoted))


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("command", "echo 'open", "cannot be split into words"),
        ("inputs", "wdbc", "must read name=dataset@version"),
        ("inputs", "a=none@1", "no dataset"),
        ("cpus", "64", "needs 64000 cpu_milli"),
        ("name", "Big Job", "Begin with a letter or digit"),
        ("organisation", "operator", "valid choice"),
    ],
)
def test_a_job_that_cannot_be_says_why_and_keeps_what_was_typed(
    field: str, value: str, words: str, firm: Side
) -> None:
    answer = seen_by(firm.member).post("/jobs/-/new", {**JOB_FORM, field: value})
    assert answer.status_code in (404, 422)
    sound(answer, answer.status_code)
    assert words in text(answer)
    assert 'value="0.5"' in text(answer) or field == "cpus"


def test_files_come_with_the_form_and_are_sent_once(firm: Side) -> None:
    client = seen_by(firm.member)
    script = SimpleUploadedFile("run.py", b"print(1)")
    wrong = client.post("/jobs/-/new", {**JOB_FORM, "name": "Big Job", "uploads": [script]})
    sound(wrong, 422)
    kept = re.findall(r'name="kept" value="(run\.py=[0-9a-f]{64})"', text(wrong))
    assert len(kept) == 1, "what was uploaded stays, though the name was wrong"

    other = SimpleUploadedFile("data.txt", b"")
    quoted = client.post("/jobs/-/new", {**JOB_FORM, "kept": kept, "uploads": [other]})["Location"]
    spec = Quote.objects.get(pk=quoted.rpartition("/")[2]).spec
    assert [ref.path for ref in spec.files] == ["run.py", "data.txt"]
    assert spec.files[0].sha256 == hashlib.sha256(b"print(1)").hexdigest()
    assert "run.py" in text(client.get(quoted))

    newer = SimpleUploadedFile("run.py", b"print(2)")
    replaced = client.post("/jobs/-/new", {**JOB_FORM, "kept": kept, "uploads": [newer]})[
        "Location"
    ]
    spec = Quote.objects.get(pk=replaced.rpartition("/")[2]).spec
    assert [ref.sha256 for ref in spec.files] == [hashlib.sha256(b"print(2)").hexdigest()]


def test_a_script_that_sends_files_is_told_where_to_go(firm: Side) -> None:
    client = seen_by(firm.member)
    script = SimpleUploadedFile("run.py", b"print(1)")
    sent = client.post("/jobs/-/new", {**JOB_FORM, "uploads": [script]}, headers=HTMX)
    assert sent["HX-Redirect"].startswith("/quotes/")
    badly = SimpleUploadedFile("no spaces.py", b"print(1)")
    refused = client.post("/jobs/-/new", {**JOB_FORM, "uploads": [badly]}, headers=HTMX)
    assert (refused.status_code, refused["HX-Retarget"]) == (422, "#job-form")
    assert "relative path of plain names" in text(refused)


def test_what_another_firm_uploaded_is_not_there(firm: Side, operator: Side) -> None:
    secret = keep_file(operator.manager, [b"secret"], organisation="operator")
    form = {**JOB_FORM, "kept": [f"s={secret.sha256}"]}
    answer = seen_by(firm.member).post("/jobs/-/new", form)
    sound(answer, 404)
    assert not Quote.objects.exists()


def test_a_quote_without_funds_says_so(firm: Side, operator: Side) -> None:
    centres.set_offer(operator.manager, POOL, cpu_hour_micro=900 * MICRO)
    client = seen_by(firm.member)
    quoted = client.post("/jobs/-/new", JOB_FORM | {"wall_minutes": "60"})["Location"]
    refused = client.post(quoted, {"accept": "yes"})
    sound(refused, 422)
    assert "The job was not submitted" in text(refused)
    assert not Job.objects.exists()


def test_an_auditor_sees_a_quote_and_no_button(firm: Side) -> None:
    quote = make_quote(firm.member)
    client = seen_by(firm.auditor)
    assert "Accept and submit" not in text(client.get(f"/quotes/{quote.pk}"))
    assert client.post(f"/quotes/{quote.pk}", {"accept": "yes"}).status_code == 403


def test_a_finished_job_shows_log_bill_usage_files_and_evidence(firm: Side) -> None:
    command = "echo '<b>bold</b>'; mkdir $HAIHE_OUTPUTS/d; echo x > $HAIHE_OUTPUTS/d/r.txt"
    job = run_job(firm.member, "sh", "-c", command)
    client = seen_by(firm.member)
    page = text(client.get(f"/jobs/{job.pk}"))
    for words in (
        "Succeeded", "&lt;b&gt;bold&lt;/b&gt;", "Bill", "Who paid", "Peak memory",
        f"/jobs/{job.pk}/files/d/r.txt", "Job submitted", "Job settled", f"subject=job:{job.pk}",
    ):  # fmt: skip
        assert words in page
    for gone in ("Cancel the job", "hx-get"):
        assert gone not in page
    answer = client.get(f"/jobs/{job.pk}/files/d/r.txt")
    assert b"".join(answer.streaming_content) == b"x\n"
    assert client.get(f"/jobs/{job.pk}/files/none").status_code == 404
    log = client.get(f"/jobs/{job.pk}/log")
    assert (log["Content-Type"], text(log)) == ("text/plain; charset=utf-8", "<b>bold</b>\n")


def test_a_failed_job_says_why(firm: Side) -> None:
    job = run_job(firm.member, "sh", "-c", "exit 3")
    page = text(seen_by(firm.member).get(f"/jobs/{job.pk}"))
    assert "Exit code 3." in page


def test_who_ran_a_job_sees_its_bill_and_not_its_inside(firm: Side, operator: Side) -> None:
    job = run_job(firm.member, "sh", "-c", "echo secret-word; echo x > $HAIHE_OUTPUTS/r.txt")
    page = text(seen_by(operator.manager).get(f"/jobs/{job.pk}"))
    assert "Bill" in page
    for closed in ("secret-word", "r.txt", "What runs", f"/quotes/{job.quote_id}"):
        assert closed not in page
    assert seen_by(operator.manager).get(f"/jobs/{job.pk}/log").status_code == 403


def test_a_running_job_shows_its_log_live_until_its_state_changes(firm: Side) -> None:
    job = make_job(firm.member, "sh", "-c", "echo '<hello>'; sleep 60")
    client = seen_by(firm.member)
    page = text(client.get(f"/jobs/{job.pk}"))
    assert f'hx-get="/jobs/{job.pk}/log?state=queued"' in page
    assert "Cancel the job" in page
    dispatcher = Dispatcher()
    dispatcher.tick()

    def poll(state: str) -> Any:
        return client.get(f"/jobs/{job.pk}/log?state={state}", headers={"hx-request": "true"})

    while "hello" not in text(poll("running")):
        assert poll("running").status_code == 200
    assert text(poll("running")) == "&lt;hello&gt;\n"
    changed = poll("queued")
    assert (changed.status_code, changed["HX-Refresh"]) == (286, "true")
    assert client.post(f"/jobs/{job.pk}/cancel")["Location"] == f"/jobs/{job.pk}"
    assert "asked to end" in text(client.get(f"/jobs/{job.pk}"))
    run_jobs(dispatcher)
    ended = poll("running")
    assert (ended.status_code, ended["HX-Refresh"]) == (286, "true")
    assert client.post(f"/jobs/{job.pk}/cancel").status_code == 409


def test_a_long_log_shows_its_end_from_a_whole_line_on(firm: Side) -> None:
    job = run_job(firm.member, "python", "-c", "for n in range(20_000): print('line', n)")
    log = text(seen_by(firm.member).get(f"/jobs/{job.pk}/log"))
    assert len(log) <= 64_000
    assert log.startswith("line ")
    assert log.endswith("line 19999\n")


def test_the_job_list_takes_as_many_queries_for_many_as_for_one(
    firm: Side, django_assert_max_num_queries: Any
) -> None:
    job = run_job(firm.member)
    client = seen_by(firm.member)
    client.get("/jobs")
    counts = []
    for _ in range(2):
        with django_assert_max_num_queries(20) as queries:
            page = text(client.get("/jobs"))
        counts.append(len(queries))
        while Job.objects.count() < 60:
            copy_job(job)
    assert 'rel="next"' in page
    assert counts[1] <= counts[0]


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_tables_are_files_too(kind: str, firm: Side, contract: Contract) -> None:
    run_job(firm.member)
    client = seen_by(firm.member)
    for address in (
        "/jobs?", "/network?", "/centres?", "/contracts?", "/centres/north/pools/cpu?",
        "/centres/north/pools/cpu?table=nodes&",
    ):  # fmt: skip
        answer = client.get(f"{address}format={kind}")
        assert answer["Content-Disposition"].endswith(f'.{kind}"')
    header, row = client.get("/jobs?format=csv").content.decode("utf-8-sig").splitlines()
    shown = dict(zip(header.split(","), row.split(","), strict=True))
    assert (shown["state"], shown["pool"]) == ("succeeded", "north/cpu")
    assert shown["amount_micro"] == str(
        jobs.list_jobs(firm.member).items[0].settlement.amount_micro
    )
