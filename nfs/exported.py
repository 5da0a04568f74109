"""What a client was let into: a tree, from one directory on, under the rule of an export.

The realm is the gateway's: it knows branches, snapshots and the export rules. The programs ask it
once for each client and volume, and again whenever its version has changed.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from nfs.export import Rule
from nfs.handle import Handles, Volume
from nfs.peer import Peer
from nfs.shown import ShownInodes
from store.errors import Stale
from store.tree import Tree
from store.types import Caller, DirEntry, Inode
from store.virtual import NUMBERS_FROM, VirtualTree

# Callers kept for each export of a client: a VM has some dozens of users.
_CALLERS_MAX = 1024


class Exported:
    """A volume as one client may use it."""

    __slots__ = (
        "tree",
        "rule",
        "volume",
        "prefix",
        "fsid",
        "root",
        "branch",
        "virtual",
        "outer",
        "shown",
        "_callers",
    )

    def __init__(
        self,
        tree: Tree | VirtualTree,
        rule: Rule,
        volume: Volume,
        prefix: bytes,
        fsid: int,
        branch: str,
    ) -> None:
        """`branch` is the branch's name, `prefix` what all of the volume's handles start with."""
        self.tree, self.rule, self.volume = tree, rule, volume
        self.prefix, self.fsid, self.branch = prefix, fsid, branch
        # The inode that `..` does not lead out of.
        self.root = volume.root
        # The virtual directories that this shows in its root, by their names.
        self.virtual: dict[bytes, Exported] = {}
        # Of such a directory: the export that it lies in the root of.
        self.outer: Exported | None = None
        # What was shown of the tree's inodes, once the door has let a client in.
        self.shown: ShownInodes | None = None
        self._callers: dict[Caller | None, Caller] = {}

    def show(self, inside: Exported) -> None:
        """Have a virtual directory in the root."""
        tree = inside.tree
        assert isinstance(tree, VirtualTree)
        self.virtual[tree.name] = inside
        inside.root, inside.outer = tree.root, self

    @property
    def listed(self) -> list[DirEntry]:
        """The virtual directories that a listing of the root shows."""
        trees = [inside.tree for inside in self.virtual.values()]
        return [tree.entry for tree in trees if isinstance(tree, VirtualTree) and tree.listed]

    def hides(self, directory: int, name: bytes) -> bool:
        """Whether a name in a directory is that of a virtual one, whatever the tree has there."""
        return name in self.virtual and directory == self.root

    def holding(self, number: int) -> Exported:
        """The virtual directory that an inode number is of. Raises Stale where there is none."""
        for inside in self.virtual.values():
            tree = inside.tree
            if isinstance(tree, VirtualTree) and number in tree.numbers:
                return inside
        raise Stale("this is not shown here")

    def above(self, directory: int) -> int:
        """The number of the directory that `..` of one leads to, never out of what is exported.

        The exported directory, and what was moved out of it meanwhile, is above itself. Raises
        Stale.
        """
        if directory == self.root:
            return directory if self.outer is None else self.outer.root
        tree = self.tree
        found = above = tree.getattr(directory).parent
        if self.root != tree.root:
            while above != self.root:
                if above == tree.root:
                    return directory
                above = tree.getattr(above).parent
        return found

    def inode(self, number: int) -> Inode:
        """An inode of the tree, or of the virtual directories in it. Raises Stale."""
        if self.outer is not None:
            inside = number >= NUMBERS_FROM
            return self.tree.getattr(number) if inside else self.outer.inode(number)
        if number >= NUMBERS_FROM:
            return self.holding(number).tree.getattr(number)
        return self.tree.getattr(number)

    def has_replaced(self, number: int) -> bool:
        """Whether a file of a virtual directory has lost its name to another one."""
        tree = self.tree
        return isinstance(tree, VirtualTree) and tree.replaced(number)

    def caller(self, credential: Caller | None) -> Caller:
        """Who a credential stands for here, squashed as the rule says."""
        found = self._callers.get(credential)
        if found is None:
            if credential is None:
                found = Caller(self.rule.anonuid, self.rule.anongid)
            else:
                found = self.rule.caller(credential)
            if len(self._callers) >= _CALLERS_MAX:
                self._callers.clear()
            self._callers[credential] = found
        return found


class Listed(NamedTuple):
    """An exported path, and the clients that it is exported to."""

    path: bytes
    clients: list[bytes]


class Realm(Protocol):
    """All that is exported, as the gateway knows it."""

    handles: Handles

    @property
    def version(self) -> int:
        """Changes whenever what was answered may not hold any more."""

    def admits(self, peer: Peer) -> bool:
        """Whether a client may mount anything at all. Who may not is told nothing of what there
        is: MOUNT refuses every path alike."""

    def exported(self, volume: Volume, peer: Peer) -> Exported:
        """A volume for a client. Raises Stale where it does not exist (any more), AccessDenied
        where the client is not let into it."""

    def resolve(self, path: bytes, peer: Peer) -> tuple[Exported, int]:
        """What a mount of `/BRANCH[@SNAPSHOT][/sub/dir]` gives: the volume, and the inode of its
        root. Raises NotFound, NotDirectory, NameTooLong, AccessDenied."""

    def listed(self) -> list[Listed]:
        """What is exported, for everyone to see."""
