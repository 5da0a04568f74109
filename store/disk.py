"""The one door to system calls that change a pack or a journal segment.

Purpose: every write, sync, truncation and change of a directory goes through here, so that a test
can record their order (`record`) and rebuild what a power cut could have left, or make one of
them fail (`inject`). Both cost one comparison when off. This module knows no format.

Errors: NoSpace where the disk or the owner's quota on it is full, StorageFailure for anything
else the system refuses; both name the path.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from store import errors

Buffer = bytes | bytearray | memoryview

Op = Literal[
    "create",
    "write",
    "write_sync",  # durable on return, without making earlier writes durable
    "sync",  # all data of the file, and its size
    "truncate",
    "rename",
    "unlink",
    "make_directory",
    "sync_directory",
]


class Event(NamedTuple):
    """One system call that succeeded. A truncation's new size is in `offset`, in bytes."""

    op: Op
    path: str
    offset: int = 0
    data: bytes = b""
    target: str = ""


_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
_DSYNC = os.RWF_DSYNC

_listener: Callable[[Event], None] | None = None
_injector: Callable[[Op, str, int], int | None] | None = None


def record(listener: Callable[[Event], None] | None) -> None:
    """Have `listener(event)` called after every call that succeeded from now on; None stops."""
    global _listener
    _listener = listener


def inject(injector: Callable[[Op, str, int], int | None] | None) -> None:
    """Have `injector(op, path, size_bytes)` called before every call from now on; None stops.

    It may raise OSError, which then counts as the system's, or return a number of bytes to which
    this one write is cut short.
    """
    global _injector
    _injector = injector


def failure(error: OSError, path: str) -> errors.StoreError:
    """Return the store's error for what the system said about `path`."""
    message = f"{path}: {os.strerror(error.errno) if error.errno else error}"
    if error.errno in _NO_SPACE:
        return errors.NoSpace(message)
    return errors.StorageFailure(message)


class File:
    """An open file that can be written. Closed when the last reference goes, or by close()."""

    __slots__ = ("fd", "path")

    def __init__(self, fd: int, path: str) -> None:
        self.fd = fd
        self.path = path

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; safe to call again."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def size(self) -> int:
        """Return the file's size in bytes."""
        try:
            return os.fstat(self.fd).st_size
        except OSError as error:
            raise failure(error, self.path) from error

    def write(self, buffers: Sequence[Buffer], offset: int, durable: bool = False) -> None:
        """Write all `buffers` (at most IOV_MAX of bytes, one after the other) at `offset`.

        With `durable` the bytes are on disk when it returns. On an error some may be written.
        """
        left = sum(map(len, buffers))
        flags = _DSYNC if durable else 0
        try:
            while left:
                if _injector is not None:
                    limit = _injector("write_sync" if durable else "write", self.path, left)
                    part = buffers if limit is None else _first(buffers, limit)
                    written = os.pwritev(self.fd, part, offset, flags)
                else:
                    written = os.pwritev(self.fd, buffers, offset, flags)
                if _listener is not None:
                    data = b"".join(buffers)[:written]
                    _listener(Event("write_sync" if durable else "write", self.path, offset, data))
                if written == left:
                    return
                if not written:
                    raise OSError(errno.EIO, "nothing was written")
                left -= written
                offset += written
                buffers = _after(buffers, written)
        except OSError as error:
            raise failure(error, self.path) from error

    def forget(self, offset: int, length: int) -> None:
        """Let the page cache drop a range that is synced; only advice (posix_fadvise(2))."""
        with contextlib.suppress(OSError):
            os.posix_fadvise(self.fd, offset, length, os.POSIX_FADV_DONTNEED)

    def sync(self) -> None:
        """Make all that was written to the file durable, with its size."""
        self._change("sync", os.fdatasync)

    def truncate(self, size: int) -> None:
        """Cut or extend the file to `size` bytes."""
        self._change("truncate", lambda fd: os.ftruncate(fd, size), size)

    def _change(self, op: Op, call: Callable[[int], None], size: int = 0) -> None:
        try:
            if _injector is not None:
                _injector(op, self.path, size)
            call(self.fd)
        except OSError as error:
            raise failure(error, self.path) from error
        if _listener is not None:
            _listener(Event(op, self.path, size))


def _first(buffers: Sequence[Buffer], count: int) -> list[Buffer]:
    """Return the first `count` bytes of `buffers`, without copying."""
    first: list[Buffer] = []
    for buffer in buffers:
        if count <= 0:
            break
        first.append(memoryview(buffer)[:count])
        count -= len(buffer)
    return first


def _after(buffers: Sequence[Buffer], count: int) -> list[Buffer]:
    """Return what is left of `buffers` after their first `count` bytes, without copying."""
    rest: list[Buffer] = []
    for buffer in buffers:
        size = len(buffer)
        if count >= size:
            count -= size
        elif count:
            rest.append(memoryview(buffer)[count:])
            count = 0
        else:
            rest.append(buffer)
    return rest


def open_file(path: str, create: bool = False, direct: bool = False) -> File:
    """Open `path` for reading and writing; with `create`, make it if it is missing.

    With `direct`, writes bypass the page cache where the file system can do that: every buffer,
    offset and length must then be a multiple of 4096. Elsewhere the file is opened as usual.
    """
    existed = not create or os.path.exists(path)
    flags = os.O_RDWR | (os.O_CREAT if create else 0)
    try:
        if _injector is not None and not existed:
            _injector("create", path, 0)
        try:
            fd = os.open(path, flags | (os.O_DIRECT if direct else 0), 0o600)
        except OSError as error:
            if not direct or error.errno != errno.EINVAL:
                raise
            fd = os.open(path, flags, 0o600)
    except OSError as error:
        raise failure(error, path) from error
    if _listener is not None and not existed:
        _listener(Event("create", path))
    return File(fd, path)


def unlink(path: str) -> None:
    """Remove a file's name; one that is already gone is no error."""
    _named("unlink", path, lambda: _unlink_if_there(path))


def rename(path: str, target: str) -> None:
    """Give the file a new name, in place of what may have that name."""
    _named("rename", path, lambda: os.rename(path, target), target)


def make_directory(path: str) -> None:
    """Make a directory if it is missing, and make its name durable."""
    if not os.path.isdir(path):
        _named("make_directory", path, lambda: os.mkdir(path, 0o700))
        sync_directory(os.path.dirname(os.path.abspath(path)))


def sync_directory(path: str) -> None:
    """Make the names in a directory durable."""
    _named("sync_directory", path, lambda: _sync_names(path))


def _named(op: Op, path: str, call: Callable[[], None], target: str = "") -> None:
    try:
        if _injector is not None:
            _injector(op, path, 0)
        call()
    except OSError as error:
        raise failure(error, path) from error
    if _listener is not None:
        _listener(Event(op, path, target=target))


def _unlink_if_there(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def _sync_names(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
