"""Virtual directories: trees that stand in a branch's root and that no store holds as such.

`.snapshots` is one, `.git` another. A door shows each under its name, hides whatever the branch
itself has there, and asks it as it asks a `Tree`, of which this is the part that a door needs.
Their inodes have numbers that no store hands out, each tree its own range of them.
"""

from __future__ import annotations

import stat
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, NoReturn, Protocol

from store import access
from store.errors import InvalidArgument, IsDirectory, NoAttribute, ReadOnly
from store.types import Caller, Data, DirEntry, Inode, Listing, StatFs
from store.watch import Watcher

# Inodes of the store have numbers below this.
NUMBERS_FROM = 2**53 - 1


def _do_nothing() -> None:
    """What ends nothing."""


class NotYet(Exception):
    """What was asked for takes work beside: ask again when `when` calls back, on this thread."""

    def __init__(self, when: Callable[[Callable[[], None]], None]) -> None:
        super().__init__("not yet")
        self.when = when


class Read(Protocol):
    """One read under way, as `store.reading.ReadJob` is."""

    def run(self) -> None:
        """Get the bytes, on any thread; `finish` raises what went wrong."""

    def run_cached(self) -> bool:
        """Get the bytes if that takes no waiting; whether it did."""

    def finish(self) -> Data:
        """The result, on the main thread."""


class VirtualTree(ABC):
    """See the module; a tree that refuses whatever is not overridden.

    `numbers` are those that its inodes can have, `root` is its directory's. Every method may raise
    NotYet. `crossing`: the names in it lead to other trees.
    """

    name: bytes
    root: int
    numbers: range
    cookie: int
    crossing = False
    read_only = True
    # Whether the listing of the branch's root shows it.
    listed = False

    @property
    def entry(self) -> DirEntry:
        """Its entry in the branch's root."""
        return DirEntry(self.name, self.root, stat.S_IFDIR, self.cookie)

    @abstractmethod
    def getattr(self, ino: int) -> Inode:
        """As `Tree.getattr`."""

    @abstractmethod
    def lookup(self, who: Caller, parent: int, name: bytes) -> Inode:
        """As `Tree.lookup`; `..` of its root leads to the branch's."""

    @abstractmethod
    def readdir(self, who: Caller, ino: int, cookie: int = 0, count: int = 1000) -> Listing:
        """As `Tree.readdir`."""

    @abstractmethod
    def statfs(self) -> StatFs:
        """As `Tree.statfs`."""

    def access(self, who: Caller, ino: int, mask: int) -> int:
        """As `Tree.access`."""
        return access.granted(self.getattr(ino), who, mask)

    def lasting(self, ino: int) -> bool:
        """Whether an inode stays as it is, under its name, until watchers are told."""
        return False

    def lasting_attributes(self, ino: int) -> bool:
        """Whether at least its attributes do; its name may lead elsewhere any time."""
        return self.lasting(ino)

    def watch(self, changed: Callable[[], None]) -> None:  # noqa: B027 - most have none
        """Have `changed` called whenever directories that are lasting list other names."""

    def watch_inodes(self, watcher: Watcher) -> Callable[[], None]:
        """Have a watcher hear of inodes that are not lasting; what ends that."""
        return _do_nothing

    def hold(self, ino: int) -> None:  # noqa: B027 - most have none that go
        """As `Tree.hold`."""

    def release(self, ino: int) -> None:  # noqa: B027
        """As `Tree.release`."""

    def directories(self) -> Iterable[int]:
        """The directories that are lasting."""
        return ()

    def replaced(self, ino: int) -> bool:
        """Whether a file can still be read, but another one has its name by now."""
        return False

    def seek_data(self, ino: int, offset: int) -> int | None:
        """As `Tree.seek_data`: all is data."""
        return offset if 0 <= offset < self.getattr(ino).size else None

    def seek_hole(self, ino: int, offset: int) -> int | None:
        """As `Tree.seek_hole`: the end is where the first hole is."""
        size = self.getattr(ino).size
        return size if 0 <= offset < size else None

    def getxattr(self, who: Caller, ino: int, name: bytes) -> bytes:
        """As `Tree.getxattr`."""
        raise NoAttribute("a virtual directory has none")

    def listxattr(self, who: Caller, ino: int) -> list[bytes]:
        """As `Tree.listxattr`."""
        return []

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise ReadOnly("this directory is made on demand, and not to be written to")

    def _no_link(self, *_: Any) -> NoReturn:
        raise InvalidArgument("not a symbolic link")

    def _no_data(self, *_: Any) -> NoReturn:
        raise IsDirectory("this directory has no data")

    def begin_read(
        self,
        who: Caller | None,
        ino: int,
        offset: int,
        count: int,
        take: Callable[[int], memoryview] | None = None,
    ) -> Read:
        """As `Tree.begin_read`."""
        raise IsDirectory("this directory has no data")

    setattr: Callable[..., Any] = _refuse
    create: Callable[..., Any] = _refuse
    mkdir: Callable[..., Any] = _refuse
    mknod: Callable[..., Any] = _refuse
    symlink: Callable[..., Any] = _refuse
    link: Callable[..., Any] = _refuse
    rename: Callable[..., Any] = _refuse
    unlink: Callable[..., Any] = _refuse
    rmdir: Callable[..., Any] = _refuse
    write: Callable[..., Any] = _refuse
    setxattr: Callable[..., Any] = _refuse
    removexattr: Callable[..., Any] = _refuse
    readlink: Callable[..., Any] = _no_link
    read: Callable[..., Any] = _no_data
