"""`.git` with an annex laid over it: what is in the annex shows in place of what is made on demand.

Directories that every repository has are both; all else is in one or in the other. What is made on
demand can be neither written to nor removed: git replaces files, and a file of the same name in the
annex does that.
"""

from __future__ import annotations

import stat
from collections.abc import Callable
from typing import Any, NamedTuple

from gitdoor.annex import SEEN, Annex, inode_number, is_annexed
from gitdoor.checkout import Checkout
from gitdoor.dotgit import DIRECTORIES, DIRECTORY, FILE, GitDirectory, hashed
from gitdoor.names import joined
from gitdoor.shelf import Shelf
from store import access
from store.errors import BadCookie, Exists, NotFound, NotPermitted, ReadOnly
from store.types import (
    COOKIE_DOT,
    COOKIE_DOT_DOT,
    ROOT,
    W_OK,
    X_OK,
    Caller,
    Change,
    Data,
    DirEntry,
    Inode,
    Listing,
    Made,
    Removed,
    Renamed,
    RenameHow,
    SetAttr,
    XattrHow,
)
from store.virtual import Read
from store.watch import Watcher


class Place(NamedTuple):
    """A directory in which a name is to be changed: its number and path in the repository, its
    inode in the annex, if it is there yet, and what it is before the change."""

    number: int
    path: bytes
    ino: int | None
    before: Inode

    def named(self, name: bytes) -> bytes:
        """The path of a name in it."""
        return joined(self.path, name)


