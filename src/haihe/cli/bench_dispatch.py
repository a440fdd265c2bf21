"""The dispatch benchmark: a whole queue planned at once, and the same one by one.

The queue is in the database, as a dispatcher finds it: reading it, looking at every pool, scoring
every kind of job on every pool and ordering all jobs are all in ``seconds``. Writing placements is
not: their number follows the capacity, not the queue.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import sys
import time
from dataclasses import dataclass, replace
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "haihe.app.settings")
django.setup()

from django.core.management import call_command  # noqa: E402

from haihe.cli.bench_ground import job_row, quote_row  # noqa: E402
from haihe.compute.domain import (  # noqa: E402
    GIB,
    JobSpec,
    Objective,
    most_usage,
    price_usage,
    total_micro,
)
from haihe.compute.domain.choice import PoolFacts  # noqa: E402
from haihe.compute.models import (  # noqa: E402
    Attempt,
    Centre,
    Job,
    JobKind,
    Node,
    Offer,
    Pool,
    Quote,
    Reservation,
)
from haihe.compute.services.dispatch import plan_queue  # noqa: E402
from haihe.compute.services.embedded import embed_agent  # noqa: E402
from haihe.compute.services.facts import wish_of  # noqa: E402
from haihe.compute.services.kinds import Bid, keep_kind, read_kind  # noqa: E402
from haihe.compute.services.view import View  # noqa: E402
from haihe.kernel.clock import now  # noqa: E402
from haihe.kernel.work import unit_of_work  # noqa: E402
from haihe.parties.models import Organisation, Person  # noqa: E402

SEED = 1
ORGANISATIONS = 50


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    rounds: int = 5
    one_by_one: int = 200
    lengths: tuple[int, ...] = (1_000, 10_000, 100_000)


FULL = Sizes()
QUICK = Sizes(rounds=1, one_by_one=2, lengths=(5, 10))
SHAPES = [
    (cpu, memory * GIB, gpu, wall)
    for cpu in (1_000, 4_000, 16_000)
    for memory, gpu in ((2, 0), (16, 0), (32, 1_000), (32, 500))
    for wall in (600, 3_600, 86_400)
]


def measure(centres: int, queued: int, sizes: Sizes = FULL) -> dict[str, Any]:
    """The whole benchmark, on an empty database."""
    call_command("migrate", verbosity=0)
    rng = random.Random(SEED)  # noqa: S311 (reproducible, not secret)
    kinds = _kinds(_network(centres, rng))
    _run_some(kinds[0][1])
    by_length, there, found = {}, 0, {}
    for length in sorted({*sizes.lengths, queued}):
        _queue(length - there, kinds, rng)
        there = length
        times, placed = _plan_times(sizes.rounds)
        middle = statistics.median(times)
        by_length[str(length)] = round(middle / length * 1e3, 4)
        if length == queued:
            found = {
                "placed": placed,
                "seconds": round(middle, 3),
                "spread": round((max(times) - min(times)) / middle, 3),
                "one_by_one_seconds": round(_one_by_one(queued, sizes.one_by_one), 1),
                **_different(sizes.rounds),
            }
    return {
        "centres": centres,
        "queued": queued,
        "kinds": len(kinds),
        **found,
        "one_by_one_measured_on": min(queued, sizes.one_by_one),
        "per_job_ms": by_length,
        "per_job_ratio": round(
            by_length[str(sizes.lengths[-1])] / by_length[str(sizes.lengths[0])], 3
        ),
    }


def _network(centres: int, rng: random.Random) -> dict[Pool, Offer]:
    operator = _organisation("operator", "centre-operator")
    offers = {}
    for number in range(centres):
        centre = Centre.objects.create(
            operator=operator, slug=f"centre-{number}", name=f"Centre {number}"
        )
        nodes = rng.randint(2, 12)
        pool = Pool.objects.create(
            centre=centre,
            slug="pool",
            backend=Pool.Backend.LOCAL,
            cpu_milli=nodes * 64_000,
            memory_bytes=nodes * 512 * GIB,
            gpu_milli=nodes * 8_000,
            gpu_model="A100-80GB",
        )
        with unit_of_work():
            embed_agent(centre)
        Node.objects.bulk_create(
            Node(
                pool=pool, name=f"n{node:03}", condition="up", cpu_milli=64_000,
                memory_bytes=512 * GIB, gpus=8, gpu_model="A100-80GB", reported_at=now(),
            )
            for node in range(nodes)
        )  # fmt: skip
        offers[pool] = Offer.objects.create(
            pool=pool,
            cpu_hour_micro=rng.randint(100_000, 400_000),
            gpu_hour_micro=rng.randint(5_000_000, 20_000_000),
            begins_at=now(),
        )
    return offers


def _organisation(slug: str, kind: str = "enterprise") -> Organisation:
    return Organisation.objects.create(slug=slug, name=slug, kind=kind, credit_code=slug[:18])


def _kinds(offers: dict[Pool, Offer]) -> list[tuple[JobKind, Quote]]:
    """Every shape under every objective, with a quote for each."""
    firm = _organisation("firm")
    person = Person.objects.create(email="bench@haihe.test", name="Bench")
    first = next(iter(offers))
    made = []
    for cpu, memory, gpu, wall in SHAPES:
        for objective in Objective:
            spec = JobSpec(
                name="bench",
                command=("true",),
                cpu_milli=cpu,
                memory_bytes=memory,
                gpu_milli=gpu,
                wall_s=wall,
                objective=objective,
            )
            bids = [_bid(spec, pool, offer) for pool, offer in offers.items()]
            with unit_of_work():
                kind = keep_kind(replace(wish_of(spec, now()), deadline_in_s=None), bids)
            quote = quote_row(
                spec, organisation=firm, offer=offers[first], person=person, expires_at=now()
            )
            quote.save()
            made.append((kind, quote))
    return made


def _bid(spec: JobSpec, pool: Pool, offer: Offer) -> Bid:
    amount = total_micro(price_usage(most_usage(spec), offer.price))
    facts = PoolFacts(
        pool=str(pool),
        whole=pool.capacity,
        free=pool.capacity,
        largest=pool.capacity,
        fitting_nodes=1,
        gpu_model=pool.gpu_model,
        amount_micro=amount,
        payable_micro=amount,
    )
    return Bid(pool.pk, offer.pk, facts)


def _queue(count: int, kinds: list[tuple[JobKind, Quote]], rng: random.Random) -> None:
    """Add waiting jobs of many organisations."""
    for number in range(Organisation.objects.count(), ORGANISATIONS):
        _organisation(f"firm-{number}")
    firms = list(Organisation.objects.all())
    there = Job.objects.count()
    Job.objects.bulk_create(
        (
            job_row(
                quote,
                rng.choice(firms),
                array_index=there + number,
                kind=kind,
                priority=rng.choice((0, 0, 0, 5)),
            )
            for number, (kind, quote) in enumerate(rng.choices(kinds, k=count))
        ),
        batch_size=5_000,
    )


def _run_some(quote: Quote) -> None:
    """On every node but one of each pool a job runs that holds the most of it."""
    index = 1_000_000
    for pool in Pool.objects.select_related("centre"):
        for node in list(pool.nodes.order_by("name"))[1:]:
            index += 1
            job = job_row(quote, quote.organisation, array_index=index, state="running")
            job.pool, job.provider = pool, pool.centre.operator
            job.save()
            Reservation.objects.create(
                job=job, pool=pool, cpu_milli=62_000, memory_bytes=500 * GIB, gpu_milli=7_000,
                wall_s=3_600, holds=[], placed_at=now(),
            )  # fmt: skip
            seat = {"node": node.name, "gpus": list(range(7)), "gpu_milli_each": 1_000}
            Attempt.objects.create(
                job=job, pool=pool, number=1, state="running", claimed_at=now(),
                started_at=now(), seats=[seat],
            )  # fmt: skip


def _different(rounds: int) -> dict[str, Any]:
    """The same queue with each job of a kind of its own: the same pools, another limit."""
    kept = JobKind.objects.in_bulk()
    waiting = list(Job.objects.filter(state="queued").order_by("pk"))
    before = {job.pk: job.kind_id for job in waiting}
    made = []
    for number, job in enumerate(waiting):
        base = kept[job.kind_id or ""]
        wish = {**base.wish, "wall_s": base.wish["wall_s"] + number}
        made.append(JobKind(key=f"{number:064}", wish=wish, bids=base.bids))
        job.kind_id = made[-1].pk
    JobKind.objects.bulk_create(made, batch_size=500)
    Job.objects.bulk_update(waiting, ["kind"], batch_size=500)
    times, placed = _plan_times(rounds)
    for job in waiting:
        job.kind_id = before[job.pk]
    Job.objects.bulk_update(waiting, ["kind"], batch_size=500)
    JobKind.objects.exclude(pk__in=kept).delete()
    return {
        "different_kinds": len(made),
        "different_placed": placed,
        "different_seconds": round(statistics.median(times), 3),
    }


def _plan_times(rounds: int) -> tuple[list[float], int]:
    times, placed = [], 0
    for _ in range(rounds):
        began = time.perf_counter()
        planned = plan_queue()
        times.append(time.perf_counter() - began)
        assert planned is not None
        placed = len(planned.plan.placements)
    return times, placed


def _one_by_one(queued: int, most: int) -> float:
    """Each job read, and scored on every pool as it is then: a sample, scaled to the queue."""
    queued_jobs = Job.objects.filter(state="queued").order_by("pk")
    sample = list(queued_jobs.values_list("pk", flat=True)[:most])
    began = time.perf_counter()
    for pk in sample:
        job = Job.objects.select_related("kind").get(pk=pk)
        assert job.kind is not None
        View.of(now()).choice_of(read_kind(job.kind))
    return (time.perf_counter() - began) / len(sample) * queued


if __name__ == "__main__":
    size = QUICK if sys.argv[3] == "quick" else FULL
    print(json.dumps(measure(int(sys.argv[1]), int(sys.argv[2]), size)))  # noqa: T201
