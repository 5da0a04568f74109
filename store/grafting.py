"""A tree whose names and contents are set as they are to be, one by one, by who knows the whole.

Between two calls an inode may have no name, and a directory be within itself: the caller puts in
order what it took apart, and nobody else sees the tree meanwhile. What directories count, where
inodes say that they are, and usage are right all the time.
"""

from __future__ import annotations

from collections.abc import Iterable

from store import keys
from store.errors import Damaged
from store.names import with_entries
from store.threeway import Name, is_directory, is_regular
from store.tree import Tree
from store.types import Inode


class Graft(Tree):
    """See the module; made by `Scratch.tree_over`."""

    def detach(self, ino: int, name: Name) -> None:
        """Take a name from an inode."""
        now, inode = self._ground.now(), self.getattr(ino)
        slot = self._entry(*name).slot
        self._remove_entry(*name, slot)
        if is_directory(inode):
            inode = inode._replace(parent=0, slot=0)
        else:
            inode = self._without_name(inode, name.directory, slot)
        self._put(inode._replace(ctime_ns=now))
        above = self.getattr(name.directory)
        self._put(with_entries(above, -1, -is_directory(inode), now))

    def attach(self, ino: int, name: Name) -> None:
        """Give an inode a name that is free. Raises NoSpace where its hash has no slot left."""
        now, inode = self._ground.now(), self.getattr(ino)
        spot = self._spot(*name)
        self._add_entry(*name, spot, ino, inode.type)
        if is_directory(inode):
            inode = inode._replace(parent=name.directory, slot=spot.slot)
        else:
            inode = self._with_name(inode, name.directory, spot.slot)
        self._put(inode._replace(ctime_ns=now))
        above = self.getattr(name.directory)
        self._put(with_entries(above, 1, is_directory(inode), now))

    def plant(
        self,
        inode: Inode,
        rows: Iterable[tuple[int, bytes, bytes]],
        extents: Iterable[tuple[int, bytes | None]],
    ) -> None:
        """Put an inode of another tree here, with its rows (kind, rest, value) and blocks, without
        names and entries."""
        ino = inode.ino
        old = self.find(ino)
        if old is not None:
            self._uproot(old)
        nameless = inode._replace(parent=0, slot=0, nlink=0)
        if is_directory(inode):
            nameless = nameless._replace(nlink=2, size=0)
        self._put(nameless)
        self._inode_count += 1
        self._used_bytes += inode.used
        for kind, rest, value in rows:
            self._mem.put_row(keys.prefix(ino, kind), rest, value)
        self._put_extents(ino, extents)

    def _uproot(self, orphan: Inode) -> None:
        """Make room for an inode that is still held open here, without a name."""
        ino = orphan.ino
        if orphan.nlink:
            raise Damaged(f"inode {ino} is here already")
        self._mem.put_row(keys.ORPHANS, keys.pack_u64(ino), None)
        for kind in (keys.SYMLINK, keys.XATTR):
            prefix = keys.prefix(ino, kind)
            for rest, _ in list(self._chain.rows(prefix)):
                self._mem.put_row(prefix, rest, None)
        if is_regular(orphan):
            self._mem.put_trim(ino, 0, self._pages_per_block)
        self._inode_count -= 1
        self._used_bytes -= orphan.used

    def _put_extents(self, ino: int, extents: Iterable[tuple[int, bytes | None]]) -> None:
        for block, value in extents:
            self._mem.put_extent(ino, block, value)

    def become(
        self,
        wanted: Inode,
        xattrs: dict[bytes, bytes | None],
        extents: dict[int, bytes | None] | None,
    ) -> None:
        """Give an inode other attributes, and other blocks where there are some."""
        inode = self.getattr(wanted.ino)
        prefix = keys.prefix(inode.ino, keys.XATTR)
        for name, value in xattrs.items():
            self._mem.put_row(prefix, name, value)
        if extents is not None:
            self._used_bytes += wanted.used - inode.used
            inode = inode._replace(size=wanted.size, used=wanted.used)
            self._put_extents(inode.ino, extents.items())
        self._put(
            inode._replace(
                mode=wanted.mode,
                uid=wanted.uid,
                gid=wanted.gid,
                atime_ns=wanted.atime_ns,
                mtime_ns=wanted.mtime_ns,
                ctime_ns=self._ground.now(),
            )
        )

    def settle_times(self, was: Inode) -> None:
        """Give an inode that was planted the times that it had."""
        inode = self.getattr(was.ino)
        self._put(inode._replace(mtime_ns=was.mtime_ns, ctime_ns=was.ctime_ns))

    def discard(self, ino: int) -> None:
        """Delete an inode that lost its last name. Raises Damaged where it is not empty."""
        inode = self.getattr(ino)
        names = inode.parent if is_directory(inode) else inode.nlink
        if names or (is_directory(inode) and inode.size):
            raise Damaged(f"inode {ino} was to go, and is in use")
        self._forget(inode)
