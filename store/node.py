"""The nodes of a persistent ordered map, and their bytes.

A node is immutable and named by the hash of its bytes, so equal content must mean equal bytes:
there is exactly one encoding of each node. This module knows nothing of how nodes are stored,
cached or named, nor of where a map is cut into nodes (see `prolly_build`).

All integers are little-endian:

    level  u8       0: a leaf; otherwise its children's level plus one
    count  u16      number of entries; 0 only in the leaf that is the empty map
    key lengths     count x u16
    value lengths   count x u32, in a leaf only
    keys            one after the other, strictly ascending
    values          one after the other; in an inner node the 32-byte ids of the children

The key of an inner entry is the last key of its child. Nothing is said twice and there is no prefix
compression: nodes are compressed as a whole when they are stored.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from itertools import pairwise
from operator import lt
from typing import Protocol

from store.errors import Damaged

ID_BYTES = 32
KEY_BYTES_MAX = 0xFFFF
COUNT_MAX = 0xFFFF
LEAF_LENGTHS_BYTES = 6  # what an entry takes beside its key and value
INNER_LENGTHS_BYTES = 2

_HEAD = struct.Struct("<BH")

# What CPython takes for a decoded node beyond the bytes in it, for the weight that caches count:
# two list slots and two bytes objects (33 bytes each, rounded up by the allocator) an entry, and
# the node with its two lists. Nodes may share keys: then it is less.
_ENTRY_WEIGHT_BYTES = 2 * 8 + 2 * 40
_NODE_WEIGHT_BYTES = 200

Entry = tuple[bytes, bytes]
Change = tuple[bytes, bytes | None]
"""A key and its new value, None to delete it."""


class NodeSource(Protocol):
    """Where nodes are read from; ids are verified below it."""

    def node(self, oid: bytes) -> Node:
        """The decoded node of that id, shared and never to be changed. Damaged, StorageFailure."""


class NodeSink(Protocol):
    """Where new nodes go."""

    def put_node(self, node: Node) -> bytes:
        """Store a node, which may be there already, and return the 32-byte id of its bytes."""


class Node:
    """A decoded node; caches share it, so nobody changes it.

    `values` are child ids when `level` is not 0. `size` is that of its bytes.
    """

    __slots__ = ("_head", "keys", "level", "size", "values")

    def __init__(
        self, level: int, keys: list[bytes], values: list[bytes], head: bytes, size: int
    ) -> None:
        """`head`: the bytes before the keys."""
        self.level = level
        self.keys = keys
        self.values = values
        self._head = head
        self.size = size

    @property
    def data(self) -> bytes:
        """The node's bytes."""
        return b"".join([self._head, *self.keys, *self.values])

    @property
    def weight(self) -> int:
        """An estimate of the memory it takes, bytes."""
        return _NODE_WEIGHT_BYTES + len(self.keys) * _ENTRY_WEIGHT_BYTES + self.size

    def changed(self, keys: list[bytes], values: list[bytes | None]) -> Node | None:
        """This node with changes made that leave its keys and the lengths of its values as they
        are, so that it begins and ends where it did; itself if they change nothing. None for any
        other changes.
        """
        mine, new = self.keys, self.values
        count = len(mine)
        for key, value in zip(keys, values, strict=True):
            at = bisect_left(mine, key)
            if at == count or mine[at] != key:
                if value is not None:
                    return None
            elif value is None or len(value) != len(new[at]):
                return None
            elif value != new[at]:
                if new is self.values:
                    new = new.copy()
                new[at] = value
        if new is self.values:
            return self
        return Node(self.level, mine, new, self._head, self.size)

    def verify(self) -> None:
        """Check what `decode` leaves out for speed: that keys are strictly ascending. Damaged."""
        keys = self.keys
        if not all(map(lt, keys, keys[1:])):
            at = next(at for at, (a, b) in enumerate(pairwise(keys)) if a >= b)
            raise Damaged(f"node: key {keys[at + 1].hex()} follows {keys[at].hex()}")


def new(level: int, keys: list[bytes], values: list[bytes]) -> Node:
    """A node of these entries, strictly ascending by key; some, unless `level` is 0.

    ValueError for a key or a value too long for its length field, or for too many entries.
    """
    count = len(keys)
    try:
        if level:
            head = struct.pack(f"<BH{count}H", level, count, *map(len, keys))
        else:
            lengths = (*map(len, keys), *map(len, values))
            head = struct.pack(f"<BH{count}H{count}I", level, count, *lengths)
    except struct.error as error:
        raise ValueError(f"entries do not fit a node: {error}") from None
    size = len(head) + sum(map(len, keys)) + sum(map(len, values))
    return Node(level, keys, values, head, size)


def decode(data: bytes) -> Node:
    """The node of these bytes, which must be exactly a node's: Damaged if they are not.

    Every bound is checked here, order of keys is not (see `Node.verify`).
    """
    if len(data) < _HEAD.size:
        raise Damaged(f"node: {len(data)} bytes are too few for a header")
    level, count = _HEAD.unpack_from(data)
    per_entry = INNER_LENGTHS_BYTES + ID_BYTES if level else LEAF_LENGTHS_BYTES
    if len(data) < _HEAD.size + count * per_entry:
        raise Damaged(f"node: {len(data)} bytes are too few for {count} entries")
    if level and not count:
        raise Damaged("node: an inner node without entries")
    # One unpack makes all keys and values in C, in half the time of slicing them in Python.
    if level:
        lengths = struct.unpack_from(f"<{count}H", data, _HEAD.size)
        layout = "%ds" * count % lengths + f"{ID_BYTES}s" * count
        start = _HEAD.size + count * INNER_LENGTHS_BYTES
    else:
        lengths = struct.unpack_from(f"<{count}H{count}I", data, _HEAD.size)
        layout = "%ds" * (2 * count) % lengths
        start = _HEAD.size + count * LEAF_LENGTHS_BYTES
    end = start + sum(lengths) + (count * ID_BYTES if level else 0)
    if end != len(data):
        raise Damaged(f"node: {len(data)} bytes where its lengths make {end}")
    parts = struct.Struct(layout).unpack_from(data, start)
    return Node(level, list(parts[:count]), list(parts[count:]), data[:start], len(data))


def child(source: NodeSource, node: Node, at: int) -> Node:
    """Read the child of entry `at` of an inner node. Damaged if it is not of the level below."""
    found = source.node(node.values[at])
    if found.level != node.level - 1:
        raise Damaged(
            f"node {node.values[at].hex()}: level {found.level} under a node of level {node.level}"
        )
    return found


EMPTY = new(0, [], [])
"""The root of an empty map."""
