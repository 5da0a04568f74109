"""The inodes of the plain model and everything that only reads them.

Answers here are what the tree interface must answer, in the fewest words, with no thought for
speed or disks. Directory cookies are the store's own affair: `slot` is always 0 here.
"""

from __future__ import annotations

import copy
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from store import errors
from store.types import (
    NAME_BYTES_MAX,
    PAGE_BYTES,
    R_OK,
    W_OK,
    X_OK,
    Caller,
    Data,
    Inode,
    Usage,
)

TOP = 1  # the inode number of the root of every branch that began empty


class Place(NamedTuple):
    """Where a name is: the directory's inode number and the name in it."""

    parent: int
    name: bytes


@dataclass(slots=True)
class Node:
    """One inode. `blocks` holds only what was written, each zero from the end of the file on."""

    ino: int
    mode: int
    uid: int
    gid: int
    atime: int
    mtime: int
    ctime: int
    btime: int
    rdev: tuple[int, int] = (0, 0)
    size: int = 0
    verifier: int = 0
    target: bytes = b""
    blocks: dict[int, bytes] = field(default_factory=dict)
    entries: dict[bytes, int] = field(default_factory=dict)
    xattrs: dict[bytes, bytes] = field(default_factory=dict)
    names: set[Place] = field(default_factory=set)

    def copy(self) -> Node:
        twin = copy.copy(self)
        twin.blocks, twin.entries = dict(self.blocks), dict(self.entries)
        twin.xattrs, twin.names = dict(self.xattrs), set(self.names)
        return twin

    @property
    def kind(self) -> int:
        return stat.S_IFMT(self.mode)

    @property
    def is_dir(self) -> bool:
        return stat.S_ISDIR(self.mode)


def may(who: Caller, node: Node, mask: int) -> bool:
    """Whether Linux's owner/group/other rule grants all of `mask`."""
    if who.uid == 0:
        return not mask & X_OK or node.is_dir or bool(node.mode & 0o111)
    shift = 6 if who.uid == node.uid else 3 if in_group(who, node.gid) else 0
    return mask & ~(node.mode >> shift) == 0


def in_group(who: Caller, gid: int) -> bool:
    return gid == who.gid or gid in who.groups


def check_name(name: bytes) -> None:
    if not name or b"/" in name or b"\0" in name:
        raise errors.InvalidName
    if len(name) > NAME_BYTES_MAX:
        raise errors.NameTooLong


