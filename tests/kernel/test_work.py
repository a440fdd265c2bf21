"""One use case, one transaction."""

from __future__ import annotations

import pytest
from django.db import OperationalError

from haihe.kernel.errors import StorageUnavailable
from haihe.kernel.models import OutboxEvent
from haihe.kernel.work import SwallowedFailure, before_commit, in_unit_of_work, unit_of_work

pytestmark = pytest.mark.django_db


def make(topic: str) -> None:
    OutboxEvent.objects.create(topic=topic, payload={})


def test_inner_units_join_the_outer_one() -> None:
    with pytest.raises(ZeroDivisionError), unit_of_work():
        with unit_of_work():
            make("inner")
        raise ZeroDivisionError
    assert not OutboxEvent.objects.exists()


def test_a_failed_inner_unit_that_was_caught_does_not_pass_for_success() -> None:
    with pytest.raises(SwallowedFailure), unit_of_work():
        make("outer")
        try:
            with unit_of_work():
                raise ZeroDivisionError
        except ZeroDivisionError:
            pass
    assert not OutboxEvent.objects.exists()


def test_what_must_happen_last_happens_once_and_at_the_end() -> None:
    order: list[str] = []
    with unit_of_work():
        before_commit("a", lambda: order.append("a"))
        with unit_of_work():
            before_commit("a", lambda: order.append("again"))
        order.append("work")
    assert order == ["work", "a"]
    assert not in_unit_of_work()


def test_what_must_happen_last_fails_the_whole() -> None:
    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), unit_of_work():
        make("x")
        before_commit("fail", fail)
    assert not OutboxEvent.objects.exists()


def test_a_full_disk_reads_as_what_it_is() -> None:
    with pytest.raises(StorageUnavailable, match="database or disk is full"), unit_of_work():
        raise OperationalError("database or disk is full")
