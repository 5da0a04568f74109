"""The nodes that the kernel knows: by which numbers, and how often it has looked each up.

A node of the main volume or of a virtual directory has its inode's number, except for the root,
which is always 1. Nodes of snapshots have numbers that no inode has. Every reply with an entry
counts as one lookup, and the kernel gives them back with FORGET. As long as it knows a node that
can be written to, the inode is held: so an open file lives on when its last name goes, whoever took
that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from fuse.protocol import ROOT_ID
from fuse.volumes import Volume
from store.errors import Stale
from store.virtual import NUMBERS_FROM

# The numbers of snapshots' nodes: one more with each, so that they stay below those of `.git`.
_OTHERS = NUMBERS_FROM + 1


class Nodes:
    """The nodes of one mount."""

    def __init__(self, main: Volume, root: int, idle: Callable[[Volume], None]) -> None:
        """`root` is the inode number of the mount's root. `idle` is called for a volume, not the
        main one, of which the kernel knows no node any more."""
        self.main = main
        self.root = root
        # The virtual directories in the root.
        self.virtual: list[Volume] = []
        self._idle = idle
        self._counts: dict[int, int] = {}
        self._places: dict[int, tuple[Volume, int]] = {}
        self._numbers: dict[tuple[Volume, int], int] = {}
        self._next = _OTHERS

    def find(self, nodeid: int) -> tuple[Volume, int]:
        """The volume and inode number of a node. Raises Stale for one the kernel cannot know."""
        if nodeid == ROOT_ID:
            return self.main, self.root
        if nodeid < NUMBERS_FROM:
            return self.main, nodeid
        place = self._places.get(nodeid)
        if place is not None:
            return place
        for volume in self.virtual:
            if nodeid in volume.tree.numbers:  # type: ignore[union-attr]  # no Tree is virtual
                return volume, nodeid
        raise Stale(f"no node {nodeid}")

    def remember(self, volume: Volume, ino: int) -> int:
        """Count one more lookup of an inode; its node."""
        counts = self._counts
        if volume is self.main:
            nodeid = ino
            if ino == self.root:
                return ROOT_ID
        elif not volume.snapshot:
            nodeid = ino
        else:
            nodeid = self._number(volume, ino)
        count = counts.get(nodeid)
        if count is None:
            counts[nodeid] = 1
            volume.users += 1
            if not volume.snapshot:
                volume.tree.hold(ino)
        else:
            counts[nodeid] = count + 1
        return nodeid

    def _number(self, volume: Volume, ino: int) -> int:
        """The node of an inode in a snapshot."""
        nodeid = self._numbers.get((volume, ino))
        if nodeid is None:
            nodeid, self._next = self._next, self._next + 1
            self._numbers[volume, ino] = nodeid
            self._places[nodeid] = volume, ino
        return nodeid

    def forget(self, nodeid: int, lookups: int) -> None:
        """Give back lookups; the last one lets the node go."""
        left = self._counts.get(nodeid, 0) - lookups
        if left > 0:
            self._counts[nodeid] = left
            return
        if self._counts.pop(nodeid, None) is None:
            return
        volume, ino = self.find(nodeid)
        volume.users -= 1
        if not volume.snapshot:
            volume.tree.release(ino)
        if volume is self.main:
            return
        if volume.snapshot:
            del self._places[nodeid], self._numbers[volume, ino]
        if not volume.users:
            self._idle(volume)

    def forget_all(self) -> None:
        """The mount has ended: let every node go."""
        for nodeid in list(self._counts):
            self.forget(nodeid, self._counts[nodeid])

    # --- for those who tell the kernel of changes --------------------------------------------

    def known(self, ino: int) -> int:
        """The node of an inode of the main volume; 0 where the kernel does not know it."""
        if ino == self.root:
            return ROOT_ID
        return ino if ino in self._counts else 0

    def knows(self, nodeid: int) -> bool:
        """Whether the kernel knows a node."""
        return nodeid in self._counts

    def known_inodes(self) -> Iterable[int]:
        """All inodes of the main volume that the kernel knows now."""
        return [self.root, *(n for n in self._counts if n < NUMBERS_FROM)]

    def __len__(self) -> int:
        return len(self._counts)
