"""Layers and the chains of them that a tree reads through.

A layer's changes stand in its memtable, in the memtable that a checkpoint is writing, and in the
database; a chain is a branch's layers, newest first, over a base map. Reads go down the chain
and stop at the first answer. A layer that is sealed stands for its root: chains end there.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import groupby, islice
from operator import itemgetter
from typing import Protocol

from store import database as db
from store import keys, prolly, records
from store.memtable import Buffer, Gauge, Memtable
from store.types import Inode, Usage

_NO_BLOCK = 1 << 62


class Layer:
    """One layer of the store, with its place in the tree of layers."""

    __slots__ = (
        "id",
        "parent",
        "base",
        "root",
        "frozen",
        "usage",
        "rows",
        "mem",
        "pending",
        "stored",
        "users",
        "head",
    )

    def __init__(self, number: int, parent: Layer | None, base: bytes, gauge: Gauge) -> None:
        self.id = number
        self.parent = parent
        self.base = base  # root below it where there is no parent
        self.root = records.NO_ID  # its own root once sealed
        self.frozen = False
        self.usage = Usage(0, 0)
        self.rows = 0  # given to the database, those replaced counted again
        self.mem = Memtable(number, gauge)
        self.pending: Memtable | None = None
        self.stored = False  # the database may hold rows of it
        self.users = 0  # child layers, branches and snapshots that stand on it
        self.head = keys.pack_u64(number)

    @property
    def sealed(self) -> bool:
        """Whether its root stands for it."""
        return self.root != records.NO_ID

    @property
    def pristine(self) -> bool:
        """Whether nothing was ever changed in it."""
        return not self.stored and self.pending is None and self.mem.empty()

    def record(self) -> bytes:
        """Its record for the database."""
        parent = self.parent.id if self.parent is not None else 0
        return records.LayerRecord(
            parent, self.frozen, self.usage, self.rows, self.base, self.root
        ).encode()


Level = tuple[Memtable | None, bytes]
"""One place to look in: a memtable, or (with None) the database's rows behind a layer's head."""


class Tables(Protocol):
    """What a chain reads the database and base maps with; see `engine.Engine`."""

    reader: db.Reader
    epoch: int  # moves on whenever a layer's levels change: at checkpoints and seals

    @property
    def nodes(self) -> prolly.NodeSource:
        """Where base maps' nodes are read from."""


