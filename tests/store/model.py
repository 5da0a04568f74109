"""A plain model of one tree: what every operation must do and answer.

`Model` has the operations of a tree under the same names and with the same results, so that one
step can be run on both and the answers compared. Three things it cannot know and takes from the
store's answer before its own step: the time and a new inode's number (`begin`), and directory
cookies, which it leaves 0.
"""

from __future__ import annotations

import stat
from collections import Counter

from store import errors
from store.types import (
    FILE_BYTES_MAX,
    R_OK,
    W_OK,
    X_OK,
    XATTR_NAME_BYTES_MAX,
    XATTR_VALUE_BYTES_MAX,
    Caller,
    Change,
    CreateHow,
    Inode,
    Made,
    SetAttr,
    SetTime,
    XattrHow,
)
from tests.store.model_names import Names
from tests.store.model_nodes import Node, check_name, in_group


class Model(Names):
    """One whole tree."""

    def adopt_root(self, root: Inode) -> None:
        """Start as an empty directory with the attributes that a new branch's root has."""
        times = (root.atime_ns, root.mtime_ns, root.ctime_ns, root.btime_ns)
        self.root = root.ino
        self.nodes[root.ino] = Node(root.ino, root.mode, root.uid, root.gid, *times)
        self.last = root.ctime_ns

    def copy(self) -> Model:
        """A deep copy, holds and all."""
        twin = Model(self.block_bytes, self.root)
        twin.nodes = {ino: node.copy() for ino, node in self.nodes.items()}
        twin.holds = Counter(self.holds)
        twin.gone = list(self.gone)
        twin.last, twin.quota = self.last, self.quota
        return twin

    def reap_all(self) -> Model:
        """Let go of every inode that has no name and no holder."""
        for node in list(self.nodes.values()):
            self.reap(node)
        return self

    def restarted(self) -> Model:
        """A copy as a restart finds it: nothing is held, so what has no name is no more."""
        twin = self.copy()
        twin.holds.clear()
        return twin.reap_all()

    def create(
        self,
        who: Caller,
        parent: int,
        name: bytes,
        mode: int,
        *,
        how: CreateHow = CreateHow.GUARDED,
        verifier: int = 0,
        size: int | None = None,
    ) -> Made:
        here = self.directory(who, parent, X_OK)
        self.check_size(size or 0)
        check_name(name)
        if how is CreateHow.GUARDED or name not in here.entries:
            verifier = verifier if how is CreateHow.EXCLUSIVE else 0
            mode |= stat.S_IFREG
            return self.make(who, parent, name, mode, verifier=verifier, size=size or 0)
        node = self.nodes[here.entries[name]]
        same = Change(self.attr(here), self.attr(here))
        if how is CreateHow.EXCLUSIVE:
            if not stat.S_ISREG(node.mode) or node.verifier != verifier:
                raise errors.Exists
        elif node.is_dir:
            raise errors.IsDirectory
        elif not stat.S_ISREG(node.mode):
            raise errors.Exists
        elif size is not None:
            self.require(who, node, W_OK)
            self.set_size(who, node, self.resized(node, size))
        return Made(self.attr(node), same, False)

    # --- changing one inode ---------------------------------------------------------------------

    def write(self, who: Caller | None, ino: int, offset: int, data: bytes) -> Change:
        node = self.regular(ino)
        if who and who.uid != node.uid:
            self.require(who, node, W_OK)
        self.check_size(offset + len(data))
        before = self.attr(node)
        if data:
            new = node.copy()
            new.size = max(node.size, offset + len(data))
            self.splice(new, offset, data)
            self.charge(node, new)
            self.set_size(who, node, new)
        return Change(before, self.attr(node))

    def charge(self, node: Node, new: Node) -> None:
        """Refuse new content that takes more bytes where the quota is passed."""
        more = self.used(new) - self.used(node)
        if more > 0 and 0 < self.quota.bytes_max < self.usage().used_bytes + more:
            raise errors.QuotaExceeded

    def set_size(self, who: Caller | None, node: Node, new: Node) -> None:
        """Take over size and data, as every change of data does."""
        node.size, node.blocks = new.size, new.blocks
        self.touch(node, data=True)
        if not who or who.uid:
            self.clear_set_id(who, node)

    def splice(self, node: Node, offset: int, data: bytes) -> None:
        while data:
            block, start = divmod(offset, self.block_bytes)
            piece = data[: self.block_bytes - start]
            old = node.blocks.get(block, bytes(self.block_bytes))
            node.blocks[block] = old[:start] + piece + old[start + len(piece) :]
            offset += len(piece)
            data = data[len(piece) :]

    def resized(self, node: Node, size: int) -> Node:
        """The file cut or grown: what a cut took away is zero when the file grows again."""
        self.check_size(size)
        new = node.copy()
        new.size = size
        for n in [n for n in new.blocks if n * self.block_bytes >= size]:
            del new.blocks[n]
        block, end = divmod(size, self.block_bytes)
        if block in new.blocks:
            new.blocks[block] = new.blocks[block][:end].ljust(self.block_bytes, b"\0")
        self.charge(node, new)
        return new

    def setattr(
        self, who: Caller, ino: int, change: SetAttr, *, guard_ctime_ns: int | None = None
    ) -> Change:
        node = self.node(ino)
        if guard_ctime_ns is not None and guard_ctime_ns != node.ctime:
            raise errors.NotSync
        self.check_setattr(who, node, change)
        sized = None if change.size is None else self.resized(node, change.size)
        before = self.attr(node)
        self.touch(node)
        if sized:
            self.set_size(who, node, sized)
        if (change.uid, change.gid) != (None, None):
            self.clear_set_id(who, node)
        node.uid = node.uid if change.uid is None else change.uid
        node.gid = node.gid if change.gid is None else change.gid
        if change.mode is not None:
            outsider = who.uid and not in_group(who, node.gid)
            node.mode = node.kind | change.mode & ~(stat.S_ISGID if outsider else 0)
        if change.atime_ns is not None:
            node.atime = self.now if isinstance(change.atime_ns, SetTime) else change.atime_ns
        if change.mtime_ns is not None:
            node.mtime = self.now if isinstance(change.mtime_ns, SetTime) else change.mtime_ns
        node.verifier = 0
        return Change(before, self.attr(node))

    def check_setattr(self, who: Caller, node: Node, change: SetAttr) -> None:
        owner = who.uid in (0, node.uid)
        if change.size is not None:
            self.regular(node.ino)
            if not owner:
                self.require(who, node, W_OK)
        if change.mode is not None and not owner:
            raise errors.NotPermitted
        own_uid = change.uid in (None, node.uid)
        own_gid = change.gid in (None, node.gid) or in_group(who, change.gid or 0)
        owned = (change.uid, change.gid) == (None, None) or (owner and own_uid and own_gid)
        if who.uid and not owned:
            raise errors.NotPermitted
        times = [time for time in (change.atime_ns, change.mtime_ns) if time is not None]
        if times == [SetTime.NOW] * 2:
            if not owner:
                self.require(who, node, W_OK)
        elif times and not owner:
            raise errors.NotPermitted

    @staticmethod
    def check_size(size: int) -> None:
        if size > FILE_BYTES_MAX:
            raise errors.FileTooBig

    # --- extended attributes --------------------------------------------------------------------

    def check_xattr(self, who: Caller, node: Node, name: bytes, mask: int) -> None:
        if len(name) > XATTR_NAME_BYTES_MAX:
            raise errors.NameTooLong
        if name.startswith(b"user."):
            if not (node.is_dir or stat.S_ISREG(node.mode)):
                raise errors.NotPermitted if mask == W_OK else errors.NoAttribute
            sticky = node.is_dir and node.mode & stat.S_ISVTX
            if mask == W_OK and sticky and who.uid not in (0, node.uid):
                raise errors.NotPermitted
            self.require(who, node, mask)
        elif not name.startswith(b"trusted."):
            raise errors.Unsupported
        elif who.uid:
            raise errors.NotPermitted if mask == W_OK else errors.NoAttribute

    def getxattr(self, who: Caller, ino: int, name: bytes) -> bytes:
        node = self.node(ino)
        self.check_xattr(who, node, name, R_OK)
        if name not in node.xattrs:
            raise errors.NoAttribute
        return node.xattrs[name]

    def listxattr(self, who: Caller, ino: int) -> list[bytes]:
        names = self.node(ino).xattrs
        return sorted(name for name in names if not who.uid or not name.startswith(b"trusted."))

    def setxattr(
        self, who: Caller, ino: int, name: bytes, value: bytes, how: XattrHow = XattrHow.SET
    ) -> Change:
        node = self.node(ino)
        self.check_xattr(who, node, name, W_OK)
        if len(value) > XATTR_VALUE_BYTES_MAX:
            raise errors.InvalidArgument
        if how is XattrHow.CREATE and name in node.xattrs:
            raise errors.Exists
        if how is XattrHow.REPLACE and name not in node.xattrs:
            raise errors.NoAttribute
        before = self.attr(node)
        node.xattrs[name] = value
        self.touch(node)
        return Change(before, self.attr(node))

    def removexattr(self, who: Caller, ino: int, name: bytes) -> Change:
        node = self.node(ino)
        self.check_xattr(who, node, name, W_OK)
        if name not in node.xattrs:
            raise errors.NoAttribute
        before = self.attr(node)
        del node.xattrs[name]
        self.touch(node)
        return Change(before, self.attr(node))
