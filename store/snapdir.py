"""The virtual directory of a branch's snapshots, as a tree that a door can show.

It holds one directory, whose entries are the branch's snapshots; what lies below an entry is
another tree, which the door opens by the snapshot's id. `mkdir` takes a snapshot and `rmdir`
deletes one. The directory's inode number is one that no store hands out.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, NoReturn

from store import access, keys
from store.errors import (
    BadCookie,
    Exists,
    InvalidArgument,
    InvalidRef,
    IsDirectory,
    NotFound,
    ReadOnly,
    RefExists,
    Stale,
    UnknownRef,
)
from store.types import (
    COOKIE_DOT,
    COOKIE_DOT_DOT,
    W_OK,
    Caller,
    Change,
    DirEntry,
    Inode,
    Listing,
    Made,
    Removed,
    SetAttr,
    SnapshotInfo,
    StatFs,
)
from store.virtual import NUMBERS_FROM, VirtualTree

if TYPE_CHECKING:
    from store.store import Store
    from store.tree import Tree

NAME = b".snapshots"
# The highest number below 2**53; replica numbers would have to be used up to reach it.
INO = NUMBERS_FROM
# In a listing of the branch's root it stands right behind `..`.
COOKIE = COOKIE_DOT_DOT + 1


class SnapshotDirectory(VirtualTree):
    """`.snapshots` of one branch."""

    name = NAME
    root = INO
    numbers = range(INO, INO + 1)
    cookie = COOKIE
    crossing = True

    def __init__(self, store: Store, branch: int, writable: bool, listed: bool = False) -> None:
        """`branch` is its id; `writable`: mkdir and rmdir are allowed."""
        self._store, self._branch = store, branch
        self.read_only, self.listed = not writable, listed

    @property
    def _tree(self) -> Tree:
        tree = self._store.ids.branch_tree(self._branch)
        if tree is None:
            raise Stale("the branch was deleted")
        return tree

    @property
    def _name(self) -> str:
        name = self._store.ids.branch_name(self._branch)
        if name is None:
            raise Stale("the branch was deleted")
        return name

    def _all(self) -> list[SnapshotInfo]:
        return self._store.snapshots(self._name)

    def getattr(self, ino: int) -> Inode:
        """The directory's inode. Raises Stale for any other."""
        if ino != INO:
            raise Stale(f"inode {ino} is not here")
        top = self._tree.getattr(self._tree.root)
        snapshots = self._all()
        count = len(snapshots)
        mode = stat.S_IFDIR | (0o555 if self.read_only else 0o755)
        known = (info.author.time_ns for info in snapshots)
        time = max(self._store.ids.changed_ns, top.btime_ns, *known)
        return Inode(
            INO,
            mode,
            2 + count,
            top.uid,
            top.gid,
            count,
            0,
            0,
            0,
            time,
            time,
            time,
            top.btime_ns,
            top.ino,
            0,
            0,
        )

    def access(self, who: Caller, ino: int, mask: int) -> int:
        """As `Tree.access`: it is writable for those who may write to the branch's root."""
        granted = access.granted(self.getattr(ino), who, mask)
        if not self._may_change(who):
            return granted & ~W_OK
        return granted | mask & W_OK

    def _may_change(self, who: Caller) -> bool:
        tree = self._tree
        return not self.read_only and tree.access(who, tree.root, W_OK) == W_OK

    def lookup(self, who: Caller, parent: int, name: bytes) -> Inode:
        """`.` and `..`; snapshots are found by `snapshot`. Raises NotFound, Stale."""
        if name == b".":
            return self.getattr(parent)
        if name == b"..":
            return self._tree.getattr(self._tree.root)
        raise NotFound(f"no snapshot {name!r}")

    def snapshot(self, name: bytes) -> SnapshotInfo | None:
        """The snapshot of a name."""
        wanted = name.decode("utf-8", "surrogateescape")
        return next((info for info in self._all() if info.name == wanted), None)

    def root_of(self, info: SnapshotInfo) -> int:
        """The number of the root inode of a snapshot."""
        return self._store.ids.snapshot_root(info.id)

    def readdir(self, who: Caller, ino: int, cookie: int = 0, count: int = 1000) -> Listing:
        """As `Tree.readdir`; a cookie is a hash of the name, so it stays right meanwhile."""
        if not 0 <= cookie < 2**63:
            raise BadCookie(f"cookie {cookie}")
        top = self._tree.root
        entries = [
            DirEntry(b".", INO, stat.S_IFDIR, COOKIE_DOT),
            DirEntry(b"..", top, stat.S_IFDIR, COOKIE_DOT_DOT),
        ]
        taken: set[int] = set()
        for info in sorted(self._all()):
            name = info.name.encode("utf-8", "surrogateescape")
            slot = keys.first_slot(name)
            while slot in taken:
                slot += 1
            taken.add(slot)
            root = self.root_of(info)
            entries.append(DirEntry(name, root, stat.S_IFDIR, slot))
        entries.sort(key=lambda entry: entry.cookie)
        left = [entry for entry in entries if entry.cookie > cookie]
        return Listing(left[:count], len(left) <= count)

    def mkdir(
        self, who: Caller, parent: int, name: bytes, mode: int, *, attrs: SetAttr | None = None
    ) -> Made:
        """Take a snapshot; the inode is that of its root. Raises Exists, ReadOnly,
        InvalidArgument for a name that no snapshot can have."""
        before = self.getattr(parent)
        self._check_change(who)
        try:
            self._store.snapshot(self._name, name.decode("utf-8", "surrogateescape"))
        except RefExists as error:
            raise Exists(str(error)) from None
        except InvalidRef as error:
            raise InvalidArgument(str(error)) from None
        tree = self._tree
        return Made(tree.getattr(tree.root), Change(before, self.getattr(parent)))

    def rmdir(self, who: Caller, parent: int, name: bytes) -> Removed:
        """Delete a snapshot. Raises NotFound, ReadOnly."""
        before = self.getattr(parent)
        self._check_change(who)
        try:
            self._store.delete_snapshot(self._name, name.decode("utf-8", "surrogateescape"))
        except UnknownRef:
            raise NotFound(f"no snapshot {name!r}") from None
        after = self.getattr(parent)
        return Removed(after, Change(before, after))

    def _check_change(self, who: Caller) -> None:
        if self.read_only:
            raise ReadOnly("snapshots are not taken or deleted here")
        access.require(self._tree.getattr(self._tree.root), who, W_OK)

    def statfs(self) -> StatFs:
        """The branch's."""
        return self._tree.statfs()

    def unlink(self, who: Caller, parent: int, name: bytes) -> NoReturn:
        """Raises NotFound, IsDirectory."""
        if name not in (b".", b"..") and self.snapshot(name) is None:
            raise NotFound(f"no snapshot {name!r}")
        raise IsDirectory(f"{name!r} is a snapshot")
