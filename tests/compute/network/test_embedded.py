"""The platform's own process as the agent of centres that have none."""

from __future__ import annotations

from pathlib import Path

import pytest

from haihe.compute.domain.terms import PoolTerms
from haihe.compute.models import Pool
from haihe.compute.services import centres
from haihe.compute.services.network import PoolState, look_at_network
from haihe.compute.tasks import Dispatcher
from haihe.policy.domain import ANONYMOUS
from tests.compute.conftest import POOL
from tests.compute.factories import run_job
from tests.sides import Side

pytestmark = pytest.mark.django_db


def told(home: Path, text: str) -> None:
    folder = home / "agents" / "north"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "agent.toml").write_text(text)


def tick(dispatcher: Dispatcher) -> None:
    """Long enough to greet, to look, and to tell."""
    for _ in range(4):
        dispatcher.tick()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[pools.cpu]\nbackend = 'slurm'\nnonsense = 1\n", "pools.cpu.nonsense"),
        ("[pools.cpu]\nbackend = 'slurm'\nrest_url = 'http://localhost'\n", "token_file"),
        ("[pools.cpu\n", "line 1"),
    ],
)
def test_a_pool_that_it_cannot_reach_says_why_and_takes_nothing(
    operator: Side, home: Path, text: str, reason: str
) -> None:
    centres.update_pool(operator.manager, POOL, PoolTerms(backend="slurm"))
    told(home, text)
    with Dispatcher() as dispatcher:
        tick(dispatcher)
    [centre] = look_at_network(ANONYMOUS).centres
    assert centre.pools[0].state is PoolState.FAULT
    assert reason in Pool.objects.get().fault


def test_what_is_told_of_a_pool_counts_from_the_next_step_on(
    operator: Side, firm: Side, home: Path
) -> None:
    with Dispatcher() as dispatcher:
        told(home, "[pools.cpu\n")
        centres.update_pool(operator.manager, POOL, PoolTerms(backend="slurm"))
        tick(dispatcher)
        assert Pool.objects.get().fault
        centres.update_pool(operator.manager, POOL, PoolTerms())
        told(home, "[pools.cpu]\nbackend = 'local'\n")
        tick(dispatcher)
        assert not Pool.objects.get().fault
    assert run_job(firm.member, "true").state == "succeeded"
