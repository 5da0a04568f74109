"""Every kind of change to a branch that one door can make behind another's back: name -> function.

A change is made to a scene, a directory that `populate` has filled, by an actor: NFS calls, or a
mount. What only a mount can do stands in a table of its own.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from nfs.nfs3_types import ftype3
from tests.fuse.nfsfs import NfsFs, done
from tests.nfs.client import sattr
from tests.posix.osfs import OsFs

# A large file has several blocks of the store and many pages of memory.
LARGE = b"".join(b"%08d" % number for number in range(40_000))
SMALL = b"small\n"
# Names that there are not, of which the kernel is to know that before a change is made.
ABSENT = ("new", "sub/new", "sub/deep/new", "empty/new", "second/new")


class Actor(Protocol):
    """One who changes things by path, as `NfsFs` does."""

    def create(self, path: str) -> None: ...
    def mkdir(self, path: str) -> None: ...
    def mkfifo(self, path: str) -> None: ...
    def mkdevice(self, path: str) -> None: ...
    def symlink(self, target: str, path: str) -> None: ...
    def link(self, old: str, new: str) -> None: ...
    def unlink(self, path: str) -> None: ...
    def rmdir(self, path: str) -> None: ...
    def rename(self, old: str, new: str) -> None: ...
    def chmod(self, path: str, mode: int) -> None: ...
    def chown(self, path: str, uid: int, gid: int) -> None: ...
    def utime(self, path: str, seconds: int) -> None: ...
    def truncate(self, path: str, size: int) -> None: ...
    def write(self, path: str, data: bytes, offset: int) -> None: ...


class Caller(NfsFs):
    """Changes things over NFS."""

    def below(self, path: str) -> Caller:
        """The same in a directory."""
        return Caller(self.client, self.handle(path))

    def mkdevice(self, path: str) -> None:
        """A device."""
        parent, _, name = path.rpartition("/")
        kind, numbers = ftype3.CHR, (1, 3)
        done(
            self.client.mknod(self.handle(parent), name.encode(), kind, sattr(mode=0o600), numbers)
        )


class User:
    """Changes things through a mount."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.os = OsFs(os.fsencode(root))

    def below(self, path: str) -> User:
        """The same in a directory."""
        return User(self.root / path)

    def create(self, path: str) -> None:
        os.close(os.open(self.root / path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))

    def mkdir(self, path: str) -> None:
        os.mkdir(self.root / path)

    def mkfifo(self, path: str) -> None:
        os.mkfifo(self.root / path)

    def mkdevice(self, path: str) -> None:
        os.mknod(self.root / path, 0o20600, os.makedev(1, 3))

    def symlink(self, target: str, path: str) -> None:
        os.symlink(target, self.root / path)

    def link(self, old: str, new: str) -> None:
        os.link(self.root / old, self.root / new)

    def unlink(self, path: str) -> None:
        os.unlink(self.root / path)

    def rmdir(self, path: str) -> None:
        os.rmdir(self.root / path)

    def rename(self, old: str, new: str) -> None:
        os.rename(self.root / old, self.root / new)

    def chmod(self, path: str, mode: int) -> None:
        os.chmod(self.root / path, mode)

    def chown(self, path: str, uid: int, gid: int) -> None:
        os.chown(self.root / path, uid, gid)

    def utime(self, path: str, seconds: int) -> None:
        os.utime(self.root / path, ns=(seconds * 10**9 + 5, seconds * 10**9 + 7))

    def truncate(self, path: str, size: int) -> None:
        os.truncate(self.root / path, size)

    def write(self, path: str, data: bytes, offset: int) -> None:
        fd = os.open(self.root / path, os.O_WRONLY)
        try:
            assert os.pwrite(fd, data, offset) == len(data)
        finally:
            os.close(fd)


def populate(actor: Actor) -> None:
    """Fill an empty directory."""
    actor.create("large")
    actor.write("large", LARGE, 0)
    for path in ("small", "other"):
        actor.create(path)
        actor.write(path, SMALL, 0)
    actor.link("small", "hard")
    actor.symlink("small", "soft")
    actor.mkfifo("pipe")
    for path in ("sub", "sub/deep", "second", "second/full", "empty"):
        actor.mkdir(path)
    for path in ("sub/inner", "sub/deep/leaf", "second/inner", "second/full/leaf"):
        actor.create(path)
        actor.write(path, path.encode(), 0)
    actor.create("bare")


