"""kill -9 at every named point and at random instants: nothing is lost, and nothing done twice."""

from __future__ import annotations

import random
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

import pytest

from tests.faults.conftest import WORKERS
from tests.faults.harness import Nursery, copy_home, crash_points

pytestmark = pytest.mark.faults

RANDOM_KILLS = 40
# How often each point is tried, from its first passing on. Points inside every unit of work are
# passed dozens of times: those are sampled over the whole run.
COUNTS: dict[str, tuple[int, ...]] = {
    "work.before_commit": tuple(range(1, 27)),
    "work.after_commit": tuple(range(1, 26)),
    "evidence.flushed": tuple(range(1, 17)),
    "ledger.transferred": (1, 2, 3, 4, 5),
}


def test_every_crash_point_recovers(
    nurseries: Queue[Nursery], prepared: Path, tmp_path: Path
) -> None:
    points = crash_points()
    assert len(points) >= 8
    cases = [f"{name}:{count}" for name in points for count in COUNTS.get(name, (1,))]

    def one(case: str) -> tuple[str, int, int]:
        home = copy_home(prepared, tmp_path / case)
        nursery = nurseries.get()
        killed = nursery.run("run", home, HAIHE_CRASH_AT=case)
        checked = nursery.run("check", home)
        nurseries.put(nursery)
        return case, killed, checked

    with ThreadPoolExecutor(WORKERS) as pool:
        outcomes = list(pool.map(one, cases))
    assert [case for case, _, checked in outcomes if checked != 0] == []
    killed = {case.partition(":")[0] for case, code, _ in outcomes if code == -signal.SIGKILL}
    assert killed == set(points), "every point must really have been passed"


def test_kills_at_random_instants_recover(
    nurseries: Queue[Nursery], prepared: Path, tmp_path: Path
) -> None:
    chance = random.Random(20261122)
    instants = [[chance.uniform(0.02, 1.5) for _ in range(2)] for _ in range(RANDOM_KILLS)]

    def one(number: int) -> int:
        home = copy_home(prepared, tmp_path / str(number))
        nursery = nurseries.get()
        for seconds in instants[number]:
            nursery.run("run", home, kill_after_s=seconds)
        checked = nursery.run("check", home)
        nurseries.put(nursery)
        return checked

    with ThreadPoolExecutor(WORKERS) as pool:
        outcomes = list(pool.map(one, range(RANDOM_KILLS)))
    assert outcomes == [0] * RANDOM_KILLS
