"""The kernel's FUSE protocol, as `linux/fuse.h` lays it out: numbers, flags and fixed structs.

Version 7.31 (Linux 5.4) is the oldest that is spoken, 7.38 the newest; a newer kernel falls back to
that. All numbers are in the host's byte order. A request is a header, a fixed struct where its
operation has one, then names or data; a reply is a header and whatever belongs to the operation.
Names of the kernel's own are kept. Pure.
"""

from __future__ import annotations

import enum
import struct

MAJOR = 7
MINOR = 38
MINOR_LEAST = 31
ROOT_ID = 1


class Opcode(enum.IntEnum):
    """enum fuse_opcode."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    SETATTR = 4
    READLINK = 5
    SYMLINK = 6
    MKNOD = 8
    MKDIR = 9
    UNLINK = 10
    RMDIR = 11
    RENAME = 12
    LINK = 13
    OPEN = 14
    READ = 15
    WRITE = 16
    STATFS = 17
    RELEASE = 18
    FSYNC = 20
    SETXATTR = 21
    GETXATTR = 22
    LISTXATTR = 23
    REMOVEXATTR = 24
    FLUSH = 25
    INIT = 26
    OPENDIR = 27
    READDIR = 28
    RELEASEDIR = 29
    FSYNCDIR = 30
    GETLK = 31
    SETLK = 32
    SETLKW = 33
    ACCESS = 34
    CREATE = 35
    INTERRUPT = 36
    BMAP = 37
    DESTROY = 38
    IOCTL = 39
    POLL = 40
    NOTIFY_REPLY = 41
    BATCH_FORGET = 42
    FALLOCATE = 43
    READDIRPLUS = 44
    RENAME2 = 45
    LSEEK = 46
    COPY_FILE_RANGE = 47
    SYNCFS = 50
    TMPFILE = 51


class Notify(enum.IntEnum):
    """enum fuse_notify_code: what stands in `error` of a message that answers no request."""

    INVAL_INODE = 2
    INVAL_ENTRY = 3


class Init(enum.IntFlag):
    """Flags of fuse_init_in and fuse_init_out: what the kernel can, and what is wanted of it."""

    ASYNC_READ = 1 << 0
    EXPORT_SUPPORT = 1 << 4
    BIG_WRITES = 1 << 5
    DONT_MASK = 1 << 6
    DO_READDIRPLUS = 1 << 13
    READDIRPLUS_AUTO = 1 << 14
    ASYNC_DIO = 1 << 15
    WRITEBACK_CACHE = 1 << 16
    NO_OPEN_SUPPORT = 1 << 17
    PARALLEL_DIROPS = 1 << 18
    POSIX_ACL = 1 << 20
    MAX_PAGES = 1 << 22
    CACHE_SYMLINKS = 1 << 23
    NO_OPENDIR_SUPPORT = 1 << 24
    EXPLICIT_INVAL_DATA = 1 << 25
    HANDLE_KILLPRIV_V2 = 1 << 28


class Fattr(enum.IntFlag):
    """`valid` of fuse_setattr_in."""

    MODE = 1 << 0
    UID = 1 << 1
    GID = 1 << 2
    SIZE = 1 << 3
    ATIME = 1 << 4
    MTIME = 1 << 5
    ATIME_NOW = 1 << 7
    MTIME_NOW = 1 << 8
    KILL_SUIDGID = 1 << 11


FOPEN_KEEP_CACHE = 1 << 1
FOPEN_CACHE_DIR = 1 << 3
WRITE_CACHE = 1 << 0
WRITE_KILL_SUIDGID = 1 << 2
# renameat2(2), setxattr(2), lseek(2).
RENAME_NOREPLACE = 1 << 0
RENAME_EXCHANGE = 1 << 1
XATTR_CREATE = 1 << 0
XATTR_REPLACE = 1 << 1

# fuse_in_header: len, opcode, unique, nodeid, uid, gid, pid, total_extlen, padding
IN_HEADER = struct.Struct("=IIQQIIIHH")
# fuse_out_header: len, error, unique
OUT_HEADER = struct.Struct("=IiQ")

# fuse_attr: ino, size, blocks, atime, mtime, ctime, their ns, mode, nlink, uid, gid, rdev,
# blksize, flags. Times are signed: what stat(2) shows before 1970 is negative.
ATTR = struct.Struct("=QQQqqqIIIIIIIIII")
# fuse_attr_out before its fuse_attr: attr_valid, attr_valid_nsec, dummy
ATTR_VALID = struct.Struct("=QII")
# fuse_entry_out before its fuse_attr: nodeid, generation, entry_valid, attr_valid, their ns
ENTRY = struct.Struct("=QQQQII")
ENTRY_BYTES = ENTRY.size + ATTR.size
# fuse_dirent before its name: ino, off, namelen, type
DIRENT = struct.Struct("=QQII")

# fuse_init_in: major, minor, max_readahead, flags
INIT_IN = struct.Struct("=IIII")
# fuse_init_out: major, minor, max_readahead, flags, max_background, congestion_threshold,
# max_write, time_gran, max_pages, map_alignment, flags2, unused[7]
INIT_OUT = struct.Struct("=IIIIHHIIHHI28x")

FORGET_IN = struct.Struct("=Q")  # nlookup
BATCH_FORGET_IN = struct.Struct("=II")  # count, dummy
FORGET_ONE = struct.Struct("=QQ")  # nodeid, nlookup
# fuse_setattr_in: valid, padding, fh, size, lock_owner, atime, mtime, ctime, their ns, mode,
# unused4, uid, gid, unused5
SETATTR_IN = struct.Struct("=IIQQQqqqIIIIIIII")
MKNOD_IN = struct.Struct("=IIII")  # mode, rdev, umask, padding
MKDIR_IN = struct.Struct("=II")  # mode, umask
RENAME_IN = struct.Struct("=Q")  # newdir
RENAME2_IN = struct.Struct("=QII")  # newdir, flags, padding
LINK_IN = struct.Struct("=Q")  # oldnodeid
OPEN_IN = struct.Struct("=II")  # flags, open_flags
OPEN_OUT = struct.Struct("=QII")  # fh, open_flags, padding
CREATE_IN = struct.Struct("=IIII")  # flags, mode, umask, open_flags
# fuse_read_in: fh, offset, size, read_flags, lock_owner, flags, padding; READDIR has it as well
READ_IN = struct.Struct("=QQIIQII")
# fuse_write_in: fh, offset, size, write_flags, lock_owner, flags, padding
WRITE_IN = struct.Struct("=QQIIQII")
WRITE_OUT = struct.Struct("=II")  # size, padding
SETXATTR_IN = struct.Struct("=II")  # size, flags
GETXATTR_IN = struct.Struct("=II")  # size, padding
GETXATTR_OUT = struct.Struct("=II")  # size, padding
LSEEK_IN = struct.Struct("=QQII")  # fh, offset, whence, padding
LSEEK_OUT = struct.Struct("=Q")  # offset
INTERRUPT_IN = struct.Struct("=Q")  # unique
# fuse_statfs_out: blocks, bfree, bavail, files, ffree, bsize, namelen, frsize, padding, spare[6]
STATFS_OUT = struct.Struct("=QQQQQIIII24x")

INVAL_INODE_OUT = struct.Struct("=Qqq")  # ino, off, len
INVAL_ENTRY_OUT = struct.Struct("=QII")  # parent, namelen, flags

# What a request has besides data: header and struct; the kernel wants this much room at least.
REQUEST_BYTES = IN_HEADER.size + WRITE_IN.size
READ_BUFFER_BYTES_LEAST = 8192


class BadRequest(ValueError):
    """Bytes that no kernel sends."""


def name(body: bytes, start: int = 0) -> bytes:
    """The one name from `start` to the end. Raises BadRequest."""
    stop = body.find(b"\0", start)
    if stop < 0 or stop != len(body) - 1:
        raise BadRequest("a name that does not end with its request")
    return body[start:stop]


def two_names(body: bytes, start: int = 0) -> tuple[bytes, bytes]:
    """Two names, one behind the other. Raises BadRequest."""
    stop = body.find(b"\0", start)
    if stop < 0:
        raise BadRequest("a name without an end")
    return body[start:stop], name(body, stop + 1)


def align(length: int) -> int:
    """FUSE_DIRENT_ALIGN: to a multiple of 8."""
    return length + 7 & ~7


def inval_inode(nodeid: int, start: int, length: int) -> bytes:
    """The notice that attributes, and the data from `start` on (length 0: to the end; start < 0:
    none), are not what the kernel knows any more."""
    size = OUT_HEADER.size + INVAL_INODE_OUT.size
    return OUT_HEADER.pack(size, Notify.INVAL_INODE, 0) + INVAL_INODE_OUT.pack(
        nodeid, start, length
    )


def inval_entry(parent: int, entry: bytes) -> bytes:
    """The notice that a name does not lead where the kernel thinks any more."""
    size = OUT_HEADER.size + INVAL_ENTRY_OUT.size + len(entry) + 1
    head = OUT_HEADER.pack(size, Notify.INVAL_ENTRY, 0)
    return b"".join((head, INVAL_ENTRY_OUT.pack(parent, len(entry), 0), entry, b"\0"))


def reply_header(unique: int, length: int, error: int = 0) -> bytes:
    """The header of a reply with `length` bytes behind it; `error` is an errno."""
    return OUT_HEADER.pack(OUT_HEADER.size + length, -error, unique)
