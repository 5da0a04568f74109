"""One process that makes one kind of call below a mount, over and over, until one fails.

    python -m tests.fuse.caller KIND DIRECTORY

It prints a number when what belongs to it is done (and durable, where the kind is about that), and
at last the name of the error that ended it.
"""

from __future__ import annotations

import errno
import itertools
import os
import sys
from collections.abc import Callable

RECORD_BYTES = 3_000


def record(number: int) -> bytes:
    """What is written for a number."""
    return (b"%010d" % number) * (RECORD_BYTES // 10)


def append(where: str) -> Callable[[int], None]:
    """Records at the end of a file, each synced."""
    fd = os.open(f"{where}/log", os.O_CREAT | os.O_APPEND | os.O_WRONLY)

    def step(number: int) -> None:
        os.write(fd, record(number))
        os.fsync(fd)

    return step


def files(where: str) -> Callable[[int], None]:
    """Files with content, each moved to its name when it is synced; then the directory is."""
    os.mkdir(f"{where}/files")
    directory = os.open(f"{where}/files", os.O_RDONLY)

    def step(number: int) -> None:
        fd = os.open(f"{where}/files/draft", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        os.write(fd, record(number))
        os.fsync(fd)
        os.close(fd)
        os.rename(f"{where}/files/draft", f"{where}/files/{number}")
        os.fsync(directory)

    return step


def names(where: str) -> Callable[[int], None]:
    """Directories made and renamed, which nobody syncs."""
    os.mkdir(f"{where}/names")

    def step(number: int) -> None:
        os.mkdir(f"{where}/names/new{number}")
        os.rename(f"{where}/names/new{number}", f"{where}/names/{number}")

    return step


def look(where: str) -> Callable[[int], None]:
    """Names that are not there, and listings."""
    directory = os.open(where, os.O_RDONLY)

    def step(number: int) -> None:
        try:
            os.stat(f"none{number}", dir_fd=directory)
        except FileNotFoundError:
            pass
        os.listdir(directory)

    return step


def read(where: str) -> Callable[[int], None]:
    """A file's bytes, past the page cache."""
    with open(f"{where}/read", "wb") as file:
        file.write(bytes(1 << 20))
    fd = os.open(f"{where}/read", os.O_RDONLY)

    def step(number: int) -> None:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.pread(fd, 1 << 20, 0)

    return step


KINDS = {kind.__name__: kind for kind in (append, files, names, look, read)}


def main(kind: str, directory: str) -> None:
    """See the module."""
    step = KINDS[kind](directory)
    try:
        for number in itertools.count():
            step(number)
            print(number, flush=True)
    except OSError as error:
        print(errno.errorcode[error.errno or errno.EIO], flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
