"""A layer's newest changes, in memory and decoded.

A `Memtable` holds everything since the last checkpoint; its `fresh` part is what the journal has
not got yet. Values are immutable, so both parts, caches and callers share them, and taking the
fresh part for a group commit is one assignment. It knows no disk.

Rules: the keys of an inode that is deleted, and blocks at or beyond a trim, are dropped from
both parts, and the deletion or trim itself is what hides everything older. A page is newer than
the extent of its block in the same memtable.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import Any

from store.keys import row_prefixes
from store.types import Inode

Buffer = bytes | memoryview

# Estimated memory of one entry beside its payload: dict slots, tuple and key objects, twice.
INODE_WEIGHT = 1000
ROW_WEIGHT = 500
PAGE_WEIGHT = 4096 + 500


class Gauge:
    """How much memory the changes of a whole store hold, in bytes, and which memtables have any.

    `held` counts all, `fresh` what is not journalled. The dicts are ordered sets.
    """

    __slots__ = ("born", "held_bytes", "fresh_bytes", "holding", "fresh")

    def __init__(self) -> None:
        self.born = 0  # memtables so far
        self.held_bytes = 0
        self.fresh_bytes = 0
        self.holding: dict[Memtable, None] = {}
        self.fresh: dict[Memtable, None] = {}


class Changes:
    """A set of changes to one layer. None stands for a deletion (for an extent: a hole).

    rows: `prefix(ino, kind)` -> rest -> value, for every kind but those below.
    extents, pages: inode number -> block or page number -> value.
    trims: inode number -> first block that is hidden in everything older.
    """

    __slots__ = ("inodes", "rows", "extents", "pages", "trims", "weight")

    def __init__(self) -> None:
        self.inodes: dict[int, Inode | None] = {}
        self.rows: dict[bytes, dict[bytes, bytes | None]] = {}
        self.extents: dict[int, dict[int, bytes | None]] = {}
        self.pages: dict[int, dict[int, Buffer]] = {}
        self.trims: dict[int, int] = {}
        self.weight = 0

    def rows_count(self) -> int:
        """How many rows of the database these changes make."""
        count = len(self.inodes) + len(self.trims)
        count += sum(map(len, self.rows.values())) + sum(map(len, self.extents.values()))
        return count + sum(map(len, self.pages.values()))

    def empty(self) -> bool:
        """Nothing changed."""
        return not (self.inodes or self.rows or self.extents or self.pages or self.trims)

    def parts(self) -> tuple[dict[Any, Any], ...]:
        """The dicts that hold many small things, for disposal; pages are to be freed at once."""
        return self.inodes, self.rows, self.extents

    def cut(self, ino: int, block: int, pages_per_block: int) -> None:
        """Drop data of the inode at or beyond a block and note the trim."""
        extents = self.extents.get(ino)
        if extents:
            for key in [b for b in extents if b >= block]:
                del extents[key]
        pages = self.pages.get(ino)
        if pages:
            first = block * pages_per_block
            for key in [p for p in pages if p >= first]:
                del pages[key]
        known = self.trims.get(ino)
        self.trims[ino] = block if known is None else min(known, block)

    def lay_over(self, newer: Changes, pages_per_block: int) -> None:
        """Apply newer changes to these."""
        for ino, inode in newer.inodes.items():
            if inode is None:
                self.forget(ino)
            else:
                self.inodes[ino] = inode
        for prefix, row in newer.rows.items():
            self.rows.setdefault(prefix, {}).update(row)
        for ino, block in newer.trims.items():
            self.cut(ino, block, pages_per_block)
        for ino, extents in newer.extents.items():
            self.extents.setdefault(ino, {}).update(extents)
        for ino, pages in newer.pages.items():
            self.pages.setdefault(ino, {}).update(pages)
        self.weight += newer.weight

    def forget(self, ino: int) -> None:
        """Drop all that is known of an inode and note its deletion."""
        self.extents.pop(ino, None)
        self.pages.pop(ino, None)
        self.trims.pop(ino, None)
        for prefix in row_prefixes(ino):
            self.rows.pop(prefix, None)
        self.inodes[ino] = None


class Memtable(Changes):
    """Changes since the last checkpoint, with the part that is not journalled yet."""

    __slots__ = ("age", "layer", "fresh", "gauge", "_order", "_sorted")

    def __init__(self, layer: int, gauge: Gauge) -> None:
        super().__init__()
        gauge.born += 1
        self.age = gauge.born
        self.layer = layer
        self.fresh = Changes()
        self.gauge = gauge
        # Keys of the rows that were listed, and how many of them are in order.
        self._order: dict[bytes, list[bytes]] = {}
        self._sorted: dict[bytes, int] = {}

    def _weigh(self, weight: int) -> None:
        if not self.fresh.weight:
            self.gauge.fresh[self] = self.gauge.holding[self] = None
        self.weight += weight
        self.fresh.weight += weight
        self.gauge.held_bytes += weight
        self.gauge.fresh_bytes += weight

    def put_inode(self, inode: Inode) -> None:
        """Set an inode's attributes."""
        ino = inode.ino
        if ino not in self.fresh.inodes:
            self._weigh(INODE_WEIGHT)
        self.inodes[ino] = self.fresh.inodes[ino] = inode

    def put_row(self, prefix: bytes, rest: bytes, value: bytes | None) -> None:
        """Set or delete one row."""
        row = self.rows.get(prefix)
        if row is None:
            row = self.rows[prefix] = {}
        elif prefix in self._order and rest not in row:
            self._order[prefix].append(rest)
        row[rest] = value
        fresh = self.fresh.rows.get(prefix)
        if fresh is None:
            fresh = self.fresh.rows[prefix] = {}
        fresh[rest] = value
        self._weigh(ROW_WEIGHT + len(value or b""))

    def put_extent(self, ino: int, block: int, value: bytes | None) -> None:
        """Set the extent of a block that is to hide older pages and extents of it."""
        for part in (self, self.fresh):
            part.extents.setdefault(ino, {})[block] = value
        self._weigh(ROW_WEIGHT)

    def put_pages(self, ino: int, pages: dict[int, Buffer]) -> None:
        """Set whole pages of a file."""
        for part in (self, self.fresh):
            row = part.pages.get(ino)
            if row is None:
                part.pages[ino] = dict(pages)
            else:
                row.update(pages)
        self._weigh(PAGE_WEIGHT * len(pages))

    def drop_pages(self, ino: int, first: int, stop: int) -> None:
        """Drop the pages first <= page < stop, which an extent put just now stands for."""
        for part in (self, self.fresh):
            row = part.pages.get(ino)
            if row:
                for page in range(first, stop):
                    row.pop(page, None)

    def put_trim(self, ino: int, block: int, pages_per_block: int) -> None:
        """Hide all older data of the inode at or beyond a block."""
        self.cut(ino, block, pages_per_block)
        self.fresh.cut(ino, block, pages_per_block)
        self._weigh(ROW_WEIGHT)

    def delete_inode(self, ino: int) -> None:
        """Delete an inode and all that belongs to it."""
        self.forget(ino)
        self.fresh.forget(ino)
        for prefix in row_prefixes(ino):
            self._order.pop(prefix, None)
        self._weigh(INODE_WEIGHT)

    def take_fresh(self) -> Changes:
        """Hand over what is not journalled and begin anew."""
        fresh, self.fresh = self.fresh, Changes()
        self.gauge.fresh.pop(self, None)
        self.gauge.fresh_bytes -= fresh.weight
        return fresh

    def put_back(self, changes: Changes, pages_per_block: int) -> None:
        """Take back a fresh part that could not be journalled; what came since lies over it."""
        newer, self.fresh = self.fresh, changes
        changes.lay_over(newer, pages_per_block)
        self.gauge.fresh_bytes += changes.weight - newer.weight
        self.gauge.fresh[self] = None

    def settle_block(
        self, ino: int, block: int, first: int, parts: list[Buffer | None], value: bytes
    ) -> None:
        """Put a stored chunk in place of the pages it was made of.

        Pages written since stay above it. Where the file was cut or deleted since, nothing
        happens: the pages that are left are right as they are.
        """
        if ino in self.fresh.trims or self.inodes.get(ino) is None:
            return
        row = self.pages.get(ino)
        if row is None:
            return
        dropped = 0
        for page, data in enumerate(parts, first):
            if data is not None and row.get(page) is data:
                del row[page]
                dropped += 1
        self.extents.setdefault(ino, {})[block] = value
        weight = ROW_WEIGHT - PAGE_WEIGHT * dropped
        self.weight += weight
        self.gauge.held_bytes += weight

    def rows_from(self, prefix: bytes, start: bytes) -> Iterator[tuple[bytes, bytes | None]]:
        """Rows of a prefix with rest >= start, ascending; to be used up before the next put."""
        row = self.rows.get(prefix)
        if row is None:
            return
        order = self._ordered(prefix, row)
        for at in range(bisect_left(order, start), len(order)):
            rest = order[at]
            yield rest, row[rest]

    def rows_page(
        self, prefix: bytes, start: bytes, count: int
    ) -> list[tuple[bytes, bytes | None]]:
        """The first `count` rows of a prefix with rest >= start, ascending."""
        row = self.rows[prefix]
        order = self._ordered(prefix, row)
        at = bisect_left(order, start)
        return [(rest, row[rest]) for rest in order[at : at + count]]

    def _ordered(self, prefix: bytes, row: dict[bytes, bytes | None]) -> list[bytes]:
        """The keys of a prefix's rows, ascending."""
        order = self._order.get(prefix)
        if order is None:
            order = self._order[prefix] = list(row)
            self._sorted[prefix] = 0
        if len(order) != self._sorted[prefix]:
            order.sort()
            self._sorted[prefix] = len(order)
        return order
