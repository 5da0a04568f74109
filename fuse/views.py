"""The volumes of a branch's snapshots, open for as long as the kernel knows something of them."""

from __future__ import annotations

from typing import Protocol

from fuse.volumes import Timeouts, Volume
from store.cache import Budget
from store.errors import Stale
from store.tree import Tree


class Snapshots(Protocol):
    """Where a mount gets the trees of its branch's snapshots."""

    @property
    def version(self) -> int:
        """Changes whenever snapshots may have come or gone."""

    def is_there(self, snapshot: int) -> bool:
        """Whether a snapshot has not been deleted."""

    def open(self, snapshot: int) -> Tree:
        """The tree of a snapshot, to be closed. Raises Stale."""

    def close(self, tree: Tree) -> None:
        """Let a tree go."""


class Views:
    """See the module."""

    def __init__(self, source: Snapshots, timeouts: Timeouts, budget: Budget) -> None:
        self._source, self._timeouts, self._budget = source, timeouts, budget
        self._views: dict[int, tuple[Volume, Tree]] = {}
        self._version = source.version

    def get(self, snapshot: int) -> Volume:
        """The volume of a snapshot. Raises Stale."""
        found = self._views.get(snapshot)
        if found is None:
            tree = self._source.open(snapshot)
            found = Volume(tree, self._timeouts, self._budget, snapshot), tree
            self._views[snapshot] = found
        return found[0]

    def check(self, volume: Volume) -> None:
        """Raise Stale for a volume whose snapshot has been deleted."""
        source = self._source
        if source.version != self._version:
            self._version = source.version
            for number in [n for n in self._views if not source.is_there(n)]:
                source.close(self._views.pop(number)[1])
        if volume.snapshot not in self._views:
            raise Stale("the snapshot was deleted")

    def let_go(self, volume: Volume) -> None:
        """The kernel knows nothing of a snapshot any more."""
        found = self._views.pop(volume.snapshot, None)
        if found is not None:
            self._source.close(found[1])
