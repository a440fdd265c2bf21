"""What a log of lines for machines says of a request."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from django.test import Client

from haihe.kernel import http
from haihe.kernel.logs import configure_logs, log_context
from haihe.kernel.settings import HaiheSettings, load_settings

Said = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Iterator[Said]:
    """The lines that were written, as an installation with JSON logs writes them."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    configure_logs(HaiheSettings(log_format="json", log_level="info"))
    # A logger keeps the level of when it was first used.
    monkeypatch.setattr(http, "log", structlog.get_logger("http"))
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    configure_logs(load_settings())


def test_a_request_is_a_line_with_its_id_and_a_probe_is_none(said: Said) -> None:
    Client().get("/health/live")
    answer = Client().get("/no/such/page%00", headers={"X-Request-ID": "r-7"})
    [line] = [line for line in said() if line.get("event") == "http"]
    assert line["request_id"] == answer["X-Request-ID"] == "r-7"
    assert (line["status"], line["level"]) == (400, "info")
    assert line["ms"] >= 0


def test_what_is_bound_is_on_every_line_within_and_on_none_after(said: Said) -> None:
    log = structlog.get_logger("work")
    with log_context(job_id="j-1"):
        log.info("begun")
    log.info("ended")
    begun, ended = said()
    assert (begun["event"], begun["job_id"]) == ("begun", "j-1")
    assert "job_id" not in ended
