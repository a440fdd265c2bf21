"""Canonical JSON is RFC 8785 for the subset that is accepted, and the rest is refused by name."""

from __future__ import annotations

import json
from enum import IntEnum, StrEnum
from typing import Any
from uuid import UUID

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from haihe.evidence.domain import (
    MAX_DATA_BYTES,
    MAX_DEPTH,
    MAX_INTEGER,
    MAX_PARTIES,
    canonical,
    checked_fact,
    entry_text,
    read_json,
    timestamp,
)
from haihe.evidence.errors import EntryTooLarge, NotCanonical
from tests.evidence.factories import BEGAN, CENTRE, CLINIC

keys = st.text(st.characters(max_codepoint=127), max_size=8)
texts = st.text(st.characters(exclude_categories=["Cs"]))
scalars = (
    st.none() | st.booleans() | st.integers(min_value=-MAX_INTEGER, max_value=MAX_INTEGER) | texts
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)
names = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=30)


@given(values)
def test_the_text_is_that_of_an_independent_rfc_8785_library(value: Any) -> None:
    assert canonical(value).encode() == rfc8785.dumps(value)


@given(values)
def test_what_is_written_reads_back_the_same_however_it_was_laid_out(value: Any) -> None:
    assert read_json(canonical(value).encode()) == value
    laid_out = json.dumps(value, indent=2).encode()
    assert canonical(read_json(laid_out)) == canonical(value)


def test_enumerations_are_written_as_their_values() -> None:
    class Kind(StrEnum):
        HOSPITAL = "hospital"

    class Grade(IntEnum):
        B = 2

    assert canonical({"kind": Kind.HOSPITAL, "grade": Grade.B}) == '{"grade":2,"kind":"hospital"}'


@pytest.mark.parametrize(
    ("value", "path", "reason"),
    [
        ({"score": 0.5}, "data.score", "float"),
        ({"a": [1, {"b": MAX_INTEGER + 1}]}, "data.a[1].b", "2^53"),
        ({"a": -MAX_INTEGER - 1}, "data.a", "2^53"),
        ({"a": float("nan")}, "data.a", "float"),
        ({"名": 1}, "data", "ASCII"),
        ({1: "one"}, "data", "ASCII"),
        ({"a": "\ud800"}, "data.a", "surrogate"),
        ({"a": UUID(int=1)}, "data.a", "UUID"),
        ({"a": BEGAN}, "data.a", "datetime"),
        ({"a": b"bytes"}, "data.a", "bytes"),
        ({"a": {1, 2}}, "data.a", "set"),
    ],
)
def test_what_readers_could_disagree_on_is_refused_by_place_and_reason(
    value: Any, path: str, reason: str
) -> None:
    with pytest.raises(NotCanonical) as refused:
        canonical(value)
    assert refused.value.path == path
    assert reason in refused.value.reason


def test_depth_is_limited() -> None:
    nested: Any = "core"
    for _ in range(MAX_DEPTH):
        nested = [nested]
    assert canonical(nested)
    with pytest.raises(NotCanonical, match="deep"):
        canonical([nested])


@pytest.mark.parametrize(
    "line",
    [
        b'{"a":1,"a":1}',
        b'{"a":1.0}',
        b'{"a":1e2}',
        b'{"a":NaN}',
        b"\xff",
        b"",
        b"[" * 100_000,
        b"1" * 5_000,
        b'{"a":1}{"b":2}',
        b'\xef\xbb\xbf{"a":1}',
    ],
)
def test_json_that_could_be_read_in_two_ways_is_not_read(line: bytes) -> None:
    with pytest.raises(NotCanonical):
        read_json(line)


@given(
    index=st.integers(min_value=0, max_value=MAX_INTEGER),
    subject=names,
    actor=names,
    parties=st.sets(st.uuids(), max_size=3),
    data=st.dictionaries(keys, values, max_size=3),
)
def test_an_entry_put_together_from_its_parts_is_canonical(
    index: int, subject: str, actor: str, parties: set[UUID], data: dict[str, Any]
) -> None:
    fact = checked_fact(
        UUID(int=9), "job.settled", subject=subject, actor=actor, data=data, parties=parties
    )
    text = entry_text(
        index=index,
        id=fact.id,
        at=timestamp(BEGAN),
        kind=fact.kind,
        subject=fact.subject,
        actor=fact.actor,
        parties_json=fact.parties_json,
        data_json=fact.data_json,
    )
    assert text.encode() == rfc8785.dumps(
        {
            "index": index,
            "id": str(UUID(int=9)),
            "at": "2026-01-01T00:00:00.000000Z",
            "kind": "job.settled",
            "subject": subject,
            "actor": actor,
            "parties": sorted(str(party) for party in parties),
            "data": data,
        }
    )


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"kind": "settled"}, "kind"),
        ({"kind": "Job.settled"}, "kind"),
        ({"kind": "job." + "x" * 80}, "kind"),
        ({"subject": ""}, "subject"),
        ({"subject": "a\nb"}, "subject"),
        ({"subject": "\ud800"}, "subject"),
        ({"actor": "x" * 201}, "actor"),
        ({"parties": ["clinic"]}, "parties"),
        ({"parties": [UUID(int=n) for n in range(MAX_PARTIES + 1)]}, "parties"),
    ],
)
def test_a_fact_that_breaks_a_rule_is_refused_by_its_part(
    changes: dict[str, Any], path: str
) -> None:
    good = {"kind": "job.settled", "subject": "job:1", "actor": "system:x", "parties": [CLINIC]}
    parts = good | changes
    with pytest.raises(NotCanonical) as refused:
        checked_fact(UUID(int=1), data={}, **parts)
    assert refused.value.path == path


def test_an_entry_holds_facts_and_not_content() -> None:
    def fact(length: int) -> None:
        content = {"a": "海" * length}
        checked_fact(UUID(int=1), "job.settled", subject="job:1", actor="system:x", data=content)

    overhead = len('{"a":""}')
    fact((MAX_DATA_BYTES - overhead) // 3)
    with pytest.raises(EntryTooLarge):
        fact((MAX_DATA_BYTES - overhead) // 3 + 1)


def test_parties_are_named_once_and_in_order() -> None:
    fact = checked_fact(
        UUID(int=1),
        "job.settled",
        subject="job:1",
        actor="system:x",
        data={},
        parties=[CENTRE, CLINIC, CENTRE],
    )
    assert fact.parties == (CLINIC, CENTRE)
    assert json.loads(fact.parties_json) == [str(CLINIC), str(CENTRE)]
