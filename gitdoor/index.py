"""The index of a working directory (gitformat-index(5)), as if git had just checked it out.

Each entry has the attributes that the file had in the newest snapshot, so git reads only what has
changed since. Git compares times by the second. So a file that changed in the second of the
snapshot might pass for what it was: the entry of such a file is given another time unless the file
is known to be the snapshot's still, and then git compares contents.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from typing import NamedTuple

from gitdoor.content import inode_at
from gitdoor.entries import listing, plain_name
from gitdoor.objects import EXECUTABLE, FILE, LINK, SUBMODULE
from store.gitrows import TREE, GitCommit, GitEntry
from store.node import NodeSource
from store.types import Inode

_NS = 1_000_000_000
_MASK = 0xFFFF_FFFF
# ctime, mtime, device, inode, mode, owner, group, size, id, flags.
_ENTRY = struct.Struct(">10I20sH")
_NAME_MASK = 0xFFF
_TIMES = struct.Struct(">4I")


class Recent(NamedTuple):
    """An entry whose file changed so late that a later change may not show in its times."""

    at: int  # which entry it is
    ino: int
    ctime_ns: int


class Draft(NamedTuple):
    """An index but for what depends on the moment."""

    entries: list[bytes]
    recent: list[Recent]
    extension: bytes

    @property
    def weight(self) -> int:
        """About how much memory it takes."""
        return sum(map(len, self.entries)) + 60 * len(self.entries) + len(self.extension)


class _Tree(NamedTuple):
    """A tree of the extension: its name, how many entries of the index are below, its id (none
    where the index has not all of it), and the trees in it."""

    name: bytes
    entries: int
    id: bytes
    trees: list[_Tree]


def draft(nodes: NodeSource, record: GitCommit, top: GitEntry, snapshot_ns: int) -> Draft:
    """The index of a directory of a commit, which was made at a time. Any thread."""
    entries: list[bytes] = []
    recent: list[Recent] = []
    since_ns = snapshot_ns // _NS * _NS

    def walk(directory: GitEntry, path: bytes, name: bytes) -> _Tree:
        start, trees, whole = len(entries), list[_Tree](), True
        for item in listing(nodes, record.entries, directory.ino):
            _, entry = item
            plain = plain_name(item)
            if entry.kind == TREE:
                below = walk(entry, path + plain + b"/", plain)
                whole = whole and bool(below.entries and below.id)
                if below.entries:
                    trees.append(below)
                continue
            inode = None
            if entry.mode != SUBMODULE:
                inode = inode_at(nodes, record.root, entry.ino)
                if inode.ctime_ns >= since_ns:
                    recent.append(Recent(len(entries), inode.ino, inode.ctime_ns))
            entries.append(_entry(path + plain, entry, inode))
        return _Tree(name, len(entries) - start, directory.id if whole else b"", trees)

    return Draft(entries, recent, b"".join(_rows(walk(top, b"", b""))))


def _entry(path: bytes, entry: GitEntry, inode: Inode | None) -> bytes:
    mode = entry.mode
    if mode not in (LINK, SUBMODULE):
        mode = EXECUTABLE if mode & 0o100 else FILE
    numbers = [0] * 10
    if inode is not None:
        numbers = [
            inode.ctime_ns // _NS & _MASK,
            inode.ctime_ns % _NS,
            inode.mtime_ns // _NS & _MASK,
            inode.mtime_ns % _NS,
            0,
            inode.ino & _MASK,
            mode,
            inode.uid,
            inode.gid,
            _size(inode.size),
        ]
    numbers[6] = mode
    flags = min(len(path), _NAME_MASK)
    head = _ENTRY.pack(*numbers, entry.id, flags)
    return head + path + bytes(8 - (len(head) + len(path)) % 8)


def _size(size: int) -> int:
    """A size as git keeps it: 0 would say that the entry has to be looked at."""
    return size & _MASK or (1 << 31 if size else 0)


def _rows(tree: _Tree) -> Iterator[bytes]:
    """The extension that says which trees the index has, so that git need not read them."""
    count = tree.entries if tree.id else -1
    yield b"%s\0%d %d\n%s" % (tree.name, count, len(tree.trees), tree.id)
    for below in tree.trees:
        yield from _rows(below)


def finished(found: Draft, changed: set[int]) -> bytes:
    """The index, in which entries of those numbers are marked for git to compare contents."""
    entries = found.entries
    if changed:
        entries = list(entries)
        for at in changed:
            entries[at] = _TIMES.pack(0, 0, 0, 0) + entries[at][_TIMES.size :]
    parts = [b"DIRC" + (2).to_bytes(4, "big") + len(entries).to_bytes(4, "big"), *entries]
    parts.append(b"TREE" + len(found.extension).to_bytes(4, "big") + found.extension)
    data = b"".join(parts)
    return data + hashlib.sha1(data, usedforsecurity=False).digest()
