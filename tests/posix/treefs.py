"""The driver for a store's tree interface.

It adds what a kernel does before it asks a file system: walking a path, following symbolic links,
checking an open's access mode, refusing `.` and `..` where a new or doomed name is due, and the
limits of attribute names and values. All else is the tree's own answer.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, ParamSpec, TypeVar

from store import errors, types
from store.tree import Tree
from store.types import Caller, Inode, SetAttr, SetTime
from tests.posix import fs
from tests.posix.errornames import ERROR_NAMES
from tests.posix.fs import Entry, File, Fs, FsError, Path, Space, Stat, Time, User

P = ParamSpec("P")
T = TypeVar("T")

SYMLINKS_MAX = 40  # followed in one path, as Linux has it
DOTS = (b".", b"..")
ALL_ACCESS = types.R_OK | types.W_OK | types.X_OK
RENAME_HOW = {how.value: how for how in types.RenameHow}
XATTR_HOW = {how.value: how for how in types.XattrHow}
TIMES: dict[str, SetTime | None] = {fs.NOW: SetTime.NOW, fs.OMIT: None}
OPEN_NEEDS = {
    os.O_RDONLY: types.R_OK,
    os.O_WRONLY: types.W_OK,
    os.O_RDWR: types.R_OK | types.W_OK,
}


class Place(NamedTuple):
    """Where a path leads: a name in a directory, and the inode there, if any."""

    directory: int
    name: bytes
    inode: Inode | None


def to_stat(inode: Inode) -> Stat:
    return Stat(
        inode.ino,
        inode.mode,
        inode.nlink,
        inode.uid,
        inode.gid,
        inode.size,
        inode.used // 512,
        inode.rdev_major,
        inode.rdev_minor,
        inode.atime_ns,
        inode.mtime_ns,
        inode.ctime_ns,
    )


def split(path: bytes) -> list[bytes]:
    """The components of a path; a trailing slash stands for `/.`, as POSIX has it."""
    parts = [part for part in path.split(b"/") if part]
    return [*parts, b"."] if path.endswith(b"/") else parts


def attribute(name: Path) -> bytes:
    """An attribute's name, its length checked as every kernel does."""
    label = os.fsencode(name)
    if len(label) > types.XATTR_NAME_BYTES_MAX:
        raise FsError("ERANGE", f"an attribute name of {len(label)} bytes")
    return label