class Chain:
    """The layers that make up one tree, newest first, over a base root."""

    def __init__(self, tables: Tables, top: Layer | None, base: bytes) -> None:
        self._tables = tables
        self.top = top
        self._base = base
        self._epoch = -1
        self._root = base
        self._levels: list[Level] = []

    def layers(self) -> list[Layer]:
        """The layers above the base, newest first."""
        layers, layer = [], self.top
        while layer is not None and not layer.sealed:
            layers.append(layer)
            layer = layer.parent
        return layers

    @property
    def root(self) -> bytes:
        """Root id of the base map under the layers."""
        self._refresh()
        return self._root

    def _refresh(self) -> list[Level]:
        """The levels above the base map, made anew when the store's epoch has moved on."""
        if self._epoch != self._tables.epoch:
            self._levels, layer, self._root = [], self.top, self._base
            while layer is not None:
                if layer.sealed:
                    self._root = layer.root
                    break
                self._levels.append((layer.mem, b""))
                if layer.pending is not None:
                    self._levels.append((layer.pending, b""))
                if layer.stored:
                    self._levels.append((None, layer.head))
                self._root, layer = layer.base, layer.parent
            self._epoch = self._tables.epoch
        return self._levels

    def inode(self, ino: int) -> Inode | None:
        """The attributes of an inode, None where it does not exist."""
        key = keys.inode_key(ino)
        for mem, head in self._refresh():
            if mem is not None:
                if ino in mem.inodes:
                    return mem.inodes[ino]
            else:
                value = self._tables.reader.get(db.LAYERS, head + key)
                if value is not None:
                    return records.decode_inode(ino, value) if value else None
        value = prolly.get(self._tables.nodes, self._root, key)
        return None if value is None else records.decode_inode(ino, value)

    def row(self, prefix: bytes, rest: bytes) -> bytes | None:
        """The value of one row, None where there is none."""
        for mem, head in self._refresh():
            if mem is not None:
                row = mem.rows.get(prefix)
                if row is not None and rest in row:
                    return row[rest]
            else:
                value = self._tables.reader.get(db.LAYERS, head + prefix + rest)
                if value is not None:
                    return value or None
        return prolly.get(self._tables.nodes, self._root, prefix + rest)

    def rows(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Rows of a prefix with rest >= start, ascending. To be used up before any change."""
        sources: list[Iterator[tuple[bytes, bytes | None]]] = []
        for mem, head in self._refresh():
            if mem is None:
                sources.append(self._stored(head, prefix, start))
            elif prefix in mem.rows:
                sources.append(mem.rows_from(prefix, start))
        sources.append(self._based(prefix, start))
        return _merge(sources)

    def page(
        self, prefix: bytes, start: bytes, count: int
    ) -> tuple[list[tuple[bytes, bytes | None]], bytes | None]:
        """Some of the first rows of a prefix with rest >= start, ascending, and where those that
        follow begin, None where none do.

        Not more than `count`, but maybe fewer, even none. It costs less a row than `rows`.
        """
        parts: list[list[tuple[bytes, bytes | None]]] = []
        for mem, head in self._refresh():
            if mem is None:
                parts.append(list(islice(self._stored(head, prefix, start), count)))
            elif prefix in mem.rows:
                parts.append(mem.rows_page(prefix, start, count))
        parts.append(list(islice(self._based(prefix, start), count)))
        parts = [part for part in parts if part]
        # What a full part does not show any more, the others must not show either.
        ends = [part[-1][0] for part in parts if len(part) == count]
        end = min(ends) if ends else None
        if not parts:
            return [], None
        if len(parts) == 1:
            found = parts[0]
        else:
            merged: dict[bytes, bytes | None] = {}
            for part in reversed(parts):  # of equal keys the newest counts
                merged.update(part)
            found = sorted(merged.items(), key=itemgetter(0))
            if end is not None:
                found = [row for row in found if row[0] <= end]
            if len(found) > count:
                del found[count:]
                end = found[-1][0]
        return found, None if end is None else end + b"\0"

    def _stored(
        self, head: bytes, prefix: bytes, start: bytes
    ) -> Iterator[tuple[bytes, bytes | None]]:
        head += prefix
        cut = len(head)
        for key, value in self._tables.reader.items(db.LAYERS, head + start, keys.after(head)):
            yield key[cut:], value or None

    def _based(self, prefix: bytes, start: bytes) -> Iterator[tuple[bytes, bytes | None]]:
        stop = keys.after(prefix)
        for key, value in prolly.items(self._tables.nodes, self._root, prefix + start, stop):
            yield key[keys.PREFIX_BYTES :], value

    def data(
        self, ino: int, first: int, stop: int, pages_per_block: int
    ) -> tuple[dict[int, bytes | None], dict[int, Buffer]]:
        """What blocks first <= b < stop of a file are made of: extents by block, pages over them.

        A block without an extent (or with None) and without pages is a hole.
        """
        extents: dict[int, bytes | None] = {}
        pages: dict[int, Buffer] = {}
        cut = stop  # blocks at or beyond it are hidden in what is still to come
        for mem, head in self._refresh():
            if mem is not None:
                cut = _data_of(mem, ino, first, cut, pages_per_block, extents, pages)
            else:
                cut = self._stored_data(head, ino, first, cut, pages_per_block, extents, pages)
            if cut <= first:
                return extents, pages
        if any(block not in extents for block in range(first, cut)):
            prefix = keys.prefix(ino, keys.EXTENT)
            start, end = prefix + keys.pack_u64(first), prefix + keys.pack_u64(cut)
            for key, value in prolly.items(self._tables.nodes, self._root, start, end):
                extents.setdefault(keys.unpack_u64(key[keys.PREFIX_BYTES :]), value)
        return extents, pages

    def _stored_data(
        self,
        layer: bytes,
        ino: int,
        first: int,
        cut: int,
        pages_per_block: int,
        extents: dict[int, bytes | None],
        pages: dict[int, Buffer],
    ) -> int:
        reader, number = self._tables.reader, keys.pack_u64
        head = layer + keys.prefix(ino, keys.PAGE)
        tail = len(head)
        start = head + number(first * pages_per_block)
        for key, data in reader.items(db.LAYERS, start, head + number(cut * pages_per_block)):
            page = keys.unpack_u64(key[tail:])
            if page // pages_per_block not in extents:
                pages.setdefault(page, data)
        head = layer + keys.prefix(ino, keys.EXTENT)
        for key, value in reader.items(db.LAYERS, head + number(first), head + number(cut)):
            extents.setdefault(keys.unpack_u64(key[tail:]), value or None)
        trim = reader.get(db.LAYERS, layer + keys.prefix(ino, keys.TRIM))
        return cut if trim is None else min(cut, keys.unpack_u64(trim))

    def allocated(self, ino: int, first: int, pages_per_block: int) -> Iterator[int]:
        """Numbers of the file's allocated blocks from `first` on, ascending."""
        candidates: list[Iterator[int]] = []
        for mem, head in self._refresh():
            if mem is None:
                candidates.append(self._stored_blocks(head, ino, first, pages_per_block))
            else:
                blocks = {p // pages_per_block for p in mem.pages.get(ino, ())}
                blocks.update(mem.extents.get(ino, ()))
                candidates.append(iter(sorted(b for b in blocks if b >= first)))
        prefix, start = keys.prefix(ino, keys.EXTENT), keys.pack_u64(first)
        candidates.append(keys.unpack_u64(rest) for rest, _ in self._based(prefix, start))
        for block, _ in groupby(heapq.merge(*candidates)):
            extents, pages = self.data(ino, block, block + 1, pages_per_block)
            if pages or extents.get(block) is not None:
                yield block

    def _stored_blocks(
        self, head: bytes, ino: int, first: int, pages_per_block: int
    ) -> Iterator[int]:
        extents = self._stored(head, keys.prefix(ino, keys.EXTENT), keys.pack_u64(first))
        pages = self._stored(
            head, keys.prefix(ino, keys.PAGE), keys.pack_u64(first * pages_per_block)
        )
        return heapq.merge(
            (keys.unpack_u64(rest) for rest, _ in extents),
            (keys.unpack_u64(rest) // pages_per_block for rest, _ in pages),
        )


def _data_of(
    mem: Memtable,
    ino: int,
    first: int,
    cut: int,
    pages_per_block: int,
    extents: dict[int, bytes | None],
    pages: dict[int, Buffer],
) -> int:
    """Add what one memtable says of blocks first <= b < cut; says where it cuts those below."""
    row = mem.pages.get(ino)
    if row:
        wanted = range(first * pages_per_block, cut * pages_per_block)
        for page in wanted if len(wanted) < len(row) else [p for p in row if p in wanted]:
            data = row.get(page)
            if data is not None and page // pages_per_block not in extents:
                pages.setdefault(page, data)
    blocks = mem.extents.get(ino)
    if blocks:
        for block in range(first, cut):
            if block in blocks:
                extents.setdefault(block, blocks[block])
    trim = mem.trims.get(ino)
    return cut if trim is None else min(cut, trim)


def _merge(
    sources: list[Iterator[tuple[bytes, bytes | None]]],
) -> Iterator[tuple[bytes, bytes]]:
    """Merge ascending sources, newest first: of equal keys the first source's value counts."""
    if len(sources) == 1:
        for rest, value in sources[0]:
            if value is not None:
                yield rest, value
        return
    last: bytes | None = None
    # heapq.merge is stable: among equal keys it yields those of earlier sources first.
    for rest, value in heapq.merge(*sources, key=itemgetter(0)):
        if rest != last:
            last = rest
            if value is not None:
                yield rest, value
