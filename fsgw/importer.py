"""Import: makes a directory of a branch equal to a local one, writing only what differs.

A file whose kind, size and modification time are those in the tree is taken to have the same
content (or is compared, with `checksum`). Whatever cannot be read is reported and stays in the
tree as it was; the rest is imported. Local names and paths are bytes.

Hard links: all local names of one inode become names of one inode in the tree. A tree inode is
reused for one local inode only, so two files that were links of each other and no longer are end
up apart; nor is one reused whose other names lie where this import does not make them equal.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from typing import NamedTuple

from fsgw.attributes import PATH_ERRORS, attributes_of, differs, is_same, xattrs_in
from fsgw.content import Vanished, copy_in, same_content
from fsgw.localfs import Report, open_source, reason, units
from fsgw.paths import entries_of
from fsgw.pump import Pump
from store import errors
from store.store import Store
from store.tree import Tree
from store.types import ROOT, DirEntry, Inode

LocalId = tuple[int, int]  # st_dev, st_ino


class Rules(NamedTuple):
    """`checksum` compares contents instead of trusting times; `delete` removes what is gone."""

    checksum: bool = False
    delete: bool = True


class _Folder(NamedTuple):
    """A directory being imported; `before` is None when the tree did not have it."""

    path: bytes
    ino: int
    local: os.stat_result
    before: Inode | None
    there: dict[bytes, DirEntry]
    todo: Iterator[os.DirEntry[bytes]]


def import_directory(
    store: Store,
    tree: Tree,
    source: bytes,
    target: bytes,
    rules: Rules,
    advance: Callable[[int], None],
) -> Report:
    """Make `target` (a path in the tree, made if missing) equal to the local directory `source`.

    `advance` hears of work done, in `localfs.units`. All that was imported is durable at the
    end, be it an error's. Raises NotDirectory, NoSpace, QuotaExceeded, StorageFailure,
    and OSError when `source` itself cannot be read.
    """
    with Pump(store) as pump:
        return Importer(tree, pump, rules, advance).run(source, target)


class Importer:
    """One import; `run` may be called once."""

    def __init__(
        self, tree: Tree, pump: Pump, rules: Rules, advance: Callable[[int], None]
    ) -> None:
        self.report = Report()
        self._tree = tree
        self._pump = pump
        self._call = pump.call
        self._rules = rules
        self._advance = advance
        self._links: dict[LocalId, int] = {}  # local files with several names -> tree inode
        self._claimed: dict[int, LocalId] = {}  # tree inodes with several names -> local file
        self._source = b""
        self._target = b"/"

    def run(self, source: bytes, target: bytes) -> Report:
        """Import the directory `source` into the directory `target` of the tree."""
        local = os.stat(source)
        entries = _scan(source)
        ino = self._make_target(target)
        self._source = source
        self._target = self._tree.path_of(ino)
        before = self._tree.getattr(ino)
        stack = [self._open_folder(source, ino, local, before, entries)]
        while stack:
            inner = self._step(stack[-1])
            if inner is not None:
                stack.append(inner)
            else:
                self._close_folder(stack.pop())
        return self.report

    def _make_target(self, target: bytes) -> int:
        ino = self._tree.root
        for name in target.split(b"/"):
            if not name:
                continue
            try:
                inode = self._tree.lookup(ROOT, ino, name)
            except errors.NotFound:
                inode = self._call(self._tree.mkdir, ROOT, ino, name, 0o755).inode
            if not stat.S_ISDIR(inode.mode):
                raise errors.NotDirectory(f"{os.fsdecode(target)!r} leads through a non-directory")
            ino = inode.ino
        return ino

    # --- directories --------------------------------------------------------------------------

    def _open_folder(
        self,
        path: bytes,
        ino: int,
        local: os.stat_result,
        before: Inode | None,
        entries: list[os.DirEntry[bytes]],
    ) -> _Folder:
        there: dict[bytes, DirEntry] = {}
        if before is not None:
            there = {entry.name: entry for entry in entries_of(self._tree, ino)}
            if self._rules.delete and there:
                for name in there.keys() - {entry.name for entry in entries}:
                    self._remove(ino, there.pop(name))
        # Known names first: a new name of a known file then becomes a link to what is there.
        entries.sort(key=lambda entry: (entry.name not in there, entry.name))
        return _Folder(path, ino, local, before, there, iter(entries))

    def _step(self, folder: _Folder) -> _Folder | None:
        """Import the folder's entries up to the next directory; None when none is left."""
        for entry in folder.todo:
            try:
                st = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(st.st_mode):
                    return self._enter(folder, entry, st)
                self._import_entry(folder, entry, st)
                self._advance(units(0))
                self._pump.tick()
            except OSError as error:
                self.report.trouble(entry.path, reason(error))
            except Vanished:
                self.report.trouble(entry.path, "changed while it was read; import it again")
            except PATH_ERRORS as error:
                self.report.trouble(entry.path, str(error))
        return None

    def _enter(self, folder: _Folder, entry: os.DirEntry[bytes], st: os.stat_result) -> _Folder:
        entries = _scan(entry.path)
        old = folder.there.get(entry.name)
        before = None
        if old is not None and old.type == stat.S_IFDIR:
            ino = old.ino
            before = self._tree.getattr(ino)
        else:
            if old is not None:
                self._remove(folder.ino, old)
            ino = self._call(self._tree.mkdir, ROOT, folder.ino, entry.name, 0o700).inode.ino
        return self._open_folder(entry.path, ino, st, before, entries)

    def _close_folder(self, folder: _Folder) -> None:
        """Set the attributes, last, as work in the directory moved its times."""
        st, before = folder.local, folder.before
        changed = before is None or differs(before, st)
        if changed or differs(self._tree.getattr(folder.ino), st):
            self._set_attributes(folder.ino, st)
        try:
            changed |= self._set_xattrs(folder.path, folder.ino, before is None)
        except OSError as error:
            self.report.trouble(folder.path, reason(error))
        self._count(before, changed)
        self._advance(units(0))

    def _remove(self, parent: int, entry: DirEntry) -> None:
        """Remove an entry and all below it."""
        if entry.type != stat.S_IFDIR:
            self._call(self._tree.unlink, ROOT, parent, entry.name)
            self.report.removed += 1
            return
        stack = [(parent, entry, entries_of(self._tree, entry.ino))]
        while stack:
            parent, entry, inner = stack[-1]
            for child in inner:
                if child.type == stat.S_IFDIR:
                    stack.append((entry.ino, child, entries_of(self._tree, child.ino)))
                    break
                self._call(self._tree.unlink, ROOT, entry.ino, child.name)
                self.report.removed += 1
                self._pump.tick()
            else:
                self._call(self._tree.rmdir, ROOT, parent, entry.name)
                self.report.removed += 1
                stack.pop()

    # --- everything else ----------------------------------------------------------------------

    def _import_entry(self, folder: _Folder, entry: os.DirEntry[bytes], st: os.stat_result) -> None:
        old = folder.there.get(entry.name)
        if st.st_nlink > 1:
            first = self._links.get((st.st_dev, st.st_ino))
            if first is not None:
                self._link(folder, entry.name, old, first)
                return
        before = self._reusable(old, st)
        if stat.S_ISREG(st.st_mode):
            ino, changed, before = self._import_file(folder, entry, st, old, before)
        else:
            ino, changed, before = self._import_special(folder, entry, st, old, before)
        changed |= self._set_xattrs(entry.path, ino, before is None)
        if st.st_nlink > 1:
            self._links[st.st_dev, st.st_ino] = ino
        self._count(before, changed)

    def _link(self, folder: _Folder, name: bytes, old: DirEntry | None, ino: int) -> None:
        if old is not None:
            if old.ino == ino:
                self.report.unchanged += 1
                return
            self._remove(folder.ino, old)
        self._call(self._tree.link, ROOT, ino, folder.ino, name)
        self.report.added += 1

    def _reusable(self, old: DirEntry | None, st: os.stat_result) -> Inode | None:
        """The inode that the tree has under this name, if this local file may be kept in it."""
        if old is None or old.type != stat.S_IFMT(st.st_mode):
            return None
        inode = self._tree.getattr(old.ino)
        if inode.nlink > 1:
            mine = (st.st_dev, st.st_ino)
            if self._claimed.setdefault(inode.ino, mine) != mine:
                return None
            if differs(inode, st) and not self._is_all_mine(inode.ino, mine):
                return None
        return inode

    def _is_all_mine(self, ino: int, mine: LocalId) -> bool:
        """Whether each name of the inode is one of the local file `mine`, or about to go."""
        prefix = self._target.rstrip(b"/") + b"/"
        for path in self._tree.paths_of(ino):
            if not path.startswith(prefix):
                return False
            try:
                st = os.lstat(os.path.join(self._source, path[len(prefix) :]))
            except FileNotFoundError:
                if not self._rules.delete:
                    return False
            else:
                if (st.st_dev, st.st_ino) != mine:
                    return False
        return True

    def _import_file(
        self,
        folder: _Folder,
        entry: os.DirEntry[bytes],
        st: os.stat_result,
        old: DirEntry | None,
        before: Inode | None,
    ) -> tuple[int, bool, Inode | None]:
        """Returns the inode number, whether anything changed, and the inode before, if reused."""
        trusted = not self._rules.checksum
        if (
            before is not None
            and trusted
            and before.size == st.st_size
            and before.mtime_ns == st.st_mtime_ns
        ):
            self._advance(st.st_size)
            return before.ino, self._update(before, st), before
        fd = open_source(entry.path)
        try:
            return self._copy_file(folder, entry.name, fd, st, old, before)
        finally:
            os.close(fd)

    def _copy_file(
        self,
        folder: _Folder,
        name: bytes,
        fd: int,
        st: os.stat_result,
        old: DirEntry | None,
        before: Inode | None,
    ) -> tuple[int, bool, Inode | None]:
        tree = self._tree
        if before is not None and before.size == st.st_size and self._rules.checksum:
            if same_content(tree, before.ino, fd, st.st_size):
                self._advance(st.st_size)
                return before.ino, self._update(before, st), before
            if before.nlink > 1 and not self._is_all_mine(before.ino, (st.st_dev, st.st_ino)):
                before = None
        if before is not None:
            inode = before
        else:
            if old is not None:
                self._remove(folder.ino, old)
            inode = self._call(tree.create, ROOT, folder.ino, name, 0o600).inode
        try:
            self.report.content_bytes += copy_in(tree, self._pump, fd, st, inode, self._advance)
            if not is_same(os.fstat(fd), st):
                raise Vanished
        except (OSError, Vanished):
            if before is None:
                self._call(tree.unlink, ROOT, folder.ino, name)
            raise
        self._set_attributes(inode.ino, st)
        return inode.ino, True, before

    def _import_special(
        self,
        folder: _Folder,
        entry: os.DirEntry[bytes],
        st: os.stat_result,
        old: DirEntry | None,
        before: Inode | None,
    ) -> tuple[int, bool, Inode | None]:
        """A symlink, pipe, socket or device: kept if equal, else made anew."""
        tree = self._tree
        target = b""
        if stat.S_ISLNK(st.st_mode):
            target = os.readlink(entry.path)
            same = before is not None and tree.readlink(ROOT, before.ino) == target
        else:
            device = (os.major(st.st_rdev), os.minor(st.st_rdev))
            same = before is not None and (before.rdev_major, before.rdev_minor) == device
        if same and before is not None:
            return before.ino, self._update(before, st), before
        if old is not None:
            self._remove(folder.ino, old)
        if target:
            made = self._call(tree.symlink, ROOT, folder.ino, entry.name, target)
        else:
            made = self._call(tree.mknod, ROOT, folder.ino, entry.name, st.st_mode, *device)
        self._set_attributes(made.inode.ino, st)
        return made.inode.ino, True, None

    # --- outcome ------------------------------------------------------------------------------

    def _update(self, before: Inode, st: os.stat_result) -> bool:
        """Bring the attributes of an inode whose content is right up to date, if they are not."""
        changed = differs(before, st)
        if changed:
            self._set_attributes(before.ino, st)
        return changed

    def _set_attributes(self, ino: int, st: os.stat_result) -> None:
        self._call(self._tree.setattr, ROOT, ino, attributes_of(st))

    def _set_xattrs(self, path: bytes, ino: int, is_new: bool) -> bool:
        return xattrs_in(path, self._tree, self._pump, ino, is_new, self.report)

    def _count(self, before: Inode | None, changed: bool) -> None:
        if before is None:
            self.report.added += 1
        elif changed:
            self.report.changed += 1
        else:
            self.report.unchanged += 1


def _scan(path: bytes) -> list[os.DirEntry[bytes]]:
    with os.scandir(path) as entries:
        return list(entries)
