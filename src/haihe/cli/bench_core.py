"""The core benchmark: how much our services cost over the bare parts below them.

Everything is measured in one process on one database file with ``synchronous=FULL``. Rates are
medians over the rounds of :class:`Sizes`; ``spread`` is the range over the median.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "haihe.app.settings")
django.setup()

import cedarpy  # noqa: E402 (Django must be set up before models are imported)
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from django.test import Client  # noqa: E402

from haihe.cli.bench_ground import job_row, quote_row  # noqa: E402
from haihe.compute.domain import JobSpec, JobState  # noqa: E402
from haihe.compute.models import Centre, Job, Offer, Pool, Quote  # noqa: E402
from haihe.evidence.services import record  # noqa: E402
from haihe.kernel.clock import now  # noqa: E402
from haihe.kernel.ids import new_id  # noqa: E402
from haihe.kernel.money import CNY, MICRO  # noqa: E402
from haihe.kernel.settings import load_settings  # noqa: E402
from haihe.kernel.work import unit_of_work  # noqa: E402
from haihe.ledger.domain import Kind, TransferOrder  # noqa: E402
from haihe.ledger.services import external_account, open_account, transfer  # noqa: E402
from haihe.parties.models import Membership, Organisation, Person  # noqa: E402
from haihe.policy.domain import Principal, Resource, Role, system_principal  # noqa: E402
from haihe.policy.services import is_allowed, policy_set, request_of  # noqa: E402

BENCH = system_principal("bench")
WARM_UP = 5
INSERTED_AT_ONCE = 5_000

Statement = tuple[str, Any, bool]


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    rounds: int = 5
    transfers: int = 400
    batch: int = 5_000
    entries: int = 5_000
    decisions: int = 2_000
    requests: int = 120
    jobs: tuple[int, ...] = (1_000, 10_000, 100_000)


FULL = Sizes()
QUICK = Sizes(
    rounds=1, transfers=5, batch=50, entries=20, decisions=20, requests=5, jobs=(2, 5, 10)
)


def rate(count: int, work: Callable[[], object], *, rounds: int) -> dict[str, float]:
    """How many of ``count`` things per second ``work`` does: median and spread over rounds."""
    rates = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        rates.append(count / (time.perf_counter() - began))
    middle = statistics.median(rates)
    return {"per_s": round(middle, 1), "spread": round((max(rates) - min(rates)) / middle, 3)}


# --- ledger --------------------------------------------------------------------------------------


def measure_ledger(sizes: Sizes = FULL) -> dict[str, Any]:
    """Durable transfers through the service, and the same statements in a bare sqlite3 loop."""
    debit, credit = _accounts()
    one_by_one = partial(_transfer_one_by_one, sizes.transfers, debit, credit)
    single = rate(sizes.transfers, one_by_one, rounds=sizes.rounds)
    before = _copy_database()
    statements = _recorded(one_by_one)
    bare = rate(sizes.transfers, lambda: _replay(before, statements), rounds=sizes.rounds)
    batched = rate(
        sizes.batch, lambda: transfer(_orders(sizes.batch, debit, credit)), rounds=sizes.rounds
    )
    return {
        "per_s": single["per_s"],
        "spread": single["spread"],
        "bare_per_s": bare["per_s"],
        "bare_spread": bare["spread"],
        "statements_per_transfer": round(len(statements) / sizes.transfers, 2),
        "ratio": round(single["per_s"] / bare["per_s"], 3),
        "batched_per_s": batched["per_s"],
        "batched_ratio": round(batched["per_s"] / single["per_s"], 1),
        "synchronous": _pragma("synchronous"),
        "journal_mode": _pragma("journal_mode"),
    }


def measure_transfers(sizes: Sizes = FULL) -> dict[str, float]:
    """Durable transfers through the service, on whatever database is configured."""
    one_by_one = partial(_transfer_one_by_one, sizes.transfers, *_accounts())
    return rate(sizes.transfers, one_by_one, rounds=sizes.rounds)


def _accounts() -> tuple[UUID, UUID]:
    debit = external_account(CNY)
    credit = open_account(new_id(), "cash", CNY, name="Bench")
    return debit.pk, credit.pk


def _orders(count: int, debit: UUID, credit: UUID) -> list[TransferOrder]:
    return [
        TransferOrder(
            transfer_id=new_id(),
            kind=Kind.POSTED,
            debit_account_id=debit,
            credit_account_id=credit,
            amount_micro=MICRO,
            asset=CNY,
            reason="bench",
            reference="bench",
        )
        for _ in range(count)
    ]


def _transfer_one_by_one(count: int, debit: UUID, credit: UUID) -> None:
    for order in _orders(count, debit, credit):
        transfer([order])


def _recorded(work: Callable[[], object]) -> list[Statement]:
    """The statements that ``work`` sends to the database, as the database sees them."""
    seen: list[Statement] = []

    def listen(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        sent = [tuple(row) for row in params] if many else tuple(params or ())
        seen.append((sql.replace("%s", "?"), sent, many))
        return execute(sql, sent if many else params, many, context)

    with connection.execute_wrapper(listen):
        work()
    return seen


def _copy_database() -> Path:
    """The database file as it is now, for the bare loop to repeat the statements on."""
    connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    source = Path(connection.settings_dict["NAME"])
    target = source.with_name("bare.sqlite3")
    shutil.copyfile(source, target)
    return target


def _replay(database: Path, statements: Sequence[Statement]) -> None:
    """Send recorded statements from plain Python, on a copy of the database of before."""
    work = database.with_name("work.sqlite3")
    shutil.copyfile(database, work)
    bare = sqlite3.connect(work, isolation_level=None)
    bare.execute("PRAGMA journal_mode=WAL")
    bare.execute("PRAGMA synchronous=FULL")
    for sql, params, many in statements:
        if sql.startswith("BEGIN") and bare.in_transaction:
            bare.execute("COMMIT")
        if many:
            bare.executemany(sql, params)
        else:
            bare.execute(sql, params).fetchall()
    bare.execute("COMMIT")
    bare.close()
    for path in (work, Path(f"{work}-wal"), Path(f"{work}-shm")):
        path.unlink(missing_ok=True)


def _pragma(name: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA {name}")
        return str(cursor.fetchone()[0])


# --- evidence, authorisation ---------------------------------------------------------------------


def measure_evidence(sizes: Sizes = FULL) -> dict[str, Any]:
    """Entries appended in one transaction, signed checkpoint included; and one by one."""

    def append_all() -> None:
        with unit_of_work():
            for number in range(sizes.entries):
                record("bench.entry", subject="bench", actor=BENCH, data={"number": number})

    def append_each() -> None:
        for number in range(sizes.transfers):
            with unit_of_work():
                record("bench.entry", subject="bench", actor=BENCH, data={"number": number})

    together = rate(sizes.entries, append_all, rounds=sizes.rounds)
    single = rate(sizes.transfers, append_each, rounds=sizes.rounds)
    return {
        "append_per_s": together["per_s"],
        "spread": together["spread"],
        "append_one_by_one_per_s": single["per_s"],
    }


def measure_authorize(sizes: Sizes = FULL) -> dict[str, Any]:
    """Decisions through the service, and by bare cedarpy with policies parsed beforehand."""
    organisation = new_id()
    principal = Principal(id=new_id(), memberships=frozenset({(organisation, Role.MANAGER)}))
    resource = Resource("Job", "j", organisation=organisation, creator=principal.id)

    def ours() -> None:
        for _ in range(sizes.decisions):
            assert is_allowed(principal, "job.read", resource)

    request, entities = request_of(principal, "job.read", resource)
    text, policies = str(entities), policy_set()

    def bare() -> None:
        for _ in range(sizes.decisions):
            assert cedarpy.is_authorized(request, policies, text).allowed

    parsed = cedarpy.Entities.from_json_str(text)

    def bare_parsed() -> None:
        for _ in range(sizes.decisions):
            assert cedarpy.is_authorized(request, policies, parsed).allowed

    mine, theirs, best = (
        rate(sizes.decisions, work, rounds=sizes.rounds) for work in (ours, bare, bare_parsed)
    )
    return {
        "per_s": mine["per_s"],
        "spread": mine["spread"],
        "bare_per_s": theirs["per_s"],
        "ratio": round(mine["per_s"] / theirs["per_s"], 3),
        "bare_entities_parsed_per_s": best["per_s"],
        "ratio_entities_parsed": round(mine["per_s"] / best["per_s"], 3),
    }


# --- pages ---------------------------------------------------------------------------------------


def measure_pages(sizes: Sizes = FULL) -> dict[str, Any]:
    """The job list by number of jobs, and the home page over the largest number."""
    client, made = Client(SERVER_NAME="127.0.0.1"), 0
    person, organisation, offer = _compute_ground()
    client.force_login(person)
    by_count: dict[str, float] = {}
    for count in sizes.jobs:
        _make_jobs(count - made, person, organisation, offer)
        made = count
        by_count[str(count)] = p95_ms(client, "/api/v1/jobs?limit=50", sizes.requests)
    return {
        "jobs_list": {"p95_ms": by_count, "page_p95_ms": p95_ms(client, "/jobs", sizes.requests)},
        "home": {"p95_ms": p95_ms(client, "/", sizes.requests), "jobs": made},
    }


def p95_ms(client: Client, address: str, requests: int) -> float:
    """The 95th percentile of the time to answer, in milliseconds, after a warm-up."""
    times = []
    for turn in range(requests + WARM_UP):
        began = time.perf_counter()
        response = client.get(address)
        times.append((time.perf_counter() - began) * 1e3)
        assert response.status_code == 200, (address, response.status_code)
        if turn == WARM_UP - 1:
            times.clear()
    return round(statistics.quantiles(times, n=20)[-1], 2)


def _compute_ground() -> tuple[Person, Organisation, Offer]:
    person = Person.objects.create_user("bench@haihe.test", None, name="Bench")
    organisation = Organisation.objects.create(
        slug="bench", name="Bench", kind="enterprise", credit_code="91120116MABEN00019"
    )
    Membership.objects.create(organisation=organisation, person=person, role=Role.OWNER)
    centre = Centre.objects.create(operator=organisation, slug="bench", name="Bench")
    pool = Pool.objects.create(
        centre=centre, slug="bench", backend="local", cpu_milli=1_000, memory_bytes=1 << 30
    )
    offer = Offer.objects.create(pool=pool, cpu_hour_micro=MICRO, begins_at=now())
    return person, organisation, offer


def _make_jobs(count: int, person: Person, organisation: Organisation, offer: Offer) -> None:
    spec, at = JobSpec(name="bench", command=("true",)), now()
    for begin in range(0, count, INSERTED_AT_ONCE):
        size = min(INSERTED_AT_ONCE, count - begin)
        quotes = Quote.objects.bulk_create(
            quote_row(spec, organisation=organisation, offer=offer, person=person, expires_at=at)
            for _ in range(size)
        )
        Job.objects.bulk_create(
            job_row(quote, organisation, state=JobState.SUCCEEDED, finished_at=at)
            for quote in quotes
        )


def main(part: str, size: str) -> None:
    """Measure all on SQLite, or the ledger alone on PostgreSQL; print one JSON object."""
    sizes = QUICK if size == "quick" else FULL
    load_settings().home.mkdir(parents=True, exist_ok=True)
    call_command("migrate", verbosity=0, interactive=False)
    if part == "postgres":
        result: dict[str, Any] = measure_transfers(sizes)
    else:
        result = {
            "ledger": measure_ledger(sizes),
            "evidence": measure_evidence(sizes),
            "authorize": measure_authorize(sizes),
            **measure_pages(sizes),
        }
    sys.stdout.write(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
