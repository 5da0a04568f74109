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
from collections.abc import Callable
from typing import NamedTuple

from fsgw.attributes import PATH_ERRORS, attributes_of, differs, xattrs_in
from fsgw.content import copy_in, same_content
from fsgw.localfs import Report, reason, units
from fsgw.pump import Pump
from fsgw.source import (
    LOOK_FILES,
    Content,
    Found,
    Large,
    Vanished,
    fetch,
    look,
    scan,
    xattrs_of,
)
from fsgw.steps import Steps, beside, call, in_order
from store import errors
from store.store import Store
from store.tree import PAGE_ENTRIES, Tree
from store.types import ROOT, DirEntry, Inode

LocalId = tuple[int, int]  # st_dev, st_ino


class Rules(NamedTuple):
    """`checksum` compares contents instead of trusting times; `delete` removes what is gone."""

    checksum: bool = False
    delete: bool = True


class _Folder(NamedTuple):
    """A directory being imported; `before` is None when the tree did not have it.

    `todo` are the entries left, last first, and `looked_at` those of them to come next.
    """

    path: bytes
    ino: int
    local: os.stat_result
    before: Inode | None
    there: dict[bytes, DirEntry]
    todo: list[os.DirEntry[bytes]]
    looked_at: list[Found]


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
        return pump.run(Importer(tree, rules, advance).run(source, target))


