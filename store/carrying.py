"""Carrying a branch from one of its states to another while it has changes of its own.

Three states of the map: what the branch stood on, what it is to stand on, and what it is. Key by
key, what differs between the first two is made to the third where that is still as the first.
An inode whose record was changed (and whatever changes an inode changes its record) is in the
way of a change to it; only directories take both: entries that come and go are added up.
"""

from __future__ import annotations

from typing import NamedTuple

from store import keys, prolly, records
from store.engine import Engine
from store.tree import Tree
from store.types import Inode, Usage


class Carriage(NamedTuple):
    """What is to be done; with inodes `in_the_way` nothing may be."""

    inodes: dict[int, Inode | None]
    rows: list[tuple[bytes, bytes, bytes | None]]
    extents: list[tuple[int, int, bytes | None]]
    in_the_way: set[int]


def plan(engine: Engine, tree: Tree, old: bytes, new: bytes) -> Carriage:
    """What takes a tree from one root that it stood on to another. Raises Damaged."""
    found = Carriage({}, [], [], set())
    chain, now_ns = tree.chain, engine.now()
    rows: list[tuple[int, bytes, bytes | None, bytes | None]] = []
    for key, was, now in prolly.diff(engine.nodes, old, new):
        ino, kind, rest = keys.split(key)
        if kind == keys.INODE:
            _inode(found, chain.inode(ino), ino, was, now, now_ns)
        elif kind == keys.EXTENT:
            found.extents.append((ino, keys.unpack_u64(rest), now))
        else:
            rows.append((ino, key, was, now))
    for ino, key, was, now in rows:
        if ino in found.inodes and found.inodes[ino] is None:
            continue  # all of it goes
        prefix, rest = key[: keys.PREFIX_BYTES], key[keys.PREFIX_BYTES :]
        live = chain.row(prefix, rest)
        if live == was:
            found.rows.append((prefix, rest, now))
        elif live != now:
            found.in_the_way.add(ino)
    return found


def _inode(
    found: Carriage,
    live: Inode | None,
    ino: int,
    was: bytes | None,
    now: bytes | None,
    now_ns: int,
) -> None:
    before = None if was is None else records.decode_inode(ino, was)
    after = None if now is None else records.decode_inode(ino, now)
    if live == before:
        found.inodes[ino] = after
    elif live == after:
        return
    elif live is None or before is None or after is None or live.mode & 0o170000 != 0o040000:
        found.in_the_way.add(ino)
    else:
        # Its entries change now, whenever those of the other state came about: clients that keep
        # listings go by the times.
        found.inodes[ino] = live._replace(
            size=live.size + after.size - before.size,
            nlink=live.nlink + after.nlink - before.nlink,
            mtime_ns=now_ns,
            ctime_ns=now_ns,
        )


def carry(engine: Engine, tree: Tree, carriage: Carriage, usage: Usage) -> None:
    """Do it; `usage` is what the tree then holds."""
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
    tree.rebase(tree.chain, tree.root, usage)
