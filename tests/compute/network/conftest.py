"""A network of two centres and one firm, played step by step on a virtual clock."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from haihe.compute.models import Agent, Attempt, Job
from haihe.compute.services import centres
from haihe.compute.services.dispatch import plan_round
from haihe.kernel.clock import use_clock
from haihe.ledger.services import audit
from haihe.policy.domain import system_principal
from tests.compute.factories import GIB, give_cash, make_job
from tests.compute.network.world import Clock, Luck, Run, Site
from tests.sides import Side, make_side

CENTRES = ("east", "west")
FARE_MICRO = 3_600_000


@dataclass
class Play:
    """Two centres whose agents are not the platform's own, a firm with money, and the time."""

    seller: Side
    firm: Side
    clock: Clock
    sites: dict[str, Site]

    def submit(self, *, wall_s: int = 600) -> Job:
        return make_job(self.firm.member, cpu_milli=500, wall_s=wall_s)

    def go(self, steps: int, seconds: float = 60, *, away: str = "") -> None:
        """Steps of everybody, but for a centre whose link is away."""
        for _ in range(steps):
            self.clock.pass_time(seconds)
            for slug, site in self.sites.items():
                if slug != away:
                    site.step()
            plan_round()

    def at(self, job: Job) -> Site:
        return self.sites[Attempt.objects.filter(job=job).latest("number").pool.centre.slug]

    def running(self, *, begins_s: float = 0, lasts_s: float = 300) -> tuple[Job, Run]:
        """A job that its centre has, and its run there, with times of the test's choice."""
        job = self.submit(wall_s=3_600)
        plan_round()
        self.go(3, 0.01)
        run = self.at(job).scheduler.runs[str(Attempt.objects.get(job=job).pk)]
        run.starts_at = self.clock.at + timedelta(seconds=begins_s)
        run.ends_at = run.starts_at + timedelta(seconds=lasts_s)
        return job, run


@pytest.fixture
def play(home: Path, tmp_path: Path) -> Iterator[Play]:
    seller, firm = make_side("operator", "centre-operator"), make_side("firm")
    for slug in CENTRES:
        centres.create_centre(seller.manager, operator="operator", slug=slug, name=slug)
        centres.create_pool(
            seller.manager, slug, slug="pool", cpu_milli=2_000, memory_bytes=4 * GIB
        )
        centres.set_offer(seller.manager, f"{slug}/pool", cpu_hour_micro=FARE_MICRO)
    give_cash(firm.organisation, 1_000)
    luck, clock = Luck(random.Random(1), badness=0), Clock()
    luck.is_good = True
    rows = list(Agent.objects.select_related("centre"))
    for row in rows:
        Agent.objects.filter(pk=row.pk).update(public_key=str(row.pk))
    with use_clock(clock):
        sites = {
            row.centre.slug: Site(row.centre.slug, row.pk, "pool", tmp_path / row.centre.slug, luck)
            for row in rows
        }
        play = Play(seller, firm, clock, sites)
        play.go(3, 1)
        yield play
        for site in sites.values():
            site.stop()
    assert audit(system_principal("test")).balanced
