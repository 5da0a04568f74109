"""A persistent ordered map (a prolly tree): bytes keys to bytes values, named by its root's id.

The map is a tree of immutable nodes (`node`). Where its levels are cut into nodes is decided by
their content alone (`prolly_build`), so the same content has the same root id, however it came
about, and maps share the nodes of what they have in common. This module reads, and is the door to
those that write (`prolly_edit`) and compare (`prolly_diff`). All functions read nodes as they go;
Damaged and StorageFailure come from there.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator

from store.errors import Damaged, StorageFailure
from store.node import Entry, Node, NodeSink, NodeSource, child
from store.prolly_build import SHAPE, Shape, build
from store.prolly_diff import diff
from store.prolly_edit import edit

__all__ = [
    "SHAPE",
    "NodeSink",
    "NodeSource",
    "Shape",
    "build",
    "diff",
    "edit",
    "get",
    "items",
    "walk",
]


def get(source: NodeSource, root: bytes, key: bytes) -> bytes | None:
    """The value of a key, None if the map has no such key."""
    node = source.node(root)
    while node.level:
        at = bisect_left(node.keys, key)
        if at == len(node.keys):
            return None
        node = source.node(node.values[at])
    at = bisect_left(node.keys, key)
    if at < len(node.keys) and node.keys[at] == key:
        return node.values[at]
    return None


def items(
    source: NodeSource, root: bytes, start: bytes = b"", stop: bytes | None = None
) -> Iterator[Entry]:
    """The entries with start <= key < stop, ascending; without `stop` to the map's end."""
    path: list[tuple[Node, int]] = []  # inner nodes and which child comes next
    node: Node | None = source.node(root)
    while node is not None:
        while node.level:
            at = bisect_left(node.keys, start)
            if at == len(node.keys):
                return  # only at the root: the map ends before `start`
            path.append((node, at + 1))
            node = child(source, node, at)
        keys = node.keys
        first = bisect_left(keys, start)
        last = len(keys) if stop is None else bisect_left(keys, stop)
        yield from zip(keys[first:last], node.values[first:last], strict=True)
        if last < len(keys):
            return
        node = _next(source, path)


def _next(source: NodeSource, path: list[tuple[Node, int]]) -> Node | None:
    """The node after the one that `path` led to, at whatever level it hangs; None at the end."""
    while path:
        node, at = path.pop()
        if at < len(node.keys):
            path.append((node, at + 1))
            return child(source, node, at)
    return None


def walk(
    source: NodeSource,
    root: bytes,
    seen: set[bytes],
    damaged: Callable[[bytes, StorageFailure], None] | None = None,
) -> Iterator[tuple[bytes, Node]]:
    """Visit each node under `root` that is not in `seen`, parents first, and add it to `seen`.

    Each visited node is held to what its parent says of it (level, last key): Damaged. A node that
    cannot be read, or does not hold, is given to `damaged` and skipped with all that only it leads
    to; without `damaged` the error is raised. Links to nodes seen before are not checked again.
    """
    pending: list[tuple[bytes, int | None, bytes]] = [(root, None, b"")]
    while pending:
        oid, level, last = pending.pop()
        if oid in seen:
            continue
        seen.add(oid)
        try:
            node = source.node(oid)
            if level is not None and (node.level != level or node.keys[-1:] != [last]):
                raise Damaged(f"node {oid.hex()}: not what its parent says it is")
        except StorageFailure as error:
            if damaged is None:
                raise
            damaged(oid, error)
            continue
        yield oid, node
        if node.level:
            below = node.level - 1
            for key, value in zip(reversed(node.keys), reversed(node.values), strict=True):
                pending.append((value, below, key))
