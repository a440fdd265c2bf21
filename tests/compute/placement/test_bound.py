"""The upper bound: exact where it can be worked out, and above every policy everywhere."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from haihe.compute.placement import GPU_MILLI, POLICIES, Node, Request
from haihe.compute.placement.bound import most_gpus
from haihe.compute.placement.programme import _patterns
from tests.compute.placement.making import cluster_of, cpu_only, node, pools, requests, share, whole


@pytest.mark.parametrize(
    ("arrived", "most"),
    [
        ({share(600): 10}, 0.6),  # one fits; 0.4 is of use to nobody
        ({share(470): 10, share(600): 10}, 0.94),
        ({share(350): 10, share(650): 1}, 1.0),
        ({share(500, cpu=12): 10}, 16 / 12 * 0.5),  # CPU for one and a third
        ({share(500): 1}, 0.5),  # no more than arrived
        ({whole(1, models="B"): 1}, 0.0),
        ({whole(1, cpu=17): 1}, 0.0),
        ({cpu_only(1): 1}, 0.0),
        ({}, 0.0),
    ],
)
def test_the_bound_of_one_gpu(arrived: dict[Request, int], most: float) -> None:
    assert most_gpus([node("a", cpu=16)], arrived) == pytest.approx(most)


@given(nodes=pools(), stream=st.lists(requests(), min_size=1, max_size=30))
@settings(max_examples=40, deadline=None)
def test_no_policy_is_above_the_bound(nodes: list[Node], stream: list[Request]) -> None:
    most = most_gpus(nodes, Counter(stream))
    for policy in POLICIES:
        cluster = cluster_of(nodes, policy, stream)
        placed = [request for request in stream if cluster.place(request)]
        allocated = sum(request.shape.total_gpu_milli for request in placed) / GPU_MILLI
        assert allocated <= most + 1e-6, policy


def test_sizes_are_rounded_down_where_patterns_are_too_many() -> None:
    sizes = range(101, 400, 3)
    grid, patterns = _patterns(sizes, 50)
    assert grid > 1
    assert len(patterns) <= 50
    assert {size for pattern in patterns for size in pattern} == {
        size // grid * grid for size in sizes
    }
    assert most_gpus([node("a")], {share(size): 1 for size in sizes}) <= 1 + 1e-9
