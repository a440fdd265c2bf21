"""The tree and its proofs against the published vectors and a naive reading of RFC 6962."""

from __future__ import annotations

import hashlib
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from haihe.evidence.merkle import (
    EMPTY_ROOT,
    Frontier,
    consistency_holds,
    consistency_path,
    inclusion_holds,
    inclusion_path,
    leaf_hash,
    roots_at,
    subtree_root,
)

# The reference data of Certificate Transparency: eight leaves and the root after each.
LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
INCLUSION = {
    (0, 1): [],
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    (1, 5): [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
CONSISTENCY = {
    (1, 1): [],
    (1, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}

sizes = st.integers(min_value=1, max_value=70)


@cache
def naive_root(start: int, end: int) -> bytes:
    """MTH of RFC 6962, 2.1, over the numbers from ``start`` up to ``end``, word for word."""
    if start == end:
        return hashlib.sha256(b"").digest()
    if end - start == 1:
        return hashlib.sha256(b"\x00" + str(start).encode()).digest()
    split = 1
    while split * 2 < end - start:
        split *= 2
    left, right = naive_root(start, start + split), naive_root(start + split, end)
    return hashlib.sha256(b"\x01" + left + right).digest()


def naive_node(level: int, index: int) -> bytes:
    return naive_root(index << level, (index + 1) << level)


def numbers(count: int) -> list[bytes]:
    return [leaf_hash(str(number).encode()) for number in range(count)]


def stored(leaves: list[bytes]) -> dict[tuple[int, int], bytes]:
    """All nodes that appending ``leaves`` at once would store, and the leaves as level 0."""
    _, nodes = Frontier().append(leaves)
    found = {(level, index): node for level, index, node in nodes}
    return found | {(0, index): leaf for index, leaf in enumerate(leaves)}


@pytest.mark.parametrize("size", range(1, 9))
def test_the_roots_are_those_of_certificate_transparency(size: int) -> None:
    frontier, _ = Frontier().append([leaf_hash(leaf) for leaf in LEAVES[:size]])
    assert frontier.root().hex() == ROOTS[size - 1]


def test_the_root_of_nothing_is_the_hash_of_nothing() -> None:
    assert Frontier().root() == EMPTY_ROOT == hashlib.sha256(b"").digest()


def test_the_proofs_are_those_of_certificate_transparency() -> None:
    nodes = stored([leaf_hash(leaf) for leaf in LEAVES])

    def read(level: int, index: int) -> bytes:
        return nodes[level, index]

    for (index, size), path in INCLUSION.items():
        assert [step.hex() for step in inclusion_path(index, size, read)] == path
    for (first, second), path in CONSISTENCY.items():
        assert [step.hex() for step in consistency_path(first, second, read)] == path


@given(st.lists(st.integers(min_value=0, max_value=20), max_size=6))
def test_however_leaves_arrive_nodes_and_root_are_the_same(batches: list[int]) -> None:
    leaves = numbers(sum(batches))
    frontier, nodes = Frontier(), {}
    for batch in batches:
        at = frontier.size
        frontier, new = frontier.append(leaves[at : at + batch])
        for level, index, node in new:
            assert (level, index) not in nodes, "a node is completed once"
            nodes[level, index] = node
    assert frontier.root() == naive_root(0, len(leaves))
    expected = {
        (level, index): naive_node(level, index)
        for level in range(1, len(leaves).bit_length())
        for index in range(len(leaves) >> level)
    }
    assert nodes == expected


@given(st.sets(st.integers(min_value=0, max_value=70)))
def test_roots_at_sizes_are_those_of_the_trees_of_these_sizes(wanted: set[int]) -> None:
    found = list(roots_at(numbers(70), sorted(wanted)))
    assert found == [(size, naive_root(0, size).hex()) for size in sorted(wanted)]


@settings(max_examples=300)
@given(st.data(), sizes)
def test_each_inclusion_proof_holds_and_no_changed_one_does(data: st.DataObject, size: int) -> None:
    index = data.draw(st.integers(min_value=0, max_value=size - 1))
    path = inclusion_path(index, size, naive_node)
    leaf, root = naive_node(0, index), naive_root(0, size)
    assert inclusion_holds(leaf, index, size, path, root)
    other = data.draw(st.integers(min_value=0, max_value=size + 3))
    if other != index:
        assert not inclusion_holds(leaf, other, size, path, root)
    assert not inclusion_holds(hashlib.sha256(b"x").digest(), index, size, path, root)
    assert not inclusion_holds(leaf, index, size, [*path, leaf], root)
    if path:
        position = data.draw(st.integers(min_value=0, max_value=len(path) - 1))
        changed = [*path[:position], hashlib.sha256(b"y").digest(), *path[position + 1 :]]
        assert not inclusion_holds(leaf, index, size, changed, root)
        assert not inclusion_holds(leaf, index, size, path[:-1], root)


@settings(max_examples=300)
@given(st.data(), sizes)
def test_each_consistency_proof_holds_and_no_changed_one_does(
    data: st.DataObject, second: int
) -> None:
    first = data.draw(st.integers(min_value=0, max_value=second))
    path = consistency_path(first, second, naive_node)
    before, after = naive_root(0, first), naive_root(0, second)
    assert consistency_holds(first, second, before, after, path)
    wrong = hashlib.sha256(b"x").digest()
    assert not consistency_holds(first, second, wrong, after, path)
    assert not consistency_holds(first, second, before, after, [*path, wrong])
    if first not in (0, second):
        assert not consistency_holds(first, second, before, wrong, path)
        assert not consistency_holds(first, second, before, after, path[:-1])
        position = data.draw(st.integers(min_value=0, max_value=len(path) - 1))
        changed = [*path[:position], wrong, *path[position + 1 :]]
        assert not consistency_holds(first, second, before, after, changed)


@given(st.integers(min_value=1, max_value=2**40), st.data())
def test_a_proof_reads_a_logarithm_of_nodes_and_only_complete_ones(
    size: int, data: st.DataObject
) -> None:
    index = data.draw(st.integers(min_value=0, max_value=size - 1))
    first = data.draw(st.integers(min_value=0, max_value=size))
    read: list[tuple[int, int]] = []

    def node(level: int, at: int) -> bytes:
        assert (at + 1) << level <= size, "the node is complete"
        read.append((level, at))
        return b"\x00" * 32

    for proof in (
        lambda: inclusion_path(index, size, node),
        lambda: consistency_path(first, size, node),
        lambda: [subtree_root(0, size, node)],
    ):
        read.clear()
        proof()
        assert len(read) <= 2 * size.bit_length()
