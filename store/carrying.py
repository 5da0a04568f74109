"""Carrying a branch from one of its states to another while it has changes of its own.

Three states of the map: what the branch stood on, what it is to stand on, and what it is. Key by
key, what differs between the first two is made to the third where that is still as the first.
An inode whose record was changed (and whatever changes an inode changes its record) is in the
way of a change to it; only directories take both: entries that come and go are counted one by
one, and what else one side alone changed is as it made it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from store import database as db
from store import keys, prolly, records
from store.engine import Engine
from store.layer import Chain
from store.node import NodeSource
from store.tree import Tree
from store.types import Inode, Usage

_S_IFMT, _S_IFDIR = 0o170000, 0o040000

Difference = tuple[bytes, bytes | None, bytes | None]
"""A key of the map, and what it had and has; None: nothing."""


class Carriage(NamedTuple):
    """What is to be done, and what the tree then holds; with inodes `in_the_way` nothing may
    be."""

    inodes: dict[int, Inode | None]
    rows: list[tuple[bytes, bytes, bytes | None]]
    extents: list[tuple[int, int, bytes | None]]
    usage: Usage
    in_the_way: set[int]


def differences(nodes: NodeSource, old: bytes, new: bytes) -> list[Difference]:
    """What differs between two states, for `plan`. Any thread, with its own nodes."""
    return list(prolly.diff(nodes, old, new))


def plan(engine: Engine, tree: Tree, old: bytes, found: list[Difference]) -> Carriage:
    """What takes a tree from the root `old` that it stood on to another, from which that differs
    as `found`. Raises Damaged.

    What was not written to since the tree stood there is not read.
    """
    planning = _Planning(tree.chain, _written(engine, tree.chain, old), engine.now())
    for key, was, now in found:
        planning.add(key, was, now)
    planning.settle()
    used_bytes, inodes = tree.usage()
    usage = Usage(used_bytes + planning.used_bytes, inodes + planning.count)
    return Carriage(planning.inodes, planning.rows, planning.extents, usage, planning.in_the_way)


def _written(engine: Engine, chain: Chain, old: bytes) -> Callable[[int], bool]:
    """What says of an inode whether it may have changed since the tree stood on a root."""
    levels, layer = [], chain.top
    while layer is not None and layer.root != old:
        levels.append(layer)
        if layer.parent is None and layer.base != old:
            return lambda ino: True
        layer = layer.parent
    reader = engine.reader

    def written(ino: int) -> bool:
        if not ino:
            return True  # orphans come and go without a record of this number
        for layer in levels:
            if ino in layer.mem.inodes or (layer.pending and ino in layer.pending.inodes):
                return True
            if layer.stored and reader.get(db.LAYERS, layer.head + keys.inode_key(ino)) is not None:
                return True
        return False

    return written


class _Planning:
    """A plan that is being made."""

    def __init__(self, chain: Chain, written: Callable[[int], bool], now_ns: int) -> None:
        self._chain, self._now_ns = chain, now_ns
        self._written = written
        self.inodes: dict[int, Inode | None] = {}
        self.rows: list[tuple[bytes, bytes, bytes | None]] = []
        self.extents: list[tuple[int, int, bytes | None]] = []
        self.in_the_way: set[int] = set()
        self.used_bytes = self.count = 0  # what the tree holds more
        self._changes: list[tuple[int, bytes, bytes | None, bytes | None]] = []
        self._both: list[tuple[Inode, Inode, Inode]] = []  # directories: before, after, live
        self._gone: set[int] = set()  # inodes that are to go, or went of themselves
        self._moved: list[int] = []
        self._entries: Counter[int] = Counter()  # that directories get
        self._subdirectories: Counter[int] = Counter()

    def add(self, key: bytes, was: bytes | None, now: bytes | None) -> None:
        """A key that differs."""
        ino, kind, rest = keys.split(key)
        if kind == keys.INODE:
            before = None if was is None else records.decode_inode(ino, was)
            after = None if now is None else records.decode_inode(ino, now)
            self._inode(ino, before, after)
        elif kind == keys.EXTENT:
            self.extents.append((ino, keys.unpack_u64(rest), now))
        else:
            self._changes.append((ino, key, was, now))

    def _inode(self, ino: int, before: Inode | None, after: Inode | None) -> None:
        live = self._chain.inode(ino) if self._written(ino) else before
        if after is None:
            self._gone.add(ino)
            if live is None or (before is not None and before.nlink and not live.nlink):
                return  # it went of itself; somebody may hold it open still
        if live == before:
            self._put(ino, live, after)
        elif live != after:
            if before is None or after is None or not _take_both(before, after, live):
                self.in_the_way.add(ino)
            elif live is not None:
                self._both.append((before, after, live))

    def _put(self, ino: int, live: Inode | None, inode: Inode | None) -> None:
        self.inodes[ino] = inode
        if inode is not None and live is not None and inode.parent != live.parent:
            self._moved.append(ino)
        for one, sign in ((live, -1), (inode, 1)):
            if one is not None:
                self.used_bytes += sign * one.used
                self.count += sign

    def settle(self) -> None:
        """All keys were added."""
        for ino, key, was, now in self._changes:
            if ino not in self._gone:
                self._row(ino, key, was, now)
        for before, after, live in self._both:
            self._directory(before, after, live)
        self._part_cycles()

    def _row(self, ino: int, key: bytes, was: bytes | None, now: bytes | None) -> None:
        prefix, rest = key[: keys.PREFIX_BYTES], key[keys.PREFIX_BYTES :]
        live = self._chain.row(prefix, rest) if self._written(ino) else was
        if live == was:
            self.rows.append((prefix, rest, now))
            if key[8] == keys.DIRENT:
                for value, sign in ((was, -1), (now, 1)):
                    entry = None if value is None else records.decode_dirent(value)
                    if entry is not None and entry.ino:
                        self._entries[ino] += sign
                        self._subdirectories[ino] += sign * (entry.type == _S_IFDIR)
        elif live != now:
            self.in_the_way.add(ino)

    def _directory(self, before: Inode, after: Inode, live: Inode) -> None:
        ino = live.ino
        changes = {}
        for field in ("mode", "uid", "gid", "parent", "slot"):
            was, now, own = (getattr(one, field) for one in (before, after, live))
            if now not in (was, own):
                changes[field] = now
                if own != was:
                    self.in_the_way.add(ino)
        # Its entries change now, whenever those of the other state came about: clients that keep
        # listings go by the times.
        inode = live._replace(
            **changes,
            size=live.size + self._entries[ino],
            nlink=live.nlink + self._subdirectories[ino],
            mtime_ns=self._now_ns,
            ctime_ns=self._now_ns,
        )
        self._put(ino, live, inode)

    def _part_cycles(self) -> None:
        """Find directories that would be within themselves, as others were moved meanwhile."""
        for ino in self._moved:
            seen: set[int] = set()
            at = ino
            while at and at not in seen:
                seen.add(at)
                above = self.inodes[at] if at in self.inodes else self._chain.inode(at)
                at = 0 if above is None else above.parent
            if at == ino:
                self.in_the_way.add(ino)


def _take_both(before: Inode, after: Inode, live: Inode | None) -> bool:
    """Whether changes of either side may meet in an inode: in a directory that has a name."""
    return (
        live is not None
        and live.mode & _S_IFMT == _S_IFDIR
        and min(before.nlink, after.nlink, live.nlink) > 0
    )


def carry(engine: Engine, tree: Tree, carriage: Carriage) -> None:
    """Do it."""
    top = tree.chain.top
    assert top is not None
    assert not carriage.in_the_way
    mem, per_block = top.mem, engine.pages_per_block
    for ino, inode in carriage.inodes.items():
        if inode is None:
            mem.delete_inode(ino)
        else:
            mem.put_inode(inode)
    for row in carriage.rows:
        mem.put_row(*row)
    for ino, block, value in carriage.extents:
        if carriage.inodes.get(ino) is not None:
            mem.drop_pages(ino, block * per_block, (block + 1) * per_block)
            mem.put_extent(ino, block, value)
    tree.rebase(tree.chain, tree.root, carriage.usage)