class OverlaidGitDirectory(GitDirectory):
    """See the module."""

    read_only = False

    def __init__(
        self, checkout: Checkout, shelf: Shelf, annex: Annex, listed: bool = False
    ) -> None:
        super().__init__(checkout, shelf, listed)
        self._annex, self._above = annex, annex.tree
        self._both: dict[int, tuple[Inode, Inode, Inode]] = {}

    def _shows(self, path: bytes, inode: Inode) -> bool:
        """Whether a file of the annex still counts; it is made to go if not."""
        return True

    # --- inodes -------------------------------------------------------------------------------

    def lasting(self, ino: int) -> bool:
        """As `VirtualTree.lasting`: what is in the annex changes any time."""
        return not is_annexed(ino) and super().lasting(ino)

    def lasting_attributes(self, ino: int) -> bool:
        """As `VirtualTree.lasting_attributes`."""
        return not is_annexed(ino)

    def hold(self, ino: int) -> None:
        """As `Tree.hold`."""
        if is_annexed(ino):
            self._above.hold(inode_number(ino))

    def release(self, ino: int) -> None:
        """As `Tree.release`."""
        if is_annexed(ino):
            self._above.release(inode_number(ino))

    def getattr(self, ino: int) -> Inode:
        """As `Tree.getattr`."""
        if is_annexed(ino):
            return self._annex.shown(self._above.getattr(inode_number(ino)))
        below = super().getattr(ino)
        if not DIRECTORY <= ino < FILE:
            return below
        upper = self._annex.directory(DIRECTORIES[ino])
        if upper is None:
            return below
        above, known = self._above.getattr(upper), self._both.get(ino)
        if known is None or known[0] is not below or known[1] is not above:
            time_ns = max(below.mtime_ns, above.mtime_ns)
            known = below, above, below._replace(mtime_ns=time_ns, ctime_ns=time_ns)
            self._both[ino] = known
        return known[2]

    def setattr(
        self, who: Caller, ino: int, attrs: SetAttr, *, guard_ctime_ns: int | None = None
    ) -> Change:
        """As `Tree.setattr`. Times of what is made on demand stay as they are: git sets those of
        objects that it finds, lest they be taken for garbage, and would write them again if it
        could not."""
        if is_annexed(ino):
            number = inode_number(ino)
            change = self._above.setattr(who, number, attrs, guard_ctime_ns=guard_ctime_ns)
            return self._both_shown(change)
        inode = self.getattr(ino)
        if attrs._replace(atime_ns=None, mtime_ns=None) != SetAttr():
            self._refuse()
        return Change(inode, inode)

    # --- names --------------------------------------------------------------------------------

    def lookup(self, who: Caller, parent: int, name: bytes) -> Inode:
        """As `Tree.lookup`."""
        if is_annexed(parent):
            found = self._above.lookup(who, inode_number(parent), name)
            return self.getattr(self._annex.number(found.ino))
        if name not in (b".", b".."):
            inode = self._annexed(self._path(parent), name)
            if inode is not None:
                return self.getattr(self._annex.number(inode.ino))
        return super().lookup(who, parent, name)

    def _annexed(self, path: bytes, name: bytes) -> Inode | None:
        """What the annex has for a name in one of the directories that are always there."""
        upper = self._annex.directory(path)
        found = None if upper is None else self._above.child(upper, name)
        if found is None or not self._shows(joined(path, name), found):
            return None
        return found

    def readdir(self, who: Caller, ino: int, cookie: int = 0, count: int = 1000) -> Listing:
        """As `Tree.readdir`."""
        if not 0 <= cookie < 2**63:
            raise BadCookie(f"cookie {cookie}")
        if is_annexed(ino):
            above = self._annex.number(self._above.getattr(inode_number(ino)).parent)
            entries = [
                DirEntry(b".", ino, stat.S_IFDIR, COOKIE_DOT),
                DirEntry(b"..", above, stat.S_IFDIR, COOKIE_DOT_DOT),
                *self._annex.entries(inode_number(ino)),
            ]
        else:
            path = self._path(ino)
            upper = self._annex.directory(path)
            found = [] if upper is None else self._annex.entries(upper)
            mine = {
                entry.name: entry
                for entry in found
                if entry.type == stat.S_IFDIR or self._annexed(path, entry.name) is not None
            }
            entries = [e for e in self._entries(who, ino, path) if e.name not in mine]
            entries += mine.values()
        entries.sort(key=lambda entry: entry.cookie)
        left = [entry for entry in entries if entry.cookie > cookie]
        return Listing(left[:count], len(left) <= count)

    # --- data ---------------------------------------------------------------------------------

    def readlink(self, who: Caller, ino: int) -> bytes:
        """As `Tree.readlink`."""
        return self._above.readlink(who, inode_number(ino)) if is_annexed(ino) else self._no_link()

    def begin_read(
        self,
        who: Caller | None,
        ino: int,
        offset: int,
        count: int,
        take: Callable[[int], memoryview] | None = None,
    ) -> Read:
        """As `Tree.begin_read`."""
        if is_annexed(ino):
            job = self._above.begin_read(who, inode_number(ino), offset, count, take)
            return _Read(job, self._annex)
        return super().begin_read(who, ino, offset, count, take)

    def write(self, who: Caller | None, ino: int, offset: int, data: Any) -> Change:
        """As `Tree.write`."""
        if not is_annexed(ino):
            self._refuse()
        return self._both_shown(self._above.write(who, inode_number(ino), offset, data))

    def seek_data(self, ino: int, offset: int) -> int | None:
        """As `Tree.seek_data`."""
        if is_annexed(ino):
            return self._above.seek_data(inode_number(ino), offset)
        return super().seek_data(ino, offset)

    def seek_hole(self, ino: int, offset: int) -> int | None:
        """As `Tree.seek_hole`."""
        if is_annexed(ino):
            return self._above.seek_hole(inode_number(ino), offset)
        return super().seek_hole(ino, offset)

    # --- extended attributes ------------------------------------------------------------------

    def getxattr(self, who: Caller, ino: int, name: bytes) -> bytes:
        """As `Tree.getxattr`."""
        if is_annexed(ino) and name != SEEN:
            return self._above.getxattr(who, inode_number(ino), name)
        return super().getxattr(who, ino, name)

    def listxattr(self, who: Caller, ino: int) -> list[bytes]:
        """As `Tree.listxattr`."""
        if not is_annexed(ino):
            return super().listxattr(who, ino)
        return [name for name in self._above.listxattr(who, inode_number(ino)) if name != SEEN]

    def setxattr(
        self, who: Caller, ino: int, name: bytes, value: bytes, how: XattrHow = XattrHow.SET
    ) -> Change:
        """As `Tree.setxattr`."""
        if not is_annexed(ino) or name == SEEN:
            self._refuse()
        return self._both_shown(self._above.setxattr(who, inode_number(ino), name, value, how))

    def removexattr(self, who: Caller, ino: int, name: bytes) -> Change:
        """As `Tree.removexattr`."""
        if not is_annexed(ino) or name == SEEN:
            self._refuse()
        return self._both_shown(self._above.removexattr(who, inode_number(ino), name))

    def _both_shown(self, change: Change) -> Change:
        return Change(self._annex.shown(change.before), self._annex.shown(change.after))

    # --- making and removing ------------------------------------------------------------------

    def _place(self, who: Caller, number: int) -> Place:
        """A directory that the caller is to change. Raises AccessDenied, Stale.

        Raises NotYet, too: once something has changed, nothing may have to be waited for.
        """
        self._state()
        if is_annexed(number):
            ino = inode_number(number)
            return Place(number, self._annex.path(ino), ino, self.getattr(number))
        path, before = self._path(number), self.getattr(number)
        access.require(before, who, W_OK | X_OK)
        return Place(number, path, self._annex.directory(path), before)

    def _there(self, place: Place) -> int:
        """The directory in the annex, made if need be."""
        return self._annex.made(place.path) if place.ino is None else place.ino

    def _changed(self, place: Place) -> Change:
        return Change(place.before, self.getattr(place.number))

    def _is_below(self, place: Place, name: bytes) -> bool:
        """Whether what is made on demand has a name."""
        if is_annexed(place.number):
            return False
        try:
            super().lookup(ROOT, place.number, name)
        except NotFound:
            return False
        return True

    def _make(
        self,
        make: Callable[..., Made],
        who: Caller,
        parent: int,
        name: bytes,
        *rest: Any,
        **how: Any,
    ) -> Made:
        place = self._place(who, parent)
        mine = None if place.ino is None else self._above.child(place.ino, name)
        if mine is None:
            if make != self._above.mkdir:
                self._check_new(place.named(name))
            if self._is_below(place, name):
                raise Exists(f"{place.named(name)!r} is made on demand")
        made = make(who, self._there(place), name, *rest, **how)
        if made.created:
            made = made._replace(inode=self._made(place.named(name), made.inode))
        return Made(self._annex.shown(made.inode), self._changed(place), made.created)

    def _check_new(self, path: bytes) -> None:
        """Raise NotPermitted for a path that no file can be made at."""

    def _made(self, path: bytes, inode: Inode) -> Inode:
        """Something was made; the inode as it then is."""
        return inode

    def create(self, who: Caller, parent: int, name: bytes, mode: int, **how: Any) -> Made:
        """As `Tree.create`."""
        return self._make(self._above.create, who, parent, name, mode, **how)

    def mkdir(self, who: Caller, parent: int, name: bytes, mode: int, **how: Any) -> Made:
        """As `Tree.mkdir`."""
        return self._make(self._above.mkdir, who, parent, name, mode, **how)

    def mknod(
        self, who: Caller, parent: int, name: bytes, mode: int, *numbers: int, **how: Any
    ) -> Made:
        """As `Tree.mknod`."""
        return self._make(self._above.mknod, who, parent, name, mode, *numbers, **how)

    def symlink(self, who: Caller, parent: int, name: bytes, target: bytes, **how: Any) -> Made:
        """As `Tree.symlink`."""
        return self._make(self._above.symlink, who, parent, name, target, **how)

    def link(self, who: Caller, ino: int, parent: int, name: bytes) -> Made:
        """As `Tree.link`."""
        if not is_annexed(ino):
            raise NotPermitted("what is made on demand has one name")

        def linked(who: Caller, directory: int, name: bytes) -> Made:
            return self._above.link(who, inode_number(ino), directory, name)

        return self._make(linked, who, parent, name)

    def _own(self, place: Place, name: bytes) -> Inode:
        """The annex's inode of a name that is to go. Raises ReadOnly, NotPermitted, NotFound."""
        found = None if place.ino is None else self._above.child(place.ino, name)
        if found is None:
            if self._is_below(place, name):
                raise ReadOnly(f"{place.named(name)!r} is made on demand")
            raise NotFound(f"no {place.named(name)!r} in the repository")
        if self._annex.is_fixed(found.ino):
            raise NotPermitted(f"every repository has {place.named(name)!r}")
        return found

    def _remove(
        self, remove: Callable[..., Removed], who: Caller, parent: int, name: bytes
    ) -> Removed:
        place = self._place(who, parent)
        self._own(place, name)
        removed = remove(who, place.ino, name)
        return Removed(self._annex.shown(removed.inode), self._changed(place))

    def unlink(self, who: Caller, parent: int, name: bytes) -> Removed:
        """As `Tree.unlink`."""
        return self._remove(self._above.unlink, who, parent, name)

    def rmdir(self, who: Caller, parent: int, name: bytes) -> Removed:
        """As `Tree.rmdir`."""
        return self._remove(self._above.rmdir, who, parent, name)

    def rename(
        self,
        who: Caller,
        parent: int,
        name: bytes,
        new_parent: int,
        new_name: bytes,
        how: RenameHow = RenameHow.REPLACE,
    ) -> Renamed:
        """As `Tree.rename`."""
        source, target = self._place(who, parent), self._place(who, new_parent)
        found = self._own(source, name)
        path = target.named(new_name)
        if hashed(DIRECTORY, path) in DIRECTORIES:
            raise Exists(f"every repository has {path!r}")
        if not stat.S_ISDIR(found.mode):
            self._check_new(path)
        if how is RenameHow.NOREPLACE and self._is_below(target, new_name):
            raise Exists(f"{path!r} is made on demand")
        directory = self._there(target)
        assert source.ino is not None
        moved = self._above.rename(who, source.ino, name, directory, new_name, how)
        self._moved(path, moved.inode)
        replaced = None if moved.replaced is None else self._annex.shown(moved.replaced)
        return Renamed(
            self._changed(source),
            self._changed(target),
            self._annex.shown(moved.inode),
            replaced,
        )

    def _moved(self, path: bytes, inode: Inode) -> None:
        """Something has a new name."""

    # --- watchers -----------------------------------------------------------------------------

    def watch_inodes(self, watcher: Watcher) -> Callable[[], None]:
        """As `VirtualTree.watch_inodes`."""
        inside = _Watched(self._annex, watcher)
        self._above.watch(inside)
        return lambda: self._above.unwatch(inside)


class _Read:
    """A read of a file in the annex."""

    def __init__(self, inner: Read, annex: Annex) -> None:
        self._inner, self._annex = inner, annex

    def run(self) -> None:
        """Get the bytes."""
        self._inner.run()

    def run_cached(self) -> bool:
        """Get the bytes if they are in memory."""
        return self._inner.run_cached()

    def finish(self) -> Data:
        """The bytes, with the inode as it is shown."""
        done = self._inner.finish()
        return done._replace(inode=self._annex.shown(done.inode))


class _Watched:
    """Tells a watcher of changes in an annex, by the numbers that are shown."""

    def __init__(self, annex: Annex, watcher: Watcher) -> None:
        self._annex, self._watcher = annex, watcher

    def inode_changed(self, ino: int) -> None:
        self._watcher.inode_changed(self._annex.number(ino))

    def data_changed(self, ino: int, start: int, stop: int) -> None:
        self._watcher.data_changed(self._annex.number(ino), start, stop)

    def entry_changed(self, directory: int, name: bytes) -> None:
        self._watcher.entry_changed(self._annex.number(directory), name)

    def tree_replaced(self, old: Any) -> None:
        """The branch was deleted, and all of it is stale."""
