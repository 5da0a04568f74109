"""Three states of a map, as a merge looks at them: the ancestor, ours, which changes, and theirs.

A `Side` answers for one of them; inodes without a name, which somebody holds open, do not count.
`touched` finds what differs between two, at a cost that follows the difference.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from store import keys, prolly, records
from store.layer import Chain
from store.node import NodeSource
from store.scratch import Scratch
from store.tree import Tree
from store.types import Inode, Usage

ROOT_INO = 1
_S_IFMT, _S_IFDIR, _S_IFREG = 0o170000, 0o040000, 0o100000


class Name(NamedTuple):
    """A directory entry's place: the directory's number and the name in it."""

    directory: int
    name: bytes


class Touch:
    """What differs of an inode beside its record: attributes, and blocks as they are now."""

    __slots__ = ("extents", "xattrs")

    def __init__(self) -> None:
        self.xattrs: dict[bytes, tuple[bytes | None, bytes | None]] = {}
        self.extents: dict[int, bytes | None] = {}


NO_TOUCH = Touch()


def touched(
    nodes: NodeSource, old: bytes, new: bytes, start: bytes = b"", stop: bytes | None = None
) -> dict[int, Touch]:
    """The inodes with keys that differ, by number; those of names and orphans are left out."""
    found: dict[int, Touch] = {}
    for key, was, now in prolly.diff(nodes, old, new, start, stop):
        ino, kind, rest = keys.split(key)
        if not ino:
            continue
        touch = found.get(ino)
        if touch is None:
            touch = found[ino] = Touch()
        if kind == keys.XATTR:
            touch.xattrs[rest] = was, now
        elif kind == keys.EXTENT:
            touch.extents[keys.unpack_u64(rest)] = now
    return found


def is_directory(inode: Inode) -> bool:
    """Whether an inode is a directory."""
    return inode.mode & _S_IFMT == _S_IFDIR


def is_regular(inode: Inode) -> bool:
    """Whether an inode is a file with data."""
    return inode.mode & _S_IFMT == _S_IFREG


class Side:
    """One of the three states; the whole map is seen, whatever a branch has for its root."""

    def __init__(self, ground: Scratch, root: bytes) -> None:
        self.root = root
        self._nodes = ground.nodes
        self._ground = ground
        self._chain = Chain(ground, None, root)
        self._tree = self.tree_at(ROOT_INO)
        self._last: tuple[int, Inode | None] = 0, None  # asked for many times in a row

    def tree_at(self, root_ino: int) -> Tree:
        """A read-only tree of it."""
        return Tree(self._ground, self._chain, root_ino, Usage(0, 0), read_only=True)

    def inode(self, ino: int) -> Inode | None:
        """An inode that has a name, or is the first root."""
        if self._last[0] != ino:
            inode = self._chain.inode(ino)
            self._last = ino, None if inode is None or not inode.nlink else inode
        return self._last[1]

    def names(self, ino: int) -> set[Name]:
        """All names of an inode; none for one that is not there."""
        inode = self.inode(ino)
        found = set()
        for directory, slot in () if inode is None else self._tree.names_of(inode):
            name = self._tree.name_at(directory, slot)
            if name is not None:
                found.add(Name(directory, name))
        return found

    def entry(self, name: Name) -> int:
        """The inode number that a name leads to, 0 for none."""
        return self._tree.leads_to(*name)

    def entries(self, directory: int) -> Iterator[tuple[Name, int]]:
        """All entries of a directory."""
        for _, value in self._chain.rows(keys.prefix(directory, keys.DIRENT)):
            found = records.decode_dirent(value)
            if found.ino:
                yield Name(directory, found.name), found.ino

    def rows(self, ino: int, kind: int) -> list[tuple[bytes, bytes]]:
        """An inode's rows of a kind as (rest of the key, value)."""
        prefix = keys.prefix(ino, kind)
        return [
            (key[keys.PREFIX_BYTES :], value)
            for key, value in prolly.items(self._nodes, self.root, prefix, keys.after(prefix))
        ]

    def touch(self, since: Side, ino: int) -> Touch:
        """What differs of one inode from another state, beside its record."""
        lower, upper = keys.inode_range(ino)
        return touched(self._nodes, since.root, self.root, lower, upper).get(ino, NO_TOUCH)

    def path(self, ino: int, root_ino: int) -> bytes | None:
        """A path of an inode below a root, None where it has none there."""
        if self.inode(ino) is None:
            return None
        paths = self.tree_at(root_ino).paths_of(ino)
        return paths[0] if paths else None
