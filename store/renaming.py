"""rename(2) with NOREPLACE and EXCHANGE, all checks before the first change."""

from __future__ import annotations

import stat

from store import access, keys
from store.errors import (
    Exists,
    InvalidArgument,
    IsDirectory,
    NotDirectory,
    NotEmpty,
    NotFound,
)
from store.names import Names, check_not_dots, with_entries
from store.treebase import ABSENT, Entry
from store.types import W_OK, X_OK, Caller, Change, Inode, Renamed, RenameHow


class Renaming(Names):
    """The rename operation of a tree."""

    def rename(
        self,
        who: Caller,
        parent: int,
        name: bytes,
        new_parent: int,
        new_name: bytes,
        how: RenameHow = RenameHow.REPLACE,
    ) -> Renamed:
        """Move a name; what the new name led to is replaced, refused or exchanged.

        Two names of one inode are left as they are (POSIX). Raises NotFound, Exists (NOREPLACE),
        InvalidArgument (`.`, `..`, a directory into itself), NotDirectory, IsDirectory, NotEmpty,
        AccessDenied, NotPermitted (sticky), InvalidName, NameTooLong, NoSpace, Busy, ReadOnly.
        """
        source = self._directory(who, parent, X_OK)
        target = self._directory(who, new_parent, X_OK)
        check_not_dots(name, new_name)
        self._check_name(name)
        self._check_name(new_name)
        entry = self._entry(parent, name)
        if entry is ABSENT:
            raise NotFound(f"no {name!r} in directory {parent}")
        other = self._entry(new_parent, new_name)
        if how is RenameHow.NOREPLACE and other is not ABSENT:
            raise Exists(f"{new_name!r} is taken in directory {new_parent}")
        if how is RenameHow.EXCHANGE and other is ABSENT:
            raise NotFound(f"no {new_name!r} in directory {new_parent}")
        self._check_loops(entry, parent, other, new_parent, how)
        inode = self.getattr(entry.ino)
        replaced = None if other is ABSENT else self.getattr(other.ino)
        if entry.ino == other.ino:
            same = Change(source, source), Change(target, target)
            return Renamed(*same, inode, None)
        self._writable()
        self._may_move(who, source, inode, source.ino != target.ino)
        self._may_take(who, target, inode, replaced, source.ino != target.ino, how)
        if how is RenameHow.EXCHANGE and replaced is not None:
            self._guard()
            return self._exchange(source, name, entry, target, new_name, other, inode, replaced)
        if replaced is None:
            self._spot(new_parent, new_name)  # raises while nothing has changed
        self._guard()
        return self._move(source, name, entry, target, new_name, other, inode, replaced)

    def _check_loops(
        self, entry: Entry, parent: int, other: Entry, new_parent: int, how: RenameHow
    ) -> None:
        if parent == new_parent:
            return
        if entry.type == stat.S_IFDIR and self._is_above(entry.ino, new_parent):
            raise InvalidArgument("a directory cannot move into itself")
        if other.type == stat.S_IFDIR and self._is_above(other.ino, parent):
            if how is RenameHow.EXCHANGE:
                raise InvalidArgument("a directory cannot move into itself")
            raise NotEmpty("the target directory holds the source")

    def _is_above(self, ino: int, below: int) -> bool:
        """Whether directory `ino` is `below` or one of its ancestors."""
        while below and below != ino:
            if below == self.root:
                return False
            below = self.getattr(below).parent
        return below == ino

    def _may_move(self, who: Caller, directory: Inode, inode: Inode, far: bool) -> None:
        access.require(directory, who, W_OK | X_OK)
        access.require_unsticky(directory, inode, who)
        if far and stat.S_ISDIR(inode.mode):
            access.require(inode, who, W_OK)  # its `..` changes

    def _may_take(
        self,
        who: Caller,
        directory: Inode,
        inode: Inode,
        replaced: Inode | None,
        far: bool,
        how: RenameHow,
    ) -> None:
        if replaced is None:
            access.require(directory, who, W_OK | X_OK)
            if directory.nlink == 0:
                raise NotFound(f"directory {directory.ino} is removed")
            return
        self._may_move(who, directory, replaced, far and how is RenameHow.EXCHANGE)
        if how is RenameHow.EXCHANGE:
            return
        if stat.S_ISDIR(inode.mode):
            if not stat.S_ISDIR(replaced.mode):
                raise NotDirectory("a directory can replace only a directory")
            if replaced.size:
                raise NotEmpty(f"the target directory has {replaced.size} entries")
        elif stat.S_ISDIR(replaced.mode):
            raise IsDirectory("only a directory can replace a directory")

    def _move(
        self,
        source: Inode,
        name: bytes,
        entry: Entry,
        target: Inode,
        new_name: bytes,
        other: Entry,
        inode: Inode,
        replaced: Inode | None,
    ) -> Renamed:
        now = self._ground.now()
        is_dir = stat.S_ISDIR(inode.mode)
        gone = None
        if replaced is not None:
            self._remove_entry(target.ino, new_name, other.slot)
            if stat.S_ISDIR(replaced.mode):
                stripped = replaced._replace(nlink=0, parent=0, slot=0)
            else:
                stripped = self._without_name(replaced, target.ino, other.slot)
            gone = self._drop(stripped, now)
        self._remove_entry(source.ino, name, entry.slot)
        spot = self._spot(target.ino, new_name)
        self._add_entry(target.ino, new_name, spot, inode.ino, inode.type)
        moved = self._renamed(inode, (source.ino, entry.slot), (target.ino, spot.slot), now)
        taken = 0 if replaced is None else 1
        dirs_taken = is_dir if replaced is not None else 0
        if source.ino == target.ino:
            after = self._put(with_entries(source, -taken, -dirs_taken, now))
            return Renamed(Change(source, after), Change(target, after), moved, gone)
        left = self._put(with_entries(source, -1, -is_dir, now))
        came = self._put(with_entries(target, 1 - taken, is_dir - dirs_taken, now))
        return Renamed(Change(source, left), Change(target, came), moved, gone)

    def _exchange(
        self,
        source: Inode,
        name: bytes,
        entry: Entry,
        target: Inode,
        new_name: bytes,
        other: Entry,
        inode: Inode,
        replaced: Inode,
    ) -> Renamed:
        now = self._ground.now()
        here, there = (source.ino, entry.slot), (target.ino, other.slot)
        self._set_entry(source.ino, name, entry.slot, replaced.ino, replaced.type)
        self._set_entry(target.ino, new_name, other.slot, inode.ino, inode.type)
        moved = self._renamed(inode, here, there, now)
        swapped = self._renamed(replaced, there, here, now)
        shift = stat.S_ISDIR(inode.mode) - stat.S_ISDIR(replaced.mode)
        if source.ino == target.ino:
            after = self._put(with_entries(source, 0, 0, now))
            return Renamed(Change(source, after), Change(target, after), moved, swapped)
        left = self._put(with_entries(source, 0, -shift, now))
        came = self._put(with_entries(target, 0, shift, now))
        return Renamed(Change(source, left), Change(target, came), moved, swapped)

    def _renamed(self, inode: Inode, old: tuple[int, int], new: tuple[int, int], now: int) -> Inode:
        """Store the inode with one of its names moved from one (directory, slot) to another."""
        if inode.parent:
            return self._put(inode._replace(parent=new[0], slot=new[1], ctime_ns=now))
        prefix = keys.prefix(inode.ino, keys.LINK)
        self._mem.put_row(prefix, keys.pack_two_u64(*old), None)
        self._mem.put_row(prefix, keys.pack_two_u64(*new), keys.PRESENT)
        return self._put(inode._replace(ctime_ns=now))
