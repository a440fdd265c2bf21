"""The one call of a dispatcher: seats for what waits, around what runs."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from haihe.compute.placement import Ask, Node, Placement, Request, pack
from haihe.compute.placement.errors import NoRoom
from haihe.kernel.errors import InvalidField, MissingRecord
from tests.compute.placement.making import cpu_only, node, pools, requests, share, whole
from tests.compute.placement.test_cluster import assert_within_capacity

POOL = [node("a", gpus=2), node("b", gpus=2)]


def test_jobs_are_seated_in_their_turn_and_the_rest_is_left_out() -> None:
    asks = [
        Ask(key="first", request=whole(2), nodes=2),
        Ask(key="second", request=share(500)),
        Ask(key="third", request=cpu_only(1)),
    ]
    seats = pack(POOL, asks)
    assert {(one.node, one.gpus) for one in seats["first"]} == {("a", (0, 1)), ("b", (0, 1))}
    assert "second" not in seats
    assert [one.gpus for one in seats["third"]] == [()]


def test_what_runs_keeps_its_gpus() -> None:
    running = [
        Placement(node="a", gpus=(0,), request=share(500)),
        Placement(node="a", gpus=(1,), request=whole(1)),
        Placement(node="b", gpus=(1,), request=share(900)),
    ]
    seats = pack(POOL, [Ask(key="job", request=share(500))], running=running)
    assert seats["job"] == (Placement(node="a", gpus=(0,), request=share(500)),)
    seats = pack(POOL, [Ask(key="job", request=whole(1))], running=running)
    assert seats["job"] == (Placement(node="b", gpus=(0,), request=whole(1)),)


def test_only_the_models_asked_for_will_do() -> None:
    pool = [node("a", model="A"), node("b", model="B")]
    assert pack(pool, [Ask(key="job", request=whole(1, models="B"))])["job"][0].node == "b"
    assert pack(pool, [Ask(key="job", request=whole(1, models="C"))]) == {}


@given(nodes=pools(), wanted=st.lists(st.tuples(requests(), st.integers(1, 3)), max_size=12))
@settings(max_examples=40, deadline=None)
def test_two_rounds_never_take_more_than_there_is(
    nodes: list[Node], wanted: list[tuple[Request, int]]
) -> None:
    asks = [
        Ask(key=str(number), request=request, nodes=count)
        for number, (request, count) in enumerate(wanted)
    ]
    first = pack(nodes, asks[::2])
    running = [placement for seats in first.values() for placement in seats]
    second = pack(nodes, asks[1::2], running=running)
    for ask in asks:
        seats = {**first, **second}.get(ask.key, ())
        assert len({seat.node for seat in seats}) in (0, ask.nodes)
    running += [placement for seats in second.values() for placement in seats]
    assert_within_capacity(nodes, running)


def test_what_does_not_add_up_is_refused() -> None:
    ask = Ask(key="job", request=share(500))
    with pytest.raises(InvalidField, match="give each key once"):
        pack(POOL, [ask, ask])
    with pytest.raises(MissingRecord):
        pack(POOL, [ask], running=[Placement(node="c", gpus=(), request=cpu_only(1))])
    with pytest.raises(NoRoom):
        pack(POOL, [ask], running=[Placement(node="a", gpus=(2,), request=share(1))])
    with pytest.raises(InvalidField, match="1 to 100,000 nodes"):
        pack([], [ask])
    assert pack(POOL, []) == {}


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("gpu_milli", {"gpus": 2, "gpu_milli": 500}),
        ("gpu_milli", {"gpus": 1, "gpu_milli": 0}),
        ("gpu_milli", {"gpus": 0, "gpu_milli": 500}),
        ("gpus", {"gpus": -1, "gpu_milli": 0}),
        ("models", {"models": frozenset("A")}),
        ("cpu_milli", {"cpu_milli": 1.5}),
    ],
)
def test_a_request_that_means_nothing_is_refused(field: str, values: dict[str, int]) -> None:
    with pytest.raises(InvalidField) as raised:
        Request(**{"cpu_milli": 1, "memory_mib": 1, **values})  # type: ignore[arg-type]
    assert raised.value.field == field
