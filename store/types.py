"""The types that cross the tree interface: what nfs and fuse see of the store.

All are immutable values. Times are nanoseconds since the epoch (signed), sizes and offsets bytes.
Nothing here knows how or where anything is stored.
"""

from __future__ import annotations

import enum
import stat
from typing import NamedTuple

BLOCK_BYTES_DEFAULT = 128 * 1024
PAGE_BYTES = 4096
# What the doors show as the size of a directory, which has no blocks of data.
DIRECTORY_BYTES = 4096
NAME_BYTES_MAX = 255
SYMLINK_BYTES_MAX = 4095
XATTR_NAME_BYTES_MAX = 255
XATTR_VALUE_BYTES_MAX = 65536
FILE_BYTES_MAX = 2**63 - 1
LINK_MAX = 2**31 - 1
COOKIE_START = 0
COOKIE_DOT = 1
COOKIE_DOT_DOT = 2

R_OK, W_OK, X_OK = 4, 2, 1


class Inode(NamedTuple):
    """All attributes of one inode, as of one instant.

    `mode` holds type and permission bits as `st_mode` does. `used` counts allocated bytes.
    A directory's `size` is its number of entries (0: empty) and its `nlink` is 2 plus its
    sub-directories. `parent` and `slot` lead to the inode's one name (its directory entry is the
    one in directory `parent` with cookie `slot`); both are 0 where an inode has no name or several.
    `verifier` is that of an exclusive create, kept until the first setattr.
    """

    ino: int
    mode: int
    nlink: int
    uid: int
    gid: int
    size: int
    used: int
    rdev_major: int
    rdev_minor: int
    atime_ns: int
    mtime_ns: int
    ctime_ns: int
    btime_ns: int
    parent: int
    slot: int
    verifier: int

    @property
    def type(self) -> int:
        """The file type bits of `mode` (S_IFREG, S_IFDIR, ...)."""
        return stat.S_IFMT(self.mode)


class Caller(NamedTuple):
    """Who asks: the effective ids that permission checks use. uid 0 is the superuser."""

    uid: int
    gid: int
    groups: frozenset[int] = frozenset()


ROOT = Caller(0, 0)


class SetTime(enum.Enum):
    """A time to be taken from the store's clock."""

    NOW = "now"


class SetAttr(NamedTuple):
    """Attributes to change; None leaves one as it is. `mode` is permission bits (0o7777)."""

    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    size: int | None = None
    atime_ns: int | SetTime | None = None
    mtime_ns: int | SetTime | None = None


class CreateHow(enum.Enum):
    """How create treats a name that exists (RFC 1813 3.3.8)."""

    UNCHECKED = "unchecked"  # take the existing regular file, apply a given size to it
    GUARDED = "guarded"  # Exists
    EXCLUSIVE = "exclusive"  # the same verifier again: the same file; another: Exists


class RenameHow(enum.Enum):
    """rename(2) flags of renameat2."""

    REPLACE = "replace"
    NOREPLACE = "noreplace"
    EXCHANGE = "exchange"


class XattrHow(enum.Enum):
    """setxattr(2) flags."""

    SET = "set"
    CREATE = "create"
    REPLACE = "replace"


class Change(NamedTuple):
    """An inode before and after one atomic step (what NFS calls wcc_data)."""

    before: Inode
    after: Inode


class Made(NamedTuple):
    """Result of create, mkdir, mknod, symlink and link: the inode and its directory's change."""

    inode: Inode
    directory: Change
    created: bool = True


class Removed(NamedTuple):
    """Result of unlink and rmdir: the inode as it now is (nlink may be 0) and the directory."""

    inode: Inode
    directory: Change


class Renamed(NamedTuple):
    """Result of rename: both directories' changes, the moved inode, and what it replaced."""

    source: Change
    target: Change
    inode: Inode
    replaced: Inode | None


class Data(NamedTuple):
    """Result of read: the bytes, whether they reach the end of file, and the inode."""

    data: bytes | bytearray | memoryview
    eof: bool
    inode: Inode


class DirEntry(NamedTuple):
    """A directory entry: `cookie` resumes a listing just after it; `type` is S_IFMT bits."""

    name: bytes
    ino: int
    type: int
    cookie: int


class Listing(NamedTuple):
    """A page of a directory; `eof` says that nothing follows the last entry."""

    entries: list[DirEntry]
    eof: bool


class StatFs(NamedTuple):
    """Space and inodes of a tree, quota applied. Bytes, and numbers of inodes; totals < 2**63."""

    total_bytes: int
    free_bytes: int
    available_bytes: int
    total_inodes: int
    free_inodes: int
    block_bytes: int
    name_bytes_max: int


class Usage(NamedTuple):
    """What a branch holds: allocated bytes and inodes."""

    used_bytes: int
    inodes: int


class Quota(NamedTuple):
    """Limits of a branch; 0 means none."""

    bytes_max: int = 0
    inodes_max: int = 0


class Who(NamedTuple):
    """Author or committer: `name` is free text such as `Ann <ann@example.org>`."""

    name: str
    time_ns: int


class BranchInfo(NamedTuple):
    """A branch as lists show it. `head` is the id of the newest snapshot below it, 0 if none."""

    name: str
    id: int
    root_ino: int
    head: int
    created_ns: int
    usage: Usage
    quota: Quota


class SnapshotInfo(NamedTuple):
    """A snapshot as lists show it. `commit` is empty until it is sealed; `parent` 0 if none."""

    branch: str
    name: str
    id: int
    parent: int
    author: Who
    message: str
    commit: str
    usage: Usage


class LogEntry(NamedTuple):
    """One step of history, newest first. `name` and `snapshot` are empty/0 for a bare commit."""

    commit: str
    snapshot: int
    name: str
    author: Who
    message: str
    parents: tuple[str, ...]


class DiffKind(enum.Enum):
    """What happened to a path between two points."""

    ADDED = "added"
    REMOVED = "removed"
    MODIFIED = "modified"  # data, attributes other than times, or xattrs
    RENAMED = "renamed"  # another parent or name; it may have been modified as well


class Difference(NamedTuple):
    """One path that differs: the new path (when REMOVED the old one) and the two inodes."""

    kind: DiffKind
    path: bytes
    old_path: bytes | None
    old: Inode | None
    new: Inode | None


class Problem(NamedTuple):
    """A finding of check: `where` is an object, pack, branch or path, `what` says it in a line."""

    where: str
    what: str
