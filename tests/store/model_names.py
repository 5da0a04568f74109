"""The plain model's name space: making, linking, removing and renaming, with their times.

Every operation checks all first, so that a refused one has changed nothing. The time of a step and
a new inode's number cannot be known here: `begin` sets them from the store's own answer.
"""

from __future__ import annotations

import stat
from collections import Counter

from store import errors
from store.types import (
    SYMLINK_BYTES_MAX,
    W_OK,
    X_OK,
    Caller,
    Change,
    Made,
    Quota,
    Removed,
    Renamed,
    RenameHow,
)
from tests.store.model_nodes import TOP, Node, Nodes, Place, check_name, in_group


class Names(Nodes):
    """A tree whose names can change. `gone` lists inodes that were, `last` the latest time."""

    def __init__(self, block_bytes: int, root: int = TOP) -> None:
        super().__init__(block_bytes, root)
        self.holds: Counter[int] = Counter()
        self.gone: list[int] = []
        self.quota = Quota()
        self.fresh = self.now = self.last = 0
        self.ticked = False

    # --- times, names and lives -----------------------------------------------------------------

    def begin(self, now: int, fresh: int) -> None:
        """The next step happens at `now`; an inode that it makes gets the number `fresh`."""
        self.now, self.fresh, self.ticked = now, fresh, False

    def touch(self, *changed: Node, data: bool = False) -> None:
        """Move ctime (and mtime where data or entries changed) to the time of this step."""
        if not self.ticked:
            assert self.now > self.last, f"a tree's time went from {self.last} to {self.now}"
            self.last, self.ticked = self.now, True
        for node in changed:
            node.ctime = self.now
            if data:
                node.mtime = self.now

    def clear_set_id(self, who: Caller | None, node: Node) -> None:
        if not node.is_dir:
            stranger = who and who.uid and not in_group(who, node.gid)
            node.mode &= ~stat.S_ISUID
            if node.mode & stat.S_IXGRP or stranger:
                node.mode &= ~stat.S_ISGID

    def attach(self, here: Node, name: bytes, node: Node) -> None:
        here.entries[name] = node.ino
        node.names.add(Place(here.ino, name))
        self.touch(here, data=True)
        self.touch(node)

    def detach(self, here: Node, name: bytes) -> Node:
        node = self.nodes[here.entries.pop(name)]
        node.names.remove(Place(here.ino, name))
        self.touch(here, data=True)
        self.touch(node)
        return node

    def reap(self, node: Node) -> None:
        if self.is_orphan(node) and not self.holds[node.ino]:
            del self.nodes[node.ino]
            self.gone.append(node.ino)

    def hold(self, ino: int) -> None:
        self.node(ino)
        self.holds[ino] += 1

    def release(self, ino: int) -> None:
        self.holds[ino] -= 1
        if not self.holds[ino]:
            del self.holds[ino]
            if ino in self.nodes:
                self.reap(self.nodes[ino])

    # --- making ---------------------------------------------------------------------------------

    def add(
        self, who: Caller, parent: int, name: bytes, mode: int, **more: object
    ) -> tuple[Node, Change]:
        """Make an inode and give it a name, by the rules that hold for every type."""
        here = self.free_place(who, parent, name)
        if 0 < self.quota.inodes_max <= len(self.nodes):
            raise errors.QuotaExceeded
        gid = here.gid if here.mode & stat.S_ISGID else who.gid
        if here.mode & stat.S_ISGID:
            if stat.S_ISDIR(mode):
                mode |= stat.S_ISGID
            elif mode & stat.S_IXGRP and who.uid and not in_group(who, gid):
                mode &= ~stat.S_ISGID
        before = self.attr(here)
        node = Node(self.fresh, mode, who.uid, gid, *(self.now,) * 4)
        for key, value in more.items():
            setattr(node, key, value)
        self.nodes[node.ino] = node
        self.attach(here, name, node)
        return node, Change(before, self.attr(here))

    def free_place(self, who: Caller, parent: int, name: bytes, permitted: bool = True) -> Node:
        """The directory in which the caller may make that name."""
        here = self.directory(who, parent, X_OK)
        check_name(name)
        if name in here.entries:
            raise errors.Exists
        self.require(who, here, W_OK | X_OK)
        if not permitted:
            raise errors.NotPermitted
        if not self.nlink(here):
            raise errors.NotFound
        return here

    def make(self, *args: object, **more: object) -> Made:
        node, directory = self.add(*args, **more)  # type: ignore[arg-type]
        return Made(self.attr(node), directory)

    def mkdir(self, who: Caller, parent: int, name: bytes, mode: int) -> Made:
        return self.make(who, parent, name, mode | stat.S_IFDIR)

    def mknod(
        self, who: Caller, parent: int, name: bytes, mode: int, major: int = 0, minor: int = 0
    ) -> Made:
        device = stat.S_ISCHR(mode) or stat.S_ISBLK(mode)
        self.free_place(who, parent, name, permitted=not (device and who.uid))
        return self.make(who, parent, name, mode, rdev=(major, minor) if device else (0, 0))

    def symlink(self, who: Caller, parent: int, name: bytes, target: bytes) -> Made:
        if len(target) > SYMLINK_BYTES_MAX:
            raise errors.NameTooLong
        mode = stat.S_IFLNK | 0o777
        return self.make(who, parent, name, mode, target=target, size=len(target))

    def link(self, who: Caller, ino: int, parent: int, name: bytes) -> Made:
        node = self.node(ino)
        here = self.free_place(who, parent, name)
        if node.is_dir:
            raise errors.NotPermitted
        if not node.names:
            raise errors.NotFound
        before = self.attr(here)
        self.attach(here, name, node)
        return Made(self.attr(node), Change(before, self.attr(here)))

    # --- removing and renaming ------------------------------------------------------------------

    def removable(self, who: Caller, parent: int, name: bytes) -> tuple[Node, Node]:
        """The directory and the inode of a name that the caller may take away."""
        here = self.directory(who, parent, X_OK)
        node = self.entry(here, name)
        self.require(who, here, W_OK | X_OK)
        if here.mode & stat.S_ISVTX and who.uid not in (0, here.uid, node.uid):
            raise errors.NotPermitted
        return here, node

    def remove(self, here: Node, name: bytes) -> Removed:
        before = self.attr(here)
        node = self.detach(here, name)
        removed = Removed(self.attr(node), Change(before, self.attr(here)))
        self.reap(node)
        return removed

    def unlink(self, who: Caller, parent: int, name: bytes) -> Removed:
        here, node = self.removable(who, parent, name)
        if node.is_dir:
            raise errors.IsDirectory
        return self.remove(here, name)

    def rmdir(self, who: Caller, parent: int, name: bytes) -> Removed:
        if name in (b".", b".."):
            self.directory(who, parent, X_OK)
            raise errors.InvalidArgument if name == b"." else errors.NotEmpty
        here, node = self.removable(who, parent, name)
        if not node.is_dir:
            raise errors.NotDirectory
        if node.entries:
            raise errors.NotEmpty
        return self.remove(here, name)

    def rename(
        self,
        who: Caller,
        parent: int,
        name: bytes,
        new_parent: int,
        new_name: bytes,
        how: RenameHow = RenameHow.REPLACE,
    ) -> Renamed:
        if {name, new_name} & {b".", b".."}:
            self.directory(who, parent, X_OK)
            self.directory(who, new_parent, X_OK)
            raise errors.InvalidArgument
        old = self.directory(who, parent, X_OK)
        new = self.directory(who, new_parent, X_OK)
        for given in sorted((name, new_name), key=bool):  # an empty name is told of first
            check_name(given)
        node = self.entry(old, name)
        other = self.nodes[new.entries[new_name]] if new_name in new.entries else None
        exchange = how is RenameHow.EXCHANGE
        if exchange and other is None:
            raise errors.NotFound
        if how is RenameHow.NOREPLACE and other is not None:
            raise errors.Exists
        if self.is_within(new, node) or (exchange and self.is_within(old, other)):
            raise errors.InvalidArgument
        if not exchange and other is not node and self.is_within(old, other):
            raise errors.NotEmpty
        befores = self.attr(old), self.attr(new)
        if other is not node:
            self.check_rename(who, old, name, new, new_name, exchange)
            self.move(old, name, new, new_name, exchange)
        source, target = map(Change, befores, (self.attr(old), self.attr(new)))
        replaced = self.attr(other) if other and other is not node else None
        if other and not exchange and other is not node:
            self.reap(other)
        return Renamed(source, target, self.attr(node), replaced)

    def check_rename(
        self, who: Caller, old: Node, name: bytes, new: Node, new_name: bytes, exchange: bool
    ) -> None:
        _, node = self.removable(who, old.ino, name)
        if node.is_dir and old is not new:
            self.require(who, node, W_OK)  # its `..` changes
        if new_name not in new.entries:
            self.free_place(who, new.ino, new_name)
        else:
            _, other = self.removable(who, new.ino, new_name)
            if exchange and other.is_dir and old is not new:
                self.require(who, other, W_OK)
            if not exchange:
                self.check_replace(node, other)

    @staticmethod
    def check_replace(node: Node, other: Node) -> None:
        if node.is_dir and not other.is_dir:
            raise errors.NotDirectory
        if other.is_dir and not node.is_dir:
            raise errors.IsDirectory
        if other.entries:
            raise errors.NotEmpty

    def is_within(self, here: Node, top: Node | None) -> bool:
        """Whether directory `here` is `top` or lies below it."""
        while here is not top:
            up = self.parent_of(here)
            if up in (0, here.ino):
                return False
            here = self.nodes[up]
        return True

    def move(self, old: Node, name: bytes, new: Node, new_name: bytes, exchange: bool) -> None:
        node = self.detach(old, name)
        other = self.detach(new, new_name) if new_name in new.entries else None
        self.attach(new, new_name, node)
        if other and exchange:
            self.attach(old, name, other)
