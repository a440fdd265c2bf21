"""Events: written with their cause, delivered at least once, given up after ten tries."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import structlog

from haihe.kernel import outbox
from haihe.kernel.clock import use_clock
from haihe.kernel.errors import MissingRecord
from haihe.kernel.ids import new_id
from haihe.kernel.logs import log_context
from haihe.kernel.models import OutboxDelivery, OutboxEvent
from haihe.kernel.outbox import Event, deliver_due, emit
from haihe.kernel.work import in_unit_of_work, unit_of_work

pytestmark = pytest.mark.django_db


class Watch:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.at = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
def watch() -> Iterator[Watch]:
    clock = Watch()
    with use_clock(clock):
        yield clock


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    """A handler that remembers what it was told."""
    events: list[Event] = []
    monkeypatch.setattr(outbox, "_handlers", {"topic": {"hear": events.append}})
    return events


def send(**payload: object) -> None:
    with unit_of_work():
        emit("topic", payload)


def test_an_event_is_delivered_once(heard: list[Event]) -> None:
    send(n=1)
    assert deliver_due() == 1
    assert deliver_due() == 0
    assert [event.payload for event in heard] == [{"n": 1}]


def test_a_rolled_back_cause_announces_nothing(heard: list[Event]) -> None:
    with pytest.raises(ZeroDivisionError), unit_of_work():
        emit("topic", {})
        raise ZeroDivisionError
    assert not OutboxEvent.objects.exists()
    assert deliver_due() == 0


def test_an_event_needs_a_unit_of_work(heard: list[Event]) -> None:
    with pytest.raises(AssertionError):
        emit("topic", {})


def test_a_failing_handler_is_tried_again_later_and_then_given_up(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(event: Event) -> None:
        OutboxEvent.objects.create(topic="trace", payload={})
        raise RuntimeError("no")

    monkeypatch.setattr(outbox, "_handlers", {"topic": {"fail": fail}})
    send()
    waits = []
    for _ in range(outbox.MAX_ATTEMPTS):
        assert deliver_due() == 0
        delivery = OutboxDelivery.objects.get()
        waits.append(delivery.due_at - watch.at)
        assert deliver_due() == 0, "not before its time"
        watch.at = delivery.due_at
    assert waits == sorted(waits), "each pause is at least as long as the one before"
    assert waits[0] == outbox.BACK_OFF
    assert max(waits) <= outbox.BACK_OFF_LIMIT
    [dead] = outbox.dead_letters()
    assert "RuntimeError: no" in dead.last_error
    assert dead.attempts == outbox.MAX_ATTEMPTS
    assert outbox.backlog() == {"waiting": 0, "dead": 1}
    assert not OutboxEvent.objects.filter(topic="trace").exists(), "a failed handler is undone"


def test_a_handler_that_swallowed_a_failure_has_not_delivered(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def careless(event: Event) -> None:
        with contextlib.suppress(ZeroDivisionError), unit_of_work():
            raise ZeroDivisionError

    monkeypatch.setattr(outbox, "_handlers", {"topic": {"careless": careless}})
    send()
    assert deliver_due() == 0
    delivery = OutboxDelivery.objects.get()
    assert (delivery.state, delivery.attempts) == ("waiting", 1)
    assert "SwallowedFailure" in delivery.last_error


def test_what_takes_time_is_prepared_outside_of_the_transaction(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    within = []

    def prepare(event: Event) -> outbox.Write:
        within.append(in_unit_of_work())

        def write() -> None:
            within.append(in_unit_of_work())
            OutboxEvent.objects.create(topic="trace", payload=dict(event.payload))

        return write

    monkeypatch.setattr(outbox, "_handlers", {})
    outbox.subscribe_prepared("topic", "slow", prepare)
    send(n=1)
    assert deliver_due() == 1
    assert within == [False, True]
    assert OutboxEvent.objects.get(topic="trace").payload == {"n": 1}


def test_a_preparation_that_fails_is_tried_again(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepare(event: Event) -> outbox.Write:
        raise RuntimeError("not now")

    monkeypatch.setattr(outbox, "_handlers", {})
    outbox.subscribe_prepared("topic", "slow", prepare)
    send()
    assert deliver_due() == 0
    assert "not now" in OutboxDelivery.objects.get().last_error


def test_what_a_handler_logs_and_causes_belongs_to_the_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[dict[str, object]] = []

    def hear(event: Event) -> None:
        said.append(structlog.contextvars.get_contextvars())
        emit("caused", {})

    monkeypatch.setattr(outbox, "_handlers", {"topic": {"hear": hear}})
    with log_context(request_id="r-1"):
        send()
    assert deliver_due() == 1
    event = OutboxEvent.objects.get(topic="topic")
    assert said == [{"request_id": "r-1", "event_id": str(event.pk), "handler": "hear"}]
    assert OutboxEvent.objects.get(topic="caused").request_id == "r-1"
    assert structlog.contextvars.get_contextvars() == {}


def test_a_dead_letter_can_be_sent_again(watch: Watch, heard: list[Event]) -> None:
    send()
    OutboxDelivery.objects.update(state="dead", attempts=10, finished_at=watch.at)
    [dead] = outbox.dead_letters()
    outbox.retry_dead_letter(dead.pk)
    assert deliver_due() == 1
    assert len(heard) == 1
    with pytest.raises(MissingRecord):
        outbox.retry_dead_letter(new_id())


def test_a_delivery_held_by_a_living_worker_is_left_alone(watch: Watch, heard: list[Event]) -> None:
    send()
    pk = OutboxDelivery.objects.get().pk
    token = OutboxDelivery.objects.claim(pk, at=watch.at, ttl=timedelta(seconds=60))
    assert token is not None
    assert deliver_due() == 0
    watch.at += timedelta(seconds=61)
    assert deliver_due() == 1, "its lease ran out"


def test_a_lease_is_held_by_one(watch: Watch, heard: list[Event]) -> None:
    send()
    rows = OutboxDelivery.objects
    pk, ttl = rows.get().pk, timedelta(seconds=10)
    first = rows.claim(pk, at=watch.at, ttl=ttl)
    assert first is not None
    assert rows.claim(pk, at=watch.at, ttl=ttl) is None
    assert rows.renew(pk, first, at=watch.at, ttl=ttl)
    late = watch.at + timedelta(seconds=11)
    second = rows.claim(pk, at=late, ttl=ttl)
    assert second not in (None, first)
    assert not rows.renew(pk, first, at=late, ttl=ttl), "the late worker's token is dead"
    assert not rows.release(pk, first)
    assert rows.release(pk, second)  # type: ignore[arg-type]


def test_a_clock_that_was_set_back_holds_up_no_delivery(watch: Watch, heard: list[Event]) -> None:
    send()
    watch.at -= timedelta(days=1)
    assert deliver_due() == 1, "a first try has no time to wait for"
    send()
    OutboxDelivery.objects.filter(state="waiting").update(
        attempts=3, due_at=watch.at + timedelta(days=1)
    )
    assert deliver_due() == 1, "no pause is so long"


def test_a_lease_from_before_the_clock_was_set_back_is_not_waited_for(watch: Watch) -> None:
    OutboxEvent.objects.create(topic="topic", payload={})
    row = OutboxDelivery.objects.create(event=OutboxEvent.objects.get(), handler="h")
    rows, ttl = OutboxDelivery.objects, timedelta(seconds=10)
    first = rows.claim(row.pk, at=watch.at, ttl=ttl)
    assert first is not None
    assert rows.claim(row.pk, at=watch.at - ttl, ttl=ttl) is None, "two clocks may differ so much"
    earlier = watch.at - timedelta(hours=1)
    assert rows.renew(row.pk, first, at=earlier, ttl=ttl), "its holder lives and puts it right"
    assert rows.claim(row.pk, at=earlier, ttl=ttl) is None
    rows.filter(pk=row.pk).update(lock_expires_at=watch.at + ttl)
    assert rows.claim(row.pk, at=earlier, ttl=ttl) not in (None, first)
