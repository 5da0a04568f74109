"""What a client was let into: a tree, from one directory on, under the rule of an export.

The realm is the gateway's: it knows branches, snapshots and the export rules. The programs ask it
once for each client and volume, and again whenever its version has changed.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from nfs.export import Rule, Shown
from nfs.handle import Handles, Volume
from nfs.peer import Peer
from store.snapdir import SnapshotDirectory
from store.tree import Tree
from store.types import Caller

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
        self._callers: dict[Caller | None, Caller] = {}

    @property
    def lists_snapshots(self) -> bool:
        """Whether a listing of the root shows `.snapshots`."""
        return self.snapshots is not None and self.rule.snapshots is Shown.LISTED

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
