"""kill -9 at every named point and at random instants: nothing is lost, and nothing done twice."""

from __future__ import annotations

import random
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.faults.harness import ROOT, copy_home, finish, kill_after, start

pytestmark = pytest.mark.faults

RANDOM_KILLS = 12
WORKERS = 2
# How often each point is tried, from its first passing on. Points inside every unit of work are
# passed dozens of times: those are sampled over the whole run.
COUNTS: dict[str, tuple[int, ...]] = {
    "work.before_commit": (1, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22),
    "work.after_commit": (1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21),
    "evidence.flushed": (1, 4, 8, 12, 15),
    "ledger.transferred": (1, 2, 3, 4, 5),
}


def crash_points() -> list[str]:
    """Every name in the source."""
    found: set[str] = set()
    for path in (ROOT / "src").rglob("*.py"):
        found |= set(re.findall(r'(?<!def )crash_point\(\s*"([a-z._]+)"', path.read_text()))
    return sorted(found)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("prepared") / "home"
    home.mkdir()
    assert finish(start("prepare", home)) == 0
    return home


def test_every_crash_point_recovers(prepared: Path, tmp_path: Path) -> None:
    points = crash_points()
    assert len(points) >= 8
    cases = [f"{name}:{count}" for name in points for count in COUNTS.get(name, (1,))]

    def one(case: str) -> tuple[str, int, int]:
        home = copy_home(prepared, tmp_path / case)
        killed = finish(start("run", home, HAIHE_CRASH_AT=case))
        return case, killed, finish(start("check", home))

    with ThreadPoolExecutor(WORKERS) as pool:
        outcomes = list(pool.map(one, cases))
    assert [case for case, _, checked in outcomes if checked != 0] == []
    killed = {case.partition(":")[0] for case, code, _ in outcomes if code == -signal.SIGKILL}
    assert killed == set(points), "every point must really have been passed"


def test_kills_at_random_instants_recover(prepared: Path, tmp_path: Path) -> None:
    chance = random.Random(20261122)

    def one(number: int) -> int:
        home = copy_home(prepared, tmp_path / str(number))
        for _ in range(2):
            process = start("run", home)
            kill_after(process, chance.uniform(0.5, 4.0))
            process.communicate()
        return finish(start("check", home))

    with ThreadPoolExecutor(WORKERS) as pool:
        outcomes = list(pool.map(one, range(RANDOM_KILLS)))
    assert outcomes == [0] * RANDOM_KILLS
