"""Where a persistent ordered map (a prolly tree) is cut into nodes, and writing one from nothing.

The entries of each level, leaves being level 0, stand in one row. The row is cut into nodes from
left to right, by content alone and starting afresh after each cut (`boundaries`). The nodes of a
row, as (last key, id), are the entries of the row above. The lowest row of a single node holds the
root. So the same content has the same root id, whatever edits led to it (`prolly_edit`).

Rows are generators, each drawing from the one below: memory is bounded whatever their length.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate, chain, islice
from operator import add, lt
from typing import NamedTuple

from xxhash import xxh3_64_intdigest

from store.node import (
    EMPTY,
    Change,
    Entry,
    Node,
    NodeSink,
    new,
)

# Changes a row reads ahead: enough for bulk operations to pay. About 100 KiB as files go, and 64
# MiB if every value were an extended attribute of the largest size.
BATCH_CHANGES = 1024


class Shape(NamedTuple):
    """What decides where nodes end; part of the format, as it decides root ids.

    A node ends after the entry that brings its keys and values to `bytes_max` bytes or more, or to
    `bytes_min` or more if the entry's key hashes to 0 under `mask` (XXH3-64, seeded by the level).
    An inner node has two entries before it may end, so that a row is at most half the row below,
    whatever the keys. As keys differ, `bytes_max` also keeps the count within a node's bounds.
    """

    bytes_min: int
    bytes_max: int
    mask: int


SHAPE = Shape(bytes_min=4 * 1024, bytes_max=32 * 1024, mask=63)


def boundaries(shape: Shape, level: int, keys: list[bytes], values: list[bytes]) -> list[int]:
    """Where entries that begin at a node's start are cut: for each full node the index after it.

    What follows the last index is the beginning of a node that has not ended yet.
    """
    bytes_min, bytes_max, mask = shape
    ends = list(accumulate(map(add, map(len, keys), map(len, values))))  # bytes up to each's end
    least = 1 if level else 0
    count = len(keys)
    cuts: list[int] = []
    start = begin = 0  # the first entry of the current node, and the bytes before it
    while (low := max(bisect_left(ends, begin + bytes_min, start), start + least)) < count:
        high = bisect_left(ends, begin + bytes_max, low)
        for at in range(low, high):
            if not xxh3_64_intdigest(keys[at], level) & mask:
                break
        else:
            if high == count:
                break
            at = high
        begin = ends[at]
        start = at + 1
        cuts.append(start)
    return cuts


def build(sink: NodeSink, entries: Iterable[Entry], shape: Shape = SHAPE) -> bytes:
    """The root id of a new map of these entries, strictly ascending by key: ValueError if not."""
    writer = Writer(sink, shape)
    return raise_tree(writer, 0, new_row(writer, 0, entries))


class Writer:
    """Puts nodes into the sink, and remembers the newest of each level."""

    __slots__ = ("_sink", "newest", "shape")

    def __init__(self, sink: NodeSink, shape: Shape) -> None:
        self._sink = sink
        self.shape = shape
        self.newest: dict[int, tuple[bytes, int, bytes]] = {}  # level -> id, count, first value

    def put(self, node: Node) -> Entry:
        """Write a node; its entry for the row above."""
        oid = self._sink.put_node(node)
        self.newest[node.level] = (oid, len(node.keys), node.values[0])
        return node.keys[-1], oid

    def put_empty(self) -> bytes:
        """Write the root of the empty map; its id."""
        return self._sink.put_node(EMPTY)


class Chunker:
    """Cuts one level's entries into nodes as they come, and writes these."""

    __slots__ = ("_keys", "_level", "_values", "_writer")

    def __init__(self, writer: Writer, level: int) -> None:
        self._writer = writer
        self._level = level
        self._keys: list[bytes] = []  # the entries after the last cut
        self._values: list[bytes] = []

    @property
    def at_cut(self) -> bool:
        """True if what comes next begins a node."""
        return not self._keys

    def add(self, keys: list[bytes], values: list[bytes]) -> list[Entry]:
        """Take the next entries; the nodes that end with them."""
        if self._keys:
            keys = self._keys + keys
            values = self._values + values
        level, put = self._level, self._writer.put
        start = 0
        nodes: list[Entry] = []
        for end in boundaries(self._writer.shape, level, keys, values):
            nodes.append(put(new(level, keys[start:end], values[start:end])))
            start = end
        self._keys = keys[start:]
        self._values = values[start:]
        return nodes

    def finish(self) -> list[Entry]:
        """The row ends here: the node that the entries left over make, if there are any."""
        if not self._keys:
            return []
        node = new(self._level, self._keys, self._values)
        self._keys = []
        self._values = []
        return [self._writer.put(node)]

    def take(self, node: Node) -> Entry:
        """Take, at a cut, a node that is as it is to be: one that ends the row, or with a cut."""
        return self._writer.put(node)


class Feed:
    """A row's changes, read ahead in batches and handed out up to a bound.

    ValueError from any call that comes upon a change not strictly after the one before.
    """

    __slots__ = ("_at", "_changes", "_keys", "_values")

    def __init__(self, changes: Iterable[Change]) -> None:
        self._changes = iter(changes)
        self._keys: list[bytes] = []
        self._values: list[bytes | None] = []
        self._at = 0

    def peek(self) -> bytes | None:
        """The key of the next change, None at the end."""
        if self._at == len(self._keys):
            batch = list(islice(self._changes, BATCH_CHANGES))
            if not batch:
                return None
            keys = [key for key, _ in batch]
            ordered = self._keys[-1:] + keys
            if not all(map(lt, ordered, ordered[1:])):
                raise ValueError("the changes to a map must come in strictly ascending order")
            self._keys = keys
            self._values = [value for _, value in batch]
            self._at = 0
        return self._keys[self._at]

    def take(self, bound: bytes | None) -> tuple[list[bytes], list[bytes | None], bool]:
        """Changes up to and including key `bound` (None: all), and whether more of these follow.

        If more follow, at least one is returned.
        """
        if self.peek() is None:
            return [], [], False
        start, keys, values = self._at, self._keys, self._values
        end = len(keys) if bound is None else bisect_right(keys, bound, start)
        self._at = end
        more = False
        if end == len(keys):
            ahead = self.peek()
            more = ahead is not None and (bound is None or ahead <= bound)
        return keys[start:end], values[start:end], more


def present(keys: list[bytes], values: list[bytes | None]) -> tuple[list[bytes], list[bytes]]:
    """Keys and values without those that have no value."""
    return (
        [key for key, value in zip(keys, values, strict=True) if value is not None],
        [value for value in values if value is not None],
    )


def new_row(writer: Writer, level: int, entries: Iterable[Change]) -> Iterator[Entry]:
    """Write a whole row, leaving out deletions; its nodes as entries of the row above."""
    feed = Feed(entries)
    chunker = Chunker(writer, level)
    more = True
    while more:
        keys, values, more = feed.take(None)
        yield from chunker.add(*present(keys, values))
    yield from chunker.finish()


def raise_tree(writer: Writer, level: int, nodes: Iterator[Entry]) -> bytes:
    """Write the rows above the nodes of `level`, as many as it takes; the root's id."""
    while True:
        head = list(islice(nodes, 2))
        if not head:
            return writer.put_empty()
        if len(head) == 1:
            return head[0][1]
        level += 1
        nodes = new_row(writer, level, chain(head, nodes))
