"""The accidents of input, one by one through the API: each has its named error, and the books stay.

This is the list a reader checks. Where a rule has tests of its own in its domain, it stands here as
well, because here it is seen from outside: status, ``code``, and books that did not move. What is
no amount, and what is sent twice, is in ``test_bad_amounts.py``.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import polars as pl
import pytest

from haihe.compute.models import Attempt, Quote
from haihe.compute.services.jobs import attempt_folder
from haihe.kernel.clock import now
from haihe.kernel.money import MAX_AMOUNT_MICRO, MICRO
from haihe.ledger.models import Account
from haihe.ledger.services import audit
from haihe.parties.models import ApiToken
from haihe.parties.services import record_ownership
from haihe.policy.cli import CONSOLE
from tests.callers import Caller
from tests.compute.factories import spec_data
from tests.data.factories import CSV
from tests.faults.stage import Act, Stage, books, raw
from tests.programme.factories import (
    make_job,
    make_scheme,
    take_money,
)

BAD_CODE = "91120111MADEM0004A"  # the check digit is C


@dataclass(frozen=True)
class Accident:
    """What goes wrong, and what it is called. ``prepare`` returns the call that goes wrong."""

    name: str
    status: int
    code: str
    prepare: Callable[[Stage], Act]


ACCIDENTS: list[Accident] = []


def accident(name: str, status: int, code: str) -> Callable[[Callable[[Stage], Act]], None]:
    """Put an accident on the list."""
    return lambda prepare: ACCIDENTS.append(Accident(name, status, code, prepare))


@pytest.fixture(autouse=True)
def files(home: Path) -> Path:
    return home


# --- who, and what does not exist ----------------------------------------------------------------


@accident("a wrong credit code", 422, "parties.bad_credit_code")
def _(stage: Stage) -> Act:
    body = {"slug": "acme", "name": "极光", "kind": "enterprise", "credit_code": BAD_CODE}
    return lambda: stage.stranger.post("/organisations", body)


@accident("an expired token", 401, "parties.bad_token")
def _(stage: Stage) -> Act:
    ApiToken.objects.update(expires_at=now() - timedelta(seconds=1))
    return lambda: stage.quote()


@accident("nobody", 401, "policy.not_signed_in")
def _(stage: Stage) -> Act:
    body = {"organisation": "firm", "spec": spec_data("true")}
    return lambda: Caller().post("/quotes", body)


UNKNOWN = {
    "job": "/jobs/{}",
    "job's log": "/jobs/{}/log",
    "quote": "/quotes/{}",
    "contract": "/contracts/{}",
    "agreement": "/agreements/{}",
    "account": "/accounts/{}/statement",
    "evidence": "/evidence/entries/{}",
    "evaluation": "/evaluations/{}",
    "scenario": "/scenarios/{}",
    "voucher": "/vouchers/{}",
    "dataset": "/datasets/{}",
    "organisation": "/organisations/{}",
    "centre": "/centres/{}",
    "scheme": "/schemes/{}",
    "plan": "/plans/{}",
}
IDS = {
    "unknown": (str(uuid4()), "input.not_found"),
    "senseless": ("no-such", "input.not_found"),
    "climbing": ("../x", "http.not_found"),
}
for _kind, _path in UNKNOWN.items():
    for _word, (_id, _code) in IDS.items():
        ACCIDENTS.append(
            Accident(
                f"{_kind}: {_word} id",
                404,
                _code,
                lambda stage, path=_path, id_=_id: lambda: stage.member.get(path.format(id_)),
            )
        )


@accident("an unknown quote, submitted", 404, "input.not_found")
def _(stage: Stage) -> Act:
    return lambda: stage.member.post("/jobs", {"quote_id": str(uuid4())})


@accident("an unknown contract, on a quote", 404, "input.not_found")
def _(stage: Stage) -> Act:
    return lambda: stage.quote("K-none")


@accident("an unknown account, paid into", 404, "input.not_found")
def _(stage: Stage) -> Act:
    body = {"amount_micro": MICRO, "reference": "bank"}
    return lambda: stage.operator.post(f"/accounts/{uuid4()}/deposits", body)


@accident("somebody else's quote, submitted", 403, "policy.not_allowed")
def _(stage: Stage) -> Act:
    quote = stage.quote().json()["id"]
    return lambda: stage.stranger.post("/jobs", {"quote_id": quote})


@accident("somebody else's job, read", 403, "policy.not_allowed")
def _(stage: Stage) -> Act:
    job = make_job(stage.world)
    return lambda: stage.stranger.get(f"/jobs/{job.pk}")


@accident("somebody else's job, cancelled", 403, "policy.not_allowed")
def _(stage: Stage) -> Act:
    job = make_job(stage.world)
    return lambda: stage.stranger.post(f"/jobs/{job.pk}/cancel")


@accident("somebody else's account, read", 403, "policy.not_allowed")
def _(stage: Stage) -> Act:
    return lambda: stage.stranger.get(f"/accounts/{stage.cash()}/statement")


@accident("somebody else's account, paid into", 403, "policy.not_allowed")
def _(stage: Stage) -> Act:
    body = {"amount_micro": MICRO, "reference": "bank"}
    return lambda: stage.manager.post(f"/accounts/{stage.cash()}/deposits", body)


@accident("somebody else's contract, used", 403, "policy.not_allowed")
def _(stage: Stage) -> Act:
    spec = spec_data("true")
    body = {"organisation": "stranger", "contract": stage.contract(), "spec": spec}
    return lambda: stage.stranger.post("/quotes", body)


@accident("one's own application, approved", 403, "policy.not_allowed")
def _(stage: Stage) -> Act:
    contract = stage.contract()
    made = stage.manager.post("/vouchers", stage.application(contract, MICRO)).json()
    return lambda: stage.manager.post(f"/vouchers/{made['number']}/approve")


# --- vouchers and money --------------------------------------------------------------------------


def refused(stage: Stage, contract: str, amount_micro: int) -> Act:
    return lambda: stage.manager.post("/vouchers", stage.application(contract, amount_micro))


@accident("a voucher above its cap", 422, "programme.voucher_refused")
def _(stage: Stage) -> Act:
    contract = stage.contract(amount_micro=100_000_000 * MICRO)
    return refused(stage, contract, 2_000_001 * MICRO)


@accident("a voucher above its ratio", 422, "programme.voucher_refused")
def _(stage: Stage) -> Act:
    return refused(stage, stage.contract(amount_micro=100 * MICRO), 21 * MICRO)


@accident("a second voucher on one contract", 422, "programme.voucher_refused")
def _(stage: Stage) -> Act:
    contract = stage.contract()
    stage.manager.post("/vouchers", stage.application(contract, MICRO))
    return refused(stage, contract, MICRO)


@accident("a voucher from a related provider", 422, "programme.voucher_refused")
def _(stage: Stage) -> Act:
    record_ownership(CONSOLE, owner="seller", owned="firm", percent=25, source="register")
    return refused(stage, stage.contract(), MICRO)


@accident("a voucher beyond the pool", 422, "programme.voucher_refused")
def _(stage: Stage) -> Act:
    make_scheme(stage.world, "small", pool_micro=MICRO)
    body = stage.application(stage.contract(), 2 * MICRO) | {"scheme": "small"}
    return lambda: stage.manager.post("/vouchers", body)


@accident("a job beyond its contract", 422, "compute.contract_limit")
def _(stage: Stage) -> Act:
    contract = stage.contract(amount_micro=MICRO)
    return lambda: stage.quote(contract, wall_s=7_200)


@accident("a job without the money for it", 422, "ledger.insufficient_funds")
def _(stage: Stage) -> Act:
    quote = stage.quote().json()["id"]
    firm = Account.objects.get(pk=stage.cash())
    take_money(stage.world.firm, firm.posted_micro)
    return lambda: stage.member.post("/jobs", {"quote_id": quote})


@accident("a quote, accepted twice", 409, "compute.quote_used")
def _(stage: Stage) -> Act:
    quote = stage.quote().json()["id"]
    assert stage.member.post("/jobs", {"quote_id": quote}).status_code == 201
    return lambda: stage.member.post("/jobs", {"quote_id": quote})


@accident("a quote, accepted too late", 422, "compute.quote_expired")
def _(stage: Stage) -> Act:
    quote = stage.quote().json()["id"]
    Quote.objects.update(expires_at=now())
    return lambda: stage.member.post("/jobs", {"quote_id": quote})


@accident("a payment with nothing to pay", 422, "programme.nothing_to_pay")
def _(stage: Stage) -> Act:
    return lambda: stage.officer.post("/schemes/spring/payments", {"provider": "seller"})


# --- jobs ----------------------------------------------------------------------------------------


@accident("a job larger than the pool", 422, "compute.job_too_large")
def _(stage: Stage) -> Act:
    return lambda: stage.quote(cpu_milli=64_001)


@accident("a job whose limits cost more than an amount can be", 422, "compute.too_costly")
def _(stage: Stage) -> Act:
    body = {"cpu_hour_micro": MAX_AMOUNT_MICRO}
    stage.seller.post("/centres/seller-centre/pools/local/offers", body)
    return lambda: stage.quote(wall_s=7_200)


@accident("a job without a command", 422, "compute.bad_job_spec")
def _(stage: Stage) -> Act:
    return lambda: stage.quote(command=[])


@accident("a job that sets a reserved variable", 422, "compute.bad_job_spec")
def _(stage: Stage) -> Act:
    return lambda: stage.quote(environment={"LD_PRELOAD": "/tmp/x.so"})


@accident("an input whose name climbs out of its folder", 422, "compute.bad_job_spec")
def _(stage: Stage) -> Act:
    inputs = [{"name": "../../keys/x", "dataset": "d", "version": 1}]
    return lambda: stage.quote(inputs=inputs)


@accident("an input that does not exist", 404, "input.not_found")
def _(stage: Stage) -> Act:
    return lambda: stage.quote(inputs=[{"name": "x", "dataset": "none", "version": 1}])


CLIMBING = ("../order.json", "a/../../order.json", "%2e%2e/order.json", "..%2forder.json", "/order")
for _path in CLIMBING:
    ACCIDENTS.append(
        Accident(
            f"an output path that climbs out of its folder: {_path}",
            404,
            "compute.no_such_file",
            lambda stage, path=_path: climb(stage, path),
        )
    )


def climb(stage: Stage, path: str) -> Act:
    job = make_job(stage.world)
    Attempt.objects.create(job=job, pool=job.pool, number=1)
    folder = attempt_folder(job.pk, 1)
    (folder / "outputs" / "a").mkdir(parents=True)
    (folder / "outputs" / "result").write_text("good")
    (folder / "order.json").write_text("secret")
    good = stage.member.get(f"/jobs/{job.pk}/files/result")
    assert good.getvalue() == b"good"
    return lambda: stage.member.get(f"/jobs/{job.pk}/files/{path}")


# --- files ---------------------------------------------------------------------------------------


def parquet() -> bytes:
    file = io.BytesIO()
    pl.DataFrame({"a": list(range(1_000))}).write_parquet(file)
    return file.getvalue()


DAMAGED = parquet()[:-200] + b"\0" * 200
FILES = {
    "a corrupt Parquet file": ("cases.parquet", DAMAGED, "data.unreadable_file"),
    "half of a Parquet file": ("cases.parquet", parquet()[:300], "data.unreadable_file"),
    "a CSV file called Parquet": ("cases.parquet", CSV, "data.unreadable_file"),
    "a CSV file with a short row": ("cases.csv", b"a,b\n1,2\n3\n", "data.ragged_rows"),
    "a CSV file with a long row": ("cases.csv", b"a,b\n1,2,3\n", "data.ragged_rows"),
    "a CSV file in GB 18030": ("cases.csv", "编号\n甲\n".encode("gb18030"), "data.wrong_encoding"),
    "a CSV file in UTF-16": ("cases.csv", "a,b\n1,2\n".encode("utf-16"), "data.wrong_encoding"),
    "a CSV file with one name twice": ("cases.csv", b"a,a\n1,2\n", "data.unreadable_file"),
    "a CSV file without rows": ("cases.csv", b"a,b\n", "data.unreadable_file"),
    "a file of 0 bytes": ("cases.csv", b"", "data.unreadable_file"),
    "a Parquet file of 0 bytes": ("cases.parquet", b"", "data.unreadable_file"),
    "a file of no known kind": ("cases.exe", CSV, "data.unreadable_file"),
    "a file without a name's ending": ("csv", CSV, "data.unreadable_file"),
}
for _name, (_file, _content, _code) in FILES.items():
    ACCIDENTS.append(
        Accident(
            _name,
            422,
            _code,
            lambda stage, file=_file, content=_content: upload(stage, file, content),
        )
    )


def upload(stage: Stage, name: str, content: bytes) -> Act:
    slug = stage.dataset()
    return lambda: stage.upload(slug, name, content)


@accident("a file that is there already", 409, "data.same_content")
def _(stage: Stage) -> Act:
    slug = stage.dataset()
    stage.upload(slug, "cases.csv", CSV)
    return lambda: stage.upload(slug, "again.csv", CSV)


@accident("a file larger than the limit", 413, "input.file_too_large")
def _(stage: Stage) -> Act:
    slug = stage.dataset()
    return lambda: stage.upload(slug, "cases.csv", b"a\n" + b"1\n" * 600)


# --- the request itself --------------------------------------------------------------------------


@accident("a POST without a key", 422, "input.idempotency_key_missing")
def _(stage: Stage) -> Act:
    return lambda: stage.member.client.post("/api/v1/quotes", {}, content_type="application/json")


@accident("a key used for another request", 409, "input.idempotency_mismatch")
def _(stage: Stage) -> Act:
    stage.member.post("/quotes", {"organisation": "firm", "spec": spec_data("true")}, key="k")
    other = {"organisation": "firm", "spec": spec_data("false")}
    return lambda: stage.member.post("/quotes", other, key="k")


BODIES = {
    "half of a JSON object": ('{"slug": ', 400, "http.bad_body"),
    "text that is no UTF-8": (b"\xff\xfe{}", 400, "http.bad_body"),
    "an integer of 5,000 digits": ('{"a": ' + "9" * 5_000 + "}", 400, "http.bad_body"),
    "100,000 brackets": ("[" * 100_000, 400, "http.bad_body"),
    "the character NUL in a text": ('{"slug": "a\\u0000"}', 400, "http.bad_body"),
    "half of a character": ('{"slug": "a\\ud800"}', 422, "input.invalid"),
    "a list where an object is due": ("[]", 422, "input.invalid"),
    "more bytes than a body may have": (b"x" * 4_000_001, 413, "http.too_large"),
}
for _name, (_body, _status, _code) in BODIES.items():
    ACCIDENTS.append(
        Accident(
            f"a body with {_name}",
            _status,
            _code,
            lambda stage, body=_body: lambda: raw(stage.member, "/organisations", body),
        )
    )


ADDRESSES = {
    "the character NUL in a query": ("/organisations?text=%00", 400, "http.bad_request"),
    "the character NUL in a path": ("/organisations/%00", 400, "http.bad_request"),
    "a limit of nought": ("/organisations?limit=0", 422, "input.invalid"),
    "a cursor made up": ("/organisations?cursor=!", 422, "input.invalid"),
    "an instant in the future": ("/indicators?as_of=9999-12-31T00:00:00Z", 422, "input.invalid"),
    "an instant before time": (
        "/indicators?as_of=0001-01-01T00:00:00%2B23:59",
        422,
        "input.invalid",
    ),
    "a number no column holds": ("/plans/x?version=" + "9" * 30, 404, "input.not_found"),
    "a log's byte that no disk holds": (
        f"/jobs/{uuid4()}/log?offset=" + "9" * 30,
        422,
        "input.invalid",
    ),
    "a route that is none": ("/nothing", 404, "http.not_found"),
}
for _name, (_path, _status, _code) in ADDRESSES.items():
    ACCIDENTS.append(
        Accident(
            f"an address with {_name}",
            _status,
            _code,
            lambda stage, path=_path: lambda: stage.member.get(path),
        )
    )


@pytest.mark.django_db
@pytest.mark.parametrize("case", ACCIDENTS, ids=lambda case: case.name)
def test_an_accident_has_its_name_and_moves_nothing(
    case: Accident, monkeypatch: pytest.MonkeyPatch
) -> None:
    if case.code == "input.file_too_large":
        monkeypatch.setenv("HAIHE_UPLOAD_LIMIT_BYTES", "1000")
    stage = Stage()
    act = case.prepare(stage)
    before = books()
    answer = act()
    assert (answer.status_code, answer.json()["code"]) == (case.status, case.code), answer.content
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["detail"]
    assert books() == before
    assert audit(CONSOLE).balanced
