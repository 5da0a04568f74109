"""What a client was let into: a tree, from one directory on, under the rule of an export.

The realm is the gateway's: it knows branches, snapshots and the export rules. The programs ask it
once for each client and volume, and again whenever its version has changed.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from nfs.export import Rule, Shown
from nfs.handle import Handles, Volume
from nfs.peer import Peer
from nfs.shown import ShownInodes
from store import snapdir
from store.snapdir import SnapshotDirectory
from store.tree import Tree
from store.types import Caller, Inode

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
        "snapshots",
        "outer",
        "shown",
        "_callers",
    )

    def __init__(
        self,
        tree: Tree | SnapshotDirectory,
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
        # The directory of the branch's snapshots, where this shows it.
        self.snapshots: Exported | None = None
        # Of that directory: the export that it lies in the root of.
        self.outer: Exported | None = None
        # What was shown of the tree's inodes, once the door has let a client in.
        self.shown: ShownInodes | None = None
        self._callers: dict[Caller | None, Caller] = {}

    @property
    def lists_snapshots(self) -> bool:
        """Whether a listing of the root shows `.snapshots`."""
        return self.snapshots is not None and self.rule.snapshots is Shown.LISTED

    def hides(self, directory: int, name: bytes) -> bool:
        """Whether a name in a directory is that of a virtual one, whatever the tree has there."""
        return name == snapdir.NAME and directory == self.root and self.snapshots is not None

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
        if number == snapdir.INO and self.snapshots is not None:
            return self.snapshots.inode(number)
        if self.outer is not None and number != snapdir.INO:
            return self.outer.inode(number)
        return self.tree.getattr(number)

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
