"""What must hold of every policy, whatever comes and goes."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from haihe.compute.placement import GPU_MILLI, POLICIES, Cluster, Node, Placement, Request
from haihe.compute.placement.errors import NoRoom
from haihe.kernel.errors import InvalidField, MissingRecord
from tests.compute.placement.making import (
    cluster_of,
    cpu_only,
    node,
    pools,
    requests,
    share,
    whole,
)

# What comes (True) or goes (False), and which of what runs then goes.
STEPS = st.lists(st.tuples(st.booleans(), requests(), st.integers(0, 99)), min_size=1, max_size=30)
policies = pytest.mark.parametrize("policy", POLICIES)


def walk(cluster: Cluster, steps: list[tuple[bool, Request, int]]) -> list[Placement]:
    """Take the steps; what runs at the end."""
    running: list[Placement] = []
    for comes, request, which in steps:
        if comes:
            placement = cluster.place(request)
            running += [placement] if placement else []
        elif running:
            cluster.release(running.pop(which % len(running)))
    return running


def assert_within_capacity(nodes: list[Node], running: list[Placement]) -> None:
    for one in nodes:
        here = [placement for placement in running if placement.node == one.name]
        assert sum(placement.request.cpu_milli for placement in here) <= one.cpu_milli
        assert sum(placement.request.memory_mib for placement in here) <= one.memory_mib
        used: Counter[int] = Counter()
        for placement in here:
            request = placement.request
            assert len(set(placement.gpus)) == request.gpus
            assert not request.models or one.gpu_model in request.models
            for gpu in placement.gpus:
                used[gpu] += request.gpu_milli
        assert all(0 <= gpu < one.gpus and milli <= GPU_MILLI for gpu, milli in used.items())


@policies
@given(nodes=pools(), steps=STEPS)
@settings(max_examples=25, deadline=None)
def test_no_node_and_no_gpu_is_ever_over_its_capacity(
    policy: str, nodes: list[Node], steps: list[tuple[bool, Request, int]]
) -> None:
    cluster = cluster_of(nodes, policy, [request for _, request, _ in steps])
    running = walk(cluster, steps)
    assert_within_capacity(nodes, running)
    assert Counter(cluster.live) == Counter(running)


@policies
@given(nodes=pools(), steps=STEPS, request=requests())
@settings(max_examples=25, deadline=None)
def test_a_request_is_turned_away_only_if_no_node_has_room(
    policy: str, nodes: list[Node], steps: list[tuple[bool, Request, int]], request: Request
) -> None:
    cluster = cluster_of(nodes, policy, [request])
    walk(cluster, steps)
    state = cluster.state
    good = [not request.models or state.models[m] in request.models for m in state.model]
    possible = bool((state.fits(request.shape, slice(None)) & good).any())
    assert (cluster.place(request) is not None) == possible


@policies
@given(nodes=pools(), steps=STEPS)
@settings(max_examples=25, deadline=None)
def test_what_is_released_leaves_no_trace(
    policy: str, nodes: list[Node], steps: list[tuple[bool, Request, int]]
) -> None:
    history = [request for _, request, _ in steps]
    used, fresh = cluster_of(nodes, policy, history), cluster_of(nodes, policy, history)
    running = walk(used, steps)
    for placement in running[1:]:
        used.release(placement)
    for placement in running[:1]:
        fresh.occupy(placement)
    for name in ("cpu_free", "memory_free", "gpu_free", "gpu_most", "gpu_whole", "held"):
        assert np.array_equal(getattr(used.state, name), getattr(fresh.state, name)), name
    for request in history:
        # One step apart is noise of the last digits, where an estimate lies between two steps.
        assert np.abs(used.keys(request.shape) - fresh.keys(request.shape)).max() <= 1


@policies
@given(nodes=pools(), steps=STEPS)
@settings(max_examples=15, deadline=None)
def test_the_same_requests_get_the_same_places(
    policy: str, nodes: list[Node], steps: list[tuple[bool, Request, int]]
) -> None:
    history = [request for _, request, _ in steps]
    first = walk(cluster_of(nodes, policy, history), steps)
    assert first == walk(cluster_of(nodes[::-1], policy, history), steps)


@policies
def test_a_share_stays_on_one_gpu_and_whole_gpus_are_nobody_elses(policy: str) -> None:
    cluster = cluster_of([node("a", gpus=2)], policy)
    first = cluster.place(share(600))
    assert first is not None
    second = cluster.place(share(600))
    assert second is not None
    assert {first.gpus, second.gpus} == {(0,), (1,)}
    # 800 milli-GPUs are free, but on two GPUs.
    assert cluster.place(share(500)) is None
    assert cluster.place(whole(1)) is None
    cluster.release(first)
    found = cluster.place(whole(1))
    assert found is not None
    assert found.gpus == first.gpus


@policies
def test_a_gang_is_seated_on_different_nodes_or_not_at_all(policy: str) -> None:
    cluster = cluster_of([node(name, gpus=2) for name in "abc"], policy)
    placed = cluster.place_gang(whole(1), 3)
    assert {placement.node for placement in placed} == {"a", "b", "c"}
    # Room for three in all, but on three nodes only.
    assert cluster.place_gang(whole(1), 4) == ()
    assert len(list(cluster.live)) == 3
    with pytest.raises(InvalidField):
        cluster.place_gang(whole(1), 0)


@policies
def test_a_closed_node_keeps_what_it_runs_and_gets_nothing_more(policy: str) -> None:
    closed = Node(name="a", cpu_milli=8_000, memory_mib=9_000, gpus=1, is_open=False)
    cluster = cluster_of([closed], policy)
    running = Placement(node="a", gpus=(0,), request=share(300))
    cluster.occupy(running)
    assert cluster.place(share(300)) is None
    assert cluster.place(cpu_only(1)) is None
    cluster.release(running)
    assert cluster.state.gpu_free[0, 0] == GPU_MILLI


@policies
def test_a_pool_without_gpus_is_packed_too(policy: str) -> None:
    cluster = cluster_of([node("a", gpus=0, cpu=2)], policy, [cpu_only(1)])
    assert cluster.place(cpu_only(2)) is not None
    assert cluster.place(cpu_only(1)) is None
    assert cluster.place(share(1)) is None


def test_what_cannot_run_there_is_refused() -> None:
    cluster = cluster_of([node("a", gpus=1, cpu=4)], "best-fit")
    for placement in (
        Placement(node="a", gpus=(), request=cpu_only(5)),
        Placement(node="a", gpus=(1,), request=share(500)),
        Placement(node="a", gpus=(0, 0), request=whole(2)),
        Placement(node="a", gpus=(), request=share(500)),
    ):
        with pytest.raises(NoRoom):
            cluster.occupy(placement)
    with pytest.raises(MissingRecord):
        cluster.occupy(Placement(node="b", gpus=(), request=cpu_only(1)))
    with pytest.raises(MissingRecord):
        cluster.release(Placement(node="a", gpus=(0,), request=share(500)))
    assert cluster.state.cpu_free[0] == 4_000
