"""What git has written into `.git` of a branch: the branch's annex, laid out as the repository.

The directories that every repository has are the virtual ones, with the annex's names in them as
well; below those, and for all files, an inode of the annex is shown under a number of its own.
"""

from __future__ import annotations

from gitdoor.checkout import CONFIG, DESCRIPTION, EXCLUDE
from gitdoor.dotgit import DIRECTORIES, DIRECTORY, SCRATCH, hashed
from store.errors import NoAttribute
from store.store import Store
from store.tree import Tree
from store.types import ROOT, DirEntry, Inode, SetAttr, XattrHow

# Who may write there is found out by the directory that is shown.
_OPEN_TO_ALL = 0o777
# Files that people edit in place, and that git leaves as they are.
_FURNITURE = {b"config": CONFIG, b"description": DESCRIPTION, b"info/exclude": EXCLUDE}
# What a ref, or the branch's newest commit, was when a lock was taken: 40 digits.
SEEN = b"user.fsgw.seen"
_INODES_MAX = 20_000


def is_annexed(number: int) -> bool:
    """Whether a number of a repository's inode is that of one in the annex."""
    return number >= SCRATCH


def inode_number(number: int) -> int:
    """The annex's own number of such an inode."""
    return number - SCRATCH


class Annex:
    """See the module. All who write to a branch's `.git` share it."""

    def __init__(self, store: Store, branch: int, owner: Inode) -> None:
        """`branch` is the branch's id, `owner` its root. Raises UnknownRef, NoSpace, Busy."""
        self.tree: Tree = store.annex(branch)
        self._inos: dict[bytes, int] = {b"": self.tree.root}
        self._numbers = {self.tree.root: hashed(DIRECTORY, b"")}
        self._shown: dict[int, tuple[Inode, Inode]] = {}
        for path in sorted(DIRECTORIES.values()):
            parent, _, name = path.rpartition(b"/")
            if path and parent in self._inos:
                found = self.tree.child(self._inos[parent], name)
                if found is not None:
                    self._know(path, found.ino)
        if self._numbers.keys() == {self.tree.root}:
            self._furnish(owner)

    def _know(self, path: bytes, ino: int) -> None:
        self._inos[path] = ino
        self._numbers[ino] = hashed(DIRECTORY, path)

    def _furnish(self, owner: Inode) -> None:
        self.tree.setattr(ROOT, self.tree.root, SetAttr(mode=_OPEN_TO_ALL))
        whose = SetAttr(uid=owner.uid, gid=owner.gid)
        for path, data in _FURNITURE.items():
            parent, _, name = path.rpartition(b"/")
            made = self.tree.create(ROOT, self.made(parent), name, 0o644, attrs=whose)
            self.tree.write(ROOT, made.inode.ino, 0, data)

    # --- directories --------------------------------------------------------------------------

    def directory(self, path: bytes) -> int | None:
        """The inode of one of the directories that are always there, None while it is empty."""
        return self._inos.get(path)

    def made(self, path: bytes) -> int:
        """The same, made if need be."""
        ino = self._inos.get(path)
        if ino is None:
            parent, _, name = path.rpartition(b"/")
            ino = self.tree.mkdir(ROOT, self.made(parent), name, _OPEN_TO_ALL).inode.ino
            self._know(path, ino)
        return ino

    def number(self, ino: int) -> int:
        """The number that an inode is shown under."""
        return self._numbers.get(ino) or SCRATCH + ino

    def is_fixed(self, ino: int) -> bool:
        """Whether an inode is one of the directories that are always there."""
        return ino in self._numbers

    def path(self, ino: int) -> bytes:
        """The path of a directory in the repository. Raises Stale."""
        return self.tree.path_of(ino)[1:]

    # --- inodes -------------------------------------------------------------------------------

    def shown(self, inode: Inode) -> Inode:
        """An inode as it is shown, the same object until it changes."""
        known = self._shown.get(inode.ino)
        if known is None or known[0] is not inode:
            parent = self.number(inode.parent) if inode.parent else 0
            known = inode, inode._replace(ino=SCRATCH + inode.ino, parent=parent, slot=0)
            if len(self._shown) >= _INODES_MAX:
                self._shown.clear()
            self._shown[inode.ino] = known
        return known[1]

    def entries(self, ino: int) -> list[DirEntry]:
        """All entries of a directory but `.` and `..`, as they are shown."""
        return [entry._replace(ino=self.number(entry.ino)) for entry in self.tree.entries(ino)]

    # --- what was seen ------------------------------------------------------------------------

    def mark(self, ino: int, seen: bytes) -> None:
        """Note with a file what there was when it was made."""
        self.tree.setxattr(ROOT, ino, SEEN, seen.hex().encode(), XattrHow.SET)

    def seen(self, ino: int) -> bytes | None:
        """What was noted with a file; None where nothing was."""
        try:
            return bytes.fromhex(self.tree.getxattr(ROOT, ino, SEEN).decode())
        except NoAttribute:
            return None
