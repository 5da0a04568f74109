"""What the cases may do with a file system: POSIX calls by path, as one user, below one directory.

A driver subclasses `Fs` and `File`. Rules for drivers: no umask applies; paths are relative, `str`
or `bytes`; intermediate symbolic links are followed; every refusal is an `FsError` with the
symbolic name of POSIX or Linux ("ENOENT"). Offsets and sizes are bytes, times nanoseconds since
the epoch.
"""

from __future__ import annotations

import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import Final, Literal, NamedTuple, Self

Path = str | bytes
Call = Callable[..., object]  # a step of a case, as tables of cases hold it
RenameFlag = Literal["replace", "noreplace", "exchange"]
XattrFlag = Literal["set", "create", "replace"]

NOW: Final = "now"
OMIT: Final = "omit"
Time = int | Literal["now", "omit"]

KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
}


class FsError(Exception):
    """A call was refused; `name` is the symbolic error."""

    def __init__(self, name: str, message: str = "") -> None:
        super().__init__(f"{name}: {message}" if message else name)
        self.name = name


class User(NamedTuple):
    """Effective ids of a process; `groups` are the supplementary ones."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()


STAFF = 12000
ROOT = User(0, 0)
ALICE = User(11001, 11001, (STAFF,))  # the usual owner; her second group is STAFF
BOB = User(11002, 11002)  # a stranger: neither owner nor in any group used here
CAROL = User(11003, 11003, (STAFF,))  # in STAFF by a supplementary group
DAVE = User(11004, STAFF)  # in STAFF by his primary group


class Stat(NamedTuple):
    """What stat(2) answers; `blocks` counts 512 bytes each."""

    ino: int
    mode: int
    nlink: int
    uid: int
    gid: int
    size: int
    blocks: int
    major: int
    minor: int
    atime: int
    mtime: int
    ctime: int

    @property
    def perm(self) -> int:
        """The permission bits, set-id and sticky included."""
        return stat.S_IMODE(self.mode)

    @property
    def kind(self) -> str:
        """A value of KINDS."""
        return KINDS[stat.S_IFMT(self.mode)]


class Entry(NamedTuple):
    """A directory entry; reading on from `cookie` starts just after it."""

    name: bytes
    ino: int
    kind: str
    cookie: int


class Space(NamedTuple):
    """What statvfs(2) answers, in bytes and numbers of inodes."""

    total: int
    free: int
    available: int
    inodes: int
    inodes_free: int
    name_max: int


class File(ABC):
    """An open file description."""

    @abstractmethod
    def pread(self, count: int, offset: int) -> bytes:
        """Up to `count` bytes from `offset`; fewer only at the end of the file."""

    @abstractmethod
    def pwrite(self, data: bytes, offset: int) -> None:
        """Write all of `data` at `offset`."""

    @abstractmethod
    def append(self, data: bytes) -> None:
        """Write at the end, as write(2) does on a file opened with O_APPEND."""

    @abstractmethod
    def truncate(self, size: int) -> None:
        """ftruncate(2)."""

    @abstractmethod
    def chmod(self, mode: int) -> None:
        """fchmod(2)."""

    @abstractmethod
    def stat(self) -> Stat:
        """fstat(2)."""

    @abstractmethod
    def seek_data(self, offset: int) -> int:
        """lseek(2) with SEEK_DATA; ENXIO where no data follows."""

    @abstractmethod
    def seek_hole(self, offset: int) -> int:
        """lseek(2) with SEEK_HOLE; the end of the file counts as a hole."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the file; an unlinked file ceases to exist with its last close."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Fs(ABC):
    """A directory of a file system as one user reaches it."""

    @abstractmethod
    def as_(self, user: User) -> Fs:
        """The same directory as `user` reaches it."""

    @abstractmethod
    def at(self, path: Path) -> Fs:
        """The directory at `path`, for the same user."""

    @abstractmethod
    def tick(self) -> None:
        """Return once a change made from now on gets a later time than every change before."""

    @abstractmethod
    def open(self, path: Path, flags: int = os.O_RDONLY, mode: int = 0o644) -> File:
        """open(2), with O_CREAT, O_EXCL, O_TRUNC, O_APPEND, O_DIRECTORY and O_NOFOLLOW."""

    @abstractmethod
    def mkdir(self, path: Path, mode: int = 0o755) -> None: ...

    @abstractmethod
    def mknod(self, path: Path, mode: int, major: int = 0, minor: int = 0) -> None: ...

    @abstractmethod
    def symlink(self, target: Path, path: Path) -> None: ...

    @abstractmethod
    def link(self, old: Path, new: Path) -> None:
        """link(2): a final symbolic link is itself linked, not followed."""

    @abstractmethod
    def unlink(self, path: Path) -> None: ...

    @abstractmethod
    def rmdir(self, path: Path) -> None: ...

    @abstractmethod
    def rename(self, old: Path, new: Path, how: RenameFlag = "replace") -> None: ...

    @abstractmethod
    def chmod(self, path: Path, mode: int) -> None: ...

    @abstractmethod
    def chown(self, path: Path, uid: int = -1, gid: int = -1, *, follow: bool = True) -> None:
        """chown(2), or lchown(2) without `follow`; -1 leaves an id as it is."""

    @abstractmethod
    def truncate(self, path: Path, size: int) -> None: ...

    @abstractmethod
    def utimens(self, path: Path, atime: Time, mtime: Time, *, follow: bool = True) -> None:
        """utimensat(2)."""

    @abstractmethod
    def stat(self, path: Path) -> Stat: ...

    @abstractmethod
    def lstat(self, path: Path) -> Stat: ...

    @abstractmethod
    def access(self, path: Path) -> str:
        """What faccessat(2) with AT_EACCESS grants: a subset of "rwx", in that order."""

    @abstractmethod
    def readlink(self, path: Path) -> bytes: ...

    @abstractmethod
    def readdir(self, path: Path, cookie: int = 0, count: int = 100_000) -> list[Entry]:
        """Up to `count` entries after `cookie` (0: from the start), `.` and `..` among them."""

    @abstractmethod
    def getxattr(self, path: Path, name: Path, *, follow: bool = True) -> bytes: ...

    @abstractmethod
    def setxattr(
        self, path: Path, name: Path, value: bytes, how: XattrFlag = "set", *, follow: bool = True
    ) -> None: ...

    @abstractmethod
    def listxattr(self, path: Path, *, follow: bool = True) -> list[bytes]: ...

    @abstractmethod
    def removexattr(self, path: Path, name: Path, *, follow: bool = True) -> None: ...

    @abstractmethod
    def statvfs(self) -> Space: ...

    # --- made of the above, the same for every driver -------------------------------------------

    def put(self, path: Path, data: bytes = b"", mode: int = 0o644) -> None:
        """A new file at `path`; EEXIST where there is one."""
        with self.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode) as file:
            if data:
                file.pwrite(data, 0)

    def get(self, path: Path) -> bytes:
        """The whole content of a file."""
        with self.open(path) as file:
            return file.pread(file.stat().size, 0)

    def write(self, path: Path, data: bytes, offset: int = 0) -> None:
        """Write to an existing file."""
        with self.open(path, os.O_WRONLY) as file:
            file.pwrite(data, offset)

    def read(self, path: Path, count: int, offset: int = 0) -> bytes:
        """Read from an existing file."""
        with self.open(path) as file:
            return file.pread(count, offset)

    def give(self, path: Path, user: User, gid: int = -1) -> None:
        """Make `user` the owner, with their primary group unless `gid` is given."""
        self.chown(path, user.uid, user.gid if gid == -1 else gid, follow=False)

    def names(self, path: Path = ".") -> set[str]:
        """The names in a directory, without `.` and `..`."""
        found = [os.fsdecode(entry.name) for entry in self.readdir(path)]
        unique = set(found)
        assert len(unique) == len(found), "a name was listed twice"
        return unique - {".", ".."}


def fails(error: str, call: Call, *args: object, **options: object) -> None:
    """Assert that the call is refused with this error, or one of several where all are right."""
    try:
        call(*args, **options)
    except FsError as refusal:
        assert refusal.name in error.split(), f"{refusal.name} where {error} was due"
    else:
        raise AssertionError(f"success where {error} was due")