class Importer:
    """One import, as `fsgw.steps`; `run` may be called once."""

    def __init__(self, tree: Tree, rules: Rules, advance: Callable[[int], None]) -> None:
        self.report = Report()
        self._tree = tree
        self._rules = rules
        self._advance = advance
        self._links: dict[LocalId, int] = {}  # local files with several names -> tree inode
        self._claimed: dict[int, LocalId] = {}  # tree inodes with several names -> local file
        self._source = b""
        self._target = b"/"

    def run(self, source: bytes, target: bytes) -> Steps[Report]:
        """Import the directory `source` into the directory `target` of the tree."""
        local = yield from beside(os.stat, source)
        entries = yield from beside(scan, source)
        ino = yield from self._make_target(target)
        self._source = source
        self._target = self._tree.path_of(ino)
        before = self._tree.getattr(ino)
        stack = [(yield from self._open_folder(source, ino, local, before, entries))]
        while stack:
            inner = yield from self._step(stack[-1])
            if inner is not None:
                stack.append(inner)
            else:
                yield from self._close_folder(stack.pop())
        return self.report

    def _make_target(self, target: bytes) -> Steps[int]:
        ino = self._tree.root
        for name in target.split(b"/"):
            if not name:
                continue
            try:
                inode = self._tree.lookup(ROOT, ino, name)
            except errors.NotFound:
                made = yield from call(self._tree.mkdir, ROOT, ino, name, 0o755)
                inode = made.inode
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
    ) -> Steps[_Folder]:
        there: dict[bytes, DirEntry] = {}
        if before is not None:
            for count, found in enumerate(self._tree.entries(ino), 1):
                there[found.name] = found
                if not count % PAGE_ENTRIES:
                    yield 0
            if self._rules.delete and there:
                for name in there.keys() - {entry.name for entry in entries}:
                    yield from self._remove(ino, there.pop(name))
        # Known names first: a new name of a known file then becomes a link to what is there.
        entries = yield from in_order(entries, lambda entry: (entry.name not in there, entry.name))
        return _Folder(path, ino, local, before, there, entries[::-1], [])

    def _step(self, folder: _Folder) -> Steps[_Folder | None]:
        """Import the folder's entries up to the next directory; None when none is left."""
        while (found := (yield from self._next(folder))) is not None:
            try:
                if found.error is not None:
                    raise found.error
                if stat.S_ISDIR(found.st.st_mode):
                    return (yield from self._enter(folder, found))
                yield from self._import_entry(folder, found)
                self._advance(units(0))
                yield 0
            except OSError as error:
                self.report.trouble(found.path, reason(error))
            except Vanished:
                self.report.trouble(found.path, "changed while it was read; import it again")
            except PATH_ERRORS as error:
                self.report.trouble(found.path, str(error))
        return None

    def _next(self, folder: _Folder) -> Steps[Found | None]:
        """The folder's next file, None where none is left; looks at several at a time."""
        todo, looked_at = folder.todo, folder.looked_at
        if not looked_at and todo:
            looked_at += yield from beside(look, todo[-LOOK_FILES:])
            del todo[-LOOK_FILES:]
            wanted = [found for found in looked_at if self._is_to_be_fetched(folder, found)]
            if wanted:
                yield from beside(fetch, wanted)
        return looked_at.pop() if looked_at else None

    def _is_to_be_fetched(self, folder: _Folder, found: Found) -> bool:
        """Whether the file's content is needed, and to be had with that of others."""
        if found.error is not None or not found.is_small:
            return False
        old = folder.there.get(found.name)
        if old is None or old.type != stat.S_IFREG:
            return True
        return not self._is_trusted(self._tree.getattr(old.ino), found.st)

    def _is_trusted(self, before: Inode, st: os.stat_result) -> bool:
        """Whether the inode is taken to have the local file's content."""
        return (
            not self._rules.checksum
            and before.size == st.st_size
            and before.mtime_ns == st.st_mtime_ns
        )

    def _enter(self, folder: _Folder, found: Found) -> Steps[_Folder]:
        entries = yield from beside(scan, found.path)
        old = folder.there.get(found.name)
        before = None
        if old is not None and old.type == stat.S_IFDIR:
            ino = old.ino
            before = self._tree.getattr(ino)
        else:
            if old is not None:
                yield from self._remove(folder.ino, old)
            made = yield from call(self._tree.mkdir, ROOT, folder.ino, found.name, 0o700)
            ino = made.inode.ino
        return (yield from self._open_folder(found.path, ino, found.st, before, entries))

    def _close_folder(self, folder: _Folder) -> Steps[None]:
        """Set the attributes, last, as work in the directory moved its times."""
        st, before = folder.local, folder.before
        changed = before is None or differs(before, st)
        if changed or differs(self._tree.getattr(folder.ino), st):
            yield from self._set_attributes(folder.ino, st)
        try:
            xattrs = yield from beside(xattrs_of, folder.path)
            changed |= yield from self._set_xattrs(xattrs, folder.path, folder.ino, before is None)
        except OSError as error:
            self.report.trouble(folder.path, reason(error))
        self._count(before, changed)
        self._advance(units(0))

    def _remove(self, parent: int, entry: DirEntry) -> Steps[None]:
        """Remove an entry and all below it."""
        if entry.type != stat.S_IFDIR:
            yield from call(self._tree.unlink, ROOT, parent, entry.name)
            self.report.removed += 1
            return
        stack = [(parent, entry, self._tree.entries(entry.ino))]
        while stack:
            parent, entry, inner = stack[-1]
            for child in inner:
                if child.type == stat.S_IFDIR:
                    stack.append((entry.ino, child, self._tree.entries(child.ino)))
                    break
                yield from call(self._tree.unlink, ROOT, entry.ino, child.name)
                self.report.removed += 1
                yield 0
            else:
                yield from call(self._tree.rmdir, ROOT, parent, entry.name)
                self.report.removed += 1
                stack.pop()

    # --- everything else ----------------------------------------------------------------------

    def _import_entry(self, folder: _Folder, found: Found) -> Steps[None]:
        st = found.st
        old = folder.there.get(found.name)
        if st.st_nlink > 1:
            first = self._links.get((st.st_dev, st.st_ino))
            if first is not None:
                yield from self._link(folder, found.name, old, first)
                return
        before = yield from self._reusable(old, st)
        if stat.S_ISREG(st.st_mode):
            ino, changed, before = yield from self._import_file(folder, found, old, before)
        else:
            ino, changed, before = yield from self._import_special(folder, found, old, before)
        changed |= yield from self._set_xattrs(found.xattrs, found.path, ino, before is None)
        if st.st_nlink > 1:
            self._links[st.st_dev, st.st_ino] = ino
        self._count(before, changed)

    def _link(self, folder: _Folder, name: bytes, old: DirEntry | None, ino: int) -> Steps[None]:
        if old is not None:
            if old.ino == ino:
                self.report.unchanged += 1
                return
            yield from self._remove(folder.ino, old)
        yield from call(self._tree.link, ROOT, ino, folder.ino, name)
        self.report.added += 1

    def _reusable(self, old: DirEntry | None, st: os.stat_result) -> Steps[Inode | None]:
        """The inode that the tree has under this name, if this local file may be kept in it."""
        if old is None or old.type != stat.S_IFMT(st.st_mode):
            return None
        inode = self._tree.getattr(old.ino)
        if inode.nlink > 1:
            mine = (st.st_dev, st.st_ino)
            if self._claimed.setdefault(inode.ino, mine) != mine:
                return None
            if differs(inode, st) and not (yield from self._is_all_mine(inode.ino, mine)):
                return None
        return inode

    def _is_all_mine(self, ino: int, mine: LocalId) -> Steps[bool]:
        """Whether each name of the inode is one of the local file `mine`, or about to go."""
        prefix = self._target.rstrip(b"/") + b"/"
        for path in self._tree.paths_of(ino):
            if not path.startswith(prefix):
                return False
            try:
                local = os.path.join(self._source, path[len(prefix) :])
                st = yield from beside(os.lstat, local)
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
        found: Found,
        old: DirEntry | None,
        before: Inode | None,
    ) -> Steps[tuple[int, bool, Inode | None]]:
        """Returns the inode number, whether anything changed, and the inode before, if reused."""
        if before is not None and self._is_trusted(before, found.st):
            self._advance(found.st.st_size)
            return before.ino, (yield from self._update(before, found.st)), before
        if found.content is not None:
            return (yield from self._copy_file(folder, found.name, found.content, old, before))
        content = yield from Large.open(found)
        try:
            done = yield from self._copy_file(folder, found.name, content, old, before)
        except BaseException:
            content.drop()
            raise
        yield from content.close()
        return done

    def _copy_file(
        self,
        folder: _Folder,
        name: bytes,
        content: Content,
        old: DirEntry | None,
        before: Inode | None,
    ) -> Steps[tuple[int, bool, Inode | None]]:
        tree, st = self._tree, content.st
        if before is not None and before.size == st.st_size and self._rules.checksum:
            if (yield from same_content(tree, before.ino, content)):
                self._advance(st.st_size)
                return before.ino, (yield from self._update(before, st)), before
            mine = (st.st_dev, st.st_ino)
            if before.nlink > 1 and not (yield from self._is_all_mine(before.ino, mine)):
                before = None
        if before is not None:
            inode = before
        else:
            if old is not None:
                yield from self._remove(folder.ino, old)
            inode = (yield from call(tree.create, ROOT, folder.ino, name, 0o600)).inode
        try:
            self.report.content_bytes += yield from copy_in(tree, content, inode, self._advance)
            if not (yield from content.is_unchanged()):
                raise Vanished
        except (OSError, Vanished):
            if before is None:
                yield from call(tree.unlink, ROOT, folder.ino, name)
            raise
        yield from self._set_attributes(inode.ino, st)
        return inode.ino, True, before

    def _import_special(
        self,
        folder: _Folder,
        found: Found,
        old: DirEntry | None,
        before: Inode | None,
    ) -> Steps[tuple[int, bool, Inode | None]]:
        """A symlink, pipe, socket or device: kept if equal, else made anew."""
        tree, st, target = self._tree, found.st, found.target
        if stat.S_ISLNK(st.st_mode):
            same = before is not None and tree.readlink(ROOT, before.ino) == target
        else:
            device = (os.major(st.st_rdev), os.minor(st.st_rdev))
            same = before is not None and (before.rdev_major, before.rdev_minor) == device
        if same and before is not None:
            return before.ino, (yield from self._update(before, st)), before
        if old is not None:
            yield from self._remove(folder.ino, old)
        if target:
            made = yield from call(tree.symlink, ROOT, folder.ino, found.name, target)
        else:
            made = yield from call(tree.mknod, ROOT, folder.ino, found.name, st.st_mode, *device)
        yield from self._set_attributes(made.inode.ino, st)
        return made.inode.ino, True, None

    # --- outcome ------------------------------------------------------------------------------

    def _update(self, before: Inode, st: os.stat_result) -> Steps[bool]:
        """Bring the attributes of an inode whose content is right up to date, if they are not."""
        changed = differs(before, st)
        if changed:
            yield from self._set_attributes(before.ino, st)
        return changed

    def _set_attributes(self, ino: int, st: os.stat_result) -> Steps[None]:
        yield from call(self._tree.setattr, ROOT, ino, attributes_of(st))

    def _set_xattrs(
        self, found: dict[bytes, bytes], path: bytes, ino: int, is_new: bool
    ) -> Steps[bool]:
        return xattrs_in(found, path, self._tree, ino, is_new, self.report)

    def _count(self, before: Inode | None, changed: bool) -> None:
        if before is None:
            self.report.added += 1
        elif changed:
            self.report.changed += 1
        else:
            self.report.unchanged += 1
