"""The difference of two persistent ordered maps, at a cost that follows the size of the change.

Both maps are read in step from left to right. Each side is a run of entries being compared and a
stack of subtrees still to come; where both come to the same node id at the same moment, all under
it is equal and is skipped unread. Subtrees are opened higher level first, so the two sides meet at
equal nodes again soon after a difference, also where their boundaries or their heights differ.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from store.errors import Damaged
from store.node import NodeSource

_ENTRIES = -1  # the level of a side that has entries at hand, or nothing more at all


class _Side:
    """One of the two maps: what of it, between `start` and `stop`, has not been compared yet."""

    __slots__ = ("_source", "_start", "_stop", "at", "keys", "pending", "values")

    def __init__(self, source: NodeSource, root: bytes, start: bytes, stop: bytes | None) -> None:
        self._source = source
        self._start = start
        self._stop = stop
        self.keys: list[bytes] = []  # the leaf being compared; entries before `at` are done with
        self.values: list[bytes] = []
        self.at = 0
        self.pending = [(source.node(root).level, root)]  # subtrees, the next one last

    @property
    def level(self) -> int:
        """The level of what comes next."""
        if self.at < len(self.keys) or not self.pending:
            return _ENTRIES
        return self.pending[-1][0]

    def open(self) -> None:
        """Replace the next subtree by its children, or, if it is a leaf, its entries."""
        level, oid = self.pending.pop()
        node = self._source.node(oid)
        if node.level != level:
            raise Damaged(f"node {oid.hex()}: level {node.level} where {level} should be")
        first = bisect_left(node.keys, self._start)
        last = len(node.keys) if self._stop is None else bisect_left(node.keys, self._stop)
        if level:
            # The first child that ends at `stop` or after it may still begin before it.
            inside = node.values[first : last + 1]
            self.pending.extend((level - 1, value) for value in reversed(inside))
        else:
            self.keys = node.keys[first:last]
            self.values = node.values[first:last]
            self.at = 0

    def take(self, last: bytes) -> dict[bytes, bytes]:
        """The entries at hand up to and including key `last`, which are then done with."""
        start = self.at
        self.at = end = bisect_right(self.keys, last, start)
        return dict(zip(self.keys[start:end], self.values[start:end], strict=True))


def diff(
    source: NodeSource,
    old_root: bytes,
    new_root: bytes,
    start: bytes = b"",
    stop: bytes | None = None,
) -> Iterator[tuple[bytes, bytes | None, bytes | None]]:
    """(key, old value, new value) of each key with start <= key < stop that differs, ascending.

    None stands for the value of a key that one of the maps does not have.
    """
    if old_root == new_root:
        return
    old = _Side(source, old_root, start, stop)
    new = _Side(source, new_root, start, stop)
    while True:
        old_level, new_level = old.level, new.level
        if old_level == new_level == _ENTRIES:
            ends = [side.keys[-1] for side in (old, new) if side.at < len(side.keys)]
            if not ends:
                return
            yield from _compare(old, new, min(ends))
        elif old_level == new_level and old.pending[-1] == new.pending[-1]:
            _skip_equal(old.pending, new.pending)
        else:
            if old_level >= new_level:
                old.open()
            if new_level >= old_level:
                new.open()


def _skip_equal(old: list[tuple[int, bytes]], new: list[tuple[int, bytes]]) -> None:
    """Drop the subtrees that come next for as long as they are equal."""
    while old and new and old[-1] == new[-1]:
        old.pop()
        new.pop()


def _compare(
    old: _Side, new: _Side, last: bytes
) -> Iterator[tuple[bytes, bytes | None, bytes | None]]:
    """What differs in the entries at hand up to key `last`."""
    before = old.take(last)
    after = new.take(last)
    # Symmetric difference of item views is done in C and touches nothing that is equal.
    for key in sorted({key for key, _ in before.items() ^ after.items()}):
        yield key, before.get(key), after.get(key)
