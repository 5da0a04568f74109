"""Changing a persistent ordered map (a prolly tree), sharing all that did not change.

An edit goes row by row (a row is all nodes of one level, see `prolly_build`). In each it rewrites
from the start of the first node touched until a new cut falls together with an old one; from there
on the old nodes are right as they are, up to the next change. What that did to the row, nodes gone
and nodes new, are the changes to the row above. Each row is a generator that draws from the one
below, so memory is bounded whatever the number of changes.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain, islice

from store.node import Change, Entry, Node, NodeSink, NodeSource, child
from store.prolly_build import SHAPE, Chunker, Feed, Shape, Writer, new_row, present, raise_tree

SPARSE_FACTOR = 4  # with that many entries a change or more, a node's changes are made one by one


def edit(
    source: NodeSource,
    sink: NodeSink,
    root: bytes,
    changes: Iterable[Change],
    shape: Shape = SHAPE,
) -> bytes:
    """The root id of the map `root` with the changes made, a value of None deleting its key.

    Changes are strictly ascending by key (ValueError if not) and may repeat what the map says
    already. Subtrees without changes are not read. Of what is put in the sink nothing is read back
    from the source. Damaged, StorageFailure.
    """
    writer = Writer(sink, shape)
    top = source.node(root)
    if not top.keys:
        return raise_tree(writer, 0, new_row(writer, 0, changes))
    row: Iterator[Change] = iter(changes)
    for level in range(top.level + 1):
        row = _edit_row(_Cursor(source, root, top, level), Chunker(writer, level), row)
    nodes = _after_root((top.keys[-1], root), row)
    head = list(islice(nodes, 2))
    if len(head) == 1:
        return _lower_root(source, writer, top.level, head[0][1])
    return raise_tree(writer, top.level, chain(head, nodes))


def _after_root(root: Entry, changes: Iterator[Change]) -> Iterator[Entry]:
    """The row above the root's own, where the root is the one entry, with changes made to it."""
    pending: Entry | None = root
    for key, oid in changes:
        if pending is not None and key >= pending[0]:
            if key > pending[0]:
                yield pending
            pending = None
        if oid is not None:
            yield key, oid
    if pending is not None:
        yield pending


def _lower_root(source: NodeSource, writer: Writer, level: int, oid: bytes) -> bytes:
    """The root, given the only node of `level`: the lowest level that has one node is where it is.

    So an inner root has two children or more.
    """
    while level:
        newest, count, first = writer.newest.get(level, (b"", 0, b""))
        if newest != oid:  # an old node, for of a level's only node no other was written after it
            node = source.node(oid)
            count, first = len(node.keys), node.values[0]
        if count > 1:
            break
        oid = first
        level -= 1
    return oid


class _Cursor:
    """A place among the nodes of one level of a tree, moving from left to right."""

    __slots__ = ("_level", "_path", "_root", "_source", "_top")

    def __init__(self, source: NodeSource, root: bytes, top: Node, level: int) -> None:
        self._source = source
        self._root = root
        self._top = top
        self._level = level
        self._path: list[tuple[Node, int]] = []  # from the root down: inner nodes and which child

    def seek(self, key: bytes) -> Node:
        """Go to the node whose range holds `key`; the last node's range has no end."""
        self._path.clear()
        return self._descend(self._top, key)

    def step(self) -> Node:
        """Go to the next node of the level; there must be one."""
        path = self._path
        node, at = path.pop()
        while at + 1 == len(node.keys):
            node, at = path.pop()
        path.append((node, at + 1))
        return self._descend(child(self._source, node, at + 1), b"")

    def _descend(self, node: Node, key: bytes) -> Node:
        while node.level > self._level:
            at = min(bisect_left(node.keys, key), len(node.keys) - 1)
            self._path.append((node, at))
            node = child(self._source, node, at)
        return node

    @property
    def is_last(self) -> bool:
        """True at the last node of the level."""
        return all(at + 1 == len(node.keys) for node, at in self._path)

    @property
    def entry(self) -> Entry:
        """The node's entry in the row above."""
        if not self._path:
            return self._top.keys[-1], self._root
        node, at = self._path[-1]
        return node.keys[at], node.values[at]


def _edit_row(cursor: _Cursor, chunker: Chunker, changes: Iterable[Change]) -> Iterator[Change]:
    """Make the changes to one row of the tree; what that changes in the row above, ascending."""
    feed = Feed(changes)
    while (key := feed.peek()) is not None:
        yield from _edit_run(cursor.seek(key), cursor, chunker, feed)


def _edit_run(node: Node, cursor: _Cursor, chunker: Chunker, feed: Feed) -> Iterator[Change]:
    """Rewrite `node` and those after it until a new cut falls on an old one, or the row ends."""
    old: deque[Entry] = deque()  # nodes rewritten, not yet known to be gone
    while True:
        last = cursor.is_last
        entry = cursor.entry
        old.append(entry)
        for nodes in _edit_node(node, entry, last, chunker, feed):
            yield from _replace(old, nodes)
        if last:
            yield from _replace(old, chunker.finish())
        if chunker.at_cut:
            break
        node = cursor.step()
    for key, _ in old:
        yield key, None


def _edit_node(
    node: Node, entry: Entry, last: bool, chunker: Chunker, feed: Feed
) -> Iterator[list[Entry]]:
    """Feed a node's entries, changed, to the chunker; the new nodes that makes.

    A node with more changes than one batch is fed piece by piece, each up to the batch's last key.
    """
    bound = None if last else entry[0]
    more = True
    done = 0  # entries of the node before this index are in the chunker
    while more:
        changed_keys, changed_values, more = feed.take(bound)
        if chunker.at_cut and not more and not done:
            # Where nodes end is decided by keys and lengths: if these stay, so does the cut.
            changed = node.changed(changed_keys, changed_values)
            if changed is not None:
                yield [entry if changed is node else chunker.take(changed)]
                return
        end = bisect_right(node.keys, changed_keys[-1], done) if more else len(node.keys)
        keys, values = _merge(
            node.keys[done:end], node.values[done:end], changed_keys, changed_values
        )
        yield chunker.add(keys, values)
        done = end


def _merge(
    keys: list[bytes],
    values: list[bytes],
    changed_keys: list[bytes],
    changed_values: list[bytes | None],
) -> tuple[list[bytes], list[bytes]]:
    """Entries with changes made to them. The two lists of entries may be changed and returned."""
    if len(changed_keys) * SPARSE_FACTOR <= len(keys):
        for key, value in zip(changed_keys, changed_values, strict=True):
            at = bisect_left(keys, key)
            found = at < len(keys) and keys[at] == key
            if value is None:
                if found:
                    del keys[at], values[at]
            elif found:
                values[at] = value
            else:
                keys.insert(at, key)
                values.insert(at, value)
        return keys, values
    if not keys or keys[-1] < changed_keys[0]:
        new_keys, new_values = present(changed_keys, changed_values)
        return keys + new_keys, values + new_values
    merged: dict[bytes, bytes | None] = dict(zip(keys, values, strict=True))
    merged.update(zip(changed_keys, changed_values, strict=True))
    ordered = sorted(merged)  # two ascending runs: found, and merged in linear time, by the sort
    return present(ordered, [merged[key] for key in ordered])


def _replace(old: deque[Entry], nodes: list[Entry]) -> Iterator[Change]:
    """Changes that put new nodes in the place of the old ones up to their keys."""
    for key, oid in nodes:
        while old and old[0][0] < key:
            yield old.popleft()[0], None
        if old and old[0][0] == key and old.popleft()[1] == oid:
            continue
        yield key, oid
