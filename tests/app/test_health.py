"""Live, ready and metrics: what whoever watches the installation is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from haihe.evidence.services import record
from haihe.kernel import beats, metrics
from haihe.kernel.clock import now, use_clock
from haihe.kernel.health import WRITTEN
from haihe.kernel.models import Beat, OutboxDelivery, OutboxEvent
from haihe.kernel.settings import load_settings
from haihe.kernel.work import unit_of_work
from haihe.policy.domain import system_principal
from tests.triggers import PROTECTED, lifted_triggers

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "metrics.md"


@pytest.fixture(autouse=True)
def files(home: Path) -> Path:
    return home


@pytest.fixture
def at_work(db: None) -> None:
    """An installation whose workers have come round once."""
    beats.alive("dispatcher")
    beats.run_due()


def ready(status: int) -> dict[str, Any]:
    """The lines of an answer that has this status."""
    answer = Client().get("/health/ready")
    assert answer.status_code == status, answer.content
    body = answer.json()
    assert body["status"] == ("ready" if status == 200 else "not ready")
    checks: dict[str, Any] = body["checks"]
    return checks


def states(checks: dict[str, Any]) -> dict[str, str]:
    return {name: line["state"] for name, line in checks.items()}


def test_a_process_is_live_without_a_database() -> None:
    answer = Client().get("/health/live")
    assert (answer.status_code, answer.json()) == (200, {"status": "live"})


@pytest.mark.usefixtures("at_work")
def test_everything_that_must_hold_has_a_line() -> None:
    checks = ready(200)
    names = (
        "database",
        "migrations",
        "disk",
        "events",
        "evidence",
        "entries",
        "dispatcher",
        "services",
    )
    assert states(checks) == dict.fromkeys(names, "ok")
    assert checks["disk"]["minimum_bytes"] == load_settings().disk_minimum_bytes
    assert checks["disk"]["free_bytes"] > checks["disk"]["minimum_bytes"]
    assert checks["evidence"]["age_s"] < 60
    assert checks["dispatcher"]["age_s"] < 60
    assert checks["events"]["dead"] == 0


@pytest.mark.django_db
def test_an_installation_that_just_began_is_ready_with_warnings() -> None:
    checks = ready(200)
    assert checks["evidence"]["state"] == checks["dispatcher"]["state"] == "warning"
    assert "haihe up" in checks["dispatcher"]["text"]


@pytest.mark.usefixtures("at_work")
def test_a_database_that_takes_no_writes_is_not_ready() -> None:
    sqlite = connection.vendor == "sqlite"
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA query_only = ON" if sqlite else "SET TRANSACTION READ ONLY")
    try:
        assert states(ready(503))["database"] == "failed"
    finally:
        if sqlite:
            with connection.cursor() as cursor:
                cursor.execute("PRAGMA query_only = OFF")


@contextmanager
def database_away() -> Iterator[None]:
    def fail(*_: object, **__: object) -> None:
        raise OperationalError("connection to 10.0.0.5 as haihe failed")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection, "cursor", fail)
        yield


@pytest.mark.usefixtures("at_work")
def test_a_database_that_does_not_answer_is_not_ready_and_its_words_stay_inside() -> None:
    with database_away():
        checks = ready(503)
    assert states(checks)["database"] == "failed"
    assert "10.0.0.5" not in str(checks)


@pytest.mark.usefixtures("at_work")
def test_a_database_of_an_older_version_is_not_ready() -> None:
    MigrationRecorder(connection).record_unapplied("kernel", "0003_beats_and_ages")
    checks = ready(503)
    assert checks["migrations"]["missing"] == ["kernel.0003_beats_and_ages"]
    assert "haihe init" in checks["migrations"]["text"]
    assert "evidence" not in checks, "what its tables cannot answer is not asked"


@pytest.mark.usefixtures("at_work")
def test_a_disk_with_less_room_than_the_setting_asks_for_is_not_ready(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HAIHE_DISK_MINIMUM_BYTES", str(10**18))
    load_settings.cache_clear()
    assert states(ready(503))["disk"] == "failed"


@pytest.mark.usefixtures("at_work")
def test_a_dispatcher_that_fell_silent_is_told() -> None:
    later = now() + timedelta(minutes=5)
    with use_clock(lambda: later):
        checks = ready(503)
        assert states(checks)["dispatcher"] == "failed"
        assert checks["dispatcher"]["age_s"] >= 300
        beats.alive("dispatcher")
        ready(200)


@pytest.mark.usefixtures("at_work")
def test_evidence_that_nobody_has_verified_for_long_is_told() -> None:
    later = now() + timedelta(hours=2)
    with use_clock(lambda: later):
        beats.alive("dispatcher")
        assert states(ready(503))["evidence"] == "failed"
        beats.run_due()
        ready(200)


def test_evidence_that_contradicts_its_witness_is_not_ready(committed: Path) -> None:
    with unit_of_work():
        record("test.fact", subject="x:1", actor=system_principal("test"), data={})
    beats.run_due()
    assert "1 entries" in ready(200)["evidence"]["text"]
    with lifted_triggers() as execute:
        for table in PROTECTED[:6]:
            execute(f"DELETE FROM {table}")
    later = now() + timedelta(minutes=11)
    with use_clock(lambda: later):
        beats.run_due()
        assert states(ready(503))["evidence"] == "failed"


@pytest.mark.usefixtures("at_work")
def test_a_dead_letter_is_a_warning() -> None:
    event = OutboxEvent.objects.create(topic="x", payload={})
    OutboxDelivery.objects.create(event=event, handler="y", state="dead")
    checks = ready(200)
    assert (checks["events"]["state"], checks["events"]["dead"]) == ("warning", 1)


@pytest.mark.django_db
def test_to_be_asked_often_does_not_wear_out_the_disk() -> None:
    ready(200)
    at = now()
    with use_clock(lambda: at):
        ready(200)
        before = _written()
        ready(200)
        assert _written() == before


def _written() -> object:
    return Beat.objects.get(name=WRITTEN).began_at


def families(client: Client) -> dict[str, Any]:
    text = client.get("/metrics").content.decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


@pytest.mark.usefixtures("at_work")
def test_metrics_parse_and_each_of_ours_is_in_the_reference() -> None:
    client = Client()
    client.get("/health/live")
    found = families(client)
    documented = REFERENCE.read_text("utf-8")
    ours = {name for name in found if name.startswith("haihe_") and not name.endswith("_created")}
    assert ours == {name for name, _, _ in metrics.described()}
    for name in ours:
        assert f"`{name}`" in documented
        assert found[name].documentation
    beat = {s.labels["beat"]: s.value for s in found["haihe_beat_age_seconds"].samples}
    assert 0 <= beat["evidence.verify"] < 60
    deliveries = {s.labels["state"]: s.value for s in found["haihe_outbox_deliveries"].samples}
    assert deliveries == {"waiting": 0, "dead": 0}


@pytest.mark.django_db
def test_a_caller_cannot_make_a_metric_for_each_method_of_their_own() -> None:
    client = Client()
    for number in range(3):
        client.generic(f"BREW{number}", "/health/live")
    samples = families(client)["haihe_http_request_seconds"].samples
    methods = {sample.labels["method"] for sample in samples}
    assert "other" in methods
    assert methods <= {*metrics.METHODS, "other"}


@pytest.mark.django_db
def test_the_process_s_metrics_are_told_while_the_database_is_away() -> None:
    with database_away():
        found = families(Client())
    assert "haihe_http_request_seconds" in found
    assert "haihe_outbox_deliveries" not in found
