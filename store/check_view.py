"""A whole map as a point shows it, inode by inode: layers laid over a base, for `checking`.

Unlike a `Chain`, which answers for one key, this walks everything, and it keeps what a chain
would hide only by never being asked: rows of inodes that do not exist. A node that cannot be
read is given to `damaged` and left out. It judges nothing.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby

from store import database as db
from store import keys, prolly
from store.errors import StorageFailure
from store.layer import Chain, Layer
from store.memtable import Buffer, Changes
from store.node import NodeSource
from store.types import Inode

Value = Buffer | Inode | None
Sourced = tuple[bytes, int, Value]  # key, rank of its source (0: newest), value
Damage = Callable[[bytes, StorageFailure], None]

_FOREVER = 1 << 64
_DATA = frozenset((keys.EXTENT, keys.PAGE, keys.TRIM))


class Group:
    """All that belongs to one inode number, with what is hidden left out.

    `record` is None where the inode does not exist. `rows` are (kind, rest, value, from the base)
    in key order, `blocks` the allocated ones: (number, extent value or None where pages lie over
    it). Under number 0 stand the rows of orphans.
    """

    __slots__ = ("blocks", "ino", "record", "rows")

    def __init__(self, ino: int) -> None:
        self.ino = ino
        self.record: bytes | Inode | None = None
        self.rows: list[tuple[int, bytes, bytes, bool]] = []
        self.blocks: list[tuple[int, bytes | None]] = []


def groups(
    source: NodeSource, reader: db.Reader, chain: Chain, pages_per_block: int, damaged: Damage
) -> Iterator[Group]:
    """Every inode of the map, ascending, and before them the group 0 if there are orphans."""
    sources: list[Iterable[Sourced]] = []
    for layer in chain.layers():
        for mem in (layer.mem, layer.pending):
            if mem is not None and not mem.empty():
                sources.append(_of_changes(mem, len(sources)))
        if layer.stored:
            sources.append(_of_rows(reader, layer, len(sources)))
    base = len(sources)
    entries = _of_base(source, chain.root, base, damaged)
    merged = heapq.merge(*sources, entries) if sources else entries
    for head, whole in groupby(merged, key=_ino_of):
        yield _resolved(int.from_bytes(head, "big"), list(whole), base, pages_per_block)


def _ino_of(entry: Sourced) -> bytes:
    return entry[0][:8]


def _of_changes(changes: Changes, rank: int) -> list[Sourced]:
    number = keys.pack_u64
    found: list[Sourced] = [(keys.inode_key(i), rank, v) for i, v in changes.inodes.items()]
    for prefix, row in changes.rows.items():
        found += [(prefix + rest, rank, value) for rest, value in row.items()]
    for ino, block in changes.trims.items():
        found.append((keys.prefix(ino, keys.TRIM), rank, number(block)))
    for kind, table in ((keys.EXTENT, changes.extents), (keys.PAGE, changes.pages)):
        for ino, numbered in table.items():
            prefix = keys.prefix(ino, kind)
            found += [(prefix + number(at), rank, value) for at, value in numbered.items()]
    found.sort(key=lambda entry: entry[0])
    return found


def _of_rows(reader: db.Reader, layer: Layer, rank: int) -> Iterator[Sourced]:
    for key, value in reader.items(db.LAYERS, layer.head, keys.after(layer.head)):
        yield key[8:], rank, value or None


def _of_base(source: NodeSource, root: bytes, rank: int, damaged: Damage) -> Iterator[Sourced]:
    for _, node in prolly.walk(source, root, set(), damaged):
        if not node.level:
            for key, value in zip(node.keys, node.values, strict=True):
                yield key, rank, value


def _resolved(ino: int, entries: list[Sourced], base: int, pages_per_block: int) -> Group:
    group = Group(ino)
    gone = _FOREVER  # the rank from which on everything is hidden
    data: list[tuple[int, bytes, int, Value]] = []
    last = b""
    for key, rank, value in entries:
        kind = key[8] if len(key) > 8 else 0
        if kind in _DATA:
            if rank < gone:
                data.append((kind, key[9:], rank, value))
        elif key != last and rank < gone:
            last = key
            if kind == keys.INODE and len(key) == keys.PREFIX_BYTES:
                if value is None:
                    gone = rank  # a deletion hides all that is older
                else:
                    group.record = value if isinstance(value, Inode) else bytes(value)
            elif value is not None and not isinstance(value, Inode):
                group.rows.append((kind, key[9:], bytes(value), rank == base))
    if data:
        group.blocks = list(_blocks(data, pages_per_block))
    return group


def _blocks(
    data: list[tuple[int, bytes, int, Value]], pages_per_block: int
) -> Iterator[tuple[int, bytes | None]]:
    """The allocated blocks out of all extents, pages and trims of a file."""
    number = keys.unpack_u64
    cuts = sorted((rank, number(bytes(v))) for k, _, rank, v in data if k == keys.TRIM and v)
    found: dict[int, list[tuple[int, int, Value]]] = {}
    for kind, rest, rank, value in data:
        if kind == keys.TRIM:
            continue
        block = number(rest) // (pages_per_block if kind == keys.PAGE else 1)
        if any(above < rank and block >= cut for above, cut in cuts):
            continue
        # In one source pages are newer than the extent they lie on.
        found.setdefault(block, []).append((rank, 0 if kind == keys.PAGE else 1, value))
    for block in sorted(found):
        parts = sorted(found[block], key=lambda part: part[:2])
        if parts[0][1] == 0:
            yield block, None
        elif parts[0][2] is not None and not isinstance(parts[0][2], Inode):
            yield block, bytes(parts[0][2])
