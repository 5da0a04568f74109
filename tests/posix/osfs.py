"""The driver for a mounted file system: system calls, made as the user that the case names.

Needs root: the process takes the user's effective ids around each call and comes back. Not for use
while another thread makes calls, as ids and umask belong to the whole process.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from tests.posix import fs
from tests.posix.fs import Entry, File, Fs, FsError, Path, Space, Stat, Time, User

P = ParamSpec("P")
T = TypeVar("T")

ALIASES = {"ENOTSUP": "EOPNOTSUPP", "EWOULDBLOCK": "EAGAIN"}  # one number, two names
AT_FDCWD = -100
CLOCK_REALTIME_COARSE = 5  # clock_gettime(2); the time module does not name it
AT_SYMLINK_NOFOLLOW = 0x100
UTIME = {fs.NOW: (1 << 30) - 1, fs.OMIT: (1 << 30) - 2}
RENAME_FLAGS = {"replace": 0, "noreplace": 1, "exchange": 2}
XATTR_FLAGS = {"set": 0, "create": os.XATTR_CREATE, "replace": os.XATTR_REPLACE}
DIRENT = struct.Struct("=QqHB")  # d_ino, d_off, d_reclen, d_type of getdents64(2)
DIRENT_BUFFER_BYTES = 32768
LIBC = ctypes.CDLL(None, use_errno=True)


@contextmanager
def acting_as(user: User) -> Iterator[None]:
    """Take `user`'s effective ids, no umask, and symbolic errors, for the body."""
    umask = os.umask(0)
    try:
        if user != fs.ROOT:
            os.setgroups(user.groups)
            os.setegid(user.gid)
            os.seteuid(user.uid)
        yield
    except OSError as error:
        name = errno.errorcode[error.errno or errno.EIO]
        raise FsError(ALIASES.get(name, name), str(error)) from None
    finally:
        if user != fs.ROOT:
            os.seteuid(0)
            os.setegid(0)
            os.setgroups([])
        os.umask(umask)


def checked(result: int) -> int:
    """The result of a C call, or its errno as an OSError."""
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def to_stat(found: os.stat_result) -> Stat:
    return Stat(
        found.st_ino,
        found.st_mode,
        found.st_nlink,
        found.st_uid,
        found.st_gid,
        found.st_size,
        found.st_blocks,
        os.major(found.st_rdev),
        os.minor(found.st_rdev),
        found.st_atime_ns,
        found.st_mtime_ns,
        found.st_ctime_ns,
    )


def parse_dirents(buffer: bytes) -> Iterator[tuple[bytes, int, int, int]]:
    """The entries in what getdents64 filled in: name, inode number, d_type, cookie."""
    start = 0
    while start < len(buffer):
        ino, cookie, length, kind = DIRENT.unpack_from(buffer, start)
        name = buffer[start + DIRENT.size : start + length].split(b"\0", 1)[0]
        yield name, ino, kind, cookie
        start += length


