"""Periodic work: once when due, by one process, with word of how it came out."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from haihe.kernel import beats, health
from haihe.kernel.clock import use_clock
from haihe.kernel.errors import StaleEdit
from haihe.kernel.health import State
from haihe.kernel.models import Beat

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


class Watch:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.at = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    monkeypatch.setattr(beats, "_rhythms", {})
    clock = Watch()
    with use_clock(clock):
        yield clock


@pytest.fixture
def done(watch: Watch) -> list[datetime]:
    """The instants at which an hourly work was done."""
    instants: list[datetime] = []

    def work(at: datetime) -> str:
        instants.append(at)
        return "done"

    beats.every(HOUR, "hourly", work)
    return instants


def test_work_is_done_at_once_and_then_in_its_interval(watch: Watch, done: list[datetime]) -> None:
    assert beats.run_due() == 1
    assert beats.run_due() == 0
    watch.at += HOUR - timedelta(seconds=1)
    assert beats.run_due() == 0
    watch.at += timedelta(seconds=1)
    assert beats.run_due() == 1
    assert len(done) == 2
    beat = Beat.objects.get(name="hourly")
    assert (beat.ended_at, beat.is_good, beat.text) == (watch.at, True, "done")


def test_what_another_process_began_is_left_to_it(watch: Watch, done: list[datetime]) -> None:
    beats.run_due()
    watch.at += HOUR
    assert Beat.objects.claim("hourly", at=watch.at, every=HOUR), "the other one is faster"
    assert beats.run_due() == 0
    assert len(done) == 1


def test_a_clock_that_was_set_back_holds_no_work_up(watch: Watch, done: list[datetime]) -> None:
    beats.run_due()
    watch.at -= timedelta(days=3)
    assert beats.run_due() == 1


@pytest.mark.parametrize(
    ("error", "word"),
    [(StaleEdit(path="/x"), "input.stale_edit"), (ZeroDivisionError("no"), "ZeroDivisionError")],
)
def test_what_fails_is_written_down_stops_nothing_and_is_tried_again_soon(
    watch: Watch, error: Exception, word: str
) -> None:
    def fail(at: datetime) -> str:
        raise error

    beats.every(HOUR, "fails", fail)
    beats.every(HOUR, "works", lambda at: "fine")
    assert beats.run_due() == 2
    beat = Beat.objects.get(name="fails")
    assert beat.is_good is False
    assert beat.text.startswith(word)
    assert health.of_beat("fails", interval=HOUR).state is State.FAILED
    watch.at += beats.AGAIN_AFTER
    assert beats.run_due() == 1, "the one that failed"


def test_work_not_done_for_long_is_a_failure_and_never_done_a_warning(
    watch: Watch, done: list[datetime]
) -> None:
    assert health.of_beat("hourly", interval=HOUR).state is State.WARNING
    beats.run_due()
    line = health.of_beat("hourly", interval=HOUR)
    assert (line.state, line.text, line.figures["age_s"]) == (State.OK, "done", 0.0)
    watch.at += 4 * HOUR
    assert health.of_beat("hourly", interval=HOUR).state is State.FAILED


def test_a_worker_is_alive_silent_or_gone(watch: Watch) -> None:
    def state() -> State:
        return health.of_worker("worker", silence=timedelta(minutes=1)).state

    assert state() is State.WARNING
    beats.alive("worker")
    assert state() is State.OK
    watch.at += timedelta(minutes=2)
    assert state() is State.FAILED
    beats.alive("worker")
    assert state() is State.OK
    watch.at -= timedelta(hours=5)
    beats.alive("worker")
    watch.at += timedelta(minutes=2)
    assert state() is State.FAILED, "a clock set back must not make the dead look alive"
    beats.leave("worker")
    assert state() is State.WARNING


def test_a_worker_writes_that_it_lives_only_now_and_then(
    watch: Watch, django_assert_num_queries: pytest.FixtureRequest
) -> None:
    beats.alive("worker")
    watch.at += beats.ALIVE_EVERY - timedelta(seconds=1)
    with django_assert_num_queries(1):  # type: ignore[operator]
        beats.alive("worker")
    watch.at += timedelta(seconds=1)
    beats.alive("worker")
    assert beats.ages() == {"worker": 0.0}