# --- what either door can do ----------------------------------------------------------------------


def _in_turn(*changes: Callable[[Actor], None]) -> Callable[[Actor], None]:
    def change(actor: Actor) -> None:
        for one in changes:
            one(actor)

    return change


def _twice(actor: Actor) -> None:
    """A file that goes, and another of its name."""
    actor.unlink("small")
    actor.create("small")
    actor.write("small", b"another", 0)


def _appear_and_go(actor: Actor) -> None:
    """Names that came and went leave the directory's times."""
    actor.create("new")
    actor.unlink("new")


def _swap(actor: Actor) -> None:
    """Two files change places, by a third name."""
    actor.rename("large", "new")
    actor.rename("small", "large")
    actor.rename("new", "small")


def _fill_empty(actor: Actor) -> None:
    for number in range(300):
        actor.mkdir(f"empty/{number:03}-{'x' * 40}")


def _empty_full(actor: Actor) -> None:
    actor.unlink("second/full/leaf")
    actor.rmdir("second/full")
    actor.unlink("second/inner")
    actor.rmdir("second")


def _pieces(actor: Actor) -> None:
    for number in range(20):
        actor.write("large", b"piece", number * 15_000)


CHANGES: dict[str, Callable[[Actor], None]] = {
    "write in a page": lambda a: a.write("large", b"changed", 100),
    "write over pages": lambda a: a.write("large", bytes(range(256)) * 64, 4090),
    "write over blocks": lambda a: a.write("large", b"x" * 200_000, 70_000),
    "write all over": _pieces,
    "write of a whole small file": lambda a: a.write("small", b"SMALL\n", 0),
    "write into an empty file": lambda a: a.write("bare", b"not empty", 0),
    "append": lambda a: a.write("small", b"more", len(SMALL)),
    "append a lot": lambda a: a.write("large", LARGE, len(LARGE)),
    "write behind the end": lambda a: a.write("small", b"far", 10_000),
    "truncate to nothing": lambda a: a.truncate("large", 0),
    "truncate within a page": lambda a: a.truncate("large", 5_000),
    "truncate by one byte": lambda a: a.truncate("large", len(LARGE) - 1),
    "truncate upwards": lambda a: a.truncate("small", 10_000),
    "truncate down and up": _in_turn(
        lambda a: a.truncate("large", 10), lambda a: a.truncate("large", 9_000)
    ),
    "truncate and write": _in_turn(
        lambda a: a.truncate("large", 10), lambda a: a.write("large", b"y", 8_000)
    ),
    "chmod": lambda a: a.chmod("small", 0o600),
    "chmod of a directory": lambda a: a.chmod("sub", 0o711),
    "chmod of the top": lambda a: a.chmod("", 0o711),
    "chown": lambda a: a.chown("small", 1000, 1001),
    "chown of a directory": lambda a: a.chown("sub/deep", 1000, 1001),
    "utimens": lambda a: a.utime("large", 1_000_000_000),
    "utimens of a directory": lambda a: a.utime("sub", 1_000_000_000),
    "create": lambda a: a.create("new"),
    "create below": lambda a: a.create("sub/deep/new"),
    "create and write": _in_turn(lambda a: a.create("new"), lambda a: a.write("new", b"data", 0)),
    "mkdir": lambda a: a.mkdir("new"),
    "mkdir with something in it": _in_turn(lambda a: a.mkdir("new"), lambda a: a.create("new/in")),
    "many names": _fill_empty,
    "mknod of a fifo": lambda a: a.mkfifo("sub/new"),
    "mknod of a device": lambda a: a.mkdevice("sub/new"),
    "symlink": lambda a: a.symlink("sub/inner", "new"),
    "symlink with another target": _in_turn(
        lambda a: a.unlink("soft"), lambda a: a.symlink("large", "soft")
    ),
    "link": lambda a: a.link("large", "sub/new"),
    "unlink": lambda a: a.unlink("large"),
    "unlink of one of two names": lambda a: a.unlink("hard"),
    "unlink of a symlink": lambda a: a.unlink("soft"),
    "unlink of a fifo": lambda a: a.unlink("pipe"),
    "unlink and create": _twice,
    "create and unlink": _appear_and_go,
    "rmdir": lambda a: a.rmdir("empty"),
    "rmdir from below": _empty_full,
    "rename": lambda a: a.rename("large", "new"),
    "rename of a small file over a large one": lambda a: a.rename("small", "large"),
    "rename of a file over a symlink": lambda a: a.rename("large", "soft"),
    "rename of a symlink over a file": lambda a: a.rename("soft", "large"),
    "rename to another directory": lambda a: a.rename("large", "sub/deep/new"),
    "rename over, in another directory": lambda a: a.rename("sub/inner", "second/inner"),
    "rename of a directory": lambda a: a.rename("sub", "new"),
    "rename of a directory to another": lambda a: a.rename("sub/deep", "second/new"),
    "rename of a directory over an empty one": lambda a: a.rename("sub", "empty"),
    "renames around": _swap,
}


