"""The chain over several kinds of centre: one plan's jobs, each placed where its objective leads.

Beside the demonstration's own centre stand a real Slurm and a real Ray, started from a checkout's
``tests/integration`` for as long as the demonstration runs. Prices, power and links of the three
are made up so that cheapest, soonest and greenest are three different places.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.utils.translation import gettext as _

from haihe.cli.demo import Demo
from haihe.cli.demo_ground import CENTRE, FIRM, OPERATOR, POOL
from haihe.compute.agent.backends import backend_from
from haihe.compute.agent.config import FILE
from haihe.compute.domain import Objective, spec_from
from haihe.compute.domain.choice import MICRO_CNY, Choice, Term, choice_from, reason_of
from haihe.compute.domain.terms import CentreTerms, PoolTerms
from haihe.compute.models import Centre, Contract, Pool, UsageRecord
from haihe.compute.services import centres, jobs
from haihe.compute.services.files import keep_file
from haihe.compute.services.quotes import request_quote
from haihe.compute.tasks import Dispatcher
from haihe.data import services as data
from haihe.kernel.errors import InvalidField
from haihe.kernel.money import MICRO, format_micro
from haihe.kernel.phrases import translated
from haihe.kernel.settings import load_settings

SLUG = "demo-{kind}"
CAPACITY_TICKS = 4
OBJECTIVES = (Objective.CHEAPEST, Objective.SOONEST, Objective.GREENEST)
# A bootstrap of the mean radius: work of a second, on the input that the agreement lets in.
SCRIPT = b"""\
import csv, os, random, statistics
folder = os.environ["HAIHE_INPUTS"]
with open(os.path.join(folder, os.listdir(folder)[0]), newline="") as file:
    values = [float(row["mean_radius"]) for row in csv.DictReader(file)]
random.seed(1)
means = sorted(statistics.fmean(random.choices(values, k=len(values))) for _ in range(8_000))
with open(os.path.join(os.environ["HAIHE_OUTPUTS"], "interval.txt"), "w") as file:
    print(f"{means[200]:.4f} {means[7799]:.4f}", file=file)
print(f"mean radius {statistics.fmean(values):.4f}, 95 % {means[200]:.4f} to {means[7799]:.4f}")
"""


@dataclass(frozen=True)
class Made:
    """What is made up of a kind of centre."""

    name: str
    name_en: str
    terms: CentreTerms
    watts_busy: int
    cpu_hour_micro: int
    minimum_micro: int


# The demonstration's own centre shares the platform's disk, so that nothing moves to it.
OWN = CentreTerms(region="Tianjin", carbon_g_per_kwh=560)
MADE = {
    "slurm": Made(
        "海河演示超算（Slurm）",
        "Haihe demo supercomputer (Slurm)",
        CentreTerms(region="Hebei", carbon_g_per_kwh=590, link_bytes_per_s=300),
        watts_busy=400,
        cpu_hour_micro=6 * MICRO // 10,
        minimum_micro=MICRO // 10,
    ),
    "ray": Made(
        "海河演示绿色中心（Ray）",
        "Haihe demo green centre (Ray)",
        CentreTerms(region="Inner Mongolia", carbon_g_per_kwh=60, link_bytes_per_s=300),
        watts_busy=300,
        cpu_hour_micro=15 * MICRO // 10,
        minimum_micro=3 * MICRO // 10,
    ),
}


@dataclass
class NetworkDemo(Demo):
    """The chain, and then a job for each objective, over the platform's centre and ``kinds``."""

    kinds: tuple[str, ...] = field(kw_only=True)

    def run(self) -> dict[str, Any]:
        """Carry it out; the facts of each step, with ``network`` as those of each further job."""
        facts = super().run()
        contract = Contract.objects.get(number=facts["voucher"]["contract"])
        with ExitStack() as stack:
            pools = [self._connect(kind, stack.enter_context(running(kind))) for kind in self.kinds]
            stack.callback(self._drain, pools)
            self._own_terms()
            self._look_once()
            facts["network"] = [self._job(objective, contract) for objective in OBJECTIVES]
        return facts

    def _own_terms(self) -> None:
        operator = self._principal(OPERATOR)
        centres.update_centre(operator, CENTRE, OWN)
        centres.update_pool(operator, f"{CENTRE}/{POOL}", PoolTerms(watts_idle=60, watts_busy=250))

    def _connect(self, kind: str, fields: Mapping[str, Any]) -> Pool:
        """The centre of a kind, with a pool as large as its scheduler says, open and priced."""
        made, slug, operator = MADE[kind], SLUG.format(kind=kind), self._principal(OPERATOR)
        folder = load_settings().home / "agents" / slug
        folder.mkdir(parents=True, exist_ok=True)
        lines = "".join(f"{name} = {_toml(value)}\n" for name, value in fields.items())
        (folder / FILE).write_text(f"[pools.{kind}]\n{lines}", "utf-8")
        nodes = backend_from(kind, fields, folder).report().nodes
        if not Centre.objects.filter(slug=slug).exists():
            centres.create_centre(
                operator, operator=OPERATOR.slug, slug=slug, name=made.name,
                name_en=made.name_en, terms=made.terms,
            )  # fmt: skip
            centres.create_pool(
                operator,
                slug,
                slug=kind,
                cpu_milli=sum(node.cpu_milli for node in nodes),
                memory_bytes=sum(node.memory_bytes for node in nodes),
                terms=PoolTerms(backend=kind, watts_idle=50, watts_busy=made.watts_busy),
            )
            centres.set_offer(
                operator,
                f"{slug}/{kind}",
                cpu_hour_micro=made.cpu_hour_micro,
                minimum_micro=made.minimum_micro,
            )
        pool = centres.set_pool_open(operator, f"{slug}/{kind}", is_open=True)
        self.say(
            _("centre"),
            _("{pool}: {nodes} nodes, {price} per CPU-hour").format(
                pool=pool, nodes=len(nodes), price=format_micro(made.cpu_hour_micro)
            ),
        )
        return pool

    def _drain(self, pools: list[Pool]) -> None:
        """Their schedulers end with the demonstration."""
        for pool in pools:
            centres.set_pool_open(self._principal(OPERATOR), str(pool), is_open=False)

    def _look_once(self) -> None:
        """Let the agents report, so that quotes are made on what is there."""
        with Dispatcher() as dispatcher:
            for _tick in range(CAPACITY_TICKS):
                dispatcher.tick()

    def _job(self, objective: Objective, contract: Contract) -> dict[str, Any]:
        firm = self._principal(FIRM)
        script = keep_file(firm, [SCRIPT], organisation=FIRM.slug)
        version = data.find_version(firm, self.showcase.dataset)
        spec = spec_from(
            {
                "name": f"bootstrap-{objective}",
                "command": ["python3", "bootstrap.py"],
                "objective": objective,
                "wall_s": 120,
                "memory_bytes": 256 << 20,
                "inputs": [
                    {"name": "cases", "dataset": version.dataset.slug, "version": version.number}
                ],
                "files": [{"path": "bootstrap.py", "sha256": script.sha256}],
            }
        )
        quote = request_quote(firm, spec, organisation=FIRM.slug, contract=contract.number)
        choice = choice_from(quote.comparison["result"])
        for line in comparison_of(choice):
            self.say(str(objective), line)
        job = jobs.submit_job(firm, quote.pk)
        self._wait_for(job)
        job = jobs.find_job(firm, job.pk)
        self._report_job(job)
        usage = UsageRecord.objects.get(attempt__job=job)
        return {
            "objective": objective,
            "job": str(job.pk),
            "state": job.state,
            "pool": str(job.pool),
            "backend": job.pool.backend,
            "measured_by": usage.measured_by,
            "cpu_seconds": usage.cpu_ms / 1e3,
            "amount_micro": job.settlement.amount_micro,
            "log": jobs.read_log(firm, job.pk).text,
            "comparison": choice.as_dict(),
        }