def ask(call: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
    """Make a call of the tree, with its error named as POSIX does."""
    try:
        return call(*args, **options)
    except errors.StoreError as error:
        raise FsError(ERROR_NAMES[type(error)], str(error)) from error


def no_hook() -> None:
    """Do nothing after a change."""


class TreeFile(File):
    """An inode held open; `who` writes, and reads were allowed when it was opened."""

    def __init__(self, fs_: TreeFs, ino: int, flags: int) -> None:
        self._tree = fs_.tree
        self._who = fs_.who
        self._change = fs_.change
        self._ino = ino
        self._mode = flags & os.O_ACCMODE
        ask(self._tree.hold, ino)

    def pread(self, count: int, offset: int) -> bytes:
        if self._mode == os.O_WRONLY:
            raise FsError("EBADF", "not open for reading")
        return bytes(ask(self._tree.read, None, self._ino, offset, count).data)

    def pwrite(self, data: bytes, offset: int) -> None:
        if self._mode == os.O_RDONLY:
            raise FsError("EBADF", "not open for writing")
        # The right to write was given when the file was opened, whatever the mode says now.
        granted = ask(self._tree.access, self._who, self._ino, types.W_OK)
        self._change(self._tree.write, self._who if granted else None, self._ino, offset, data)

    def append(self, data: bytes) -> None:
        self.pwrite(data, self.stat().size)

    def truncate(self, size: int) -> None:
        if self._mode == os.O_RDONLY:
            raise FsError("EINVAL", "not open for writing")
        self._change(self._tree.setattr, self._who, self._ino, SetAttr(size=size))

    def chmod(self, mode: int) -> None:
        self._change(self._tree.setattr, self._who, self._ino, SetAttr(mode=mode))

    def stat(self) -> Stat:
        return to_stat(ask(self._tree.getattr, self._ino))

    def seek_data(self, offset: int) -> int:
        found = ask(self._tree.seek_data, self._ino, offset)
        if found is None:
            raise FsError("ENXIO", "no data follows")
        return found

    def seek_hole(self, offset: int) -> int:
        found = ask(self._tree.seek_hole, self._ino, offset)
        if found is None:
            raise FsError("ENXIO", "at or beyond the end")
        return found

    def close(self) -> None:
        self._change(self._tree.release, self._ino)


class TreeFs(Fs):
    """The directory `root` of a tree. `hook` runs after every change, to flush, say."""

    def __init__(
        self,
        tree: Tree,
        root: int,
        user: User = fs.ROOT,
        hook: Callable[[], None] = no_hook,
    ) -> None:
        self.tree = tree
        self.who = Caller(user.uid, user.gid, frozenset(user.groups))
        self._root = root
        self._user = user
        self._hook = hook

    def change(self, call: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
        """Make a call that changes the tree, then run the hook."""
        result = ask(call, *args, **options)
        self._hook()
        return result

    # --- what a kernel does with paths ----------------------------------------------------------

    def _walk(self, path: Path, *, follow: bool) -> Place:
        """Where `path` leads; `follow` says whether a symbolic link at its very end is followed."""
        todo = deque(split(os.fsencode(path)))
        if not todo:
            raise FsError("ENOENT", "an empty path")
        here, links = self._root, 0
        while True:
            name = todo.popleft()
            try:
                inode = ask(self.tree.lookup, self.who, here, name)
            except FsError as error:
                if error.name == "ENOENT" and not todo:
                    return Place(here, name, None)
                raise
            if inode.type == stat.S_IFLNK and (todo or follow):
                links += 1
                if links > SYMLINKS_MAX:
                    raise FsError("ELOOP", f"over {SYMLINKS_MAX} symbolic links")
                todo.extendleft(reversed(split(ask(self.tree.readlink, self.who, inode.ino))))
            elif not todo:
                return Place(here, name, inode)
            else:
                here = inode.ino

    def _find(self, path: Path, *, follow: bool = True) -> Inode:
        """The inode at `path`; ENOENT where there is none."""
        inode = self._walk(path, follow=follow).inode
        if inode is None:
            raise FsError("ENOENT", repr(path))
        return inode

    def _last(self, path: Path, dots: str) -> tuple[int, bytes]:
        """The directory and the last name of `path`; `dots` is the error for `.` and `..`."""
        head, _, name = os.fsencode(path).rpartition(b"/")
        directory = self._find(head).ino if head else self._root
        if not name:
            raise FsError("ENOENT", "an empty name")
        if name in DOTS:
            raise FsError(dots, f"{name!r} as the last name")
        return directory, name

    def _require(self, inode: Inode, mask: int) -> None:
        """EACCES unless everything in `mask` is granted."""
        if ask(self.tree.access, self.who, inode.ino, mask) != mask:
            raise FsError("EACCES", f"mask {mask} of inode {inode.ino}")

    # --- calls ----------------------------------------------------------------------------------

    def as_(self, user: User) -> TreeFs:
        return TreeFs(self.tree, self._root, user, self._hook)

    def at(self, path: Path) -> TreeFs:
        return TreeFs(self.tree, self._find(path).ino, self._user, self._hook)

    def tick(self) -> None:
        """Nothing to wait for: a tree's clock never shows the same time twice."""

    def open(self, path: Path, flags: int = os.O_RDONLY, mode: int = 0o644) -> TreeFile:
        exclusive = flags & os.O_CREAT and flags & os.O_EXCL
        place = self._walk(path, follow=not (exclusive or flags & os.O_NOFOLLOW))
        inode = place.inode
        if inode is None:
            if not flags & os.O_CREAT:
                raise FsError("ENOENT", repr(path))
            made = self.change(self.tree.create, self.who, place.directory, place.name, mode)
            return TreeFile(self, made.inode.ino, flags)
        self._may_open(inode, flags)
        if flags & os.O_TRUNC:
            self.change(self.tree.setattr, self.who, inode.ino, SetAttr(size=0))
        return TreeFile(self, inode.ino, flags)

    def _may_open(self, inode: Inode, flags: int) -> None:
        """The checks of open(2) on an inode that exists, in Linux's order."""
        needs = OPEN_NEEDS[flags & os.O_ACCMODE]
        if flags & os.O_CREAT and flags & os.O_EXCL:
            raise FsError("EEXIST")
        if flags & os.O_DIRECTORY and inode.type != stat.S_IFDIR:
            raise FsError("ENOTDIR")
        if inode.type == stat.S_IFLNK:
            raise FsError("ELOOP", "a symbolic link under O_NOFOLLOW")
        if inode.type == stat.S_IFDIR and (needs & types.W_OK or flags & os.O_CREAT):
            raise FsError("EISDIR")
        self._require(inode, needs | (types.W_OK if flags & os.O_TRUNC else 0))

    def mkdir(self, path: Path, mode: int = 0o755) -> None:
        self.change(self.tree.mkdir, self.who, *self._last(path, "EEXIST"), mode)

    def mknod(self, path: Path, mode: int, major: int = 0, minor: int = 0) -> None:
        directory, name = self._last(path, "EEXIST")
        self.change(self.tree.mknod, self.who, directory, name, mode, major, minor)

    def symlink(self, target: Path, path: Path) -> None:
        directory, name = self._last(path, "EEXIST")
        if not target:
            raise FsError("ENOENT", "an empty target")
        self.change(self.tree.symlink, self.who, directory, name, os.fsencode(target))

    def link(self, old: Path, new: Path) -> None:
        ino = self._find(old, follow=False).ino
        self.change(self.tree.link, self.who, ino, *self._last(new, "EEXIST"))

    def unlink(self, path: Path) -> None:
        self.change(self.tree.unlink, self.who, *self._last(path, "EISDIR"))

    def rmdir(self, path: Path) -> None:
        head, _, name = os.fsencode(path).rpartition(b"/")
        directory = self._find(head).ino if head else self._root
        if not name:
            raise FsError("ENOENT", "an empty name")
        self.change(self.tree.rmdir, self.who, directory, name)

    def rename(self, old: Path, new: Path, how: fs.RenameFlag = "replace") -> None:
        source, target = self._last(old, "EBUSY"), self._last(new, "EBUSY")
        self.change(self.tree.rename, self.who, *source, *target, RENAME_HOW[how])

    def _set(self, path: Path, change: SetAttr, *, follow: bool = True) -> None:
        ino = self._find(path, follow=follow).ino
        self.change(self.tree.setattr, self.who, ino, change)

    def chmod(self, path: Path, mode: int) -> None:
        self._set(path, SetAttr(mode=mode))

    def chown(self, path: Path, uid: int = -1, gid: int = -1, *, follow: bool = True) -> None:
        change = SetAttr(uid=None if uid == -1 else uid, gid=None if gid == -1 else gid)
        self._set(path, change, follow=follow)

    def truncate(self, path: Path, size: int) -> None:
        inode = self._find(path)
        if inode.type == stat.S_IFREG:  # the tree lets an owner pass whatever the bits say
            self._require(inode, types.W_OK)
        self.change(self.tree.setattr, self.who, inode.ino, SetAttr(size=size))

    def utimens(self, path: Path, atime: Time, mtime: Time, *, follow: bool = True) -> None:
        if atime == mtime == fs.OMIT:
            return  # utimensat(2) does not so much as look at the file
        access, modify = (t if isinstance(t, int) else TIMES[t] for t in (atime, mtime))
        self._set(path, SetAttr(atime_ns=access, mtime_ns=modify), follow=follow)

    def stat(self, path: Path) -> Stat:
        return to_stat(self._find(path))

    def lstat(self, path: Path) -> Stat:
        return to_stat(self._find(path, follow=False))

    def access(self, path: Path) -> str:
        granted = ask(self.tree.access, self.who, self._find(path).ino, ALL_ACCESS)
        letters = (("r", types.R_OK), ("w", types.W_OK), ("x", types.X_OK))
        return "".join(letter for letter, mask in letters if granted & mask)

    def readlink(self, path: Path) -> bytes:
        return bytes(ask(self.tree.readlink, self.who, self._find(path, follow=False).ino))

    def readdir(self, path: Path, cookie: int = 0, count: int = 100_000) -> list[Entry]:
        ino = self._find(path).ino
        entries: list[Entry] = []
        while len(entries) < count:
            page = ask(self.tree.readdir, self.who, ino, cookie, count - len(entries))
            for name, child, kind, cookie in page.entries:
                entries.append(Entry(bytes(name), child, fs.KINDS[kind], cookie))
            if page.eof:
                break
            assert page.entries, "an empty page that is not the last"
        return entries

    def getxattr(self, path: Path, name: Path, *, follow: bool = True) -> bytes:
        ino = self._find(path, follow=follow).ino
        return bytes(ask(self.tree.getxattr, self.who, ino, attribute(name)))

    def setxattr(
        self,
        path: Path,
        name: Path,
        value: bytes,
        how: fs.XattrFlag = "set",
        *,
        follow: bool = True,
    ) -> None:
        ino = self._find(path, follow=follow).ino
        label = attribute(name)
        if len(value) > types.XATTR_VALUE_BYTES_MAX:
            raise FsError("E2BIG", f"a value of {len(value)} bytes")
        self.change(self.tree.setxattr, self.who, ino, label, value, XATTR_HOW[how])

    def listxattr(self, path: Path, *, follow: bool = True) -> list[bytes]:
        ino = self._find(path, follow=follow).ino
        return [bytes(name) for name in ask(self.tree.listxattr, self.who, ino)]

    def removexattr(self, path: Path, name: Path, *, follow: bool = True) -> None:
        ino = self._find(path, follow=follow).ino
        self.change(self.tree.removexattr, self.who, ino, attribute(name))

    def statvfs(self) -> Space:
        found = ask(self.tree.statfs)
        return Space(
            found.total_bytes,
            found.free_bytes,
            found.available_bytes,
            found.total_inodes,
            found.free_inodes,
            found.name_bytes_max,
        )
