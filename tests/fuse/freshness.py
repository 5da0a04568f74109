"""One process of a test of freshness: it makes numbered changes through a door, or looks for them.

    python -m tests.fuse.freshness make NUMBERS READERS mount DIRECTORY
    python -m tests.fuse.freshness make NUMBERS READERS nfs PORT PATH
    python -m tests.fuse.freshness look NUMBERS READER mount DIRECTORY (or nfs PORT PATH)

NUMBERS is a file that all of them have mapped: for each kind of change the number of the last one
that has been answered, and one that each reader sets when it begins. Whoever looks after a change
was answered must see that one or a later one, however many requests are under way.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
from abc import ABC, abstractmethod

from tests.fuse.nfsfs import NfsFs
from tests.fuse.stress import MountFs
from tests.fuse.wire import WireClient
from tests.posix.fs import FsError

CHANGES = 40  # of each kind
READERS_MAX = 8
# Names looked up before they exist, so that the kernel knows that they do not.
AHEAD = 3

Seen = MountFs | NfsFs


class Numbers:
    """What the processes tell each other; every access is one load or store."""

    def __init__(self, path: str) -> None:
        count = len(KINDS) * (1 + READERS_MAX)
        with open(path, "r+b") as file:
            file.truncate(count * 8)
            self._map = mmap.mmap(file.fileno(), count * 8)
        self._all = (ctypes.c_uint64 * count).from_buffer(self._map)

    def answered(self, kind: int) -> int:
        """The last change of a kind that has been answered."""
        return int(self._all[kind])

    def answer(self, kind: int, number: int) -> None:
        self._all[kind] = number

    def begin(self, kind: int, reader: int) -> None:
        """A reader is about to look at a kind."""
        self._all[len(KINDS) * (1 + reader) + kind] = 1

    def wait_for_readers(self, kind: int, readers: int) -> None:
        """Go on once all look."""
        while not all(self._all[len(KINDS) * (1 + one) + kind] for one in range(readers)):
            os.sched_yield()


class Kind(ABC):
    """A kind of change. `make` is given numbers from 1 on, after `prepare`."""

    name = ""

    def __init__(self, fs: Seen) -> None:
        self.fs = fs

    def prepare(self) -> None:
        """Make what is there before the first change."""
        self.fs.create(self.name)

    @abstractmethod
    def make(self, number: int) -> None: ...

    @abstractmethod
    def see(self, number: int) -> int:
        """What is to be seen; change `number` has been answered before."""


class Data(Kind):
    """Bytes of a file."""

    name = "data"

    def make(self, number: int) -> None:
        self.fs.write(self.name, number.to_bytes(8, "little"), 4_000)

    def see(self, number: int) -> int:
        return int.from_bytes(self.fs.read(self.name)[4_000:4_008], "little")


class Mapped(Data):
    """The same, seen in memory where that can be."""

    name = "mapped"
    _map: mmap.mmap | None = None

    def prepare(self) -> None:
        super().prepare()
        self.fs.write(self.name, bytes(10_000), 0)

    def see(self, number: int) -> int:
        if not isinstance(self.fs, MountFs):
            return super().see(number)
        if self._map is None:
            fd = self.fs.open(self.name, os.O_RDONLY)
            self._map = mmap.mmap(fd, 10_000, prot=mmap.PROT_READ)
            os.close(fd)
        return int.from_bytes(self._map[4_000:4_008], "little")


class Held(Data):
    """The same, seen by a file that is open all the time."""

    name = "held"
    _fd = -1

    def see(self, number: int) -> int:
        if not isinstance(self.fs, MountFs):
            return super().see(number)
        if self._fd < 0:
            self._fd = self.fs.open(self.name, os.O_RDONLY)
        return int.from_bytes(os.pread(self._fd, 8, 4_000), "little")


class Size(Kind):
    """A file's length."""

    name = "size"

    def make(self, number: int) -> None:
        self.fs.truncate(self.name, number)

    def see(self, number: int) -> int:
        found = self.fs.stat(self.name)
        return found.st_size if isinstance(found, os.stat_result) else found.size


class Time(Kind):
    """An attribute that is set."""

    name = "time"

    def make(self, number: int) -> None:
        self.fs.utime(self.name, number)

    def see(self, number: int) -> int:
        found = self.fs.stat(self.name)
        seconds = (
            int(found.st_mtime_ns // 10**9)
            if isinstance(found, os.stat_result)
            else int(found.mtime.seconds)
        )
        return seconds if seconds <= CHANGES else 0


class Name(Kind):
    """Names that come into being, in a directory where they were looked for before."""

    name = "names"

    def prepare(self) -> None:
        self.fs.mkdir(self.name)

    def _is_there(self, number: int) -> bool:
        try:
            self.fs.stat(f"{self.name}/{number}")
        except (FileNotFoundError, FsError):
            return False
        return True

    def make(self, number: int) -> None:
        self.fs.create(f"{self.name}/{number}")

    def see(self, number: int) -> int:
        for ahead in range(number + 1, number + 1 + AHEAD):
            self._is_there(ahead)
        return number if not number or self._is_there(number) else number - 1


class Listing(Name):
    """The same, seen in listings."""

    name = "listing"

    def see(self, number: int) -> int:
        return max(map(int, self.fs.names(self.name)), default=0)


class Gone(Name):
    """Names that go."""

    name = "gone"

    def prepare(self) -> None:
        super().prepare()
        for number in range(1, CHANGES + 1):
            self.fs.create(f"{self.name}/{number}")

    def make(self, number: int) -> None:
        self.fs.unlink(f"{self.name}/{number}")

    def see(self, number: int) -> int:
        for ahead in range(number + 1, number + 1 + AHEAD):
            self._is_there(ahead)
        return number - 1 if number and self._is_there(number) else number


class Replaced(Kind):
    """A name that leads to another file each time."""

    name = "replaced"

    def make(self, number: int) -> None:
        self.fs.create("draft")
        self.fs.write("draft", number.to_bytes(8, "little"), 0)
        self.fs.rename("draft", self.name)

    def see(self, number: int) -> int:
        try:
            return int.from_bytes(self.fs.read(self.name), "little")
        except FsError as error:
            # Two calls of a client that keeps nothing: the file of the first may be gone by then.
            assert error.name == "ESTALE"
            return number


KINDS: list[type[Kind]] = [Data, Mapped, Held, Size, Time, Name, Listing, Gone, Replaced]


def make(fs: Seen, numbers: Numbers, readers: int) -> None:
    """All changes of all kinds."""
    for index, kind in enumerate(KINDS):
        one = kind(fs)
        numbers.wait_for_readers(index, readers)
        for number in range(1, CHANGES + 1):
            one.make(number)
            numbers.answer(index, number)


def look(fs: Seen, numbers: Numbers, reader: int) -> None:
    """Look for them until the last has been seen. Raises AssertionError for an old sight."""
    for index, kind in enumerate(KINDS):
        one = kind(fs)
        numbers.begin(index, reader)
        answered = -1
        while answered < CHANGES:
            answered = numbers.answered(index)
            seen = one.see(answered)
            assert seen >= answered, f"{kind.name}: {seen} where {answered} was answered before"


def main(what: str, path: str, number: str, door: str, *place: str) -> None:
    """What the command line says."""
    numbers, run = Numbers(path), {"make": make, "look": look}[what]
    if door == "mount":
        run(MountFs(place[0]), numbers, int(number))
        return
    with WireClient(int(place[0])) as client:
        run(NfsFs(client, client.mount(place[1])), numbers, int(number))


if __name__ == "__main__":
    main(*sys.argv[1:])
