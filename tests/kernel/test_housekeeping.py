"""What has served its purpose is removed; what is still needed, and the books, never."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from django.contrib.sessions.models import Session

from haihe.data.services import blob_store
from haihe.data.tasks import forget_drafts
from haihe.kernel import beats, tasks
from haihe.kernel.clock import now
from haihe.kernel.models import IdempotencyRecord, OutboxDelivery, OutboxEvent
from haihe.kernel.settings import load_settings
from haihe.kernel.tasks import forget_old_rows, remove
from haihe.parties.models import ApiToken, Invitation
from haihe.parties.tasks import forget_expired
from tests.factories import make_organisation, make_person

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def files(home: Path) -> Path:
    return home


def answered(key: str, at: datetime) -> None:
    IdempotencyRecord.objects.create(
        key=key, principal="person:1", request_hash="", status=201, body="", created_at=at
    )


def event(topic: str, at: datetime, *states: str) -> None:
    made = OutboxEvent.objects.create(topic=topic, payload={}, created_at=at)
    for number, state in enumerate(states):
        OutboxDelivery.objects.create(event=made, handler=str(number), state=state)


def test_kept_answers_are_removed_after_their_days() -> None:
    at, days = now(), load_settings().idempotency_days
    answered("old", at - (days * DAY) - timedelta(seconds=1))
    answered("young", at - (days * DAY) + timedelta(seconds=1))
    assert forget_old_rows(at) == "1 kept answers, 0 events removed"
    assert [row.key for row in IdempotencyRecord.objects.all()] == ["young"]


def test_events_stay_until_everybody_has_heard_of_them() -> None:
    at = now()
    old = at - (load_settings().retention_days + 1) * DAY
    event("nobody listens", old)
    event("heard", old, "delivered", "delivered")
    event("waits", old, "delivered", "waiting")
    event("given up", old, "dead")
    event("young", at, "delivered")
    forget_old_rows(at)
    left = set(OutboxEvent.objects.values_list("topic", flat=True))
    assert left == {"waits", "given up", "young"}
    assert OutboxDelivery.objects.count() == 4


def test_removing_stops_at_its_limit_and_goes_on_the_next_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tasks, "BATCH", 2)
    monkeypatch.setattr(tasks, "BATCHES", 2)
    OutboxEvent.objects.bulk_create(OutboxEvent(topic="x", payload={}) for _ in range(7))
    assert [remove(OutboxEvent.objects.all()) for _ in range(3)] == [4, 3, 0]


def test_what_opens_nothing_any_more_is_removed() -> None:
    at = now()
    long_ago = at - (load_settings().retention_days + 1) * DAY
    person, organisation = make_person(), make_organisation()
    for name, ends in {"old": long_ago, "recent": at - DAY, "valid": at + DAY}.items():
        Session.objects.create(session_key=name, session_data="", expire_date=ends)
        ApiToken.objects.create(
            person=person, name=name, hint="", token_hash=name, scopes=[], expires_at=ends
        )
        Invitation.objects.create(
            organisation=organisation,
            role="member",
            token_hash=name,
            invited_by=person,
            expires_at=ends,
        )
    assert forget_expired(at) == "2 sessions, 1 invitations, 1 tokens removed"
    assert [row.session_key for row in Session.objects.all()] == ["valid"]
    assert set(ApiToken.objects.values_list("name", flat=True)) == {"recent", "valid"}
    assert Invitation.objects.count() == 2


def test_a_draft_that_a_crash_left_is_removed_and_one_being_written_is_not() -> None:
    folder = blob_store().folder
    assert forget_drafts(now()) == "0 drafts removed", "there may be no folder yet"
    folder.mkdir(parents=True)
    for name in ("draft-left", "draft-written", "ab"):
        (folder / name).write_bytes(b"x")
    long_ago = (now() - 2 * DAY).timestamp()
    for name in ("draft-left", "ab"):
        os.utime(folder / name, (long_ago, long_ago))
    assert forget_drafts(now()) == "1 drafts removed"
    assert sorted(path.name for path in folder.iterdir()) == ["ab", "draft-written"]


def test_the_whole_round_runs_once_an_hour() -> None:
    names = {rhythm.name for rhythm in beats.rhythms()}
    assert {"kernel.forget", "parties.forget", "data.forget"} <= names
    assert beats.run_due() == len(names)
    assert beats.run_due() == 0
