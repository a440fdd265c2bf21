"""One job through the whole chain on a real scheduler: quote, placement, run, metering, bill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from haihe.compute.agent.backends import backend_from
from haihe.compute.agent.config import FILE, read_pools
from haihe.compute.agent.journal import Journal
from haihe.compute.agent.runner import Agent
from haihe.compute.domain import FINAL, JobState, Usage, price_usage, round_lines, total_micro
from haihe.compute.models import Attempt, Decision, Job, Pool, UsageRecord
from haihe.compute.services import agents, centres, jobs
from haihe.compute.services.dispatch import plan_round
from haihe.compute.services.embedded import embedded_agents
from haihe.compute.services.jobs import attempt_folder
from haihe.compute.tasks import DirectLink
from haihe.kernel.money import MICRO
from haihe.kernel.settings import load_settings
from haihe.ledger.services import audit
from haihe.policy.domain import system_principal
from tests.compute.factories import GIB, cash_of, give_cash, make_quote
from tests.sides import Side, make_side

PATIENCE_S = 120.0
PAID_IN = 100 * MICRO
POOL = "north/gpu"
GPU_MODEL = "h200"
COMMAND = "echo 你好; id -un; echo x > $HAIHE_OUTPUTS/x; sleep 2"


@dataclass(frozen=True)
class Market:
    """A centre with one pool of GPUs, and a firm with money."""

    operator: Side
    firm: Side


def make_market(backend: Pool.Backend) -> Market:
    """The pool is run by ``backend``."""
    operator, firm = make_side("operator", "centre-operator"), make_side("firm")
    give_cash(firm.organisation, PAID_IN // MICRO)
    centres.create_centre(operator.manager, operator="operator", slug="north", name="北方中心")
    centres.create_pool(
        operator.manager, "north", slug="gpu", cpu_milli=4_000, memory_bytes=4 * GIB,
        gpu_milli=2_000, gpu_model=GPU_MODEL,
    )  # fmt: skip
    Pool.objects.update(backend=backend)
    centres.set_offer(
        operator.manager, POOL, cpu_hour_micro=360 * MICRO, gpu_hour_micro=3_600 * MICRO
    )
    return Market(operator, firm)


@contextmanager
def embedded_agent(pool: str) -> Iterator[Callable[[], object]]:
    """The centre's agent in this process, told of its pool by a file; yields what it does next."""
    [row] = embedded_agents()
    folder = load_settings().home / "agents" / row.centre.slug
    folder.mkdir(parents=True)
    (folder / FILE).write_text(f"[pools.gpu]\n{pool}")
    journal = Journal(folder)
    backends = {name: backend_from(name, data, folder) for name, data in read_pools(folder).items()}
    agent = Agent(
        journal=journal, link=DirectLink(row.pk), backends=backends, folder=attempt_folder
    )
    try:
        yield agent.step
    finally:
        journal.close()


@contextmanager
def separate_agent(
    market: Market, url: str, folder: Path, pool: str
) -> Iterator[Callable[[], object]]:
    """The centre's agent as its operator runs it: a process that speaks HTTP."""
    token = agents.invite_agent(market.operator.manager, "north").token
    environment = {
        "PATH": os.environ["PATH"],
        "HAIHE_HOME": str(folder / "home"),
        "HAIHE_CONFIG": os.devnull,
        "HAIHE_LANGUAGE": "en",
    }
    haihe = [str(Path(sys.executable).with_name("haihe")), "agent"]
    place = ["--folder", str(folder / "agent")]
    joined = subprocess.run(
        [*haihe, "enrol", "--url", url, "--token", token, *place],
        env=environment, check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert joined.returncode == 0, joined.stderr
    with (folder / "agent" / FILE).open("a") as file:
        file.write(f"[pools.gpu]\n{pool}")
    with (
        (folder / "agent.log").open("wb") as log,
        subprocess.Popen(
            [*haihe, "run", *place], env=environment, stdout=log, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            _wait_until_heard(process, folder / "agent.log")
            yield lambda: time.sleep(0.1)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=30)


def _wait_until_heard(process: subprocess.Popen[bytes], log: Path) -> None:
    """Until then its centre gets no jobs."""
    deadline = time.monotonic() + PATIENCE_S
    while not Pool.objects.filter(reported_at__isnull=False).exists():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


def run_job(market: Market, step: Callable[[], object]) -> Attempt:
    """Quote, submit and run a job that sleeps for two seconds on one GPU; its one attempt."""
    firm = market.firm
    quote = make_quote(firm.member, "sh", "-c", COMMAND, cpu_milli=2_000, gpu_milli=1_000)
    job = jobs.submit_job(firm.member, quote.pk)
    assert cash_of(firm.organisation).held_micro == quote.amount_micro > 0
    deadline = time.monotonic() + PATIENCE_S
    while not Job.objects.filter(pk=job.pk, state__in=FINAL).exists():
        assert time.monotonic() < deadline, Attempt.objects.values().last()
        plan_round()
        step()
    found = jobs.find_job(firm.member, job.pk)
    assert (found.state, found.exit_code) == (JobState.SUCCEEDED, 0), found.message
    assert [(file.path, file.bytes) for file in jobs.list_outputs(firm.member, job.pk)] == [
        ("x", 2)
    ]
    [placed] = Decision.objects.filter(job=job, occasion=Decision.Occasion.PLACED)
    assert POOL in str(placed.result)
    [attempt] = found.tries()
    return attempt


def log_of(market: Market, attempt: Attempt) -> str:
    """What the job printed, as the firm reads it."""
    return jobs.read_log(market.firm.member, attempt.job_id).text


def check_metered(attempt: Attempt, used: Usage, measured_by: str) -> None:
    """The usage record is what the centre measured, to the last digit."""
    record = UsageRecord.objects.get(attempt=attempt)
    assert (record.measured_by, record.doubts) == (measured_by, [])
    assert {name: getattr(record, name) for name in asdict(used)} == asdict(used)


def check_settled(market: Market, attempt: Attempt, used: Usage) -> None:
    """The firm has paid for what was measured, and nothing is left open."""
    job = jobs.find_job(market.firm.member, attempt.job_id)
    owed = total_micro(round_lines(price_usage(used, job.quote.offer.price)))
    assert job.settlement.amount_micro == owed > 0
    firm, operator = cash_of(market.firm.organisation), cash_of(market.operator.organisation)
    assert (firm.available_micro, firm.held_micro) == (PAID_IN - owed, 0)
    assert (operator.available_micro, operator.held_micro) == (owed, 0)
    books = audit(system_principal("test"))
    assert (books.balanced, books.open_pending) == (True, 0)
