"""READDIR and READDIRPLUS: a directory, page by page, by its cookies.

A cookie is the store's: it resumes a listing just after its entry, whatever came and went in the
directory since. Each entry of READDIRPLUS, except `.` and `..`, counts as a lookup.
"""

from __future__ import annotations

import stat

from fuse.protocol import DIRENT, ENTRY_BYTES, IN_HEADER, READ_IN
from fuse.request import Request, Result
from fuse.session import READ_BYTES_MAX, Session
from fuse.volumes import Volume
from store import snapdir
from store.snapdir import SnapshotDirectory
from store.types import COOKIE_DOT_DOT, ROOT, DirEntry

_BODY = IN_HEADER.size
_PADDING = (b"", b"\0" * 7, b"\0" * 6, b"\0" * 5, b"\0" * 4, b"\0" * 3, b"\0" * 2, b"\0")
# An entry that was not looked up: the kernel asks for it when it needs it.
_NO_ENTRY = bytes(ENTRY_BYTES)
# `.snapshots`, as the root of a branch lists it.
_SNAPSHOTS = DirEntry(snapdir.NAME, snapdir.INO, stat.S_IFDIR, snapdir.COOKIE)
# The shortest entry: the struct and a name of up to 8 bytes.
_LEAST_BYTES = DIRENT.size + 8


def readdir(session: Session, request: Request) -> Result:
    """Names, inode numbers and types."""
    _, cookie, size, _, _, _, _ = READ_IN.unpack_from(request.data, _BODY)
    volume, ino = session.find(request.node)
    room = min(size, READ_BYTES_MAX)
    pack, mask = DIRENT.pack, volume.mask
    parts: list[bytes] = []
    for name, number, kind, place in _entries(session, volume, ino, cookie, room // _LEAST_BYTES):
        length = len(name)
        room -= DIRENT.size + (length + 7 & ~7)
        if room < 0:
            break
        parts += pack(number ^ mask, place, length, kind >> 12), name, _PADDING[length & 7]
    return b"".join(parts)


def readdirplus(session: Session, request: Request) -> Result:
    """The same, with what LOOKUP would say of each entry."""
    _, cookie, size, _, _, _, _ = READ_IN.unpack_from(request.data, _BODY)
    volume, ino = session.find(request.node)
    room = min(size, READ_BYTES_MAX)
    pack, mask, tree = DIRENT.pack, volume.mask, volume.tree
    remember, entry_of, getattr_ = session.nodes.remember, volume.entry, tree.getattr
    crossing = isinstance(tree, SnapshotDirectory)
    count = room // (_LEAST_BYTES + ENTRY_BYTES)
    parts: list[bytes] = []
    for name, number, kind, place in _entries(session, volume, ino, cookie, count):
        length = len(name)
        room -= ENTRY_BYTES + DIRENT.size + (length + 7 & ~7)
        if room < 0:
            break
        if place <= COOKIE_DOT_DOT or crossing or number == snapdir.INO:
            entry = _NO_ENTRY
        else:
            entry = entry_of(getattr_(number), remember(volume, number))
        parts += entry, pack(number ^ mask, place, length, kind >> 12), name, _PADDING[length & 7]
    return b"".join(parts)


def _entries(session: Session, volume: Volume, ino: int, cookie: int, count: int) -> list[DirEntry]:
    """The next entries of a directory as the mount shows them."""
    entries = volume.tree.readdir(ROOT, ino, cookie, max(count, 1)).entries
    nodes = session.nodes
    if ino != nodes.root or volume is not nodes.main:
        return entries
    for at, entry in enumerate(entries[:2]):
        if entry.cookie == COOKIE_DOT_DOT:
            entries[at] = entry._replace(ino=ino)  # nothing leads out of the mount
    if nodes.snapshots is None:
        return entries
    entries = [entry for entry in entries if entry.name != snapdir.NAME]
    if session.options.listed and cookie < snapdir.COOKIE:
        behind = sum(entry.cookie <= COOKIE_DOT_DOT for entry in entries[:2])
        entries.insert(behind, _SNAPSHOTS)
    return entries