class OsFile(File):
    """A file descriptor, used as the user that opened it."""

    def __init__(self, fd: int, user: User) -> None:
        self._fd = fd
        self._user = user

    def _call(self, call: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
        with acting_as(self._user):
            return call(*args, **options)

    def pread(self, count: int, offset: int) -> bytes:
        return self._call(os.pread, self._fd, count, offset)

    def pwrite(self, data: bytes, offset: int) -> None:
        written = self._call(os.pwrite, self._fd, data, offset)
        assert written == len(data), f"short write: {written} of {len(data)} bytes"

    def append(self, data: bytes) -> None:
        written = self._call(os.write, self._fd, data)
        assert written == len(data), f"short write: {written} of {len(data)} bytes"

    def truncate(self, size: int) -> None:
        self._call(os.ftruncate, self._fd, size)

    def chmod(self, mode: int) -> None:
        self._call(os.fchmod, self._fd, mode)

    def stat(self) -> Stat:
        return to_stat(self._call(os.fstat, self._fd))

    def seek_data(self, offset: int) -> int:
        return self._call(os.lseek, self._fd, offset, os.SEEK_DATA)

    def seek_hole(self, offset: int) -> int:
        return self._call(os.lseek, self._fd, offset, os.SEEK_HOLE)

    def close(self) -> None:
        os.close(self._fd)


class OsFs(Fs):
    """The directory `root` of a mounted file system; every user must be able to reach it."""

    def __init__(self, root: Path, user: User = fs.ROOT) -> None:
        self._root = os.fsencode(root)
        self._user = user

    def _call(self, call: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
        with acting_as(self._user):
            return call(*args, **options)

    def _path(self, path: Path) -> bytes:
        # The empty path stays empty: ENOENT by POSIX, not the directory itself.
        return self._root + b"/" + os.fsencode(path) if path else b""

    def as_(self, user: User) -> OsFs:
        return OsFs(self._root, user)

    def at(self, path: Path) -> OsFs:
        return OsFs(self._path(path), self._user)

    def tick(self) -> None:
        # Files are stamped from the coarse clock, which moves every few milliseconds.
        start = time.clock_gettime_ns(time.CLOCK_REALTIME)
        while time.clock_gettime_ns(CLOCK_REALTIME_COARSE) <= start:
            pass

    def open(self, path: Path, flags: int = os.O_RDONLY, mode: int = 0o644) -> OsFile:
        return OsFile(self._call(os.open, self._path(path), flags, mode), self._user)

    def mkdir(self, path: Path, mode: int = 0o755) -> None:
        self._call(os.mkdir, self._path(path), mode)

    def mknod(self, path: Path, mode: int, major: int = 0, minor: int = 0) -> None:
        self._call(os.mknod, self._path(path), mode, os.makedev(major, minor))

    def symlink(self, target: Path, path: Path) -> None:
        self._call(os.symlink, os.fsencode(target), self._path(path))

    def link(self, old: Path, new: Path) -> None:
        self._call(os.link, self._path(old), self._path(new), follow_symlinks=False)

    def unlink(self, path: Path) -> None:
        self._call(os.unlink, self._path(path))

    def rmdir(self, path: Path) -> None:
        self._call(os.rmdir, self._path(path))

    def rename(self, old: Path, new: Path, how: fs.RenameFlag = "replace") -> None:
        flags = RENAME_FLAGS[how]
        source, target = self._path(old), self._path(new)
        with acting_as(self._user):
            checked(LIBC.renameat2(AT_FDCWD, source, AT_FDCWD, target, flags))

    def chmod(self, path: Path, mode: int) -> None:
        self._call(os.chmod, self._path(path), mode)

    def chown(self, path: Path, uid: int = -1, gid: int = -1, *, follow: bool = True) -> None:
        self._call(os.chown, self._path(path), uid, gid, follow_symlinks=follow)

    def truncate(self, path: Path, size: int) -> None:
        self._call(os.truncate, self._path(path), size)

    def utimens(self, path: Path, atime: Time, mtime: Time, *, follow: bool = True) -> None:
        words: list[int] = []
        for moment in (atime, mtime):
            words += divmod(moment, 10**9) if isinstance(moment, int) else (0, UTIME[moment])
        times = (ctypes.c_long * 4)(*words)
        flags = 0 if follow else AT_SYMLINK_NOFOLLOW
        with acting_as(self._user):
            checked(LIBC.utimensat(AT_FDCWD, self._path(path), times, flags))

    def stat(self, path: Path) -> Stat:
        return to_stat(self._call(os.stat, self._path(path)))

    def lstat(self, path: Path) -> Stat:
        return to_stat(self._call(os.lstat, self._path(path)))

    def access(self, path: Path) -> str:
        self.stat(path)
        where = self._path(path)
        masks = {"r": os.R_OK, "w": os.W_OK, "x": os.X_OK}
        with acting_as(self._user):
            granted = [c for c, m in masks.items() if os.access(where, m, effective_ids=True)]
        return "".join(granted)

    def readlink(self, path: Path) -> bytes:
        return self._call(os.readlink, self._path(path))

    def readdir(self, path: Path, cookie: int = 0, count: int = 100_000) -> list[Entry]:
        entries: list[tuple[bytes, int, int, int]] = []
        buffer = ctypes.create_string_buffer(DIRENT_BUFFER_BYTES)
        with acting_as(self._user):
            fd = os.open(self._path(path), os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.lseek(fd, cookie, os.SEEK_SET)
                while len(entries) < count:
                    filled = checked(LIBC.getdents64(fd, buffer, DIRENT_BUFFER_BYTES))
                    if not filled:
                        break
                    entries += parse_dirents(buffer.raw[:filled])
            finally:
                os.close(fd)
        return [self._entry(path, *entry) for entry in entries[:count]]

    def _entry(self, path: Path, name: bytes, ino: int, kind: int, cookie: int) -> Entry:
        """An entry; a file system may leave its kind out (DT_UNKNOWN)."""
        mode = kind << 12 or os.lstat(self._path(path) + b"/" + name).st_mode
        return Entry(name, ino, fs.KINDS[stat.S_IFMT(mode)], cookie)

    def getxattr(self, path: Path, name: Path, *, follow: bool = True) -> bytes:
        return self._call(os.getxattr, self._path(path), name, follow_symlinks=follow)

    def setxattr(
        self,
        path: Path,
        name: Path,
        value: bytes,
        how: fs.XattrFlag = "set",
        *,
        follow: bool = True,
    ) -> None:
        where, flags = self._path(path), XATTR_FLAGS[how]
        self._call(os.setxattr, where, name, value, flags, follow_symlinks=follow)

    def listxattr(self, path: Path, *, follow: bool = True) -> list[bytes]:
        found = self._call(os.listxattr, self._path(path), follow_symlinks=follow)
        return [os.fsencode(name) for name in found]

    def removexattr(self, path: Path, name: Path, *, follow: bool = True) -> None:
        self._call(os.removexattr, self._path(path), name, follow_symlinks=follow)

    def statvfs(self) -> Space:
        found = self._call(os.statvfs, self._root)
        unit = found.f_frsize
        return Space(
            found.f_blocks * unit,
            found.f_bfree * unit,
            found.f_bavail * unit,
            found.f_files,
            found.f_ffree,
            found.f_namemax,
        )
