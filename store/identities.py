"""Branches and snapshots by their ids, which never change and are never used again.

A file handle has these, not names, so that it survives a rename.
"""

from __future__ import annotations

from store.errors import UnknownRef
from store.history import History
from store.tree import Tree


class Identities:
    """See the module; `Store.ids`."""

    def __init__(self, history: History) -> None:
        self._history = history

    @property
    def version(self) -> int:
        """Changes whenever a branch or snapshot is made, moved, renamed or deleted."""
        return self._history.refs.version

    @property
    def changed_ns(self) -> int:
        """When a branch or snapshot last came or went; ns, 0: not since the store was opened."""
        return self._history.refs.changed_ns

    def branch(self, name: str) -> int:
        """A branch's id. Raises UnknownRef."""
        return self._history.head(name).branch

    def branch_name(self, number: int) -> str | None:
        """The name of the branch with that id, None where there is none."""
        return next((name for name, head in self._history.heads() if head.branch == number), None)

    def branch_tree(self, number: int) -> Tree | None:
        """The writable tree of the branch with that id, None where there is none."""
        return self._history.trees.get(number)

    def snapshot(self, branch: str, name: str) -> int:
        """A snapshot's id. Raises UnknownRef."""
        return self._history.snapshot_id(branch, name)

    def snapshot_ref(self, number: int) -> str | None:
        """`BRANCH@NAME` of the snapshot with that id, None where there is none."""
        record = self._history.snapshots.get(number)
        branch = None if record is None else self.branch_name(record.branch)
        return None if record is None or branch is None else f"{branch}@{record.name}"

    def snapshot_root(self, number: int) -> int:
        """The number of the root inode in the snapshot with that id. Raises UnknownRef."""
        record = self._history.snapshots.get(number)
        if record is None:
            raise UnknownRef(f"no snapshot has the id {number}")
        return record.root_ino
