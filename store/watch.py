"""What a tree tells those who keep copies of what it showed: caches that must hear of each change.

A watcher is called within the step that makes a change, once for everything that the step changed,
and must not call the tree. Who made the change is not said: one that changes a tree itself knows
when it does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from store.treebase import TreeBase

# Stands for the end of a file, wherever that is.
TO_END = 2**63 - 1


class Watcher(Protocol):
    """One that hears of a tree's changes."""

    def inode_changed(self, ino: int) -> None:
        """An inode has other attributes (a directory: maybe other entries), or is gone."""

    def data_changed(self, ino: int, start: int, stop: int) -> None:
        """Bytes start <= i < stop of a file may read differently; TO_END: to its end."""

    def entry_changed(self, directory: int, name: bytes) -> None:
        """A name leads elsewhere, or nowhere, or is new."""

    def tree_replaced(self, old: TreeBase) -> None:
        """The tree stands on something else, all at once; `old` shows what it stood on."""
