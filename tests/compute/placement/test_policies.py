"""Each policy on cases small enough to work out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from haihe.compute.placement import Cluster, Placement, Request
from haihe.compute.placement.mix import typical
from haihe.compute.placement.prices import prices_of
from haihe.compute.placement.slots import cutting_prices, worth_of_pieces
from haihe.compute.placement.state import State
from haihe.kernel.errors import InvalidField
from tests.compute.placement.making import cluster_of, cpu_only, node, share, whole


def placed(cluster: Cluster, request: Request) -> tuple[str, tuple[int, ...]]:
    placement = cluster.place(request)
    assert placement is not None
    return placement.node, placement.gpus


def occupied(cluster: Cluster, name: str, request: Request, *gpus: int) -> None:
    cluster.occupy(Placement(node=name, gpus=gpus, request=request))


def test_random_takes_every_node_with_room_and_no_other() -> None:
    cluster = cluster_of([node("a"), node("b"), node("c", gpus=0)], "random")
    seen = set()
    for _ in range(40):
        placement = cluster.place(share(500))
        assert placement is not None
        seen.add(placement.node)
        cluster.release(placement)
    assert seen == {"a", "b"}


def test_dot_product_goes_where_least_of_what_is_asked_is_free() -> None:
    cluster = cluster_of([node("a", gpus=8, cpu=96), node("b", gpus=2, cpu=96)], "dot-product")
    # a: 1 - (96/128 * 8/128 + 8/8 * 1/8) / 2 = 0.914; b: 1 - (0.047 + 2/8 * 1/8) / 2 = 0.961
    assert cluster.keys(whole(1, cpu=8).shape).tolist() == [91, 96]
    assert placed(cluster, whole(1, cpu=8)) == ("b", (0,))


def test_best_fit_leaves_the_least_free() -> None:
    cluster = cluster_of([node("a", gpus=4, cpu=64), node("b", gpus=2, cpu=64)], "best-fit")
    # a: 1 - ((64 - 8)/128 + (4 - 1)/8) / 2 = 0.594; b: 1 - (0.4375 + 1/8) / 2 = 0.719
    assert cluster.keys(whole(1, cpu=8).shape).tolist() == [59, 71]
    assert placed(cluster, whole(1, cpu=8)) == ("b", (0,))
    occupied(cluster, "b", share(300), 1)
    assert placed(cluster, share(700)) == ("b", (1,))


def test_packing_takes_shared_gpus_then_used_nodes_then_unused_ones() -> None:
    cluster = cluster_of([node("a", gpus=2), node("b", gpus=2), node("c", gpus=2)], "packing")
    occupied(cluster, "b", whole(1), 0)
    occupied(cluster, "c", share(400), 0)
    # a: 33 - 2; b: 50 - 1; c: 100 - 600/10 of a thousandth in percent = 94
    assert cluster.keys(share(600).shape).tolist() == [31, 49, 94]
    assert placed(cluster, share(600)) == ("c", (0,))
    assert placed(cluster, share(600)) == ("b", (1,))
    assert placed(cluster, whole(2)) == ("a", (0, 1))


def test_clustering_keeps_requests_of_one_kind_together() -> None:
    cluster = cluster_of([node("a", gpus=4), node("b", gpus=4), node("c", gpus=4)], "clustering")
    occupied(cluster, "a", share(400), 0)
    occupied(cluster, "b", whole(1), 0)
    # shares: a has only such, b only others, c is empty; then 25 x the part of 8 GPUs not free
    assert cluster.keys(share(100).shape).tolist() == [75 + 13, 0 + 15, 25 + 12]
    assert placed(cluster, share(100))[0] == "a"
    assert placed(cluster, whole(1))[0] == "b"


def test_fgd_goes_where_fragmentation_grows_least() -> None:
    mix = [share(500), whole(1)]
    cluster = cluster_of([node("a"), node("b")], "fgd", mix)
    occupied(cluster, "b", share(500), 0)
    # a: F grows from 0 to 500/2, for one in two cannot use the half: 100 * sigmoid(-0.25) = 43.8.
    # b: F falls from 250 to 0: 56.2.
    assert cluster.keys(share(500).shape).tolist() == [43, 56]
    assert placed(cluster, share(500)) == ("b", (0,))


def test_fgd_sees_that_gpus_without_cpu_are_lost() -> None:
    cluster = cluster_of([node("a", cpu=8), node("b", cpu=16)], "fgd", [whole(1, cpu=8)])
    # On a, nothing would be left for the GPU; on b a GPU's worth of CPU is.
    assert cluster.keys(cpu_only(1).shape).tolist() == [26, 50]


def test_a_share_is_priced_by_what_else_the_gpu_could_hold() -> None:
    assert cutting_prices(np.array([500]), np.array([1.0])) == pytest.approx([0.5])
    assert cutting_prices(np.array([600]), np.array([1.0])) == pytest.approx([1.0])
    # 350 goes beside 650 only, so that a pair fills a GPU; 470 twice.
    prices = cutting_prices(np.array([350, 470, 650]), np.array([1.0, 1.0, 1.0]))
    assert prices[0] + prices[2] == pytest.approx(1.0)
    assert prices[1] == pytest.approx(0.5)


def test_many_different_sizes_are_priced_on_a_grid() -> None:
    mix = typical({share(size): 1 for size in range(301, 900)}, ("A",))
    worth = worth_of_pieces(mix)
    assert (np.diff(worth) >= 0).all()
    assert worth[[0, 1000]].tolist() == [0, 1_000_000]
    assert worth[900] > 0


def test_haihe_does_not_break_a_gpu_that_two_of_a_kind_would_fill() -> None:
    mix = [share(470)] * 6 + [share(320)] * 3 + [share(650)] * 3
    cluster = cluster_of([node("a"), node("b")], "haihe", mix)
    occupied(cluster, "a", share(470), 0)  # 530 left, for one more of 470
    occupied(cluster, "b", share(650), 0)  # 350 left, for 320
    on_a, on_b = cluster.keys(share(320).shape)
    # Waste counts before anything that an estimate could say.
    assert on_b - on_a > 1 << 24
    assert placed(cluster, share(320)) == ("b", (0,))
    assert placed(cluster, share(470)) == ("a", (0,))


def test_haihe_keeps_the_scarce_model_for_those_that_need_it() -> None:
    mix = [whole(1)] * 5 + [whole(1, models="B")] * 5
    nodes = [node("a", model="B"), *(node(f"b{number}", model="A") for number in range(9))]
    assert placed(cluster_of(nodes, "haihe", mix), whole(1))[0] == "b0"


def test_haihe_keeps_cpu_and_memory_where_gpus_wait_for_them() -> None:
    mix = [whole(1, cpu=8, memory=32), cpu_only(8)]
    nodes = [node("a", gpus=2, cpu=16), node("b", gpus=2, cpu=64)]
    assert placed(cluster_of(nodes, "haihe", mix), cpu_only(8))[0] == "b"
    nodes = [node("a", gpus=2, cpu=64, memory=64), node("b", gpus=2, cpu=64, memory=256)]
    hungry = Request(cpu_milli=1_000, memory_mib=32 * 1_024)
    assert placed(cluster_of(nodes, "haihe", mix), hungry)[0] == "b"


def test_a_price_is_high_for_what_is_scarce_and_none_for_what_cannot_run() -> None:
    state = State([node("a", model="A"), node("b", model="A"), node("c", model="B")])
    history = {whole(1): 2, whole(1, models="B"): 2, whole(1, cpu=99): 2}
    mix = typical(history, state.models)
    prices = dict(zip(mix.requests, prices_of(state, mix), strict=True))
    assert prices[whole(1, models="B")] >= prices[whole(1)] > 0
    assert prices[whole(1, cpu=99)] == 0


def test_what_is_rare_is_not_typical() -> None:
    mix = typical({share(500): 96, share(300): 4}, ("A",))
    assert mix.requests == (share(500),)
    assert mix.share.tolist() == [1.0]


def test_an_unknown_policy_and_an_empty_history_are_refused() -> None:
    with pytest.raises(InvalidField, match="give one of random"):
        cluster_of([node("a")], "best")
    with pytest.raises(InvalidField, match="at least one past request"):
        typical({}, ("A",))
