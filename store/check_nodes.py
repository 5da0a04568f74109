"""The part of `checking` that looks at the nodes of maps, each once however many maps share it.

A map's shape is decided by its content (`prolly_build`), and node by node: a node that is not the
last of its row ends exactly where the rule cuts, and the last one is not cut before its end. So
a map's canonical form can be held node by node, too, and what is known of a node holds in every
map that has it. Numbers in comments are FORMAT.md's.
"""

from __future__ import annotations

from collections.abc import Iterator

from store import keys
from store.check_hits import INO_LAST
from store.errors import Damaged, StorageFailure
from store.node import Node, NodeSource
from store.prolly_build import SHAPE, boundaries
from store.types import Problem


class Nodes:
    """What was found out about nodes, by id."""

    def __init__(self, source: NodeSource) -> None:
        self._source = source
        # Whether a node, and the last one of each row below it, ends where the rule cuts: only
        # then may something follow it in its row.
        self._closed: dict[bytes, bool] = {}
        self.damaged: dict[bytes, StorageFailure] = {}

    def check(self, root: bytes) -> Iterator[Problem]:
        """Problems of the nodes under a root that no earlier call has looked at."""
        # Each entry: id, what the parent says (level, last key), and whether children are done.
        todo: list[tuple[bytes, tuple[int, bytes] | None, bool]] = [(root, None, False)]
        while todo:
            oid, said, below_done = todo.pop()
            if oid in self._closed:
                continue
            try:
                node = self._source.node(oid)
                if not below_done:
                    node.verify()  # M2
                    _hold(oid, node, said)
            except StorageFailure as error:
                self.damaged[oid] = error  # M1
                self._closed[oid] = True  # unknown; the damage itself is reported
                continue
            if node.level and not below_done:
                todo.append((oid, said, True))
                level = node.level - 1
                todo += [
                    (child, (level, key), False)
                    for key, child in zip(node.keys, node.values, strict=True)
                ]
                continue
            yield from self._shape(oid, node, said is None)

    def _shape(self, oid: bytes, node: Node, is_root: bool) -> Iterator[Problem]:
        """M3: nodes end where the rule says."""
        cuts = boundaries(SHAPE, node.level, node.keys, node.values)
        count = len(node.keys)
        self._closed[oid] = cuts == [count]
        if cuts not in ([], [count]):
            yield _problem(oid, f"ends after {count} entries, not after {cuts[0]}")
        if not node.level:
            return
        self._closed[oid] &= self._closed[node.values[-1]]
        for child in node.values[:-1]:
            if not self._closed[child]:
                yield _problem(child, "ends before its row does, and not where the rule cuts")
        if is_root and count < 2:
            yield _problem(oid, "a root with a single child")

    def lost(self, root: bytes) -> list[tuple[bytes, int, int]]:
        """Damaged nodes of a map, each with the first and last inode number that it may hold."""
        found: list[tuple[bytes, int, int]] = []
        todo = [(root, 0, INO_LAST)]
        while todo:
            oid, first, last = todo.pop()
            if oid in self.damaged:
                found.append((oid, first, last))
                continue
            node = self._source.node(oid)
            if node.level:
                ends = [keys.unpack_u64(key[:8]) for key in node.keys]
                todo += zip(node.values, [first, *ends[:-1]], ends, strict=True)
        return found


def _hold(oid: bytes, node: Node, said: tuple[int, bytes] | None) -> None:
    """Hold a node to what its parent says of it (M2)."""
    if said is not None and (node.level, node.keys[-1:]) != (said[0], [said[1]]):
        raise Damaged(f"node {oid.hex()}: not what its parent says it is")


def _problem(oid: bytes, what: str) -> Problem:
    return Problem(f"node {oid.hex()}", what)