def check_kinds(kinds: tuple[str, ...]) -> None:
    """Refuse kinds that are not known.

    Raises
    ------
    InvalidField
        That names the first of them.
    """
    for kind in kinds:
        if kind not in MADE:
            rule = f"give any of {', '.join(MADE)}"
            raise InvalidField(field="with", value=kind, rule=rule)


def comparison_of(choice: Choice) -> list[str]:
    """A line on each pool: its score and what that is made of, or why it may not."""
    lines = []
    for verdict in choice.verdicts:
        if verdict.score is None:
            lines.append(translated(reason_of(verdict.pool, verdict.failed[0])))
            continue
        mark = "->" if verdict.pool == choice.chosen else "  "
        terms = ", ".join(map(_term, verdict.terms))
        lines.append(f"{mark} {verdict.pool} {verdict.score:.3f} ({terms})")
    return lines


def _term(term: Term) -> str:
    value = "?" if term.value is None else f"{term.value:g} {term.unit}".strip()
    if term.unit == MICRO_CNY and term.value is not None:
        value = format_micro(int(term.value))
    return f"{term.name} {value}: {term.score:.2f} x {term.weight:g}"


@contextmanager
def running(kind: str) -> Iterator[Mapping[str, Any]]:
    """A cluster of a kind for as long as the block lasts; how an agent reaches it.

    Raises
    ------
    InvalidField
        If it does not start here; the message says why.
    """
    module = f"tests.integration.{kind}"
    with subprocess.Popen(  # noqa: S603 (our own module)
        [sys.executable, "-m", module, "--toml"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            text = "".join(iter(process.stdout.readline, "\n"))
            if process.poll() is not None:
                why = process.stderr.read().strip().splitlines()
                rule = why[-1] if why else f"{module} ended; run it in a checkout"
                raise InvalidField(field="with", value=kind, rule=rule)
            yield tomllib.loads(text)
        finally:
            process.terminate()


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f'"{key}" = {_toml(one)}' for key, one in value.items()) + " }"
    return f'"{Path(value)}"' if isinstance(value, Path) else repr(value).replace("'", '"')
