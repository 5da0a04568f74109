"""Changes to the store's tables as one ordered list of operations.

A journal record is a batch as bytes; a checkpoint applies the same batches to the database.
Applying a suffix of the journal's batches again, in order, gives the same tables: every
operation sets or deletes whatever was there (a trim takes the lower of two bounds, a pack's size
the higher).
"""

from __future__ import annotations

import heapq
import struct
from collections.abc import Iterable, Iterator
from operator import itemgetter

from store import database as db
from store import keys, records
from store.errors import Damaged
from store.memtable import Buffer, Changes

TOMBSTONE = b""
_PUT, _DELETE_RANGE, _TRIM = 1, 2, 3
_OP = struct.Struct(">BBII")
_TRIM_KEY = struct.Struct(">QQQQ")
_key_of = itemgetter(0)
_SORTED_AT_ONCE = 10_000


class Batch:
    """Operations in the order: deletes of ranges, trims, puts."""

    __slots__ = ("ranges", "trims", "puts")

    def __init__(self) -> None:
        self.ranges: list[tuple[int, bytes, bytes]] = []
        self.trims: list[bytes] = []
        self.puts: dict[int, list[tuple[bytes, Buffer]]] = {}

    def put(self, table: int, key: bytes, value: Buffer | None) -> None:
        """Set a key, or delete it where the value is None."""
        if value is None:
            self.ranges.append((table, key, key + b"\0"))
        else:
            self.puts.setdefault(table, []).append((key, value))

    def encode(self) -> list[Buffer]:
        """The batch as buffers to be written one after the other."""
        parts: list[Buffer] = []
        pack = _OP.pack
        for table, start, stop in self.ranges:
            parts += (pack(_DELETE_RANGE, table, len(start), len(stop)), start, stop)
        for trim in self.trims:
            parts += (pack(_TRIM, db.LAYERS, len(trim), 0), trim)
        for table, items in self.puts.items():
            for key, value in items:
                parts += (pack(_PUT, table, len(key), len(value)), key, value)
        return [b"".join(parts)]

    def apply(self, writer: db.Writer) -> None:
        """Make the changes in the database."""
        for table, start, stop in self.ranges:
            writer.delete_range(table, start, stop)
        for trim in self.trims:
            _apply_trim(writer, trim)
        for table, items in self.puts.items():
            news = _grown(writer, items) if table == db.PACKS else items
            writer.put_many(table, _by_key(news))


def _by_key(items: list[tuple[bytes, Buffer]]) -> Iterator[tuple[bytes, Buffer]]:
    """The items in the order of their keys, those of equal keys in theirs.

    Sorted in runs: one call that sorts all of a large batch would hold up the other threads.
    """
    runs = [
        sorted(items[at : at + _SORTED_AT_ONCE], key=_key_of)
        for at in range(0, len(items), _SORTED_AT_ONCE)
    ]
    return heapq.merge(*runs, key=_key_of) if len(runs) != 1 else iter(runs[0])


def _grown(writer: db.Writer, sizes: list[tuple[bytes, Buffer]]) -> list[tuple[bytes, Buffer]]:
    """The pack sizes that are news. A checkpoint may have extended a pack beyond the size that
    a journal record, done again after it, knows of: sizes only grow."""
    return [(key, size) for key, size in sizes if (writer.get(db.PACKS, key) or b"") < bytes(size)]


def decode(payload: bytes) -> Iterator[Batch]:
    """The batches of a journal record: a new one begins where the order of kinds does."""
    batch, at, stage = Batch(), 0, _DELETE_RANGE
    view = memoryview(payload)
    rank = {_DELETE_RANGE: 0, _TRIM: 1, _PUT: 2}
    while at < len(view):
        try:
            kind, table, key_bytes, value_bytes = _OP.unpack_from(view, at)
        except struct.error:
            raise Damaged("a journal record ends inside an operation") from None
        if kind not in rank or table >= len(db.TABLES):
            raise Damaged(f"a journal record has an operation {kind} on table {table}")
        if rank[kind] < rank[stage]:
            yield batch
            batch = Batch()
        stage, at = kind, at + _OP.size
        key = bytes(view[at : at + key_bytes])
        value = bytes(view[at + key_bytes : at + key_bytes + value_bytes])
        at += key_bytes + value_bytes
        if kind == _DELETE_RANGE:
            batch.ranges.append((table, key, value))
        elif kind == _TRIM:
            batch.trims.append(key)
        else:
            batch.puts.setdefault(table, []).append((key, value))
    yield batch


def _apply_trim(writer: db.Writer, trim: bytes) -> None:
    layer, ino, block, page = _TRIM_KEY.unpack(trim)
    head = keys.pack_u64(layer)
    for kind, first in ((keys.EXTENT, block), (keys.PAGE, page)):
        start = head + keys.prefix(ino, kind)
        writer.delete_range(db.LAYERS, start + keys.pack_u64(first), keys.after(start))
    key = head + keys.prefix(ino, keys.TRIM)
    known = writer.get(db.LAYERS, key)
    if known is None or keys.unpack_u64(known) > block:
        writer.put(db.LAYERS, key, keys.pack_u64(block))


def of_tables(changes: Iterable[tuple[tuple[int, bytes], bytes | None]]) -> Batch:
    """A batch of single keys of the store's own tables."""
    batch = Batch()
    for (table, key), value in changes:
        batch.put(table, key, value)
    return batch


def of_layer(layer: int, changes: Changes, pages_per_block: int) -> Batch:
    """A batch of one layer's changes."""
    batch = Batch()
    head = keys.pack_u64(layer)
    puts: list[tuple[bytes, Buffer]] = []
    batch.puts[db.LAYERS] = puts
    for ino, inode in changes.inodes.items():
        key = head + keys.inode_key(ino)
        if inode is None:
            start, stop = keys.inode_range(ino)
            batch.ranges.append((db.LAYERS, head + start, head + stop))
            puts.append((key, TOMBSTONE))
        else:
            puts.append((key, records.encode_inode(inode)))
    for prefix, row in changes.rows.items():
        start = head + prefix
        puts += [(start + rest, TOMBSTONE if v is None else v) for rest, v in row.items()]
    for ino, block in changes.trims.items():
        batch.trims.append(_TRIM_KEY.pack(layer, ino, block, block * pages_per_block))
    _add_data(batch, head, changes, pages_per_block)
    return batch


def _add_data(batch: Batch, head: bytes, changes: Changes, pages_per_block: int) -> None:
    puts, number = batch.puts[db.LAYERS], keys.pack_u64
    for ino, extents in changes.extents.items():
        start = head + keys.prefix(ino, keys.EXTENT)
        blocks = sorted(extents)
        puts += [(start + number(b), extents[b] or TOMBSTONE) for b in blocks]
        pages = head + keys.prefix(ino, keys.PAGE)
        for first, stop in _runs(blocks):
            lower, upper = number(first * pages_per_block), number(stop * pages_per_block)
            batch.ranges.append((db.LAYERS, pages + lower, pages + upper))
    for ino, row in changes.pages.items():
        start = head + keys.prefix(ino, keys.PAGE)
        puts += [(start + number(page), data) for page, data in row.items()]


def _runs(blocks: list[int]) -> Iterator[tuple[int, int]]:
    """Runs of consecutive numbers in an ascending list, as (first, one past the last)."""
    at = 0
    while at < len(blocks):
        stop = at + 1
        while stop < len(blocks) and blocks[stop] == blocks[stop - 1] + 1:
            stop += 1
        yield blocks[at], blocks[stop - 1] + 1
        at = stop
