"""Attributes on the wire: from an inode to the bytes of fattr3, post_op_attr and wcc_data.

These are in every reply, so each is one call of a packer for the whole of it. Their layout is that
of `nfs3_types.fattr3`, to which a test holds them.
"""

from __future__ import annotations

import struct

from nfs.nfs3_types import ftype3, nfstime3, sattr3, time_how
from store.types import DIRECTORY_BYTES, Change, Inode, SetAttr, SetTime

_FATTR = "IIIIIQQIIQQIIIIII"
_WCC_ATTR = "QIIII"
_post_op = struct.Struct("!I" + _FATTR).pack
_wcc = struct.Struct("!I" + _WCC_ATTR + "I" + _FATTR).pack

FATTR_BYTES = struct.calcsize("!" + _FATTR)
NO_ATTRIBUTES = bytes(4)
NO_WCC = bytes(8)

_SECONDS_MAX = 2**32 - 1
_TIME_MAX = _SECONDS_MAX * 1_000_000_000

# By the type bits of a mode, shifted down.
TYPES = {
    0o10: ftype3.REG,
    0o04: ftype3.DIR,
    0o06: ftype3.BLK,
    0o02: ftype3.CHR,
    0o12: ftype3.LNK,
    0o14: ftype3.SOCK,
    0o01: ftype3.FIFO,
}


def wire_time(time_ns: int) -> tuple[int, int]:
    """Seconds and nanoseconds of a time. What lies before 1970 or after February 2106 has no
    form on the wire (RFC 1813 2.6, nfstime3) and is shown as the nearest time that has one."""
    if 0 <= time_ns <= _SECONDS_MAX * 1_000_000_000:
        return divmod(time_ns, 1_000_000_000)
    return (0, 0) if time_ns < 0 else (_SECONDS_MAX, 0)


def _numbers(inode: Inode, fsid: int) -> tuple[int, ...]:
    """The numbers of fattr3, in its order."""
    (ino, mode, nlink, uid, gid, size, used, major, minor, atime, mtime, ctime, *_) = inode
    kind = TYPES[mode >> 12]
    if kind == 2:
        size = used = DIRECTORY_BYTES
    if not (0 <= atime < _TIME_MAX and 0 <= mtime < _TIME_MAX and 0 <= ctime < _TIME_MAX):
        times = *wire_time(atime), *wire_time(mtime), *wire_time(ctime)
        return (kind, mode & 0o7777, nlink, uid, gid, size, used, major, minor, fsid, ino, *times)
    return (
        kind,
        mode & 0o7777,
        nlink,
        uid,
        gid,
        size,
        used,
        major,
        minor,
        fsid,
        ino,
        atime // 1_000_000_000,
        atime % 1_000_000_000,
        mtime // 1_000_000_000,
        mtime % 1_000_000_000,
        ctime // 1_000_000_000,
        ctime % 1_000_000_000,
    )


def post_op(inode: Inode, fsid: int) -> bytes:
    """An inode's attributes as post_op_attr."""
    return _post_op(1, *_numbers(inode, fsid))


def wcc(change: Change, fsid: int) -> bytes:
    """A change as wcc_data, both halves from its one atomic step."""
    before = change.before
    size = DIRECTORY_BYTES if before.mode >> 12 == 0o04 else before.size
    return _wcc(
        1,
        size,
        *wire_time(before.mtime_ns),
        *wire_time(before.ctime_ns),
        1,
        *_numbers(change.after, fsid),
    )


def from_time(time: nfstime3) -> int:
    """A time from the wire, in ns."""
    return time.seconds * 1_000_000_000 + time.nseconds


def _set_time(wanted: tuple[int, nfstime3 | None]) -> int | SetTime | None:
    how, time = wanted
    if how == time_how.DONT_CHANGE:
        return None
    return SetTime.NOW if time is None else from_time(time)


def set_attributes(wanted: sattr3) -> SetAttr:
    """What a client wants to be changed."""
    mode, uid, gid, size, atime, mtime = wanted
    return SetAttr(
        None if mode is None else mode & 0o7777,
        uid,
        gid,
        size,
        _set_time(atime),
        _set_time(mtime),
    )