def many_changes(actor: Actor) -> None:
    """Many changes at once, all over a scene."""
    for change in ("write over blocks", "append", "truncate upwards", "chmod", "create"):
        CHANGES[change](actor)
    actor.rename("sub", "moved")
    actor.rename("other", "second/new")
    actor.unlink("pipe")
    actor.unlink("hard")
    actor.mkdir("sub")
    actor.mkdir("sub/deep")
    actor.create("sub/deep/new")
    actor.rmdir("empty")
    actor.symlink("nowhere", "empty")


# --- what only a mount can do ---------------------------------------------------------------------


def _append(user: User) -> None:
    fd = os.open(user.root / "small", os.O_WRONLY | os.O_APPEND)
    try:
        assert os.write(fd, b"at the end") == 10
    finally:
        os.close(fd)


def _map(user: User) -> None:
    with open(user.root / "large", "r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        mapped[100:107] = mapped[200_000:200_007] = b"changed"
        mapped.flush()


def _anonymous(user: User) -> None:
    """A file that is written to while it has no name."""
    fd = os.open(user.root / "small", os.O_RDWR)
    try:
        os.unlink(user.root / "small")
        os.unlink(user.root / "hard")
        os.fsync(fd)
    finally:
        os.close(fd)


def _exclusive(user: User) -> None:
    os.close(os.open(user.root / "new", os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o4755))


def _truncating_open(user: User) -> None:
    os.close(os.open(user.root / "large", os.O_WRONLY | os.O_TRUNC))


def _set_attributes(user: User) -> None:
    os.setxattr(user.root / "small", "user.new", b"value")
    os.setxattr(user.root / "sub", "user.new", b"value")


def _remove_attributes(user: User) -> None:
    _set_attributes(user)
    os.removexattr(user.root / "small", "user.new")


def _child(user: User) -> None:
    """Another process does it, and works in a directory that it stands in."""
    child = os.fork()
    if not child:
        try:
            os.chdir(user.root / "sub")
            os.rename("deep", "new")
            os.close(os.open("new/more", os.O_CREAT | os.O_WRONLY))
        finally:
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


MOUNT_CHANGES: dict[str, Callable[[User], None]] = {
    "write with O_APPEND": _append,
    "write by mapped memory": _map,
    "unlink of all names while open": _anonymous,
    "create with O_EXCL": _exclusive,
    "open with O_TRUNC": _truncating_open,
    "chown of a symlink": lambda u: os.lchown(u.root / "soft", 1000, 1001),
    "utimens of a symlink": lambda u: os.utime(u.root / "soft", (1, 2), follow_symlinks=False),
    "setxattr": _set_attributes,
    "removexattr": _remove_attributes,
    "rename without replacing": lambda u: u.os.rename("large", "sub/new", "noreplace"),
    "exchange of files": lambda u: u.os.rename("large", "small", "exchange"),
    "exchange of a file and a directory": lambda u: u.os.rename("large", "sub", "exchange"),
    "exchange between directories": lambda u: u.os.rename("sub/inner", "second/inner", "exchange"),
    "exchange of directories": lambda u: u.os.rename("sub/deep", "second/full", "exchange"),
    "another process": _child,
}
