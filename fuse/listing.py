"""READDIR and READDIRPLUS: a directory, page by page, by its cookies.

A cookie is the store's: it resumes a listing just after its entry, whatever came and went in the
directory since. Each entry of READDIRPLUS, except `.` and `..`, counts as a lookup. The entries of
a page are packed by one call, which takes about half the time of one by one.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from itertools import accumulate, chain

from fuse.protocol import DIRENT, ENTRY_BYTES, IN_HEADER, READ_IN, ROOT_ID
from fuse.request import Request, Result
from fuse.session import READ_BYTES_MAX, Session
from fuse.volumes import Volume
from store.types import COOKIE_DOT_DOT, NAME_BYTES_MAX, ROOT, DirEntry
from store.virtual import NUMBERS_FROM, VirtualTree

_BODY = IN_HEADER.size
# By the length of a name: fuse_dirent with it (`s` fills up with zeros), and how long that is.
_LENGTHS = [length + 7 & ~7 for length in range(NAME_BYTES_MAX + 1)]
_LAYOUTS = [f"{DIRENT.format[1:]}{length}s" for length in _LENGTHS]
_PLUS_LAYOUTS = [f"{ENTRY_BYTES}s{layout}" for layout in _LAYOUTS]
# An entry that was not looked up: the kernel asks for it when it needs it.
_NO_ENTRY = bytes(ENTRY_BYTES)
# The shortest entry: the struct and a name of up to 8 bytes.
_LEAST_BYTES = DIRENT.size + 8


def readdir(session: Session, request: Request) -> Result:
    """Names, inode numbers and types."""
    _, cookie, size, _, _, _, _ = READ_IN.unpack_from(request.data, _BODY)
    volume, ino = session.find(request.node)
    room = min(size, READ_BYTES_MAX)
    found = _entries(session, volume, ino, cookie, room // _LEAST_BYTES)
    entries, lengths = _fitting(found, room, DIRENT.size)
    mask = volume.mask
    numbers = chain.from_iterable(
        [
            (number ^ mask, place, len(name), kind >> 12, name)
            for name, number, kind, place in entries
        ]
    )
    return struct.pack("=" + "".join([_LAYOUTS[length] for length in lengths]), *numbers)


def readdirplus(session: Session, request: Request) -> Result:
    """The same, with what LOOKUP would say of each entry."""
    _, cookie, size, _, _, _, _ = READ_IN.unpack_from(request.data, _BODY)
    volume, ino = session.find(request.node)
    room = min(size, READ_BYTES_MAX)
    count = room // (_LEAST_BYTES + ENTRY_BYTES)
    found = _entries(session, volume, ino, cookie, count)
    entries, lengths = _fitting(found, room, ENTRY_BYTES + DIRENT.size)
    mask, tree = volume.mask, volume.tree
    remember, entry_of, getattr_ = session.nodes.remember, volume.entry, tree.getattr
    # What is in a virtual directory may be dear to find out, and is looked up if it is wanted.
    virtual = isinstance(tree, VirtualTree)
    numbers: list[object] = []
    for name, number, kind, place in entries:
        if place <= COOKIE_DOT_DOT or virtual or number >= NUMBERS_FROM:
            entry = _NO_ENTRY
        else:
            entry = entry_of(getattr_(number), remember(volume, number))
        numbers += entry, number ^ mask, place, len(name), kind >> 12, name
    return struct.pack("=" + "".join([_PLUS_LAYOUTS[length] for length in lengths]), *numbers)


def _fitting(entries: list[DirEntry], room: int, around: int) -> tuple[list[DirEntry], list[int]]:
    """The entries that fit, with so many bytes around each name, and the lengths of their names."""
    lengths = [len(entry[0]) for entry in entries]
    ends = list(accumulate([_LENGTHS[length] + around for length in lengths]))
    fitting = bisect_right(ends, room)
    return entries[:fitting], lengths[:fitting]


def _entries(session: Session, volume: Volume, ino: int, cookie: int, count: int) -> list[DirEntry]:
    """The next entries of a directory as the mount shows them."""
    entries = volume.tree.readdir(ROOT, ino, cookie, max(count, 1)).entries
    nodes = session.nodes
    if ino != nodes.root or volume is not nodes.main:
        return entries
    for at, entry in enumerate(entries[:2]):
        if entry.cookie == COOKIE_DOT_DOT:
            entries[at] = entry._replace(ino=ino)  # nothing leads out of the mount
    if not nodes.virtual:
        return entries
    entries = [entry for entry in entries if session.virtual(ROOT_ID, entry[0]) is None]
    listed = [entry for entry in session.listed if cookie < entry.cookie]
    if listed:
        behind = sum(entry.cookie <= COOKIE_DOT_DOT for entry in entries[:2])
        entries[behind:behind] = listed
    return entries