class Nodes:
    """The inodes of one tree, and questions about them.

    The tree's `root` is the top of the map, or, in the fork of a sub-directory, that directory:
    the map is then shared as a whole, and what is not below the root is out of reach.
    """

    def __init__(self, block_bytes: int, root: int) -> None:
        self.block_bytes = block_bytes
        self.root = root
        self.nodes: dict[int, Node] = {}

    def node(self, ino: int) -> Node:
        try:
            return self.nodes[ino]
        except KeyError:
            raise errors.Stale from None

    def directory(self, who: Caller, ino: int, mask: int) -> Node:
        node = self.node(ino)
        if not node.is_dir:
            raise errors.NotDirectory
        self.require(who, node, mask)
        return node

    @staticmethod
    def require(who: Caller, node: Node, mask: int) -> None:
        if not may(who, node, mask):
            raise errors.AccessDenied

    def nlink(self, node: Node) -> int:
        if not node.is_dir:
            return len(node.names)
        if self.is_orphan(node):
            return 0
        return 2 + sum(self.nodes[ino].is_dir for ino in node.entries.values())

    def is_orphan(self, node: Node) -> bool:
        """Whether its last name is gone. The whole map's top never had one."""
        return not node.names and node.ino not in (self.root, TOP)

    def used(self, node: Node) -> int:
        """The stated formula: each block that was written, cut at the end, in whole pages."""
        ends = (min(self.block_bytes, node.size - n * self.block_bytes) for n in node.blocks)
        return sum(-(-end // PAGE_BYTES) * PAGE_BYTES for end in ends)

    def attr(self, node: Node) -> Inode:
        parent = next(iter(node.names)).parent if len(node.names) == 1 else 0
        return Inode(
            ino=node.ino,
            mode=node.mode,
            nlink=self.nlink(node),
            uid=node.uid,
            gid=node.gid,
            size=len(node.entries) if node.is_dir else node.size,
            used=self.used(node),
            rdev_major=node.rdev[0],
            rdev_minor=node.rdev[1],
            atime_ns=node.atime,
            mtime_ns=node.mtime,
            ctime_ns=node.ctime,
            btime_ns=node.btime,
            parent=parent,
            slot=0,
            verifier=node.verifier,
        )

    def getattr(self, ino: int) -> Inode:
        return self.attr(self.node(ino))

    def lookup(self, who: Caller, parent: int, name: bytes) -> Inode:
        here = self.directory(who, parent, X_OK)
        if name == b".":
            return self.attr(here)
        if name == b"..":
            return self.getattr(self.parent_of(here))
        return self.attr(self.entry(here, name))

    def parent_of(self, here: Node) -> int:
        """The directory above; the root is its own, a removed one has none (0)."""
        return here.ino if here.ino == self.root else max(here.names, default=Place(0, b"")).parent

    def entry(self, here: Node, name: bytes) -> Node:
        check_name(name)
        if name not in here.entries:
            raise errors.NotFound
        return self.nodes[here.entries[name]]

    def access(self, who: Caller, ino: int, mask: int) -> int:
        node = self.node(ino)
        return sum(bit for bit in (R_OK, W_OK, X_OK) if mask & bit and may(who, node, bit))

    def content(self, node: Node, offset: int, count: int) -> bytes:
        end = min(offset + count, node.size)
        if offset >= end:
            return b""
        first, last = offset // self.block_bytes, (end - 1) // self.block_bytes
        hole = bytes(self.block_bytes)
        joined = b"".join(node.blocks.get(n, hole) for n in range(first, last + 1))
        start = offset - first * self.block_bytes
        return joined[start : start + end - offset]

    def read(self, who: Caller | None, ino: int, offset: int, count: int) -> Data:
        node = self.regular(ino)
        if who and who.uid != node.uid:
            self.require(who, node, R_OK)
        data = self.content(node, offset, count)
        return Data(data, offset + count >= node.size, self.attr(node))

    def regular(self, ino: int) -> Node:
        node = self.node(ino)
        if node.is_dir:
            raise errors.IsDirectory
        if not stat.S_ISREG(node.mode):
            raise errors.InvalidArgument
        return node

    def seek(self, ino: int, offset: int, data: bool) -> int | None:
        """The first offset from `offset` on that is data (or a hole), by whole blocks."""
        node = self.regular(ino)
        if offset >= node.size:
            return None
        block = offset // self.block_bytes
        blocks = -(-node.size // self.block_bytes)
        last = max(node.blocks, default=-1)
        while block < blocks and (block in node.blocks) != data:
            if block > last:
                block = blocks
            block += 1
        found = max(offset, block * self.block_bytes)
        if data:
            return found if block < blocks else None
        return min(found, node.size)

    def seek_data(self, ino: int, offset: int) -> int | None:
        return self.seek(ino, offset, True)

    def seek_hole(self, ino: int, offset: int) -> int | None:
        return self.seek(ino, offset, False)

    def readlink(self, who: Caller, ino: int) -> bytes:
        node = self.node(ino)
        if not stat.S_ISLNK(node.mode):
            raise errors.InvalidArgument
        return node.target

    def usage(self) -> Usage:
        return Usage(sum(map(self.used, self.nodes.values())), len(self.nodes))

    def walk(self) -> Iterator[tuple[bytes, Place, Node]]:
        """(path, place, inode) of every name, the root first as `/`."""
        todo = [(b"/", Place(0, b""), self.nodes[self.root])]
        while todo:
            path, place, node = todo.pop()
            yield path, place, node
            prefix = path.rstrip(b"/") + b"/"
            for name, ino in node.entries.items():
                todo.append((prefix + name, Place(node.ino, name), self.nodes[ino]))

    def known(self) -> list[Node]:
        """Every inode that callers of this tree can have come by."""
        if self.root == TOP:
            return list(self.nodes.values())
        reached = {node.ino: node for _, _, node in self.walk()}
        orphans = {ino: node for ino, node in self.nodes.items() if self.is_orphan(node)}
        return [*(reached | orphans).values()]
