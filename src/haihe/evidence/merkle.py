"""An append-only Merkle tree, as RFC 6962 (June 2013) section 2.1 defines it.

The inner nodes of complete subtrees never change, so they are stored once and for all, and every
proof is put together from O(log n) of them. All functions are pure; where stored nodes are needed
they are read through a callable of (level, index), level 0 being the leaves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

ReadNode = Callable[[int, int], bytes]


def leaf_hash(content: bytes) -> bytes:
    """The hash of an entry. The prefixes keep a leaf from passing for an inner node."""
    return hashlib.sha256(b"\x00" + content).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


EMPTY_ROOT = hashlib.sha256(b"").digest()


@dataclass(frozen=True)
class Frontier:
    """What must be known of a tree to append to it: its size and the roots of its full subtrees.

    The subtrees are those of the binary digits of ``size``, the largest and leftmost first.
    """

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    def root(self) -> bytes:
        """The root of the whole tree."""
        if not self.peaks:
            return EMPTY_ROOT
        root = self.peaks[-1]
        for peak in self.peaks[-2::-1]:
            root = node_hash(peak, root)
        return root

    def append(self, leaves: Sequence[bytes]) -> tuple[Frontier, list[tuple[int, int, bytes]]]:
        """The frontier with ``leaves`` added, and the inner nodes that this completes.

        Node (level, index) is the root of the leaves from ``index * 2**level`` on, ``2**level`` of
        them; once complete it never changes.
        """
        set_bits = [level for level in range(self.size.bit_length()) if self.size >> level & 1]
        peaks = dict(zip(reversed(set_bits), self.peaks, strict=True))
        nodes: list[tuple[int, int, bytes]] = []
        level, first, row = 0, self.size, list(leaves)
        while row:
            if first & 1:
                first -= 1
                row.insert(0, peaks.pop(level))
            if len(row) & 1:
                peaks[level] = row.pop()
            parents = [node_hash(row[at], row[at + 1]) for at in range(0, len(row), 2)]
            level, first, row = level + 1, first // 2, parents
            nodes.extend((level, first + at, parent) for at, parent in enumerate(parents))
        ordered = tuple(peaks[level] for level in sorted(peaks, reverse=True))
        return Frontier(self.size + len(leaves), ordered), nodes


def subtree_root(start: int, end: int, read_node: ReadNode) -> bytes:
    """The root of the leaves from ``start`` up to ``end``, from O(log n) complete nodes.

    ``start`` is a multiple of the largest power of two up to ``end - start``, as it is for each
    subtree that RFC 6962 speaks of.
    """
    peaks: list[bytes] = []
    at = start
    for level in reversed(range((end - start).bit_length())):
        if end - start >> level & 1:
            assert at % (1 << level) == 0, "a subtree begins at a multiple of its parts"
            peaks.append(read_node(level, at >> level))
            at += 1 << level
    return Frontier(end - start, tuple(peaks)).root()


def inclusion_path(index: int, size: int, read_node: ReadNode) -> list[bytes]:
    """The proof that leaf ``index`` is in the tree of ``size`` leaves (RFC 6962, 2.1.1)."""
    assert 0 <= index < size
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(subtree_root(middle, end, read_node))
            end = middle
        else:
            path.append(subtree_root(start, middle, read_node))
            start = middle
    return path[::-1]


def consistency_path(first: int, second: int, read_node: ReadNode) -> list[bytes]:
    """The proof that the tree of ``first`` leaves begins that of ``second`` (RFC 6962, 2.1.2)."""
    assert 0 <= first <= second
    path: list[bytes] = []
    start, end = 0, second
    if first == 0:
        return path
    while end != first:
        middle = start + _split(end - start)
        if first <= middle:
            path.append(subtree_root(middle, end, read_node))
            end = middle
        else:
            path.append(subtree_root(start, middle, read_node))
            start = middle
    if start > 0:
        path.append(subtree_root(start, end, read_node))
    return path[::-1]


def inclusion_holds(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Whether ``path`` proves that ``leaf`` stands at ``index`` (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    here, last, found = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return False
        if here & 1 or here == last:
            found = node_hash(sibling, found)
            while not here & 1 and here:
                here, last = here >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        here, last = here >> 1, last >> 1
    return last == 0 and found == root


def consistency_holds(
    first: int, second: int, first_root: bytes, second_root: bytes, path: Sequence[bytes]
) -> bool:
    """Whether ``path`` proves that the one tree begins the other (RFC 9162, 2.1.4.2)."""
    if not 0 <= first <= second:
        return False
    if first in (0, second):
        same = first_root == (EMPTY_ROOT if first == 0 else second_root)
        return same and not path and (second > 0 or second_root == EMPTY_ROOT)
    if first & (first - 1) == 0:
        path = [first_root, *path]
    if not path:
        return False
    here, last = first - 1, second - 1
    while here & 1:
        here, last = here >> 1, last >> 1
    first_found = second_found = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if here & 1 or here == last:
            first_found = node_hash(sibling, first_found)
            second_found = node_hash(sibling, second_found)
            while not here & 1 and here:
                here, last = here >> 1, last >> 1
        else:
            second_found = node_hash(second_found, sibling)
        here, last = here >> 1, last >> 1
    return last == 0 and first_found == first_root and second_found == second_root


def roots_at(leaves: Sequence[bytes], sizes: Iterable[int]) -> Iterator[tuple[int, str]]:
    """The root at each of ``sizes``, which ascend and are at most ``len(leaves)``, as hex."""
    frontier = Frontier()
    for size in sizes:
        frontier, _ = frontier.append(leaves[frontier.size : size])
        yield size, frontier.root().hex()


def _split(size: int) -> int:
    """The largest power of two below ``size``."""
    return 1 << (size - 1).bit_length() - 1
