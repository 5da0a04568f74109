"""READDIR and READDIRPLUS (RFC 1813 3.3.16, 3.3.17).

A cookie is the store's: it resumes a listing just after its entry, whatever came and went in the
directory since, and after a restart. So one verifier does for ever, and none is refused. Pages
are filled by the size that entries have on the wire.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from nfs.attributes import FATTR_BYTES, NO_ATTRIBUTES, post_op
from nfs.door import OK, Door, Result
from nfs.exported import Exported
from nfs.handle import HANDLE_BYTES
from nfs.nfs3_messages import (
    READDIR3args,
    READDIR3resok,
    READDIRPLUS3args,
    READDIRPLUS3resok,
)
from nfs.program import Call
from nfs.status import TooSmall
from store.types import COOKIE_DOT_DOT, Caller, DirEntry, Listing
from store.virtual import NUMBERS_FROM, VirtualTree

COOKIE_VERIFIER = b"fsgw" + bytes(4)

# dir_attributes and cookieverf before the entries, the end of the list and eof behind them.
_AROUND_BYTES = 4 + FATTR_BYTES + 8 + 4 + 4
# fileid, an empty name and cookie of an entry that follows, and what READDIRPLUS adds to it.
_ENTRY_BYTES = 4 + 8 + 4 + 8
_PLUS_BYTES = 4 + FATTR_BYTES + 4 + 4 + HANDLE_BYTES
# An entry's name is a word long at least.
_LEAST_BYTES = _ENTRY_BYTES + 4

_FOLLOWS = struct.Struct("!IQI").pack
_COOKIE = struct.Struct("!Q").pack
_HANDLE_FOLLOWS = struct.pack("!II", 1, HANDLE_BYTES)
_END = {False: struct.pack("!II", 0, 0), True: struct.pack("!II", 0, 1)}
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")

# The most that a reply holds, whatever the client asks for.
LISTING_BYTES_MAX = 1 << 20


def readdir3(door: Door, call: Call, arguments: READDIR3args) -> Result:
    """RFC 1813 3.3.16."""
    exported, ino = door.open(call, arguments.dir)
    who = exported.caller(call.caller)
    room = min(arguments.count_, LISTING_BYTES_MAX) - _AROUND_BYTES
    entries, eof = _entries(exported, who, ino, arguments.cookie, room // _LEAST_BYTES)
    _check_room(room)
    parts: list[bytes] = []
    for name, number, _, cookie in entries:
        length = len(name)
        room -= _ENTRY_BYTES + (length + 3 & ~3)
        if room < 0:
            eof = False
            break
        parts += _FOLLOWS(1, number, length), name, _PADDING[length & 3], _COOKIE(cookie)
    if not parts and not eof:
        raise TooSmall(f"no entry fits in {arguments.count_} bytes")
    parts.append(_END[eof])
    around = post_op(exported.tree.getattr(ino), exported.fsid)
    return OK, READDIR3resok(around, COOKIE_VERIFIER, b"".join(parts))


def readdirplus3(door: Door, call: Call, arguments: READDIRPLUS3args) -> Result:
    """RFC 1813 3.3.17."""
    exported, ino = door.open(call, arguments.dir)
    who, tree = exported.caller(call.caller), exported.tree
    room = min(arguments.maxcount, LISTING_BYTES_MAX) - _AROUND_BYTES
    names_room = arguments.dircount
    count = min(room // (_LEAST_BYTES + _PLUS_BYTES), names_room // _LEAST_BYTES + 1)
    entries, eof = _entries(exported, who, ino, arguments.cookie, count)
    find, virtual = tree.getattr, isinstance(tree, VirtualTree)
    shown = door.shown
    _check_room(room)
    parts: list[bytes] = []
    append = parts.append
    for name, number, _, cookie in entries:
        length = len(name)
        size = _ENTRY_BYTES + (length + 3 & ~3)
        names_room -= size
        room -= size + _PLUS_BYTES
        if room < 0 or (names_room < 0 and parts):
            eof = False
            break
        append(_FOLLOWS(1, number, length))
        append(name)
        if length & 3:
            append(_PADDING[length & 3])
        append(_COOKIE(cookie))
        if virtual or number >= NUMBERS_FROM:
            append(_virtual(door, exported, number, cookie))
            continue
        _, packed, handle = shown(exported, find(number))
        append(packed)
        append(_HANDLE_FOLLOWS)
        append(handle)
    if not parts and not eof:
        raise TooSmall(f"no entry fits in {arguments.maxcount} bytes")
    append(_END[eof])
    around = door.shown(exported, find(ino)).attributes
    return OK, READDIRPLUS3resok(around, COOKIE_VERIFIER, b"".join(parts))


def _virtual(door: Door, exported: Exported, number: int, cookie: int) -> bytes:
    """Attributes and handle of an entry that is, or is in, a virtual directory."""
    if isinstance(exported.tree, VirtualTree) and cookie > COOKIE_DOT_DOT:
        # Another volume, or dear to find out: the client looks it up.
        return NO_ATTRIBUTES + bytes(4)
    attributes = post_op(exported.inode(number), exported.fsid)
    return attributes + _HANDLE_FOLLOWS + door.handles.make(exported.prefix, number)


def _check_room(room: int) -> None:
    """Raise TooSmall where not even an empty page fits."""
    if room < 0:
        raise TooSmall(f"a page without entries is {_AROUND_BYTES} bytes")


def _entries(
    exported: Exported, who: Caller, ino: int, cookie: int, count: int
) -> tuple[Iterable[DirEntry], bool]:
    """The next entries of a directory as its export shows them, and whether they are the last."""
    found: Listing = exported.tree.readdir(who, ino, cookie, max(count, 1))
    entries, eof = found
    for at, entry in enumerate(entries[:2]):
        if entry.cookie == COOKIE_DOT_DOT:
            entries[at] = entry._replace(ino=exported.above(ino))
    if ino == exported.root and exported.virtual:
        entries[:] = [entry for entry in entries if entry.name not in exported.virtual]
        listed = [entry for entry in exported.listed if cookie < entry.cookie]
        behind = sum(entry.cookie <= COOKIE_DOT_DOT for entry in entries[:2])
        if listed and (eof or behind < len(entries) or cookie >= COOKIE_DOT_DOT):
            entries[behind:behind] = listed
    return entries, eof
