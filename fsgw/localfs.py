"""What import and restore need of the local file system beyond `os`: holes, xattrs, reports.

Paths are bytes, since a local name may be any bytes. Nothing here knows a store.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

PIECE_BYTES = 1 << 20  # one read or write: large enough to be cheap, small enough to show progress
PROBLEMS_MAX = 1000  # kept in a report; more are counted, since a report is held in memory

_NO_XATTRS = {errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}


class Trouble(NamedTuple):
    """One path that could not be carried over, or not wholly, and why."""

    path: bytes
    what: str


class Report:
    """What a transfer did: entries by outcome, bytes of content moved, and what went wrong.

    `troubles` holds the first PROBLEMS_MAX of `troubles_total`.
    """

    def __init__(self) -> None:
        self.added = 0
        self.changed = 0
        self.removed = 0
        self.unchanged = 0
        self.content_bytes = 0
        self.troubles: list[Trouble] = []
        self.troubles_total = 0

    def trouble(self, path: bytes, what: str) -> None:
        """Note that `path` was not, or not wholly, carried over."""
        self.troubles_total += 1
        if len(self.troubles) < PROBLEMS_MAX:
            self.troubles.append(Trouble(path, what))


def reason(error: OSError) -> str:
    """The system's words for an error, without number and path."""
    return error.strerror or str(error)


def open_source(path: bytes) -> int:
    """Open a file for reading without following a link, waiting for a pipe, or touching its atime.

    O_NOATIME is for the owner and root only; others read without it.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return os.open(path, flags | os.O_NOATIME)
    except PermissionError:
        return os.open(path, flags)


def is_sparse(st: os.stat_result) -> bool:
    """Whether fewer bytes are allocated than the size says, that is, there may be holes."""
    return st.st_blocks * 512 < st.st_size


def next_data(fd: int, offset: int, size: int) -> int:
    """The first offset >= `offset` that holds data, `size` when only a hole follows."""
    try:
        return min(os.lseek(fd, offset, os.SEEK_DATA), size)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return size
        if error.errno == errno.EINVAL:  # a file system that cannot say
            return offset
        raise


def data_ranges(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """The (start, end) ranges below `size` that hold data, in order."""
    start = next_data(fd, 0, size)
    while start < size:
        try:
            end = min(os.lseek(fd, start, os.SEEK_HOLE), size)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENXIO):
                raise
            end = size
        if end <= start:  # the file shrank meanwhile
            return
        yield start, end
        start = next_data(fd, end, size)


def list_xattrs(path: bytes) -> list[bytes]:
    """Names of the extended attributes of `path` itself; none where they are not supported."""
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError as error:
        if error.errno in _NO_XATTRS:
            return []
        raise
    return [os.fsencode(name) for name in names] if names else []


def get_xattr(path: bytes, name: bytes) -> bytes | None:
    """The value of an extended attribute of `path` itself, None if it is gone meanwhile."""
    try:
        return os.getxattr(path, name, follow_symlinks=False)
    except OSError as error:
        if error.errno == errno.ENODATA:
            return None
        raise


def count_units(directory: bytes) -> int:
    """Work units (see `units`) below a directory, as far as it can be read."""
    total = 0
    pending = [directory]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    st = entry.stat(follow_symlinks=False)
                    total += units(st.st_size if stat.S_ISREG(st.st_mode) else 0)
                    if stat.S_ISDIR(st.st_mode):
                        pending.append(entry.path)
        except OSError:
            continue  # a progress bar's length may be off; the transfer itself reports the error
    return total


def units(size: int) -> int:
    """The weight of one entry in a progress bar: a fixed share for the entry, and its bytes."""
    return 4096 + size
