"""A whole map as a point shows it, inode by inode: layers laid over a base, for `checking`.

Unlike a `Chain`, which answers for one key, a `View` walks everything, and it keeps what a chain
would hide only by never being asked: rows of inodes that do not exist. It judges nothing.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import Protocol

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
_key_of = itemgetter(0)


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


class _Source(Protocol):
    """One layer's part, or the base."""

    def all(self, rank: int) -> Iterator[Sourced]:
        """Every key, ascending."""

    def of(self, ino: int, rank: int) -> Iterable[Sourced]:
        """The keys of one inode, in any order."""

    def inos(self) -> Iterable[int]:
        """The inode numbers that it has keys of."""


class _Memory:
    """A memtable."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._prefixes: dict[int, list[bytes]] = {}
        for prefix in changes.rows:
            self._prefixes.setdefault(keys.unpack_u64(prefix[:8]), []).append(prefix)

    def all(self, rank: int) -> Iterator[Sourced]:
        for ino in sorted(set(self.inos())):
            yield from sorted(self.of(ino, rank), key=_key_of)

    def of(self, ino: int, rank: int) -> Iterator[Sourced]:
        changes, number = self._changes, keys.pack_u64
        if ino in changes.inodes:
            yield keys.inode_key(ino), rank, changes.inodes[ino]
        for prefix in self._prefixes.get(ino, ()):
            for rest, value in changes.rows[prefix].items():
                yield prefix + rest, rank, value
        if ino in changes.trims:
            yield keys.prefix(ino, keys.TRIM), rank, number(changes.trims[ino])
        prefix = keys.prefix(ino, keys.EXTENT)
        for block, extent in changes.extents.get(ino, {}).items():
            yield prefix + number(block), rank, extent
        prefix = keys.prefix(ino, keys.PAGE)
        for page, data in changes.pages.get(ino, {}).items():
            yield prefix + number(page), rank, data

    def inos(self) -> Iterator[int]:
        changes = self._changes
        for table in (changes.inodes, changes.trims, changes.extents, changes.pages):
            yield from table
        yield from self._prefixes


class _Stored:
    """A layer's rows in the database."""

    def __init__(self, reader: db.Reader, layer: Layer) -> None:
        self._reader, self._head = reader, layer.head

    def all(self, rank: int) -> Iterator[Sourced]:
        head = self._head
        for key, value in self._reader.items(db.LAYERS, head, keys.after(head)):
            yield key[8:], rank, value or None

    def of(self, ino: int, rank: int) -> Iterator[Sourced]:
        start, stop = keys.inode_range(ino)
        head = self._head
        for key, value in self._reader.items(db.LAYERS, head + start, head + stop):
            yield key[8:], rank, value or None

    def inos(self) -> Iterator[int]:
        for key, _, _ in self.all(0):
            yield keys.unpack_u64(key[:8])


class _Base:
    """A base map; a node that cannot be read is given to `damaged`, and passed over by `all`."""

    def __init__(self, nodes: NodeSource, root: bytes, damaged: Damage) -> None:
        self._nodes, self._root, self._damaged = nodes, root, damaged

    def all(self, rank: int) -> Iterator[Sourced]:
        for _, node in prolly.walk(self._nodes, self._root, set(), self._damaged):
            if not node.level:
                for key, value in zip(node.keys, node.values, strict=True):
                    yield key, rank, value

    def of(self, ino: int, rank: int) -> Iterator[Sourced]:
        for key, value in prolly.items(self._nodes, self._root, *keys.inode_range(ino)):
            yield key, rank, value

    def inos(self) -> Iterator[int]:
        return (keys.unpack_u64(key[:8]) for key, _, _ in self.all(0))


class View:
    """What a chain shows, for as long as nothing changes."""

    def __init__(
        self,
        nodes: NodeSource,
        reader: db.Reader,
        chain: Chain,
        pages_per_block: int,
        damaged: Damage,
    ) -> None:
        self._nodes, self._per_block = nodes, pages_per_block
        self.root = chain.root
        self._layers = [layer for layer in chain.layers() if not layer.pristine]
        self._sources: list[_Source] = []
        for layer in self._layers:
            self._sources += _parts(reader, layer)
        self._reader = reader
        self._base = len(self._sources)
        self._sources.append(_Base(nodes, chain.root, damaged))

    def groups(self) -> Iterator[Group]:
        """Every inode, ascending, and before them the group 0 if there are orphans."""
        runs = [source.all(rank) for rank, source in enumerate(self._sources)]
        merged = heapq.merge(*runs) if len(runs) > 1 else runs[0]
        for head, entries in groupby(merged, key=_ino_of):
            yield self._resolved(int.from_bytes(head, "big"), entries)

    def group(self, ino: int) -> Group:
        """One inode. Raises Damaged, StorageFailure."""
        entries = [e for rank, source in enumerate(self._sources) for e in source.of(ino, rank)]
        entries.sort(key=itemgetter(0, 1))
        return self._resolved(ino, entries)

    def unlike(self, other: View) -> set[int]:
        """The inode numbers that may look different in another view, and maybe more."""
        if self.root == other.root:
            shared = {layer.id for layer in self._layers} & {layer.id for layer in other._layers}
            found: set[int] = set()
        else:
            shared = set()
            between = prolly.diff(self._nodes, self.root, other.root)
            found = {keys.unpack_u64(item[0][:8]) for item in between}
        for layer in (*self._layers, *other._layers):
            if layer.id not in shared:
                for source in _parts(self._reader, layer):
                    found.update(source.inos())
        return found

    def _resolved(self, ino: int, entries: Iterable[Sourced]) -> Group:
        group = Group(ino)
        base = self._base
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
            group.blocks = list(_blocks(data, self._per_block))
        return group


def _parts(reader: db.Reader, layer: Layer) -> list[_Source]:
    """A layer's parts, newest first."""
    mems = (mem for mem in (layer.mem, layer.pending) if mem is not None and not mem.empty())
    found: list[_Source] = [_Memory(mem) for mem in mems]
    if layer.stored:
        found.append(_Stored(reader, layer))
    return found


def _ino_of(entry: Sourced) -> bytes:
    return entry[0][:8]


def _blocks(
    data: list[tuple[int, bytes, int, Value]], pages_per_block: int
) -> Iterator[tuple[int, bytes | None]]:
    """The allocated blocks out of all extents, pages and trims of a file."""
    number = keys.unpack_u64
    cuts = [
        (rank, number(bytes(value)))
        for kind, _, rank, value in data
        if kind == keys.TRIM and value is not None and not isinstance(value, Inode)
    ]
    found: dict[int, list[tuple[int, int, Value]]] = {}
    for kind, rest, rank, value in data:
        if kind == keys.TRIM:
            continue
        block = number(rest) // (pages_per_block if kind == keys.PAGE else 1)
        if cuts and any(above < rank and block >= cut for above, cut in cuts):
            continue
        # In one source pages are newer than the extent they lie on.
        found.setdefault(block, []).append((rank, 0 if kind == keys.PAGE else 1, value))
    for block in sorted(found):
        parts = found[block]
        _, of_extent, value = min(parts, key=itemgetter(0, 1)) if len(parts) > 1 else parts[0]
        if not of_extent:
            yield block, None
        elif value is not None and not isinstance(value, Inode):
            yield block, bytes(value)
