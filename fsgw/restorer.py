"""Restore: makes a directory of a tree, all of it, anew as a local directory.

Kinds, content, holes, hard links, owners (as root), modes, times and extended attributes come
back. What the local file system refuses is reported; the rest is restored. Paths are bytes.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from typing import NamedTuple

from fsgw.attributes import restore
from fsgw.content import copy_out
from fsgw.localfs import Report, reason, units
from store import errors
from store.tree import Tree
from store.types import ROOT, DirEntry, Inode


class _Folder(NamedTuple):
    """A directory being restored."""

    path: bytes
    inode: Inode
    todo: Iterator[DirEntry]


def restore_directory(
    tree: Tree, source: bytes, target: bytes, force: bool, advance: Callable[[int], None]
) -> Report:
    """Restore the directory `source` (a path in the tree) as the local directory `target`.

    `target` is made if missing. It must be empty unless `force`, which replaces files in the way
    but no directory, and leaves everything else there alone. `advance` hears of work done, in
    `localfs.units`. Raises NotFound, NotDirectory, NotEmpty, StorageFailure, and OSError when
    `target` itself cannot be made.
    """
    inode = tree.resolve(source)
    if not stat.S_ISDIR(inode.mode):
        raise errors.NotDirectory(f"{os.fsdecode(source)!r} is not a directory")
    try:
        os.makedirs(target)
    except FileExistsError:
        with os.scandir(target) as entries:
            if not force and next(entries, None) is not None:
                raise errors.NotEmpty(f"{os.fsdecode(target)!r} is not empty") from None
    return Restorer(tree, force, advance).run(inode, target)


class Restorer:
    """One restore; `run` may be called once."""

    def __init__(self, tree: Tree, force: bool, advance: Callable[[int], None]) -> None:
        self.report = Report()
        self._tree = tree
        self._force = force
        self._advance = advance
        self._links: dict[int, bytes] = {}  # inodes with several names -> the first path made

    def run(self, inode: Inode, target: bytes) -> Report:
        """Restore the directory `inode` into the existing local directory `target`."""
        stack = [_Folder(target, inode, self._tree.entries(inode.ino))]
        while stack:
            inner = self._step(stack[-1])
            if inner is not None:
                stack.append(inner)
            else:
                self._close_folder(stack.pop())
        return self.report

    def _step(self, folder: _Folder) -> _Folder | None:
        """Restore the folder's entries up to the next directory; None when none is left."""
        for entry in folder.todo:
            path = os.path.join(folder.path, entry.name)
            inode = self._tree.getattr(entry.ino)
            try:
                if entry.type == stat.S_IFDIR:
                    self._make_folder(path)
                    return _Folder(path, inode, self._tree.entries(entry.ino))
                self._restore_entry(path, inode)
            except OSError as error:
                self.report.trouble(path, reason(error))
            except errors.Damaged as error:
                self._discard(path)
                self.report.trouble(path, str(error))
            self._advance(units(0))
        return None

    def _make_folder(self, path: bytes) -> None:
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            if not stat.S_ISDIR(os.lstat(path).st_mode):
                self._clear(path)
                os.mkdir(path, 0o700)

    def _close_folder(self, folder: _Folder) -> None:
        """Restore the attributes, last, as work in the directory moved its times."""
        try:
            restore(self._tree, folder.inode, folder.path, self.report)
        except OSError as error:
            self.report.trouble(folder.path, reason(error))
        self.report.added += 1
        self._advance(units(0))

    def _restore_entry(self, path: bytes, inode: Inode) -> None:
        if self._force:
            self._clear(path)
        if inode.nlink > 1:
            first = self._links.get(inode.ino)
            if first is not None:
                os.link(first, path, follow_symlinks=False)
                self.report.added += 1
                return
        self._make(path, inode)
        restore(self._tree, inode, path, self.report)
        if inode.nlink > 1:
            self._links[inode.ino] = path
        self.report.added += 1

    def _make(self, path: bytes, inode: Inode) -> None:
        """Make the file itself, closed to others until its owner and mode are restored."""
        if stat.S_ISREG(inode.mode):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(path, flags, 0o600)
            try:
                copy_out(self._tree, inode, fd, self._moved)
            finally:
                os.close(fd)
        elif stat.S_ISLNK(inode.mode):
            os.symlink(self._tree.readlink(ROOT, inode.ino), path)
        else:
            device = os.makedev(inode.rdev_major, inode.rdev_minor)
            os.mknod(path, stat.S_IFMT(inode.mode) | 0o600, device)

    def _moved(self, count: int) -> None:
        self.report.content_bytes += count
        self._advance(count)

    def _clear(self, path: bytes) -> None:
        """Remove what is in the way; a directory raises IsADirectoryError and stays."""
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass

    def _discard(self, path: bytes) -> None:
        """Remove the incomplete file left by an error, so that it is not taken for the real one."""
        try:
            os.unlink(path)
        except OSError:
            pass
