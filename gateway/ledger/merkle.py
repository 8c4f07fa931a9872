"""Merkle trees of records as RFC 6962 has them, so that one record can be proved without the rest.

    leaf = SHA-256(0x00 | record)      node = SHA-256(0x01 | left | right)

The left side of a node is the largest power of two of leaves below its number. Pure; no I/O.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence

EMPTY = hashlib.sha256().digest()
"""Root of no records."""


def hash_leaf(record: bytes) -> bytes:
    """Of one record."""
    return hashlib.sha256(b"\0" + record).digest()


def hash_node(left: bytes, right: bytes) -> bytes:
    """Of two subtrees."""
    return hashlib.sha256(b"\1" + left + right).digest()


def build_root(records: Iterable[bytes]) -> bytes:
    """Root over records in their order. Memory: one hash a level."""
    whole: list[tuple[int, bytes]] = []
    for record in records:
        size, top = 1, hash_leaf(record)
        while whole and whole[-1][0] == size:
            size, top = 2 * size, hash_node(whole.pop()[1], top)
        whole.append((size, top))
    if not whole:
        return EMPTY
    root = whole.pop()[1]
    while whole:
        root = hash_node(whole.pop()[1], root)
    return root


def build_path(index: int, count: int, root_of: Callable[[int, int], bytes]) -> list[bytes]:
    """What has to be hashed with a leaf to come to the root, from the leaf upwards.

    Args: index: the leaf's, from 0. root_of: root over the leaves [first, behind).
    """
    path: list[bytes] = []
    first, behind = 0, count
    while behind - first > 1:
        middle = first + _left(behind - first)
        if index < middle:
            path.append(root_of(middle, behind))
            behind = middle
        else:
            path.append(root_of(first, middle))
            first = middle
    return path[::-1]


def follow_path(record: bytes, index: int, count: int, path: Sequence[bytes]) -> bytes | None:
    """The root that a path leads to from a record; None: no path of such a tree."""
    sides: list[bool] = []
    first, behind = 0, count
    while behind - first > 1:
        middle = first + _left(behind - first)
        sides.append(index < middle)
        first, behind = (first, middle) if index < middle else (middle, behind)
    if not 0 <= index < count or len(sides) != len(path):
        return None
    top = hash_leaf(record)
    for is_left, other in zip(reversed(sides), path, strict=True):
        top = hash_node(top, other) if is_left else hash_node(other, top)
    return top


def _left(count: int) -> int:
    """The largest power of two below a number above 1."""
    return 1 << (count - 1).bit_length() - 1
