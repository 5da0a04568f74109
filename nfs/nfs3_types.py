"""The wire types of NFS version 3 (RFC 1813), each declared once, in the RFC's names and order.

Attributes in results are `encoded`: one inode's are packed once by `nfs.attributes` and used
wherever they belong.
"""

# ruff: noqa: N801  the RFC's names

from __future__ import annotations

import enum as python_enum
from typing import Annotated, Any, NamedTuple

from nfs.xdr import (
    encoded,
    enum,
    fixed,
    opaque,
    string,
    uint32,
    uint64,
    union,
)

PROGRAM, VERSION = 100003, 3
FHSIZE, COOKIEVERFSIZE, CREATEVERFSIZE, WRITEVERFSIZE = 64, 8, 8, 8

nfs_fh3 = Annotated[bytes, opaque(FHSIZE)]
# The RFC sets no bound to names and paths: whoever takes one says NAMETOOLONG.
filename3 = Annotated[bytes, string()]
nfspath3 = Annotated[bytes, string()]
cookieverf3 = Annotated[bytes, fixed(COOKIEVERFSIZE)]
createverf3 = Annotated[bytes, fixed(CREATEVERFSIZE)]
writeverf3 = Annotated[bytes, fixed(WRITEVERFSIZE)]
uid3 = uint32
gid3 = uint32
mode3 = uint32
count3 = uint32
size3 = uint64
offset3 = uint64
cookie3 = uint64
fileid3 = uint64


class nfsstat3(python_enum.IntEnum):
    """RFC 1813 2.6."""

    OK = 0
    PERM = 1
    NOENT = 2
    IO = 5
    NXIO = 6
    ACCES = 13
    EXIST = 17
    XDEV = 18
    NODEV = 19
    NOTDIR = 20
    ISDIR = 21
    INVAL = 22
    FBIG = 27
    NOSPC = 28
    ROFS = 30
    MLINK = 31
    NAMETOOLONG = 63
    NOTEMPTY = 66
    DQUOT = 69
    STALE = 70
    REMOTE = 71
    BADHANDLE = 10001
    NOT_SYNC = 10002
    BAD_COOKIE = 10003
    NOTSUPP = 10004
    TOOSMALL = 10005
    SERVERFAULT = 10006
    BADTYPE = 10007
    JUKEBOX = 10008


STATUSES = enum(*nfsstat3)


class ftype3(python_enum.IntEnum):
    """RFC 1813 2.6."""

    REG = 1
    DIR = 2
    BLK = 3
    CHR = 4
    LNK = 5
    SOCK = 6
    FIFO = 7


class time_how(python_enum.IntEnum):
    """RFC 1813 2.6."""

    DONT_CHANGE = 0
    SET_TO_SERVER_TIME = 1
    SET_TO_CLIENT_TIME = 2


class stable_how(python_enum.IntEnum):
    """RFC 1813 3.3.7."""

    UNSTABLE = 0
    DATA_SYNC = 1
    FILE_SYNC = 2


class createmode3(python_enum.IntEnum):
    """RFC 1813 3.3.8."""

    UNCHECKED = 0
    GUARDED = 1
    EXCLUSIVE = 2


class nfstime3(NamedTuple):
    """RFC 1813 2.6."""

    seconds: uint32
    nseconds: uint32


class specdata3(NamedTuple):
    """RFC 1813 2.6."""

    specdata1: uint32
    specdata2: uint32


class fattr3(NamedTuple):
    """RFC 1813 2.6."""

    type: Annotated[int, enum(*ftype3)]
    mode: mode3
    nlink: uint32
    uid: uid3
    gid: gid3
    size: size3
    used: size3
    rdev: specdata3
    fsid: uint64
    fileid: fileid3
    atime: nfstime3
    mtime: nfstime3
    ctime: nfstime3


class wcc_attr(NamedTuple):
    """RFC 1813 2.6."""

    size: size3
    mtime: nfstime3
    ctime: nfstime3


class wcc_data_decoded(NamedTuple):
    """wcc_data (RFC 1813 2.6)."""

    before: wcc_attr | None
    after: fattr3 | None


attributes = Annotated[bytes, encoded(fattr3)]
post_op_attr = Annotated[bytes, encoded(fattr3 | None)]
wcc_data = Annotated[bytes, encoded(wcc_data_decoded)]


class diropargs3(NamedTuple):
    """RFC 1813 2.6."""

    dir: nfs_fh3
    name: filename3


_set_time = Annotated[Any, union(enum(*time_how), {time_how.SET_TO_CLIENT_TIME: nfstime3})]


class sattr3(NamedTuple):
    """RFC 1813 2.6. A time is (time_how, nfstime3 or None)."""

    mode: mode3 | None
    uid: uid3 | None
    gid: gid3 | None
    size: size3 | None
    atime: _set_time
    mtime: _set_time


def result(ok: object, fail: object = None) -> Any:
    """A result: (nfsstat3, value), where the value's type depends on the status."""
    return union(STATUSES, {nfsstat3.OK: ok}, fail)
