"""Local files as an import sees them.

All that is asked of the local file system is asked beside (`fsgw.steps`): it may be slow, or be
served by the very gateway that imports from it. Of small files many are asked for at a time.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import Protocol

from fsgw.attributes import is_same
from fsgw.localfs import data_ranges, get_xattr, is_sparse, list_xattrs, next_data, open_source
from fsgw.steps import Steps, at_once, beside

# Files whose attributes are asked for in one go.
LOOK_FILES = 64
# A file of at most this size is read in one go with others; so many bytes wait at most.
SMALL_BYTES = 64 * 1024


class Vanished(Exception):
    """The local file was changed while it was read."""


class Content(Protocol):
    """A regular file's content, as of the attributes `st`."""

    st: os.stat_result

    def read(self, offset: int, length: int) -> Steps[bytes]:
        """Bytes from an offset on; fewer than wanted only at the end. Raises OSError."""

    def next_data(self, offset: int) -> Steps[int]:
        """The first offset from this one on that holds data, the size where none does."""

    def next_range(self) -> Steps[tuple[int, int] | None]:
        """The next (start, end) that holds data, in order; None after the last."""

    def is_unchanged(self) -> Steps[bool]:
        """Whether the file is as it was when it was opened."""


class Found:
    """A local file: its attributes, and unless it is a directory all else that is small.

    `error` is what kept it from being looked at; `content` is there if it was fetched.
    """

    __slots__ = ("content", "error", "name", "path", "st", "target", "xattrs")

    def __init__(self, entry: os.DirEntry[bytes]) -> None:
        self.name, self.path = entry.name, entry.path
        self.xattrs: dict[bytes, bytes] = {}
        self.target = b""
        self.content: Content | None = None
        self.error: OSError | Vanished | None = None
        try:
            self.st = entry.stat(follow_symlinks=False)
            if stat.S_ISLNK(self.st.st_mode):
                self.target = os.readlink(self.path)
            if not stat.S_ISDIR(self.st.st_mode):
                self.xattrs = xattrs_of(self.path)
        except OSError as error:
            self.error = error

    @property
    def is_small(self) -> bool:
        """Whether it is a regular file to be fetched with others."""
        st = self.st
        return (
            stat.S_ISREG(st.st_mode)
            and st.st_nlink == 1
            and st.st_size <= SMALL_BYTES
            and not is_sparse(st)
        )


def scan(path: bytes) -> list[os.DirEntry[bytes]]:
    """The entries of a directory. Raises OSError."""
    with os.scandir(path) as entries:
        return list(entries)


def look(entries: list[os.DirEntry[bytes]]) -> list[Found]:
    """Look at the files that entries name."""
    return [Found(entry) for entry in entries]


def fetch(files: list[Found]) -> None:
    """Get the contents of small files; errors are left with each."""
    for found in files:
        try:
            found.content = _Small(found)
        except (OSError, Vanished) as error:
            found.error = error


def xattrs_of(path: bytes) -> dict[bytes, bytes]:
    """The extended attributes of `path` itself. Raises OSError."""
    found = {name: get_xattr(path, name) for name in list_xattrs(path)}
    return {name: value for name, value in found.items() if value is not None}


def _opened(found: Found) -> tuple[int, os.stat_result]:
    """The file's descriptor, and its attributes of now. Raises OSError, Vanished."""
    fd = open_source(found.path)
    now = os.fstat(fd)
    is_it = (now.st_dev, now.st_ino) == (found.st.st_dev, found.st.st_ino)
    if stat.S_ISREG(now.st_mode) and is_it:
        return fd, now
    os.close(fd)
    raise Vanished


class _Small:
    """Content in memory."""

    def __init__(self, found: Found) -> None:
        fd, self.st = _opened(found)
        try:
            self._data = os.pread(fd, SMALL_BYTES + 1, 0)
            if len(self._data) != self.st.st_size or not is_same(os.fstat(fd), self.st):
                raise Vanished
        finally:
            os.close(fd)
        self._told = False

    def read(self, offset: int, length: int) -> Steps[bytes]:
        return at_once(self._data[offset : offset + length])

    def next_data(self, offset: int) -> Steps[int]:
        return at_once(offset)

    def next_range(self) -> Steps[tuple[int, int] | None]:
        told, self._told = self._told, True
        return at_once(None if told else (0, len(self._data)))

    def is_unchanged(self) -> Steps[bool]:
        return at_once(True)  # as far as it matters: all of it was read


class Large:
    """Content that is read piece by piece; `open` it, and `close` it or drop it."""

    def __init__(self, fd: int, st: os.stat_result) -> None:
        """Use `open`."""
        self.fd, self.st = fd, st
        ranges = data_ranges(fd, st.st_size) if is_sparse(st) else iter([(0, st.st_size)])
        self._ranges: Iterator[tuple[int, int]] = ranges

    @classmethod
    def open(cls, found: Found) -> Steps[Large]:
        """Open a regular file. Raises OSError, Vanished."""
        return cls(*(yield from beside(_opened, found)))

    def read(self, offset: int, length: int) -> Steps[bytes]:
        return beside(os.pread, self.fd, length, offset)

    def next_data(self, offset: int) -> Steps[int]:
        return beside(next_data, self.fd, offset, self.st.st_size)

    def next_range(self) -> Steps[tuple[int, int] | None]:
        return beside(next, self._ranges, None)

    def is_unchanged(self) -> Steps[bool]:
        return is_same((yield from beside(os.fstat, self.fd)), self.st)

    def close(self) -> Steps[None]:
        """Give the descriptor back."""
        return beside(os.close, self.fd)

    def drop(self) -> None:
        """The same after an error, on this thread."""
        os.close(self.fd)
